"""`bus.TestFleet`: time that is moved, rest that is waited for, dead letters, and the plane's part."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import bus

HOUR = 3_600.0


@pytest.fixture
async def fleet() -> AsyncIterator[bus.TestFleet]:
    async with bus.TestFleet() as made:
        yield made


def event(type: str, **attributes: Any) -> bus.Event:
    return bus.Event(type=type, source=attributes.pop("source", "agent/tester"), **attributes)


async def worker(fleet: bus.Fleet, group: str, handle: Any, **how: Any) -> None:
    """An agent as small as can be: acks what `handle` takes, nacks with a delay what it raises over."""
    async with fleet.subscribe(how.pop("pattern", "task.>"), group=group, **how) as deliveries:
        async for delivery in deliveries:
            try:
                await handle(delivery)
            except ValueError as error:
                delivery.nack(delay=10 * delivery.attempt, error=str(error))
            else:
                delivery.ack()


async def begun(fleet: bus.TestFleet, *tasks: Any) -> list["asyncio.Task[None]"]:
    """Tasks that have subscribed."""
    made = [asyncio.ensure_future(task) for task in tasks]
    await fleet.settled()
    return made


async def test_hours_of_retries_take_no_time(fleet: bus.TestFleet) -> None:
    attempts: list[tuple[int, float]] = []

    async def handle(delivery: bus.Delivery) -> None:
        attempts.append((delivery.attempt, fleet.cluster.clock.time()))
        raise ValueError(f"no {delivery.attempt}")

    (task,) = await begun(fleet, worker(fleet, "workers", handle, max_deliver=4))
    began, first = time.monotonic(), fleet.cluster.clock.time()
    await fleet.publish(event("task.a", data=1))
    with pytest.raises(
        bus.NotSettled,
        match=r"^group workers: task\.a of agent/tester failed and comes again in 10 s.*`await fleet\.advance\(10\)`$",
    ):
        await fleet.settled(within=30)
    assert time.monotonic() - began < 20, "it is said at once"
    assert attempts == [(1, first)] and not fleet.dead_letters()
    await fleet.advance(HOUR)
    await fleet.settled()
    assert [(n, round(at - first)) for n, at in attempts] == [(1, 0), (2, 10), (3, 30), (4, 60)]
    (letter,) = fleet.dead_letters("workers")
    assert (letter.reason, letter.error, letter.event.data, len(letter.attempts)) == ("max_deliver", "no 4", 1, 4)
    assert fleet.dead_letters("others") == [] and letter.letter.type == "signalbox.deadletter"
    assert time.monotonic() - began < HOUR / 60
    task.cancel()


async def test_it_is_settled_when_all_that_was_published_is_done_and_what_follows_from_it(fleet: bus.TestFleet) -> None:
    done: list[str] = []

    async def plan(delivery: bus.Delivery) -> None:
        await asyncio.sleep(0.01)
        with bus.handling(delivery.event):
            await fleet.publish(event("work.b", data=delivery.event.data))

    async def work(delivery: bus.Delivery) -> None:
        await asyncio.sleep(0.01)
        done.append(delivery.event.causationid or "")

    tasks = await begun(fleet, worker(fleet, "planners", plan), worker(fleet, "workers", work, pattern="work.>"))
    receipts = await fleet.publish_many([event("task.a", data=n) for n in range(20)])
    await fleet.settled()
    assert sorted(done) == sorted(receipt.id for receipt in receipts)
    for task in tasks:
        task.cancel()


async def test_what_does_not_come_to_rest_is_named(fleet: bus.TestFleet) -> None:
    async def hang(delivery: bus.Delivery) -> None:
        await asyncio.Event().wait()

    (task,) = await begun(fleet, worker(fleet, "stuck", hang))
    await fleet.publish(event("task.a"))
    with pytest.raises(bus.NotSettled, match=r"group stuck: test/[0-9a-f]+ has not settled all"):
        await fleet.settled(within=0.2)
    task.cancel()


async def test_a_task_that_nobody_can_do_or_has_done_is_named(fleet: bus.TestFleet) -> None:
    await fleet.publish(event("text.new", requires=["translate", "legal"]))
    await joined(fleet, "a", "translate")
    with pytest.raises(
        bus.NotSettled,
        match=r"^text\.new of agent/tester requires legal, translate, and no agent that has joined can do that$",
    ):
        await fleet.settled(within=30)
    await joined(fleet, "b", "translate", "legal")
    with pytest.raises(bus.NotSettled, match=r"^after 0\.1 s: agent/b has not settled text\.new of agent/tester$"):
        await fleet.settled(within=0.1)


async def test_a_receipt_promises_nothing(fleet: bus.TestFleet) -> None:
    async with fleet.connect("other") as other:
        receipts = [await other.publish(event("task.a")), await fleet.publish(event("task.a"), acks="leader")]
        receipts += await other.publish_many([event("task.a")])
    said = "in memory, of a fleet for tests"
    assert [one.guarantee for one in receipts] == [f"quorum: {said}", f"leader: {said}", f"quorum: {said}"]


@pytest.mark.parametrize("what", ["ballots", "leases"])
async def test_what_it_has_not_is_refused_at_once_and_may_be_faked(fleet: bus.TestFleet, what: str) -> None:
    async with fleet.connect("other") as other:
        for one in (fleet, other):
            with pytest.raises(
                bus.ClientError, match=rf"a TestFleet has no {what}: .*`fleet\.{what} = …`.*signalbox up"
            ):
                getattr(one, what)
            setattr(one, what, fake := object())
            assert getattr(one, what) is fake


async def test_an_older_namesake_that_leaves_takes_nobody_away(fleet: bus.TestFleet) -> None:
    await joined(fleet, "a", "translate")
    await fleet.publish(event("agent.lifecycle.left", source="agent/a", data={"incarnation": "0", "reason": "done"}))
    await fleet.publish(event("text.new", requires=["translate"]))
    await fleet.advance(0)
    assert len(fleet.events("agent.inbox.a")) == 1


async def test_what_nobody_listens_for_is_no_work(fleet: bus.TestFleet) -> None:
    async with fleet.subscribe("task.>", group="gone"):
        pass
    await fleet.publish(event("task.a"))
    await fleet.settled(within=1)


async def test_events_come_in_the_order_in_which_they_were_published(fleet: bus.TestFleet) -> None:
    for n in range(30):
        await fleet.publish(event("task.a" if n % 2 else "work.b", subject=f"s{n}", data=n))
    assert [one.data for one in fleet.events("task.*")] == list(range(1, 30, 2))
    assert [one.data for one in fleet.events()] == list(range(30))
    with pytest.raises(bus.InvalidPattern):
        fleet.events("a..b")


async def test_time_is_moved_for_all_that_has_to_do_with_deliveries(fleet: bus.TestFleet) -> None:
    early = await fleet.publish(event("task.a", data=1))
    await fleet.advance(90)
    late = await fleet.publish(event("task.a", data=2))
    assert late.appended - early.appended == 90 * 10**9
    assert [one.data async for one in fleet.read("task.a", start="-1m")] == [2]
    with pytest.raises(bus.ClientError, match="only goes on"):
        await fleet.advance(-1)


async def test_who_lets_its_time_pass_may_have_it_again_though_it_takes_one_at_a_time() -> None:
    async with (
        bus.TestFleet(partitions=1) as fleet,
        fleet.subscribe("task.>", group="one", in_flight=1, ack_wait=30) as deliveries,
    ):
        await fleet.publish(event("task.a", data=1))
        assert (await anext(deliveries)).attempt == 1
        await fleet.advance(31)
        async with asyncio.timeout(10):
            again = await anext(deliveries)
        assert (again.attempt, again.event.data) == (2, 1)
        await again.ack()


async def test_clients_of_one_fleet_share_it_and_two_fleets_share_nothing(fleet: bus.TestFleet) -> None:
    async with fleet.connect("other") as other, bus.TestFleet() as stranger:
        await other.publish(event("task.a"))
        assert len(fleet.events()) == 1 and not stranger.events()


async def test_outside_of_its_block_it_says_what_to_do() -> None:
    for use in (lambda fleet: fleet.events(), lambda fleet: fleet.connect(), lambda fleet: fleet.dead_letters()):
        with pytest.raises(bus.ClientError, match="async with"):
            use(bus.TestFleet())
    with pytest.raises(bus.ClientError, match="partitions=0"):
        bus.TestFleet(partitions=0)


async def test_a_plane_that_cannot_tell_the_schemas_keeps_nobody_from_publishing(
    fleet: bus.TestFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise bus.NoSuchAgent("it is restarted just now")

    monkeypatch.setattr(fleet.schemas, "_ask", fail)
    assert fleet.schemas.is_stale
    await fleet.publish(event("task.a"))
    assert not fleet.schemas.is_stale, "and it is not asked each time"


# ------------------------------------------------------------------------------------------------- the plane's part


async def joined(fleet: bus.TestFleet, name: str, *capabilities: str) -> None:
    said = {"incarnation": "1", "capabilities": list(capabilities), "concurrency": 1}
    await fleet.publish(event("agent.lifecycle.joined", source=f"agent/{name}", data=said))


async def inbox(fleet: bus.Fleet, name: str, count: int) -> list[bus.Delivery]:
    how: dict[str, Any] = {"group": f"inbox.{name}", "ack_wait": 3_600, "max_deliver": 100}
    async with fleet.subscribe(f"agent.inbox.{name}", **how) as deliveries, asyncio.timeout(10):
        taken = [await anext(deliveries) for _ in range(count)]
        for delivery in taken:
            await delivery.ack()
        return taken


async def test_an_event_with_requires_goes_to_an_agent_that_can_and_has_least_to_do(fleet: bus.TestFleet) -> None:
    await joined(fleet, "a", "translate")
    await joined(fleet, "b", "translate", "legal")
    await joined(fleet, "c", "legal")
    receipts = [
        await fleet.publish(event("text.new", subject=f"case-{n}", requires=["translate"], data=n)) for n in range(4)
    ]
    assert all(receipt.routing.startswith("dispatch: needs translate;") for receipt in receipts)
    await fleet.publish(event("text.new", requires=["translate", "legal"], data=4))
    await fleet.advance(0)
    assert not fleet.events("agent.inbox.c")
    a, b = await inbox(fleet, "a", 2), await inbox(fleet, "b", 3)
    assert [one.event.data["event"]["data"] for one in a] == [0, 2]
    assert [one.event.data["event"]["data"] for one in b] == [1, 3, 4]
    first = a[0].event
    assert (first.source, first.extensions, first.partitionkey) == ("signalbox/plane", {"dispatched": True}, "agent/a")
    assert (first.correlationid, first.causationid) == ("case-0", receipts[0].id)
    assert first.data["attempt"] == 1 and first.data["decision"]["chosen"] == "agent/a"
    assert bus.from_object(first.data["event"]) == fleet.events("text.new")[0]


async def test_without_such_an_agent_it_waits_and_when_one_leaves_another_gets_it(fleet: bus.TestFleet) -> None:
    await fleet.publish(event("text.new", requires=["translate"], data=1))
    await fleet.advance(0)
    assert not fleet.events("agent.inbox.>")
    await joined(fleet, "a", "translate")
    (first,) = await inbox(fleet, "a", 1)
    await joined(fleet, "b", "translate")
    await fleet.publish(event("agent.lifecycle.left", source="agent/a", data={"incarnation": "1", "reason": "done"}))
    (second,) = await inbox(fleet, "b", 1)
    assert (first.event.data["attempt"], second.event.data["attempt"]) == (1, 2)
    assert first.event.data["task"] == second.event.data["task"]
    settled = {"task": second.event.data["task"], "agent": "agent/b", "attempt": 2, "outcome": "handled"}
    await fleet.publish(event("dispatch.settled", source="agent/b", partitionkey=settled["task"], data=settled))
    await fleet.publish(event("agent.lifecycle.left", source="agent/b", data={}))
    await joined(fleet, "c", "translate")
    await fleet.settled()
    assert len(fleet.events("agent.inbox.>")) == 2, "what is settled goes to nobody else"


async def test_mail_to_an_agent_that_is_away_is_kept(fleet: bus.TestFleet) -> None:
    await fleet.publish(event("agent.inbox.later", data="first"))
    await fleet.publish(event("agent.inbox.later", data="second"))
    assert [one.event.data for one in await inbox(fleet, "later", 2)] == ["first", "second"]
    (opened,) = [one for one in fleet.events("signalbox.agents.changed", internal=True) if one.data["inboxes"]]
    assert opened.data["inboxes"] == ["later"]
