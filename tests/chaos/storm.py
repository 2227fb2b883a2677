"""One storm: a real fleet behind proxies, load, and a seed's faults; then all heals, and the ledger is settled."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import bus
from controlplane.questions import AskVerify, Verified
from tests.chaos.ledger import Ledger, Place, violations
from tests.chaos.live import LiveFleet, live_fleet
from tests.chaos.load import Load
from tests.chaos.proxy import Network
from tests.chaos.schedule import BROKERS, Fault, schedule

RATE = 1_500
SECONDS_SHORT = 12.0
PARTITIONS = 6
STILL_S = 20.0
"""After healing a group, or the reader, that has not had everything and gets nothing for so long is stuck."""


class Report(NamedTuple):
    """What came of a storm."""

    seed: int
    faults: list[Fault]
    found: list[str]
    ledger: Ledger
    said: str
    again: str

    def __str__(self) -> str:
        faults = "\n".join(f"  {fault}" for fault in self.faults)
        found = "".join(f"  VIOLATION: {each}\n" for each in self.found)
        return f"seed {self.seed}, {len(self.faults)} faults:\n{faults}\n{self.said}\n{found}  again: {self.again}"


class Watch:
    """How long each thing took, one after the other."""

    def __init__(self) -> None:
        self._laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """`name` is done."""
        now = time.monotonic()
        self._laps[name] = now - self._last
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._laps.items())


class Faults:
    """Does what a schedule says to a fleet."""

    def __init__(self, live: LiveFleet, network: Network) -> None:
        self._live = live
        self._network = network
        self._stopped: Counter[int] = Counter()
        self.plane_was_killed = False

    async def run(self, faults: list[Fault]) -> None:
        """All of them, each at its time; then nothing is stopped or cut, and a plane runs."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                group.create_task(self._do(fault))
        self._network.heal_all()

    async def _do(self, fault: Fault) -> None:
        if fault.kind == "cut":
            cut = self._network.cut(frozenset(fault.who), fault.target, fault.how, fault.direction)  # type: ignore[arg-type]
            await asyncio.sleep(fault.lasts)
            self._network.heal(cut)
        elif fault.kind == "kill" and fault.target == "plane":
            await self._kill_plane(fault.lasts)
        elif fault.kind == "kill":
            self._signal(self._pid(fault.target), signal.SIGKILL)
        else:
            pid = self._pid(fault.target)
            self._stopped[pid] += 1
            self._signal(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.lasts)
            finally:
                self._stopped[pid] -= 1
                if not self._stopped[pid]:
                    self._signal(pid, signal.SIGCONT)

    async def _kill_plane(self, lasts: float) -> None:
        plane = self._live.plane
        if plane is None or plane.poll() is not None:
            return
        await asyncio.to_thread(self._live.kill_plane)
        await asyncio.sleep(lasts)
        if self._live.plane is not plane:
            # Another fault killed the same plane at the same moment, and its next one runs already.
            return
        self._live.said()
        self._live.start()

    def _pid(self, target: str) -> int:
        if target != "plane":
            return self._live.broker(target).pid
        return self._live.plane.pid if self._live.plane is not None else 0

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if pid in self._live.live() or number == signal.SIGCONT:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


async def storm(
    seed: int, root: Path, seconds: float = SECONDS_SHORT, rate: int = RATE, sessions: bool = False
) -> Report:
    """Run one seed in an empty directory."""
    faults, ledger = schedule(seed, seconds, sessions), Ledger()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network(root, list(BROKERS)))
        told = [f"--advertise={broker}={url}" for broker, url in network.urls.items()]
        live = stack.enter_context(live_fleet(root, "--partitions", str(PARTITIONS), *told))
        stack.callback(network.heal_all)
        await live.ready()
        load = Load(list(network.urls.values()), ledger, rate)
        stack.push_async_callback(load.close)
        await load.start()
        await Faults(live, network).run(faults)
        watch = Watch()
        await load.end_publishing()
        watch.lap("published")
        await live.ready()
        watch.lap("ready")
        found = await _settle(live, ledger, list(network.urls.values()), watch)
        await load.close()
        watch.lap("left")
        verified = await asyncio.to_thread(live.ask, AskVerify(), 60.0)
        if not isinstance(verified, Verified) or not verified.same:
            found.append(f"the journal does not verify: {verified}")
        watch.lap("verified")
        await asyncio.to_thread(live.clean_up)
    again = f"python -m tests.chaos --seed {seed} --seconds {seconds:g} --rate {rate}{' --sessions' * sessions}"
    return Report(seed, faults, found, ledger, _said(ledger, watch, network), again)


async def _settle(live: LiveFleet, ledger: Ledger, urls: list[str], watch: Watch) -> list[str]:
    """Read everything back, and give those who are still behind their time; what is wrong then."""
    async with bus.connect(urls, name="auditor") as fleet:
        log = {Place(e.partition, e.offset): e.event.id async for e in fleet.read(positions=True)}
    watch.lap("read")
    archive = [event["id"] for event in await asyncio.to_thread(live.exported)]
    watch.lap("exported")
    await delivered(ledger, log)
    watch.lap("delivered")
    return violations(ledger, log, archive, strict=["strict"])


async def delivered(ledger: Ledger, log: dict[Place, str]) -> None:
    """Until each group, and the reader, has had everything, or one that has not gets nothing any more."""
    last, moved = missing(ledger, log), time.monotonic()
    while any(last.values()):
        await asyncio.sleep(0.2)
        now = missing(ledger, log)
        if any(now[name] < last[name] for name in last):
            last, moved = now, time.monotonic()
        elif time.monotonic() - moved > STILL_S:
            return


def missing(ledger: Ledger, log: dict[Place, str]) -> dict[str, int]:
    """How many events each group, and the reader, has not had."""
    got = {group: {each.place for each in heard} for group, heard in ledger.heard.items()}
    got["reader"] = {place for place, _ in ledger.followed}
    return {name: len(log.keys() - places) for name, places in got.items()}


def _said(ledger: Ledger, watch: Watch, network: Network) -> str:
    again = ", ".join(f"{group} {ledger.redeliveries(group)} of {len(ledger.heard[group])}" for group in ledger.heard)
    why = Counter(why.split(":")[0] for why in ledger.refused.values())
    return (
        f"  {len(ledger.sent)} published: {len(ledger.acked)} acked, {len(ledger.unknown)} unknown, "
        f"{len(ledger.refused)} refused {dict(why)}; redelivered: {again}\n"
        f"  after healing, s: {watch}\n"
        f"  consumers went on from {dict(ledger.troubles)}; {network.swallowed} chunks swallowed"
    )


def say(report: Report) -> None:
    """Print it."""
    sys.stdout.write(f"{report}\n")
    sys.stdout.flush()
