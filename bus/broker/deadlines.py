"""When groups are to be woken: for the end of an ack's wait, of a nack's delay, of members' reports.

A heap of their next deadlines. One that a group has put off, or let go of, is found out when its turn comes, not when
it changes: most of them do.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count

from bus.broker.ledgroup import LedGroup


class Deadlines:
    """Of all groups that are led here, in ns of their machines' clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, LedGroup]] = []
        self._ties = count()

    def schedule(self, group: LedGroup, at: int) -> None:
        """See that it is woken when its next deadline comes; one that comes too early is put off then."""
        due = group.group.next_deadline(at)
        if due is not None and not group.broken and (group.due is None or due < group.due):
            group.due = due
            heappush(self._heap, (due, next(self._ties), group))

    def next(self, at: int) -> int | None:
        """The first one; None when there is none. One to come holds, or is put off here."""
        while self._heap:
            due, _, group = self._heap[0]
            if due == group.due:
                held = group.group.next_deadline(at)
                if due <= at or (held is not None and held <= due):
                    return due
                group.due = None
            heappop(self._heap)
            if group.due is None:
                self.schedule(group, at)
        return None

    def passed(self, at: int) -> Iterator[LedGroup]:
        """Whose deadline has come: these are not scheduled any more."""
        while (due := self.next(at)) is not None and due <= at:
            group = heappop(self._heap)[2]
            group.due = None
            yield group

    def drop(self, partition: int) -> None:
        """Nothing of this partition is led here any more."""
        self._heap = [entry for entry in self._heap if entry[2].partition != partition]
        heapify(self._heap)
