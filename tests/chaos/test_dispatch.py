"""Dispatch among agents that are processes of their own: work reaches who can do it and lives, and gets done by another
when who had it is killed; the journal of it regenerates itself."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import bus
from controlplane.questions import (
    Agent,
    AskAgent,
    AskRoute,
    AskRoutes,
    AskVerify,
    Operate,
    Operated,
    RouteExplained,
    Routes,
    RuleText,
    SetRoutes,
    Verified,
)
from tests.chaos.live import LiveFleet, live_fleet, until

pytestmark = pytest.mark.fleet

WORKER = """
import asyncio, os, signal, sys
import bus

name, data_dir, *capabilities = sys.argv[1:]
agent = bus.Agent(name, capabilities=capabilities, data_dir=data_dir, concurrency=2, heartbeat=0.3)

def is_first(id):
    try:
        os.close(os.open(os.path.join(data_dir, "first-" + id), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

async def act(event, context):
    print("did", event.id, context.attempt, flush=True)
    if event.data["how"] == "kill" and is_first(event.id):
        os.kill(os.getpid(), signal.SIGKILL)
    if event.data["how"] == "raise" and context.attempt == 1:
        raise ValueError("as told")
    await context.finished({"of": event.id, "by": name})

agent.on("work.>", dispatched=True)(act)
agent.run()
"""


class Worker:
    """One agent's process, and what it said that it began."""

    def __init__(self, live: LiveFleet, name: str, *capabilities: str) -> None:
        self.name = name
        self.began: list[tuple[str, int]] = []
        self.process: asyncio.subprocess.Process | None = None
        self._command = [sys.executable, "-c", WORKER, name, str(live.directory.root), *capabilities]

    @property
    def is_dead(self) -> bool:
        return self.process is not None and self.process.returncode is not None

    async def run(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode().split():
            self.began.append((line[1], int(line[2])))
        await self.process.wait()


@asynccontextmanager
async def working(live: LiveFleet, *workers: Worker) -> AsyncIterator[None]:
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        for worker in workers:
            await until(f"{worker.name} is there", lambda worker=worker: is_there(live, worker.name))  # type: ignore[misc]
        yield
    finally:
        for worker in workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.send_signal(signal.SIGTERM)
        await asyncio.wait(running, timeout=20)
        for worker in workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.kill()


async def is_there(live: LiveFleet, name: str) -> bool:
    found = await asyncio.to_thread(live.ask, AskAgent(name))
    return isinstance(found, Agent) and found.row.state in ("joined", "ready")


def asked(number: int, how: str = "", requires: Sequence[str] = ("work",), **more: Any) -> bus.Event:
    return bus.Event(type="work.asked", source="tests", id=f"e{number}", subject=f"s{number}",
                     requires=list(requires) or None, data={"how": how, "n": number}, **more)  # fmt: skip


async def finished(fleet: bus.Fleet, count: int) -> dict[str, str]:
    """Who finished what, as soon as it is so many."""
    found: dict[str, str] = {}
    async with asyncio.timeout(90):
        async for event in fleet.read("agent.task.completed", start="earliest", follow=True):
            found[event.data["of"]] = event.data["by"]
            if len(found) == count:
                return found
    raise AssertionError("the read ended")


async def test_work_reaches_who_can_do_it_and_is_done_whoever_is_killed(tmp_path: Path) -> None:
    with live_fleet(tmp_path) as live:
        await live.ready()
        a, b, other = Worker(live, "a", "work"), Worker(live, "b", "work", "rare"), Worker(live, "other", "else")
        async with working(live, a, b, other), bus.connect(data_dir=str(live.directory.root)) as fleet:
            await fleet.publish_many([asked(n, "raise" if n == 3 else "") for n in range(12)])
            first = await finished(fleet, 12)
            assert set(first.values()) <= {"a", "b"}
            await fleet.publish_many([asked(20, "kill"), *(asked(n) for n in range(21, 26))])
            await fleet.publish(asked(30, requires=["rare", "never"]))
            done = await finished(fleet, 18)
            dead = next(
                worker for worker in (a, b) if worker.process is not None and worker.process.returncode is not None
            )
            alive = b if dead is a else a
            assert ("e20", 1) in dead.began and ("e20", 1) in alive.began and done["e20"] == alive.name
            assert other.began == []
            await until("its end is known", lambda: is_gone(live, dead.name))
            # Whoever is dead gets nothing more, nor who is quarantined, and what nobody can do waits.
            await fleet.publish_many([asked(n) for n in range(40, 46)])
            last = await finished(fleet, 24)
            assert {last[f"e{n}"] for n in range(40, 46)} == {alive.name}
            # An agent says that it is done before it settles; a quarantine takes back what it has not settled.
            await until("all is settled", lambda: none_out(live))
            told = live.ask(Operate("quarantine", [alive.name], by="test"))
            assert isinstance(told, Operated), told
            await fleet.publish(asked(50))
            await until("it waits", lambda: waits(live, 2))
            assert not any(id == "e50" for id, _ in alive.began)
            live.ask(Operate("release", [alive.name], by="test"))
            await finished(fleet, 25)
            counted = Counter(id for worker in (a, b) for id, _ in worker.began)
            assert {id: n for id, n in counted.items() if n > 1} == {"e3": 2, "e20": 2}, "everything else once"
            found = live.ask(AskRoute("e20"))
            assert isinstance(found, RouteExplained) and found.tasks == []
            assert [step.kind for step in found.steps].count("TaskDispatched") == 2
        verified = live.ask(AskVerify(), 60)
        assert isinstance(verified, Verified) and verified.divergence == "" and verified.same


async def test_rules_hold_over_a_plane_that_is_killed(tmp_path: Path) -> None:
    with live_fleet(tmp_path) as live:
        await live.ready()
        a = Worker(live, "a", "review")
        async with working(live, a), bus.connect(data_dir=str(live.directory.root)) as fleet:
            live.ask(SetRoutes("add", [RuleText("large", "work.>", ["capability:review"], "data.n > 100")], by="test"))
            await fleet.publish_many([asked(n, requires=()) for n in (1, 101)])
            assert await finished(fleet, 1) == {"e101": "a"}
            live.kill_plane()
            await fleet.publish_many([asked(n, requires=()) for n in (2, 102)])
            live.start()
            await live.ready()
            assert set(await finished(fleet, 2)) == {"e101", "e102"}
            found = live.ask(AskRoutes())
            assert isinstance(found, Routes) and found.rows[0].matched == 2 and found.version == 1
        verified = live.ask(AskVerify(), 60)
        assert isinstance(verified, Verified) and verified.same


async def is_gone(live: LiveFleet, name: str) -> bool:
    found = await asyncio.to_thread(live.ask, AskAgent(name))
    return isinstance(found, Agent) and found.row.state in ("suspected", "failed")


async def none_out(live: LiveFleet) -> bool:
    found = await asyncio.to_thread(live.ask, AskRoutes())
    return isinstance(found, Routes) and found.out == 0


async def waits(live: LiveFleet, count: int) -> bool:
    found = await asyncio.to_thread(live.ask, AskRoutes())
    return isinstance(found, Routes) and found.waiting == count
