"""Signalbox: three brokers, twelve partitions, acks by a majority of the disks; measured as by `signalbox bench`."""

import asyncio
import secrets
from collections.abc import Callable

import bus
from console.bench.figures import Measured, Row
from console.bench.measures import Bench
from console.bench.own import own_fleet
from console.bench.plan import Plan
from console.fleetdir import Fleet, brokers_of
from tests.bench.peers.peer import MS, US, Peer
from tests.bus.rig import rig

PARTITIONS = 12


class Signalbox(Peer):
    """The brokers alone, as the peers are: nobody archives what they hold."""

    name = "signalbox"
    durable = "fsynced on 2 of 3"
    urls: list[str]
    pids: list[int]
    """Of its brokers."""

    def start(self) -> None:
        fleet = self.up.enter_context(rig(self.folder, partitions=PARTITIONS))
        names = sorted(fleet.processes)
        for partition in range(PARTITIONS):
            fleet.elect(partition, replicas=names, prefer=names[partition % len(names)])
        self.urls = [process.url for process in fleet.processes.values()]
        self.pids = [process.process.pid for process in fleet.processes.values()]

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: _rate(self.rows("batched", Plan(events=events))),
            "publish 1 KiB": lambda events, _s: _rate(self.rows("batched", Plan(events=events, size=1024))),
            "await publish, 256 tasks": lambda events, _s: _rate(self.rows("singly", Plan(events=events))),
            "consume 128 B": lambda events, _s: _rate(self.rows("consume", Plan(events=events))),
            "deliver at 5 k/s": lambda _n, seconds: _spread(self.rows("latency", Plan(seconds=seconds))[0], MS),
            "request, reply": lambda _n, _s: _spread(self.rows("calls", Plan())[0], US),
        }

    def rows(self, bench: str, plan: Plan) -> list[Row]:
        """One run of one measurement."""
        return asyncio.run(measured(self.urls, bench, plan._replace(runs=1)))


async def measured(urls: list[str], bench: str, plan: Plan) -> list[Row]:
    """A measurement of `signalbox bench` on the fleet at `urls`."""
    started: list[Measured] = []

    def begin(one: Measured, _total: int) -> Callable[[int], None]:
        started.append(one)
        return lambda _done: None

    async with bus.connect(urls, name="bench") as fleet:
        await Bench(fleet, plan, secrets.token_hex(4), begin).run(bench)
    return [one.row() for one in started]


class Whole(Signalbox):
    """With its control plane, which archives every event in its journal meanwhile."""

    name = "signalbox, archiving"
    durable = "fsynced on 2 of 3"

    def start(self) -> None:
        home, _ = self.up.enter_context(own_fleet(3))
        self.urls = asyncio.run(urls_of(home))
        self.pids = [int(record["pid"]) for record in brokers_of(home)]


async def urls_of(home: Fleet) -> list[str]:
    """Where a fleet's brokers are."""
    async with bus.connect(data_dir=home.data_dir) as fleet:
        return [node.url for node in fleet.topology.nodes]


def _rate(rows: list[Row]) -> dict[str, float]:
    return {"rate": rows[0].rate or 0}


def _spread(row: Row, unit_ns: float) -> dict[str, float]:
    return {"p50": (row.p50_ns or 0) / unit_ns, "p99": (row.p99_ns or 0) / unit_ns}
