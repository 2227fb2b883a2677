"""docs/agents.md is true: its python blocks run, on a fleet in memory."""

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bus
from tests.bus.testing.pages import blocks, run


def as_coroutine(block: str, place: Path, **known: Any) -> Any:
    """A block that awaits, as a function to be called in an event loop; it has `known` as globals."""
    text = "async def block():\n" + textwrap.indent(block, "    ") + "    return locals()\n"
    return run(text, place, bus=bus, **known)["block"]


async def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bus.Agent] = []
    monkeypatch.setattr(bus.Agent, "run", lambda agent: started.append(agent))
    script, typed, sayings, calls, service = blocks("agents.md")
    async with asyncio.timeout(60), bus.TestFleet() as fleet:
        run(script, tmp_path)
        (planner,) = started
        async with planner.using(fleet):
            await fleet.publish(bus.Event(type="task.plan.requested"))
            await fleet.settled()
            assert fleet.events("task.plan.completed")[0].source == "agent/planner"

        agent = bus.Agent("planner")
        run(typed, tmp_path, bus=bus, msgspec=msgspec, agent=agent)
        async with agent.using(fleet):
            await fleet.publish(bus.Event(type="task.plan.fit", data={"goal": "tea"}))
            await fleet.publish(bus.Event(type="task.plan.unfit", data={}))
            await fleet.settled()
            errors = {letter.event.type: letter.error for letter in fleet.dead_letters()}
            assert errors["task.plan.unfit"] == "data.goal: is missing" and "task.plan.fit" not in errors

        agent = bus.Agent("speaker", capabilities=["summarise"])

        @agent.on("say.all")
        async def say(event: bus.Event, context: bus.Context) -> None:
            await as_coroutine(sayings, tmp_path, context=context, error=ValueError("no"))()

        agent.on("agent.help.requested", dispatched=True)(say_nothing)
        async with agent.using(fleet):
            await fleet.publish(bus.Event(type="say.all"))
            await fleet.settled()
        said = [one.type for one in fleet.events() if one.source == "agent/speaker" and one.causationid]
        # Its own help is dispatched to it, and settled beside what it goes on saying.
        own = [type for type in said if type != "dispatch.settled"]
        assert len(said) == 7 and len(own) == 6 and own[-1] == "agent.status.updated", said

        agent = bus.Agent("translator")
        define, called = calls.split("answer = ")
        run(define, tmp_path, agent=agent)
        async with agent.using(fleet):
            assert (await as_coroutine(f"answer = {called}", tmp_path, context=agent)())["answer"] == {"text": "…"}

        monkeypatch.setattr(bus, "connect", fleet.connect)
        stopped = asyncio.create_task(as_coroutine(service, tmp_path)())
        while len(fleet.events("agent.lifecycle.ready")) < 6:
            await fleet.advance(0)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped


async def say_nothing(event: bus.Event, context: bus.Context) -> None: ...
