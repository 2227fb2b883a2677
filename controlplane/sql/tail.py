"""What the worker does not have yet of the open segment, read on a cursor of its own, a bounded piece at a time."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from controlplane import limits
from controlplane.sql.columns import FED
from controlplane.sql.frames import Feed

_SIZES = {"events": "size", "entries": "octet_length(fact)"}


def tail(db: Any, table: str, after: int, up_to: int) -> Iterator[Feed]:
    """The rows of `events` or `entries` with a position in (`after`, `up_to`], in order."""
    return (Feed(table, rows) for rows, _ in pieces(db, table, after, up_to) if rows)


def pieces(
    db: Any, table: str, after: int, up_to: int, where: str = "true", source: str = ""
) -> Iterator[tuple[bytes, int]]:
    """The same by pieces, which may be empty: rows as an Arrow IPC stream, and up to which position these are all.

    A stretch of positions at a time, so that the rest is not even looked at; where there are none it grows. `where` is
    a condition of its own, `source` the alias of the segment that has the table, with a dot.
    """
    columns = ", ".join(f'"{name}"' for name in FED[table])
    reach = limits.SQL_FEED_ROWS_MAX
    while after < up_to:
        bound = min(up_to, after + reach)
        within = f"from {source}{table} where position > {after} and position <= {{}} and {where} order by position"
        sizes = db.execute(f"select position, {_SIZES[table]} {within.format(bound)}").fetchall()
        if not sizes:
            after, reach = bound, 4 * reach
            yield b"", bound
            continue
        last = _fitting(sizes)
        rows = db.sql(f"select {columns} {within.format(last)}").to_arrow_table()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        after, reach = (bound if last == sizes[-1][0] else last), limits.SQL_FEED_ROWS_MAX
        yield sink.getvalue().to_pybytes(), after


def _fitting(sizes: list[tuple[int, int]]) -> int:
    """The last position that still fits into one piece."""
    total, last = 0, sizes[0][0]
    for position, size in sizes[: limits.SQL_FEED_ROWS_MAX]:
        total += size
        if total > limits.SQL_FEED_BYTES_MAX:
            break
        last = position
    return last
