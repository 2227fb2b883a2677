"""Storms: whatever is killed, stopped or cut under load, what was acked is there once, in order, and is delivered.

`python -m tests.chaos --seed N` runs one seed again and says what happened.
"""

from pathlib import Path

import pytest

from tests.chaos.storm import say, storm

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seed", [64, 73])
async def test_a_storm_loses_nothing_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    report = await storm(seed, tmp_path, seconds=8)
    assert not report.found, str(report)
    assert len(report.ledger.acked) > 1_000, str(report)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 112))
async def test_long_storms(tmp_path: Path, seed: int) -> None:
    report = await storm(seed, tmp_path, seconds=60, sessions=True)
    say(report)
    assert not report.found, str(report)
