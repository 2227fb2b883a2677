"""A control plane with small limits, a clock that can be set, a fold that can break, a place where it dies; else the
real one.

    python -m tests.chaos.oddplane --limit SEGMENT_ROWS_MAX=3000 --clock FILE --brittle VERSION -- --data-dir DIR ...

What follows `--` is the control plane's own command line. `--clock`: a file with the milliseconds by which the wall
clock is off, read anew each time. `--brittle`: with the fold of `brittle`, in that version. `--die-before
controlplane.bases:write@2`: it ends as by `kill -9` where that function would be called for the second time.
"""

import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

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


def die_before(place: str) -> None:
    """Have this process killed where MODULE:NAME, or MODULE:CLASS.NAME, would be called, with @N for the N-th time."""
    where, _, nth = place.partition("@")
    module, _, path = where.partition(":")
    *outer, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in outer:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), count(1)

    def dying(*given: Any, **named: Any) -> Any:
        if next(calls) == int(nth or 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)

    setattr(owner, name, dying)


def main() -> int:
    """The exit code of the plane's life."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.oddplane")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--brittle", type=int)
    parser.add_argument("--die-before", default="")
    cut = sys.argv.index("--")
    given = parser.parse_args(sys.argv[1:cut])
    sys.argv[1:] = sys.argv[cut + 1 :]
    set_limits(given.limit)
    # Only now: folds take their limits by name when they are loaded.
    if given.brittle is not None:
        from tests.chaos import brittle

        brittle.plant(given.brittle)
    if given.die_before:
        die_before(given.die_before)
    from controlplane import __main__, service
    from controlplane.clock import Clock

    if given.clock is not None:
        wall = wall_of(given.clock)
        service.Clock = lambda floor: Clock(floor, wall)  # type: ignore[assignment,misc]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
