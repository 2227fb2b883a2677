"""The names and order of a journal's segment files: `journal/000001.duckdb`, `000002.duckdb`, ...

A journal is the sequence of its segments. Only the newest is open for writing; all that a segment needs to know of
its elders stands in its `birth` row (see `journal.py`), so that any suffix of the sequence can be opened alone.
A segment that holds `SEGMENT_ROWS_MAX` rows is due to be followed by a new one.
"""

import re
from pathlib import Path

from controlplane import limits

_NAME = re.compile(r"(\d{6})\.duckdb")


def path_of(folder: Path, number: int) -> Path:
    """The file of segment `number`, counted from 1."""
    return folder / f"{number:06d}.duckdb"


def number_of(path: Path) -> int:
    """The number in a segment's name; 0 for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def listed(folder: Path) -> list[Path]:
    """All segments, oldest first."""
    return sorted((path for path in folder.glob("*.duckdb") if number_of(path)), key=number_of)


def newest(folder: Path) -> Path:
    """The segment to open: the last one, or the first of a new journal."""
    found = listed(folder)
    return found[-1] if found else path_of(folder, 1)


def is_due(rows: int) -> bool:
    """Whether a segment of so many rows should be sealed and followed by the next."""
    return rows >= limits.SEGMENT_ROWS_MAX
