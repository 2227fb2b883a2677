"""What of a stored record goes to a group's member: the record as it is, or a smaller one cut from it. Pure.

A member with a credit of twenty would be sent a record of five hundred events twenty-five times. So a stretch of rows
that is less than half of its record is cut out and sealed as a record of its own, with `base_offset` moved along:
offsets stay what they are. Rows that lie further apart than GROUP_CUT_GAP_ROWS_MAX go into records of their own.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from bus import batch, limits
from bus.store import Entry

Piece = tuple[bytes, Sequence[int]]
"""A sealed record, and the rows of it that are meant."""


class Cutter:
    """Cuts records; remembers the columns of the last GROUP_CUT_RECORDS_MAX, as members come back for the rest."""

    def __init__(self) -> None:
        self._columns: OrderedDict[tuple[int, int, int], batch.Columns] = OrderedDict()

    def cut(self, entry: Entry, rows: Sequence[int]) -> list[Piece]:
        """The pieces that hold `rows` (ascending) of a record. Raises CorruptRecord."""
        stretches = list(_stretches(rows))
        if sum(last - first + 1 for first, last, _ in stretches) * 2 > entry.header.count:
            return [(entry.record, rows)]
        columns = self._decoded(entry)
        pieces: list[Piece] = []
        for first, last, meant in stretches:
            header = replace(
                entry.header,
                base_offset=entry.header.base_offset + first,
                count=last - first + 1,
                companion=b"",
                given=b"",
                repeats=[],
            )
            body = batch.encode(columns.events(range(first, last + 1)))
            pieces.append((batch.seal(header, body), [row - first for row in meant]))
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


def _stretches(rows: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """(first, last, rows) of what lies close together."""
    meant: list[int] = []
    for row in rows:
        if meant and row - meant[-1] > limits.GROUP_CUT_GAP_ROWS_MAX:
            yield meant[0], meant[-1], meant
            meant = []
        meant.append(row)
    if meant:
        yield meant[0], meant[-1], meant
