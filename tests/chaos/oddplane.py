"""A control plane with small limits, a clock that can be set, and a fold that can break; else the real one.

    python -m tests.chaos.oddplane --limit SEGMENT_ROWS_MAX=3000 --clock FILE --brittle VERSION -- --data-dir DIR ...

What follows `--` is the control plane's own command line. `--clock`: a file with the milliseconds by which the wall
clock is off, read anew each time. `--brittle`: with the fold of `brittle`, in that version.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from controlplane import limits


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
    # Only now: folds take their limits by name when they are loaded.
    if given.brittle is not None:
        from tests.chaos import brittle

        brittle.plant(given.brittle)
    from controlplane import __main__, service
    from controlplane.clock import Clock

    if given.clock is not None:
        wall = wall_of(given.clock)
        service.Clock = lambda floor: Clock(floor, wall)  # type: ignore[assignment,misc]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
