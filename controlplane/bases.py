"""What a journal begins with that retention has trimmed: the folds' state where its first segment begins.

The base of segment 4 is `000004.base` in the journal's folder, a whole snapshot (see `statefile`) of exactly where that
segment begins. It is no snapshot among others: it cannot be made again, so nothing thins it out, and it goes only when
the next one has its place. It is durable before any segment goes, and counts from when `reach.json` names its segment.

A fold of another version than the base's cannot be folded from nothing any more. It goes on with what its elder left
there, where that still reads as what it keeps; else it has nothing. In both cases what it says of the time before is
its elder's, or missing, which `Base.why` and the plane say until a later trim makes a base of the present versions.
Where a fold that the plane cannot act without cannot read it, the plane does not start.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from controlplane import limits, segments, statefile
from controlplane.errors import CorruptJournal, SnapshotUnusable
from controlplane.fold import Fold, Heart, changed
from controlplane.segments import Birth

log = logging.getLogger("signalbox.journal")
SUFFIX = ".base"


def path_of(folder: Path, number: int) -> Path:
    """The base of segment `number`."""
    return folder / f"{number:06d}{SUFFIX}"


def write(folder: Path, number: int, heart: Heart, journaled: bytes) -> None:
    """Make it durable. `journaled`: the digest that the journal has there. Raises OSError."""
    header = statefile.header_of(heart, journaled, 0, b"")
    tables = {name: state.tables() for name, state in heart.states.items()}
    path = path_of(folder, number)
    fresh = path.with_suffix(".base-new")
    with fresh.open("wb") as file:
        for piece in statefile.encode(header, tables):
            file.write(piece)
    segments.put_in_place(fresh, path)


def clear(folder: Path, number: int) -> None:
    """Take away the bases of all other segments."""
    for path in (*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{SUFFIX}-new")):
        if path != path_of(folder, number):
            path.unlink(missing_ok=True)


class Base:
    """Where a journal in `folder` begins, which is at `reach`. `step` is 0 for one that begins with nothing."""

    def __init__(self, folder: Path, reach: Birth, folds: Callable[[], Sequence[Fold]]) -> None:
        self._path = path_of(folder, reach.segment)
        self._reach = reach
        self._folds = folds
        self.step = reach.step
        made_by = segments.made_by(folder)
        self.is_present = made_by in ({}, {fold.name: fold.version for fold in folds()})
        """Whether the present folds made the first steps of the journal, as far as anything says."""
        self.why = self._look() if self.step else ""
        """What folds of other versions than the base's have of what was before; "" when there are none."""

    def heart(self) -> Heart:
        """A new heart, as it was there. Raises CorruptJournal; any thread may ask."""
        if not self.step:
            return Heart(self._folds())
        reach = self._reach
        try:
            if self._path.stat().st_size > limits.SNAPSHOT_BYTES_MAX:
                raise SnapshotUnusable("it is larger than any that is written")
            heart, header, empty = statefile.based(self._folds(), self._path.read_bytes())
            if (header.step, header.position, header.journaled) != (reach.step, reach.position, reach.digest):
                raise SnapshotUnusable("it is of another journal")
        except (SnapshotUnusable, OSError) as error:
            raise CorruptJournal(
                f"the journal begins after position {reach.position:,}, and {self._path}, the state there, cannot be "
                f"used: {error}. Put it back from a backup, or start the Signalbox that made it."
            ) from error
        if empty:
            log.warning("%s: nothing of what was before position %d", ", ".join(empty), reach.position + 1)
        return heart

    def _look(self) -> str:
        try:
            with self._path.open("rb") as file:
                header = statefile.read_header(file.read(statefile.HEAD_BYTES_MAX))
        except (SnapshotUnusable, OSError) as error:
            why = f"the state that the journal begins with, {self._path}, cannot be read: {error}"
            log.error("%s", why)
            return why
        gone = changed(self._folds(), header.versions)
        if not gone:
            return ""
        why = f"{', '.join(gone)} changed: of what was before position {self._reach.position + 1:,}"
        why += " there is what the version of then left, or nothing"
        log.warning("%s", why)
        return why
