"""The folds' state, written down from time to time, so that neither a restart nor a look back begins at the beginning.

A snapshot is a file beside the segments, `snapshots/<position>-<folds>.snapshot` (its form: `statefile`), and not a row
of the journal: it is megabytes at once, which a commit would wait for and which its write-ahead log would be full of;
and it can be lost, as it is made of the journal. It is written to a temporary file, fsynced and renamed, after the
step that it is of was committed, so it is there whole or not at all and never ahead of the journal.

What it holds is gathered between two turns and costs them what copying the references costs; it is encoded and written
by a thread of its own. The first is whole; the next hold the keys that changed since the one before, until there are
`SNAPSHOT_CHAIN_MAX` of them or they are together larger than the whole one, so that a chain is read within twice the
time of a whole one.

One that is damaged, or of another journal (its step has another digest there), is passed over and said; then an older
one is taken, and more of the journal is read again. Those of other versions of the folds stay until all is folded
again: of such a one `partial` makes a heart that lacks the folds that have changed, for a plane to begin with. One
chain is of one set of versions, whatever stands between its links.
"""

import contextlib
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from controlplane import limits, statefile
from controlplane.bases import Base
from controlplane.errors import CorruptJournal, SnapshotUnusable
from controlplane.fold import Fold, Heart, changed
from controlplane.state import Key
from controlplane.statefile import Header

log = logging.getLogger("signalbox.snapshots")

SUFFIX = ".snapshot"
Journaled = Callable[[int], tuple[int, bytes] | None]
"""What a journal has of a step by its number: its last position and its digest; None: it has no such step."""


class Snapshot(NamedTuple):
    """A file and its header."""

    path: Path
    header: Header


class Beginning(NamedTuple):
    """A heart of the caller's own, where the journal begins, and whether the present folds made what follows."""

    heart: Heart
    is_present: bool


class Snapshots:
    """Those of one journal. `is_due`, `take` and `close` are one thread's; `nearest` may be asked from any."""

    def __init__(
        self, folder: Path, folds: Callable[[], list[Fold]], journaled: Journaled, base: Base | None = None
    ) -> None:
        """`folder` is made when the first one is written. Unreadable files are passed over and said.

        `base`: what the journal begins with; those that are of before are used only for what is built on them.
        """
        self._folder = folder
        self._folds = folds
        self._journaled = journaled
        self._base = base
        self._versions = {fold.name: fold.version for fold in folds()}
        # Of other versions, of another name: what is folded again must not replace what others are built on. Older
        # files have none of it; a name only says where to look.
        self._suffix = f"-{zlib.crc32(msgspec.msgpack.encode(self._versions, order='sorted')):08x}{SUFFIX}"
        self._thread = ThreadPoolExecutor(1, "snapshots")
        self._writing: Future[None] | None = None
        self._known: tuple[Snapshot, ...] = tuple(self._read_all())
        self._last: Snapshot | None = None
        """What the next one is built on; None: the next one is whole."""
        self._taken = (0, 0)
        self._whole_bytes = self._since_bytes = 0

    def _read_all(self) -> Iterator[Snapshot]:
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                with path.open("rb") as file:
                    yield Snapshot(path, statefile.read_header(file.read(statefile.HEAD_BYTES_MAX)))
            except (SnapshotUnusable, OSError) as error:
                _pass_over(path, error)

    # ------------------------------------------------------------------------------------------- out

    def newest(self) -> Heart:
        """A heart as it was at the newest usable snapshot, a new one if there is none; the next is built on it."""
        heart = self._latest(self._known)
        self._last = next((one for one in self._known if heart.steps and one.header.step == heart.steps), None)
        for later in [one for one in self._own if one.header.step > heart.steps]:
            # Of an unusable one nothing can be made later either, and after it the journal may go on another way.
            self._forget(later)
        self.follow(heart)
        return heart

    def partial(self) -> Heart | None:
        """A heart at the newest usable snapshot of other versions; it lacks the folds that have changed since.

        None: there is no such snapshot that has all that a plane cannot act without.
        """
        vital = [fold.name for fold in self._folds() if fold.vital]
        for one in reversed(self._known):
            gone = changed(self._folds(), one.header.versions)
            if not self._is_within(one) or one.header.versions == self._versions or any(name in gone for name in vital):
                continue
            heart = self._restored(one)
            if heart is not None:
                return heart
        return None

    def go_over(self, heart: Heart) -> None:
        """All is folded again, and this is the heart that has it all; the next one is whole."""
        self._last = None
        self.follow(heart)
        self.forget_others()

    def forget_others(self) -> None:
        """All is folded again: what other versions left is not needed any more."""
        for one in [one for one in self._known if one.header.versions != self._versions]:
            self._forget(one)

    @property
    def _own(self) -> list[Snapshot]:
        return [one for one in self._known if one.header.versions == self._versions and self._is_within(one)]

    def _is_within(self, one: Snapshot) -> bool:
        """Whether the journal still has the step that it is of."""
        return self._base is None or one.header.step > self._base.step

    def beginning(self) -> Beginning:
        """Where the journal begins. Raises CorruptJournal; any thread may ask."""
        while (base := self._base) is not None:
            try:
                return Beginning(base.heart(), base.is_present)
            except CorruptJournal:
                if base is self._base:
                    raise
        return Beginning(Heart(self._folds()), True)

    @property
    def why(self) -> str:
        """What folds that have changed lack of what was before the journal begins; "" for nothing."""
        return "" if self._base is None else self._base.why

    def rebase(self, base: Base) -> None:
        """The journal begins there from now on: what is of before, and nothing is built on, goes."""

        def go_over() -> None:
            self._base = base
            wholes = [one.header.step for one in self._known if not one.header.depth and one.header.step <= base.step]
            for one in [one for one in self._known if one.header.step < max(wholes, default=0)]:
                if one.header.versions == self._versions:
                    self._forget(one)

        self._thread.submit(go_over).result()

    def follow(self, heart: Heart) -> None:
        """This is the heart that snapshots are taken of from now on."""
        heart.follow_changes()
        self._taken = (heart.position, heart.steps)

    def nearest(self, position: int | None = None, instant: int | None = None) -> Heart:
        """A heart at the newest usable snapshot not beyond `position`, nor recorded after `instant` (ns); or a new one.

        It is the caller's own.
        """
        fits = [
            one
            for one in self._known
            if (position is None or one.header.position <= position)
            and (instant is None or one.header.recorded <= instant)
        ]
        return self._latest(fits)

    def after(self, position: int) -> Heart | None:
        """A heart of the caller's own at the first usable snapshot that is not before `position`, if there is one."""
        later = (one for one in self._own if one.header.position >= position)
        return next((heart for one in later if (heart := self._restored(one)) is not None), None)

    def _latest(self, known: Sequence[Snapshot]) -> Heart:
        own = (one for one in reversed(known) if one.header.versions == self._versions and self._is_within(one))
        found = (heart for one in own if (heart := self._restored(one)) is not None)
        return next(found, None) or self.beginning().heart

    def _restored(self, one: Snapshot) -> Heart | None:
        try:
            if self._journaled(one.header.step) != (one.header.position, one.header.journaled):
                raise SnapshotUnusable("it is of another journal")
            files = (_read(each.path) for each in self._chain(one))
            return statefile.restored(self._folds(), files, one.header.versions)
        except (SnapshotUnusable, OSError) as error:
            _pass_over(one.path, error)
            return None

    def _chain(self, last: Snapshot) -> list[Snapshot]:
        """The whole one that `last` is built on, and what is between."""
        alike = (one for one in self._known if one.header.versions == last.header.versions)
        before = [one for one in alike if one.header.step <= last.header.step]
        chain = before[-(last.header.depth + 1) :]
        if chain[0].header.depth:
            raise SnapshotUnusable("what it was built on is missing")
        return chain

    # -------------------------------------------------------------------------------------------- in

    def is_due(self, heart: Heart) -> bool:
        """Whether enough has happened since the last one, that one is written, and the heart is whole."""
        if heart.rebuilding:
            return False
        position, step = self._taken
        enough = (
            heart.position - position >= limits.SNAPSHOT_ENTRIES_MAX or heart.steps - step >= limits.SNAPSHOT_STEPS_MAX
        )
        return enough and (self._writing is None or self._writing.done())

    def take(self, heart: Heart, journaled: bytes) -> None:
        """Gather what is to be written, and have it written. `journaled`: the digest of the last committed step."""
        if self._writing is not None and self._writing.exception() is not None:
            log.error("a snapshot could not be written", exc_info=self._writing.exception())
        before = self._last
        is_whole = (
            before is None
            or before.header.depth + 1 >= limits.SNAPSHOT_CHAIN_MAX
            or self._since_bytes > self._whole_bytes
        )
        changed = {name: state.changes() for name, state in heart.states.items()}
        tables = {name: state.tables() for name, state in heart.states.items()} if is_whole else changed
        depth = 0 if is_whole or before is None else before.header.depth + 1
        self._taken = (heart.position, heart.steps)
        header = statefile.header_of(heart, journaled, depth, b"")
        self._writing = self._thread.submit(self._write, header, tables, None if is_whole else before)

    def _write(
        self, header: Header, tables: Mapping[str, Mapping[str, Mapping[Key, Any]]], before: Snapshot | None
    ) -> None:
        path = self._folder / f"{header.position:015d}{self._suffix}"
        temporary = path.with_suffix(".new")
        # Until this one is there, nothing can be built on it: after a failure the next one is whole.
        self._last = None
        try:
            if before is not None:
                header = _based_on(header, before.path)
            self._folder.mkdir(exist_ok=True)
            size = _write_whole(temporary, path, statefile.encode(header, tables))
        except OSError as error:
            log.warning("no snapshot at position %d: %s", header.position, error)
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        self._last = Snapshot(path, header)
        known = (*(one for one in self._known if one.path != path), self._last)
        self._known = tuple(sorted(known, key=lambda one: one.header.step))
        if header.depth:
            self._since_bytes += size
        else:
            self._whole_bytes, self._since_bytes = size, 0
        self._thin_out()

    def _thin_out(self) -> None:
        known = self._own
        if len(known) <= limits.SNAPSHOTS_KEPT_MAX:
            return
        wholes = [n for n, one in enumerate(known) if not one.header.depth]
        edges = wholes[: len(wholes) // 2 + 1]
        for start, stop in list(pairwise(edges))[1::2]:
            for one in known[start:stop]:
                self._forget(one)

    def _forget(self, one: Snapshot) -> None:
        self._known = tuple(each for each in self._known if each is not one)
        try:
            one.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays, though nobody needs it: %s", one.path, error)

    def settle(self) -> None:
        """Wait until what is being written is there, or has failed."""
        if self._writing is not None:
            wait((self._writing,))

    def close(self) -> None:
        """Nothing is being written any more when this returns."""
        self._thread.shutdown()


def _based_on(header: Header, before: Path) -> Header:
    with before.open("rb") as file:
        file.seek(-statefile.CHECKSUM_BYTES, os.SEEK_END)
        return msgspec.structs.replace(header, base=file.read())


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > limits.SNAPSHOT_BYTES_MAX:
        raise SnapshotUnusable(f"it has {size} bytes, more than any that is written")
    return path.read_bytes()


def _write_whole(temporary: Path, path: Path, pieces: Iterator[bytes]) -> int:
    with temporary.open("wb") as file:
        size = sum(file.write(piece) for piece in pieces)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size


def _pass_over(path: Path, error: Exception) -> None:
    log.warning("the snapshot %s is passed over: %s", path, error)
