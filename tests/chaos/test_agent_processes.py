"""Agents as processes of their own on real brokers: what raises, hangs or is killed comes again; nothing is lost."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bus
from bus.client.operator import plane_fleet
from tests.bus.test_groups_fleet import elected, urls
from tests.chaos.live import live_fleet, until

pytestmark = pytest.mark.fleet
WAIT_S = 60

WORKER = """
import asyncio, os, signal, sys
import bus

agent = bus.Agent("worker", capabilities=["work"], url=sys.argv[1].split(","), concurrency=4, heartbeat=0.2)

async def act(event, context):
    print("began", event.id, context.attempt, flush=True)
    how = event.data["how"] if context.attempt == 1 else ""
    if how == "raise":
        raise ValueError("as told")
    if how == "hang":
        await asyncio.Event().wait()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await context.finished({"of": event.id})

agent.on("task.>", ack_wait=1.5, timeout=0.4, start="earliest")(act)
agent.on(agent.inbox)(act)
agent.on("job.asked", dispatched=True)(act)
agent.run()
"""


class Worker:
    """The process; `run` starts it again whenever it was killed, until it is told to leave."""

    def __init__(self, addresses: list[str]) -> None:
        self.command = [sys.executable, "-c", WORKER, ",".join(addresses)]
        self.process: asyncio.subprocess.Process | None = None
        self.kills = 0
        self.began: list[tuple[str, int]] = []
        self.code: int | None = None

    async def run(self) -> None:
        while True:
            self.process = await asyncio.create_subprocess_exec(*self.command, stdout=asyncio.subprocess.PIPE)
            assert self.process.stdout is not None
            while line := (await self.process.stdout.readline()).decode().split():
                self.began.append((line[1], int(line[2])))
            self.code = await self.process.wait()
            if self.code != -signal.SIGKILL:
                return
            self.kills += 1

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@asynccontextmanager
async def working(addresses: list[str]) -> AsyncIterator[Worker]:
    worker = Worker(addresses)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        if not running.done():
            worker.tell(signal.SIGTERM)
        await running
        assert worker.code == 0, "it left cleanly"
    finally:
        if worker.process is not None and worker.process.returncode is None:
            worker.process.kill()
        running.cancel()
        await asyncio.wait([running])


def asked(number: int, how: str = "", **more: Any) -> bus.Event:
    return bus.Event(
        type="task.asked", source="tests", id=f"e{number}", subject=f"s{number}", data={"how": how}, **more
    )


async def finished(fleet: bus.Fleet, wanted: set[str]) -> Counter[str]:
    """What was said to be finished, as soon as it is all that is wanted."""
    found = Counter[str]()
    async for event in fleet.read("agent.task.completed", follow=True):
        found[event.data["of"]] += 1
        if wanted <= set(found):
            return found
    raise AssertionError("the read ended")


async def lifecycles(fleet: bus.Fleet) -> list[str]:
    return [
        event.type.rpartition(".")[2]
        async for event in fleet.read("agent.lifecycle.*")
        if not event.type.endswith("heartbeat")
    ]


async def until_said(fleet: bus.Fleet, type: str, count: int = 1) -> bus.Event:
    async for event in fleet.read(type, follow=True):
        count -= 1
        if not count:
            return event
    raise AssertionError("the read ended")


async def test_what_raises_hangs_or_is_killed_comes_again_and_nothing_is_lost(tmp_path: Path) -> None:
    ways = ["", "", "raise", "hang", "kill"]
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(WAIT_S), bus.connect(urls(fleet)) as client:
            events = [asked(number, ways[number % 5 if number < 10 else number % 4]) for number in range(24)]
            await client.publish_many(events)
            async with working(urls(fleet)) as worker:
                found = await finished(client, {event.id for event in events})
                assert worker.kills >= 1
            for number in range(24):
                how = events[number].data["how"]
                attempts = [attempt for id, attempt in worker.began if id == f"e{number}"]
                assert max(attempts) >= (2 if how else 1), f"{how}: it was tried again"
            assert found.keys() == {event.id for event in events}
            assert [one async for one in client.read("signalbox.deadletter")] == []
            assert (await lifecycles(client))[-1] == "left"


async def test_duplicates_are_handled_once_whatever_partition_they_are_in(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(WAIT_S), bus.connect(urls(fleet)) as client:
            await client.publish_many([asked(1), *(asked(1).replace(subject=f"other-{n}") for n in range(20))])
            async with working(urls(fleet)) as worker:
                await client.publish_many([asked(2), asked(3)])
                await finished(client, {"e1", "e2", "e3"})
                await until_said(client, "agent.lifecycle.ready")
                worker.tell(signal.SIGTERM)
                left = await until_said(client, "agent.lifecycle.left")
                assert left.data["reason"] == "SIGTERM"
            assert sorted(worker.began) == [("e1", 1), ("e2", 1), ("e3", 1)]


async def test_an_agent_that_is_away_gets_its_mail_later_and_resumes(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(WAIT_S), bus.connect(urls(fleet)) as client:

            def mail(number: int) -> bus.Event:
                return asked(number).replace(type="agent.inbox.worker")

            async with working(urls(fleet)):
                await until_said(client, "agent.lifecycle.ready")
                await client.publish(mail(1))
                await finished(client, {"e1"})
            await client.publish_many([mail(2), mail(3), asked(4), asked(5)])
            async with working(urls(fleet)) as again:
                found = await finished(client, {"e1", "e2", "e3", "e4", "e5"})
            assert set(found.values()) == {1} and len(again.began) == 4, "what was done is not done again"
            assert await lifecycles(client) == ["joined", "ready", "left"] * 2


async def test_an_agent_is_called_where_it_says_it_is(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(WAIT_S), bus.connect(urls(fleet)) as client, bus.connect(urls(fleet)) as own:
            agent = bus.Agent("translator", capabilities=["translate"], concurrency=4, heartbeat=0.1, fleet=own)
            asked_of, answer = asyncio.Event(), asyncio.Event()

            @agent.answers("translate")
            async def translate(request: Any, context: bus.CallContext) -> Any:
                asked_of.set()
                await answer.wait()
                return {"text": request["text"][::-1]}

            async with agent:
                joined = await until_said(client, "agent.lifecycle.joined")
                assert joined.data["address"] == agent.life.address != ""
                calling = asyncio.ensure_future(client.call("agent/translator", {"text": "abc"}, timeout=20))
                await asked_of.wait()
                assert (agent.counts.in_flight, agent.life.beat().data["load"]) == (1, 250), "a call is work, too"
                answer.set()
                assert await calling == {"text": "cba"}
            with pytest.raises(bus.BusError):
                await client.call("agent/translator", {"text": "abc"})


async def test_first_mail_to_an_agent_that_is_away_is_kept_by_the_plane(tmp_path: Path) -> None:
    got: list[str] = []
    agent = bus.Agent("planner", capabilities=["plan"], heartbeat=0.5)

    @agent.on(agent.inbox)
    async def read(event: bus.Event, context: bus.Context) -> None:
        got.append(event.id)

    with live_fleet(tmp_path, "--brokers", "1", "--partitions", "3") as live:
        await live.ready()
        async with asyncio.timeout(WAIT_S), bus.connect(data_dir=live.directory.root) as fleet:
            async with agent.using(fleet):
                await until_said(fleet, "agent.lifecycle.heartbeat", 2)
            await fleet.publish(bus.Event(type=agent.inbox, id="m1"))
            async for event in fleet.read("signalbox.agents.changed", follow=True):
                if "planner" in event.data["inboxes"]:
                    break
            async with agent:
                await until("it came", lambda: got)
        assert got == ["m1"]


@pytest.mark.long  # a killed process is missed after its session's silence, 15 s
async def test_what_was_dispatched_to_an_agent_that_is_killed_is_settled_after_its_restart(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with (
            asyncio.timeout(WAIT_S),
            bus.connect(urls(fleet)) as client,
            plane_fleet(urls(fleet), *fleet.claim) as plane,
        ):
            job = asked(1, "kill").replace(type="job.asked", requires=["work"])
            order = {"task": "t1", "attempt": 1, "event": msgspec.Raw(bus.to_json(job)), "decision": {}}
            async with working(urls(fleet)) as worker:
                await until_said(client, "agent.lifecycle.ready")
                await client.publish(job)
                await plane.publish(
                    bus.Event(
                        type="agent.inbox.worker",
                        source="signalbox/plane",
                        partitionkey="agent/worker",
                        extensions={"dispatched": True},
                        data=order,
                    )
                )
                settled = await until_said(client, "dispatch.settled")
                assert settled.data["outcome"] == "handled" and worker.kills == 1
                assert [id for id, _ in worker.began] == ["e1", "e1"], "its own group left it to the plane"
