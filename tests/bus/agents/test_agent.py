"""Agents on fake brokers: what they say of themselves, what handlers get, and what becomes of deliveries."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

import bus
from bus.agents.hub import hub_of
from tests.bus.agents.stage import Request, connected, noting, read, until
from tests.bus.client.fakebroker import FakeFleet


async def test_a_life_is_told_from_joining_to_leaving(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        planner = bus.Agent(
            "planner", capabilities=["plan"], version="3", locality="eu", preferences={"size": "small"}, concurrency=2,
            heartbeat=0.1, fleet=fleet,
        )  # fmt: skip
        beats = fleet.read("agent.lifecycle.heartbeat", follow=True)
        async with planner:
            beat = await anext(beats)
            incarnation = planner.life.incarnation
            assert fleet.incarnations == {"agent/planner": incarnation}, "which its leases are asked for with"
        assert fleet.incarnations == {}
        await beats.aclose()
        told = {event.type.split(".")[-1]: event for event in await read(fleet, "agent.lifecycle.*")}
        assert [word for word in told if word != "heartbeat"] == ["joined", "ready", "left"]
        assert all(event.source == "agent/planner" for event in told.values())
        assert told["joined"].data == {
            "incarnation": incarnation, "capabilities": ["plan"], "version": "3", "address": "", "locality": "eu",
            "preferences": {"size": "small"}, "concurrency": 2, "heartbeat_ms": 100,
        }  # fmt: skip
        assert beat.data == {
            "incarnation": incarnation, "load": 0, "queue": 0, "in_flight": 0, "handled": 0, "failed": 0
        }  # fmt: skip
        assert told["left"].data == {"incarnation": incarnation, "reason": "done"}
        async with planner:
            assert planner.life.incarnation != incarnation


async def test_a_handler_gets_its_payload_and_says_what_follows(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("planner", fleet=fleet)

        @agent.on("task.plan.requested")
        async def plan(event: bus.Event, context: bus.Context, request: Request) -> None:
            assert (context.agent, context.event, context.attempt, context.decision) == (agent, event, 1, None)
            assert 0 < context.remaining <= 27
            await context.publish("task.plan.completed", {"steps": request.steps})
            await context.learned({"n": 1})
            await context.ask_help("summarise", {"n": 2}, priority="high")
            await context.finished({"n": 3})
            await context.went_wrong(ValueError("no"))
            await context.status({"n": 4}, subject="other")

        async with agent:
            cause = bus.Event(
                type="task.plan.requested", source="agent/boss", subject="case-1",
                traceparent=f"00-{'a' * 32}-{'b' * 16}-01", data={"goal": "g", "steps": 3},
            )  # fmt: skip
            receipt = await fleet.publish(cause)
            await until("six things were said", lambda: agent.counts.handled)
        said = [event for event in await read(fleet, ">") if event.source == "agent/planner" and event.causationid]
        kinds = {event.type: event for event in said}
        assert set(kinds) == {
            "task.plan.completed", "agent.knowledge.learned", "agent.help.requested", "agent.task.completed",
            "agent.error.raised", "agent.status.updated",
        }  # fmt: skip
        for event in said:
            assert (event.causationid, event.correlationid, event.traceparent) == (
                receipt.id,
                "case-1",
                cause.traceparent,
            )
        assert kinds["agent.help.requested"].requires == ["summarise"]
        assert kinds["agent.help.requested"].priority == "high"
        assert kinds["agent.error.raised"].data == {"kind": "ValueError", "error": "no"}
        assert (kinds["task.plan.completed"].subject, kinds["agent.status.updated"].subject) == ("case-1", "other")
        assert set(fake.settled("agent/planner:task.plan.requested").values()) == {"ack"}


async def test_a_payload_that_does_not_fit_ends_the_delivery_and_names_the_field(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("planner", fleet=fleet)

        @agent.on("task.asked")
        async def plan(event: bus.Event, context: bus.Context, request: Request) -> None:
            raise AssertionError("it is not called")

        async with agent:
            await fleet.publish(bus.Event(type="task.asked", data={"goal": "g", "steps": "many"}))
            await until("it is settled", lambda: fake.settled("agent/planner:task.asked"))
            assert agent.counts[:2] == (0, 1)
        said = [item for broker in fake.brokers for one in broker.heard for item in getattr(one, "items", ())]
        assert [item.verdict for item in said] == ["terminate"]
        assert "data.steps" in said[0].error and "expected `int`, got `str`" in said[0].error


async def test_what_raises_or_hangs_is_nacked_with_its_error(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("planner", fleet=fleet)
        attempts: list[int] = []

        @agent.on("task.raises")
        async def fail(event: bus.Event, context: bus.Context) -> None:
            attempts.append(context.attempt)
            if context.attempt < 3:
                raise ValueError("not yet")

        @agent.on("task.hangs", timeout=0.05)
        async def hang(event: bus.Event, context: bus.Context) -> None:
            if context.attempt == 1:
                await asyncio.Event().wait()

        async with agent:
            await fleet.publish(bus.Event(type="task.raises"))
            await fleet.publish(bus.Event(type="task.hangs"))
            await until("both ended well", lambda: agent.counts.handled == 2)
            assert (attempts, agent.counts.failed) == ([1, 2, 3], 3)
        errors = {item.error for broker in fake.brokers for one in broker.heard for item in getattr(one, "items", ())}
        assert "ValueError: not yet" in errors and any("came to no end within 0.05 s" in one for one in errors)


async def test_duplicates_are_acked_unhandled_and_counted(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("planner", fleet=fleet)
        seen: list[Any] = []
        agent.on("task.>")(noting(seen))
        async with agent:
            twice = bus.Event(type="task.a", source="agent/boss", id="same")
            await fleet.publish_many([twice, twice, twice.replace(id="other")])
            await until("all are settled", lambda: len(fake.settled("agent/planner:task.>")) == 3)
            assert sorted(seen) == [("other", 1), ("same", 1)] and agent.counts.duplicates == 1


async def test_no_more_than_its_concurrency_is_under_way(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("worker", concurrency=3, heartbeat=0.1, fleet=fleet)
        gate, most = asyncio.Event(), 0

        @agent.on("a.>")
        @agent.on("b.>")
        async def work(event: bus.Event, context: bus.Context) -> None:
            nonlocal most
            most = max(most, agent.counts.in_flight)
            await gate.wait()

        async with agent:
            await fleet.publish_many([bus.Event(type=f"{'ab'[n % 2]}.x", subject=str(n)) for n in range(20)])
            async for beat in fleet.read("agent.lifecycle.heartbeat", follow=True):
                if beat.data["queue"] > 0:
                    assert (beat.data["load"], beat.data["in_flight"]) == (1000, 3)
                    break
            gate.set()
            await until("all are handled", lambda: agent.counts.handled == 20)
        assert most == 3


async def test_leaving_lets_handlers_end_and_gives_back_the_rest(fake: FakeFleet, monkeypatch: Any) -> None:
    monkeypatch.setattr("bus.agents.life.DRAIN_MS_MAX", 100)
    async with connected(fake) as fleet:
        agent = bus.Agent("worker", concurrency=2, fleet=fleet)
        begun, gate = asyncio.Event(), asyncio.Event()

        @agent.on("task.>")
        async def work(event: bus.Event, context: bus.Context) -> None:
            if event.type == "task.stuck":
                begun.set()
                await asyncio.Event().wait()
            await gate.wait()

        async with agent:
            await fleet.publish(bus.Event(type="task.stuck"))
            await begun.wait()
            await fleet.publish(bus.Event(type="task.slow"))
            await until("both are under way", lambda: agent.counts.in_flight == 2)
            await fleet.publish(bus.Event(type="task.waits"))
            gate.set()
        assert set(fake.settled("agent/worker:task.>").values()) <= {"ack"}
        assert len(fake.settled("agent/worker:task.>")) < 3, "what did not end, or did not begin, is not settled"
        [left] = await read(fleet, "agent.lifecycle.left")
        assert left.data["reason"] == "done"


async def test_mistakes_are_said_where_they_are_made(fake: FakeFleet) -> None:
    for wrong in ("", "a b", "a..b", "a.*", "x" * 201):
        with pytest.raises(bus.ClientError):
            bus.Agent(wrong)
    for more in (
        {"concurrency": 0}, {"heartbeat": 0.01}, {"capabilities": "plan"}, {"capabilities": ["a b"]},
        {"preferences": {"a": "x" * 201}}, {"version": "x\n"},
    ):  # fmt: skip
        with pytest.raises(bus.ClientError):
            bus.Agent("a", **more)  # type: ignore[arg-type]
    async with connected(fake) as fleet:
        agent = bus.Agent("a", fleet=fleet)
        with pytest.raises(bus.ClientError, match="has not joined"):
            await agent.publish("x")
        async with agent:
            with pytest.raises(bus.ClientError, match="has joined"):
                agent.on("late.>")(noting([]))
            with pytest.raises(bus.ClientError, match="one name is one agent"):
                await bus.Agent("a", fleet=fleet).__aenter__()
            other = bus.Agent("b", fleet=fleet)
            other.on("x.>", group="g")(noting([]))
            third = bus.Agent("c", fleet=fleet)
            third.on("y.>", group="g")(noting([]))
            async with other:
                with pytest.raises(bus.GroupConflict):
                    await third.__aenter__()
            assert set(hub_of(fleet).desks) == {"a"}
            agent.stop("enough")
            await agent.wait()
        reasons = {event.source: event.data["reason"] for event in await read(fleet, "agent.lifecycle.left")}
        assert reasons == {
            "agent/a": "enough",
            "agent/b": "done",
            "agent/c": "it could not join: GroupConflict",
        }


async def test_an_agent_whose_group_refuses_it_says_so(fake: FakeFleet) -> None:
    async with connected(fake) as fleet:
        agent = bus.Agent("a", fleet=fleet)
        agent.on("x.>", group="g")(noting([]))
        async with agent:
            with fake.lock:
                for group in fake.groups.values():
                    group.settings = msgspec.structs.replace(group.settings, pattern="other.>")
            fake.move(["b2", "b3", "b1", "b2"])
            with pytest.raises(bus.GroupConflict):
                await agent.wait()


async def test_calls_go_on_in_the_trace_of_what_is_handled() -> None:
    class Line:
        async def call(self, *told: Any, **options: Any) -> Any:
            return told, options

    agent = bus.Agent("a")
    event = bus.Event(type="a", source="s", id="1", traceparent="00-a", tracestate="k=v")
    context = bus.Context(agent, event, 1)
    agent._life = cast(Any, type("Life", (), {"fleet": Line()}))
    told = ("agent/b", {"n": 1}, 3.0)
    assert await context.call(*told, capability="c") == (
        told,
        {"capability": "c", "traceparent": "00-a", "tracestate": "k=v"},
    )
    assert await agent.call("agent/b") == (("agent/b", None, 2.0), {})
