"""Publishing: events -> batches -> lanes -> Publish frames -> receipts.

Concurrent `publish` calls share batches: whatever was asked for in one turn of the loop leaves together, one frame per
broker with the sections of all its partitions. What comes while `PUBLISH_GATHER_FRAMES` of these are unanswered by a
broker, or a batch of the same partition is, gathers, as each batch costs every replica a record and each frame every
broker a turn: up to `PUBLISH_GATHER_EVENTS`, then it leaves all the same. One partition that is slow to commit holds up
the others of its broker for `PUBLISH_GATHER_MS` at most. A partition with `LANE_BATCHES_IN_FLIGHT_MAX` unanswered
batches sends no more until one is answered. What is held is bounded in bytes (`PUBLISH_BUFFER_BYTES_MAX`) and in events
not yet encoded (`PUBLISH_WAITING_EVENTS_MAX`); beyond either, callers wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

from bus import limits, wire
from bus.client.cluster import Cluster
from bus.client.connection import Connection, Lost
from bus.client.frames import Frame, Frames, parcels
from bus.client.lane import Batch, Lane, Result
from bus.client.owners import Call, Part, Shared
from bus.client.packing import GUARANTEES, Receipt, check, fill, pack
from bus.client.preparing import prepared
from bus.client.schemas import Schemas
from bus.errors import BrokerUnavailable, BusError, ClientError, ProtocolError, PublishError
from bus.event import Event
from bus.ids import new_id, new_producer
from bus.repeats import check_repeats
from bus.words import many

_MS = 1_000_000
_SWEEP_SECONDS = 0.1


class Publisher:
    """All publishing of one client. Events without a source are sent as `source`; `schemas`: what payloads must fit."""

    def __init__(self, cluster: Cluster, source: str, schemas: Schemas) -> None:
        self._cluster = cluster
        self._source = source
        self._schemas = schemas
        self._reserved = cluster.claim is not None
        self._producer = new_producer()
        self._lanes: dict[int, Lane] = {}
        self._busy: set[int] = set()
        self._seen: dict[int, tuple[str, int]] = {}
        self._open: dict[tuple[int, str, float], Shared] = {}
        self._open_events = 0
        self._shared_out = Counter[int]()
        self._frames = Frames[Connection](lambda frame: frame.link.forget(frame.number))
        self._gathering_ends: asyncio.TimerHandle | None = None
        self._held_bytes = 0
        self._room_wanted: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()
        self._pumping = False
        self._wake: asyncio.TimerHandle | None = None
        self._closed = False
        cluster.observers.add(self._changed)

    # ------------------------------------------------------------------------------------------- calls

    async def publish(self, event: Event, acks: str, within: float) -> Receipt:
        """One event; shares batches with all other calls of this turn."""
        self._check(acks)
        ready = fill(event, self._source, getattr(event, "id", "") or new_id())
        check(ready, self._reserved)
        self._schemas.check(ready)
        while not self._cluster.seats or self._is_full():
            await self._room(within)
        partition = self._cluster.home(ready.key)
        key = (partition, acks, within)
        shared = self._open.get(key)
        if shared is None:
            shared = self._open[key] = Shared(self._loop.time())
        future: asyncio.Future[Receipt] = self._loop.create_future()
        shared.events.append(ready)
        shared.marks.append(49 if event.id else 48)
        shared.futures.append(future)
        self._open_events += 1
        self._busy.add(partition)
        self.wake()
        return await future

    async def publish_many(
        self, events: Iterable[Event], acks: str, within: float, on_progress: Callable[[int, int], None] | None
    ) -> list[Receipt]:
        """All of them, batched; raises PublishError when any failed."""
        self._check(acks)
        if not self._cluster.seats:
            await self._cluster.ready(within)
        call = Call(on_progress)
        try:
            await self._feed(call, events, acks, within)
            call.complete = True
            call.check()
            await call.whole
        except BaseException:
            self._withdraw(call)
            raise
        if call.failed:
            errors = [result for result in call.results if isinstance(result, BusError)]
            raise PublishError(
                f"{len(errors):,} of {many(len(call.results), 'event')} {'was' if len(errors) == 1 else 'were'} not "
                f"published; the first: {errors[0]}",
                list(call.results),
            )
        return cast(list[Receipt], call.results)

    async def _feed(self, call: Call, events: Iterable[Event], acks: str, within: float) -> None:
        """Slice by slice: check, spread over the partitions, encode what is full; other tasks run in between."""
        partitions, home, coming = self._cluster.partitions, self._cluster.home, iter(events)
        parts = [Part(call) for _ in range(partitions)]
        homes: dict[str, int] = {}
        while not call.whole.done() and (taken := list(islice(coming, limits.PUBLISH_SLICE_EVENTS_MAX))):
            for event, id, place in prepared(call, taken, self._source, self._reserved, self._schemas):
                extras = event.extras  # as `Event.key` does, and without a call for each event
                key = (extras is not None and extras.partitionkey) or event.subject or event.source or self._source
                partition = homes.get(key)
                if partition is None:
                    if len(homes) >= limits.KEY_HOMES_CACHED_MAX:
                        homes.clear()
                    partition = homes[key] = home(key)
                part = parts[partition]
                part.events.append(event)
                part.ids.append(id)
                part.places.append(place)
                if len(part.places) == limits.BATCH_EVENTS_MAX:
                    parts[partition] = Part(call)
                    self._seal(partition, part, acks, within)
                    while self._held_bytes >= limits.PUBLISH_BUFFER_BYTES_MAX and not call.whole.done():
                        await self._room(within)
            await asyncio.sleep(0)
        for partition, part in enumerate(parts):
            if part.places:
                self._seal(partition, part, acks, within)

    def _is_full(self) -> bool:
        waiting, held = limits.PUBLISH_WAITING_EVENTS_MAX, limits.PUBLISH_BUFFER_BYTES_MAX
        return self._open_events >= waiting or self._held_bytes >= held

    def _check(self, acks: str) -> None:
        if acks not in GUARANTEES:
            raise ClientError(f"acks={acks!r}: it is one of {', '.join(GUARANTEES)}")
        if self._closed:
            raise ClientError("this fleet is closed: publish inside `async with bus.connect()`")
        if self._cluster.fatal is not None:
            raise self._cluster.fatal

    async def _room(self, within: float) -> None:
        """Wait until something was settled or the topology came."""
        self.wake()
        if not self._cluster.seats:
            await self._cluster.ready(within)
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._room_wanted.append(future)
        await future
        self._check("quorum")

    def _withdraw(self, call: Call) -> None:
        """A cancelled call takes back what was not sent; what was sent goes its way, and nobody waits for it."""
        call.whole.cancel()
        for partition in list(self._busy):
            lane = self._lanes.get(partition)
            for batch in lane.withdraw(lambda owner: getattr(owner, "call", None) is call) if lane else ():
                self._held_bytes -= len(batch.body)
        self._make_room()

    # ---------------------------------------------------------------------------------------- batching

    def _seal(self, partition: int, part: "Part", acks: str, within: float) -> None:
        for packed in pack(part.events, part.ids, self._source):
            owner = part.cut(packed.start, packed.stop)
            if packed.error is not None:
                owner.settled(packed.error, acks)
            else:
                self._offer(partition, packed.body, packed.stop - packed.start, acks, within, owner)

    def _seal_open(self) -> None:
        """Encode what `publish` calls gathered, for each partition that may send."""
        gathered = Counter[Connection | None]()
        links = {key: self._cluster.leader(key[0]) for key in self._open}
        for key, link in links.items():
            gathered[link] += len(self._open[key].events)
        now = self._loop.time()
        for key, link in links.items():
            partition, acks, within = key
            lane, shared = self._lanes.get(partition), self._open[key]
            fresh = now - shared.since < _SWEEP_SECONDS  # older ones line up in the lane, where their deadline counts
            if fresh and lane is not None and (lane.waiting or len(lane.out) >= limits.LANE_BATCHES_IN_FLIGHT_MAX):
                continue
            if fresh and self._shared_out[partition] and len(shared.events) < limits.PUBLISH_GATHER_EVENTS:
                continue
            if link is not None and gathered[link] < limits.PUBLISH_GATHER_EVENTS and self._gathers(link, shared, now):
                continue
            del self._open[key]
            self._open_events -= len(shared.events)
            for packed in pack(shared.events, [event.id for event in shared.events], self._source):
                owner = shared.cut(packed.start, packed.stop)
                if packed.error is not None:
                    owner.settled(packed.error, acks)
                else:
                    self._shared_out[partition] += 1
                    self._offer(partition, packed.body, packed.stop - packed.start, acks, within, owner)

    def _gathers(self, link: Connection, shared: Shared, now: float) -> bool:
        """Whether these events wait for more, as their broker is busy with others; then they are looked at again."""
        left = shared.since + limits.PUBLISH_GATHER_MS / 1000 - now
        if self._frames.busy(link) < limits.PUBLISH_GATHER_FRAMES or left <= 0:
            return False
        if self._gathering_ends is None:
            self._gathering_ends = self._loop.call_later(left, self._gathered)
        return True

    def _gathered(self) -> None:
        self._gathering_ends = None
        self.wake()

    def _offer(self, partition: int, body: bytes, count: int, acks: str, within: float, owner: Any) -> None:
        if self._closed:
            owner.settled(BrokerUnavailable("the fleet was closed before it was sent"), acks)
            return
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = Lane(partition, new_producer)
        deadline = time.monotonic_ns() + int(within * 1e9)
        lane.offer(Batch(partition, body, count, acks, deadline, owner, owner.given))
        self._held_bytes += len(body)
        self._busy.add(partition)
        self.wake()

    # ----------------------------------------------------------------------------------------- sending

    def wake(self) -> None:
        """Send in the next turn of the loop, so that what this turn still brings leaves together."""
        if not self._pumping and not self._closed:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _changed(self) -> None:
        if self._cluster.fatal is not None:
            for lane in self._lanes.values():
                self._tell(lane.abandon(str(self._cluster.fatal)))
        for partition in self._busy:
            seat = self._cluster.seats.get(partition)
            now = (seat.leader, seat.epoch) if seat is not None else ("", 0)
            if self._seen.get(partition) != now:
                self._seen[partition] = now
                if partition in self._lanes:
                    self._lanes[partition].moved()
        if self._busy:
            self.wake()

    def _pump(self) -> None:
        self._pumping = False
        if self._closed:
            return
        now = time.monotonic_ns()
        self._seal_open()
        sends: dict[tuple[Connection, str], list[Batch]] = {}
        for partition in sorted(self._busy):
            lane = self._lanes.get(partition)
            if lane is None or lane.idle:
                if not any(key[0] == partition for key in self._open):
                    self._busy.discard(partition)
                continue
            link = self._cluster.leader(partition)
            for batch in lane.due(link, now) if link is not None else ():
                sends.setdefault((link, batch.acks), []).append(batch)  # type: ignore[arg-type]
        for (link, acks), batches in sends.items():
            for fitting in parcels(batches):
                self._send(link, acks, fitting)
        if self._busy and self._wake is None:
            self._wake = self._loop.call_later(self._pause(now), self._sweep)

    def _pause(self, now: int) -> float:
        """Until a held lane may send again, or the next look at deadlines."""
        held = [lane.held_until - now for lane in map(self._lanes.get, self._busy) if lane and lane.held_until > now]
        return min([_SWEEP_SECONDS, *(ns / 1e9 for ns in held)])

    def _sweep(self) -> None:
        self._wake = None
        now = time.monotonic_ns()
        for partition in list(self._busy):
            if partition in self._lanes:
                self._tell(self._lanes[partition].expire(now))
        self._frames.drop_settled()
        self.wake()

    def _send(self, link: Connection, acks: str, batches: list[Batch]) -> None:
        number = next(self._cluster.numbers)
        sections = [
            wire.Section(batch.partition, batch.producer, batch.sequence, batch.count, batch.given) for batch in batches
        ]
        frame = self._frames.send(number, link, batches, any(type(batch.owner) is Shared for batch in batches))

        def answer(message: Any, _blobs: list[bytes]) -> None:
            self._answered(frame, message)

        if not link.ask(number, wire.Publish(number, acks, sections), [batch.body for batch in batches], answer):
            answer(Lost("closed", "the session is over"), [])

    # --------------------------------------------------------------------------------------- answering

    def _answered(self, frame: Frame[Connection], message: Any) -> None:
        link, pending, now = frame.link, frame.pending, time.monotonic_ns()
        if isinstance(message, Lost):
            for batch in pending.values():
                self._lanes[batch.partition].lost(batch, link)
            pending.clear()
        elif isinstance(message, wire.Published):
            for place, outcome in message.outcomes.items():
                sent = pending.get(place)
                if not 0 <= place < frame.sections or (sent is not None and outcome.partition != sent.partition):
                    raise ProtocolError(
                        f"an outcome for section {place} of partition {outcome.partition} fits no request"
                    )
                if sent is not None:
                    check_repeats(outcome.repeats, sent.count, sent.given)
                    del pending[place]
                    self._tell(self._lanes[sent.partition].answered(sent, outcome, link, now))
        elif isinstance(message, wire.Fault):
            for place, batch in list(pending.items()):
                del pending[place]
                outcome = wire.Outcome(batch.partition, 0, 0, 0, message.code, message.message)
                self._tell(self._lanes[batch.partition].answered(batch, outcome, link, now))
        else:
            raise ProtocolError(f"{type(message).__name__} answers no Publish")
        if not pending:
            self._frames.over(frame)
        self.wake()

    def _tell(self, settled: list[tuple[Batch, Result]]) -> None:
        for batch, result in settled:
            self._held_bytes -= len(batch.body)
            if type(batch.owner) is Shared:
                self._shared_out[batch.partition] -= 1
            batch.owner.settled(result, batch.acks)
        if settled:
            self._make_room()

    def _make_room(self) -> None:
        wanted, self._room_wanted = self._room_wanted, []
        for future in wanted:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Fail whatever is not answered; callers that still wait hear of it."""
        self._closed = True
        self._cluster.observers.discard(self._changed)
        for timer in (self._wake, self._gathering_ends):
            if timer is not None:
                timer.cancel()
        for lane in self._lanes.values():
            self._tell(lane.abandon("the fleet was closed"))
        for shared in self._open.values():
            shared.settled(BrokerUnavailable("the fleet was closed before it was sent"), "quorum")
        self._open.clear()
        self._make_room()
