"""A broker's store: every partition's records, and named values beside them, durable together at `commit()`.

What a turn writes is *staged* in memory, where followers and readers of the same turn already find it; `commit()` makes
one transaction and one fsync of all of it, for all partitions; `rollback()` forgets it. Recent records stay in a cache
bounded in bytes; older ones are copied out of the medium in the same call, and their checksums are verified.

Headers never go back: base offsets, epochs and `appended` times only grow with the index. So an offset or an instant
is found by bisection over headers, and no second index has to be written.

`value` and `put` name small blobs: what a partition promised, its seat, its lineage, producer windows, the topology. A
*lazy* put rides along with the next commit and asks for none by itself.
"""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bus import limits
from bus.batch import Header, header_of, unseal
from bus.errors import CorruptRecord
from bus.store.disk import DiskMedium
from bus.store.medium import Medium, MemoryMedium, Platter, Writes
from bus.store.tail import Entry, Tail

__all__ = ["DiskMedium", "Entry", "Medium", "MemoryMedium", "Platter", "Store", "open_store"]

_STORE_KEY = "store"


class Mark(NamedTuple):
    """Where a partition ends: the next index, the next offset, and the last `appended`, ns (0 when empty)."""

    end: int
    end_offset: int
    appended: int


_EMPTY = Mark(0, 0, 0)


class _Log:
    """One partition: what the medium holds below `floor`, and what is staged from there on."""

    __slots__ = ("cut", "floor", "mark", "staged")

    def __init__(self, mark: Mark) -> None:
        self.floor = mark.end
        self.cut: int | None = None
        self.staged: list[Entry] = []
        self.mark = mark


class Store:
    """Records and values over a medium. Not for threads: one loop owns it.

    `fresh_id` is kept as the store's identity when the medium has none yet.
    """

    def __init__(
        self,
        medium: Medium,
        partitions: int,
        fresh_id: str,
        cache_bytes_max: int = limits.TAIL_CACHE_BYTES_MAX,
    ) -> None:
        self._medium = medium
        self._tail = Tail(cache_bytes_max)
        self._values: dict[str, bytes] = {}
        self._urgent = False
        self.bytes_written = 0
        """Bytes of records committed by this process."""
        kept = medium.value(_STORE_KEY)
        self.id = kept.decode() if kept else fresh_id
        if kept is None:
            medium.commit(Writes(values={_STORE_KEY: self.id.encode()}))
        self._logs = [_Log(self._durable_mark(partition)) for partition in range(partitions)]

    @property
    def dirty(self) -> bool:
        """Whether something waits for a commit: records, a cut, or a value that was not lazy."""
        return self._urgent

    def mark(self, partition: int) -> Mark:
        """The partition's end, staged records included."""
        return self._logs[partition].mark

    def append(self, partition: int, header: Header, record: bytes) -> int:
        """Stage a sealed record at the end of a partition; returns its index."""
        log = self._logs[partition]
        mark = log.mark
        log.staged.append(Entry(header, record))
        log.mark = Mark(mark.end + 1, header.base_offset + header.count, header.appended)
        self._urgent = True
        return mark.end

    def truncate(self, partition: int, end: int) -> None:
        """Stage the removal of every record at or above `end`."""
        log = self._logs[partition]
        if end >= log.mark.end:
            return
        if end < log.floor:
            log.staged.clear()
            log.floor = end
            log.cut = end if log.cut is None else min(log.cut, end)
            self._tail.drop(partition, end)
        else:
            del log.staged[end - log.floor :]
        log.mark = self._mark_below(partition, end)
        self._urgent = True

    def put(self, key: str, value: bytes, *, lazy: bool = False) -> None:
        """Stage a named value."""
        self._values[key] = value
        self._urgent = self._urgent or not lazy

    def value(self, key: str) -> bytes | None:
        """A named value, staged ones first; None when there is none."""
        staged = self._values.get(key)
        return self._medium.value(key) if staged is None else staged

    def commit(self) -> None:
        """Make everything staged durable. Raises StorageFull: then nothing of it is, and it stays staged."""
        writes = Writes(values=self._values)
        for partition, log in enumerate(self._logs):
            if log.cut is not None:
                writes.cuts[partition] = log.cut
            floor = log.floor
            writes.records += [(partition, floor + i, entry.record) for i, entry in enumerate(log.staged)]
        self._medium.commit(writes)
        for partition, log in enumerate(self._logs):
            log.cut = None
            for entry in log.staged:
                self._tail.keep(partition, log.floor, entry)
                self.bytes_written += len(entry.record)
                log.floor += 1
            log.staged.clear()
        self._values = {}
        self._urgent = False

    def rollback(self) -> None:
        """Forget everything staged; partitions end again where they durably end."""
        for partition, log in enumerate(self._logs):
            if log.staged or log.cut is not None:
                self._tail.drop(partition, 0)
                self._logs[partition] = _Log(self._durable_mark(partition))
        self._values = {}
        self._urgent = False

    def entry(self, partition: int, index: int) -> Entry:
        """One record with its header; raises CorruptRecord when it is not there or damaged."""
        return self.span(partition, index, index + 1, 0)[0]

    def header(self, partition: int, index: int) -> Header:
        """The header of one record."""
        log = self._logs[partition]
        if index >= log.floor:
            return self._staged(log, partition, index).header
        kept = self._tail.get(partition, index)
        return kept.header if kept is not None else self._durable_header(partition, index)

    def span(self, partition: int, first: int, upto: int, bytes_max: int) -> list[Entry]:
        """Records [first, upto) in order, cut so that all but the first fit in `bytes_max`; staged ones included."""
        log = self._logs[partition]
        taken: list[Entry] = []
        index, room = first, bytes_max
        while index < upto:
            entry = self._staged(log, partition, index) if index >= log.floor else self._tail.get(partition, index)
            if entry is None:
                cold = self._cold(partition, index, min(upto, log.floor), max(room, 0))
                if taken and len(cold[0].record) > room:
                    break
                taken += cold
                index += len(cold)
                room -= sum(len(entry.record) for entry in cold)
                continue
            if taken and len(entry.record) > room:
                break
            taken.append(entry)
            index += 1
            room -= len(entry.record)
        return taken

    def index_of(self, partition: int, offset: int) -> int:
        """The first record that holds events at or above `offset`; the end when there is none."""
        return self._bisect(partition, lambda header: header.base_offset + header.count > offset)

    def index_since(self, partition: int, instant: int) -> int:
        """The first record appended at or after `instant`, ns; the end when there is none."""
        return self._bisect(partition, lambda header: header.appended >= instant)

    def bytes_used(self) -> int:
        """Bytes the store takes of its disk."""
        return self._medium.bytes_used()

    def bytes_free(self) -> int:
        """Bytes that may still be written."""
        return self._medium.bytes_free()

    def close(self) -> None:
        """Let go of the medium; what is staged is gone."""
        self._medium.close()

    def _bisect(self, partition: int, reached: Callable[[Header], bool]) -> int:
        low, high = 0, self._logs[partition].mark.end
        while low < high:
            middle = (low + high) // 2
            if reached(self.header(partition, middle)):
                high = middle
            else:
                low = middle + 1
        return low

    def _staged(self, log: _Log, partition: int, index: int) -> Entry:
        if index >= log.mark.end:
            raise CorruptRecord(f"partition {partition}: record {index} is past the end, {log.mark.end}")
        return log.staged[index - log.floor]

    def _cold(self, partition: int, first: int, upto: int, bytes_max: int) -> list[Entry]:
        taken = []
        for record in self._medium.span(partition, first, upto, bytes_max):
            header, _ = unseal(record)
            taken.append(Entry(header, record))
        return taken

    def _durable_header(self, partition: int, index: int) -> Header:
        head = self._medium.prefix(partition, index, limits.RECORD_HEAD_BYTES)
        if len(head) == limits.RECORD_HEAD_BYTES:
            try:
                return header_of(head)
            except CorruptRecord:  # a header longer than usual: the whole record decides
                head = self._medium.record(partition, index)
        return header_of(head)

    def _durable_mark(self, partition: int) -> Mark:
        end = self._medium.end(partition)
        return _mark_after(end, self._durable_header(partition, end - 1)) if end else _EMPTY

    def _mark_below(self, partition: int, end: int) -> Mark:
        return _mark_after(end, self.header(partition, end - 1)) if end else _EMPTY


def _mark_after(end: int, header: Header) -> Mark:
    return Mark(end, header.base_offset + header.count, header.appended)


def open_store(path: Path, partitions: int, bytes_max: int = limits.STORE_BYTES_MAX) -> Store:
    """The store in folder `path`, made with a new identity when it is not there. The caller holds the folder's lock."""
    return Store(DiskMedium(path, bytes_max), partitions, str(uuid.uuid4()))
