"""A fleet as one client sees it: the topology, one connection per broker, and who leads what.

Brokers push each new topology to every session; the greatest version wins. Sessions are opened when somebody needs
their broker, and again with growing waits when they are lost. While a partition has no leader that answers, every known
address is greeted now and then, since each Welcome carries the topology its broker knows (`REFRESH_MS`).

Nobody polls: whoever waits for a leader registers in `observers` and is called when anything changed.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import zmq

from bus import limits, wire
from bus.client.connection import Connection, Greeting, Lost
from bus.client.discovery import URL_VARIABLE
from bus.client.transport import Sockets, Transport
from bus.errors import (
    AccessDenied,
    BrokerUnavailable,
    BusError,
    FleetError,
    GroupConflict,
    InvalidRules,
    NoFleet,
    from_code,
)
from bus.ids import new_session
from bus.semantic import placement

log = logging.getLogger("bus.client")


class _Dial:
    """How an address has been answering: when it may be dialled next, and what went wrong last."""

    __slots__ = ("next", "session", "wait_ms", "why")

    def __init__(self) -> None:
        self.next = 0.0
        self.wait_ms = limits.REDIAL_MS_MIN
        self.why = ""
        self.session = 0


def fault_error(fault: wire.Fault) -> BusError:
    """The exception that a Fault names."""
    error = from_code(fault.code, fault.message)
    if isinstance(error, GroupConflict):
        error.field = fault.detail
    return error


class Cluster:
    """Topology and connections. `addresses` gives URLs to try when nothing is known; it may raise NoFleet.

    `claim` is the (plane epoch, uuid) that each new session claims before it is used; only a control plane has one.
    `home` says which partition a key lives in, once the topology is known. `fatal` is set when the fleet refused this
    client for good. `transport` is what others are reached by: sockets, unless it is given.
    """

    def __init__(
        self,
        addresses: Callable[[], list[str]],
        greeting: Greeting,
        claim: tuple[int, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Sockets()
        self.clock = self.transport.clock
        self.addresses = addresses
        self.greeting = greeting
        self.claim = claim
        self.topology: wire.Topology | None = None
        self.seats: dict[int, wire.Seat] = {}
        self.home = placement(1)
        self.observers: set[Callable[[], None]] = set()
        self.numbers = count(1)
        self.fatal: BusError | None = None
        self.closed = False
        self._urls: dict[str, str] = {}
        self._connections: dict[str, Connection] = {}
        self._dials: dict[str, _Dial] = {}
        self._loop = asyncio.get_running_loop()
        self._notifying = False
        self._refresh: asyncio.TimerHandle | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    # ------------------------------------------------------------------------------------------ reaching

    @property
    def partitions(self) -> int:
        """How many partitions the fleet has; 0 while the topology is not known."""
        return len(self.seats)

    @property
    def urls(self) -> list[str]:
        """Where the brokers of the topology are."""
        return list(self._urls.values())

    def leader(self, partition: int) -> Connection | None:
        """The open connection to the partition's leader; None while there is none, and then `observers` will hear."""
        seat = self.seats.get(partition)
        url = self._urls.get(seat.leader, "") if seat is not None else ""
        connection = self.reach(url) if url else None
        if connection is None:
            self._want_refresh()
        return connection

    def reach(self, url: str) -> Connection | None:
        """The open connection to an address, dialling it if it is time to."""
        connection = self._connections.get(url)
        if connection is not None:
            return connection if connection.is_open else None
        if not self.closed:
            dial = self._dials.setdefault(url, _Dial())
            wait = dial.next - self._loop.time()
            if wait <= 0:
                self._dial(url, dial)
            else:
                self._wake_in(wait)
        return None

    def _dial(self, url: str, dial: _Dial) -> None:
        greeting = self.greeting._replace(
            fleet=self.topology.fleet if self.topology is not None else self.greeting.fleet, resumes=dial.session
        )
        dial.session = new_session()
        try:
            self._connections[url] = self.transport.connect(url, greeting, self, dial.session)
        except zmq.ZMQError as error:
            self._back_off(dial, f"{url} cannot be dialled: {error}")

    def _back_off(self, dial: _Dial, why: str) -> None:
        dial.why = why
        dial.next = self._loop.time() + dial.wait_ms * random.uniform(0.8, 1.2) / 1000
        dial.wait_ms = min(2 * dial.wait_ms, limits.REDIAL_MS_MAX)

    def _wake_in(self, seconds: float) -> None:
        if len(self._timers) > len(self._dials):
            return

        def wake() -> None:
            self._timers.discard(timer)
            self.changed()

        timer = self._loop.call_later(seconds, wake)
        self._timers.add(timer)

    def _want_refresh(self) -> None:
        if self._refresh is None and not self.closed:
            self._refresh = self._loop.call_later(limits.REFRESH_MS / 1000, self._ask_around)

    def _ask_around(self) -> None:
        """Greet whoever is known and not connected; their Welcome brings the topology."""
        self._refresh = None
        for url in self._known():
            self.reach(url)
        self.changed()

    def _known(self) -> list[str]:
        urls = list(self._urls.values())
        try:
            urls += self.addresses()
        except NoFleet as error:
            self._dials.setdefault("", _Dial()).why = str(error)
        if self.topology is not None and self.topology.plane_url:
            urls.append(self.topology.plane_url)
        return list(dict.fromkeys(urls))

    # ------------------------------------------------------------------------------------------- hearing

    def on_welcome(self, connection: Connection, welcome: wire.Welcome) -> None:
        """A session is open; with a `claim` it is used only once the broker obeys it."""
        dial = self._dials.setdefault(connection.url, _Dial())
        dial.wait_ms = limits.REDIAL_MS_MIN
        dial.why = ""
        if welcome.topology is not None:
            self.on_topology(welcome.topology)
        if self.claim is not None:
            connection.obeyed = False
            number = next(self.numbers)
            claim = wire.Claim(number, *self.claim)

            def claimed(message: Any, _blobs: list[bytes]) -> None:
                connection.forget(number)
                if isinstance(message, wire.Claimed) and message.accepted:
                    connection.obeyed = True
                elif isinstance(message, wire.Claimed):
                    self.fatal = AccessDenied(
                        f"{message.broker} obeys plane epoch {message.plane_epoch}, not {claim.plane_epoch}"
                    )
                self.changed()

            connection.ask(number, claim, (), claimed)
        self.changed()

    def on_topology(self, topology: wire.Topology) -> None:
        """Take a topology if it is newer than what is known and of this fleet."""
        known = self.topology
        if known is not None and (topology.version <= known.version or topology.fleet != known.fleet):
            return
        try:
            # All publishers of a fleet place keys by the same rules, or none of them does: order per key rests on it.
            home = placement(len(topology.seats), topology.rules, topology.slots)
            if known is not None and (topology.slots, topology.rules) != (known.slots, known.rules):
                raise InvalidRules("they are not those that this fleet had before")
        except InvalidRules as error:
            log.error("a topology of %s is not taken, because of its rules: %s", topology.fleet, error)
            return
        self.topology = topology
        self.home = home
        self.seats = {seat.partition: seat for seat in topology.seats}
        self._urls = {node.id: node.url for node in topology.nodes if node.url}
        self.changed()

    def on_lost(self, connection: Connection, lost: Lost) -> None:
        """A session is over; its address is dialled again when somebody needs it."""
        if self._connections.get(connection.url) is connection:
            del self._connections[connection.url]
        dial = self._dials.setdefault(connection.url, _Dial())
        if connection.welcome is not None and lost.code == "closing":
            dial.wait_ms = limits.REFRESH_MS
        self._back_off(dial, lost.why)
        self._want_refresh()
        self.changed()

    def changed(self) -> None:
        """Tell all observers, once, in the next turn of the loop."""
        if not self._notifying and not self.closed:
            self._notifying = True
            self._loop.call_soon(self._notify)

    def _notify(self) -> None:
        self._notifying = False
        for observer in list(self.observers):
            observer()
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def change(self, deadline: float) -> bool:
        """Wait for any change; False when the loop's clock passed `deadline` first."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True

    # -------------------------------------------------------------------------------------------- asking

    async def ready(self, within: float) -> None:
        """Wait until the topology is known: dial one address after the other. Raises NoFleet, BrokerUnavailable."""
        deadline = self._loop.time() + within
        urls = self.addresses()
        if not urls and not self.seats:
            raise NoFleet(
                "this fleet has no address, of a broker or of the control plane; start it with `signalbox up`, "
                f"or name a broker with {URL_VARIABLE}=tcp://HOST:PORT"
            )
        random.shuffle(urls)
        while not self.seats:
            for url in urls:
                self.reach(url)
                if await self.change(min(deadline, self._loop.time() + 0.1)) and self.seats:
                    return
            if self._loop.time() >= deadline:
                raise self._nobody(urls)

    def _nobody(self, urls: list[str]) -> BusError:
        if any(connection.is_open for connection in self._connections.values()):
            return BrokerUnavailable(
                "a broker answers, but no partition has a leader yet: is the control plane running? "
                "`signalbox status` tells"
            )
        whys = [self._dials[url].why for url in urls if url in self._dials and self._dials[url].why]
        return NoFleet(
            f"no broker answers: {'; '.join(whys) or ', '.join(urls)}; is it running? start it with `signalbox up`"
        )

    async def ask(self, connection: Connection, message: wire.Message, number: int) -> Any:
        """Send a request, wait for its one answer. Raises the Fault's error; BrokerUnavailable if the session ends."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def answered(answer: Any, _blobs: list[bytes]) -> None:
            if not future.done():
                future.set_result(answer)

        if not connection.ask(number, message, (), answered):
            raise BrokerUnavailable(connection.lost.why if connection.lost else connection.url)
        try:
            answer = await future
        finally:
            connection.forget(number)
        if isinstance(answer, Lost):
            raise BrokerUnavailable(answer.why)
        if isinstance(answer, wire.Fault):
            raise fault_error(answer)
        return answer

    async def describe(self, partitions: Iterable[int], within: float) -> dict[int, wire.Extent]:
        """The extents of partitions, as their leaders say. Raises BrokerUnavailable naming one that did not answer."""
        deadline = self._loop.time() + within
        missing = set(partitions)
        found: dict[int, wire.Extent] = {}
        while missing:
            asked = await self._describe_once(missing, deadline)
            found |= asked
            missing -= asked.keys()
            if missing and not await self._pause(deadline):
                raise self.unavailable(min(missing))
        return found

    async def _describe_once(self, missing: set[int], deadline: float) -> dict[int, wire.Extent]:
        by_leader: dict[Connection, list[int]] = {}
        for partition in sorted(missing):
            connection = self.leader(partition)
            if connection is not None:
                by_leader.setdefault(connection, []).append(partition)
        if not by_leader:
            return {}
        answers = await asyncio.gather(
            *(self._describe_at(connection, wanted, deadline) for connection, wanted in by_leader.items())
        )
        return {extent.partition: extent for extents in answers for extent in extents if extent.partition in missing}

    async def _describe_at(self, connection: Connection, wanted: list[int], deadline: float) -> list[wire.Extent]:
        """What one leader says of its partitions; nothing if it did not answer: the caller asks again."""
        number = next(self.numbers)
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self.ask(connection, wire.Describe(number, wanted), number)
        except (FleetError, TimeoutError):
            return []
        return answer.extents if isinstance(answer, wire.Described) else []

    async def _pause(self, deadline: float) -> bool:
        """Until something changes, at most a refresh long; False when the deadline has passed."""
        now = self._loop.time()
        await self.change(min(deadline, now + limits.REFRESH_MS / 1000))
        return self._loop.time() < deadline

    def unavailable(self, partition: int) -> BrokerUnavailable:
        """Why a partition cannot be reached, in words."""
        seat = self.seats.get(partition)
        if seat is None or not seat.leader:
            return BrokerUnavailable(f"partition {partition} has no leader; `signalbox status` says what it waits for")
        url = self._urls.get(seat.leader, "")
        why = self._dials[url].why if url in self._dials else ""
        return BrokerUnavailable(
            f"partition {partition}: its leader {seat.leader} does not answer{': ' if why else ''}{why}"
        )

    # ------------------------------------------------------------------------------------------- closing

    async def close(self) -> None:
        """Say Bye everywhere and let go of all sockets; waits at most `CLOSE_LINGER_MS` for the last frames."""
        self.closed = True
        for observer in list(self.observers):
            observer()
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        for timer in [*self._timers, *([self._refresh] if self._refresh else [])]:
            timer.cancel()
        for future in self._waiting:
            future.cancel()
        await self.transport.close()
