"""What answers are made of: statuses, rows, links, bars, counts."""

from typing import Literal

import msgspec

Severity = Literal["ok", "warn", "bad", "unknown"]
"""Green, some, none, no data: drawn ● ▲ ■ ◌."""
HealthState = Literal["OK", "WARNING", "CRITICAL", "UNKNOWN"]
Trend = Literal["growing", "steady", "draining"]


class PlaneStatus(msgspec.Struct):
    """The control plane itself. `state`: starting, electing, running, stopping; full while the journal has no room.

    `rebuilding`: folds that have changed and are folded again; what is made of them is not known meanwhile (None, or 0
    and empty). `refolded`: how many of the journal's entries are folded again.
    """

    pid: int
    state: str
    position: int
    epoch: int
    uuid: str
    url: str
    data_dir: str
    started: int
    journal_bytes: int = 0
    behind: int | None = 0
    """Events that brokers hold and the journal does not yet; None while that is not known."""
    why: str = ""
    """What is wrong with it; empty when it is well."""
    rebuilding: list[str] = []
    refolded: int = 0
    journal_from: int = 0
    """Positions up to here are not in the journal any more: retention let go of them."""
    copied: int = 0
    """The journal's copy, in the brokers' reserved partition, has everything up to this position."""
    copy_behind: int = 0
    """Steps that the journal has and its copy has not yet."""
    copy_why: str = ""
    """Why the copy stands still; empty while it follows."""
    journal_why: str = ""
    """What folds that have changed lack, or have otherwise, of what was before the journal begins."""
    journal_retention_seconds: int = 0
    journal_retention_bytes: int = 0
    """How long the journal keeps its segments, and how much; 0 without end."""
    retention_seconds: int = 0
    retention_bytes: int = 0
    """How long local brokers keep records that are archived, and how much of a partition; 0 without end."""


class BrokerStatus(msgspec.Struct):
    """One broker. `state`: starting, up, slow, full, silent, fenced, down, stopped.

    `why` is empty when it is well; in a Status it begins with who drained or removes it, which is nothing to mend.
    """

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
    joined: bool = False
    """Somebody else started it, and it was added by its address; else the plane runs it."""
    heard: int = 0
    """When its newest sample came, 0 before any."""


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
    """One saga. `state`: open, finished, failed. An open one may be stuck: warn past 1 x p95, bad past 3 x."""

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
    cut: list[str] = []
    """Attributes of the original that are not in `event`, or not whole; `data` stands for any payload."""


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
    """The groups that listen to its type now, by name."""


class Bar(msgspec.Struct):
    """One bar of a volume picture or of the time bar."""

    at: int
    events: int
    severity: Severity = "ok"
    incident: str = ""


class Counts(msgspec.Struct):
    """What every screen's header and the demo's summary need. None: not known while its fold is folded again."""

    score: int | None
    health: HealthState
    events: int | None
    """Archived events that agents published: lifecycle, dead letters, redriven and `signalbox.>` ones left out."""
    internal: int | None
    flows: int | None
    sagas_open: int | None
    sagas_stuck: int | None
    sagas_stuck_bad: int | None
    sagas_finished: int | None
    sagas_failed: int | None
    dead_letters: int | None
    """Waiting ones."""
    dead_letters_new: int | None
    agents: int | None
    brokers_up: int
    brokers: int
    agents_out: int | None = None
    """Suspected, failed or quarantined."""


class RuleRow(msgspec.Struct):
    """Keys that begin with `prefix` live in `partitions`, and would rather be led in `locality`, if it is named."""

    prefix: str
    group: str
    width: int
    locality: str
    partitions: list[int]


class Partitioning(msgspec.Struct):
    """How partitions are used. `strategy`: hash, semantic or adaptive; `rules`: of semantic places, or none.

    Of an adaptive fleet's newest look: `busiest` leads `share` times the mean load (0: none was seen); `skewed`: since
    when that is too much, or 0; `held`: what keeps partitions from moving by themselves.
    """

    strategy: str = "hash"
    rules: list[RuleRow] = []
    busiest: str = ""
    share: float = 0.0
    skewed: int = 0
    paused: bool = False
    held: str = ""
