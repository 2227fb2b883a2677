"""Consumer groups as a noun: who listens to what, how far each one is, and what it did not get."""

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Severity, Trend


class AskGroups(Ask, frozen=True):
    """All groups, worst first, or the one with this name."""

    group: str = ""


class Holding(msgspec.Struct):
    """A member, and how many events it holds at one partition."""

    member: str
    in_flight: int


class GroupTerms(msgspec.Struct):
    """What all members of a group agreed on. `start`: ns, -1 is the earliest event kept; "" where an order has none."""

    start: int
    ack_wait_ms: int
    max_deliver: int
    order: str
    park: bool
    lateness_ms: int
    late: str
    gap: str
    governed: list[str] = []
    """Those that an operator has set, whatever members come with."""


class GroupPlace(msgspec.Struct):
    """A group at one partition, as its leader last said. `behind_ns`: the age of its oldest unsettled event.

    `holding` are its members, who holds most first; of very many only the first ones.
    """

    partition: int
    members: int
    waiting: int
    in_flight: int
    endangered: int
    behind_ns: int
    holding: list[Holding] = []


class GroupRow(msgspec.Struct):
    """A group over all partitions. Counts of deliveries, rates and latencies are of the last five minutes."""

    group: str
    pattern: str
    severity: Severity
    members: int
    waiting: int
    in_flight: int
    behind_ns: int
    trend: Trend
    eta_ns: int | None
    handled_per_s: float
    delivered: int
    acked: int
    failed: int
    p50_ns: int | None
    p99_ns: int | None
    dead_letters: int
    """Waiting ones."""
    trimmed: int
    """Events that retention took before it had read or settled them, ever."""
    trimmed_at: int
    endangered: int
    """Events that retention is about to take."""
    types: int
    """Types that were ever published and that its pattern matches; with 0 it listens to nothing."""
    why: str = ""
    mend: str = ""
    places: list[GroupPlace] = []
    settings: GroupTerms | None = None
    """None until a leader has told them."""


class GroupChanging(msgspec.Struct):
    """What was decided of a group and is not so at every partition yet. `changes`: setting -> value; None: removed."""

    group: str
    since: int
    changes: dict[str, int] | None
    by: str
    reason: str


class Groups(Reply):
    rows: list[GroupRow]
    changing: list[GroupChanging] = []
