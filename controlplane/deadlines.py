"""When the folds' timers are due: a heap of deadlines, and the one that counts for each place.

A place that gets another deadline leaves its old one in the heap, where it is found to be dead when its time comes.
Those of a fold that is folded again are kept aside until it is there: nobody hears what it would say meanwhile.
"""

from collections.abc import Collection, Iterable
from heapq import heappop, heappush

from controlplane.limits import TIMERS_FIRED_MAX
from controlplane.state import Key

Due = tuple[int, str, str, Key]
"""Deadline, fold, table, key."""


class Deadlines:
    """All of one heart. `still`: folds whose timers never fire again; `hidden`: those whose timers wait."""

    def __init__(self, still: Collection[str], hidden: Collection[str]) -> None:
        """Both are the heart's own, and looked into each time."""
        self._still = still
        self._hidden = hidden
        self._heap: list[Due] = []
        self._counts: dict[tuple[str, str, Key], int] = {}
        self._aside: list[Due] = []

    def of(self, fold: str, table: str, key: Key) -> int:
        """The deadline that counts at a place; 0 for none."""
        return self._counts.get((fold, table, key), 0)

    def schedule(self, dues: Iterable[Due]) -> None:
        """Other deadlines than before; 0: none any more."""
        for due in dues:
            if due[0]:
                self._counts[due[1:]] = due[0]
                heappush(self._heap, due)
            else:
                self._counts.pop(due[1:], None)

    def take(self, recorded: int) -> list[Due]:
        """The deadlines that are over at this instant, in order, `TIMERS_FIRED_MAX` of them at most."""
        fired: list[Due] = []
        while self._heap and self._heap[0][0] <= recorded and len(fired) < TIMERS_FIRED_MAX:
            due = heappop(self._heap)
            if not self._is_live(due):
                continue
            if due[1] in self._hidden:
                self._aside.append(due)
            elif not fired or fired[-1] != due:
                fired.append(due)
        return fired

    def settle(self, fired: Iterable[Due]) -> None:
        """The step is over: what fired and is due as before fires again."""
        for due in fired:
            if self._is_live(due):
                heappush(self._heap, due)

    def bring_back(self) -> None:
        """The timers that waited, of folds that are there again, are due like any others."""
        aside, self._aside = self._aside, []
        for due in aside:
            if due[1] in self._hidden:
                self._aside.append(due)
            else:
                heappush(self._heap, due)

    def next(self) -> int | None:
        """When the next timer is due, or None."""
        while self._heap and not self._is_live(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def copy(self, still: Collection[str], hidden: Collection[str]) -> "Deadlines":
        """The same for another heart."""
        twin = Deadlines(still, hidden)
        twin._heap, twin._counts, twin._aside = list(self._heap), dict(self._counts), list(self._aside)
        return twin

    def _is_live(self, due: Due) -> bool:
        return due[1] not in self._still and self._counts.get(due[1:]) == due[0]
