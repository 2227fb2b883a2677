"""Publishers, groups and a reader that go on whatever happens, and write down what they are told."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable

import bus
from tests.chaos.ledger import Heard, Ledger, Place, Sent

PUBLISHERS = 3
KEYS = 60
"""Keys of one publisher; nobody else has them."""
BATCH = 40
PUBLISH_S = 8.0
"""After this a publish is given up: some outlast it, so that unknown outcomes are among what is checked."""
ACK_WAIT_S = 5.0
SLOW_EACH, SLOW_S = 10, 0.1
"""One event in so many is worked on for a while, so that something is always out when the leader goes."""
AGAIN_S = 0.2
PATTERN = "storm.*"


class Load:
    """All of it, over clients of their own. `rate`: events a second, of all publishers together."""

    def __init__(self, urls: list[str], ledger: Ledger, rate: int) -> None:
        self._urls = urls
        self._ledger = ledger
        self._pause = BATCH * PUBLISHERS / rate
        self._publishing: list[asyncio.Task[None]] = []
        self._listening: list[asyncio.Task[None]] = []
        self._settling: set[asyncio.Future[None]] = set()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Groups exist before the first event is published."""
        for group, order in (("plain", "none"), ("strict", "strict")):
            self._ledger.heard[group] = []
            joined = [asyncio.Event() for _ in range(2)]
            for number, ready in enumerate(joined):
                name = f"{group}-{number}"
                self._listen(name, lambda fleet, g=group, o=order, r=ready: self._work(fleet, g, o, r))  # type: ignore[misc]
            await asyncio.gather(*(ready.wait() for ready in joined))
        self._listen("reader", self._follow)
        self._publishing = [asyncio.create_task(self._publisher(number)) for number in range(PUBLISHERS)]

    async def end_publishing(self) -> None:
        """No further event; until every publish has ended, one way or another."""
        self._stopping.set()
        await asyncio.gather(*self._publishing)

    async def close(self) -> None:
        """The groups and the reader leave."""
        self._stopping.set()
        for task in self._listening + self._publishing:
            task.cancel()
        await asyncio.gather(*self._listening, *self._publishing, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ publishing

    async def _publisher(self, number: int) -> None:
        async with bus.connect(self._urls, name=f"publisher-{number}") as fleet:
            pending: set[asyncio.Task[None]] = set()
            counter = itertools.count()
            loop = asyncio.get_running_loop()
            due = loop.time()
            while not self._stopping.is_set():
                events = [self._event(number, next(counter)) for _ in range(BATCH)]
                pending.add(asyncio.create_task(self._publish(fleet, events)))
                pending = {task for task in pending if not task.done()}
                due = max(due + self._pause, loop.time())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._stopping.wait()
            await asyncio.gather(*pending)

    def _event(self, publisher: int, n: int) -> bus.Event:
        key = f"key-{publisher}-{n % KEYS}"
        id = f"p{publisher}-{n}"
        self._ledger.sent[id] = Sent(id, key, n)
        return bus.Event(id=id, type=f"storm.{n % 3}", source=f"agent/{publisher}", subject=key, data={"n": n})

    async def _publish(self, fleet: bus.Fleet, events: list[bus.Event]) -> None:
        results: list[object]
        try:
            results = list(await fleet.publish_many(events, deadline=PUBLISH_S))
        except bus.PublishError as error:
            results = error.results
        for event, result in zip(events, results, strict=True):
            if isinstance(result, bus.Receipt):
                assert result.id == event.id
                self._ledger.acked[event.id] = Place(result.partition, result.offset)
            elif isinstance(result, bus.OutcomeUnknown):
                self._ledger.unknown[event.id] = str(result)
            else:
                self._ledger.refused[event.id] = f"{type(result).__name__}: {result}"

    # ------------------------------------------------------------------------------------------ listening

    def _listen(self, name: str, work: Callable[[bus.Fleet], Awaitable[None]]) -> None:
        self._listening.append(asyncio.create_task(self._keep(name, work), name=name))

    async def _keep(self, name: str, work: Callable[[bus.Fleet], Awaitable[None]]) -> None:
        """What a careful consumer does: after an error it begins again."""
        while True:
            try:
                async with bus.connect(self._urls, name=name) as fleet:
                    await work(fleet)
            except bus.BusError as error:
                self._ledger.troubles[f"{name}: {type(error).__name__}"] += 1
            await asyncio.sleep(AGAIN_S)

    async def _work(self, fleet: bus.Fleet, group: str, order: str, ready: asyncio.Event) -> None:
        heard = self._ledger.heard[group]
        async with fleet.subscribe(
            PATTERN, group=group, order=order, ack_wait=ACK_WAIT_S, max_deliver=100, start="earliest"
        ) as deliveries:
            ready.set()
            loop = asyncio.get_running_loop()
            async for delivery in deliveries:
                place = Place(delivery.partition, delivery.offset)
                heard.append(Heard(place, delivery.event.id, delivery.attempt))
                if delivery.offset % SLOW_EACH:
                    self._ack(group, delivery)
                else:
                    loop.call_later(SLOW_S, self._ack, group, delivery)

    def _ack(self, group: str, delivery: bus.Delivery) -> None:
        settling = asyncio.ensure_future(delivery.ack())
        self._settling.add(settling)
        settling.add_done_callback(lambda settled: self._settled(group, settled))

    def _settled(self, group: str, settled: "asyncio.Future[None]") -> None:
        self._settling.discard(settled)
        if not settled.cancelled() and settled.exception() is not None:
            self._ledger.troubles[f"{group}, settling: {type(settled.exception()).__name__}"] += 1

    async def _follow(self, fleet: bus.Fleet) -> None:
        cursor: dict[int, int] = {}
        for place, _ in self._ledger.followed:
            cursor[place.partition] = place.offset + 1
        async for found in fleet.read(PATTERN, start=cursor, follow=True, positions=True):
            self._ledger.followed.append((Place(found.partition, found.offset), found.event.id))
