"""The outline of a replicated log: which epoch wrote which stretch, where it ends, how much of it is committed.

A replica decides by outlines alone; the bytes stay in the store. Two logs that hold a record of the same epoch at the
same index are equal up to it: one epoch has one leader, that leader writes an index once, and a follower stores a
record only after the one before it matched. So a log is described by where its epochs start (its *lineage*), and two
logs part at the end of the greatest epoch that both hold, or inside it where the shorter one ends.

Retention lets go of records from the front: what is left begins at `first`. The lineage is kept whole, at a pair of
numbers per epoch, so that logs are still compared by it however much of either is gone.

Indexes count records, offsets count events. Uncommitted records keep their offsets here, because a truncation or a
commit may stop at any of them.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

import msgspec

from bus.errors import CorruptRecord
from bus.wire import Seat


class Restored(msgspec.Struct, frozen=True):
    """What a store holds of one replica when its broker starts.

    `promised` is the greatest epoch that was promised or followed. `lineage` has `(epoch, index of its first record)`
    for every epoch in the log, ascending. `tail` has the event count of each record from `high` on, up to `end` (0 for
    records that carry no events); records below `first` were trimmed. A new replica is `Restored()`.
    """

    promised: int = 0
    seat: Seat | None = None
    lineage: list[tuple[int, int]] = []
    end: int = 0
    end_offset: int = 0
    high: int = 0
    high_offset: int = 0
    tail: list[int] = []
    first: int = 0


class Outline:
    """A log's lineage, end and high watermark. `end` and `high` are exclusive indexes."""

    def __init__(self, restored: Restored) -> None:
        """Raises `CorruptRecord` if the parts contradict each other."""
        self.lineage = list(restored.lineage)
        self.first = restored.first
        self.high = restored.high
        self.high_offset = restored.high_offset
        self._ends: deque[int] = deque()  # the end offset of each uncommitted record
        self.end_offset = restored.high_offset
        for count in restored.tail:
            self.end_offset += count
            self._ends.append(self.end_offset)
        if self.end != restored.end or self.end_offset != restored.end_offset:
            raise CorruptRecord(
                f"the log ends at record {restored.end}, event {restored.end_offset}, but what lies above its high "
                f"watermark ends at record {self.end}, event {self.end_offset}; restore this store from another replica"
            )
        if not 0 <= self.first <= self.high:
            raise CorruptRecord(f"the log begins at record {self.first}, beyond its high watermark, {self.high}")
        starts = [start for _, start in self.lineage]
        epochs = [epoch for epoch, _ in self.lineage]
        whole = (not starts and not self.end) or (bool(starts) and starts[0] == 0 and starts[-1] < self.end)
        if not whole or sorted(set(starts)) != starts or sorted(set(epochs)) != epochs:
            raise CorruptRecord(f"epochs {self.lineage} do not describe a log of {self.end} records")

    @property
    def end(self) -> int:
        """Index after the last record."""
        return self.high + len(self._ends)

    @property
    def last_epoch(self) -> int:
        """Epoch of the last record; 0 for an empty log."""
        return self.lineage[-1][0] if self.lineage else 0

    def epoch_at(self, index: int) -> int:
        """Epoch of the record at `index`; 0 for an index before the first record (-1)."""
        at = bisect_right(self.lineage, index, key=lambda entry: entry[1])
        return self.lineage[at - 1][0] if at else 0

    def end_of(self, epoch: int) -> tuple[int, int]:
        """The greatest epoch <= `epoch` held here and the index after its last record; (0, 0) if there is none."""
        at = bisect_right(self.lineage, epoch, key=lambda entry: entry[0])
        if not at:
            return 0, 0
        return self.lineage[at - 1][0], self.lineage[at][1] if at < len(self.lineage) else self.end

    def lineage_below(self, index: int) -> list[tuple[int, int]]:
        """Where each epoch starts that has records below `index`."""
        return [(epoch, start) for epoch, start in self.lineage if start < index]

    def append(self, epoch: int, count: int) -> None:
        """One more record of `count` events, written in `epoch`."""
        if epoch != self.last_epoch:
            self.lineage.append((epoch, self.end))
        self.end_offset += count
        self._ends.append(self.end_offset)

    def follows(self, heads: Iterable[tuple[int, int, int]], epoch_max: int) -> bool:
        """Whether records of these `(epoch, base offset, count)` can stand after the last one."""
        last, offset = self.last_epoch, self.end_offset
        for epoch, base_offset, count in heads:
            if not max(last, 1) <= epoch <= epoch_max or base_offset != offset or count < 0:
                return False
            last, offset = epoch, offset + count
        return True

    def truncate(self, end: int) -> None:
        """Drop the records from `end` on. Raises `CorruptRecord` below the high watermark: those are committed."""
        if end < self.high:
            raise CorruptRecord(f"record {end} is committed: the high watermark stands at {self.high}")
        while self.end > end:
            self._ends.pop()
        self.end_offset = self._ends[-1] if self._ends else self.high_offset
        while self.lineage and self.lineage[-1][1] >= end:
            self.lineage.pop()

    def commit(self, high: int) -> bool:
        """Raise the high watermark to `high`, at most the end; tells whether it moved."""
        moved = False
        while self.high < high and self._ends:
            self.high_offset = self._ends.popleft()
            self.high += 1
            moved = True
        return moved
