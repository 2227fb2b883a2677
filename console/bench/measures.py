"""The measurements: each works on a connected fleet and fills in its `Measured` as it goes.

Latency is open-loop: events are due at a fixed rate whatever became of those before, and each one's latency counts from
when it was due, not from when it could be sent, so that a pause is charged to all whom it kept waiting.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import bus
from console.bench.far import Far
from console.bench.figures import Measured
from console.bench.made import instant_of, made
from console.bench.plan import CALL_TASKS, WARM_CALLS, WARM_EVENTS, Plan
from console.failures import Failure
from console.measure import many

Advance = Callable[[int], None]
Begin = Callable[[Measured, int], Advance]
STALL_S = 30.0
LOOK_EVENTS = 256


class Bench:
    """One command's measurements. `name` marks its events and groups; `begin` is told of each and of its total."""

    def __init__(self, fleet: bus.Fleet, plan: Plan, name: str, begin: Begin) -> None:
        self.fleet, self.plan, self.name = fleet, plan, name
        self._begin = begin
        self._urls = [node.url for node in fleet.topology.nodes]

    async def run(self, bench: str) -> None:
        """One of `plan.BENCHES`, or half of publish; not failover, which needs a fleet of its own."""
        of: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "publish": self.publish,
            "batched": self.batched,
            "singly": self.singly,
            "consume": self.consume,
            "latency": self.latency,
            "calls": self.calls,
        }
        await of[bench]()

    def _made(self, type: str, count: int, run: int = 0) -> list[bus.Event]:
        return made(f"bench.{self.name}.{type}", count, self.plan.size, time.time_ns(), run)

    async def publish(self) -> None:
        """Both ways of publishing."""
        await self.batched()
        await self.singly()

    async def batched(self) -> None:
        """Rates of `publish_many`."""
        plan = self.plan
        step = plan.batch or plan.events
        said = f"publish_many to ack, {plan.size} B" + (f", {plan.batch:,} a call" if plan.batch else "")
        measured = Measured("publish", said)
        advance = self._begin(measured, plan.events * plan.runs)
        await self.fleet.publish_many(self._made("warm", WARM_EVENTS), acks=plan.acks)
        for number in range(plan.runs):
            with _prepared(self._made("publish", plan.events, number)) as events, _run(measured) as done:
                for at in range(0, plan.events, step):
                    began = time.monotonic_ns()
                    told = _counter(done, at, advance, number * plan.events)
                    await self.fleet.publish_many(events[at : at + step], acks=plan.acks, on_progress=told)
                    if plan.batch:
                        measured.one(time.monotonic_ns() - began)
        measured.done = True

    async def singly(self) -> None:
        """Rates and times of many tasks that each await one `publish` after another."""
        plan = self.plan
        measured = Measured("publish", f"await publish, {many(plan.tasks, 'task')}, {plan.size} B")
        advance = self._begin(measured, plan.single * plan.runs)

        async def each(events: Iterator[bus.Event], done: list[int], before: int) -> None:
            for event in events:
                began = time.monotonic_ns()
                await self.fleet.publish(event, acks=plan.acks)
                measured.one(time.monotonic_ns() - began)
                done[0] += 1
                advance(before + done[0])

        for number in range(plan.runs):
            with _prepared(self._made("one", plan.single, number)) as events, _run(measured) as done:
                left = iter(events)
                async with together() as group:
                    for _ in range(plan.tasks):
                        group.create_task(each(left, done, number * plan.single))
        measured.done = True

    async def consume(self) -> None:
        """From another process's first publish to the last durable ack here; decoded, and acked by batches."""
        plan = self.plan
        measured = Measured("consume", f"publish to consumed and acked, {plan.size} B")
        advance = self._begin(measured, plan.events * plan.runs)
        async with Far("publish", self._urls, {"acks": plan.acks, "size": plan.size}) as far:
            for number in range(plan.runs):
                type, group = f"bench.{self.name}.consume{number}", f"bench-{self.name}-{number}"
                async with self.fleet.subscribe(type, group=group, in_flight=plan.in_flight) as found:
                    await self._warm(found, far, type)
                    await far.ask({"do": "make", "type": type, "count": plan.events})
                    with _run(measured) as done:
                        async with together() as both:
                            both.create_task(far.ask({"do": "go"}))
                            await self._take(found, done, _after(advance, number * plan.events))
        measured.done = True

    async def _take(self, found: "bus.Subscription", done: list[int], advance: Advance) -> None:
        """The acks of a partition are answered in order, so its last one stands for all."""
        last: dict[int, bus.Settling] = {}
        async with _patience(f"waiting for {self.plan.events:,} deliveries") as came:
            async for batch in found.batches():
                done[0] += len(batch.events)  # events are made when they are asked for
                last[batch.partition] = batch.ack()
                came()
                advance(done[0])
                if done[0] >= self.plan.events:
                    break
        await asyncio.gather(*last.values())

    async def _warm(self, found: "bus.Subscription", far: Far, type: str) -> None:
        """Connections and caches at both ends: nothing that is measured is the first of its kind."""
        await far.ask({"do": "make", "type": type, "count": WARM_EVENTS})
        await far.ask({"do": "go"})
        await _deliveries(found, WARM_EVENTS, bus.Delivery.ack)

    async def latency(self) -> None:
        """Open-loop: from when each event was due at the publisher (another process) to a subscriber's hands here."""
        plan = self.plan
        measured = Measured("latency", f"publish to delivered, {plan.rate:,}/s, {plan.size} B")
        advance = self._begin(measured, plan.paced)
        type, group = f"bench.{self.name}.latency", f"bench-{self.name}-latency"
        done = [0]

        def take(delivery: "bus.Delivery") -> None:
            measured.one(time.monotonic_ns() - instant_of(delivery.event))
            delivery.ack()
            done[0] += 1
            advance(done[0])

        async with (
            Far("publish", self._urls, {"acks": plan.acks, "size": plan.size}) as far,
            self.fleet.subscribe(type, group=group, in_flight=plan.in_flight) as found,
        ):
            await self._warm(found, far, type)
            with _run(measured, done):
                async with together() as both:
                    paced = {"do": "pace", "type": type, "count": plan.paced, "rate": plan.rate}
                    sent = both.create_task(far.ask(paced))
                    await _deliveries(found, plan.paced, take)
            measured.note = f"the publisher was at most {sent.result()['late_ns'] / 1e6:.1f} ms behind its beat"
        measured.done = True

    async def calls(self) -> None:
        """Round trips to a function in another process: one after the other, then from several tasks at once."""
        plan = self.plan
        name = f"bench/{self.name}"
        async with Far("answer", self._urls, {"name": name}):
            for tasks in (1, CALL_TASKS):
                said = "one after the other" if tasks == 1 else f"{tasks} tasks"
                measured = Measured("calls", f"call and answer, {said}, {plan.size} B", "calls/s")
                advance = self._begin(measured, plan.calls * plan.runs)
                await self._call(name, WARM_CALLS, [0], lambda _took: None)
                for number in range(plan.runs):
                    with _run(measured) as done:
                        async with together() as group:
                            for _ in range(tasks):
                                group.create_task(self._call(name, plan.calls // tasks, done, measured.one))
                    advance((number + 1) * plan.calls)
                measured.done = True

    async def _call(self, name: str, count: int, done: list[int], one: Callable[[int], None]) -> None:
        payload = "x" * (self.plan.size - 2)  # with two bytes of MessagePack
        for _ in range(count):
            began = time.monotonic_ns()
            await self.fleet.call(name, payload, timeout=STALL_S)
            one(time.monotonic_ns() - began)
            done[0] += 1


def _after(advance: Advance, before: int) -> Advance:
    return lambda done: advance(before + done)


def _counter(done: list[int], at: int, advance: Advance, before: int) -> Callable[[int, int], None]:
    def told(acked: int, _taken: int) -> None:
        done[0] = at + acked
        advance(before + done[0])

    return told


@contextmanager
def _run(measured: Measured, done: list[int] | None = None) -> Iterator[list[int]]:
    """One run: what `done[0]` has reached counts, also when the run is stopped."""
    done = [0] if done is None else done
    began = time.monotonic()
    try:
        yield done
    finally:
        measured.run(done[0], time.monotonic() - began)


@contextmanager
def _prepared(events: list[bus.Event]) -> Iterator[list[bus.Event]]:
    """Events were there before: the collector need not walk them again and again while something is measured."""
    gc.collect()
    gc.freeze()
    try:
        yield events
    finally:
        gc.unfreeze()


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup whose first error is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[Callable[[], None]]:
    """Call what it gives when something has come. Raises Failure when nothing comes for `STALL_S`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STALL_S) as limit:
            yield lambda: limit.reschedule(loop.time() + STALL_S)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise Failure(f"{what}: nothing came for {STALL_S:g} s", "See `signalbox status`.") from error


async def _deliveries(found: "bus.Subscription", count: int, each: Callable[["bus.Delivery"], object]) -> None:
    """Take so many. Raises Failure when they do not come."""
    seen = 0
    async with _patience(f"waiting for {count:,} deliveries") as came:
        async for delivery in found:
            each(delivery)
            seen += 1
            if seen == count:
                return
            if not seen % LOOK_EVENTS:
                came()
