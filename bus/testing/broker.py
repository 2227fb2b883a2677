"""One broker in memory that leads every partition, alone: the parts of `bus.broker` on a store in memory.

Its turn is that of `bus.broker.loop` without sockets: what came in is taken, appended, committed at once, answered and
delivered. It turns when something came, and when the hand clock reaches a deadline of a group. There is no retention,
no follower and no disk that could fill up.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bus import limits, wire
from bus.batch import decode, encode, unseal
from bus.broker.access import PLANE
from bus.broker.applied import Applied
from bus.broker.delivering import Delivering
from bus.broker.figures import Figures
from bus.broker.ground import BrokerGround
from bus.broker.links import Links
from bus.broker.peers import GONE, Peers
from bus.broker.presence import Presence
from bus.broker.publishing import Publishing
from bus.broker.reading import Reading
from bus.broker.replication import Replication
from bus.client.reading import Positioned
from bus.errors import BusError, ProtocolError, code_of
from bus.event import Event
from bus.partitioner import partition_of
from bus.record import EVENTS
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.store import MemoryMedium, Platter, Store
from bus.testing.clock import HandClock
from bus.testing.exchange import Exchange
from bus.wire import PROTOCOL_MAX

BROKER = "memory"
_LONG_AGO = -(1 << 62)


class Resting(NamedTuple):
    """An event that failed in a group with members, and comes again in so many seconds."""

    group: str
    event: Event
    seconds: float


class MemoryPeers(Peers):
    """See `Peers`; on an exchange. `wake` is called when something came."""

    def __init__(self, exchange: Exchange, fleet: str, wake: Callable[[], None]) -> None:
        self.sessions = Sessions(fleet)
        self.malformed = 0
        self.ended = []
        self.now = 0
        self.url = exchange.listen(self._came)
        self._outboxes = {}
        self._unread = {}
        self._complained = self._told_of_end = _LONG_AGO
        self._exchange = exchange
        self._wake = wake
        self._inbox: deque[tuple[bytes, list[bytes]]] = deque()

    def receive(self, now: int) -> Iterator[Greeted | Heard]:
        """See `Peers`."""
        self.now = now
        while self._inbox:
            identity, parts = self._inbox.popleft()
            arrival = self.sessions.receive(identity, parts, now)
            if isinstance(arrival, Refused):
                self._refuse(identity, arrival)
            else:
                yield arrival

    def _came(self, identity: bytes, parts: list[bytes]) -> None:
        self._inbox.append((identity, parts))
        self._wake()

    def _write(self, identity: bytes, frames: list[bytes]) -> str:
        return "" if self._exchange.answer(identity, frames) else GONE


class NoLinks(Links):
    """There are no other brokers."""

    def __init__(self) -> None:
        """Nothing to open."""

    def send(self, broker: str, partition: int, message: wire.Message, blobs: list[bytes], now: int) -> bool:
        """See `Links`."""
        return False


class Groups(Delivering):
    """See `Delivering`; and what has still to be done."""

    def unsettled(self) -> list[str]:
        """What members hold, and what is to be delivered to groups that have members; in words."""
        found: dict[str, str] = {}
        at = self._now()
        for led in self._led.values():
            for group in led.brought_up(at):
                members = group.group.members
                holding = sorted(name for name, member in members.items() if member.held or member.lent)
                if holding:
                    found[group.group.name] = f"group {group.group.name}: {', '.join(holding)} has not settled all"
                elif members and group.group.progress(self._ground.high_offset(led.partition))[1]:
                    found.setdefault(group.group.name, f"group {group.group.name}: its members take no more")
        return list(found.values())

    def resting(self) -> dict[tuple[int, int], list[tuple[str, float]]]:
        """(Partition, offset) -> (group, seconds) of each group with members to which it comes again then."""
        found: dict[tuple[int, int], list[tuple[str, float]]] = {}
        at = self._now()
        for led in self._led.values():
            for group in led.brought_up(at):
                for offset, due in group.group.delayed() if group.group.members else ():
                    found.setdefault((led.partition, offset), []).append((group.group.name, max(0, due - at) / 1e9))
        return found

    def open(self, name: str, settings: wire.GroupSettings) -> None:
        """Make a group on all partitions, unless it is there: as a member that comes and goes."""
        comes = Session(0, opener=False)
        for partition in [number for number, led in self._led.items() if name not in led.groups]:
            self.on_message(comes, wire.Join(0, name, partition, "plane", settings, 0), 0)
            self.on_message(comes, wire.Leave(0), 0)


class MemoryBroker:
    """See the module. `committed(found)` hears of every event that is committed, in order, and may `say` others."""

    def __init__(self, exchange: Exchange, clock: HandClock, fleet: str, partitions: int) -> None:
        self.committed: Callable[[Positioned], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._exchange = exchange
        self._peers = MemoryPeers(exchange, fleet, self.wake)
        self._store = Store(MemoryMedium(Platter()), partitions, BROKER)
        self._replication = Replication(
            *(BROKER, partitions, self._store, self._peers, NoLinks(), self._on_lead, self._on_lost),
            clock_ns=clock.time_ns,
        )
        figures = Figures()
        self.groups = Groups(BrokerGround(self._peers, self._replication, self._store, figures))
        self._applied = self._replication.applied = Applied(self._store, partitions, self.groups)
        self._publishing = Publishing(self._peers, self._replication, self._applied, figures)
        self._reading = Reading(self._peers, self._replication, self._store, figures)
        self._presence = Presence(self._peers)
        self._led: set[int] = set()
        self._order: list[tuple[int, int]] = []
        self._seen = [0] * partitions
        self._due: Any = None
        self._told: Any = None
        self._waking = False
        seats = [wire.Seat(partition, 1, BROKER, [BROKER], 1) for partition in range(partitions)]
        nodes = [wire.Node(BROKER, self.url, BROKER)]
        self._topology = wire.Topology(1, fleet, limits.SLOTS, nodes, seats, plane_url=self.url)
        for seat in seats:
            self._replication.offer(seat.partition, seat.epoch)
            self._replication.place(seat)
        self.turn()

    @property
    def url(self) -> str:
        """Where it is reached in the exchange."""
        return self._peers.url

    @property
    def partitions(self) -> int:
        """How many there are."""
        return len(self._seen)

    def wake(self) -> None:
        """Turn soon."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self.turn)

    def say(self, event: Event) -> None:
        """Append an event of the plane's; it is committed with the next turn."""
        partition = partition_of(event.key, self.partitions)
        self._replication.append(EVENTS, partition, encode([event]), 1, principal=PLANE)
        self.wake()

    def open_group(self, name: str, settings: wire.GroupSettings) -> None:
        """Make a group, unless it is there."""
        self.groups.open(name, settings)
        self.wake()

    def highs(self) -> dict[int, int]:
        """Partition -> offset below which all is committed, and was heard of."""
        return {number: self._replication.replicas[number].high_offset for number in range(self.partitions)}

    def unsettled(self) -> list[str]:
        """What groups have still to do, in words."""
        return self.groups.unsettled()

    def resting(self) -> list[Resting]:
        """What failed and comes again later, to groups with members."""
        resting = self.groups.resting()
        if not resting:
            return []
        found = [(one.event, resting.get((one.partition, one.offset), ())) for one in self.events()]
        return [Resting(group, event, seconds) for event, waits in found for group, seconds in waits]

    def events(self) -> Iterator[Positioned]:
        """All that were ever committed, in order."""
        for partition, index in self._order:
            header, body = unseal(self._store.entry(partition, index).record)
            for row, event in enumerate(decode(body).events()):
                yield Positioned(event, partition, header.base_offset + row, header.appended)

    def close(self) -> None:
        """Say Bye to all."""
        for timer in (self._due, self._told):
            if timer is not None:
                timer.cancel()
        for session in self._peers.sessions:
            self._peers.end(session, "closing", "the test is over")
        self._exchange.close(self.url)

    # ---------------------------------------------------------------------------------------------- the turn

    def turn(self) -> None:
        """One turn; see `bus.broker.loop` for the order and why."""
        self._waking = False
        self._exchange.stir()
        now = time.monotonic_ns()
        self._replication.now = self._publishing.now = now
        for arrival in self._peers.receive(now):
            self._arrive(arrival)
        if self._store.bytes_written > limits.TEST_FLEET_BYTES_MAX:
            self._publishing.short_of_room = f"a TestFleet holds {limits.TEST_FLEET_BYTES_MAX} bytes; use one per test"
        self.groups.pump(now)
        self._replication.pump()
        if self._store.dirty:
            self._store.commit()
            self._replication.synced()
        self._publishing.on_commit()
        self._settle(now)
        self._peers.flush()
        self.groups.deliver(now)
        self._reading.pump(now)
        self._peers.flush()
        for session in self._peers.take_ended():
            self._reading.on_session_end(session)
            self.groups.on_session_end(session)
            self._presence.on_session_end(session)
            self.wake()
        self._turn_again(now)

    def _turn_again(self, now: int) -> None:
        for timer in (self._due, self._told):
            if timer is not None:
                timer.cancel()
        due, told = self.groups.next_due(now), self._reading.next_due()
        if self._reading.busy or (due is not None and due <= now):
            self.wake()
        elif due is not None:
            self._due = self._clock.call_later((due - now) / 1e9, self.wake)
        if told is not None:
            self._told = self._loop.call_later(max(0, told - now) / 1e9, self.wake)

    def _settle(self, now: int) -> None:
        for partition in self._replication.highs():
            replica = self._replication.replicas[partition]
            self._applied.advance(partition, replica.high)
            if not replica.readable:
                continue
            self._publishing.on_high(partition, replica.high)
            self._reading.on_high(partition)
            if partition not in self._led:
                self._led.add(partition)
                self.groups.on_lead(partition, now)
            self._tell(partition, replica.high)
        self._publishing.flush()

    def _tell(self, partition: int, high: int) -> None:
        """What is committed now becomes part of the order, and the plane hears of it."""
        first, self._seen[partition] = self._seen[partition], high
        for index in range(first, high):
            entry = self._store.entry(partition, index)
            header = entry.header
            if header.kind != EVENTS:
                continue
            self._order.append((partition, index))
            if self.committed is not None:
                for row, event in enumerate(decode(unseal(entry.record)[1]).events()):
                    self.committed(Positioned(event, partition, header.base_offset + row, header.appended))

    def _on_lead(self, partition: int) -> None:
        self._applied.lead(self._replication.replicas[partition])

    def _on_lost(self, partition: int, why: str) -> None:
        raise ProtocolError(f"partition {partition} of a fleet in memory lost its leader: {why}")

    # ---------------------------------------------------------------------------------------------- messages

    def _arrive(self, arrival: Greeted | Heard) -> None:
        if isinstance(arrival, Greeted):
            self._welcome(arrival.session)
            return
        for message, blobs in wire.unbundled(arrival.message, arrival.blobs):
            try:
                self._take(arrival.session, message, blobs)
            except BusError as error:
                request = int(getattr(message, "request", getattr(message, "subscription", 0)))
                detail = str(getattr(error, "field", ""))
                self._peers.fault(arrival.session, request, code_of(error), str(error), detail)

    def _welcome(self, session: Session) -> None:
        fleet = self._topology.fleet
        self._peers.welcome(
            session,
            wire.Welcome(
                *(fleet, BROKER, BROKER, PROTOCOL_MAX, [], session.principal, 1),
                topology=self._topology,
                partitions=self.partitions,
            ),
        )

    def _take(self, session: Session, message: Any, blobs: list[bytes]) -> None:
        match message:
            case wire.Publish():
                self._publishing.on_publish(session, message, blobs)
            case wire.Watch():
                self._reading.on_watch(session, message)
            case wire.Unwatch(subscription=subscription):
                self._reading.on_unwatch(session, subscription)
            case wire.Credit(subscription=subscription) if not self.groups.knows(session, subscription):
                self._reading.on_credit(session, message)
            case wire.Join() | wire.Settle() | wire.Credit() | wire.Leave():
                self.groups.on_message(session, message, 0)
            case wire.Describe(request=request, partitions=partitions):
                self._peers.send(session, wire.Described(request, self._reading.extents(partitions)))
            case wire.Present():
                self._presence.on_present(session, message)
            case wire.Absent():
                self._presence.on_absent(session, message)
            case wire.Whereis():
                self._presence.on_whereis(session, message)
            case wire.Claim(request=request, plane_epoch=epoch, uuid=uuid):
                session.principal = PLANE
                self._peers.send(session, wire.Claimed(request, True, epoch, uuid, BROKER, BROKER, 0, 0, []))
            case wire.Ping(token=token):
                self._peers.send(session, wire.Pong(token))
            case wire.Pong(token=token):
                if self._peers.read(session, token):
                    self._reading.on_room(session)
            case wire.Fault():
                pass
            case _:
                raise ProtocolError(f"{type(message).__name__} is nothing that a broker in memory is told")
