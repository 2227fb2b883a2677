"""The checkers bite: each planted bug is found within a bounded number of seeds."""

from itertools import count, islice

import pytest

from .bugs import BUGS, Bug
from .swarm import run, weather

SEEDS_MAX = 120
SEEDS_MAX_LONG = 1_000


def seeds_of(plan: str) -> "islice[int]":
    return islice((seed for seed in count() if weather(seed).plan == plan), SEEDS_MAX_LONG)


def hunt(bug: Bug, seeds_max: int) -> int | None:
    """The first seed in which a checker objects."""
    for seed in islice(seeds_of(bug.plan), seeds_max):
        if run(seed, bug.parts, bug.plane).violation is not None:
            return seed
    return None


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, long: bool) -> None:
    found = hunt(BUGS[name], SEEDS_MAX_LONG if long else SEEDS_MAX)
    assert found is not None, f"no checker found {name}: {BUGS[name]}"
    honest = run(found)
    assert honest.violation is None, f"seed {found} fails without the bug too: {honest.violation}"
