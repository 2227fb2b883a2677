"""Handlers that end otherwise than by returning or an ordinary exception: each such end is an attempt."""

import asyncio
from typing import Any

import pytest

import bus


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
