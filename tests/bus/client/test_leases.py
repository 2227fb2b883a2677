"""`fleet.leases`: asking, holding, renewing, losing, giving back; with the real fold behind it."""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import AsyncIterator

import pytest

from bus import Fence, InvalidLease, LeaseLost, LeaseRefused, PlaneSilent, StaleToken
from bus import lease as rules
from bus.client import leases
from bus.client.leases import Lease
from bus.event import Event
from controlplane import leasebook
from controlplane import leases as fold
from tests.bus.client.planetwin import Log

TTL = 0.4


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    monkeypatch.setattr(rules, "LEASE_TTL_MS_MIN", 10)
    monkeypatch.setattr(rules, "LEASE_MARGIN_MS_MIN", 5)
    monkeypatch.setattr(leases, "SILENT_SECONDS", 1.0)
    for module in (leasebook, fold):
        monkeypatch.setattr(module, "LEASE_SLACK_MS", 50)
    async with asyncio.timeout(60), Log() as made:
        yield made


async def lasting(seconds: float) -> None:
    """Time has to pass: that is what leases are about."""
    await asyncio.sleep(seconds)


async def test_one_has_it_and_the_next_gets_it_with_a_greater_token(log: Log) -> None:
    a, b = log.fleet("agent/a"), log.fleet("agent/b")
    fence = Fence()
    async with a.leases.acquire("gpu", ttl=30) as first:
        assert first.valid and first.token and not first.lost.is_set() and first.why == ""
        assert repr(first) == f"<Lease {first.id} of 'gpu' by agent/a: held, token {first.token}>"
        fence.admit(first.token)
        first.check()
        with pytest.raises(LeaseRefused, match="others hold it") as refused:
            async with b.leases.acquire("gpu", ttl=30):
                raise AssertionError("two have it")
        assert refused.value.why == "held"
    assert not first.valid and "held" not in repr(first) and first.why in repr(first)
    async with b.leases.acquire("gpu", ttl=30) as second:
        assert second.token > first.token
        fence.admit(second.token)
    with pytest.raises(StaleToken):
        fence.admit(first.token)
    assert [data["why"] for data in await log.until(rules.ENDED, 2)] == ["released", "released"]


async def test_who_waits_gets_it_when_it_is_given_back(log: Log) -> None:
    a, b = log.fleet("agent/a"), log.fleet("agent/b")
    order = []

    async def use(fleet: object, name: str, priority: str) -> None:
        async with fleet.leases.acquire("gpu", wait=20, priority=priority) as lease:  # type: ignore[attr-defined]
            assert lease.valid
            order.append(name)

    async with a.leases.acquire("gpu"):
        low = asyncio.create_task(use(b, "low", "low"))
        await log.until(rules.QUEUED, 1)
        high = asyncio.create_task(use(a, "high", "high"))
        await log.until(rules.QUEUED, 2)
    await asyncio.gather(low, high)
    assert order == ["high", "low"]


async def test_it_renews_itself_for_as_long_as_it_is_used(log: Log) -> None:
    async with log.fleet("agent/a").leases.acquire("gpu", ttl=TTL) as lease:
        until = time.monotonic() + 4 * TTL
        while time.monotonic() < until:
            assert lease.valid
            await lasting(0.02)
    assert len(log.said(rules.RENEWED)) >= 6
    assert log.said(rules.ENDED) == [] or log.said(rules.ENDED)[0]["why"] == "released"


async def test_one_granted_long_after_it_was_asked_for_is_renewed_before_it_is_held(log: Log) -> None:
    a, b = log.fleet("agent/a"), log.fleet("agent/b")
    async with a.leases.acquire("gpu", ttl=30):
        waiting = b.leases.acquire("gpu", ttl=TTL, wait=30)
        entered = asyncio.create_task(waiting.__aenter__())
        await log.until(rules.QUEUED)
        await lasting(1.5 * TTL)
    assert await entered is waiting and waiting.valid
    assert log.said(rules.RENEWED)[0]["token"] == waiting.token
    await waiting.release()


async def test_it_is_lost_when_the_plane_is_away_for_longer_than_it_lives(log: Log) -> None:
    fleet = log.fleet("agent/a")
    async with fleet.leases.acquire("gpu", ttl=TTL) as lease:
        log.away = True
        begun = time.monotonic()
        await lease.lost.wait()
        assert time.monotonic() - begun <= TTL + 0.5
        assert not lease.valid and "not renewed in time" in lease.why
        with pytest.raises(LeaseLost, match="not renewed in time"):
            lease.check()
        log.away = False
    # It is given back all the same, so that nobody has to wait for it.
    async with fleet.leases.acquire("gpu", ttl=30, wait=10):
        pass


async def test_it_is_lost_when_no_broker_answers_and_says_so(log: Log) -> None:
    async with log.fleet("agent/a").leases.acquire("gpu", ttl=TTL) as lease:
        log.down = True
        await lease.lost.wait()
        assert "no broker answers" in lease.why
        log.down = False


async def test_a_plane_that_is_back_in_time_costs_nothing(log: Log) -> None:
    async with log.fleet("agent/a").leases.acquire("gpu", ttl=3) as lease:
        log.away = True
        await lasting(1.5)
        assert lease.valid
        log.away = False
        await log.until(rules.EXTENDED, 1)
        assert lease.valid and not lease.lost.is_set()


async def test_a_plane_that_does_not_answer_is_named(log: Log) -> None:
    log.away = True
    with pytest.raises(PlaneSilent, match="signalbox status"):
        async with log.fleet("agent/a").leases.acquire("gpu"):
            raise AssertionError("nobody gave it")
    log.away = False
    # What it asked for is taken back, so that it blocks nobody.
    async with log.fleet("agent/b").leases.acquire("gpu", wait=10) as lease:
        assert lease.valid


async def test_whoever_is_cancelled_while_waiting_does_not_get_it(log: Log) -> None:
    a, b, c = (log.fleet(f"agent/{name}") for name in "abc")
    async with a.leases.acquire("gpu"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), b.leases.acquire("gpu", wait=60):
                raise AssertionError("two have it")
        await log.until(rules.REFUSED)
        third = asyncio.create_task(c.leases.acquire("gpu", wait=60).__aenter__())
        await log.until(rules.QUEUED, 2)
    assert (await third).valid
    assert [data["why"] for data in log.said(rules.REFUSED)] == ["cancelled"]


async def test_after_a_restart_the_same_lease_is_gone_on_with(log: Log) -> None:
    """Its process was killed: nobody gave it back."""
    first = log.fleet("agent/a")
    lease = first.leases.acquire("gpu", ttl=30, id="mine")
    await lease.__aenter__()
    await first.close()
    async with log.fleet("agent/a").leases.acquire("gpu", ttl=30, id="mine") as again:
        assert again.token > lease.token and again.valid
        with pytest.raises(LeaseRefused, match="another lease has this id"):
            async with log.fleet("agent/b").leases.acquire("gpu", ttl=30, id="mine"):
                raise AssertionError("two have it")
    with pytest.raises(LeaseRefused, match=r"has ended|gave it back"):
        async with log.fleet("agent/a").leases.acquire("gpu", ttl=30, id="mine"):
            raise AssertionError("it is over")


@pytest.mark.parametrize("waits", [False, True])
async def test_a_clock_that_was_set_back_between_two_runs_costs_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Held or waited for: the later process asks above the earlier one, which hears that it was taken over."""
    b = log.fleet("agent/b")
    async with contextlib.AsyncExitStack() as stack:
        if waits:
            await stack.enter_async_context(b.leases.acquire("gpu", ttl=30))
        first = log.fleet("agent/a").leases.acquire("gpu", ttl=30, wait=30, id="mine")
        entering = asyncio.create_task(first.__aenter__())
        await log.until(rules.QUEUED if waits else rules.GRANTED)
        wall = leases._wall_us
        monkeypatch.setattr(leases, "_wall_us", lambda: wall() - 3_600_000_000)
        again = log.fleet("agent/a").leases.acquire("gpu", ttl=30, wait=30, id="mine")
        entered = asyncio.create_task(again.__aenter__())
        await log.until(rules.REQUESTED, 4 if waits else 3)
        if waits:
            with pytest.raises(LeaseRefused, match="a later request"):
                await entering
        else:
            assert await entering is first
            await first.lost.wait()
            assert "a later request" in first.why
    assert await entered is again and again.valid and again.token > first.token
    await again.release()


async def test_a_process_that_was_stopped_does_not_take_over_from_the_one_that_followed_it(log: Log) -> None:
    fleet, asks, goes_on = log.fleet("agent/a"), asyncio.Event(), asyncio.Event()
    publish = fleet.publish

    async def stops(*given: object, **more: object) -> object:
        asks.set()
        await goes_on.wait()
        return await publish(*given, **more)  # type: ignore[arg-type]

    fleet.publish = stops  # type: ignore[method-assign, assignment]
    stopped = asyncio.create_task(fleet.leases.acquire("gpu", ttl=30, wait=5, id="mine").__aenter__())
    await asks.wait()
    async with log.fleet("agent/a").leases.acquire("gpu", ttl=30, id="mine") as follower:
        goes_on.set()
        with pytest.raises(LeaseRefused, match="a later request"):
            await stopped
        assert follower.valid


async def test_a_former_incarnation_takes_over_from_nobody(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    former, follower = log.fleet("agent/a"), log.fleet("agent/a")
    for fleet, incarnation in ((former, "one"), (follower, "two")):
        fleet.incarnations["agent/a"] = incarnation
        await fleet.publish(Event(type="agent.lifecycle.joined", data={"incarnation": incarnation}))
    async with follower.leases.acquire("gpu", ttl=30, id="mine") as lease:
        wall = leases._wall_us
        for change in (-3_600_000_000, 3_600_000_000):
            monkeypatch.setattr(leases, "_wall_us", lambda change=change: wall() + change)
            with pytest.raises(LeaseRefused, match="another incarnation"):
                await former.leases.acquire("gpu", ttl=30, id="mine").__aenter__()
        assert lease.valid and not lease.lost.is_set()


async def test_a_fleet_that_is_closed_loses_its_leases(log: Log) -> None:
    fleet = log.fleet("agent/a")
    lease: Lease = fleet.leases.acquire("gpu")
    async with lease:
        await fleet.close()
        await lease.lost.wait()
        assert "closed" in lease.why


async def test_counted_ones_are_shared(log: Log) -> None:
    a = log.fleet("agent/a").leases
    async with a.acquire("slots", capacity=3, units=2) as two, a.acquire("slots", capacity=3) as one:
        assert two.valid and one.valid and two.token != one.token
        with pytest.raises(LeaseRefused, match="others hold it"):
            async with a.acquire("slots", capacity=3):
                raise AssertionError("there are three")
        with pytest.raises(LeaseRefused, match="another capacity"):
            async with a.acquire("slots", capacity=4):
                raise AssertionError("there are three")


async def test_what_it_says_is_no_step_of_what_is_being_handled(log: Log) -> None:
    handled = contextvars.ContextVar("handled", default="")
    seen = []
    fleet = log.fleet("agent/a")
    publish = fleet.publish

    async def watched(*given: object, **more: object) -> object:
        seen.append(handled.get())
        return await publish(*given, **more)  # type: ignore[arg-type]

    fleet.publish = watched  # type: ignore[method-assign, assignment]
    handled.set("order-42")
    async with fleet.leases.acquire("gpu"):
        pass
    assert seen == ["", ""]


async def test_what_makes_no_sense_is_refused_at_once(log: Log) -> None:
    held = log.fleet("agent/a").leases
    with pytest.raises(InvalidLease, match="units"):
        held.acquire("gpu", units=2)
    with pytest.raises(InvalidLease, match="ttl_ms"):
        held.acquire("gpu", ttl=0)
    async with held.acquire("gpu", id="one") as lease:
        with pytest.raises(InvalidLease, match="in use already"):
            await lease.__aenter__()
    assert log.said(rules.REQUESTED)[0]["lease"] == "one"
