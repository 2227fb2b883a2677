"""Agents on a whole fleet: what they say makes them known, silence is told, and mail to one that is away is kept."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

import bus
from controlplane.questions import Agent, Agents, AskAgent, AskAgents, AskVerify, Operate, Operated, Verified
from tests.bus.test_opening import TERMS
from tests.chaos.live import LiveFleet, live_fleet, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(120)]
SMALL = ("--brokers", "1", "--partitions", "3")


def word(name: str, said: str, **data: Any) -> bus.Event:
    return bus.Event(type=f"agent.lifecycle.{said}", source=f"agent/{name}", data={"incarnation": f"{name}-1"} | data)


def state_of(live: LiveFleet, name: str) -> str:
    body = live.ask(AskAgent(name))
    return body.row.state if isinstance(body, Agent) else ""


async def becomes(live: LiveFleet, name: str, state: str) -> Agent:
    await until(f"{name} is {state}", lambda: state_of(live, name) == state)
    body = live.ask(AskAgent(name))
    assert isinstance(body, Agent)
    return body


async def test_words_silence_levers_and_mail(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        async with bus.connect(data_dir=live.directory.root) as fleet:
            heard: list[bus.Event] = []

            async def follow() -> None:
                async for event in fleet.read(">", start="earliest", follow=True, internal=True):
                    heard.append(event)

            reading = asyncio.create_task(follow())
            await fleet.publish_many([word(name, "joined", capabilities=["plan"], heartbeat_ms=500) for name in "ab"])
            await fleet.publish_many([word(name, "ready") for name in "ab"])
            await becomes(live, "a", "ready")
            await fleet.publish(bus.Event(type="agent.inbox.a", source="tests", data={"n": 1}))
            told = lambda: any("a" in event.data["inboxes"] for event in of(heard, "signalbox.agents.changed"))  # noqa: E731
            await until("agents are told of the inbox", told)
            await becomes(live, "a", "failed")
            both = {"agent/a", "agent/b"}
            await until(
                "both are told of", lambda: {e.data["agent"] for e in of(heard, "agent.lifecycle.failed")} == both
            )
            assert {event.data["agent"] for event in of(heard, "agent.lifecycle.suspected")} == both
            async with fleet.subscribe("agent.inbox.a", **TERMS) as mine:
                async for delivery in mine:
                    assert delivery.event.data == {"n": 1} and delivery.attempt == 1
                    await delivery.ack()
                    break
            planned = live.ask(Operate("quarantine", ["b"], reason="errors", by="op", expected=["agent/b"]))
            assert isinstance(planned, Operated) and planned.position and planned.touched == ["agent/b"]
            await fleet.publish(word("b", "heartbeat", load=100))
            held = await becomes(live, "b", "quarantined")
            assert [turn.state for turn in held.turns][-2:] == ["ready", "joined"]
            reading.cancel()
        live.kill_plane()
        live.start()
        await live.ready()
        listed = live.ask(AskAgents())
        assert isinstance(listed, Agents) and {row.agent: row.state for row in listed.rows}["agent/b"] == "quarantined"
        verdict = live.ask(AskVerify())
        assert isinstance(verdict, Verified) and verdict.same


def of(heard: list[bus.Event], type: str) -> list[bus.Event]:
    return [event for event in list(heard) if event.type == type]


async def test_a_plane_that_was_stopped_suspects_nobody(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        async with bus.connect(data_dir=live.directory.root) as fleet:
            beating = asyncio.create_task(beats(fleet))
            await becomes(live, "a", "ready")
            assert live.plane is not None
            live.plane.send_signal(signal.SIGSTOP)
            await asyncio.sleep(6)
            live.plane.send_signal(signal.SIGCONT)
            body = await becomes(live, "a", "ready")
            await asyncio.sleep(2)
            body = await becomes(live, "a", "ready")
            assert [turn.state for turn in body.turns] == ["ready", "joined"], "it was never anything else"
            beating.cancel()


async def beats(fleet: bus.Fleet) -> None:
    """An agent that says what it should, each half second."""
    await fleet.publish_many([word("a", "joined", heartbeat_ms=500), word("a", "ready")])
    while True:
        await fleet.publish(word("a", "heartbeat"))
        await asyncio.sleep(0.5)
