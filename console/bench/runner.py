"""`bench` from beginning to end: which fleet, what will be left in it, the measurements, and the page."""

import asyncio
import gc
import secrets
from contextlib import ExitStack
from typing import Any

import msgspec

import bus
from console import output as out
from console.bench.failover import Failover, Ledger
from console.bench.figures import Measured, Row
from console.bench.measures import Advance, Bench
from console.bench.own import own_fleet
from console.bench.plan import ACKS, Plan
from console.commands.publishing import reaching
from console.failures import Failure, Partly, Unreachable
from console.fleetdir import Fleet
from console.importing import connect
from console.link import Link
from console.measure import many, rate, took
from console.progress import Progress
from console.terminal import signals_interrupt


class Measures(msgspec.Struct):
    """All that `bench` says. `fsync`: what an ack means. `left`: what it leaves in a fleet that goes on."""

    fleet: str
    own: bool
    brokers: int
    partitions: int
    replicas: int
    quorum: int
    acks: str
    fsync: str
    interrupted: bool
    rows: list[Row]
    ledger: dict[str, int] | None
    left: dict[str, Any]


class Run:
    """One command: what was measured so far, whatever becomes of the rest."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.name = secrets.token_hex(4)
        self.started: list[Measured] = []
        self.failover: Failover | None = None
        self.shape = (0, 0, 0, 0)
        """Brokers, partitions, replicas, quorum."""
        self._progress: Progress | None = None

    def begin(self, measured: Measured, total: int) -> Advance:
        """A measurement begins: a bar for it, and a place in the result."""
        self.over()
        self.started.append(measured)
        unit = "kills" if measured.bench == "failover" else measured.unit.removesuffix("/s")
        progress = self._progress = Progress(measured.what, total, unit)
        return lambda done: progress.advance(done)

    def over(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    async def measure(self, home: Fleet, benches: tuple[str, ...]) -> None:
        """The measurements that need no fleet of their own."""
        async with connect(home) as fleet:
            self._look(fleet)
            bench = Bench(fleet, self.plan, self.name, self.begin)
            for each in benches:
                await bench.run(each)
                gc.collect()

    async def kill(self, home: Fleet, link: Link) -> None:
        """The one that does."""
        async with connect(home) as fleet:
            self._look(fleet)
            self.failover = Failover(home, link, self.plan.kills, self.begin)
            await self.failover.run(fleet)

    def _look(self, fleet: bus.Fleet) -> None:
        topology = fleet.topology
        seat = topology.seats[0]
        self.shape = (len(topology.nodes), len(topology.seats), len(seat.replicas), seat.write_quorum)

    def result(self, home: str, own: bool, interrupted: bool) -> Measures:
        """All that was found."""
        brokers, partitions, replicas, quorum = self.shape
        ledger: Ledger | None = self.failover.ledger if self.failover is not None else None
        return Measures(
            fleet="its own, thrown away" if own else home,
            own=own,
            brokers=brokers,
            partitions=partitions,
            replicas=replicas,
            quorum=quorum,
            acks=self.plan.acks,
            fsync=ACKS[self.plan.acks],
            interrupted=interrupted,
            rows=[measured.row() for measured in self.started],
            ledger=None if ledger is None else ledger._asdict(),
            left={} if own else left(self.plan, self.name),
        )


def left(plan: Plan, name: str = "") -> dict[str, Any]:
    """What it leaves in a fleet that goes on: events of `types`, by measurement, traces of calls among them."""
    found = plan.leaves()
    pattern = f"bench.{name}.>" if name else "bench.>"
    return {"types": pattern, "events": sum(found.values()), "by_bench": found, "groups": plan.groups}


def run(plan: Plan, home: Fleet | None, format: str) -> None:
    """Measure and show. `home` None: a fleet of its own. Raises Partly when stopped, Failure when an event was lost."""
    work = Run(plan)
    usual = tuple(bench for bench in plan.benches if bench != "failover")
    own = home is None or not usual
    interrupted = False
    with signals_interrupt():
        try:
            _measure(work, home, usual)
        except Unreachable as error:
            raise Unreachable(str(error), "`signalbox bench --own` measures a fleet made for it.") from error
        except KeyboardInterrupt:
            interrupted = True
        finally:
            work.over()
    result = work.result("" if home is None else home.name, own, interrupted)
    out.show(page(result), out.Format(format))
    if interrupted:
        raise Partly("stopped: the figures are of what was done by then")
    ledger = result.ledger
    if ledger is not None and (ledger["lost"] or ledger["doubled"]):
        raise Failure(f"acked events lost: {ledger['lost']:,}; there twice: {ledger['doubled']:,}")


def _measure(work: Run, home: Fleet | None, usual: tuple[str, ...]) -> None:
    with reaching():
        if usual:
            with ExitStack() as stack:
                where = home if home is not None else stack.enter_context(own_fleet(work.plan.brokers))[0]
                asyncio.run(work.measure(where, usual))
        if "failover" in work.plan.benches:
            work.over()
            with own_fleet(work.plan.brokers) as (where, url), Link(url) as link:
                asyncio.run(work.kill(where, link))


def page(result: Measures) -> out.Page:
    """The result for people: a line per measurement, what it was measured with, what is left."""
    columns: list[out.Column] = [
        out.Column("bench", lambda row: row.bench),
        out.Column("what", lambda row: row.what + (" (stopped)" if row.partial else ""), flex=True),
        out.Column("n", lambda row: f"{row.count:,}", "r"),
        out.Column("rate", lambda row: _rate(row.rate), "r"),
        out.Column("of runs", lambda row: _span(row), "r"),
        out.Column("p50", lambda row: _fine(row.p50_ns), "r"),
        out.Column("p90", lambda row: _fine(row.p90_ns), "r"),
        out.Column("p99", lambda row: _fine(row.p99_ns), "r"),
        out.Column("p99.9", lambda row: _fine(row.p999_ns), "r"),
        out.Column("max", lambda row: _fine(row.max_ns), "r"),
    ]
    below = [
        "",
        f"{many(result.brokers, 'broker')}, {many(result.partitions, 'partition')}, "
        f"{many(result.replicas, 'replica')}, quorum {result.quorum}; acks={result.acks}: {result.fsync}",
    ]
    below += [f"{row.bench}: {row.note}" for row in result.rows if row.note]
    if result.ledger is not None:
        told = result.ledger
        mark = "■" if told["lost"] or told["doubled"] else "●"
        below.append(
            f"{mark} ledger: {told['acked']:,} acked, {told['read']:,} read back, {told['lost']:,} lost, "
            f"{told['doubled']:,} twice, {told['unknown']:,} of unknown outcome"
        )
    if result.left:
        below.append(f"left in {result.fleet}: {_left(result.left, 'at most ' if result.interrupted else '')}")
    return out.Page(result, result.rows, columns, below="\n".join(below), empty="nothing was measured")


def _left(told: dict[str, Any], at_most: str = "") -> str:
    events, groups = many(told["events"], "event"), many(told["groups"], "group")
    return f"{at_most}{events} of types {told['types']} and traces of calls, {groups}"


def planned(plan: Plan, home: Fleet | None) -> out.Page:
    """What a dry run shows."""
    where = "fleets of its own, thrown away afterwards" if home is None else home.name
    record = {
        "benches": list(plan.benches),
        "fleet": where,
        "own": home is None,
        "left": {} if home is None else left(plan),
    }
    lines = [f"would measure {', '.join(plan.benches)} on {where}"]
    if "failover" in plan.benches:
        lines.append(f"failover kills brokers {many(plan.kills, 'time')}, of a fleet of its own")
    if home is not None and plan.leaves():
        lines.append(f"it would leave there {_left(left(plan))}")
    return out.Page(record, [record], above="\n".join(lines))


def _rate(value: float | None) -> str:
    return "–" if value is None else " ".join(rate(value))


def _span(row: Row) -> str:
    return "–" if row.rate is None or row.runs < 2 else f"{_rate(row.rate_min)} – {_rate(row.rate_max)}"


def _fine(duration: int | None) -> str:
    """`212µs`, `1.42ms`, then as everywhere."""
    if duration is None:
        return "–"
    return f"{duration / 1e6:.2f}ms" if 1_000_000 <= duration < 100_000_000 else took(duration)
