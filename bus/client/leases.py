"""`fleet.leases`: who may use a resource, for how long. `bus.lease` has the theory, `docs/coordination.md` the rest.

async with fleet.leases.acquire("gpu-1", ttl=30, wait=10) as lease:
    while work and lease.valid:
        await resource.do(work.pop(), token=lease.token)    # which asks its bus.Fence
"""

import asyncio
import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from bus import lease as rules
from bus.client.coordination import NOBODY_ANSWERS, SILENT_SECONDS, Feed, clock
from bus.coordinationlimits import LEASE_ASKS_AGAIN_MAX
from bus.errors import BusError, InvalidLease, LeaseLost, LeaseRefused, PlaneSilent
from bus.event import Event
from bus.ids import new_id
from bus.lease import ASKING, HELD, LOST, Claim, Release, Renewal, Request, Said

if TYPE_CHECKING:
    from bus.client.fleet import Fleet

log = logging.getLogger("signalbox.coordination")

RELEASE_SECONDS = 5.0
RENEWALS_PER_TTL = 3
_NS = 1_000_000_000
_said = msgspec.json.Decoder(Said)


def _wall_us() -> int:
    """What a request under an id of one's own counts by: this clock may be set, but goes on over restarts."""
    return time.time_ns() // 1_000


class Leases:
    """Made by a fleet. All leases of one connection share one following read."""

    def __init__(self, fleet: "Fleet") -> None:
        self._name = fleet.name
        self.incarnations = fleet.incarnations
        self.feed = Feed(fleet, rules.PATTERN, frozenset(), self._heard, self._ended)
        self.open: dict[str, Lease] = {}
        """Those that are asked for or held here, by id."""

    def acquire(
        self,
        resource: str,
        *,
        ttl: float = 30.0,
        wait: float = 0.0,
        priority: str = "medium",
        units: int = 1,
        capacity: int = 1,
        id: str = "",
        source: str = "",
    ) -> "Lease":
        """A lease, to be used in `async with`: entering asks for it, leaving gives it back; it renews itself meanwhile.

        `ttl` seconds after the last renewal it is lost; `wait`: seconds to stand in the queue, 0: not at all. A
        resource has `capacity` units (1: exclusive) by the first request while it is in use; this takes `units`.
        `source` is the holder: an agent, whose failure ends it; the fleet's name by default. With an `id` of your own
        the same lease is gone on with after a restart, while it lasts, under a new token; the earlier process may
        believe in it to the end of its time to live, so that the resource needs a Fence.

        Raises InvalidLease. Entering raises LeaseRefused (its `why`: held, waited, queue_full ...), PlaneSilent when
        the control plane does not answer, and what `publish` raises.
        """
        request = Request(
            lease=id or new_id(),
            resource=resource,
            ttl_ms=round(ttl * 1000),
            units=units,
            capacity=capacity,
            priority=priority,
            wait_ms=round(wait * 1000),
            asked=_wall_us() if id else 0,
        )
        wrong = rules.wrong_with(request)
        if wrong:
            raise InvalidLease(f"a lease of {resource!r}: {wrong}")
        return Lease(self, request, source or self._name)

    def _heard(self, event: Event) -> None:
        said = _said.decode(event.payload)
        if event.type == rules.EXTENDED:
            for id, renewal in said.leases:
                if id in self.open:
                    self.open[id].extended(renewal)
        elif said.lease in self.open:
            self.open[said.lease].heard(event.type, said, event.causationid or "")

    def _ended(self, error: BusError) -> None:
        for lease in list(self.open.values()):
            lease.cut_off(str(error))


class Lease:
    """One lease. `lost` is set when it is, for whatever reason; `why` says which."""

    def __init__(self, leases: Leases, request: Request, source: str) -> None:
        self._leases = leases
        self._request = request
        self._source = source
        self._claim = Claim(request.lease, request.ttl_ms, request.asked)
        self._changed = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._event = ""
        """The id of the event by which it was asked for."""
        self._above = 0
        """What to ask with instead, as the clock was set back since an earlier process asked; 0: nothing."""
        self._trouble = ""
        """What kept the last word to the plane from getting through."""
        self.lost = asyncio.Event()

    def __repr__(self) -> str:
        state = f"held, token {self.token}" if self.valid else self.why or self._claim.state
        return f"<Lease {self.id} of {self.resource!r} by {self._source}: {state}>"

    @property
    def id(self) -> str:
        """Its name in the log."""
        return self._request.lease

    @property
    def resource(self) -> str:
        """What is leased."""
        return self._request.resource

    @property
    def token(self) -> int:
        """The fencing token, greater than that of any lease before; 0 before it is granted."""
        return self._claim.token

    @property
    def valid(self) -> bool:
        """Whether it is surely held at this instant, by this machine's own clock: nobody else has it."""
        return self._claim.is_valid(clock())

    @property
    def why(self) -> str:
        """Why it was refused or lost, in words; "" while it is held."""
        text = rules.WHY.get(self._claim.why, self._claim.why)
        return f"{text} ({self._trouble})" if self._claim.why == "expired" and self._trouble else text

    def check(self) -> None:
        """Raises LeaseLost unless it is valid."""
        if not self.valid:
            raise LeaseLost(
                f"lease {self.id} of {self.resource!r} is lost: {self.why or rules.WHY['expired']}", self._claim.why
            )

    async def __aenter__(self) -> "Lease":
        if self._renewing is not None or self.id in self._leases.open:
            raise InvalidLease(f"lease {self.id} is in use already: acquire another one")
        await self._leases.feed.open()
        self._leases.open[self.id] = self
        try:
            await self._ask()
        except BaseException:
            del self._leases.open[self.id]
            if self._claim.state in (ASKING, HELD):
                # Whoever waits no longer must not get it.
                self._claim.release()
                self._leases.feed.aside(self._give_back())
            raise
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    async def release(self) -> None:
        """Give it back before the `async with` ends. It is not valid any more, whether or not anybody hears of it."""
        was_held = self._claim.state == HELD
        self._claim.release()
        if self._renewing is not None:
            self._renewing.cancel()
        self._leases.open.pop(self.id, None)
        if was_held:
            try:
                await self._give_back()
            except BusError as failure:
                log.warning(
                    "lease %s of %r ends by itself, after its time to live: %s", self.id, self.resource, failure
                )

    # ------------------------------------------------------------------------------------------- asking

    async def _ask(self) -> None:
        limit, again = self._request.wait_ms / 1000 + SILENT_SECONDS, 0
        await self._send_request(_wall_us() if self._request.asked else 0, limit)
        try:
            async with asyncio.timeout(limit):
                while self._claim.state == ASKING:
                    self._changed.clear()
                    if self._above:
                        again += 1
                        if again > LEASE_ASKS_AGAIN_MAX:
                            self._claim.ended("taken_over")
                            break
                        await self._send_request(self._above, limit)
                    elif self._claim.token:
                        # It stood in a queue for long: a renewal's answer says how it stands.
                        await self._send_renewal(SILENT_SECONDS)
                    if self._claim.state == ASKING:
                        await self._changed.wait()
        except TimeoutError:
            raise PlaneSilent(f"lease of {self.resource!r}: {NOBODY_ANSWERS}; no answer in {limit:g} s") from None
        if self._claim.state != HELD:
            raise LeaseRefused(f"{self.resource!r}: {self.why}", self._claim.why)

    async def _send_request(self, asked: int, within: float) -> None:
        incarnation = self._leases.incarnations.get(self._source, "")
        self._request = msgspec.structs.replace(self._request, asked=asked, incarnation=incarnation)
        self._claim = Claim(self.id, self._request.ttl_ms, asked)
        self._event, self._above = new_id(), 0
        self._claim.ask(clock())
        await self._leases.feed.tell(rules.REQUESTED, self._request, self.resource, self._source, within, self._event)

    async def _give_back(self) -> None:
        data = Release(self.id, self.resource, self.token, self._request.asked)
        await self._leases.feed.tell(rules.RELEASED, data, self.resource, self._source, RELEASE_SECONDS)

    async def _send_renewal(self, within: float) -> None:
        data = Renewal(self.id, self.resource, self.token, self._claim.renew(clock()))
        await self._leases.feed.tell(rules.RENEWED, data, self.resource, self._source, within)

    # ------------------------------------------------------------------------------------------- holding

    async def _renew(self) -> None:
        """Until it is lost: again each third of its time to live, and sooner after one that did not get through."""
        pause = self._request.ttl_ms * 1_000_000 // RENEWALS_PER_TTL
        due = self._claim.until - 2 * pause
        while self._claim.state == HELD:
            now = clock()
            if now >= due:
                due = now + pause
                try:
                    await self._send_renewal((self._claim.until - now) / _NS)
                    self._trouble = ""
                except BusError as error:
                    self._trouble, due = str(error), clock() + pause // 4
            self._changed.clear()
            self._claim.look(clock())
            if self._claim.state != HELD:
                break
            try:
                async with asyncio.timeout(max(0, min(due, self._claim.until) - clock()) / _NS):
                    await self._changed.wait()
            except TimeoutError:
                self._claim.look(clock())
        if self._claim.state == LOST:
            await self._lose()

    async def _lose(self) -> None:
        self._leases.open.pop(self.id, None)
        self.lost.set()
        log.warning("lease %s of %r is lost: %s", self.id, self.resource, self.why)
        if self._claim.why == "expired":
            # The plane may not have noticed: nobody has to wait for this lease.
            self._leases.feed.aside(self._give_back())

    # ------------------------------------------------------------------------------------------- hearing

    def heard(self, type: str, said: Said, cause: str) -> None:
        """The plane speaks of it; `cause`: the id of the event that it answers, if it says so."""
        if said.holder != self._source:
            return
        above = self._claim.above(said.asked) if cause == self._event else 0
        if above and type in (rules.GRANTED, rules.QUEUED):
            self._above = above
        elif type == rules.GRANTED:
            self._claim.granted(said.token, clock(), said.asked)
        elif type == rules.QUEUED:
            self._claim.queued(said.place, said.asked)
        elif type in (rules.REFUSED, rules.ENDED) and self._claim.is_about(said.token, said.asked):
            self._claim.ended(said.why)
        self._changed.set()

    def extended(self, renewal: int) -> None:
        """The plane took a renewal."""
        self._claim.extended(renewal, clock())
        self._changed.set()

    def cut_off(self, why: str) -> None:
        """Nothing more is heard of the plane."""
        self._claim.ended(why)
        self._changed.set()
