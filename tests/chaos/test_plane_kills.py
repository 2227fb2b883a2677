"""A control plane that is killed at the worst instants leaves a journal without a gap, a repeat or a loss.

`python -m tests.chaos.planekills --seed N` runs one seed again and says what happened.
"""

from pathlib import Path

import pytest

from tests.chaos.planekills import DELAYS_S, run, schedule

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]


def test_every_moment_has_its_turn() -> None:
    kills = schedule(3, 2 * len(DELAYS_S))
    assert [sorted(kill.moment for kill in half) for half in (kills[:6], kills[6:])] == [sorted(DELAYS_S)] * 2
    assert schedule(3, 12) == kills and schedule(4, 12) != kills


async def test_a_killed_plane_leaves_no_gap_no_repeat_and_no_loss(tmp_path: Path) -> None:
    report = await run(1, tmp_path, kills=5)
    assert not report.found, str(report)
    assert report.acked > 2_000 and report.forms.get("parquet"), str(report)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
async def test_fifty_kills(tmp_path: Path, seed: int) -> None:
    report = await run(seed, tmp_path, kills=5)
    assert not report.found, str(report)
