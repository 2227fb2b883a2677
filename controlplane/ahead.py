"""The journal's write-ahead log: a turn is durable here first, so that its effects need not wait for DuckDB.

A transaction of DuckDB costs many times what a write and a sync do, however little is in it. So a small turn is written
here, its intents are carried out, and the journal takes it, and what else has gathered, in one transaction beside the
next turns (`landing`). What the journal lacks when a plane starts comes from here, before anything else.

    page 0: "SBT1" | 16 bytes salt     page 1...: frames of the bus's own log (`bus.store.frames`), a turn in each

The file has its size from the beginning, so that a sync has no metadata to carry. Once the journal has all that is in
it, the next frame is the first again. A frame says the digest that its steps follow, so what an older turn left behind
it, or another journal, is no turn of this one.
"""

import errno
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from bus.errors import CorruptRecord
from bus.store import frames
from bus.store.medium import Writes
from controlplane import aheadturns, limits
from controlplane.errors import CorruptJournal, DiskFull, PlaneError
from controlplane.journal import Journal, Kept

log = logging.getLogger("signalbox.journal")

NAME = "ahead.log"
"""In a journal's folder."""
_MAGIC = b"SBT1"
_TURN = "turn"
_sync = getattr(os, "fdatasync", os.fsync)


class Ahead:
    """The log of the journal in `folder`; one thread at a time writes.

    `pending`: what it holds and the journal lacks, where the disk is full; else the journal has it all.
    """

    def __init__(self, folder: Path, journal: Journal) -> None:
        """Have the journal take what it lacks. Raises PlaneError: the file cannot be read, or makes no sense."""
        self._path = folder / NAME
        self._file = -1
        self._number = 0
        self._at = frames.PAGE_BYTES
        self._salt = secrets.token_bytes(frames.SALT_BYTES)
        self.pending: list[Kept] = []
        try:
            with self._path.open("rb") as file:
                content = file.read(limits.AHEAD_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise PlaneError(f"{self._path} cannot be read: {error.strerror}. See whose file it is") from error
        found = self._found(content, journal)
        if not found:
            return
        log.info("%d steps come from %s: the plane before ended amid its turns", len(found), self._path.name)
        try:
            journal.commit(found)
        except DiskFull as error:
            log.error("%s", error)
            self.pending = found

    def write(self, before: bytes, turn: Sequence[Kept], from_start: bool) -> bool:
        """Make a turn durable; False: there is no room for it, so that the journal has to take it first.

        `before`: the digest that it follows. `from_start`: the journal has all that was written before. Raises OSError:
        then it may be in the log or not.
        """
        if self._file < 0:
            if not from_start:
                # What is pending is in the file still.
                return False
            self._begin()
        payload = aheadturns.encode(before, turn)
        pieces, size = frames.encode(Writes(values={_TURN: payload}), self._number + 1, self._salt)
        at = frames.PAGE_BYTES if from_start else self._at
        if at + size > limits.AHEAD_BYTES:
            return False
        data = b"".join(pieces)
        if os.pwrite(self._file, data, at) != len(data):
            raise OSError(errno.ENOSPC, f"{self._path} took a part of a turn only")
        _sync(self._file)
        self._number += 1
        self._at = at + size
        return True

    def close(self) -> None:
        """Let go of the file; more than once is fine."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _found(self, content: bytes, journal: Journal) -> list[Kept]:
        """The steps that follow the journal's last one."""
        salt = content[len(_MAGIC) : len(_MAGIC) + frames.SALT_BYTES]
        if not content.startswith(_MAGIC) or len(salt) < frames.SALT_BYTES:
            return []
        found: list[Kept] = []
        number, digest = journal.step, journal.digest
        try:
            for frame in frames.walk(content[frames.PAGE_BYTES :], salt):
                before, kept = aheadturns.decode(frame.writes.values.get(_TURN, b""))
                if kept and kept[-1].step.number <= number:
                    continue
                if not kept or (before, kept[0].step.number) != (digest, number + 1):
                    log.warning("%s has turns that do not follow on step %d: they are left out", self._path, number)
                    break
                found += kept
                number, digest = kept[-1].step.number, kept[-1].step.digest
        except (CorruptRecord, CorruptJournal) as error:
            raise CorruptJournal(
                f"{self._path}: {error}. Start with the version that wrote it, or move the file away: what the journal "
                "lacks is then lost, while its effects may have been carried out"
            ) from error
        return found

    def _begin(self) -> None:
        """Empty, with a salt of its own: what is left of before is no frame any more."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            head = (_MAGIC + self._salt).ljust(frames.PAGE_BYTES, b"\0")
            if os.fstat(descriptor).st_size < limits.AHEAD_BYTES:
                head = head.ljust(limits.AHEAD_BYTES, b"\0")
            if os.pwrite(descriptor, head, 0) != len(head):
                raise OSError(errno.ENOSPC, f"there is no room for {self._path}")
            os.fsync(descriptor)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(descriptor)
            raise
        self._file = descriptor
