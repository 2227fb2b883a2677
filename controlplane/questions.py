"""What a console may ask the control plane, and the answers: the only thing `console/` imports from here.

One question is one struct; its answer is one struct; both are listed in `Question` and `Body` and travel
as MessagePack. Instants and durations are integer nanoseconds (instants since 1970, UTC); `0` and `None`
say "not known", as each field's comment has it. Rates are events per second. Every answer holds at one
journal position, named in the `Told` around it.

On the socket: request `[MAGIC, request id, question]`, reply `[MAGIC, request id, told]`. A long piece of work
replies any number of `Progress` bodies under the same request id before its answer.
"""

from typing import Literal

import msgspec

MAGIC = b"SQ1"
SCHEMA = 1
"""Version of every JSON shape below, printed by the CLI as `schema`."""

Severity = Literal["ok", "warn", "bad", "unknown"]
"""Green, some, none, no data: drawn ● ▲ ■ ◌."""
HealthState = Literal["OK", "WARNING", "CRITICAL", "UNKNOWN"]
Trend = Literal["growing", "steady", "draining"]


class Ask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of every question."""


class Reply(msgspec.Struct, tag=True):
    """The base of every answer's body."""


# ---------------------------------------------------------------------------------------------- parts


class PlaneStatus(msgspec.Struct):
    """The control plane itself. `state`: starting, electing, running, stopping."""

    pid: int
    state: str
    position: int
    epoch: int
    uuid: str
    url: str
    data_dir: str
    started: int
    journal_bytes: int = 0
    behind: int = 0
    """Events that brokers hold and the journal does not yet."""


class BrokerStatus(msgspec.Struct):
    """One broker. `state`: starting, up, slow, silent, down, stopped. `why` is empty when it is well."""

    id: str
    pid: int
    state: str
    leads: list[int]
    url: str = ""
    store: str = ""
    since: int = 0
    restarts: int = 0
    retry_at: int = 0
    why: str = ""
    mend: str = ""
    share: float = 0.0
    """Its part of all events appended in the last ten seconds, 0 to 1."""
    in_rate: float = 0.0
    out_rate: float = 0.0
    memory_bytes: int = 0
    store_bytes: int = 0
    fsync_p99_ns: int = 0


class ReplicaStatus(msgspec.Struct):
    """One replica of a partition. `state`: leader, in_sync, lagging, off."""

    broker: str
    state: str
    end: int = 0
    lag_ns: int = 0


class PartitionStatus(msgspec.Struct):
    """One partition. `severity`: ok all in sync, warn some, bad fewer than W: it refuses."""

    partition: int
    severity: Severity
    leader: str | None
    epoch: int
    replicas: list[ReplicaStatus]
    high: int = 0
    archived: int = 0
    rate: float = 0.0
    refused_rate: float = 0.0
    recent: list[int] = []
    """Events in each tenth of the last two minutes, oldest first."""
    busiest: str = ""
    busiest_share: float = 0.0
    slowest_group: str = ""
    behind_ns: int | None = None
    """Time lag of `slowest_group` here; None when nothing waits or no group listens."""
    trend: Trend = "steady"
    why: str = ""
    mend: str = ""


class Need(msgspec.Struct):
    """A line that is not green: what, why, since when, and the command (without `signalbox`) that mends it."""

    severity: Severity
    what: str
    why: str
    since: int
    mend: str
    points: int
    """What it costs in the health score; all penalties and the score add up to 100, unless the floor of 0 cuts them."""
    key: str = ""


class Happening(msgspec.Struct):
    """One line of LATELY."""

    at: int
    position: int
    severity: Severity
    text: str


class FlowRow(msgspec.Struct):
    """One flow: source to type to group; `group` is empty where nobody listens."""

    source: str
    type: str
    group: str
    severity: Severity
    rate: float
    recent: list[int]
    """Events in each ninth of the last five minutes, oldest first."""
    total: int
    error_share: float | None = None
    """Failed deliveries of all deliveries of the group in the last five minutes, 0 to 1; None without any."""
    p50_ns: int | None = None
    p99_ns: int | None = None
    """From append to ack, for this group in the last five minutes."""
    behind_ns: int | None = None
    waiting: int = 0
    trend: Trend = "steady"
    eta_ns: int | None = None
    """Until level at the present rates; None when level, -1 when never."""
    ledger: str = ""
    why: str = ""
    mend: str = ""


class SagaRow(msgspec.Struct):
    """One saga. `state`: open, finished, failed. Stuck is a severity of an open one: warn past 1 x p95, bad past 3 x."""

    saga: str
    state: str
    severity: Severity
    step: str
    """Type of its last event."""
    steps: int
    source: str
    started: int
    last: int
    """Its own log's time of the last event."""
    waiting_ns: int
    typical_ns: int | None = None
    """Median time after this step; None until enough samples."""
    p95_ns: int | None = None
    ratio: float | None = None
    """`waiting_ns` over `p95_ns`, or over the threshold that is set."""
    importof: str = ""
    why: str = ""
    position: int = 0


class SagaStep(msgspec.Struct):
    """One event of a saga in journal order."""

    position: int
    id: str
    type: str
    source: str
    time: int
    took_ns: int
    """Until the next event, or until now for the last one of an open saga."""
    partition: int
    offset: int
    failed: bool = False
    """A group's delivery of this event ended as a dead letter."""


class Link(msgspec.Struct):
    """One link of a WHY chain: a fact with its age and place; `depth` is its indentation."""

    text: str
    depth: int = 0
    at: int | None = None
    position: int | None = None
    ruled_out: bool = False


class DeadGroup(msgspec.Struct):
    """Dead letters that died alike: same group, reason and error text with its numbers left out."""

    id: str
    severity: Severity
    reason: str
    what: str
    group: str
    count: int
    waiting: int
    """Not yet redriven."""
    recent: list[int]
    """Deaths in each twelfth of the last six hours, oldest first."""
    first: int
    newest: int
    new: int = 0
    """Died within the last ten minutes."""
    note: str = ""


class DeadAttempt(msgspec.Struct):
    attempt: int
    at: int
    error: str
    member: str = ""
    took_ns: int = 0


class DeadLetter(msgspec.Struct):
    """One dead letter with the original embedded as CloudEvents JSON text. `state`: waiting, redriving, redriven."""

    id: str
    dead_group: str
    group: str
    reason: str
    error: str
    state: str
    partition: int
    offset: int
    """Where the original stands."""
    position: int
    died: int
    attempts: list[DeadAttempt]
    event: str


class EventRow(msgspec.Struct):
    """One archived event, without its payload."""

    position: int
    id: str
    type: str
    source: str
    subject: str
    time: int
    """The publisher's time, else `appended`."""
    appended: int
    recorded: int
    partition: int
    offset: int
    size: int
    severity: Severity = "ok"
    to: str = ""
    """The groups that listen to it, worst first."""


class Bar(msgspec.Struct):
    """One bar of a volume picture or of the time bar."""

    at: int
    events: int
    severity: Severity = "ok"
    incident: str = ""


class Counts(msgspec.Struct):
    """What every screen's header and the demo's summary need."""

    score: int | None
    health: HealthState
    events: int
    """Archived events that agents published: lifecycle, dead letters, redriven and `signalbox.>` ones left out."""
    internal: int
    flows: int
    sagas_open: int
    sagas_stuck: int
    sagas_stuck_bad: int
    sagas_finished: int
    sagas_failed: int
    dead_letters: int
    """Waiting ones."""
    dead_letters_new: int
    agents: int
    brokers_up: int
    brokers: int


# ------------------------------------------------------------------------------------ questions and answers


class AskStatus(Ask, frozen=True):
    """The fleet in one answer: `signalbox status`."""


class Status(Reply):
    controlplane: PlaneStatus
    brokers: list[BrokerStatus]
    partitions: list[PartitionStatus]
    counts: Counts


class AskBoard(Ask, frozen=True):
    """All that the Board draws. `bars`: how many bars the time bar has."""

    bars: int = 100


class Vital(msgspec.Struct):
    """One number of the vitals row with its last eight samples of 15 s; None is unknown."""

    value: float | None
    recent: list[float]
    severity: Severity = "ok"


class Board(Reply):
    status: Status
    since_score: int | None
    """The score five minutes ago."""
    score_recent: list[int]
    needs: list[Need]
    published: Vital
    delivered: Vital
    ack_p99_ms: Vital
    worst_lag_s: Vital
    open_sagas: Vital
    lost: int
    """Loss ledger: events that are unaccounted for; 0 is balanced."""
    flows: list[FlowRow]
    sagas: list[SagaRow]
    dead: list[DeadGroup]
    lately: list[Happening]
    timeline: list[Bar]


class AskFlows(Ask, frozen=True):
    """Flows, worst then busiest. `match` is a substring of source, type or group."""

    match: str = ""
    offset: int = 0
    limit: int = 200


class Flows(Reply):
    total: int
    matched: int
    rows: list[FlowRow]


class AskSagas(Ask, frozen=True):
    """The saga inbox, worst first. `state`: open, stuck, finished, failed, all. `match`: substring of id or step."""

    state: str = "open"
    match: str = ""
    offset: int = 0
    limit: int = 200


class Sagas(Reply):
    counts: Counts
    matched: int
    rows: list[SagaRow]


class AskSaga(Ask, frozen=True):
    saga: str
    limit: int = 500


class Saga(Reply):
    row: SagaRow
    steps: list[SagaStep]
    why: list[Link]
    mend: list[str]


class AskDeadGroups(Ask, frozen=True):
    """Dead letters grouped by what killed them, worst first."""

    match: str = ""
    offset: int = 0
    limit: int = 200


class DeadGroups(Reply):
    total: int
    waiting: int
    matched: int
    rows: list[DeadGroup]


class AskDeadLetters(Ask, frozen=True):
    """One group's dead letters, or one by its id; newest first. `target`: `g-…` or a dead letter's id."""

    target: str
    offset: int = 0
    limit: int = 50


class DeadLetters(Reply):
    group: DeadGroup
    letters: list[DeadLetter]
    why: list[Link]


class Redrive(Ask, frozen=True):
    """Publish the originals again for the one group each died in. `targets`: `g-…` or ids.

    With `dry_run` answers the exact set and changes nothing. `expected`, when given, is that set: if it has changed
    since, the answer is a `Refusal` with code `changed`.
    """

    targets: list[str]
    dry_run: bool = False
    reason: str = ""
    by: str = ""
    expected: list[str] | None = None


class Redriven(Reply):
    ids: list[str]
    """The dead letters that are (or would be) redriven."""
    groups: list[str]
    dry_run: bool
    position: int
    """Of the decision in the journal; 0 for a dry run."""


class AskHealth(Ask, frozen=True):
    """The score and what it is made of."""


class Health(Reply):
    score: int | None
    state: HealthState
    was: int | None
    recent: list[int]
    penalties: list[Need]


class AskEvents(Ask, frozen=True):
    """Archived events, newest first. `pattern` on type; `text` in id, source, subject or data; `after`/`before` positions.

    `since`/`until` bound `recorded`. `internal` includes lifecycle, dead letters, redriven ones and `signalbox.>`.
    """

    pattern: str = ">"
    text: str = ""
    subject: str = ""
    after: int = 0
    before: int | None = None
    since: int | None = None
    until: int | None = None
    internal: bool = False
    limit: int = 200
    bars: int = 0
    """With more than 0: this many bars of volume over the last 15 minutes beside the rows."""


class Events(Reply):
    rows: list[EventRow]
    volume: list[Bar]
    total: int
    rate: float


class AskEvent(Ask, frozen=True):
    """One event by its id (or `@position`), and the chain of causes around it."""

    id: str


class EventDetail(Reply):
    row: EventRow
    event: str
    """CloudEvents JSON."""
    causes: list[EventRow]
    """Events of the same saga around it, in journal order."""


class AskExport(Ask, frozen=True):
    """A page of the archive as CloudEvents JSON lines in journal order.

    The first page has `up_to` None: the plane waits until its recorder has reached the brokers' high watermarks of
    that moment, and names the position in its answer; later pages pass it on.
    """

    after: int = 0
    up_to: int | None = None
    internal: bool = False
    pattern: str = ">"
    limit: int = 5000


class Exported(Reply):
    lines: list[str]
    after: int
    up_to: int
    total: int
    """Events up to `up_to` that match, for the progress bar."""
    done: bool


class AskVerify(Ask, frozen=True):
    """Run the journal again from its inputs, and compare byte for byte. Replies `Progress` meanwhile."""


class Verified(Reply):
    same: bool
    entries: int
    events: int
    seconds: float
    digest: str
    divergence: str = ""
    """Empty when the same; else the first difference by position, fold and field."""
    older: int = 0
    """Entries of earlier fold versions, which were evolved as recorded."""


class AskAt(Ask, frozen=True):
    """State as of a position or an instant (one of them), rounded down to a step."""

    position: int | None = None
    instant: int | None = None


class Past(Reply):
    position: int
    recorded: int
    digest: str
    counts: Counts
    brokers: list[BrokerStatus]
    needs: list[Need]


class Down(Ask, frozen=True):
    """End the fleet: brokers first, then the plane. Answered before the plane goes."""

    by: str = ""
    reason: str = ""


class Stopping(Reply):
    pids: list[int]


class Progress(Reply):
    """Work under way. `total` 0 is unknown."""

    done: int
    total: int
    text: str = ""


class Refusal(Reply):
    """No answer. `code`: not_found, usage, changed, unavailable, denied, failed. `hint` says what to do."""

    code: str
    message: str
    hint: str = ""


Question = (
    AskStatus
    | AskBoard
    | AskFlows
    | AskSagas
    | AskSaga
    | AskDeadGroups
    | AskDeadLetters
    | Redrive
    | AskHealth
    | AskEvents
    | AskEvent
    | AskExport
    | AskVerify
    | AskAt
    | Down
)
Body = (
    Status
    | Board
    | Flows
    | Sagas
    | Saga
    | DeadGroups
    | DeadLetters
    | Redriven
    | Health
    | Events
    | EventDetail
    | Exported
    | Verified
    | Past
    | Stopping
    | Progress
    | Refusal
)


class Told(msgspec.Struct):
    """An answer and where it holds. `recorded` is the plane's clock there: the *now* that ages are counted from."""

    position: int
    recorded: int
    body: Body
    rebuilding: bool = False


_encoder = msgspec.msgpack.Encoder()
_question = msgspec.msgpack.Decoder(Question)
_told = msgspec.msgpack.Decoder(Told)


def encode(message: Question | Told) -> bytes:
    """A question or an answer as MessagePack."""
    return _encoder.encode(message)


def decode_question(data: bytes) -> Question:
    """Raises `msgspec.DecodeError` (or its `ValidationError`) on anything else than a question."""
    question: Question = _question.decode(data)
    return question


def decode_told(data: bytes) -> Told:
    """Raises `msgspec.DecodeError` (or its `ValidationError`) on anything else than an answer."""
    told: Told = _told.decode(data)
    return told
