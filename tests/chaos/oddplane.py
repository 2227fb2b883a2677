"""A control plane with small limits, a clock that can be set, and a fold that can break; else the real one.

    python -m tests.chaos.oddplane --limit SEGMENT_ROWS_MAX=3000 --clock FILE --brittle VERSION -- --data-dir DIR ...

What follows `--` is the control plane's own command line. `--clock`: a file with the milliseconds by which the wall
clock is off, read anew each time. `--brittle`: one more fold, of that version, which counts events; version 1 raises at
an event of type `brittle.break`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from controlplane import limits, plane
from controlplane.facts import Rows
from controlplane.fold import Entry, Fold, KeyedState, World

BREAKS = "brittle.break"


class Brittle(Fold):
    """Counts events by type; its first version does not know what to do with one of them."""

    name = "brittle"
    follows = (Rows,)
    tables = MappingProxyType({"type": int})

    def __init__(self, version: int) -> None:
        self.version = version

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        rows = entry.fact
        if not isinstance(rows, Rows):
            return
        for name in rows.types:
            if self.version == 1 and name == BREAKS:
                raise ValueError("what is this?")
            state.put("type", name, state.get("type", name, 0) + 1)


def set_limits(given: list[str]) -> None:
    """NAME=VALUE each; all of them exist."""
    for each in given:
        name, _, value = each.partition("=")
        if not hasattr(limits, name):
            raise SystemExit(f"there is no limit {name}")
        setattr(limits, name, int(value))


def wall_of(file: Path) -> Callable[[], int]:
    """A wall clock that is off by what a file says, ms."""

    def wall() -> int:
        return time.time_ns() + int(file.read_text()) * 1_000_000

    return wall


def main() -> int:
    """The exit code of the plane's life."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.oddplane")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--brittle", type=int)
    cut = sys.argv.index("--")
    given = parser.parse_args(sys.argv[1:cut])
    sys.argv[1:] = sys.argv[cut + 1 :]
    set_limits(given.limit)
    if given.brittle is not None:
        usual = plane.folds
        plane.folds = lambda: [*usual(), Brittle(given.brittle)]  # type: ignore[assignment]
    from controlplane import __main__, service
    from controlplane.clock import Clock

    if given.clock is not None:
        wall = wall_of(given.clock)
        service.Clock = lambda floor: Clock(floor, wall)  # type: ignore[assignment,misc]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
