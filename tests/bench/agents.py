"""Agents: what a thousand cost that have nothing to do, and how long an event takes to its handler.

`idle`: a fleet of its own with its plane; a thousand agents of this process on one connection, each with a capability
of ten, a handler for it, and a heartbeat each five seconds. What is said is processor time, of this process, of the
brokers and of the plane, as a share of one core; first of the fleet with one connection and no agents, then with them.

`handler`: from the call of `publish` to a handler's first line, one event at a time, in one process against three
brokers; beside it a bare subscription in the same run, and a handler whose payload has a type.

`dispatch`: the same way through the control plane: an event with `requires`, chosen for one of two idle agents.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import psutil

import bus
from console.bench.own import own_fleet
from console.fleetdir import Fleet, brokers_of, plane_of
from tests.bus.rig import rig

ONLY_IF_NAMED = True
AGENTS = 1_000
CAPABILITIES = 10
HEARTBEAT_S = 5.0
SETTLE_S = 10.0
LOOK_S = 30.0
PROBES = 300
PARTITIONS = 12
IDLE_TARGET = 5.0
HANDLER_TARGET = 3.0
DISPATCH_TARGET = 12.0


class Ping(msgspec.Struct):
    """A payload."""

    n: int


def used(home: Fleet) -> tuple[float, float, float]:
    """Seconds of processor time so far: this process, the brokers, the plane."""
    times = [psutil.Process(int(record["pid"])).cpu_times() for record in brokers_of(home)]
    plane = psutil.Process(int((plane_of(home) or {})["pid"])).cpu_times()
    return time.process_time(), sum(one.user + one.system for one in times), plane.user + plane.system


async def shares(home: Fleet, seconds: float) -> tuple[float, ...]:
    """Percent of one core of each of the three while nothing happens for so long."""
    before, began = used(home), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    return tuple(100 * (now - then) / took for now, then in zip(used(home), before, strict=True))


def idler(number: int, fleet: bus.Fleet) -> bus.Agent:
    """One of the thousand."""
    capability = f"skill{number % CAPABILITIES}"
    agent = bus.Agent(f"idle-{number}", capabilities=[capability], heartbeat=HEARTBEAT_S, fleet=fleet)

    @agent.on(f"capability.{capability}.asked")
    async def work(event: bus.Event, context: bus.Context) -> None:
        await context.finished(event.data)

    return agent


async def idle(report: Callable[..., None]) -> None:
    """See the module."""
    with own_fleet(3) as (home, _):
        async with bus.connect(data_dir=home.data_dir, name="idlers") as fleet:
            await asyncio.sleep(SETTLE_S)
            before = await shares(home, LOOK_S)
            agents = [idler(number, fleet) for number in range(AGENTS)]
            began, worked = time.monotonic(), time.process_time()
            await asyncio.gather(*(agent.__aenter__() for agent in agents))
            joined, cost = time.monotonic() - began, time.process_time() - worked
            report(f"{AGENTS:,} agents joined", [joined], "s", f"{cost:.1f} s of this process's processor")
            await asyncio.sleep(SETTLE_S)
            after = await shares(home, LOOK_S)
            target = f"target {IDLE_TARGET:g}"
            for name, without, with_them, note in zip(
                ("this process", "three brokers", "the plane"), before, after, (target, "", ""), strict=True
            ):
                report(f"idle: {name}", [with_them], "% of core", f"{without:.2f} without agents {note}".rstrip())
            began = time.monotonic()
            await asyncio.gather(*(agent.__aexit__(None, None, None) for agent in agents))
            report(f"{AGENTS:,} agents left", [time.monotonic() - began], "s")


async def probe(fleet: bus.Fleet, type: str, arrived: asyncio.Event, requires: list[str] | None = None) -> list[float]:
    """Milliseconds from publishing to `arrived`, sorted."""
    took = []
    for number in range(PROBES):
        arrived.clear()
        began = time.perf_counter_ns()
        event = bus.Event(type=type, subject=f"s-{number}", data={"n": number}, requires=requires)
        sent = asyncio.ensure_future(fleet.publish(event))
        await arrived.wait()
        took.append((time.perf_counter_ns() - began) / 1e6)
        await sent
    return sorted(took)


async def handler(urls: Sequence[str], report: Callable[..., None]) -> None:
    """See the module."""
    arrived = asyncio.Event()
    agent = bus.Agent("probe")

    @agent.on("bench.plain")
    async def plain(event: bus.Event, context: bus.Context) -> None:
        arrived.set()

    @agent.on("bench.typed")
    async def typed(event: bus.Event, context: bus.Context, ping: Ping) -> None:
        arrived.set()

    async def bare(deliveries: bus.Subscription) -> None:
        async for delivery in deliveries:
            arrived.set()
            delivery.ack()

    async with bus.connect(list(urls), name="prober") as fleet, AsyncExitStack() as stack:
        await stack.enter_async_context(agent.using(fleet))
        deliveries = await stack.enter_async_context(fleet.subscribe("bench.bare", group="bare"))
        taking = asyncio.create_task(bare(deliveries))
        for name in ("bare", "plain", "typed"):
            await probe(fleet, f"bench.{name}", arrived)
        floor = 0.0
        for name, note in (("bare", "a subscription"), ("plain", "a handler"), ("typed", "a typed one")):
            took = await probe(fleet, f"bench.{name}", arrived)
            middle = statistics.median(took)
            floor = floor or middle
            said = f"p99 {took[int(len(took) * 0.99)]:.2f} ms, {middle / floor:.2f} x the subscription"
            report(f"handler: publish to {note}", took, "ms", f"{said}, target {HANDLER_TARGET:g}")
        taking.cancel()


async def dispatch(report: Callable[..., None]) -> None:
    """See the module."""
    arrived = asyncio.Event()

    async def work(event: bus.Event, context: bus.Context) -> None:
        arrived.set()

    with own_fleet(3) as (home, _):
        async with bus.connect(data_dir=home.data_dir, name="prober") as fleet, AsyncExitStack() as stack:
            for number in (1, 2):
                agent = bus.Agent(f"able-{number}", capabilities=["probing"], fleet=fleet)
                agent.on("bench.dispatched", dispatched=True)(work)
                await stack.enter_async_context(agent)
            await probe(fleet, "bench.dispatched", arrived, ["probing"])
            took = await probe(fleet, "bench.dispatched", arrived, ["probing"])
            said = f"p99 {took[int(len(took) * 0.99)]:.2f} ms, target {DISPATCH_TARGET:g}"
            report("dispatch: publish to the chosen one's handler", took, "ms", said)


ROWS = ("handler", "dispatch", "idle")


def run(report: Callable[..., None], rows: Sequence[str] = ROWS) -> None:
    """Print the figures."""
    if "handler" in rows:
        with tempfile.TemporaryDirectory() as folder, rig(Path(folder), partitions=PARTITIONS) as fleet:
            for partition in range(PARTITIONS):
                fleet.elect(partition)
            asyncio.run(handler([process.url for process in fleet.processes.values()], report))
    if "dispatch" in rows:
        asyncio.run(dispatch(report))
    if "idle" in rows:
        asyncio.run(idle(report))


if __name__ == "__main__":
    from tests.bench.__main__ import report as said

    run(said, sys.argv[1:] or ROWS)
