"""The public API, in one process on asyncio, against three broker processes and twelve partitions.

Events are made beforehand, as an importer has them; everything else that `publish_many` does counts: checking,
encoding, sending, awaiting each batch's quorum, receipts. `client alone` divides by this process's processor time
instead of the clock's; brokers share the machine's cores with it.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bus
from tests.bus.rig import rig

EVENTS = 200_000
PARTITIONS = 12
PAYLOAD = "x" * 126  # with the quotes of JSON, 128 bytes
PROBES = 300
TASKS = 256
EACH = 60
CONSUMED = 20_000
RUNS = 3


def made(count: int) -> list[bus.Event]:
    """Ten types, five sources, a subject for each twentieth event."""
    now = time.time_ns()
    return [
        bus.Event(
            type=f"bench.step{number % 10}.done",
            source=f"agent/{number % 5}",
            id=f"00000000-0000-7000-8000-{number:012d}",
            subject=f"case-{number // 20}",
            time=now,
            data=PAYLOAD,
        )
        for number in range(count)
    ]


async def flood(fleet: bus.Fleet, events: list[bus.Event], report: Callable[..., None]) -> None:
    """Many at once."""
    rates, alone = [], []
    for _ in range(RUNS):
        began, worked = time.monotonic(), time.process_time()
        await fleet.publish_many(events)
        rates.append(len(events) / (time.monotonic() - began))
        alone.append(len(events) / (time.process_time() - worked))
    report("publish_many to quorum ack, 128 B", rates, "events/s")
    report("publish_many, client alone", alone, "events/s")


async def drain(fleet: bus.Fleet, report: Callable[..., None]) -> None:
    """Everything read back as events."""
    rates = []
    for _ in range(RUNS):
        began, count = time.monotonic(), 0
        async for _event in fleet.read():
            count += 1
        rates.append(count / (time.monotonic() - began))
    report("read, from the earliest", rates, "events/s")


async def idle(fleet: bus.Fleet, report: Callable[..., None]) -> None:
    """One event at a time, and then many tasks each with one at a time."""
    took = []
    for number in range(PROBES):
        began = time.monotonic()
        await fleet.publish(bus.Event(type="bench.one", source="agent/1", subject=f"probe-{number}"))
        took.append((time.monotonic() - began) * 1000)
    took.sort()
    report("await publish, one at a time", took, "ms", f"p99 {took[int(len(took) * 0.99)]:.2f} ms")

    async def task(name: int) -> None:
        for number in range(EACH):
            await fleet.publish(bus.Event(type="bench.one", source=f"agent/{name}", subject=f"{name}-{number}"))

    rates = []
    for _ in range(RUNS):
        began = time.monotonic()
        await asyncio.gather(*(task(name) for name in range(TASKS)))
        rates.append(TASKS * EACH / (time.monotonic() - began))
    report(f"await publish, {TASKS} tasks", rates, "events/s")


async def latency(fleet: bus.Fleet, report: Callable[..., None]) -> None:
    """From publish to a subscriber's hands and to a durable ack, one event at a time."""
    hands, acked = [], []
    async with fleet.subscribe("bench.ping", group="latency") as deliveries:
        for number in range(PROBES):
            began = time.monotonic()
            sent = asyncio.ensure_future(
                fleet.publish(bus.Event(type="bench.ping", source="agent/1", subject=f"ping-{number}"))
            )
            delivery = await anext(deliveries)
            hands.append((time.monotonic() - began) * 1000)
            await delivery.ack()
            acked.append((time.monotonic() - began) * 1000)
            await sent
    for name, values in (("delivery", sorted(hands)), ("durable ack", sorted(acked))):
        report(f"publish to {name}, one at a time", values, "ms", f"p99 {values[int(len(values) * 0.99)]:.2f} ms")


async def consume(fleet: bus.Fleet, report: Callable[..., None]) -> None:
    """A group of one member; each event acked, the acks awaited at the end. From all partitions, and from one alone."""
    hot = [bus.Event(type="hot.step", source="agent/1", subject="hot", data=PAYLOAD) for _ in range(CONSUMED)]
    await fleet.publish_many(hot)
    for pattern, where in (("bench.>", "all partitions"), ("hot.>", "one partition")):
        for in_flight in (256, 6_000):
            rates = []
            for run_number in range(RUNS):
                group = f"{where}-{in_flight}-{run_number}"
                began, count = time.monotonic(), 0
                async with fleet.subscribe(pattern, group=group, start="earliest", in_flight=in_flight) as deliveries:
                    async for delivery in deliveries:
                        delivery.ack()
                        count += bool(delivery.event.id)  # an event is made when it is asked for
                        if count == CONSUMED:
                            break
                rates.append(CONSUMED / (time.monotonic() - began))
            report(f"subscribe and ack, {where}, in_flight={in_flight}", rates, "events/s")


async def measure(urls: list[str], report: Callable[..., None]) -> None:
    """All of it on one fleet."""
    took = []
    for _ in range(5):
        began = time.monotonic()
        async with bus.connect(urls):
            took.append((time.monotonic() - began) * 1000)
    report("connect", took, "ms")
    events = made(EVENTS)
    gc.collect()
    gc.freeze()
    async with bus.connect(urls, name="bench") as fleet:
        await flood(fleet, events, report)
        await drain(fleet, report)
        await idle(fleet, report)
        await latency(fleet, report)
        await consume(fleet, report)
    gc.unfreeze()


def run(report: Callable[..., None]) -> None:
    """Print rates and latencies of the public API."""
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder), partitions=PARTITIONS) as fleet:
        names = sorted(fleet.processes)
        for partition in range(PARTITIONS):
            fleet.elect(partition, replicas=names, prefer=names[partition % len(names)])
        asyncio.run(measure([process.url for process in fleet.processes.values()], report))
