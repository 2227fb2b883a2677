"""One membership of a group, for all agents of a connection that take work from it.

What is delivered waits here in order until the least busy agent that has a handler for it has room: as much as all
seats together may work on, and one of each partition. Its `ack_wait` is renewed while it waits and while it is handled,
so that it goes to another only if this process dies or stands still. So a capability that a thousand local agents have
costs one member, not a thousand.

An event that comes again although it was handled is acked and counted; one that comes while it is handled waits for
how that ends. An event with `requires` that is yet to be dispatched is acked: the control plane chooses who gets it. So
is mail, which a wider pattern matches, outside of the inbox: it is its addressee's.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.agents.complaining import Complaints
from bus.agents.handlers import Handling, Settings
from bus.agents.inbox import PREFIX, Order, order_of
from bus.agents.limits import PASSED_OVER_MAX, RENEW_PERMILLE
from bus.agents.seen import DONE, RUNNING, Key, Seen, key_of
from bus.agents.settling import DISPATCHED, OWN, SHARED
from bus.errors import BusError, ClientError
from bus.event import Event
from bus.limits import IN_FLIGHT_EVENTS_MAX
from bus.topic import NEVER_ROUTED

if TYPE_CHECKING:
    from bus.agents.desk import Desk
    from bus.client.deliveries import Delivery
    from bus.client.fleet import Fleet
    from bus.client.subscribing import Subscription
    from bus.client.transport import Timer

log = logging.getLogger("bus.agents")


class Job:
    """A delivery that is worked on here. `event`: what the handler gets, the original of an `order`."""

    __slots__ = ("delivery", "event", "key", "order", "work")

    def __init__(self, work: "Work", delivery: "Delivery", event: Event, order: Order | None) -> None:
        self.work = work
        self.delivery = delivery
        self.event = event if order is None else order.event
        self.order = order
        self.key = key_of(self.event)

    @property
    def origin(self) -> str:
        """Where it came from, as `bus.agents.settling` has it."""
        return DISPATCHED if self.order is not None else self.work.origin


class Work:
    """See the module. `place`: the group of those who handle it, "" for an inbox; `is_shared`: its settings are
    nobody's own. It joins when `gate` lets it, and tells `lost` when it cannot go on.

    `passed` counts events that are others', `duplicates` those that were handled before.
    """

    def __init__(
        self,
        fleet: "Fleet",
        settings: Settings,
        place: str,
        is_shared: bool,
        gate: asyncio.Semaphore,
        lost: Callable[["Work", BusError], None],
    ) -> None:
        self.settings = settings
        self.place = place
        self.origin = SHARED if is_shared else OWN
        self.seats: list[Desk] = []
        self.queue: deque[Job] = deque()
        self.passed = 0
        self.duplicates = 0
        self._fleet = fleet
        self._gate = gate
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._seen = Seen()
        self._complaints = Complaints()
        self._behind: dict[Key, deque[Job]] = {}
        self._jobs: dict[Job, None] = {}
        self._renewal: Timer | None = None
        self._turn = 0
        self._subscription: Subscription | None = None
        self._opening: asyncio.Task[None] | None = None
        self._pump: asyncio.Task[None] | None = None

    # ----------------------------------------------------------------------------------------- coming, going

    async def take_seat(self, desk: "Desk", create: bool = True) -> None:
        """An agent takes work from now on. Raises what `Fleet.subscribe` does; NoSuchGroup without `create`."""
        self.seats.append(desk)
        desk.works.append(self)
        if self._opening is None:
            self._opening = self._loop.create_task(self._open(create))
        try:
            await asyncio.shield(self._opening)
        except BaseException:
            self.leave_seat(desk)
            if not self.seats:
                self._opening.cancel()
                await self.close()
            raise
        self._widen()
        self.give_out()

    async def _open(self, create: bool) -> None:
        async with self._gate:
            told = {**self.settings._asdict(), "in_flight": self._in_flight(), "create": create}
            subscription = self._fleet.subscribe(**told)
            await subscription.__aenter__()
        self._subscription = subscription
        self._pump = self._loop.create_task(self._receive(subscription))

    def _in_flight(self) -> int:
        """As much as can be worked on, be it in one partition: each of the others has credit for an event, too."""
        room = sum(desk.concurrency for desk in self.seats)
        return min(room + len(self._fleet.topology.seats), IN_FLIGHT_EVENTS_MAX)

    def _widen(self) -> None:
        if self._subscription is not None:
            self._subscription.widen(self._in_flight())

    def leave_seat(self, desk: "Desk") -> None:
        """An agent takes no more; what waits goes on to the others."""
        self.seats.remove(desk)
        desk.works.remove(self)
        self.give_out()

    async def close(self) -> None:
        """Leave the group; what waits here goes to others."""
        self.queue.clear()
        self._jobs.clear()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.__aexit__(None, None, None)

    # ----------------------------------------------------------------------------------------- receiving

    async def _receive(self, subscription: "Subscription") -> None:
        try:
            async for delivery in subscription:
                self.take(delivery)
        except BusError as error:
            self._lost(self, error)
        except Exception as error:
            # Nobody else would hear of it: the agents that wait for this group's events have to.
            log.exception("group %s cannot be worked on", self.settings.group)
            self._lost(self, ClientError(f"group {self.settings.group}: {type(error).__name__}: {error}"))

    def take(self, delivery: "Delivery") -> None:
        """A delivery came."""
        event = delivery.event
        try:
            order = order_of(event) if not self.place else None
        except ClientError as error:
            self._complaints.complain(self._loop.time(), f"{self.settings.group}: {event.id} is a dead letter: {error}")
            delivery.terminate(str(error))
            return
        is_dispatched = event.requires and not event.type.startswith(NEVER_ROUTED)
        if order is None and (is_dispatched or (self.place and event.type.startswith(PREFIX))):
            self.passed += 1
            delivery.ack()
            return
        self._line_up(Job(self, delivery, event, order))
        self.give_out()

    def _line_up(self, job: Job) -> None:
        known = self._seen.begin(job.key)
        if known == RUNNING:
            self._behind.setdefault(job.key, deque()).append(job)
        elif known == DONE:
            self._repeated(job)
            return
        else:
            self.queue.append(job)
        self._jobs[job] = None
        if self._renewal is None:
            self._renew_later()

    def _repeated(self, job: Job) -> None:
        """It was handled before. Of an order the plane may not have heard yet."""
        self.duplicates += 1
        if job.order is None or not self.seats:
            job.delivery.ack()
        else:
            self.seats[0].confirm(job)

    def _renew(self) -> None:
        """What waits or is handled is worked on: it does not go to another while this process lives."""
        self._renewal = None
        for job in self._jobs:
            job.delivery.renew()
        if self._jobs:
            self._renew_later()

    def _renew_later(self) -> None:
        """By the group's `ack_wait` as it is now: an operator may have changed it."""
        subscription = self._subscription
        ack_wait = self.settings.ack_wait if subscription is None else subscription.current.ack_wait_ms / 1000
        later = self._loop.call_later if subscription is None else subscription.later
        self._renewal = later(ack_wait * RENEW_PERMILLE / 1000, self._renew)

    def put_back(self, job: Job) -> None:
        """Whoever had begun it leaves: it is another's, here if there is one, else elsewhere once the group is left."""
        self.queue.appendleft(job)

    def ended(self, job: Job, done: bool) -> None:
        """A job is over here, `done` or not; those of the same event that waited for it go on."""
        self._jobs.pop(job, None)
        self._seen.end(job.key, done)
        behind = self._behind.pop(job.key, None)
        for one in behind or ():
            self._jobs.pop(one, None)
            self._line_up(one)
        if behind:
            self._loop.call_soon(self.give_out)

    # ----------------------------------------------------------------------------------------- giving out

    def give_out(self) -> None:
        """Let agents that have room begin what waits. What waits for one that is busy holds up none for another."""
        busy: set[tuple[str, bool]] = set()
        passed: list[Job] = []
        while self.queue and len(passed) < PASSED_OVER_MAX:
            job = self.queue[0]
            kind = (job.event.type, job.order is None)
            found = None if kind in busy else self._choose(job)
            if found is not None:
                desk, handler = found
                desk.begin(self.queue.popleft(), handler)
                continue
            if not busy and all(desk.share >= 1 for desk in self.seats):
                return
            busy.add(kind)
            passed.append(self.queue.popleft())
        self.queue.extendleft(reversed(passed))

    def _choose(self, job: Job) -> "tuple[Desk, Handling | None] | None":
        """The least busy agent with a handler for it, in turns among equals; one without, if nobody has any, so that it
        is refused; None while all who could are busy."""
        busy, chosen, share = False, None, 1.0
        count = len(self.seats)
        for step in range(count):
            place = (self._turn + step) % count
            desk = self.seats[place]
            handler = desk.handler_for(job)
            if handler is None:
                continue
            busy = True
            if desk.share < share:
                chosen, share = (desk, handler), desk.share
                if not desk.share:
                    self._turn = place + 1
                    break
        if chosen is None and not busy and count:
            return self.seats[0], None
        return chosen

    def queued(self) -> int:
        """How many wait for each seat, about."""
        return -(-len(self.queue) // max(1, len(self.seats)))
