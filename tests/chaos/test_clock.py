"""The wall clock jumps under a running plane and across restarts: `recorded` goes on, and nobody is blamed for it."""

import asyncio
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

import bus
from controlplane.arrivals import Follows
from controlplane.facts import BrokerLost, BrokerSilent, Fact, PlaneResumed, PlaneStarted, SagaStuck
from controlplane.fold import Step
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import AskAt, AskHealth, AskVerify, Health, Past, Refusal, Verified
from tests.chaos.live import LiveFleet, live_fleet, numbered, until
from tests.chaos.test_endings import SMALL

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(300)]
HOUR_MS = 3_600_000
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
TICKS = 3


class Wall:
    """The plane's wall clock, off by so many hours; `set` puts a whole number there at once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.odd = ["--clock", str(file), f"--limit=SAGA_FLOOR_MS={HOUR_MS // 2}"]
        """A saga that has waited for half an hour is stuck: nobody has, in these tests."""
        self.set(0)

    def set(self, hours: float) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(round(hours * HOUR_MS)))
        fresh.replace(self.file)


async def publish(live: LiveFleet, count: int, first: int) -> None:
    async with bus.connect(data_dir=live.directory.root) as fleet:
        await fleet.publish_many(numbered(count, first))


async def gone_on(live: LiveFleet, entries: int = TICKS) -> int:
    """Wait until some more is journaled; the position."""
    before = live.status()
    assert before is not None
    return int(
        await until(
            "the journal goes on",
            lambda: (now := live.status()) and now.controlplane.position >= before.controlplane.position + entries
            and now.controlplane.position,
        )
    )  # fmt: skip


async def clock_finding(live: LiveFleet) -> str:
    """What health says of clocks, once it says anything."""

    def look() -> str:
        health = live.ask(AskHealth())
        assert isinstance(health, Health)
        return next((need.what for need in health.penalties if "clock" in need.what), "")

    return str(await until("health speaks of the clock", lambda: asyncio.to_thread(look)))


def steps_of(root: Path) -> list[Step]:
    journal = Journal(root / "journal", Follows(FOLLOWED_TYPES), read_only=True)
    try:
        return list(journal.replay())
    finally:
        journal.close()


def facts_of(steps: list[Step]) -> list[Fact]:
    found = [step.input for step in steps] + [entry.fact for step in steps for entry in step.derived]
    return [fact for fact in found if isinstance(fact, Fact)]


def gaps_of(steps: list[Step], kind: type[PlaneResumed] | type[PlaneStarted]) -> list[int]:
    """In hours, of the gaps that a plane told."""
    return [round(fact.gap_ns / HOUR) for fact in facts_of(steps) if isinstance(fact, kind) if fact.gap_ns > HOUR // 2]


async def test_a_clock_set_forward_is_one_pause_and_no_storm(tmp_path: Path) -> None:
    wall = Wall(tmp_path / "wall")
    root = tmp_path / "data"
    with live_fleet(root, "--partitions", "4", odd=wall.odd) as live:
        before = await live.ready()
        await publish(live, 200, 0)
        await gone_on(live)
        wall.set(3)
        await gone_on(live)
        said = await clock_finding(live)
        assert said.startswith("the plane's clock is ") and said.endswith(" ahead"), said
        after = await live.ready()
        assert [broker.pid for broker in after.brokers] == [broker.pid for broker in before.brokers]
        await publish(live, 200, 200)
        assert len(await asyncio.to_thread(live.exported)) == 400
        await gone_on(live, 5)
        verified = await asyncio.to_thread(live.ask, AskVerify(), 60.0)
        assert isinstance(verified, Verified) and verified.same
        assert live.end() == 0
    steps = steps_of(root)
    assert gaps_of(steps, PlaneResumed) == [3]
    blamed = Counter(type(fact).__name__ for fact in facts_of(steps) if isinstance(fact, BrokerLost | BrokerSilent))
    stuck = sum(isinstance(fact, SagaStuck) for fact in facts_of(steps))
    assert (blamed, stuck) == (Counter(), 0), "three hours did not pass for them"
    resumed = next(step for step in steps if isinstance(step.input, PlaneResumed))
    assert len(resumed.derived) < 20, resumed.derived


async def test_a_clock_set_back_lets_time_go_on(tmp_path: Path) -> None:
    wall = Wall(tmp_path / "wall")
    root = tmp_path / "data"
    with live_fleet(root, "--partitions", "4", odd=wall.odd) as live:
        await live.ready()
        await publish(live, 200, 0)
        position = await gone_on(live)
        wall.set(-5)
        await gone_on(live)
        assert await clock_finding(live)
        await publish(live, 200, 200)
        assert len(await asyncio.to_thread(live.exported)) == 400
        assert live.end() == 0
    steps = steps_of(root)
    later = [step for step in steps if step.first > position]
    assert all(one.recorded <= other.recorded for one, other in pairwise(steps))
    assert later[-1].recorded > later[0].recorded, "time stands still"
    assert not [fact for fact in facts_of(steps) if isinstance(fact, BrokerLost | BrokerSilent | SagaStuck)]


async def test_jumps_while_no_plane_runs_and_instants_after_them(tmp_path: Path) -> None:
    """Forward by two hours, back by three: instants map to what was journaled by then, by the plane's own clock."""
    wall = Wall(tmp_path / "wall")
    root = tmp_path / "data"
    with live_fleet(root, *SMALL, odd=wall.odd) as live:
        for hours, first in ((0, 0), (2, 50), (-1, 100)):
            if first:
                live.kill_plane()
                live.said()
                wall.set(hours)
                live.start()
            await live.ready()
            await publish(live, 50, first)
            assert len(await asyncio.to_thread(live.exported)) == first + 50
        end = live.status()
        assert end is not None
        verified = await asyncio.to_thread(live.ask, AskVerify(), 60.0)
        assert isinstance(verified, Verified) and verified.same
        assert not [each for each in end.brokers if each.state not in ("up", "slow")]
        await asyncio.to_thread(moments, live)
        assert live.end() == 0
    steps = steps_of(root)
    assert gaps_of(steps, PlaneStarted) == [2]
    assert all(one.recorded <= other.recorded for one, other in pairwise(steps))


def moments(live: LiveFleet) -> None:
    """Instants of before, in and after the jumps."""
    status = live.status()
    assert status is not None
    last = live.ask(AskAt(position=status.controlplane.position))
    assert isinstance(last, Past)
    jump = live.ask(AskAt(instant=last.recorded - HOUR))
    assert isinstance(jump, Past) and 0 < jump.position < last.position
    assert jump.recorded < last.recorded - HOUR, "nothing was journaled in the hours that were jumped over"
    again = live.ask(AskAt(instant=jump.recorded))
    assert isinstance(again, Past) and again.position == jump.position
    early = live.ask(AskAt(instant=jump.recorded - 10 * HOUR))
    assert isinstance(early, Past) and early.position == 0
    ahead = live.ask(AskAt(instant=last.recorded + HOUR))
    assert isinstance(ahead, Refusal) and "in the future, by the control plane's clock" in ahead.message
