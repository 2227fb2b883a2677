"""Parquet: the documented columns of `events`, zstd, a row group of many pages; read it with anything."""

from typing import IO, Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
from pyarrow import parquet  # type: ignore[import-untyped,unused-ignore]

from console.limits import PARQUET_GROUP_ROWS
from controlplane.questions import SQL_SCHEMA

_ARROW = {
    "UBIGINT": pa.uint64(),
    "BIGINT": pa.int64(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "JSON": pa.string(),
    "BLOB": pa.binary(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}
_EVENTS = next(table for table in SQL_SCHEMA if table.name == "events")
SCHEMA = pa.schema(
    [
        pa.field(column.name, _ARROW[column.type], metadata={"about": column.about} if column.about else None)
        for column in _EVENTS.columns
    ]
)
"""Of the file, whatever is in it."""


class ParquetSheet:
    """See `Sheet`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._writer = parquet.ParquetWriter(out, SCHEMA, compression="zstd")
        self._pages: list[Any] = []
        self._rows = 0

    def add(self, page: Any) -> None:
        """Pages are gathered into row groups."""
        self._pages.append(page.cast(SCHEMA))
        self._rows += page.num_rows
        if self._rows >= PARQUET_GROUP_ROWS:
            self._write()

    def close(self) -> int:
        """The last row group, and the footer."""
        if self._pages:
            self._write()
        self._writer.close()
        return 0

    def _write(self) -> None:
        self._writer.write_table(pa.concat_tables(self._pages), row_group_size=self._rows)
        self._pages, self._rows = [], 0
