"""The broker's loop: one thread, one poller, one turn after another.

A turn, in this order, and why:

1. Drain the sockets, bounded. Sessions number and refuse; what is left is dispatched (`bus.broker.verbs`). Publishes
   are appended, ships stored, promises made: all of it staged, nothing durable yet.
2. `_settle`: watermarks that followers' acks have moved take effect; publishers are answered before the fsync below.
3. Retention trims a slice (`retention.pump`); groups append what they have to (`consumers.pump`).
4. Ships leave to the followers (`replication.pump`), so that their fsyncs run beside ours, and answers to their peers:
   what a turn has to say to one peer leaves in one frame.
5. One transaction, one fsync, for all partitions. While it runs, frames queue up: that is the group commit, and the
   reason why nothing lingers when the broker is idle.
6. What is durable now is counted and answered (`synced`, `Answered`, `Shipped`, acks); watermarks take effect again.
7. Deliveries to groups and records to watches, as credit allows.

Nothing a peer sends ends the loop: what is wrong with a message is answered with a Fault or a Bye, and counted.
"""

import logging
import time
from typing import Any

import msgspec
import zmq

from bus import limits, wire
from bus.broker.applied import Applied
from bus.broker.control import Control
from bus.broker.delivering import Delivering
from bus.broker.figures import Figures
from bus.broker.ground import BrokerGround
from bus.broker.links import Links
from bus.broker.peers import Peers
from bus.broker.ports import Consumers
from bus.broker.presence import Presence
from bus.broker.publishing import Publishing
from bus.broker.reading import Reading
from bus.broker.replication import Replication
from bus.broker.retention import Retention
from bus.broker.verbs import Verbs
from bus.config import BrokerConfig
from bus.errors import BusError, ProtocolError, StorageFull, code_of
from bus.session import Greeted, Heard, Session
from bus.store import Store

log = logging.getLogger("bus.broker")
_MS = 1_000_000


class Broker:
    """One broker: its sockets, its parts and the turn. `started` is this process's creation time, ns since 1970."""

    def __init__(self, config: BrokerConfig, store: Store, started: int = 0) -> None:
        self.config = config
        self.store = store
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.peers = Peers(self._context, config.fleet)
        self.links = Links(self._context, config.id, config.fleet, store.id)
        self.figures = Figures()
        self.replication = Replication(
            config.id, store.partitions, store, self.peers, self.links, self._on_lead, self._on_lost,
            store.partitions - config.partitions,
        )  # fmt: skip
        ground = BrokerGround(self.peers, self.replication, store, self.figures)
        self.consumers: Consumers = Delivering(ground)
        self.applied = self.replication.applied = Applied(store, store.partitions, self.consumers)
        self.retention = Retention(config, store, self.replication, self.applied)
        ground.soon = self.retention.soon
        self.publishing = Publishing(self.peers, self.replication, self.applied, self.figures)
        self.reading = Reading(self.peers, self.replication, store, self.figures)
        self.presence = Presence(self.peers)
        self.control = Control(self.peers, self.replication, self.links, store, self._sample, started)
        self.control.on_archived = self.retention.keep
        self._led: set[int] = set()
        self._looked_around = 0
        self._written_at_look = 0
        self._reserve = min(config.disk_reserve_bytes, config.store_bytes_max // 8)
        self._poller = zmq.Poller()
        self._polled: list[zmq.Socket[bytes]] = []
        self._poller.register(self.peers.socket, zmq.POLLIN)
        self._dispatch = Verbs(
            self.peers, self.replication, self.publishing, self.reading, self.presence, self.control, self.consumers,
        ).table()  # fmt: skip
        for replica in self.replication.replicas:
            self.applied.advance(replica.partition, replica.high)

    def listen(self, ports: list[int]) -> str:
        """Listen on the first free one of `ports` (0: any); the URL."""
        return self.peers.bind(ports)

    def wake_on(self, descriptor: int) -> None:
        """End the poll early when a file descriptor can be read; for what halts the loop, as nothing drains it."""
        self._poller.register(descriptor, zmq.POLLIN)

    def halt(self, why: str) -> None:
        """End after this turn."""
        self.control.halted = self.control.halted or why

    def run(self) -> str:
        """Turn until halted; then write everything down, say Bye to all, and return why."""
        while not self.control.halted:
            self.turn()
        self.close(self.control.halted)
        return self.control.halted

    def close(self, why: str) -> None:
        """Commit, say Bye to all and let go of everything."""
        self.applied.note_all()
        self.replication.keep_all()
        try:
            self.store.commit()
        except StorageFull as error:
            log.error("%s; what was acked is safe, the rest of this turn is not", error)
        self.peers.close(why)
        self.links.close(why)
        self.store.close()
        self._context.term()

    def turn(self) -> None:
        """One turn; waits for something to do, `TURN_WAIT_MS_MAX` at most."""
        ready = self._poll()
        now = time.monotonic_ns()
        self.replication.now = self.publishing.now = now
        if self.peers.socket in ready:
            for arrival in self.peers.receive(now):
                self._arrive(arrival, now)
        for broker, message in self.links.receive(now, ready):
            self.replication.on_link(broker, message)
        self.links.keep(now)
        self._look_around(now)
        self._settle(now)
        self.retention.pump(now)
        self.consumers.pump(now)
        self.replication.pump()
        self.links.flush(now)
        self.peers.flush()
        self._commit()
        self._settle(now)
        self.peers.flush()
        self.consumers.deliver(now)
        self.reading.pump(now)
        self.peers.flush()
        self._sweep()

    # ------------------------------------------------------------------------------------------ parts of a turn

    def _poll(self) -> dict[Any, int]:
        """Wait for something to do; gives the sockets that have something to receive."""
        sockets = self.links.sockets()
        if sockets != self._polled:
            for gone in set(self._polled).difference(sockets):
                self._poller.unregister(gone)
            for new in set(sockets).difference(self._polled):
                self._poller.register(new, zmq.POLLIN)
            self._polled = sockets
        wait = 0 if self.reading.busy or self.retention.busy else limits.TURN_WAIT_MS_MAX
        now = time.monotonic_ns()
        for due in (self.consumers.next_due(now), self.reading.next_due()):
            if due is not None:
                wait = min(wait, max(0, -(-(due - now) // _MS)))
        return dict(self._poller.poll(wait))

    def _arrive(self, arrival: Greeted | Heard, now: int) -> None:
        if isinstance(arrival, Greeted):
            self._welcome(arrival)
            return
        for message, blobs in wire.unbundled(arrival.message, arrival.blobs):
            if arrival.session.is_open:
                self._take(arrival.session, message, blobs)

    def _take(self, session: Session, message: wire.Message, blobs: list[bytes]) -> None:
        try:
            take = self._dispatch.get(type(message))
            if take is None:
                raise ProtocolError(f"{type(message).__name__} is nothing that a broker is told")
            take(session, message, blobs)
        except BusError as error:
            if isinstance(error, ProtocolError):
                self.peers.malformed += 1
            detail = str(getattr(error, "field", ""))
            self.peers.fault(session, _request_of(message), code_of(error), str(error), detail)
        except Exception:  # whatever a peer sent, the others are served on; the trace says where to mend it
            self.peers.malformed += 1
            log.exception("%s of %s could not be taken", type(message).__name__, session.name or "a peer")
            self.peers.end(session, "protocol", f"this broker failed over a {type(message).__name__}")

    def _welcome(self, greeted: Greeted) -> None:
        session, hello = greeted.session, greeted.hello
        if hello.role == "broker":
            stranger = self.control.stranger(hello.name)
            if stranger:
                self.peers.end(session, "denied", stranger)
                return
            session.principal = f"broker/{hello.name}"
        self.peers.welcome(
            session,
            wire.Welcome(
                fleet=self.config.fleet,
                broker=self.config.id,
                store=self.store.id,
                protocol=greeted.protocol,
                features=[],
                principal=session.principal,
                plane_epoch=self.control.claim.plane_epoch,
                topology=self.control.topology,
                partitions=self.config.partitions,
            ),
        )

    def _settle(self, now: int) -> None:
        """High watermarks that moved take effect: windows and groups, publishers' answers, readers."""
        for partition in self.replication.highs():
            replica = self.replication.replicas[partition]
            self.applied.advance(partition, replica.high)
            if not replica.readable:
                continue
            self.publishing.on_high(partition, replica.high)
            self.reading.on_high(partition)
            if partition not in self._led:
                self._led.add(partition)
                self.consumers.on_lead(partition, now)
        self.publishing.flush()

    def _commit(self) -> None:
        if self.store.dirty:
            began = time.monotonic_ns()
            try:
                self.store.commit()
            except StorageFull as error:
                self._fill_up(str(error))
                return
            ended = time.monotonic_ns()
            self.figures.committed(ended - began)
            self.replication.now = self.publishing.now = ended
            self.replication.synced()
        # Also when nothing was dirty: what is answered now was durable already.
        self.control.on_commit()
        self.publishing.on_commit()

    def _fill_up(self, why: str) -> None:
        """Lead nothing and refuse everything until there is room again: what was acked is on the disk of W brokers."""
        log.error("%s: stepping down from every partition; %s", self.config.id, why)
        self.replication.reset(why)
        self.control.on_full(why)

    def _look_around(self, now: int) -> None:
        if now - self._looked_around >= limits.STORAGE_RETRY_MS * _MS:
            self._looked_around = now
            self.peers.end_silent(now)
            self.look_at_room()
        elif self.store.bytes_written - self._written_at_look > self._reserve // 4 > 0:
            self.look_at_room()

    def look_at_room(self) -> None:
        """Whether the store has room: refuse publishers below the reserve, and take up work again above it."""
        self._written_at_look = self.store.bytes_written
        reserve, free = self._reserve, self.store.bytes_free()
        if free < reserve:
            if not self.publishing.short_of_room:
                log.error("%s: %d bytes are left for the store, the reserve is %d", self.config.id, free, reserve)
            self.publishing.short_of_room = (
                f"broker {self.config.id} has {free} bytes left, under its reserve of {reserve}; "
                "make room on its disk, then it goes on by itself"
            )
            return
        self.publishing.short_of_room = ""
        if self.replication.full:
            self._try_again(free)

    def _try_again(self, free: int) -> None:
        """Take up work again, if the disk takes a probe; else wait on."""
        self.store.put("probe", bytes(limits.STORAGE_PROBE_BYTES))
        try:
            self.store.commit()
        except StorageFull as error:
            log.debug("%s: still full: %s", self.config.id, error)
            self.store.rollback()
            return
        log.info("%s: there is room again, %d bytes; waiting to be given a new epoch", self.config.id, free)
        self.replication.full = ""

    def _sweep(self) -> None:
        """Tell everyone which sessions are over."""
        while ended := self.peers.take_ended():
            for session in ended:
                self.reading.on_session_end(session)
                self.replication.on_session_end(session)
                self.consumers.on_session_end(session)
                self.presence.on_session_end(session)

    def _on_lead(self, partition: int) -> None:
        self.applied.lead(self.replication.replicas[partition])

    def _on_lost(self, partition: int, why: str) -> None:
        self.applied.lost(partition)
        self.publishing.on_lost(partition, why)
        self.reading.on_lost(partition, why)
        if partition in self._led:
            self._led.discard(partition)
            self.consumers.on_lost(partition, why)

    def _sample(self, request: int) -> wire.Sampled:
        sampled = self.figures.take(
            request,
            replication=self.replication,
            consumers=self.consumers,
            store=self.store,
            at=time.time_ns(),
            now=time.monotonic_ns(),
            sessions=len(self.peers.sessions),
            malformed=self.peers.take_malformed(),
        )
        return msgspec.structs.replace(
            sampled,
            locality=self.config.locality,
            free_bytes=self.store.bytes_free(),
            reserve_bytes=self._reserve,
            refuses=bool(self.replication.full or self.publishing.short_of_room),
        )


def _request_of(message: Any) -> int:
    return int(getattr(message, "request", getattr(message, "subscription", 0)))
