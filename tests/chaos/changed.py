"""A plane whose folds have changed: `python -m tests.chaos.changed FOLD,FOLD GATE OPTION ...`.

The folds that are named get another version. Snapshots are taken often, and what is folded again beside the plane
stops after some steps, until the file GATE is there.
"""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from controlplane import __main__ as plane
from controlplane import limits, refolding
from controlplane.fold import Step
from controlplane.plane import folds

STEPS_AHEAD = 12
"""Fewer than any fleet takes to be born, more than lie between two snapshots."""


def change(names: list[str], gate: Path) -> None:
    """In this process, from here on."""
    limits.REFOLD_FIRST_ENTRIES_MAX = 0
    limits.REFOLD_NEAR_ENTRIES_MAX = 20
    limits.SNAPSHOT_STEPS_MAX = 10
    for fold in folds():
        if fold.name in names:
            type(fold).version += 1
    run, catch_up = refolding.Refold._run, refolding.catch_up

    def gated(refold: refolding.Refold) -> None:
        numbers = count()

        def slowly(*arguments: Any) -> Iterator[Step]:
            for step in catch_up(*arguments):
                number = next(numbers)
                while number >= STEPS_AHEAD and not gate.exists() and not refold._ends.wait(0.02):
                    pass
                yield step

        refolding.catch_up = slowly
        run(refold)

    refolding.Refold._run = gated  # type: ignore[method-assign]


if __name__ == "__main__":
    change(sys.argv[1].split(","), Path(sys.argv[2]))
    del sys.argv[1:3]
    sys.exit(plane.main())
