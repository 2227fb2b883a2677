"""The trace of calls, and what a caller may not ask for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bus
from bus import limits
from bus.client.calltraces import CallTrace, CallTraces
from bus.errors import BrokerUnavailable
from tests.bus.rig import rig

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("calls"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


async def test_each_call_leaves_one_event_of_its_trace(url: str) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        if payload == "ask":
            return await fleet.call("agent/inner")
        return 1 // payload

    async def inner(payload: Any, context: bus.CallContext) -> Any:
        return context.traceparent

    async with (
        bus.connect(url, name="agent/caller") as fleet,
        fleet.answers("agent/outer", answer),
        fleet.answers("agent/inner", inner),
    ):
        assert await fleet.call("agent/outer", "ask", traceparent=TRACE, tracestate="a=b") == TRACE
        with pytest.raises(bus.CallFailed):
            await fleet.call("agent/outer", 0)
    async with bus.connect(url) as fleet:
        told = {(one.data["target"], one.type): one async for one in fleet.read("agent.call.>")}
    assert set(told) == {
        ("agent/outer", "agent.call.completed"),
        ("agent/inner", "agent.call.completed"),
        ("agent/outer", "agent.call.failed"),
    }
    outer = told["agent/outer", "agent.call.completed"]
    assert (outer.source, outer.traceparent, outer.tracestate) == ("agent/caller", TRACE, "a=b")
    assert told["agent/inner", "agent.call.completed"].traceparent == TRACE
    failed = told["agent/outer", "agent.call.failed"]
    assert failed.traceparent not in (None, TRACE)
    assert {one.subject for one in told.values()} == {None}, "a call is no saga of the agent that is called"
    assert isinstance(failed.data, dict) and failed.data["error"] == "CallFailed"
    assert "ZeroDivisionError" in failed.data["why"] and failed.data["took_us"] > 0


async def test_traces_that_nobody_takes_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALL_TRACES_MAX", 3)
    tried = asyncio.Event()

    async def refuse(events: Any, acks: str, within: float, on_progress: None) -> None:
        assert len(list(events)) == 3
        tried.set()
        raise BrokerUnavailable("none is there")

    traces = CallTraces(refuse, "agent/caller")
    for _ in range(5):
        traces.add(CallTrace("agent/a", "", TRACE, "", 5, 10**18))
    await asyncio.wait_for(tried.wait(), 5)
    await traces.close()
    assert (traces.dropped, traces.lost) == (2, 3)


async def test_closing_waits_for_traces_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALL_TRACE_CLOSE_MS", 20)

    async def hang(events: Any, acks: str, within: float, on_progress: None) -> None:
        await asyncio.Event().wait()

    traces = CallTraces(hang, "agent/caller")
    traces.add(CallTrace("agent/a", "", TRACE, "", 5, 10**18))
    async with asyncio.timeout(5):
        await traces.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_a_call_may_not_be(url: str) -> None:
    async with bus.connect(url) as fleet:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"target": ""}, "target"),
            ({"target": "a\nb"}, "target"),
            ({"target": "x" * 201}, "201 characters"),
            ({"target": "a", "capability": "\x00"}, "capability"),
            ({"target": "a", "timeout": 0}, "timeout=0"),
            ({"target": "a", "timeout": float("nan")}, "timeout=nan"),
            ({"target": "a", "timeout": 1e9}, "timeout"),
            ({"target": "a", "payload": object()}, "payload"),
            ({"target": "a", "payload": 1 << 70}, "payload"),
            ({"target": "a", "payload": bytes(limits.CALL_BYTES_MAX)}, r"payload: 10485\d\d bytes"),
            ({"target": "a", "traceparent": "mine"}, "traceparent"),
        ]
        for arguments, why in wrong:
            with pytest.raises(bus.InvalidCall, match=why):
                await fleet.call(**arguments)
        for arguments, why in (({"name": ""}, "name"), ({"in_flight": 0}, "in_flight=0"), ({"answer": 5}, "cannot be")):
            with pytest.raises(bus.InvalidCall, match=why):
                fleet.answers(**({"name": "agent/a", "answer": test_what_a_call_may_not_be} | arguments))
        with pytest.raises(bus.AccessDenied, match="control plane's own"):
            async with fleet.answers("signalbox/plane", lambda payload, context: payload):
                pass


async def test_leaving_leaves_nothing_behind(url: str) -> None:
    async def echo(payload: Any, context: bus.CallContext) -> Any:
        return payload

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def once() -> None:
        async with bus.connect(url) as fleet, fleet.answers("agent/tidy", echo):
            assert await fleet.call("agent/tidy", 1) == 1

    await once()
    before = open_files()
    for _ in range(4):
        await once()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert open_files() <= before


async def test_a_fleet_is_left_although_calls_are_made_meanwhile(url: str) -> None:
    async def echo(payload: Any, context: bus.CallContext) -> Any:
        return payload

    async def keep_calling(fleet: bus.Fleet, called: asyncio.Event) -> None:
        while True:
            try:
                await fleet.call("agent/echo", 1)
                called.set()
            except bus.ClientError as error:
                assert "is closed" in str(error)
                return
            except bus.FleetError:
                await asyncio.sleep(0)

    async with bus.connect(url) as other, other.answers("agent/echo", echo):
        async with asyncio.timeout(20):
            async with bus.connect(url) as fleet:
                called = asyncio.Event()
                task = asyncio.create_task(keep_calling(fleet, called))
                await called.wait()
            await task
        with pytest.raises(bus.ClientError, match="is closed"):
            await fleet.call("agent/echo", 1)
        async with bus.connect(url) as fleet:
            assert await fleet.call("agent/echo", 1) == 1
            calling = fleet._calling
            assert calling is not None
            await calling.close()
            with pytest.raises(bus.ClientError, match="is closed"):  # as one that was placed meanwhile
                await calling.call("agent/echo", 1, 5, "", "", "")
        with pytest.raises(bus.ClientError, match="is closed"):
            async with fleet.answers("agent/late", echo):
                pass


async def test_leaving_that_is_cancelled_closes_everything_all_the_same(url: str) -> None:
    working, told, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn(payload: Any, context: bus.CallContext) -> None:
        working.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
            await may_end.wait()

    async def leave(other: bus.Fleet) -> None:
        async with bus.connect(url) as fleet:
            left.append(fleet)
            await fleet.answers("agent/stubborn", stubborn).__aenter__()
            calls.append(asyncio.create_task(other.call("agent/stubborn")))
            await working.wait()

    left: list[bus.Fleet] = []
    calls: list[asyncio.Task[Any]] = []
    async with asyncio.timeout(20), bus.connect(url) as other:
        leaving = asyncio.create_task(leave(other))
        await told.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        may_end.set()
        assert left[0].cluster.closed
        (lost,) = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(lost, bus.CallLost)
