"""Calls through the public API, with a real broker: what comes back, what is refused, and who is stopped."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bus
from bus import limits, wire
from bus.client import presence
from tests.bus.client.callstage import agent
from tests.bus.rig import Peer, Rig, rig

pytestmark = pytest.mark.fleet
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with rig(tmp_path_factory.mktemp("calls"), partitions=1, brokers=1) as made:
        made.elect(0)
        yield made.processes["b1"].url


async def echo(payload: Any, context: bus.CallContext) -> Any:
    return payload


class Slow:
    """Answers when `go` is set; says how many have begun and how many were cancelled."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)

    async def __call__(self, payload: Any, context: bus.CallContext) -> Any:
        self.begun.release()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return payload


async def test_an_answer_comes_back_whole_and_the_agent_knows_who_asked(url: str) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        known = (context.caller, context.target, context.capability, context.traceparent, context.tracestate)
        return [payload, *known, 1.0 < context.remaining <= 1.5]

    async with bus.connect(url, name="me") as fleet, fleet.answers("agent/whole", answer):
        for payload in (None, {"text": "…", "n": [1, 2.5, None, True]}, b"\x00\xff", "x" * 100_000):
            came = await fleet.call("agent/whole", payload, 1.5, traceparent=TRACE, tracestate="a=b")
            assert came == [payload, "me", "agent/whole", "", TRACE, "a=b", True]


async def test_concurrent_calls_get_each_its_own_answer(url: str) -> None:
    async with bus.connect(url) as fleet, fleet.answers("agent/many", echo):
        answers = await asyncio.gather(*(fleet.call("agent/many", number, 10) for number in range(200)))
        assert answers == list(range(200))


async def test_what_the_agent_raises_comes_back_and_the_agent_lives_on(url: str) -> None:
    async def answer(payload: Any, context: bus.CallContext) -> Any:
        if payload == "object":
            return object()
        if payload == "large":
            return bytes(limits.CALL_BYTES_MAX)
        if payload == "cancel":
            raise asyncio.CancelledError
        if payload == "ok":
            return 1
        raise ValueError("no such word" + "!" * 2_000)

    async with bus.connect(url) as fleet, fleet.answers("agent/raises", answer):
        with pytest.raises(bus.CallFailed, match="agent/raises raised ValueError: no such word") as failed:
            await fleet.call("agent/raises")
        assert failed.value.kind == "ValueError"
        assert len(failed.value.text) == limits.CALL_ERROR_CHARS_MAX
        for payload, kind in (("object", "InvalidCall"), ("large", "InvalidCall"), ("cancel", "CancelledError")):
            with pytest.raises(bus.CallFailed, match="agent/raises raised") as failed:
                await fleet.call("agent/raises", payload)
            assert failed.value.kind == kind
        assert await fleet.call("agent/raises", "ok") == 1


async def test_a_time_out_is_told_and_stops_the_work(url: str) -> None:
    slow = Slow()
    async with bus.connect(url) as fleet, fleet.answers("agent/slow", slow, in_flight=1):
        with pytest.raises(bus.CallTimeout, match="agent/slow did not answer in time"):
            await fleet.call("agent/slow", 1, 0.1)
        await asyncio.wait_for(slow.cancelled.acquire(), 5)
        slow.go.set()
        assert await fleet.call("agent/slow", 2) == 2, "its place is free again"


async def test_cancelling_the_caller_cancels_the_agents_work(url: str) -> None:
    slow = Slow()
    async with bus.connect(url) as fleet, fleet.answers("agent/cancelled", slow, in_flight=1):
        calling = asyncio.create_task(fleet.call("agent/cancelled", 1, 60))
        await asyncio.wait_for(slow.begun.acquire(), 5)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.wait_for(slow.cancelled.acquire(), 5)
        slow.go.set()
        assert await fleet.call("agent/cancelled", 2) == 2


async def test_an_agent_that_ignores_its_cancellation_fills_up(url: str) -> None:
    go = asyncio.Event()

    async def stubborn(payload: Any, context: bus.CallContext) -> Any:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return payload

    async with bus.connect(url) as fleet, fleet.answers("agent/stubborn", stubborn, in_flight=1):
        with pytest.raises(bus.CallTimeout):
            await fleet.call("agent/stubborn", 1, 0.05)
        with pytest.raises(bus.Busy, match="works on 1 calls already"):
            await fleet.call("agent/stubborn", 2)
        go.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await fleet.call("agent/stubborn", 3) == 3
                    break
                except bus.Busy:
                    await asyncio.sleep(0)


async def test_more_calls_than_allowed_are_told_busy_and_others_of_the_name_help(url: str) -> None:
    first, second = Slow(), Slow()
    async with (
        bus.connect(url) as one,
        bus.connect(url) as two,
        bus.connect(url) as fleet,
        one.answers("agent/busy", first, in_flight=2),
        two.answers("agent/busy", second, in_flight=2),
    ):
        calls = [asyncio.create_task(fleet.call("agent/busy", number, 30)) for number in range(4)]
        for slow in (first, second):
            for _ in range(2):
                await asyncio.wait_for(slow.begun.acquire(), 5)
        with pytest.raises(bus.Busy, match="works on 2 calls already"):
            await fleet.call("agent/busy", 5)
        first.go.set()
        second.go.set()
        assert await asyncio.gather(*calls) == [0, 1, 2, 3]


async def test_a_client_bounds_its_own_calls_in_flight(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    async with bus.connect(url) as fleet, fleet.answers("agent/bound", slow, in_flight=2_000):
        calls = [asyncio.create_task(fleet.call("agent/bound", n, 30)) for n in range(limits.CALLS_IN_FLIGHT_MAX)]
        for _ in calls:
            await asyncio.wait_for(slow.begun.acquire(), 10)
        with pytest.raises(bus.Busy, match=f"{limits.CALLS_IN_FLIGHT_MAX} calls"):
            await fleet.call("agent/bound", 0)
        slow.go.set()
        assert await asyncio.gather(*calls) == list(range(limits.CALLS_IN_FLIGHT_MAX))


async def test_names_and_capabilities(url: str) -> None:
    async def shout(payload: Any, context: bus.CallContext) -> Any:
        return payload.upper()

    async with bus.connect(url) as fleet:
        async with (
            fleet.answers("agent/words", echo, capability="words.say"),
            fleet.answers("agent/words", shout, capability="words.shout"),
        ):
            assert await fleet.call("agent/words", "a", capability="words.shout") == "A"
            assert await fleet.call("words.shout", "b") == "B", "any agent that can do it"
            with pytest.raises(bus.NoSuchAgent, match=r"agent/words answers words\.say, words\.shout, not ''"):
                await fleet.call("agent/words", "c")
            with pytest.raises(bus.NoSuchAgent, match=r"not 'words\.sing'"):
                await fleet.call("agent/words", "d", capability="words.sing")
            with pytest.raises(bus.ClientError, match="answered here already"):
                async with fleet.answers("agent/words", echo, capability="words.say"):
                    pass
        with pytest.raises(bus.NoSuchAgent, match=r"words\.shout"):
            await fleet.call("words.shout", "e")


async def test_nobody_there(url: str) -> None:
    async with bus.connect(url) as fleet:
        with pytest.raises(bus.NoSuchAgent, match="'agent/nobody': start it, or mend the name"):
            await fleet.call("agent/nobody")
        with pytest.raises(bus.NoSuchAgent, match="the name or capability 'sing'"):
            await fleet.call(capability="sing")


async def test_an_agent_that_leaves_lets_its_calls_end_and_takes_no_more(url: str) -> None:
    slow = Slow()
    async with bus.connect(url) as other, bus.connect(url) as fleet:
        async with other.answers("agent/leaving", slow):
            calling = asyncio.create_task(fleet.call("agent/leaving", 1, 30))
            await asyncio.wait_for(slow.begun.acquire(), 5)
            asyncio.get_running_loop().call_later(0.05, slow.go.set)
        assert await calling == 1
        with pytest.raises(bus.NoSuchAgent):
            await fleet.call("agent/leaving", 2)


async def test_a_call_ends_with_the_fleet_that_answers_it(url: str) -> None:
    slow = Slow()
    async with bus.connect(url) as fleet:
        async with bus.connect(url) as other:
            answering = other.answers("agent/closing", slow)
            await answering.__aenter__()
            calling = asyncio.create_task(fleet.call("agent/closing", 1, 30))
            await asyncio.wait_for(slow.begun.acquire(), 5)
        with pytest.raises(bus.CallLost, match="agent/closing went away during the call"):
            await calling
        await asyncio.wait_for(slow.cancelled.acquire(), 5)


async def test_an_agent_killed_in_the_middle_is_noticed_at_once_and_its_successor_is_found(url: str) -> None:
    async with bus.connect(url) as fleet:
        with agent(url, "agent/killed") as first:
            assert await fleet.call("agent/killed", "a", 10) == [first.process.pid, "a"]
            calling = asyncio.create_task(fleet.call("agent/killed", "hang", 60))
            assert await asyncio.to_thread(first.line) == "hanging"
            await asyncio.to_thread(first.kill)
            async with asyncio.timeout(10):
                with pytest.raises(bus.CallLost, match="agent/killed went away during the call"):
                    await calling
                with pytest.raises(bus.AgentUnavailable, match="was announced, and cannot be called"):
                    await fleet.call("agent/killed", "b", 10)
        with agent(url, "agent/killed") as second:
            assert await fleet.call("agent/killed", "c", 10) == [second.process.pid, "c"]


async def test_an_agent_that_stands_still_costs_time_outs_and_goes_on(url: str) -> None:
    with agent(url, "agent/stopped") as one:
        async with bus.connect(url) as fleet:
            assert await fleet.call("agent/stopped", 1, 10) == [one.process.pid, 1]
            os.kill(one.process.pid, signal.SIGSTOP)
            with pytest.raises(bus.CallTimeout):
                await fleet.call("agent/stopped", 2, 0.1)
            async with bus.connect(url) as late:
                with pytest.raises(bus.CallTimeout, match="could not be reached in time; it was not called"):
                    await late.call("agent/stopped", 3, 0.1)
            os.kill(one.process.pid, signal.SIGCONT)
            assert await fleet.call("agent/stopped", 4, 10) == [one.process.pid, 4], (
                "the late answer is not taken for it"
            )


async def test_a_full_presence_table_is_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = asyncio.Event()

    def warned(_format: str, _url: str, name: str, why: bus.BusError) -> None:
        assert name == "agent/patient" and "agents are known here already" in str(why)
        refused.set()

    monkeypatch.setattr(presence.log, "warning", warned)
    peer = Peer(url)
    peer.welcomed()
    sessions = [peer]
    try:
        for number in range(limits.PRESENCE_MAX):
            if number % limits.PRESENCE_PER_SESSION_MAX == 0 and number:
                peer = Peer(url)
                peer.welcomed()
                sessions.append(peer)
            here = wire.Answerer(f"agent/{number}", "tcp://127.0.0.1:9", [])
            peer.say(wire.Present(peer.number(), here))
        peer.hear(wire.Message, lambda told: getattr(told, "request", 0) == peer.requests)  # or Busy
        async with bus.connect(url) as fleet:
            entering = asyncio.create_task(fleet.answers("agent/patient", echo).__aenter__())
            await asyncio.wait_for(refused.wait(), 10)
            sessions[0].write(sessions[0].session.bye("closing", "done"))
            await asyncio.wait_for(entering, 10)
            assert await fleet.call("agent/patient", 1) == 1
    finally:
        for each in sessions:
            if each.session.is_open:
                each.write(each.session.bye("closing", "done"))
            each.socket.close(1_000)


async def test_several_processes_under_one_name_share_the_calls(url: str) -> None:
    with agent(url, "agent/shared") as one, agent(url, "agent/shared") as two:
        async with bus.connect(url) as fleet:
            first = await fleet.call("agent/shared", 0, 10)
            async with asyncio.timeout(10):
                pids = {first[0]}
                while pids != {one.process.pid, two.process.pid}:
                    pids.add((await fleet.call("agent/shared", 0))[0])


async def test_agents_are_known_again_after_a_broker_restart_and_called_meanwhile(tmp_path: Path) -> None:
    def restart(made: Rig) -> None:
        made.start("b1")
        made.elect(0)

    with rig(tmp_path, partitions=1, brokers=1) as made:
        made.elect(0)
        async with bus.connect(made.processes["b1"].url) as other, other.answers("agent/known", echo):
            async with bus.connect(made.processes["b1"].url) as fleet:
                assert await fleet.call("agent/known", 1) == 1
                await asyncio.to_thread(made.kill, "b1")
                assert await fleet.call("agent/known", 2) == 2, "no broker is needed for it"
                await asyncio.to_thread(restart, made)
            async with bus.connect(made.processes["b1"].url) as late, asyncio.timeout(20):
                while True:
                    try:
                        assert await late.call("agent/known", 3) == 3
                        break
                    except bus.NoSuchAgent:
                        await asyncio.sleep(0.02)
