"""Keys within a group: one event of a key out at a time, and which of the keys' heads goes first. Pure.

With `order="strict"` the open events of a key stand in line by offset, and only the head of a line is ready, held,
delayed or dead; whatever delays it delays its key alone. The next of the line becomes the head when the record that
settled the last one is *committed*: were it earlier, a leader that dies could have delivered the second event of a key
on the word of an ack that nobody remembers, and the first would come again after it.

What stands in line counts among the GROUP_IN_FLIGHT_MAX events that a group has read and not settled: one key with so
many behind a head that fails for long holds up the reading of its partition, until the head is settled or dies.

Heads are picked by priority among those that lie within GROUP_LOOKAHEAD_EVENTS of the oldest, but each
GROUP_OLDEST_TURN-th pick takes the oldest, whatever its priority: so what is low, or medium, waits but never starves.

    tag = what a group keeps of an event for this: hash of the key << 3 | redriven << 2 | priority
"""

from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from bus import limits
from bus.groupstate import park

_MEDIUM, _HIGH, _LOW = range(3)
_UNLOGGED = 1 << 62
_PRIORITIES = {"high": _HIGH, "low": _LOW}
_FIRST_TO_LAST = (_HIGH, _MEDIUM, _LOW)


def tag_of(key_hash: int, priority: str | None, redriven: bool) -> int:
    """The tag of an event."""
    return key_hash << 3 | redriven << 2 | _PRIORITIES.get(priority or "", _MEDIUM)


def key_of(tag: int) -> int:
    """The key's hash in a tag. Keys that share one share a line: stricter than need be, never less strict."""
    return tag >> 3


def is_redriven(tag: int) -> bool:
    """Whether the event was sent again after it had become a dead letter."""
    return bool(tag >> 2 & 1)


class Ready:
    """Offsets that may be delivered. One that is no longer ready is passed over when its turn comes."""

    def __init__(self) -> None:
        self._heaps: tuple[list[int], ...] = ([], [], [])
        self._picks = 0

    def push(self, offset: int, tag: int) -> None:
        """One more."""
        heappush(self._heaps[tag & 3], offset)

    def first(self, is_ready: Callable[[int], bool]) -> int | None:
        """The first of medium priority, which in a group without order they all have."""
        medium = self._heaps[_MEDIUM]
        while medium and not is_ready(medium[0]):
            heappop(medium)
        return medium[0] if medium else None

    def pick(self, most: int, is_ready: Callable[[int], bool], before: int | None = None) -> list[int]:
        """The next ones, taken out, at most `most`, below `before`; fewer: no others are ready."""
        picked: list[int] = []
        medium = self._heaps[_MEDIUM]
        while len(picked) < most:
            heap = medium
            if self._heaps[_HIGH] or self._heaps[_LOW]:
                heap = self._next(is_ready)
            if not heap or (before is not None and heap[0] >= before):
                break
            offset = heappop(heap)
            # One that was ready, was taken otherwise, and is ready again stands here twice.
            if is_ready(offset) and (not heap or heap[0] != offset):
                picked.append(offset)
        return picked

    def _next(self, is_ready: Callable[[int], bool]) -> list[int]:
        """The heap whose turn it is."""
        for heap in self._heaps:
            while heap and not is_ready(heap[0]):
                heappop(heap)
        full = [heap for heap in (self._heaps[rank] for rank in _FIRST_TO_LAST) if heap]
        if len(full) < 2:
            return full[0] if full else []
        self._picks += 1
        oldest = min(full)
        if self._picks % limits.GROUP_OLDEST_TURN == 0:
            return oldest
        return next(heap for heap in full if heap[0] <= oldest[0] + limits.GROUP_LOOKAHEAD_EVENTS)


class Parked:
    """The keys that are parked. `note(key, is_parked)` hears of each change."""

    def __init__(self, keys: Iterable[int], note: Callable[[int, bool], None]) -> None:
        self._keys = list(keys)
        self._note = note

    def __contains__(self, tag: int) -> bool:
        return bool(self._keys) and not is_redriven(tag) and key_of(tag) in self._keys

    def died(self, tag: int) -> None:
        """An event of the key is a dead letter: its further events die, but for those that are redriven."""
        self._note(key_of(tag), True)
        park(self._keys, key_of(tag), True)

    def acked(self, tag: int) -> None:
        """If it was redriven, its key goes on."""
        if is_redriven(tag) and key_of(tag) in self._keys:
            self._note(key_of(tag), False)
            park(self._keys, key_of(tag), False)

    def keys(self) -> list[int]:
        """The key that was parked first comes first."""
        return list(self._keys)


class Lines:
    """The keys' lines. An event that is settled stays the head until that is committed."""

    def __init__(self) -> None:
        self._lines: dict[int, deque[int]] = {}
        self._settled: list[int] = []
        self._logged: deque[tuple[int, list[int]]] = deque()
        self._leap = -1

    def add(self, offset: int, tag: int) -> bool:
        """An event joins its key's line; whether it is the head."""
        line = self._lines.setdefault(key_of(tag), deque())
        line.append(offset)
        return len(line) == 1

    def settled(self, offset: int, tag: int) -> None:
        """The head of this key's line is settled; that is not in the log yet."""
        self._settled.append(key_of(tag))

    def leap(self) -> None:
        """Unread events were passed, as they are gone here; a leader that still has them must not deliver them after
        later ones of their keys: nothing goes on before the leap is committed."""
        self._leap = _UNLOGGED

    @property
    def leaping(self) -> bool:
        """Whether a leap is not committed yet."""
        return self._leap >= 0

    def logged(self, index: int) -> None:
        """What was settled so far is in the log up to record `index`."""
        if self._leap == _UNLOGGED:
            self._leap = index
        if self._settled:
            self._logged.append((index, self._settled))
            self._settled = []

    def committed(self, upto: int) -> list[int]:
        """Records below `upto` are committed; gives the offsets that have become heads."""
        heads = []
        if self._leap < upto:
            self._leap = -1
        while self._logged and self._logged[0][0] < upto:
            for key in self._logged.popleft()[1]:
                line = self._lines[key]
                line.popleft()
                if line:
                    heads.append(line[0])
                else:
                    del self._lines[key]
        return heads
