"""`Fleet.subscribe`: a member of a group, at the leader of every partition.

Each partition has a `Membership`, and a share of `in_flight` as credit (`bus.client.credit`): so many deliveries may be
out. One that ends (settled, or its `ack_wait` is over) gives its credit back. What a lost leader had delivered and
nobody has taken out of here yet is forgotten: it will come again.

What one message of a leader brought waits here as one `Arrival`, and is given out one by one, or together.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from secrets import token_hex
from types import TracebackType

from bus import limits, wire
from bus.client.cluster import Cluster
from bus.client.credit import CreditPool
from bus.client.deliveries import OVER, Arrival, Delivery, DeliveryBatch
from bus.client.membership import Membership
from bus.client.ordering import Ordered
from bus.client.transport import Timer
from bus.errors import BusError, ClientError, NoSuchGroup, ProtocolError

_TIMER_SLACK_SECONDS = 0.001
"""Timers may fire a little before the moment they were set for."""
_TICKS = 3
"""After so many looks at rest, credit that one partition does not use has gone to another that wants it."""


class Subscription(Ordered):
    """An async context manager and iterator of `Delivery`, or by `batches` of `DeliveryBatch`. Made by
    `Fleet.subscribe`.

    `saw(partition, offset)` hears of what is given out: of each delivery, or of the last one of a batch. `since`: when
    the member came, ns, where one member works at a time (`bus.client.holding`). `create`: a group that is not there is
    made. `settings` are those that the member came with, `current` those that hold: an operator may have set some of
    them. `error`: why it is over for good.
    """

    since = 0
    create = True

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        settings: wire.GroupSettings,
        in_flight: int,
        name: str,
        saw: Callable[[int, int], None] | None = None,
    ) -> None:
        self.cluster = cluster
        self.group = group
        self.settings = self.current = settings
        self.member = f"{name}/{token_hex(4)}"
        self.closed = False
        self.pool = CreditPool(in_flight, cluster.partitions)
        self._lending = False
        self._saw = saw
        self._loop = asyncio.get_running_loop()
        self._clock = cluster.clock
        self._memberships: list[Membership] = []
        self._inbox: deque[Arrival] = deque()
        self._streak = 0
        self._arrivals = 0
        self._patience: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self.error: BusError | None = None
        self._out: deque[Arrival] = deque()
        self._to_flush: set[Membership] = set()
        self._timer: Timer | None = None
        self._ticks = 0

    async def __aenter__(self) -> "Subscription":
        self._memberships = [Membership(self, partition) for partition in range(self.cluster.partitions)]
        self.cluster.observers.add(self._attend)
        self._attend()
        self._tick()
        try:
            await self._all_joined()
        except BaseException:
            self._let_go()
            raise
        return self

    async def _all_joined(self) -> None:
        """Until every partition's leader has said Joined; partitions without one join later, if any has joined."""
        deadline = self._loop.time() + limits.CONNECT_MS_MAX / 1000
        while self.error is None and not all(one.joined for one in self._memberships):
            if self.cluster.closed:
                raise ClientError("this fleet is closed: subscribe inside `async with bus.connect()`")
            if not self.create and self._is_known():
                self._attend()
                continue
            self._moved.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._moved.wait()
            except TimeoutError:
                if any(one.joined for one in self._memberships):
                    return
                raise self.cluster.unavailable(0) from None
        if self.error is not None:
            raise self.error

    def _is_known(self) -> bool:
        """Whether the group that is not to be made is somewhere: then it may be made everywhere. Raises NoSuchGroup."""
        if all(one.absent for one in self._memberships):
            raise NoSuchGroup(f"no partition has group {self.group}; without `create=False` it is made")
        if not any(one.joined for one in self._memberships):
            return False
        self.create = True
        for one in self._memberships:
            if one.absent:
                one.absent, one.retry_at = False, 0.0
        return True

    def missed(self, membership: Membership) -> None:
        """A leader does not have the group, and was not to make it."""
        if self.create:  # by now it is known to be elsewhere
            membership.retry_at = self.again_in(limits.REDIAL_MS_MIN / 1000)
        else:
            membership.absent, membership.retry_at = True, float("inf")
            self.progressed()

    def widen(self, in_flight: int) -> None:
        """Let so many deliveries be out at once from now on, if these are more than before."""
        more = min(in_flight, limits.IN_FLIGHT_EVENTS_MAX) - self.pool.total
        if more > 0:
            self.pool.widen(more)
            self.lend_soon()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deadline = self._loop.time() + limits.LEAVE_MS_MAX / 1000
        try:
            while any(one.settling for one in self._memberships) and not self.cluster.closed:
                self._moved.clear()
                async with asyncio.timeout_at(deadline):
                    await self._moved.wait()
        except TimeoutError:
            self._abandon()
        finally:
            self._let_go()

    def _abandon(self) -> None:
        for one in self._memberships:
            one.lose()
            one.expire(float("inf"))

    def _let_go(self) -> None:
        self.closed = True
        self.cluster.observers.discard(self._attend)
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        for one in self._memberships:
            if one.link is not None:
                one.link.send(wire.Leave(one.number))
        self._abandon()
        self._inbox.clear()
        self._out.clear()
        self._arrived.set()

    # ----------------------------------------------------------------------------------------- iterating

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Delivery:
        if self._streak >= limits.ITERATE_EVENTS_MAX:
            await self._pause()
        while True:
            inbox = self._inbox
            while inbox:
                arrival = inbox[0]
                place = arrival.next()
                if place < 0:
                    inbox.popleft()
                    continue
                arrival.given = place + 1
                self._streak += 1
                delivery = Delivery(arrival, place)
                if self._saw is not None:
                    self._saw(delivery.partition, delivery.offset)
                return delivery
            if not await self._some():
                raise StopAsyncIteration

    async def batches(self) -> AsyncIterator[DeliveryBatch]:
        """What is delivered, as it came: the deliveries of one partition that came together, 1 to BATCH_EVENTS_MAX.

        For throughput: `batch.events`, `await batch.ack()`; single ones may be settled, too, by iterating over it.
        """
        while True:
            if self._streak >= limits.ITERATE_EVENTS_MAX:
                await self._pause()
            while self._inbox:
                arrival = self._inbox.popleft()
                places: Sequence[int] = range(arrival.given, len(arrival.rows))
                if OVER in arrival.ended:
                    places = [place for place in places if not arrival.ended[place]]
                if places:
                    arrival.given = len(arrival.rows)
                    self._streak += len(places)
                    if self._saw is not None:
                        self._saw(arrival.membership.partition, arrival.offset(places[-1]))
                    yield DeliveryBatch(arrival, places)
                    break
            else:
                if not await self._some():
                    return

    async def _pause(self) -> None:
        """Let other tasks run: what was settled leaves, and what comes is taken."""
        self._streak = 0
        await asyncio.sleep(0)

    async def _some(self) -> bool:
        """Wait until something came; False: nothing will."""
        if self.error is not None:
            raise self.error
        if self.closed or self.cluster.closed:
            return False
        self._streak = 0
        self._lend()
        self._arrived.clear()
        await self._arrived.wait()
        return True

    def waiting(self) -> list[tuple[Delivery, int, int]]:
        """What waits for a cause, and for which; see `bus.client.holding`."""
        return []

    def now(self) -> float:
        """The fleet's clock, seconds; deliveries and settlements are due by it."""
        return self._clock.time()

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call it so much later by that clock."""
        return self._clock.call_later(seconds, callback)

    def take(self, arrival: Arrival) -> None:
        """Deliveries came; they wait here until they are iterated over."""
        if self.error is None:
            self._inbox.append(arrival)
        self._arrivals += 1
        if len(self._out) > 2 * self.pool.total + limits.BATCH_EVENTS_MAX:
            self._out = deque(one for one in self._out if one.left)
        arrival.deadline = self._clock.time() + self.current.ack_wait_ms / 1000
        self._out.append(arrival)
        self._arrived.set()
        self._tick_on()

    def renewed(self, arrival: Arrival) -> None:
        """What came together has its time from now on again, as one of it has."""
        arrival.deadline = self._clock.time() + self.current.ack_wait_ms / 1000
        if self._out and self._out[-1] is not arrival:
            self._out = deque([*(one for one in self._out if one is not arrival), arrival])

    def forget(self, membership: Membership) -> None:
        """Its leader is lost: what was not handed out yet will be delivered again by the next one."""
        for arrival in [one for one in self._inbox if one.membership is membership]:
            self._inbox.remove(arrival)
            membership.end(arrival.waiting())

    def told(self, membership: Membership, progress: wire.Progress) -> None:
        """A leader says how far it is."""
        raise ProtocolError(f"{progress} came to group {self.group}, whose order asks for none")

    def fail(self, error: BusError) -> None:
        """The group refused this member for good: what waits here is no longer its to work on."""
        self.error = error
        self._inbox.clear()
        self._arrived.set()
        self._moved.set()

    def progressed(self) -> None:
        """Somebody joined, or was answered."""
        self._moved.set()

    def flush_soon(self, membership: Membership) -> None:
        """Send its settlements at the end of this turn."""
        if not self._to_flush:
            self._loop.call_soon(self._flush)
        self._to_flush.add(membership)
        self._tick_on()

    def _flush(self) -> None:
        flushing, self._to_flush = self._to_flush, set()
        for membership in flushing:
            membership.flush()
        self._lend()

    def lend_soon(self) -> None:
        """Deliveries came: at the end of this turn see who wants more."""
        if not self._lending:
            self._lending = True
            self._loop.call_soon(self._lend)

    def _lend(self) -> None:
        self._lending = False
        if self._inbox and not self.pool.worth_lending:
            return
        for share, more in self.pool.lend():
            self._memberships[share.partition].lend(more)
        if self._patience is None and self.pool.wanted and not self._inbox:
            wait = limits.CREDIT_PATIENCE_MS / 1000
            self._patience = self._loop.call_later(wait, self._lend_small, self._arrivals)

    def _lend_small(self, arrivals: int) -> None:
        """Nothing has come for a while, perhaps because too little credit is where the work is."""
        self._patience = None
        if self._arrivals != arrivals or self.closed:
            self._lend()
            return
        for share, more in self.pool.lend(small=True):
            self._memberships[share.partition].lend(more)

    # ------------------------------------------------------------------------------------------ timing

    def again_in(self, seconds: float) -> float:
        """Try to join again then; gives that moment on the loop's clock."""
        when = self._loop.time() + seconds
        self._loop.call_at(when, self._attend)
        return when

    def _attend(self) -> None:
        if self.closed or self.cluster.closed:
            self._arrived.set()
            self._moved.set()
            return
        now = self._loop.time() + _TIMER_SLACK_SECONDS
        for membership in self._memberships:
            membership.attend(self.cluster, now)

    def _tick(self) -> None:
        """Once in a while: deliveries whose `ack_wait` is over give back their credit, old settlements are given up.

        Not while there is neither, so that a process may have thousands of subscriptions to which nothing comes.
        """
        self._timer = None
        now = self._clock.time()
        while self._out and (self._out[0].deadline <= now or not self._out[0].left):
            arrival = self._out.popleft()
            arrival.membership.end(arrival.out())
        for share, less in self.pool.reclaim(one.share for one in self._memberships):
            self._memberships[share.partition].lend(less)
        self._lend()
        for membership in self._memberships:
            membership.expire(now)
        self._ticks -= 1
        if self._ticks > 0 or self._out or self.since or any(one.settling for one in self._memberships):
            self._again()

    def _tick_on(self) -> None:
        """Something came or was settled: some ticks at least have something to look at."""
        self._ticks = _TICKS
        if self._timer is None and not self.closed:
            self._again()

    def _again(self) -> None:
        self._timer = self._clock.call_later(min(0.25, self.settings.ack_wait_ms / 4000), self._tick)
