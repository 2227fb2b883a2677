"""All replicas of one broker: what their machines ask for is done here, with the store's bytes and the peers' sockets.

A turn stages Promise, SetSeat, Append, Store and Truncate in the store; Ships leave at `pump`, before the commit (see
`bus.broker.shipping`); after it `synced` lets the machines count what is durable, and `highs` says how far each
watermark moved. What a store that is full could not keep is forgotten by `reset`: every replica is then what
the disk says it is, and leads nothing.
"""

import logging
import time
from collections.abc import Callable, Sequence

from bus import limits, outputs, wire
from bus.broker.access import PLANE
from bus.broker.applied import Applied
from bus.broker.kept import ReplicaNote, keep_replica, restored
from bus.broker.links import Links
from bus.broker.peers import Peers
from bus.broker.shipping import Shipping
from bus.companion import Companion
from bus.errors import CorruptRecord, NotLeader, ProtocolError, StorageFull
from bus.given import GivenIds, check_given
from bus.outputs import High, Output
from bus.producer import Windows
from bus.record import EPOCH_START, Header, body_is, seal, unseal
from bus.repeats import Repeated
from bus.replica import Replica
from bus.session import Session
from bus.store import Entry, Store

log = logging.getLogger("bus.broker")
_BEAT_NS = limits.HEARTBEAT_MS * 1_000_000 // 10  # heartbeats and what is sent again may be late by so much


class Replication:
    """The replicas, by partition.

    `on_lead(partition)` is called when an epoch start is staged here, `on_lost(partition, why)` as soon as a leadership
    ends. `applied` is set before the first turn. `full` is "" or says why nothing can be kept at the moment. The first
    `public` hold events, the others are the plane's own. `clock_ns`: the wall clock, which stamps what is appended.
    """

    applied: Applied

    def __init__(
        self,
        broker: str,
        partitions: int,
        store: Store,
        peers: Peers,
        links: Links,
        on_lead: Callable[[int], None],
        on_lost: Callable[[int, str], None],
        reserved: int = 0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.broker = broker
        self.clock_ns = clock_ns
        self.public = partitions - reserved
        self.full = ""
        self.now = 0
        self._store = store
        self._peers = peers
        self._links = links
        self._shipping = Shipping(broker, store, links)
        self._on_lead = on_lead
        self._on_lost = on_lost
        self._followed: dict[str, Session] = {}
        self._touched: dict[int, bool] = {}
        self._unsynced: set[int] = set()
        self._highs: set[int] = set()
        self._news: set[int] = set()
        self._noted: dict[int, ReplicaNote] = {}
        self._beaten = 0
        self.replicas = [self._restored(partition) for partition in range(partitions)]

    # ------------------------------------------------------------------------------------------ appending

    def knows(self, partition: int, principal: str) -> bool:
        """Whether that partition exists; those that are the plane's own exist for the plane alone."""
        return 0 <= partition < (len(self.replicas) if principal == PLANE else self.public)

    def leads(self, partition: int) -> bool:
        """Whether this broker leads the partition and its epoch start is committed."""
        return 0 <= partition < len(self.replicas) and self.replicas[partition].readable

    def append(
        self,
        kind: int,
        partition: int,
        body: bytes,
        count: int,
        producer: bytes = b"",
        sequence: int = 0,
        principal: str = "",
        companion: bytes = b"",
        given: bytes = b"",
        repeats: Sequence[Repeated] = (),
    ) -> tuple[int, Header]:
        """Stage a record of a partition led here; its index and header.

        Raises NotLeader, InsufficientReplicas or StorageFull: then nothing was staged.
        """
        if self.full:
            raise StorageFull(self.full)
        placed = self.replicas[partition].append(count, self.now)
        header = Header(
            kind=kind,
            partition=partition,
            epoch=placed.epoch,
            base_offset=placed.base_offset,
            count=count,
            appended=self._stamp(partition),
            producer=producer,
            sequence=sequence,
            principal=principal or f"signalbox/{self.broker}",
            companion=companion,
            given=given,
            repeats=list(repeats),
        )
        self._store.append(partition, header, seal(header, body))
        self._touched[partition] = True
        self._news.add(partition)
        return placed.index, header

    def not_leader(self, partition: int) -> NotLeader:
        """The error for a request about a partition that is led elsewhere."""
        seat = self.replicas[partition].seat
        leader = seat.leader if seat is not None and seat.leader != self.broker else ""
        who = f"{leader} may, ask the topology" if leader else "nobody may yet, wait for a topology"
        return NotLeader(f"{self.broker} does not lead partition {partition}; {who}")

    # ------------------------------------------------------------------------------------------ the plane

    def offer(self, partition: int, epoch: int) -> None:
        """Promise an epoch. Raises StaleEpoch. Answer after the commit."""
        self._carry(partition, self.replicas[partition].offer(epoch))

    def place(self, seat: wire.Seat) -> None:
        """Take a seat. Raises StaleEpoch. Answer after the commit."""
        self._carry(seat.partition, self.replicas[seat.partition].place(seat, self.now))

    # ------------------------------------------------------------------------------------------ other brokers

    def on_ship(self, session: Session, ship: wire.Ship, blobs: list[bytes]) -> None:
        """Records of a leader. Raises CorruptRecord when they are damaged."""
        if self.full:
            return
        self._followed[ship.leader] = session
        entries = [Entry(header, blob) for blob, (header, _) in ((blob, unseal(blob)) for blob in blobs)]
        if any(entry.header.partition != ship.partition for entry in entries):
            raise CorruptRecord(f"{ship.leader} shipped records of other partitions than {ship.partition}")
        for entry in entries:
            check_given(entry.header)
        heads = [(entry.header.epoch, entry.header.base_offset, entry.header.count) for entry in entries]
        self._carry(ship.partition, self.replicas[ship.partition].on_ship(ship, heads, self.now), entries)

    def on_begin(self, begin: wire.Begin, blobs: list[bytes]) -> None:
        """A leader has trimmed what we lack. Raises CorruptRecord when what it sent instead cannot be read."""
        if self.full:
            return
        if len(blobs) != 3 or not 0 < begin.first <= begin.upto:
            raise ProtocolError(f"a Begin at {begin.first} with {len(blobs)} blobs applied up to {begin.upto}")
        Windows().restore(blobs[0])
        Companion.restore(blobs[1])
        GivenIds().restore(blobs[2])
        partition = begin.partition
        for output in self.replicas[partition].on_begin(begin):
            if isinstance(output, outputs.Restart):
                log.warning(
                    "partition %d: its leader trimmed what is missing here; at %d again", partition, begin.first
                )
                self.applied.install(partition, begin.upto, *blobs)
                self._store.begin(partition, begin.first, begin.first_offset, begin.appended)
                self._touched[partition] = True
            else:
                self._carry(partition, [output])

    def trim(self, partition: int, first: int) -> None:
        """Let go of the records below `first`, as far as they are committed."""
        self._carry(partition, self.replicas[partition].trim(first))

    def on_epoch_end(self, message: wire.EpochEnd) -> None:
        """A leader says where our logs part."""
        if not self.full:
            self._carry(message.partition, self.replicas[message.partition].on_epoch_end(message, self.now))

    def on_link(self, broker: str, message: object) -> None:
        """What a follower says on the link to it; anything out of place is left alone and counted by its replica."""
        if isinstance(message, wire.Shipped) and self._fits(broker, message.broker, message.partition):
            self._carry(message.partition, self.replicas[message.partition].on_shipped(message, self.now))
            if self.replicas[message.partition].wants(broker):
                self._news.add(message.partition)
        elif isinstance(message, wire.AskEpochEnd) and self._fits(broker, message.broker, message.partition):
            self._carry(message.partition, self.replicas[message.partition].on_ask_epoch_end(message))
        elif isinstance(message, wire.Fault):
            log.warning("%s refused what was shipped: %s: %s", broker, message.code, message.message)

    def on_session_end(self, session: Session) -> None:
        """A leader's session is over."""
        if self._followed.get(session.name) is session:
            del self._followed[session.name]

    # ------------------------------------------------------------------------------------------ the turn

    def pump(self) -> None:
        """Ship what is new, and say that we live where that is due; then stage what the turn changed."""
        news, self._news = self._news, set()
        if self.now - self._beaten >= _BEAT_NS:
            self._beaten = self.now
            news = set(range(len(self.replicas)))
        for partition in sorted(news):
            if self.replicas[partition].leads:
                self._carry(partition, self.replicas[partition].pump(self.now))
        for partition, urgent in self._touched.items():
            self._note(partition, lazy=not urgent)
            if urgent:
                self._unsynced.add(partition)
        self._touched.clear()

    def synced(self) -> None:
        """The turn is durable."""
        unsynced, self._unsynced = self._unsynced, set()
        for partition in sorted(unsynced):
            replica = self.replicas[partition]
            self._carry(partition, replica.synced(replica.end, self.now))

    def highs(self) -> list[int]:
        """The partitions whose high watermark moved since the last call, ascending."""
        moved = sorted(self._highs)
        self._highs.clear()
        return moved

    def reset(self, why: str) -> None:
        """The store could not keep the turn: forget it, lead nothing, refuse with `why` until `full` is "" again."""
        self.full = why
        self._store.rollback()
        self._touched.clear()
        self._unsynced.clear()
        self._highs.clear()
        self._noted.clear()
        self.applied.unkept()
        for partition, replica in enumerate(self.replicas):
            self.replicas[partition] = self._restored(partition)
            if replica.leads:
                self._on_lost(partition, why)

    def is_body_at(self, partition: int, index: int, body: bytes) -> bool:
        """Whether a record has this body; taken for granted where it cannot be read: trimmed, or damaged."""
        if index < self._store.first(partition):
            return True
        try:
            return any(body_is(entry.record, body) for entry in self._store.span(partition, index, index + 1, 1))
        except CorruptRecord as error:
            log.error(
                "partition %d: record %d cannot be compared with what was sent again: %s", partition, index, error
            )
            return True

    def keep_all(self) -> None:
        """Stage every replica's note, so that a restart knows the high watermarks."""
        for replica in self.replicas:
            self._noted[replica.partition] = keep_replica(self._store, replica, lazy=False)

    # ------------------------------------------------------------------------------------------ private

    def _note(self, partition: int, *, lazy: bool) -> None:
        """Write down what a restart has to know. A high watermark that is behind costs a restart the reading of some
        headers, so that alone is not noted each time; nor is an end that moved, which the records tell."""
        replica, noted = self.replicas[partition], self._noted.get(partition)
        if (
            noted is None
            or noted.promised != replica.promised
            or noted.seat is not replica.seat
            or noted.lineage != replica.log.lineage
            or replica.high - noted.high >= limits.REPLICA_NOTE_RECORDS_MAX
            or noted.high < self._store.first(partition)
        ):
            self._noted[partition] = keep_replica(self._store, replica, lazy=lazy)

    def _restored(self, partition: int) -> Replica:
        return Replica(partition, self.broker, restored(self._store, partition), self._store.id)

    def _fits(self, broker: str, named: str, partition: int) -> bool:
        return broker == named and 0 <= partition < len(self.replicas)

    def _stamp(self, partition: int) -> int:
        return max(self.clock_ns(), self._store.mark(partition).appended)

    def _carry(self, partition: int, asked: list[Output], entries: list[Entry] | None = None) -> None:
        for output in asked:
            match output:
                case outputs.ShipTo():
                    if self._shipping.ship(self.replicas[partition], output, self.now):
                        self._news.add(partition)
                case outputs.Send(broker=broker, message=message):
                    self._say(broker, partition, message)
                case High():
                    self._highs.add(partition)
                    self._touched.setdefault(partition, False)
                case outputs.Store(skip=skip):
                    for entry in (entries or [])[skip:]:
                        self._store.append(partition, entry.header, entry.record)
                    self._touched[partition] = True
                case outputs.Truncate(end=end):
                    log.warning("partition %d: dropping records from %d on, its leader has others", partition, end)
                    self._store.truncate(partition, end)
                    self._touched[partition] = True
                case outputs.Trim(first=first):
                    self._store.trim(partition, first)
                    self._touched.setdefault(partition, False)
                case outputs.SendBegin():
                    self._shipping.begin(self.replicas[partition], output, *self.applied.snapshot(partition), self.now)
                case outputs.Append():
                    self._start_epoch(partition, output)
                case outputs.Promise() | outputs.SetSeat():
                    self._touched[partition] = True
                case outputs.Lost(why=why):
                    log.info("leadership lost: %s", why)
                    self._on_lost(partition, why)
                case outputs.Diverged(end=end, high=high):
                    log.error(
                        "partition %d: its leader lacks records %d to %d, which are committed here; not following it. "
                        "An operator has to choose a log (signalbox partition recover)",
                        *(partition, end, high),
                    )

    def _start_epoch(self, partition: int, output: outputs.Append) -> None:
        header = Header(
            kind=EPOCH_START,
            partition=partition,
            epoch=output.epoch,
            base_offset=output.base_offset,
            count=0,
            appended=self._stamp(partition),
            principal=f"signalbox/{self.broker}",
        )
        self._store.append(partition, header, seal(header, b""))
        self._touched[partition] = True
        self._news.add(partition)
        self._on_lead(partition)
        log.info("partition %d: leading epoch %d from record %d on", partition, output.epoch, output.index)

    def _say(self, broker: str, partition: int, message: wire.Message) -> None:
        if isinstance(message, wire.EpochEnd):
            self._links.send(broker, partition, message, [], self.now)
            return
        session = self._followed.get(broker)
        if session is not None:
            self._peers.send(session, message)
