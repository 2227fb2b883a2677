"""An agent on the fleet in memory: as its author would test it."""

from typing import Any

import pytest

import bus

pytest.importorskip("bus.agents")


async def test_an_agent_is_tested_without_processes_or_sleeping() -> None:
    agent = bus.Agent("planner", capabilities=["plan"])
    tried: list[int] = []

    @agent.on("task.plan.requested", max_deliver=3)
    async def plan(event: bus.Event, context: Any) -> None:
        tried.append(context.attempt)
        if event.data["goal"] == "hard" and context.attempt < 3:
            raise ValueError("too hard")
        await context.publish("task.plan.completed", {"steps": 3})

    @agent.answers("estimate")
    async def estimate(request: Any, context: Any) -> Any:
        return request * 2

    async with bus.TestFleet() as fleet, agent.using(fleet):
        await fleet.publish(
            bus.Event(type="task.plan.requested", source="agent/t", subject="s-1", data={"goal": "tea"})
        )
        await fleet.settled()
        (done,) = fleet.events("task.plan.completed")
        assert (done.source, done.data, done.correlationid) == ("agent/planner", {"steps": 3}, "s-1")
        await fleet.publish(
            bus.Event(type="task.plan.requested", source="agent/t", subject="s-2", data={"goal": "hard"})
        )
        with pytest.raises(bus.NotSettled, match=r"failed and comes again in 0\.1 s"):
            await fleet.settled()
        assert tried == [1, 1] and len(fleet.events("task.plan.completed")) == 1
        await fleet.advance(60)
        assert tried == [1, 1, 2, 3] and len(fleet.events("task.plan.completed")) == 2
        assert await fleet.call("estimate", 21) == 42


async def test_what_needs_a_capability_comes_by_the_inbox_of_who_has_it() -> None:
    agent = bus.Agent("translator", capabilities=["translate"])
    seen: list[Any] = []

    @agent.on("text.new")
    async def translate(event: bus.Event, context: Any) -> None:
        seen.append((event.data, context.decision["chosen"]))

    async with bus.TestFleet() as fleet, agent.using(fleet):
        await fleet.publish(bus.Event(type="text.new", source="agent/t", requires=["translate"], data="hello"))
        await fleet.settled()
        assert seen == [("hello", "agent/translator")]
        assert fleet.events("dispatch.settled")[0].data["outcome"] == "handled"
