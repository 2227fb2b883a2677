"""The write-ahead log: two files in turn, each a row of frames; one write and one fsync per commit.

Files are written over and over and never shrink, so that a sync has no metadata to carry once they have their size: on
the disk that this was measured on (`tests/bench/steady.py`) it takes a third of the time that a fresh file's does.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from bus import limits
from bus.errors import CorruptRecord
from bus.store import frames
from bus.store.medium import Writes

_NAMES = ("wal-0", "wal-1")
_PIECES_MAX = 512
_sync = getattr(os, "fdatasync", os.fsync)


class Wal:
    """The log in folder `path`. `number` is the last frame's; `room` bytes are left in the file that is written to."""

    def __init__(self, path: Path, salt: bytes, bytes_max: int) -> None:
        self._salt = salt
        self._bytes_max = bytes_max
        self._files = [os.open(path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in _NAMES]
        self._sizes = [os.fstat(descriptor).st_size for descriptor in self._files]
        self._at = 0
        self._turn = 0
        self.number = 0

    @property
    def room(self) -> int:
        """Bytes of frames that the present file still takes."""
        return self._bytes_max - self._at

    def recover(self, applied: int) -> list[Writes]:
        """The turns beyond frame `applied`, in order. Raises CorruptRecord when one is missing or damaged."""
        contents = [os.pread(descriptor, size, 0) for descriptor, size in zip(self._files, self._sizes, strict=True)]
        walked = [list(frames.walk(content, self._salt)) for content in contents]
        self.number = applied
        turns = []
        for frame in _joined(walked):
            if frame.number > self.number:
                if frame.number != self.number + 1:
                    break
                self.number = frame.number
                turns.append(frame.writes)
        # A torn frame is the last one that was begun. Anything beyond it was durable, so what is between was, too.
        greatest = max(frames.greatest(content, self._salt) for content in contents)
        if greatest > self.number + 1:
            raise CorruptRecord(
                f"the write-ahead log is damaged: turn {self.number + 1} cannot be read and turn {greatest} is there; "
                "start with an empty store, the other replicas have what this one had"
            )
        return turns

    def append(self, pieces: list[bytes], size: int) -> None:
        """Make one frame durable; it must fit. Raises OSError: then it is not in the log."""
        descriptor, end = self._files[self._turn], self._at + size
        if end > self._sizes[self._turn]:
            grown = min(self._bytes_max, end + limits.WAL_GROWTH_BYTES)
            _write(descriptor, [*pieces, bytes(grown - end)], self._at)
            self._sizes[self._turn] = grown
        else:
            _write(descriptor, pieces, self._at)
        _sync(descriptor)
        self._at += size
        self.number += 1

    def turn(self) -> None:
        """Go on at the beginning of the other file: what it held is in the tree."""
        self._turn = 1 - self._turn
        self._at = 0

    def skip(self) -> None:
        """A frame's number passes without a frame: its writes went to the tree at once, and all before them."""
        self.number += 1
        self.turn()

    def bytes_used(self) -> int:
        """Bytes of both files."""
        return sum(self._sizes)

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in self._files:
            os.close(descriptor)


def _joined(walked: list[list[frames.Frame]]) -> Iterator[frames.Frame]:
    """The frames of all files in the order of their numbers. A file ends where the next one begins: a frame whose
    write failed may stand in the older one whole, and its number was given again."""
    files = sorted((file for file in walked if file), key=lambda file: file[0].number)
    for file, following in zip(files, [*files[1:], None], strict=False):
        yield from (frame for frame in file if following is None or frame.number < following[0].number)


def _write(descriptor: int, pieces: list[bytes], at: int) -> None:
    if len(pieces) > _PIECES_MAX:
        pieces = [b"".join(pieces)]
    size = sum(map(len, pieces))
    written = os.pwritev(descriptor, pieces, at)
    while written < size:
        rest = b"".join(pieces)[written:]
        count = os.pwrite(descriptor, rest, at + written)
        written += count
