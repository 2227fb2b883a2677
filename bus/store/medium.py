"""The port behind the store: where records and named values become durable, all at once or not at all.

Two media pass one conformance suite: LMDB on disk (`bus.store.disk`), and the twin in memory below, which keeps what
was committed on a `Platter` so that a test may lose power and open it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bus.errors import CorruptRecord, StorageFull


@dataclass(slots=True)
class Writes:
    """One transaction. Cuts and trims come first; then records by (partition, index), values.

    A cut of a partition: records from the index on go. A trim: records below the index go.
    """

    cuts: dict[int, int] = field(default_factory=dict)
    trims: dict[int, int] = field(default_factory=dict)
    records: list[tuple[int, int, bytes]] = field(default_factory=list)
    values: dict[str, bytes] = field(default_factory=dict)


class Medium(Protocol):
    """What the store asks of a disk. No view of the medium's memory leaves a call: what is returned is a copy."""

    def commit(self, writes: Writes) -> None:
        """Make all of it durable, or raise StorageFull and change nothing."""

    def record(self, partition: int, index: int) -> bytes:
        """One record; raises CorruptRecord when the index is not there."""

    def prefix(self, partition: int, index: int, size: int) -> bytes:
        """At most the first `size` bytes of one record; raises CorruptRecord when the index is not there."""

    def span(self, partition: int, first: int, upto: int, bytes_max: int) -> list[bytes]:
        """Records [first, upto), cut so that all but the first fit in `bytes_max`."""

    def sizes(self, partition: int, first: int, upto: int) -> list[int]:
        """The bytes of each record in [first, upto); raises CorruptRecord when one is not there."""

    def end(self, partition: int) -> int:
        """One more than the greatest index of a partition; 0 when it is empty."""

    def value(self, key: str) -> bytes | None:
        """A named value."""

    def bytes_used(self) -> int:
        """Bytes the medium takes of its disk."""

    def bytes_free(self) -> int:
        """Bytes that may still be written."""

    def close(self) -> None:
        """Let go of it. What was not committed is gone."""


@dataclass(slots=True)
class Platter:
    """What outlives a MemoryMedium: the committed records and values."""

    bytes_max: int = 1 << 40
    records: dict[int, dict[int, bytes]] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)

    def size(self) -> int:
        """Bytes of all records and values."""
        held = sum(len(record) for log in self.records.values() for record in log.values())
        return held + sum(map(len, self.values.values()))


class MemoryMedium:
    """The twin: same promises, no disk. Not for production, as nothing outlives the process."""

    def __init__(self, platter: Platter) -> None:
        self.platter = platter
        self._size = platter.size()
        """Never below what is there: values that are written over are found out when it seems full."""

    def commit(self, writes: Writes) -> None:
        """See `Medium`."""
        wanted = sum(len(record) for _, _, record in writes.records) + sum(map(len, writes.values.values()))
        self._size += wanted
        if self._size > self.platter.bytes_max:
            self._size = self.platter.size() + wanted
        if self._size > self.platter.bytes_max:
            self._size -= wanted
            raise StorageFull(f"the store in memory is full at {self.platter.bytes_max} bytes; open a larger one")
        for partition, end in writes.cuts.items():
            log = self.platter.records.get(partition, {})
            for index in [index for index in log if index >= end]:
                del log[index]
        for partition, first in writes.trims.items():
            log = self.platter.records.get(partition, {})
            for index in [index for index in log if index < first]:
                del log[index]
        for partition, index, record in writes.records:
            self.platter.records.setdefault(partition, {})[index] = record
        self.platter.values.update(writes.values)

    def record(self, partition: int, index: int) -> bytes:
        """See `Medium`."""
        found = self.platter.records.get(partition, {}).get(index)
        if found is None:
            raise missing(partition, index)
        return found

    def prefix(self, partition: int, index: int, size: int) -> bytes:
        """See `Medium`."""
        return self.record(partition, index)[:size]

    def span(self, partition: int, first: int, upto: int, bytes_max: int) -> list[bytes]:
        """See `Medium`."""
        return bounded((self.record(partition, index) for index in range(first, upto)), bytes_max)

    def sizes(self, partition: int, first: int, upto: int) -> list[int]:
        """See `Medium`."""
        return [len(self.record(partition, index)) for index in range(first, upto)]

    def end(self, partition: int) -> int:
        """See `Medium`."""
        return max(self.platter.records.get(partition, {}), default=-1) + 1

    def value(self, key: str) -> bytes | None:
        """See `Medium`."""
        return self.platter.values.get(key)

    def bytes_used(self) -> int:
        """See `Medium`."""
        return self.platter.size()

    def bytes_free(self) -> int:
        """See `Medium`."""
        return max(0, self.platter.bytes_max - self.platter.size())

    def close(self) -> None:
        """See `Medium`."""


def missing(partition: int, index: int) -> CorruptRecord:
    """The error for a record that should be there and is not."""
    return CorruptRecord(f"partition {partition}: record {index} is missing from the store")


def bounded(records: Iterable[bytes], bytes_max: int) -> list[bytes]:
    """The first records that fit in `bytes_max`, and one at least."""
    taken: list[bytes] = []
    room = bytes_max
    for record in records:
        if taken and len(record) > room:
            break
        taken.append(record)
        room -= len(record)
    return taken
