"""Which rows of a stored batch are meant for a group, and what there is to know of them beforehand.

The filter looks at types and index bytes alone. A batch is decoded only where it may hold what few have: events that
are redriven to one group, that expire, dead letters, and keys where the group's order goes by them.
"""

from bus.batch import body_of, decode, type_view
from bus.bitmap import places
from bus.broker.deadletter import TYPE as DEAD_LETTER
from bus.broker.deadletter import made_by
from bus.keys import tag_of
from bus.rfc3339 import NANOSECONDS_MAX
from bus.store import Entry
from bus.topic import Filter

_RARE = (b"redriveto", b"expirytime")


class Meant:
    """What is meant for one group."""

    def __init__(self, group: str, pattern: str) -> None:
        self._group = group
        self._filter = Filter(pattern)

    def rows(self, entry: Entry) -> tuple[int, dict[int, int]]:
        """The rows of a stored batch, a bit each; and when some of them expire, by row."""
        types, index = type_view(body_of(entry.record))
        bits = self._filter.bits(types, index)
        expires: dict[int, int] = {}
        if bits and any(name in entry.record for name in _RARE):
            bits, expires = self._screened(entry, bits)
        if bits and DEAD_LETTER in types:
            columns = decode(body_of(entry.record))
            for row in places(bits):
                if types[index[row]] == DEAD_LETTER and made_by(columns.event(row)) == self._group:
                    bits ^= 1 << row
        return bits, expires

    def _screened(self, entry: Entry, bits: int) -> tuple[int, dict[int, int]]:
        """Without events that are redriven to another group; and when those that are left expire, by row."""
        columns = decode(body_of(entry.record))
        redriven = columns.extension("redriveto")
        expires: dict[int, int] = {}
        for row in places(bits):
            if redriven[row] not in (None, self._group):
                bits ^= 1 << row
                continue
            extras = columns.extras_of(row)
            if extras is not None and extras.expirytime is not None:
                expires[row] = min(max(1, extras.expirytime), NANOSECONDS_MAX)
        return bits, expires


def tags(entry: Entry, rows: list[int]) -> dict[int, int]:
    """Row -> tag (`bus.keys`), of rows that are meant."""
    columns = decode(body_of(entry.record))
    hashes, redriven = columns.key_hashes, columns.extension("redriveto")
    found: dict[int, int] = {}
    for row in rows:
        extras = columns.extras_of(row)
        priority = extras.priority if extras is not None else None
        found[row] = tag_of(hashes[row], priority, redriven[row] is not None)
    return found
