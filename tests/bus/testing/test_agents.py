"""An agent on the fleet in memory: as its author would test it."""

import asyncio
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


async def test_what_is_worked_on_does_not_come_again_however_far_time_moves() -> None:
    agent, gate = bus.Agent("slow"), asyncio.Event()
    seen: list[int] = []

    @agent.on("work.asked", max_deliver=2, ack_wait=30, timeout=600)
    async def work(event: bus.Event, context: bus.Context) -> None:
        seen.append(context.attempt)
        await gate.wait()

    async with bus.TestFleet() as fleet, agent.using(fleet):
        await fleet.publish(bus.Event(type="work.asked", source="agent/t"))
        await fleet.advance(100)
        gate.set()
        await fleet.settled()
        assert seen == [1] and fleet.dead_letters() == [] and agent.counts.duplicates == 0


def failing(name: str, log: list[str], error: Exception | None, pattern: str = "text.new") -> bus.Agent:
    agent = bus.Agent(name, capabilities=["translate"])

    @agent.on(pattern, dispatched=True, max_deliver=1)
    async def translate(event: bus.Event, context: bus.Context) -> None:
        assert context.decision["requires"] == ["translate"]
        log.append(name)
        if error is not None:
            raise error

    return agent


async def test_a_task_that_fails_goes_to_another_agent() -> None:
    log: list[str] = []
    async with (
        bus.TestFleet() as fleet,
        failing("a", log, ValueError("no")).using(fleet),
        failing("b", log, None).using(fleet),
    ):
        await fleet.publish(bus.Event(type="text.new", source="agent/t", requires=["translate"]))
        await fleet.settled()
        assert log == ["a", "b"]
        assert [said.data["outcome"] for said in fleet.events("dispatch.settled")] == ["failed", "handled"]


async def test_a_task_that_always_fails_rests_and_is_a_dead_letter_of_dispatch() -> None:
    log: list[str] = []
    async with bus.TestFleet() as fleet, failing("a", log, ValueError("no")).using(fleet):
        await fleet.publish(bus.Event(type="text.new", source="agent/t", subject="s", requires=["translate"]))
        with pytest.raises(bus.NotSettled, match="failed and is dispatched again in 1 s"):
            await fleet.settled()
        await fleet.advance(60)
        await fleet.settled()
        (letter,) = fleet.dead_letters("dispatch")
        assert len(log) == 5 and letter.reason == "attempts" and letter.error.endswith("ValueError: no")
        assert [one["attempt"] for one in letter.attempts] == [1, 2, 3, 4, 5]
        assert letter.event.subject == "s"


async def test_a_task_that_all_refuse_is_a_dead_letter_at_once() -> None:
    async with bus.TestFleet() as fleet, failing("a", [], None, pattern="else").using(fleet):
        await fleet.publish(bus.Event(type="text.new", source="agent/t", requires=["translate"]))
        await fleet.settled()
        assert [one.reason for one in fleet.dead_letters("dispatch")] == ["refused"]


@pytest.mark.parametrize(("type", "more"), [("ballot.opened", {}), ("text.new", {"importof": "log"})])
async def test_what_the_real_plane_leaves_alone_is_not_dispatched(type: str, more: dict[str, Any]) -> None:
    async with bus.TestFleet() as fleet, failing("a", [], None, pattern=type).using(fleet):
        await fleet.publish(bus.Event(type=type, source="agent/t", requires=["translate"], extensions=more))
        await fleet.settled()
        assert fleet.events("agent.inbox.>") == []
