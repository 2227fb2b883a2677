"""Exports that are more than lines: Parquet, CSV and XES, written by `python -m console.sheets`, a process of its own.

The command line loads no Arrow and no DuckDB; it hands pages on as they come, Arrow IPC streams in frames of a
four-byte length. An empty frame says that this was all: without it whoever sent them is gone, and the file is no
export. A `Sheet` takes one page after the other; `close` tells how many events are not in the file.
"""

from typing import Any, Protocol


class Sheet(Protocol):
    """What writes one format."""

    def add(self, page: Any) -> None:
        """One page, an Arrow table of the documented columns of `events`."""

    def close(self) -> int:
        """Finish the file. How many events were left out."""
