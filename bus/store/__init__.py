"""A broker's store: every partition's records, and named values beside them, durable together at `commit()`.

What a turn writes is *staged* in memory, where followers and readers of the same turn already find it; `commit()` makes
one transaction and one fsync of all of it, for all partitions; `rollback()` forgets it. Recent records stay in a cache
bounded in bytes; older ones are copied out of the medium in the same call, and their checksums are verified.

A log begins at `first`: records below it were trimmed. What it begins with, and how many bytes it holds, stands in an
*extent* that is written with every trim and every EXTENT_RECORDS_MAX records, so that opening counts no more than that.

Headers never go back: base offsets, epochs and `appended` times only grow with the index. So an offset or an instant
is found by bisection over headers, and no second index has to be written.

`value` and `put` name small blobs: what a partition promised, its seat, its lineage, producer windows, the topology. A
*lazy* put rides along with the next commit and asks for none by itself.
"""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

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


class Extent(msgspec.Struct, array_like=True):
    """Where a partition begins, and that its records from there to `counted` are `size` bytes.

    `first` is the index of the first record, `first_offset` its first event's; `appended` is of the record before it.
    """

    first: int = 0
    first_offset: int = 0
    appended: int = 0
    counted: int = 0
    size: int = 0


class _Log:
    """One partition: what the medium holds below `floor`, and what is staged from there on.

    `size` is of everything from `extent.first` on, staged records included; the extent's own counts lag behind.
    """

    __slots__ = ("base", "cut", "extent", "floor", "mark", "size", "staged")

    def __init__(self, mark: Mark, extent: Extent, size: int) -> None:
        self.floor = mark.end
        self.cut: int | None = None
        self.base: int | None = None
        self.staged: list[Entry] = []
        self.mark = mark
        self.extent = extent
        self.size = size


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
        self._changed: set[int] = set()  # partitions of which something is staged
        self.bytes_written = 0
        """Bytes of records committed by this process."""
        kept = medium.value(_STORE_KEY)
        self.id = kept.decode() if kept else fresh_id
        if kept is None:
            medium.commit(Writes(values={_STORE_KEY: self.id.encode()}))
        self._logs = [self._durable(partition) for partition in range(partitions)]

    @property
    def partitions(self) -> int:
        """How many logs it holds."""
        return len(self._logs)

    @property
    def dirty(self) -> bool:
        """Whether something waits for a commit: records, a cut, or a value that was not lazy."""
        return self._urgent

    def mark(self, partition: int) -> Mark:
        """The partition's end, staged records included."""
        return self._logs[partition].mark

    def extent(self, partition: int) -> Extent:
        """Where the partition begins, staged trims included; `counted` and `size` may be behind."""
        return self._logs[partition].extent

    def first(self, partition: int) -> int:
        """The index of the partition's first record, staged trims included; its end when it holds none."""
        return self._logs[partition].extent.first

    def first_offset(self, partition: int) -> int:
        """Events below it were trimmed."""
        return self._logs[partition].extent.first_offset

    def size(self, partition: int) -> int:
        """Bytes of the partition's records."""
        return self._logs[partition].size

    def append(self, partition: int, header: Header, record: bytes) -> int:
        """Stage a sealed record at the end of a partition; returns its index."""
        log = self._logs[partition]
        mark = log.mark
        log.staged.append(Entry(header, record))
        log.size += len(record)
        log.mark = Mark(mark.end + 1, header.base_offset + header.count, header.appended)
        self._changed.add(partition)
        self._urgent = True
        return mark.end

    def truncate(self, partition: int, end: int) -> None:
        """Stage the removal of every record at or above `end`."""
        log = self._logs[partition]
        if end >= log.mark.end:
            return
        end = max(end, log.extent.first)
        log.size -= sum(self.sizes(partition, end, log.mark.end))
        if end < log.floor:
            log.staged.clear()
            log.floor = end
            log.cut = end if log.cut is None else min(log.cut, end)
            self._tail.drop(partition, end)
        else:
            del log.staged[end - log.floor :]
        log.mark = self._mark_below(partition, end)
        if end < log.extent.counted:
            self._keep_extent(partition, log)
        self._changed.add(partition)
        self._urgent = True

    def trim(self, partition: int, first: int) -> None:
        """Stage the removal of every record below `first`, which must be durable already."""
        log = self._logs[partition]
        first = min(first, log.floor)
        if first <= log.extent.first:
            return
        last = self.header(partition, first - 1)
        log.size -= sum(self.sizes(partition, log.extent.first, first))
        log.extent = Extent(first, last.base_offset + last.count, last.appended)
        log.base = first
        self._keep_extent(partition, log)
        self._changed.add(partition)
        self._urgent = True

    def begin(self, partition: int, first: int, first_offset: int, appended: int) -> None:
        """Stage an empty log that begins at `first`, beyond the end, instead of what is there.

        `appended` is of the record before.
        """
        log = self._logs[partition]
        if first < log.mark.end:
            raise ValueError(f"partition {partition} holds {log.mark.end} records, and is to begin at {first}")
        log.staged.clear()
        self._tail.drop(partition, 0)
        log.floor = log.base = first  # a cut of this turn stays: the trim alone would leave what lies beyond `first`
        log.mark = Mark(first, first_offset, appended)
        log.extent = Extent(first, first_offset, appended)
        log.size = 0
        self._keep_extent(partition, log)
        self._changed.add(partition)
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
        changed = [(partition, self._logs[partition]) for partition in sorted(self._changed)]
        for partition, log in changed:
            if log.cut is not None:
                writes.cuts[partition] = log.cut
            if log.base is not None:
                writes.trims[partition] = log.base
            if log.mark.end - log.extent.counted >= limits.EXTENT_RECORDS_MAX:
                self._keep_extent(partition, log)
            floor = log.floor
            writes.records += [(partition, floor + i, entry.record) for i, entry in enumerate(log.staged)]
        self._medium.commit(writes)
        for partition, log in changed:
            log.cut = log.base = None
            for entry in log.staged:
                self._tail.keep(partition, log.floor, entry)
                self.bytes_written += len(entry.record)
                log.floor += 1
            log.staged.clear()
        self._changed.clear()
        self._values = {}
        self._urgent = False

    def rollback(self) -> None:
        """Forget everything staged; partitions begin and end again where they durably do."""
        stale = sorted(self._changed)
        self._changed.clear()
        self._values = {}
        self._urgent = False
        for partition in stale:
            self._tail.drop(partition, 0)
            self._logs[partition] = self._durable(partition)

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
        if first < log.extent.first:
            raise CorruptRecord(f"partition {partition}: record {first} was trimmed, the first is {log.extent.first}")
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

    def sizes(self, partition: int, first: int, upto: int) -> list[int]:
        """The bytes of each record in [first, upto); staged ones included."""
        log = self._logs[partition]
        durable = self._medium.sizes(partition, first, min(upto, log.floor)) if first < log.floor else []
        return durable + [len(entry.record) for entry in log.staged[max(first - log.floor, 0) : upto - log.floor]]

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
        low, high = self._logs[partition].extent.first, self._logs[partition].mark.end
        # What is looked for mostly lies near the end, where headers are at hand: go back from there in growing steps.
        step = 1
        while high - step > low:
            if not reached(self.header(partition, high - step)):
                low = high - step + 1
                break
            high -= step
            step *= 2
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

    def _durable(self, partition: int) -> _Log:
        blob = self._medium.value(f"extent/{partition}")
        try:
            extent = msgspec.msgpack.decode(blob, type=Extent) if blob is not None else Extent()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptRecord(
                f"partition {partition}: where it begins cannot be read ({error}); start with an empty store"
            ) from error
        end = max(self._medium.end(partition), extent.first)
        empty = end == extent.first
        mark = _mark_at(extent) if empty else _mark_after(end, self._durable_header(partition, end - 1))
        counted = max(extent.counted, extent.first)
        return _Log(mark, extent, extent.size + sum(self._medium.sizes(partition, counted, end)))

    def _keep_extent(self, partition: int, log: _Log) -> None:
        log.extent.counted, log.extent.size = log.mark.end, log.size
        self.put(f"extent/{partition}", msgspec.msgpack.encode(log.extent), lazy=True)

    def _mark_below(self, partition: int, end: int) -> Mark:
        extent = self._logs[partition].extent
        return _mark_after(end, self.header(partition, end - 1)) if end > extent.first else _mark_at(extent)


def _mark_at(extent: Extent) -> Mark:
    return Mark(extent.first, extent.first_offset, extent.appended)


def _mark_after(end: int, header: Header) -> Mark:
    return Mark(end, header.base_offset + header.count, header.appended)


def open_store(path: Path, partitions: int, bytes_max: int = limits.STORE_BYTES_MAX) -> Store:
    """The store in folder `path`, made with a new identity when it is not there. The caller holds the folder's lock."""
    return Store(DiskMedium(path, bytes_max), partitions, str(uuid.uuid4()))
