"""Hold-back buffers: events arrive in any order across partitions, and leave in the order that was asked for. Pure.

`ByTime` gives them in order of (time, partition, offset). Its *mark* says what may leave: nothing at or below it is
still expected, equal times included. Partitions that are behind (more of them is on its way) hold the mark below the
least of their own latest times, so that history is merged and not raced through; with none behind it stands below the
latest time of all. From that the lateness is taken off; and nothing waits longer than the lateness on the reader's
clock once nobody is behind. Whatever comes after its place has passed is late: counted, and delivered or dropped.

`Causal` gives an event when the cursors reach its deps (`bus.clock`); within a partition always by offset. Offsets that
never come (filtered, trimmed) are passed as soon as a later one of their partition is known. A *gap* is a dependency
that nobody has on the way though the partition is not behind, or one that depends on itself in a circle; after
`patience` it is waited for, skipped (the event is delivered without) or the event is set aside, by policy.

`now`, times and `patience` (the lateness) are ns; `now` never goes back. What is held is bounded by who feeds: see
`held()`, and `most` of `ByTime.release`. Groups hold back with the same buffers: `bus.groupholdback`.
"""

import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, TypeVar

from bus import limits
from bus.clock import Clock

Item = TypeVar("Item")
LATE = ("deliver", "drop")
GROUP_LATE = ("deliver", "dead-letter")
"""A group lets go of nothing without a word."""
GAPS = ("wait", "skip", "dead-letter")


class ByTime(Generic[Item]):
    """`late`: events that came too late; `forced`: those that left early because there was no more room."""

    def __init__(self, patience: int, policy: str = "deliver") -> None:
        self.late = 0
        self.forced = 0
        self.patience = patience
        self._policy = policy
        self._heap: list[tuple[int, int, int, Item]] = []
        self._arrivals: deque[tuple[int, int]] = deque()
        self._latest: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._mark: int | None = None
        self._given: tuple[int, int, int] | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def held(self, partition: int) -> int:
        """How many events of a partition are in here."""
        return self._held.get(partition, 0)

    def is_late(self, partition: int, offset: int, time: int) -> bool:
        """Whether an event's place has passed."""
        return self._given is not None and (time, partition, offset) < self._given

    def push(self, partition: int, offset: int, time: int, item: Item, now: int) -> list[Item]:
        """An event arrives; gives it back if it is late and to be delivered all the same."""
        self._latest[partition] = max(time, self._latest.get(partition, time))
        if self.is_late(partition, offset, time):
            self.late += 1
            return [item] if self._policy == "deliver" else []
        heappush(self._heap, (time, partition, offset, item))
        self._arrivals.append((now, time))
        self._held[partition] = self._held.get(partition, 0) + 1
        return []

    def release(self, now: int, behind: Collection[int], most: int, room: int = sys.maxsize) -> list[Item]:
        """What may leave, at most `room`. `behind`: partitions of which more is on its way; `most`: how many may stay
        in here."""
        out: list[Item] = []
        mark = self._raised(now, behind)
        while self._heap and mark is not None and self._heap[0][0] <= mark and len(out) < room:
            out.append(self._pop())
        while len(self._heap) > most and len(out) < room:
            self.forced += 1
            out.append(self._pop())
        if not self._heap:
            self._arrivals.clear()
        return out

    def flush(self) -> list[Item]:
        """All that is left, in order: nothing more will come."""
        self._arrivals.clear()
        return [self._pop() for _ in range(len(self._heap))]

    def remove(self, partition: int, offset: int | None = None) -> list[Item]:
        """Take out an event, or all of a partition: they will come again."""

        def goes(entry: tuple[int, int, int, Item]) -> bool:
            return entry[1] == partition and offset in (None, entry[2])

        gone = [entry[3] for entry in self._heap if goes(entry)]
        if gone:
            self._heap = [entry for entry in self._heap if not goes(entry)]
            heapify(self._heap)
            self._held[partition] -= len(gone)
        if offset is None:
            self._latest.pop(partition, None)
        return gone

    def next_due(self) -> int | None:
        """When `release` would give more though nothing arrives, if nobody is behind; None: nothing is held."""
        return self._arrivals[0][0] + self.patience if self._arrivals else None

    def _raised(self, now: int, behind: Collection[int]) -> int | None:
        latest = [self._latest.get(partition) for partition in behind] if behind else list(self._latest.values())
        known = [time for time in latest if time is not None]
        if behind:
            return min(known) - self.patience - 1 if len(known) == len(latest) else None
        if not known:
            return None
        while self._arrivals and self._arrivals[0][0] + self.patience <= now:
            time = self._arrivals.popleft()[1]
            self._mark = time if self._mark is None else max(self._mark, time)
        mark = max(known) - self.patience - 1
        return mark if self._mark is None else max(mark, self._mark)

    def _pop(self) -> Item:
        time, partition, offset, item = heappop(self._heap)
        self._given = (time, partition, offset)
        self._held[partition] -= 1
        return item


class Held(NamedTuple, Generic[Item]):
    """An event that arrived at `since`. `early`: it overtook one of its causes on the way here."""

    offset: int
    deps: Clock
    item: Item
    since: int
    early: bool


class Causal(Generic[Item]):
    """`prevented`: events that overtook a cause on the way and were delivered after it; `gaps`: events that met one.

    `skipped` were delivered without their cause; `aside` has those that were not delivered for it (the last
    HOLDBACK_ASIDE_MAX), `dead` counts them.
    """

    def __init__(self, cursors: Mapping[int, int], patience: int, policy: str = "wait") -> None:
        self.prevented = 0
        self.gaps = 0
        self.skipped = 0
        self.dead = 0
        self.aside: deque[Item] = deque(maxlen=limits.HOLDBACK_ASIDE_MAX)
        self.patience = patience
        self._policy = policy
        self._received = dict(cursors)
        self._queues: dict[int, deque[Held[Item]]] = {}
        self._blocked: dict[int, int] = {}
        self._waiters: dict[int, dict[int, None]] = {}
        self._moved: dict[int, None] = {}
        self._told = dict(cursors)
        self._gaps: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def held(self, partition: int) -> int:
        """How many events of a partition are in here."""
        return len(self._queues.get(partition, ()))

    def cursor(self, partition: int) -> int:
        """All below it were delivered or passed."""
        queue = self._queues.get(partition)
        return queue[0].offset if queue else self._received.get(partition, 0)

    def push(self, partition: int, offset: int, deps: Clock, item: Item, now: int) -> None:
        """An event arrives; offsets of one partition come ascending, and those between two of them are passed."""
        self.passed(partition, offset)
        held = Held(offset, deps, item, now, self._overtook(deps))
        self._queues.setdefault(partition, deque()).append(held)
        self._received[partition] = offset + 1
        self._moved[partition] = None

    def passed(self, partition: int, next_offset: int) -> None:
        """Nothing below `next_offset` of this partition is still to come."""
        if next_offset > self._received.get(partition, 0):
            self._received[partition] = next_offset
            self._moved[partition] = None

    def release(self, now: int, behind: Collection[int]) -> list[Item]:
        """What may be delivered, causes first. `behind`: partitions of which more is on its way, so that no gap is
        in them yet."""
        out: list[Item] = []
        self._run(out.append)
        while gap := self._overdue(now, behind):
            partition, head = gap
            if self._gaps.get(partition) != head.offset:
                self._gaps[partition] = head.offset
                self.gaps += 1
            if self._policy == "wait":
                continue
            self._queues[partition].popleft()
            if self._policy == "skip":
                self.skipped += 1
                out.append(head.item)
            else:
                self.dead += 1
                self.aside.append(head.item)
            self._moved[partition] = None
            self._run(out.append)
        return out

    def waiting(self) -> list[tuple[Item, int, int]]:
        """(event, partition, offset) of each partition's first event that waits, and one thing it waits for."""
        found = []
        for partition, blocker in self._blocked.items():
            head = self._queues[partition][0]
            found.append((head.item, blocker, head.deps[blocker]))
        return found

    def next_due(self) -> int | None:
        """When the patience with the next gap is over, if nobody is behind; None: there is none to be dealt with."""
        gaps = [self._queues[partition][0].since for partition in self._blocked if self._is_gap(partition, ())]
        return min(gaps) + self.patience if gaps else None

    # ------------------------------------------------------------------------------------------ private

    def _run(self, deliver: Callable[[Item], None]) -> None:
        """Deliver whatever the partitions that moved have made possible, in them and in those that wait for them."""
        while self._moved:
            partition = self._moved.popitem()[0]
            queue = self._queues.get(partition, deque())
            self._unblock(partition)
            while queue:
                blocker = self._blocker(queue[0])
                if blocker is not None:
                    self._blocked[partition] = blocker
                    self._waiters.setdefault(blocker, {})[partition] = None
                    break
                head = queue.popleft()
                self.prevented += head.early
                deliver(head.item)
            cursor = self.cursor(partition)
            if cursor > self._told.get(partition, 0):
                self._told[partition] = cursor
                self._moved.update(self._waiters.get(partition, {}))

    def _overtook(self, deps: Clock) -> bool:
        """Whether one of these causes is not here yet."""
        return any(self._received.get(one, 0) <= at for one, at in deps.items())

    def _unblock(self, partition: int) -> None:
        blocker = self._blocked.pop(partition, None)
        if blocker is not None:
            del self._waiters[blocker][partition]

    def _blocker(self, held: Held[Item]) -> int | None:
        for partition, offset in held.deps.items():
            if self.cursor(partition) <= offset:
                return partition
        return None

    def _overdue(self, now: int, behind: Collection[int]) -> tuple[int, Held[Item]] | None:
        """The gap that is to be dealt with now."""
        for partition in self._blocked:
            head = self._queues[partition][0]
            if head.since + self.patience <= now and self._is_gap(partition, behind):
                return partition, head
        return None

    def _is_gap(self, partition: int, behind: Collection[int]) -> bool:
        """Whether what a partition's first event waits for is not to be expected. A gap that was seen before and is
        waited for is dealt with already."""
        if self._policy == "wait" and self._gaps.get(partition) == self._queues[partition][0].offset:
            return False
        blocker = self._blocked[partition]
        return self._circular(partition) if blocker in self._blocked else blocker not in behind

    def _circular(self, partition: int) -> bool:
        """Whether following who waits for whom leads back to where it began."""
        seen: set[int] = set()
        at = self._leads_to(partition)
        while at is not None and at not in seen:
            if at == partition:
                return True
            seen.add(at)
            at = self._leads_to(at)
        return False

    def _leads_to(self, partition: int) -> int | None:
        """The partition whose first event the first one of this partition waits for."""
        return self._blocked.get(partition)
