"""Look over a journal, and make again what is damaged: `python -m controlplane.rebuild --data-dir DIR [--dry-run]`.

One JSON object on stdout (`Report`) and exit 0; one line on stderr that says what to do and exit 1. Its plane and its
brokers must be ended. `rebuilding` says how it is done.
"""

import argparse
import logging
import sys
from pathlib import Path

import msgspec

from bus.errors import BusError
from controlplane import statefile
from controlplane.brokerlogs import BrokerLogs
from controlplane.directory import Directory
from controlplane.errors import NotRebuilt, PlaneError, SnapshotUnusable
from controlplane.rebuilding import Rebuilding, Rebuilt
from controlplane.snapshots import SUFFIX


class Report(msgspec.Struct):
    """What was found and made again. `sound`: segments that hold together; the journal ends at `position` afterwards.

    `lost`: what the journal had beyond that, as far as anything tells. `unreadable`: brokers whose stores are damaged.
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


def rebuild(directory: Directory, dry_run: bool) -> Report:
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
            return Report(
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
            )
    finally:
        directory.release()


def _lost(directory: Directory, position: int, rebuilt: list[Rebuilt]) -> list[str]:
    found = []
    known = _snapshotted(directory.journal / "snapshots")
    if known > position:
        found.append(f"positions {position + 1} to {known}, and what came after: they had not been replicated")
    elif rebuilt and rebuilt[-1].last == position and not rebuilt[-1].own:
        found.append(f"facts after position {position}, if there were any: they had not been replicated")
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
            logging.getLogger("signalbox.rebuild").info("%s tells nothing: %s", path, error)
    return known


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.rebuild", description="Rebuild a damaged journal.")
    parser.add_argument("--data-dir", required=True, type=Path)
    parser.add_argument("--dry-run", action="store_true", help="make everything, say the same, change nothing")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        report = rebuild(Directory(given.data_dir), given.dry_run)
    except (PlaneError, BusError, OSError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
