"""Which event a projection is at, for whoever finds its process dead or silent: eight bytes of a file that both map.

The worker writes the position before each event and 0 after the last one, which costs a store in memory; the plane
reads it when the worker is gone, however that came about.
"""

import mmap
import sys
from pathlib import Path

BYTES = 8
NOWHERE = 0
ROWS = 2**64 - 1
"""It is giving out its rows."""


class Place:
    """The worker's end."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), BYTES)).cast("Q")

    def at(self, position: int) -> None:
        """Here it is."""
        self._numbers[0] = position


def cleared(path: Path) -> None:
    """Make the file, or begin it anew."""
    path.write_bytes(bytes(BYTES))


def seen(path: Path) -> int:
    """What the worker wrote last."""
    return int.from_bytes(path.read_bytes()[:BYTES], sys.byteorder)
