"""Calls: answers, errors, time-outs, traces."""

import asyncio
from typing import Any

import pytest

import bus
from tests.bus.conformance.conftest import SECONDS, World

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


async def test_a_call_is_answered(world: World) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        assert (context.target, context.caller) == (world.name, "caller") and 0 < context.remaining <= 20
        return {"got": payload}

    caller = await world.client("caller")
    async with world.fleet.answers(world.name, answer):
        assert await caller.call(world.name, {"text": "…", "raw": b"\x00"}, timeout=20) == {
            "got": {"text": "…", "raw": b"\x00"}
        }


async def test_a_capability_is_called_whoever_has_it(world: World) -> None:
    async def upper(payload: Any, context: bus.CallContext) -> Any:
        return payload.upper()

    async def lower(payload: Any, context: bus.CallContext) -> Any:
        return payload.lower()

    caller = await world.client("caller")
    async with (
        world.fleet.answers(f"agent/{world.name}", upper, capability=f"{world.name}-upper"),
        world.fleet.answers(f"agent/{world.name}", lower, capability=f"{world.name}-lower"),
    ):
        assert await caller.call(f"{world.name}-upper", "aB", timeout=20) == "AB"
        assert await caller.call(f"agent/{world.name}", "aB", timeout=20, capability=f"{world.name}-lower") == "ab"


async def test_two_capabilities_of_a_name_are_announced_at_once(world: World) -> None:
    async def echo(payload: Any, context: bus.CallContext) -> Any:
        return context.capability

    caller, name = await world.client("caller"), f"agent/{world.name}"
    first = world.fleet.answers(name, echo, capability=f"{world.name}-a")
    second = world.fleet.answers(name, echo, capability=f"{world.name}-b")
    await asyncio.gather(first.__aenter__(), second.__aenter__())
    for able in (f"{world.name}-a", f"{world.name}-b"):
        assert await caller.call(name, timeout=20, capability=able) == able
    await asyncio.gather(first.__aexit__(None, None, None), second.__aexit__(None, None, None))


async def test_what_goes_wrong_is_the_callers_to_know(world: World) -> None:
    async def fail(payload: Any, context: bus.CallContext) -> Any:
        raise ValueError("no such word")

    async def hang(payload: Any, context: bus.CallContext) -> Any:
        await asyncio.Event().wait()

    caller = await world.client("caller")
    async with world.fleet.answers(f"{world.name}-fails", fail), world.fleet.answers(f"{world.name}-hangs", hang):
        with pytest.raises(bus.CallFailed, match="no such word") as caught:
            await caller.call(f"{world.name}-fails", timeout=20)
        assert caught.value.kind == "ValueError"
        with pytest.raises(bus.CallTimeout):
            await caller.call(f"{world.name}-hangs", timeout=0.2)
    with pytest.raises(bus.NoSuchAgent):
        await caller.call(f"{world.name}-nobody", timeout=20)
    with pytest.raises(bus.InvalidCall):
        await caller.call(world.name, object(), timeout=20)


async def test_who_is_full_says_so(world: World) -> None:
    going, gate = asyncio.Event(), asyncio.Event()

    async def answer(payload: Any, context: bus.CallContext) -> Any:
        going.set()
        await gate.wait()
        return "done"

    caller = await world.client("caller")
    async with world.fleet.answers(world.name, answer, in_flight=1):
        first = asyncio.ensure_future(caller.call(world.name, timeout=20))
        async with asyncio.timeout(SECONDS):
            await going.wait()
        with pytest.raises(bus.Busy):
            await caller.call(world.name, timeout=20)
        gate.set()
        assert await first == "done"


async def test_a_trace_is_carried_on_by_what_is_published_and_called(world: World) -> None:
    async def inner(payload: Any, context: bus.CallContext) -> Any:
        return context.traceparent

    async def outer(payload: Any, context: bus.CallContext) -> Any:
        await world.publish("effect")
        return await world.fleet.call(f"{world.name}-inner", timeout=10)

    caller = await world.client("caller")
    async with world.fleet.answers(f"{world.name}-inner", inner), world.fleet.answers(world.name, outer):
        assert await caller.call(world.name, timeout=20, traceparent=TRACE) == TRACE
        with bus.handling(world.event("cause", id="c", traceparent=TRACE)):
            assert await caller.call(f"{world.name}-inner", timeout=20) == TRACE
    (effect,) = await world.read("effect")
    assert (effect.traceparent, effect.correlationid) == (TRACE, None)


async def test_each_call_leaves_a_trace_event(world: World) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        return 1

    caller = await world.client(f"caller-{world.name}")
    reading = world.fleet.read("agent.call.*", follow=True)
    async with world.fleet.answers(world.name, answer):
        await caller.call(world.name, timeout=20, traceparent=TRACE)
    async with asyncio.timeout(SECONDS):
        async for event in reading:
            if event.data["target"] == world.name:
                break
    assert (event.type, event.traceparent) == ("agent.call.completed", TRACE)
    await reading.aclose()
