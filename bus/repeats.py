"""What a batch repeats: which of its rows stand in the log already, and where. Pure.

A publisher says by a bitmap which of a batch's ids it gave itself (`wire.Section.given`). The leader appends the rows
that are new; the others it names in the record's header, and in its answer, as runs: rows that follow one another and
repeat events that do, too.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bus.errors import ProtocolError


class Repeated(msgspec.Struct, array_like=True, frozen=True):
    """Rows [row, row + count) of a batch as it was sent repeat the events from `offset` on, `appended` then (ns).

    In a record's header `appended` 0 means that the batch repeats itself: `offset` counts from its own first event.
    """

    row: int
    count: int
    offset: int
    appended: int


def runs(places: Iterable[tuple[int, int, int]]) -> list[Repeated]:
    """(row, offset, appended) of repeated rows, ascending by row, as runs."""
    found: list[Repeated] = []
    first, count, start, stamp = 0, 0, 0, 0
    for row, offset, appended in places:
        if count and row == first + count and offset == start + count and appended == stamp:
            count += 1
            continue
        if count:
            found.append(Repeated(first, count, start, stamp))
        first, count, start, stamp = row, 1, offset, appended
    if count:
        found.append(Repeated(first, count, start, stamp))
    return found


def resolved(repeats: Sequence[Repeated], base_offset: int, appended: int) -> list[Repeated]:
    """A header's runs, with those that repeat the record itself as places in the log."""
    return [
        run if run.appended else Repeated(run.row, run.count, base_offset + run.offset, appended) for run in repeats
    ]


def check_repeats(repeats: Sequence[Repeated], count: int, given: bytes) -> None:
    """Raise ProtocolError unless an answer's runs fit a batch of `count` events with the ids in bitmap `given`."""
    bits = int.from_bytes(given, "little")
    upto = 0
    for run in repeats:
        stop = run.row + run.count
        if run.row < upto or run.count < 1 or stop > count or run.offset < 0 or run.appended <= 0:
            raise ProtocolError(f"an answer says that rows {run.row} to {stop} of {count} stand at {run.offset}")
        mask = (1 << run.count) - 1
        if bits >> run.row & mask != mask:
            raise ProtocolError(f"an answer says that rows {run.row} to {stop} are duplicates; their ids are new")
        upto = stop


def repeated_rows(repeats: Iterable[Repeated]) -> Iterator[tuple[int, int, int]]:
    """(row, offset, appended) of each repeated row."""
    for run in repeats:
        for at in range(run.count):
            yield run.row + at, run.offset + at, run.appended
