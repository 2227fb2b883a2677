"""What the folds of ballots and leases share: time in which the plane was awake, and outcomes on their way to be facts.

**Awake.** While the plane stands still nobody's vote or renewal can be recorded, so such time counts for no deadline.
`slept` grows by each gap, and after a start by `CATCH_UP_MS` more. A value remembers how much that was when its
deadline was set; whoever finds a deadline over adds what has come since, and looks again then (`extended`). So a pause
costs nothing for what is open, and however often there is one, a deadline comes once the plane was awake long enough.

**Said.** Outcomes come about in `evolve`, row by row, as a later row of the same batch may depend on them. They are
kept in the table `said` until `react`, right after, gives them out as facts; each fact says its event, and evolving it
clears them. What has no event is no fact.
"""

from collections.abc import Iterable
from typing import Any

from bus.attributes import is_legible
from controlplane.facts import Fact, PlaneResumed, PlaneStarted, Rows, Tick
from controlplane.limits import CATCH_UP_MS, SAID_MAX, SAID_SERVED_MAX
from controlplane.state import KeyedState

MS = 1_000_000
UNNAMED = "unnamed"
INPUTS = (Rows, Tick, PlaneStarted, PlaneResumed)
"""The inputs after which outcomes are given out; timers that fire at another one give out their own."""


def sleep(state: KeyedState, fact: PlaneStarted | PlaneResumed) -> None:
    """The plane stood still."""
    catches_up = CATCH_UP_MS * MS if isinstance(fact, PlaneStarted) else 0
    state.put("count", "slept", slept(state) + max(0, fact.gap_ns) + catches_up)


def slept(state: KeyedState) -> int:
    """How long the plane has stood still so far, ns."""
    found: int = state.get("count", "slept", 0)
    return found


def extended(state: KeyedState, until: int, since: int) -> int:
    """A deadline by the time that the plane has slept since it had slept for `since`."""
    return until + slept(state) - since


def key_of(name: str) -> str:
    """The `partitionkey` of what is said of a ballot or resource: its name, unless no event can carry it.

    Only refusals are about such a name; they are said all the same, in whatever order.
    """
    return name if name and is_legible(name) else UNNAMED


def count(state: KeyedState, name: str, change: int = 1) -> None:
    """Add to a count."""
    state.put("count", name, state.get("count", name, 0) + change)


def note(state: KeyedState, fact: Fact) -> None:
    """An outcome, to be said."""
    waiting = len(state.table("said"))
    if waiting >= SAID_MAX:
        count(state, "unsaid")
        return
    state.put("said", waiting, fact)


def has_room(state: KeyedState) -> bool:
    """Whether this step may bring about more than was asked in it; else the next one does, so that it can be said."""
    return len(state.table("said")) < SAID_SERVED_MAX


def noted(state: KeyedState) -> Iterable[Fact]:
    """All outcomes that are to be said, in order."""
    said = state.table("said")
    return [said[number] for number in range(len(said))]


def clear(state: KeyedState) -> None:
    """They are said."""
    for number in list(state.table("said")):
        state.delete("said", number)


def remember(state: KeyedState, table: str, key: str, value: object) -> None:
    """Keep what is over by its key, until it is the oldest one and `forget_oldest` is called."""
    count(state, "newest")
    state.put("order", state.get("count", "newest"), key)
    state.put(table, key, value)


def remembered(state: KeyedState) -> int:
    """How many are kept."""
    return len(state.table("order"))


def forget_oldest(state: KeyedState, table: str) -> Any:
    """What has been over for longest goes, and is counted; its value. There must be one."""
    count(state, "forgotten")
    number = state.get("count", "forgotten")
    key = state.get("order", number)
    value = state.get(table, key)
    state.delete("order", number)
    state.delete(table, key)
    return value
