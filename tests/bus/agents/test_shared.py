"""What agents of one connection share, and what comes by the inbox, on fake brokers."""

import asyncio
from typing import Any

import msgspec
import pytest

import bus
from bus.agents import limits
from bus.agents.hub import hub_of
from bus.client.operator import plane_fleet
from tests.bus.agents.stage import Request, connected, noting, read, until
from tests.bus.client.fakebroker import FakeFleet


async def test_a_capability_is_one_member_whatever_the_number_of_agents(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        seen: dict[str, list[Any]] = {}
        agents = []
        for number in range(6):
            agent = bus.Agent(f"t{number}", capabilities=["translate"], fleet=fleet)
            agent.on("capability.translate.asked")(noting(seen.setdefault(agent.name, [])))
            agents.append(agent)
        await asyncio.gather(*(agent.__aenter__() for agent in agents))
        groups = {name for name, _ in fake.groups}
        members = {member.join.member for group in fake.groups.values() for member in group.members.values()}
        assert groups == {"capability.translate"} and len(members) == 1
        await fleet.publish_many([bus.Event(type="capability.translate.asked", subject=str(n)) for n in range(60)])
        await fleet.publish(bus.Event(type="capability.translate.asked", requires=["translate"]))
        await until("all are settled", lambda: len(fake.settled("capability.translate")) == 61)
        assert sum(map(len, seen.values())) == 60, "what requires a capability is dispatched, not taken"
        assert all(seen.values()), "each of them worked"
        await asyncio.gather(*(agent.__aexit__(None, None, None) for agent in agents))
        await until("the member left", lambda: not fake.groups[("capability.translate", 0)].members)
        assert hub_of(fleet).desks == {}


async def test_every_agent_hears_coordination_once(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        heard: dict[str, list[str]] = {"a": [], "b": []}
        agents = [bus.Agent(name, fleet=fleet) for name in heard]
        for agent in agents:

            @agent.on("system.coordination.>")
            async def hear(event: bus.Event, context: bus.Context) -> None:
                heard[context.agent.name].append(event.type)

        async with agents[0], agents[1]:
            await fleet.publish(bus.Event(type="system.coordination.pause"))
            await until("both heard", lambda: all(heard.values()))
        assert heard == {"a": ["system.coordination.pause"], "b": ["system.coordination.pause"]}
        assert not fake.groups, "nothing of it is durable"
        watched = [
            one
            for broker in fake.brokers
            for one in broker.heard
            if getattr(one, "pattern", "") == "system.coordination.>"
        ]
        assert len(watched) == len(fake.partitions), "one read for all of them"


@pytest.mark.parametrize("more", [0, limits.INBOX_WATCHES_MAX + 1])
async def test_an_inbox_is_made_by_its_first_mail_and_kept(fake: FakeFleet, more: int) -> None:
    async with connected(fake) as fleet:
        seen: list[Any] = []
        agent = bus.Agent("planner", fleet=fleet)
        agent.on(agent.inbox)(noting(seen))
        others = [bus.Agent(f"o{number}", fleet=fleet) for number in range(more)]
        await asyncio.gather(*(one.__aenter__() for one in others))
        async with agent:
            assert not fake.groups, "nobody has mail"
            await fleet.publish(bus.Event(type="agent.inbox.planner", id="first"))
            await until("it came", lambda: seen)
            await fleet.publish(bus.Event(type="agent.inbox.planner", id="second", subject="elsewhere"))
            await until("that, too", lambda: len(seen) == 2)
            assert {name for name, _ in fake.groups} == {"inbox.planner"}
        await fleet.publish(bus.Event(type="agent.inbox.planner", id="while it is away"))
        async with agent:
            await until("it was kept", lambda: len(seen) == 3)
        assert sorted(seen) == [("first", 1), ("second", 1), ("while it is away", 1)]
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in others))


def order(task: str, event: bus.Event, attempt: int = 1) -> bus.Event:
    data = {"task": task, "attempt": attempt, "event": msgspec.Raw(bus.to_json(event)), "decision": {"why": "able"}}
    return bus.Event(
        type="agent.inbox.planner", source="signalbox/plane", id=f"{task}.{attempt}", partitionkey="agent/planner",
        extensions={"dispatched": True}, data=data,
    )  # fmt: skip


async def test_what_is_dispatched_is_handled_and_said_to_be_settled(fake: FakeFleet) -> None:
    async with connected(fake) as fleet, plane_fleet(fake.urls, 1, "u") as plane:
        agent = bus.Agent("planner", capabilities=["plan"], fleet=fleet)
        got: list[Any] = []

        @agent.on("task.plan.*", dispatched=True, max_deliver=2)
        async def plan(event: bus.Event, context: bus.Context, request: Request) -> None:
            got.append((event.type, request.goal, context.decision))
            if request.goal == "impossible":
                raise ValueError("no way")

        async with agent:

            def asked(id: str, type: str = "task.plan.asked", **data: Any) -> bus.Event:
                return bus.Event(type=type, source="agent/boss", id=id, requires=["plan"], data=data)

            await plane.publish(order("t1", asked("e1", goal="go")))
            await plane.publish(order("t2", asked("e2", goal="impossible")))
            await plane.publish(order("t3", asked("e3", goal=7)))
            await plane.publish(order("t4", asked("e4", "task.draw.asked")))
            await plane.publish(order("t1", asked("e1", goal="go"), attempt=2))
            await until("each is settled", lambda: len(fake.settled("inbox.planner")) == 5)
            assert set(fake.settled("inbox.planner").values()) == {"ack"}, "a dead letter is dispatch's to make"
            await plane.publish(order("t5", asked("e5")).replace(data={"task": "t5"}))
            await until("what is malformed ends", lambda: len(fake.settled("inbox.planner")) == 6)
            assert sorted(fake.settled("inbox.planner").values()) == [*["ack"] * 5, "terminate"]
        said = {event.id: event.data for event in await read(fleet, "dispatch.settled")}
        outcomes = {id: data["outcome"] for id, data in said.items()}
        assert outcomes == {
            "settled:t1:1": "handled", "settled:t1:2": "handled", "settled:t2:1": "failed", "settled:t3:1": "refused",
            "settled:t4:1": "refused",
        }  # fmt: skip
        assert said["settled:t2:1"]["error"] == "ValueError: no way"
        assert "data.goal" in said["settled:t3:1"]["error"] and "task.draw.asked" in said["settled:t4:1"]["error"]
        assert [one[1] for one in got] == ["go", "impossible", "impossible"], "again only what failed"
        assert got[0] == ("task.plan.asked", "go", {"why": "able"})


async def test_what_was_dispatched_while_it_could_do_more_is_not_handled(fake: FakeFleet) -> None:
    """Its mail waited while it was away; it comes back without what that was for, though with a handler for it."""
    async with connected(fake) as fleet, plane_fleet(fake.urls, 1, "u") as plane:
        agent = bus.Agent("planner", capabilities=["plan"], fleet=fleet)
        got: list[str] = []

        @agent.on("task.>", dispatched=True)
        async def any(event: bus.Event, context: bus.Context) -> None:
            got.append(event.id)

        async with agent:
            for task, needs in (("t1", ["fly", "plan"]), ("t2", ["plan"]), ("t3", [])):
                asked = bus.Event(type="task.asked", source="agent/boss", id=task)
                data = {"task": task, "attempt": 1, "event": msgspec.Raw(bus.to_json(asked)),
                        "decision": {"requires": needs}}  # fmt: skip
                await plane.publish(order(task, asked).replace(data=data))
            await until("each is settled", lambda: len(fake.settled("inbox.planner")) == 3)
        said = {event.id: event.data for event in await read(fleet, "dispatch.settled")}
        assert (
            said["settled:t1:1"]["outcome"] == "refused" and "cannot do fly any more" in said["settled:t1:1"]["error"]
        )
        assert sorted(got) == ["t2", "t3"]


async def test_what_a_leaver_had_begun_is_handled_by_another_of_its_group(fake: FakeFleet, monkeypatch: Any) -> None:
    monkeypatch.setattr("bus.agents.life.DRAIN_MS_MAX", 50)
    async with connected(fake) as fleet:
        began: list[str] = []
        agents = [bus.Agent(name, fleet=fleet) for name in ("a", "b")]
        for agent in agents:

            @agent.on("task.>", group="g")
            async def work(event: bus.Event, context: bus.Context) -> None:
                began.append(context.agent.name)
                if len(began) == 1:
                    await asyncio.Event().wait()

        async with agents[0], agents[1]:
            await fleet.publish(bus.Event(type="task.asked"))
            await until("one has begun", lambda: began)
            leaver, other = agents if began == ["a"] else agents[::-1]
            await leaver.__aexit__(None, None, None)
            await until("the other one did it", lambda: other.counts.handled)
            assert set((await until("it is acked", lambda: fake.settled("g"))).values()) == {"ack"}
