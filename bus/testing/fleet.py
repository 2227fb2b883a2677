"""`TestFleet`: a fleet in memory, with the surface of `Fleet`, for unit tests of agents.

    async with bus.TestFleet() as fleet:
        async with fleet.subscribe("order.>", group="billing", max_deliver=2) as deliveries:
            await fleet.publish(bus.Event(type="order.created", source="agent/shop", data={"order": 42}))
            delivery = await anext(deliveries)
            await delivery.nack(delay=60)
            await fleet.advance(60)
            assert (await anext(deliveries)).attempt == 2

It *is* a `Fleet`: the same client on a broker in memory (see `bus.testing`), so all that `Fleet` says holds. What tests
have beside it: `advance`, `settled`, `events`, `dead_letters`, and `connect` for a further client of the same fleet.

**Time.** The clock of deliveries stands still until `advance` moves it: `ack_wait`, a nack's delay, `expirytime`,
`appended`, `start="-5m"`, the lateness of a group's order. What a client or an agent itself waits for (the time-out of
a call, of a handler, heartbeats, the lateness of `read(order=...)`) goes by the event loop as ever.

**What is not there:** brokers and disks that fail, retention, replicas (receipts say 1, in memory), keys and grants; of
the plane only what `bus.testing.plane` says: no sagas, failure detector, content rules, nor ballots and leases, which
raise at once. All ends with the test;
what is published is bounded by `limits.TEST_FLEET_BYTES_MAX`. One event loop, one process.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from bus import limits
from bus.client.answering import CallContext
from bus.client.fleet import Fleet
from bus.client.schemas import PLANE as TELLS_SCHEMAS
from bus.errors import ClientError
from bus.event import Event, from_object
from bus.letters import TYPE as DEAD_LETTER
from bus.testing.broker import MemoryBroker
from bus.testing.client import MemoryFleet
from bus.testing.clock import HandClock
from bus.testing.exchange import Exchange
from bus.testing.plane import MemoryPlane
from bus.testing.transport import MemoryTransport
from bus.topic import Filter
from bus.words import many

NAME = "test"
QUIET_TURNS = 16
"""Turns of the event loop without a movement after which nothing is taken to be on its way."""


class DeadLetter(NamedTuple):
    """An event that `group` could not settle. `reason`: max_deliver, terminated, expired, parked, late, gap; `error`
    and `attempts` (dicts of attempt, at, error, member, took_ms) say how it went. `letter` is the event that tells it.
    """

    group: str
    reason: str
    error: str
    event: Event
    attempts: list[dict[str, Any]]
    letter: Event


class NotSettled(ClientError, AssertionError):
    """Not all is done (`TestFleet.settled`); the message says what is not."""


class TestFleet(MemoryFleet):
    """See the module. `partitions`: how many it has; `name`, `causal`: as for `bus.connect`."""

    __test__ = False  # pytest takes it for one of its own

    def __init__(self, *, name: str = NAME, partitions: int = 4, causal: bool = False) -> None:
        if not 0 < partitions <= limits.PARTITIONS_MAX:
            raise ClientError(f"partitions={partitions}: 1 to {limits.PARTITIONS_MAX} are possible")
        super().__init__(lambda: [self._broker.url], name=name, causal=causal, transport=self._transport_in_memory)
        self._partitions = partitions

    async def __aenter__(self) -> "TestFleet":
        self._hand = HandClock(time.time_ns())
        self._exchange = Exchange()
        self._broker = MemoryBroker(self._exchange, self._hand, "memory", self._partitions)
        self._plane = MemoryPlane(self._broker.say, self._broker.open_group, self._hand)
        self._broker.committed = self._plane.heard
        async with AsyncExitStack() as plane:
            claimed = Fleet(self._addresses, name="plane", claim=(1, "memory"), transport=self._transport_in_memory)
            teller = await plane.enter_async_context(claimed)
            await plane.enter_async_context(teller.answers(TELLS_SCHEMAS, self._tell_schemas))
            await super().__aenter__()
            self._plane_ends = plane.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
            await self._plane_ends.aclose()
        finally:
            self._broker.close()

    def connect(self, name: str = "", causal: bool = False) -> Fleet:
        """A further client of this fleet, to use in `async with`, as `bus.connect` makes them of a real one."""
        self._check_begun()
        return MemoryFleet(
            lambda: [self._broker.url], name=name or self.name, causal=causal, transport=self._transport_in_memory
        )

    # ---------------------------------------------------------------------------------------------- time

    async def advance(self, seconds: float) -> None:
        """Move time by so much. Each deadline on the way has its moment, and what follows from it is let happen."""
        self._check_begun()
        if not seconds >= 0:
            raise ClientError(f"seconds={seconds}: time only goes on")
        left = round(seconds * 1e9)
        while True:
            await self._quiet()
            due = self._hand.next_due()
            if due is None or due > left:
                break
            self._hand.move(due)
            left -= due
        self._hand.move(left)
        await self._quiet()

    async def settled(self, within: float = 5.0) -> None:
        """Wait until nothing is left to do: each event that a group with members wants is settled, each task that was
        dispatched, too, and no call is being answered.

        Raises NotSettled, which says what is left: after `within` seconds of the real clock; at once where only time
        can help, which stands still (an event that failed comes again later: `advance`), or an agent that is not there
        (nobody can do what an event requires).
        """
        self._check_begun()
        try:
            async with asyncio.timeout(within):
                while True:
                    await self._quiet()
                    if not self._moving():
                        break
                    self._exchange.stirred.clear()
                    await self._exchange.stirred.wait()
        except TimeoutError:
            left = [*self._moving(), *self._stuck()]
            raise NotSettled(f"after {within:g} s: {'; '.join(left) or 'it does not come to rest'}") from None
        if stuck := self._stuck():
            raise NotSettled("; ".join(stuck))

    # ---------------------------------------------------------------------------------------------- looking

    def events(self, pattern: str = ">", internal: bool = False) -> list[Event]:
        """All events that were published and match, in the order in which they were. `internal`: reserved types too,
        as for `read`."""
        self._check_begun()
        wanted = Filter(pattern, internal)
        return [found.event for found in self._broker.events() if wanted.accepts(found.event.type)]

    def dead_letters(self, group: str = "") -> list[DeadLetter]:
        """The dead letters, of one group or of all, in the order in which they died."""
        letters = []
        for letter in self.events(DEAD_LETTER, internal=True):
            said = letter.data
            if group in ("", said["group"]):
                event = from_object(said["event"])
                letters.append(
                    DeadLetter(said["group"], said["reason"], said["error"], event, said["attempts"], letter)
                )
        return letters

    # ---------------------------------------------------------------------------------------------- private

    async def _tell_schemas(self, asked: Any, context: CallContext) -> dict[str, Any]:
        """What the control plane answers, see `bus.client.schemas.Page`."""
        coming = self._plane.schemas[asked["since"] :]
        return {
            "schemas": msgspec.to_builtins(coming),
            "position": len(self._plane.schemas),
            "more": False,
            "cursor": self._broker.highs(),
        }

    def _transport_in_memory(self) -> MemoryTransport:
        return MemoryTransport(self._exchange, self._hand)

    def _check_begun(self) -> None:
        if self._cluster is None:
            raise ClientError("this fleet has not begun: use it in `async with bus.TestFleet() as fleet:`")

    async def _quiet(self) -> None:
        """Until nothing has moved for a while of turns."""
        moved, still = -1, 0
        while still < QUIET_TURNS:
            await asyncio.sleep(0)
            still = still + 1 if moved == self._exchange.moved else 0
            moved = self._exchange.moved

    def _moving(self) -> list[str]:
        """What is under way, and may come to its end by itself."""
        calls = self._switchboard.running if self._switchboard is not None else 0
        resting = {one.group for one in self._broker.resting()}
        left = self._broker.unsettled()
        left += [said for group, said in self._plane.in_hand() if group not in resting]
        return [*left, f"{many(calls, 'call is', 'calls are')} being answered"] if calls else left

    def _stuck(self) -> list[str]:
        """What waits for time to be moved, or for an agent."""
        resting = [
            f"group {one.group}: {one.event.type} of {one.event.source} failed and comes again in {one.seconds:g} s, "
            f"which pass by `await fleet.advance({one.seconds:g})`"
            for one in self._broker.resting()
        ]
        return resting + self._plane.waiting()
