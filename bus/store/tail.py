"""The most recent committed records, in memory, bounded in bytes; the oldest go first."""

from collections import OrderedDict
from typing import NamedTuple

from bus import limits
from bus.batch import Header


class Entry(NamedTuple):
    """A sealed record and its decoded header."""

    header: Header
    record: bytes


class Tail:
    """Records by (partition, index). `bytes_max` bounds their bytes, each with TAIL_ENTRY_BYTES for what is kept beside
    it; one larger than that is not kept."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self._entries: OrderedDict[tuple[int, int], Entry] = OrderedDict()

    def get(self, partition: int, index: int) -> Entry | None:
        """The entry, if it is still here."""
        return self._entries.get((partition, index))

    def keep(self, partition: int, index: int, entry: Entry) -> None:
        """Take an entry in; the oldest ones give way."""
        size = _size(entry)
        if size > self.bytes_max:
            return
        self._entries[partition, index] = entry
        self.bytes += size
        while self.bytes > self.bytes_max:
            self.bytes -= _size(self._entries.popitem(last=False)[1])

    def drop(self, partition: int, end: int) -> None:
        """Forget a partition's entries at or above `end`."""
        gone = [key for key in self._entries if key[0] == partition and key[1] >= end]
        for key in gone:
            self.bytes -= _size(self._entries.pop(key))


def _size(entry: Entry) -> int:
    return len(entry.record) + limits.TAIL_ENTRY_BYTES
