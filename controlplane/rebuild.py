"""Look over a journal, and make again what is damaged: `python -m controlplane.rebuild --data-dir DIR [--dry-run]`.

`--look` only says which segments hold together. One JSON object on stdout (`Report`, `Look`) and exit 0; or one line on
stderr that says what to do, and exit 1. Its plane and its brokers must be ended. `rebuilding` says how it is done.
"""

import argparse
import logging
import sys
from pathlib import Path

import msgspec

from bus.errors import BusError
from controlplane import limits, segments, soundness, statefile
from controlplane.brokerlogs import BrokerLogs
from controlplane.directory import Directory, Mark
from controlplane.errors import NotRebuilt, PlaneError, SnapshotUnusable
from controlplane.facts import Fact, JournalRebuilt
from controlplane.rebuilding import Rebuilding, Rebuilt
from controlplane.shelf import Shelf
from controlplane.snapshots import SUFFIX

log = logging.getLogger("signalbox.rebuild")
NOTE = "rebuilt.json"
"""In the journal's folder: what was made again, until the next plane has journaled it."""


class Report(msgspec.Struct):
    """What was found and made again. `sound`: segments that hold together; the journal ends at `position` afterwards.

    `lost`: what it had beside that, as far as anything tells; `open_end`: whether there may have been more.
    `unreadable`: brokers whose stores are damaged.
    """

    data_dir: str
    dry_run: bool
    sound: list[int]
    rebuilt: list[Rebuilt]
    position: int
    step: int
    copied: int
    brokers: list[str]
    unreadable: dict[str, str]
    lost: list[str]
    open_end: bool
    by: str = ""
    reason: str = ""


class Look(msgspec.Struct):
    """Which segments hold together, and why the others do not, by file."""

    sound: list[str]
    unsound: dict[str, str]


def look(directory: Directory) -> Look:
    """Each segment by itself, read whole. Raises PlaneError."""
    directory.claim()
    shelf = Shelf()
    try:
        paths = segments.listed(directory.journal)
        found = {path.name: soundness.look(shelf, path).why for path in paths}
        lacks = {
            segments.path_of(directory.journal, n).name: "the file is missing"
            for n in segments.missing(paths, segments.oldest(directory.journal))
        }
        return Look(
            [name for name, why in found.items() if not why], {n: why for n, why in found.items() if why} | lacks
        )
    finally:
        shelf.close()
        directory.release()


def rebuilt_facts(journal: Path) -> list[Fact]:
    """What was made again since a plane lived here, to be journaled by the next one; then `forget` it."""
    try:
        report = msgspec.json.decode((journal / NOTE).read_bytes(), type=Report)
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s is passed over: %s", journal / NOTE, error)
        return []
    facts: list[Fact] = []
    for one in report.rebuilt:
        missing = [(each.partition, each.first, each.count, each.position) for each in one.missing]
        facts.append(
            JournalRebuilt(
                segment=one.segment,
                first=one.first,
                last=one.last,
                events_missing=sum(each.count for each in one.missing),
                missing=missing[: limits.EXAMPLES_MAX],
                lost=report.lost if one is report.rebuilt[-1] else [],
                aside=one.aside,
                by=report.by,
                reason=report.reason,
            )
        )
    return facts


def forget(journal: Path) -> None:
    """It is journaled."""
    (journal / NOTE).unlink(missing_ok=True)


def rebuild(directory: Directory, dry_run: bool, by: str = "", reason: str = "") -> Report:
    """Raises PlaneError; then nothing was changed."""
    directory.claim()
    try:
        file = directory.fleet()
        if file is None:
            raise NotRebuilt(f"{directory.root} has no fleet.json: name the fleet's data directory with --data-dir.")
        with BrokerLogs(directory, file.fleet, file.partitions) as logs:
            rebuilding = Rebuilding(directory.journal, logs)
            rebuilt = rebuilding.run(dry_run)
            end = rebuilding.end
            report = Report(
                data_dir=str(directory.root),
                dry_run=dry_run,
                sound=rebuilding.sound,
                rebuilt=rebuilt,
                position=end.position,
                step=end.step,
                copied=rebuilding.copied,
                brokers=logs.brokers,
                unreadable=logs.unreadable,
                lost=_lost(directory, end.position, rebuilt),
                open_end=bool(rebuilt) and rebuilt[-1].last == end.position and not rebuilt[-1].own,
                by=by,
                reason=reason,
            )
            if rebuilt and not dry_run:
                note = directory.journal / NOTE
                note.write_bytes(msgspec.json.encode(report))
                segments.sync(note)
                # What is lost beyond that is said, and no reason to stand still.
                directory.write_mark(Mark(end.position, end.step))
            return report
    finally:
        directory.release()


def _lost(directory: Directory, position: int, rebuilt: list[Rebuilt]) -> list[str]:
    found = []
    mark = directory.mark()
    known = max(_snapshotted(directory.journal / "snapshots"), mark.position if mark is not None else 0)
    if known > position:
        found.append(f"positions {position + 1} to {known}, and what came after: they had not been replicated")
    for one in rebuilt:
        if one.bare:
            found.append(f"the facts of steps {', '.join(map(str, one.bare))}: they were too large for the copy")
    return found


def _snapshotted(folder: Path) -> int:
    """The last position that a snapshot tells of; 0 when none does."""
    known = 0
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            with path.open("rb") as file:
                known = max(known, statefile.read_header(file.read(statefile.HEAD_BYTES_MAX)).position)
        except (SnapshotUnusable, OSError) as error:
            log.info("%s tells nothing: %s", path, error)
    return known


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.rebuild", description="Rebuild a damaged journal.")
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--look", action="store_true", help="only say which segments hold together")
    parser.add_argument("--by", default="", help="who asked for it")
    parser.add_argument("--reason", default="", help="why; both are journaled at the next start")
    parser.add_argument("--dry-run", action="store_true", help="make everything, say the same, change nothing")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        directory = Directory(given.data_dir)
        told = look(directory) if given.look else rebuild(directory, given.dry_run, given.by, given.reason)
    except (PlaneError, BusError, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
