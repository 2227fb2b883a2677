"""Each question beside its answer."""

import msgspec

from controlplane.questions.differing import Divergence
from controlplane.questions.parts import (
    Bar,
    BrokerStatus,
    Counts,
    DeadGroup,
    DeadLetter,
    EventRow,
    FlowRow,
    Happening,
    HealthState,
    Link,
    Need,
    Partitioning,
    PartitionStatus,
    PlaneStatus,
    SagaRow,
    SagaStep,
    Severity,
)


class Ask(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of every question."""


class Reply(msgspec.Struct, tag=True):
    """The base of every answer's body."""


class AskStatus(Ask, frozen=True):
    """The fleet in one answer: `signalbox status`."""


class Status(Reply):
    controlplane: PlaneStatus
    brokers: list[BrokerStatus]
    partitions: list[PartitionStatus]
    counts: Counts
    partitioning: Partitioning | None = None


class AskBoard(Ask, frozen=True):
    """All that the Board draws. `bars`: how many bars its time bar has; 0 where `AskTimeline` is asked too."""

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
    """Archived events, newest first. `pattern` on type; `text` in id, source, subject or data.

    `after` and `before` are positions; `since` and `until` bound `recorded`. `internal` includes lifecycle, dead
    letters, redriven ones and `signalbox.>`.
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
    that moment, and names the position in its answer; later pages pass it on. With `columns` a page holds no lines
    but the columns of `events` in `SQL_SCHEMA`.
    """

    after: int = 0
    up_to: int | None = None
    internal: bool = False
    pattern: str = ">"
    limit: int = 5000
    columns: bool = False


class Exported(Reply):
    lines: list[str]
    after: int
    up_to: int
    total: int
    """Events up to `up_to` that match, for the progress bar."""
    done: bool
    count: int = 0
    """Events in this page."""
    arrow: bytes = b""
    """The page as an Arrow IPC stream, when columns were asked for."""
    journal_from: int = 0
    """Events up to this position are not in the archive any more: retention let go of them."""


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
    where: Divergence | None = None
    """The first difference in parts; None when the same."""
    journal_from: int = 0
    """It was regenerated from the state after this position on: retention let go of what was before."""


class AskAt(Ask, frozen=True):
    """State as of a position or an instant (one of them), rounded down to a step.

    A position that the journal has not come to is not found; an instant in the future is wrong usage.
    """

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
