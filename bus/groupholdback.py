"""The hold-back of a group's member, when the group's order spans partitions: by time, or causes before effects. Pure.

What leaders deliver is *held* here until its turn has come; then the program has it, and its `ack_wait` begins. Each
leader tells, in its `Progress`, how far its partition is and whether this member is the active one there.

`TimedWork` is `bus.holdback.ByTime`: a partition is behind while its leader has more for this member, or has not said
yet whether it has. An event that was given out before and comes again is not late: it goes at once.

`CausalWork` is `bus.holdback.Causal` with other cursors. A cause counts when it is *settled*: acked, a dead letter,
passed by the filter, or trimmed; and when that is committed, as the leader's floor says, whoever leads next. So
whatever an event depends on is over when anybody gets it, and stays so: through nacks, since an effect waits until its
cause is acked or dead; through a takeover, since no member goes by what another one had in its hands; and with two
members that each take themselves for the active one, since floors are the same for both. An event comes after those
before it in its partition only where its `deps` name them, or if they are held here too. A gap is a cause that its
partition does not have though everything in it is settled, or that waits for its own effect.
"""

from bisect import bisect_left
from collections import deque
from typing import Generic, NamedTuple, TypeVar

from bus import limits
from bus.clock import Clock, missing
from bus.groupstate import GAP, LATE
from bus.holdback import ByTime, Causal, Held
from bus.wire import GroupSettings, Progress

Item = TypeVar("Item")


class Arrived(NamedTuple, Generic[Item]):
    """An event that a leader delivered. `time`: the publisher's, or the leader's where none was said, ns."""

    partition: int
    offset: int
    attempt: int
    time: int
    deps: Clock
    item: Item


class TimedWork(ByTime[Arrived[Item]]):
    """See the module. `policy`: what becomes of late ones: deliver, dead-letter."""

    verdict = LATE
    """On those that are refused."""

    def __init__(self, patience: int, policy: str, partitions: int, now: int) -> None:
        super().__init__(patience)
        self._refuses = policy == "dead-letter"
        self._most = limits.HOLDBACK_EVENTS_MAX * 3 // 4
        self._at_once: deque[Item] = deque()
        self._late: list[Item] = []
        self._places: dict[tuple[int, int], None] = {}
        self._told: dict[int, Progress] = {}
        self._dark = dict.fromkeys(range(partitions), now)

    def arrived(self, one: Arrived[Item], now: int) -> None:
        """A leader delivered an event; an earlier attempt of it that is held is over."""
        if (one.partition, one.offset) in self._places:
            self.remove(one.partition, one.offset)
        if one.attempt > 1 and self.is_late(one.partition, one.offset, one.time):
            self._at_once.append(one.item)
            return
        late = self.push(one.partition, one.offset, one.time, one, now)
        if not late:
            self._places[one.partition, one.offset] = None
        elif self._refuses:
            self._late.append(one.item)
        else:
            self._at_once.append(one.item)

    def told(self, progress: Progress, now: int) -> list[Item]:
        """A leader says how far it is; gives what it has taken back, as another member is the active one."""
        self._told[progress.partition] = progress
        self._dark.pop(progress.partition, None)
        return [] if progress.active else self._drop(progress.partition)

    def lost(self, partition: int, now: int) -> list[Item]:
        """A leader is lost; gives what it had delivered and is held: it will come again."""
        self._told.pop(partition, None)
        self._dark.setdefault(partition, now)
        return self._drop(partition)

    def go(self, now: int, room: int) -> list[Item]:
        """What is given out now, in order, at most `room`."""
        out = [self._at_once.popleft() for _ in range(min(room, len(self._at_once)))]
        if len(out) < room:
            gone = self.release(now, self._behind(now), self._most, room - len(out))
            for one in gone:
                del self._places[one.partition, one.offset]
            out += [one.item for one in gone]
        return out

    def refused(self) -> list[tuple[Item, str]]:
        """What is to become dead letters instead, with why; each is given once."""
        refused, self._late = self._late, []
        return [(item, "late: events of a later time had been given out") for item in refused]

    def awaited(self) -> set[int]:
        """Partitions that what is held waits for."""
        return {one for one in self._told if self._told[one].coming} if len(self) else set()

    def waits(self) -> list[tuple[Item, int, int]]:
        """Time says nothing about what it waits for."""
        return []

    def due(self, now: int) -> int | None:
        """When `go` may give more though nothing comes."""
        if not len(self):
            return None
        dark = [since + self.patience + 1 for since in self._dark.values() if now - since <= self.patience]
        return min(dark) if dark else None if self._behind(now) else self.next_due()

    def _behind(self, now: int) -> set[int]:
        dark = {one for one, since in self._dark.items() if now - since <= self.patience}
        return dark | {one for one, told in self._told.items() if told.coming}

    def _drop(self, partition: int) -> list[Item]:
        gone = self.remove(partition)
        for one in gone:
            del self._places[one.partition, one.offset]
        return [one.item for one in gone]


class CausalWork(Causal[Arrived[Item]]):
    """See the module. `policy`: what becomes of a gap: wait, skip, dead-letter."""

    verdict = GAP

    def __init__(self, patience: int, policy: str, partitions: int) -> None:
        super().__init__({}, patience, policy)
        self.aside = deque()
        self._progress: dict[int, Progress] = {}
        self._floors: dict[int, int] = {}
        self._partitions = range(partitions)

    def cursor(self, partition: int) -> int:
        """All below it are settled, for good."""
        return self._floors.get(partition, 0)

    def arrived(self, one: Arrived[Item], now: int) -> None:
        """A leader delivered an event; an earlier attempt of it that is held is over."""
        partition, offset = one.partition, one.offset
        queue = self._queues.setdefault(partition, deque())
        held = Held(offset, one.deps, one, now, self._overtook(one.deps))
        at = (
            bisect_left(queue, offset, key=lambda other: other.offset) if queue and queue[-1].offset >= offset else None
        )
        if at is None:
            queue.append(held)
        elif queue[at].offset == offset:
            queue[at] = held
        else:
            queue.insert(at, held)
        if queue[0] is held:
            self._unblock(partition)
        self._received[partition] = max(offset + 1, self._received.get(partition, 0))
        self._moved[partition] = None

    def told(self, progress: Progress, now: int) -> list[Item]:
        """A leader says how far it is; gives what it has taken back, as another member is the active one."""
        partition = progress.partition
        self._progress[partition] = progress
        if progress.floor > self.cursor(partition):
            self._floors[partition] = progress.floor
            self.passed(partition, progress.floor)
            self._moved[partition] = None
        return [] if progress.active else self._drop(partition)

    def lost(self, partition: int, now: int) -> list[Item]:
        """A leader is lost; gives what it had delivered and is held: it will come again."""
        self._progress.pop(partition, None)
        return self._drop(partition)

    def go(self, now: int, room: int) -> list[Item]:
        """What is given out now, causes first; credit bounds what can be held, so `room` does not matter."""
        return [one.item for one in self.release(now, self._behind())]

    def refused(self) -> list[tuple[Item, str]]:
        """What is to become dead letters instead, with why; each is given once."""
        refused = []
        while self.aside:
            one = self.aside.popleft()
            partition, offset = next(iter(missing(self._floors, one.deps).items()))
            refused.append(
                (one.item, f"a gap: it depends on event {offset} of partition {partition}, which has not come")
            )
        return refused

    def awaited(self) -> set[int]:
        """Partitions that what is held waits for."""
        return set(self._blocked.values())

    def waits(self) -> list[tuple[Item, int, int]]:
        """(event, partition, offset) of each partition's first event that waits, and one thing it waits for."""
        return [(one.item, partition, offset) for one, partition, offset in self.waiting()]

    def due(self, now: int) -> int | None:
        """When `go` may give more though nothing comes."""
        behind = self._behind()
        gaps = [self._queues[one][0].since for one in self._blocked if self._is_gap(one, behind)]
        return min(gaps) + self.patience if gaps else None

    def _behind(self) -> set[int]:
        """Where something is still to be settled; so are partitions that nobody speaks for."""
        return {one for one in self._partitions if one not in self._progress or self._progress[one].open}

    def _is_gap(self, partition: int, behind: set[int]) -> bool:  # type: ignore[override]
        if self._policy == "wait" and self._gaps.get(partition) == self._queues[partition][0].offset:
            return False
        return self._blocked[partition] not in behind or self._circular(partition)

    def _leads_to(self, partition: int) -> int | None:
        """The floor does not pass an event that is held; who waits for a floor beyond it waits for that event."""
        blocker = self._blocked.get(partition)
        queue = self._queues.get(blocker) if blocker is not None else None
        waits_for = self._queues[partition][0].deps[blocker] if blocker is not None else -1
        return blocker if queue and queue[0].offset <= waits_for else None

    def _drop(self, partition: int) -> list[Item]:
        queue = self._queues.get(partition, deque())
        gone = [held.item.item for held in queue]
        queue.clear()
        self._unblock(partition)
        return gone


WorkHold = TimedWork[Item] | CausalWork[Item]


def hold_for(settings: GroupSettings, partitions: int, now: int) -> WorkHold[Item]:
    """The hold-back of a member of a group whose order spans partitions."""
    patience = settings.lateness_ms * 1_000_000
    if settings.order == "timestamp":
        return TimedWork(patience, settings.late, partitions, now)
    return CausalWork(patience, settings.gap, partitions)
