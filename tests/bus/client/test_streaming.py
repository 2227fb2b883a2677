"""Answers in parts through the public API: order, backpressure, time-outs, who stops whom; and peers that lie."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

import bus
from bus import limits, wire
from bus.session import Session
from tests.bus.client.callstage import impostor
from tests.bus.rig import rig

pytestmark = pytest.mark.fleet
AHEAD = limits.CALL_PARTS_AHEAD_MAX
ONE = msgspec.msgpack.encode(1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("streams"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


class Counting:
    """Counts up to what it is asked for; says how far it is, and whether it was closed."""

    def __init__(self) -> None:
        self.yielded = 0
        self.moved = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, payload: Any, context: bus.CallContext) -> AsyncGenerator[int, None]:
        try:
            for number in range(payload):
                self.yielded = number + 1
                self.moved.set()
                yield number
        finally:
            self.closed.set()


async def count(payload: Any, context: bus.CallContext) -> AsyncGenerator[int, None]:
    for number in range(payload):
        yield number


async def echo(payload: Any, context: bus.CallContext) -> Any:
    return payload


async def test_parts_come_in_order_as_many_as_there_are(url: str) -> None:
    async with bus.connect(url) as fleet, fleet.answers("agent/count", count):
        for parts in (0, 1, AHEAD, 300):
            assert [part async for part in fleet.stream("agent/count", parts)] == list(range(parts))

        async def whole(parts: int) -> list[int]:
            return [part async for part in fleet.stream("agent/count", parts)]

        assert await asyncio.gather(*(whole(50) for _ in range(20))) == [list(range(50))] * 20


async def test_a_part_comes_before_the_next_one_is_made(url: str) -> None:
    go = asyncio.Event()

    async def stepwise(payload: Any, context: bus.CallContext) -> AsyncGenerator[str, None]:
        yield "first"
        await go.wait()
        yield "second"

    async with bus.connect(url) as fleet, fleet.answers("agent/step", stepwise):
        stream = fleet.stream("agent/step")
        assert await asyncio.wait_for(anext(stream), 5) == "first" and not go.is_set()
        go.set()
        assert [part async for part in stream] == ["second"]


async def test_a_slow_caller_holds_the_generator_up_and_nobody_else(url: str) -> None:
    counting = Counting()
    async with bus.connect(url) as fleet, fleet.answers("agent/long", counting), fleet.answers("agent/echo", echo):
        async with aclosing(fleet.stream("agent/long", 10_000)) as stream:
            assert await anext(stream) == 0
            for _ in range(50):
                assert await fleet.call("agent/echo", "x", 10) == "x"
            assert AHEAD <= counting.yielded <= AHEAD + 2, "what is ahead is bounded"
            for number in range(1, 5 * AHEAD):
                assert await anext(stream) == number
        await asyncio.wait_for(counting.closed.wait(), 5)
        assert counting.yielded < 10 * AHEAD


async def test_leaving_the_loop_or_being_cancelled_stops_the_agent(url: str) -> None:
    first, second = Counting(), Counting()
    async with bus.connect(url) as fleet, fleet.answers("agent/left", first), fleet.answers("agent/cancelled", second):
        async for part in fleet.stream("agent/left", 10_000):
            if part == 3:
                break
        await asyncio.wait_for(first.closed.wait(), 5)

        async def forever() -> None:
            async for _ in fleet.stream("agent/cancelled", 10_000):
                await asyncio.Event().wait()

        task = asyncio.create_task(forever())
        await asyncio.wait_for(second.moved.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(second.closed.wait(), 5)


async def test_what_the_agent_raises_comes_after_the_parts_before_it(url: str) -> None:
    async def breaks(payload: Any, context: bus.CallContext) -> AsyncGenerator[Any, None]:
        yield 1
        yield 2
        if payload == "large":
            yield bytes(limits.CALL_BYTES_MAX)
        raise ValueError("no more")

    async with bus.connect(url) as fleet, fleet.answers("agent/breaks", breaks):
        for payload, kind in (("", "ValueError"), ("large", "InvalidCall")):
            came = []
            with pytest.raises(bus.CallFailed, match=f"agent/breaks raised {kind}"):
                async for part in fleet.stream("agent/breaks", payload):
                    came.append(part)
            assert came == [1, 2]


async def test_an_agent_that_stops_answering_breaks_the_stream_off(url: str) -> None:
    counting = Counting()
    async with bus.connect(url) as fleet:
        async with bus.connect(url) as other, other.answers("agent/gone", counting):
            stream = fleet.stream("agent/gone", 10_000)
            assert await anext(stream) == 0
        with pytest.raises((bus.CallLost, bus.CallFailed)):
            async for _ in stream:
                pass
        assert counting.closed.is_set()


async def test_time_outs_of_a_part_and_of_the_whole(url: str) -> None:
    closed = asyncio.Event()

    async def hangs(payload: Any, context: bus.CallContext) -> AsyncGenerator[int, None]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with bus.connect(url) as fleet, fleet.answers("agent/hangs", hangs):
        came = []
        with pytest.raises(bus.CallTimeout, match=r"gave no part of its answer within 0.2 s, after 1"):
            async for part in fleet.stream("agent/hangs", part_timeout=0.2):
                came.append(part)
        assert came == [0]
        await asyncio.wait_for(closed.wait(), 5)
        closed.clear()
        with pytest.raises(bus.CallTimeout, match="did not answer in time"):
            async for part in fleet.stream("agent/hangs", timeout=0.3):
                came.append(part)
        await asyncio.wait_for(closed.wait(), 5)
        for wrong in ({"timeout": 0}, {"part_timeout": 0.0}, {"part_timeout": 10**9}):
            with pytest.raises(bus.InvalidCall, match="timeout="):
                await anext(fleet.stream("agent/hangs", **wrong))


async def test_whole_and_in_parts_do_not_mix_but_where_that_is_plain(url: str) -> None:
    async with bus.connect(url) as fleet, fleet.answers("agent/echo", echo), fleet.answers("agent/count", count):
        assert [part async for part in fleet.stream("agent/echo", {"n": 1})] == [{"n": 1}]
        with pytest.raises(bus.InvalidCall, match="agent/count answers in parts"):
            await fleet.call("agent/count", 1)
        with pytest.raises(bus.InvalidCall, match="target"):
            await anext(fleet.stream())


# ------------------------------------------------------------------------------------------------ peers that lie

Frames = Callable[[Session, wire.Call], list[bytes]]


def parts(*said: Callable[[int], wire.Message]) -> Frames:
    """All of these in one frame, for the request that came."""

    def reply(session: Session, call: wire.Call) -> list[bytes]:
        message, blobs = wire.bundled([(one(call.request), ()) for one in said])
        return session.send(message, blobs)

    return reply


LIES: dict[str, tuple[Frames, type[bus.BusError], str]] = {
    "gap": (parts(lambda r: wire.Part(r, 1, ONE)), bus.CallLost, "part 1 of an answer came when 0 was due"),
    "twice": (
        parts(lambda r: wire.Part(r, 0, ONE), lambda r: wire.Part(r, 0, ONE)),
        bus.CallLost,
        "came when 1 was due",
    ),
    "flood": (
        parts(*[lambda r, n=n: wire.Part(r, n, ONE) for n in range(AHEAD + 1)]),
        bus.CallLost,
        "came before it was granted",
    ),
    "miscount": (
        parts(lambda r: wire.Part(r, 0, ONE), lambda r: wire.Ended(r, 2)),
        bus.CallLost,
        "an answer of 2 parts is over, and 1 came",
    ),
    "payload": (parts(lambda r: wire.Part(r, 0, b"\xc1")), bus.ProtocolError, "no MessagePack"),
    "late": (parts(lambda r: wire.Ended(r + 7, 0)), bus.CallTimeout, "gave no part"),
}


@pytest.mark.parametrize("kind", sorted(LIES))
async def test_an_agent_that_lies_costs_one_stream(url: str, kind: str) -> None:
    reply, error, why = LIES[kind]
    async with bus.connect(url) as fleet, fleet.answers("agent/honest", count):
        with impostor(url, f"agent/{kind}", reply):
            with pytest.raises(error, match=why):
                async for _ in fleet.stream(f"agent/{kind}", 1, part_timeout=0.5):
                    pass
            assert [part async for part in fleet.stream("agent/honest", 3)] == [0, 1, 2]


@pytest.mark.parametrize("said", [lambda r: wire.Part(r, 0, ONE), lambda r: wire.Ended(r, 0)], ids=["part", "end"])
async def test_parts_that_nobody_asked_for_end_the_session(url: str, said: Callable[[int], wire.Message]) -> None:
    async with bus.connect(url) as fleet:
        with impostor(url, "agent/unasked", parts(said)), pytest.raises(bus.FleetError, match="in parts"):
            await fleet.call("agent/unasked", 1, 2.0)


async def test_a_stream_that_goes_on_keeps_no_circuit_half_open() -> None:
    async def tell(payload: Any, context: bus.CallContext) -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.Event().wait()

    async with bus.TestFleet() as fleet, fleet.answers("agent/teller", tell) as teller, fleet.answers("echo", echo):
        rested = time.monotonic_ns() - limits.BREAKER_REST_MS_MIN * 1_000_000
        breaker = fleet.circuits.of(teller.url)
        for _ in range(limits.BREAKER_CALLS_MIN):
            breaker.ended(breaker.admit(rested), False, rested)
        assert breaker.state == "open"
        async with aclosing(fleet.stream("agent/teller")) as parts:
            assert await anext(parts) == 1
            assert await fleet.call("echo", "also there") == "also there"
