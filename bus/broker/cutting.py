"""What of a stored record goes to a group's member: the record as it is, or a smaller one cut from it. Pure.

A member with a credit of twenty would be sent a record of five hundred events twenty-five times. So a stretch of rows
that is a small part of its record (GROUP_CUT_DIVISOR) is cut out and sealed as a record of its own, with `base_offset`
moved along: offsets stay what they are. Cutting costs more than sending, for each event, so what is not small is sent
whole. Rows that lie further apart than GROUP_CUT_GAP_ROWS_MAX go into records of their own.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from bus import batch, limits
from bus.bitmap import spans
from bus.store import Entry


class Piece(NamedTuple):
    """A sealed record of the `size` rows from `first` on of another, or that record, and a bit for each row meant."""

    record: bytes
    first: int
    size: int
    bits: int


class Cutter:
    """Cuts records; remembers the columns of the last GROUP_CUT_RECORDS_MAX, as members come back for the rest."""

    def __init__(self) -> None:
        self._columns: OrderedDict[tuple[int, int, int], batch.Columns] = OrderedDict()

    def cut(self, entry: Entry, bits: int) -> list[Piece]:
        """The pieces that hold these rows of a record. Raises CorruptRecord."""
        count, divisor = entry.header.count, limits.GROUP_CUT_DIVISOR
        whole = [Piece(entry.record, 0, count, bits)]
        if bits.bit_count() * divisor >= count:
            return whole
        stretches = list(_stretches(bits))
        if sum(end - first for first, end in stretches) * divisor >= count:
            return whole
        columns = self._decoded(entry)
        pieces: list[Piece] = []
        for first, end in stretches:
            base = entry.header.base_offset + first
            header = replace(entry.header, base_offset=base, count=end - first, companion=b"", given=b"", repeats=[])
            record = batch.seal(header, batch.encode(columns.events(range(first, end))))
            pieces.append(Piece(record, first, end - first, bits >> first & (1 << end - first) - 1))
        return pieces

    def _decoded(self, entry: Entry) -> batch.Columns:
        key = (entry.header.partition, entry.header.epoch, entry.header.base_offset)
        columns = self._columns.pop(key, None)
        if columns is None:
            columns = batch.decode(batch.body_of(entry.record))
        self._columns[key] = columns
        if len(self._columns) > limits.GROUP_CUT_RECORDS_MAX:
            self._columns.popitem(last=False)
        return columns


def _stretches(bits: int) -> Iterator[tuple[int, int]]:
    """(first, end) of what lies close together."""
    first = end = -1
    for at, length in spans(bits):
        if end >= 0 and at - end >= limits.GROUP_CUT_GAP_ROWS_MAX:
            yield first, end
            first = -1
        first = at if first < 0 else first
        end = at + length
    if end >= 0:
        yield first, end
