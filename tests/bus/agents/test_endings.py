"""Handlers that end otherwise than by returning or an ordinary exception: each such end is an attempt."""

import asyncio
import os
import signal
from typing import Any

import pytest

import bus
from tests.bus.client.fakebroker import FakeFleet


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Harsh(BaseException):
    """No Exception, as the failures of some test frameworks and task libraries are none."""


@pytest.mark.parametrize("type", ["work.asked", "capability.c.asked"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Mute(), "Mute: (its text cannot be made: RuntimeError)"),
        (Harsh("no"), "Harsh: no"),
        (pytest.fail.Exception("no"), "Failed: no"),
        (BaseExceptionGroup("all", [Harsh()]), "BaseExceptionGroup: all (1 sub-exception)"),
        (GeneratorExit(), "GeneratorExit"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_whatever_a_handler_raises_is_an_attempt(type: str, error: BaseException, told: str) -> None:
    agent = bus.Agent("worker", capabilities=["c"])
    attempts: list[int] = []

    @agent.on(type, max_deliver=2)
    async def work(event: bus.Event, context: bus.Context) -> None:
        attempts.append(context.attempt)
        raise error

    async with bus.TestFleet() as fleet, agent.using(fleet):
        await fleet.publish(bus.Event(type=type, source="agent/t"))
        await fleet.advance(10)
        await fleet.settled()
        (letter,) = fleet.dead_letters()
        assert attempts == [1, 2] and agent.counts.failed >= 2
        assert told in [one["error"] for one in letter.attempts]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (Mute(), "Mute", "(its text cannot be made: RuntimeError)"),
        (Harsh("no"), "Harsh", "no"),
        (GeneratorExit(), "GeneratorExit", "it ended without an answer"),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_whatever_an_answer_raises_is_the_callers_to_know(error: BaseException, kind: str, text: str) -> None:
    agent = bus.Agent("worker")

    @agent.answers("it")
    async def answer(request: Any, context: bus.CallContext) -> None:
        raise error

    async with bus.TestFleet() as fleet, agent.using(fleet):
        with pytest.raises(bus.CallFailed) as raised:
            await fleet.call("agent/worker", timeout=10)
        assert (raised.value.kind, raised.value.text) == (kind, text)


async def test_one_agent_has_one_life_at_a_time(fake: FakeFleet) -> None:
    agent = bus.Agent("worker", url=fake.urls)
    joined = await asyncio.gather(agent.__aenter__(), agent.__aenter__(), return_exceptions=True)
    (error,) = [one for one in joined if one is not agent]
    assert isinstance(error, bus.ClientError) and "has joined" in str(error)
    await agent.__aexit__(None, None, None)


def test_a_handler_that_ends_the_process_has_used_an_attempt() -> None:
    agent = bus.Agent("worker")
    letters: list[Any] = []

    @agent.on("work.asked", max_deliver=1)
    async def work(event: bus.Event, context: bus.Context) -> None:
        raise SystemExit(7)

    async def main() -> None:
        async with bus.TestFleet() as fleet:
            try:
                async with agent.using(fleet):
                    await fleet.publish(bus.Event(type="work.asked", source="agent/t"))
                    await asyncio.Event().wait()
            finally:
                letters.extend((one.reason, one.error) for one in fleet.dead_letters())

    with pytest.raises(SystemExit, match="7"):
        asyncio.run(main())
    assert letters == [("max_deliver", "SystemExit: 7")], "else it would end whoever takes it, again and again"


def test_a_second_signal_ends_what_does_not_end_by_itself(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bus.agents.life.DRAIN_MS_MAX", 50)
    monkeypatch.setattr("bus.agents.desk.DRAIN_MS_MAX", 50)
    agent, left = bus.Agent("worker", url=fake.urls), list[bool]()

    @agent.on("work.asked", start="earliest")
    async def work(event: bus.Event, context: bus.Context) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                left.append(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)

    async def ask() -> None:
        async with bus.connect(fake.urls) as fleet:
            await fleet.publish(bus.Event(type="work.asked", source="agent/t"))

    asyncio.run(ask())
    agent.run()
    assert left == [False, True], "while it leaves it goes on leaving; then the process is the signal's"
    assert "1 handlers go on although they were cancelled" in caplog.text
