"""A second agent that is asked when the first is late; circuits that open; agents found by what they can do."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

import bus
from bus import limits
from bus.breaker import CLOSED, FORCED_OPEN, HALF_OPEN, OPEN
from tests.bus.client.callstage import agent
from tests.bus.rig import rig

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("hedging"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


class Gated:
    """Answers its name once `go` is set, or raises what it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.go = asyncio.Event()
        self.begun = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)
        self.fails = False

    async def __call__(self, payload: Any, context: bus.CallContext) -> Any:
        self.begun.release()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        if self.fails:
            raise ValueError(self.name)
        return self.name


class Two:
    """Two agents of one name in two fleets, and a third fleet that calls."""

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.one, self.two = Gated("one"), Gated("two")

    async def __aenter__(self) -> "Two":
        self.fleets = [bus.connect(self.url, name=f"{self.name}/{n}") for n in range(3)]
        for fleet in self.fleets:
            await fleet.__aenter__()
        self.answering = [
            fleet.answers(self.name, gated) for fleet, gated in zip(self.fleets, (self.one, self.two), strict=False)
        ]
        for each in self.answering:
            await each.__aenter__()
        self.fleet = self.fleets[2]
        self.one.go.set()
        self.two.go.set()
        async with asyncio.timeout(20):
            while {await self.fleet.call(self.name) for _ in range(4)} != {"one", "two"}:
                pass  # until there is a session with each
        self.one.go.clear()
        self.two.go.clear()
        for gated in (self.one, self.two):
            while not gated.begun.locked():
                await gated.begun.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        for gated in (self.one, self.two):
            gated.go.set()
        for fleet in reversed(self.fleets):
            await fleet.__aexit__(None, None, None)

    async def first(self) -> tuple[Gated, Gated]:
        """Who was asked first, and the other one."""
        waits = {asyncio.create_task(each.begun.acquire()): each for each in (self.one, self.two)}
        done, pending = await asyncio.wait(waits, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        began = waits[done.pop()]
        return began, self.two if began is self.one else self.one


async def test_the_second_agent_answers_when_the_first_is_late_and_that_one_is_stopped(url: str) -> None:
    async with Two(url, "agent/hedged") as stage:
        calling = asyncio.create_task(stage.fleet.call("agent/hedged", timeout=20, hedge_after=0.05))
        late, other = await stage.first()
        await asyncio.wait_for(other.begun.acquire(), 10)
        other.go.set()
        assert await calling == other.name
        await asyncio.wait_for(late.cancelled.acquire(), 10)


async def test_the_first_may_still_win_and_the_second_is_stopped(url: str) -> None:
    async with Two(url, "agent/won") as stage:
        calling = asyncio.create_task(stage.fleet.call("agent/won", timeout=20, hedge_after=0.05))
        first, other = await stage.first()
        await asyncio.wait_for(other.begun.acquire(), 10)
        first.go.set()
        assert await calling == first.name
        await asyncio.wait_for(other.cancelled.acquire(), 10)


async def test_what_an_agent_raises_is_an_answer_and_a_time_out_is_not(url: str) -> None:
    async with Two(url, "agent/raises") as stage:
        calling = asyncio.create_task(stage.fleet.call("agent/raises", timeout=20, hedge_after=0.05))
        first, other = await stage.first()
        await asyncio.wait_for(other.begun.acquire(), 10)
        other.fails = True
        other.go.set()
        with pytest.raises(bus.CallFailed, match=other.name):
            await calling
        await asyncio.wait_for(first.cancelled.acquire(), 10)
        with pytest.raises(bus.CallTimeout):
            first.go.clear()
            other.go.clear()
            await stage.fleet.call("agent/raises", timeout=0.3, hedge_after=0.05)


async def test_a_first_that_answers_in_time_is_alone(url: str) -> None:
    async with Two(url, "agent/quick") as stage:
        stage.one.go.set()
        stage.two.go.set()
        assert await stage.fleet.call("agent/quick", timeout=20, hedge_after=10.0) in ("one", "two")
        begun = [not gated.begun.locked() for gated in (stage.one, stage.two)]
        assert begun.count(True) == 1, "nobody else was asked"


async def test_with_nobody_else_nothing_is_hedged_and_the_trace_says_who_won(url: str) -> None:
    gated = Gated("only")
    async with bus.connect(url, name="hedger") as fleet, fleet.answers("agent/only", gated):
        calling = asyncio.create_task(fleet.call("agent/only", timeout=20, hedge_after=0.01))
        await asyncio.wait_for(gated.begun.acquire(), 10)
        gated.go.set()
        assert await calling == "only"
        with pytest.raises(bus.InvalidCall, match="hedge_after"):
            await fleet.call("agent/only", hedge_after=0)
        [_ async for _ in fleet.stream("agent/only")]
    async with bus.connect(url) as fleet:
        told = [event.data async for event in fleet.read("agent.call.completed") if event.source == "hedger"]
    assert [one["hedge"] for one in told if "hedge" in one] == [{"after_ms": 10, "won": "alone"}]
    assert [one["stream"] for one in told if "stream" in one] == [{"parts": 1, "whole": True}]


# ------------------------------------------------------------------------------------------------ circuits


async def test_an_agent_that_hangs_opens_its_circuit_and_a_probe_closes_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BREAKER_REST_MS_MIN", 50)
    with agent(url, "agent/stuck") as one:
        async with bus.connect(url) as fleet:
            assert await fleet.call("agent/stuck", 1, 10) == [one.process.pid, 1]
            os.kill(one.process.pid, signal.SIGSTOP)
            for _ in range(limits.BREAKER_CALLS_MIN - 1):
                with pytest.raises(bus.CallTimeout):
                    await fleet.call("agent/stuck", 2, 0.05)
            ((address, state),) = fleet.circuits.states().items()
            assert state == OPEN
            with pytest.raises(
                bus.CircuitOpen, match=r"agent/stuck at tcp://.* its circuit is open, as 4 of the last 5"
            ):
                await fleet.call("agent/stuck", 3, 10)
            failed = fleet.circuits.of(address).failed
            with pytest.raises(bus.CircuitOpen):
                await anext(fleet.stream("agent/stuck", 3))
            assert fleet.circuits.of(address).failed == failed, "what was not called is no failure"
            os.kill(one.process.pid, signal.SIGCONT)
            async with asyncio.timeout(20):
                while fleet.circuits.states()[address] in (OPEN, HALF_OPEN):
                    try:
                        assert await fleet.call("agent/stuck", 4, 10) == [one.process.pid, 4]
                    except bus.CircuitOpen:
                        await asyncio.sleep(0.005)
            assert fleet.circuits.states()[address] == CLOSED


async def test_others_of_the_name_are_asked_while_a_circuit_is_open(url: str) -> None:
    async with Two(url, "agent/other") as stage:
        stage.one.go.set()
        stage.two.go.set()
        circuits = stage.fleet.circuits
        first = next(iter(circuits.states()))
        circuits.force_open(first)
        assert len({await stage.fleet.call("agent/other") for _ in range(10)}) == 1
        for address in circuits.states():
            circuits.force_open(address)
        assert set(circuits.states().values()) == {FORCED_OPEN}
        with pytest.raises(bus.CircuitOpen, match="its circuit is forced open, by hand, until it is reset"):
            await stage.fleet.call("agent/other")
        circuits.reset(first)
        assert await stage.fleet.call("agent/other") in ("one", "two")


async def test_what_an_agent_raises_and_busy_agents_open_nothing(url: str) -> None:
    raising, busy = Gated("raising"), Gated("busy")
    raising.fails = True
    raising.go.set()
    async with (
        bus.connect(url) as fleet,
        fleet.answers("agent/raising", raising),
        fleet.answers("agent/full", busy, in_flight=1),
    ):
        for _ in range(30):
            with pytest.raises(bus.CallFailed):
                await fleet.call("agent/raising")
        calling = asyncio.create_task(fleet.call("agent/full", timeout=60))
        await asyncio.wait_for(busy.begun.acquire(), 10)
        for _ in range(30):
            with pytest.raises(bus.Busy):
                await fleet.call("agent/full")
        calling.cancel()
        assert set(fleet.circuits.states().values()) == {CLOSED}


async def test_a_capability_alone_finds_whoever_has_it(url: str) -> None:
    async def shout(payload: Any, context: bus.CallContext) -> Any:
        return [payload.upper(), context.target, context.capability]

    async with bus.connect(url) as fleet, fleet.answers("agent/loud", shout, capability="shout"):
        assert await fleet.call(capability="shout", payload="a") == ["A", "shout", ""]
        assert [part async for part in fleet.stream(capability="shout", payload="b")] == [["B", "shout", ""]]
        with pytest.raises(bus.InvalidCall, match="target"):
            await fleet.call(payload="c")
        with pytest.raises(bus.NoSuchAgent, match="sing"):
            await fleet.call(capability="sing")
