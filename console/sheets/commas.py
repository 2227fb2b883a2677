"""CSV: the documented columns of `events` under a header; instants as RFC 3339, any bytes as Base64."""

import csv
import io
from base64 import b64encode
from typing import IO, Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from controlplane.questions import SQL_SCHEMA

COLUMNS = [column.name for table in SQL_SCHEMA if table.name == "events" for column in table.columns]


class CsvSheet:
    """See `Sheet`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
        # All texts are quoted: a bare carriage return in one is taken for a line's end by some readers.
        self._writer = csv.writer(self._text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        self._writer.writerow(COLUMNS)

    def add(self, page: Any) -> None:
        """A line per event."""
        self._writer.writerows(zip(*(_texts(page.column(name)) for name in COLUMNS), strict=True))

    def close(self) -> int:
        """Nothing is left to write."""
        self._text.flush()
        self._text.detach()
        return 0


def _texts(column: Any) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return [None if text is None else text.replace(" ", "T") for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_binary(column.type):
        return [None if blob is None else b64encode(blob).decode() for blob in column.to_pylist()]
    return list(column.to_pylist())
