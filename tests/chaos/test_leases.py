"""One exclusive lease among real processes that are stopped, cut off, misled by clocks; the resource has a fence."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import bus
from controlplane.facts import LeaseEnded, LeaseGranted
from controlplane.questions import AskVerify, Verified
from controlplane.roster import POSITION_BITS
from tests.chaos.leaseholder import RESOURCE
from tests.chaos.live import ENDED_S, ROOT, LiveFleet, live_fleet, until
from tests.chaos.proxy import Network
from tests.chaos.test_clock import Wall, facts_of, steps_of
from tests.chaos.test_endings import serving
from tests.chaos.test_fencing import TAKE_OVER, again

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(600)]
TTL = 2.0
TURN_S = 1.5
AT_WORK = 15
"""Writes after which somebody surely has it."""
PROGRESS_S = 60.0


class Write(NamedTuple):
    """One that came to the resource; `admitted`: the fence let it through."""

    name: str
    token: int
    admitted: bool


class Resource:
    """What the lease is for: everything that was written, in order, behind a fence."""

    def __init__(self) -> None:
        self.fence = bus.Fence()
        self.writes: list[Write] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One writer."""
        while line := await reader.readline():
            name, token = line.decode().split()
            admitted = self.fence.admits(int(token))
            if admitted:
                self.fence.admit(int(token))
            self.writes.append(Write(name, int(token), admitted))
            writer.write(b"ok\n" if admitted else b"stale\n")
        writer.close()

    @property
    def last(self) -> Write:
        """The newest that was let through."""
        return next(write for write in reversed(self.writes) if write.admitted)

    async def goes_on(self, what: str, other_than: str = "") -> Write:
        """Wait until somebody, other than one, writes; who."""
        seen = len(self.writes)

        def look() -> Write | None:
            fresh = [write for write in self.writes[seen:] if write.admitted and write.name != other_than]
            return fresh[-1] if len(fresh) >= AT_WORK else None

        found: Write = await until(what, look, PROGRESS_S)
        return found


class Holders:
    """The agents, as processes."""

    def __init__(self, urls: list[str], port: int, folder: Path) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (folder / "holders.log").open("ab")
        for name in ("a", "b", "c"):
            line = [sys.executable, "-m", "tests.chaos.leaseholder", f"agent/{name}", ",".join(urls)]
            line += [str(port), str(TTL), str(TURN_S)]
            self.processes[f"agent/{name}"] = subprocess.Popen(line, cwd=ROOT, stderr=self._log)

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to one."""
        os.kill(self.processes[name].pid, number)

    def end(self) -> None:
        """All of them, whatever they are doing."""
        for process in self.processes.values():
            process.kill()
            process.wait(ENDED_S)
        self._log.close()


@asynccontextmanager
async def at_work(folder: Path) -> AsyncIterator[tuple[LiveFleet, Resource, Holders, Network, Wall]]:
    """A fleet of one broker behind a proxy, a resource, and three agents that want it."""
    resource, wall = Resource(), Wall(folder / "wall")
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network(folder / "data", ["b1"]))
        options = ("--brokers", "1", "--partitions", "2", f"--advertise=b1={network.urls['b1']}")
        live = stack.enter_context(live_fleet(folder / "data", *options, odd=wall.odd))
        stack.callback(network.heal_all)
        await live.ready()
        server = await asyncio.start_server(resource.serve, "127.0.0.1", 0)
        stack.callback(server.close)
        resource.port = server.sockets[0].getsockname()[1]
        holders = Holders(list(network.urls.values()), resource.port, folder)
        stack.callback(holders.end)
        await resource.goes_on("somebody has the lease")
        yield live, resource, holders, network, wall


async def stop(resource: Resource, holders: Holders) -> str:
    """Whoever has it stands still until another one has had it; who."""
    name = resource.last.name
    holders.send(name, signal.SIGSTOP)
    try:
        await resource.goes_on(f"another one than {name} has the lease", other_than=name)
    finally:
        holders.send(name, signal.SIGCONT)
    return name


async def partition(resource: Resource, network: Network) -> None:
    """No agent hears of the broker for longer than a lease lives; the plane does."""
    cut = network.cut(frozenset({"client"}), "b1", "stall")
    quiet = 0

    def nobody_writes() -> bool:
        nonlocal quiet
        before, quiet = quiet, len(resource.writes)
        return before == quiet

    try:
        await asyncio.sleep(TTL)
        await until("nobody believes any more that it has the lease", nobody_writes, PROGRESS_S)
    finally:
        network.heal(cut)
    await resource.goes_on("somebody has the lease again")


async def mislead(resource: Resource, wall: Wall, hours: float) -> None:
    """The plane's clock jumps."""
    wall.set(hours)
    await resource.goes_on("the lease is used under another clock")


async def restart(resource: Resource, live: LiveFleet) -> None:
    """The plane is killed, and another one goes on."""
    live.kill_plane()
    live.said()
    live.start()
    await live.ready()
    await resource.goes_on("the lease is used under another plane")


def check(root: Path, resource: Resource, stopped: list[str]) -> None:
    """The resource never had two, the journal never gave it to two, and agents stopped by themselves but for a pause
    between looking and writing."""
    admitted = [write.token for write in resource.writes if write.admitted]
    assert admitted == sorted(admitted)
    of_token = defaultdict(set)
    for write in resource.writes:
        of_token[write.token].add(write.name)
    assert all(len(names) == 1 for names in of_token.values()), of_token
    stale = [write.name for write in resource.writes if not write.admitted]
    assert all(stale.count(name) <= stopped.count(name) for name in stale), (stale, stopped)
    has, tokens = "", []
    for fact in facts_of(steps_of(root)):
        if isinstance(fact, LeaseGranted) and fact.resource == RESOURCE:
            assert has == "", f"{fact.lease} was granted while {has} was held"
            has = fact.lease
            tokens.append(fact.token)
        elif isinstance(fact, LeaseEnded) and fact.resource == RESOURCE:
            assert has == fact.lease
            has = ""
    assert tokens == sorted(set(tokens))


async def verified(live: LiveFleet) -> None:
    answer = await asyncio.to_thread(live.ask, AskVerify(), 60.0)
    assert isinstance(answer, Verified) and answer.same, answer


async def test_two_never_hold_one_lease(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (live, resource, holders, network, wall):
        stopped = [await stop(resource, holders)]
        await partition(resource, network)
        await mislead(resource, wall, 3.0)
        await restart(resource, live)
        stopped.append(await stop(resource, holders))
        await mislead(resource, wall, 0.0)
        holders.end()
        await verified(live)
        assert live.end() == 0
        check(tmp_path / "data", resource, stopped)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.timeout(3_600)
async def test_nor_through_many_troubles(tmp_path: Path, seed: int) -> None:
    dice, stopped = random.Random(seed), list[str]()
    async with at_work(tmp_path) as (live, resource, holders, network, wall):
        for _ in range(25):
            trouble = dice.choice(["stop", "stop", "partition", "clock", "restart"])
            if trouble == "stop":
                stopped.append(await stop(resource, holders))
            elif trouble == "partition":
                await partition(resource, network)
            elif trouble == "clock":
                await mislead(resource, wall, dice.choice([-2.0, 0.0, 0.5, 3.0]))
            else:
                await restart(resource, live)
        holders.end()
        await verified(live)
        assert live.end() == 0
        check(tmp_path / "data", resource, stopped)


async def test_the_lease_of_an_agent_that_fails_goes_to_the_next(tmp_path: Path) -> None:
    """Long before its time to live is over; and whoever still believes in it is told."""
    with again(tmp_path) as live:
        await serving(live)
        async with bus.connect(data_dir=tmp_path, name="agent/x") as fleet:
            joined = {"incarnation": "i-1", "capabilities": ["see"], "heartbeat_ms": 200}
            await fleet.publish(bus.Event(type="agent.lifecycle.joined", data=joined))
            # Not a heartbeat more.
            acquire = fleet.leases.acquire
            async with (
                acquire(RESOURCE, ttl=600) as lost,
                acquire(RESOURCE, ttl=600, wait=90, source="agent/y") as lease,
            ):
                assert lease.valid and lease.token > lost.token
                await asyncio.wait_for(lost.lost.wait(), PROGRESS_S)
                assert not lost.valid and "has failed" in lost.why
        await verified(live)
        assert live.end() == 0


async def used(root: Path, times: int) -> int:
    """Acquire and give back; the last token."""
    token = 0
    async with bus.connect(data_dir=root) as fleet:
        for _ in range(times):
            async with fleet.leases.acquire(RESOURCE, ttl=5, wait=60) as lease:
                assert lease.token > token
                token = lease.token
    return token


@pytest.mark.long  # most of a minute; tests/controlplane/test_leases.py has the rule
async def test_tokens_grow_over_a_take_over_with_an_older_journal(tmp_path: Path) -> None:
    backup, root = tmp_path / "backup", tmp_path / "a"
    with again(root) as live:
        await serving(live)
        await used(root, 2)
        live.kill_plane()
        live.said()
        shutil.copytree(live.directory.journal, backup)
        live.start()
        await live.ready()
        token = await used(root, 5)
        assert live.end() == 0
    shutil.rmtree(root / "journal")
    shutil.copytree(backup, root / "journal")
    with again(root, *TAKE_OVER) as live:
        await live.ready()
        later = await used(root, 1)
        assert later > token and later >> POSITION_BITS > token >> POSITION_BITS
        await verified(live)
        assert live.end() == 0
