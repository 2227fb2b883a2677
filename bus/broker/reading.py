"""Watches: a reader stands at an offset of one partition and is sent committed records as its credit allows.

Filtering looks at the view of a record, its distinct types and one index byte per event, and never decodes an event:
the stored record goes out with a bitmap of the rows that are meant. Records without any such row are not sent, only
passed. A watch is *ready* when it has credit and stands below the high watermark; ready watches take turns,
`TURN_READ_BYTES_MAX` together. A slow reader has no credit, and so costs nothing.
"""

from collections import deque

from bus import limits, wire
from bus.batch import bitmap, body_of, type_view
from bus.broker.access import authorise
from bus.broker.figures import Figures
from bus.broker.peers import Peers
from bus.broker.replication import Replication
from bus.errors import CorruptRecord, ProtocolError, UnknownPartition
from bus.record import EVENTS
from bus.session import Session
from bus.store import Entry, Store
from bus.topic import Filter

OFFSET_MAX = (1 << 63) - 1
ALL_ROWS = b""


class Watch:
    """One reader at one partition. `index`: the record that holds `offset`, -1 while the partition is not readable."""

    __slots__ = ("credit", "filter", "index", "offset", "partition", "said", "session", "subscription", "time")

    def __init__(self, session: Session, asked: wire.Watch) -> None:
        self.session = session
        self.subscription = asked.subscription
        self.partition = asked.partition
        self.offset = asked.offset
        self.time = asked.time
        self.filter = Filter(asked.pattern, asked.internal)
        self.credit = min(max(asked.credit, 0), limits.WATCH_CREDIT_BYTES_MAX)
        self.index = -1
        self.said = -1


class Reading:
    """All watches of one broker."""

    def __init__(self, peers: Peers, replication: Replication, store: Store, figures: Figures) -> None:
        self._peers = peers
        self._replication = replication
        self._store = store
        self._figures = figures
        self._watches: dict[Session, dict[int, Watch]] = {}
        self._at: list[dict[Watch, None]] = [{} for _ in replication.replicas]
        self._ready: deque[Watch] = deque()
        self._queued: set[Watch] = set()

    @property
    def busy(self) -> bool:
        """Whether some watch can go on at once."""
        return bool(self._ready)

    def on_watch(self, session: Session, asked: wire.Watch) -> None:
        """Begin, or begin again under the same subscription. Raises what is wrong with the request."""
        if not 0 <= asked.partition < len(self._at):
            raise UnknownPartition(f"partition {asked.partition} does not exist; this fleet has {len(self._at)}")
        if not 0 <= asked.offset <= OFFSET_MAX or not 0 <= asked.time <= OFFSET_MAX:
            raise ProtocolError(f"offset {asked.offset} or time {asked.time} is out of range")
        authorise(session.principal, "subscribe", asked.pattern)
        if not self._replication.replicas[asked.partition].leads:
            raise self._replication.not_leader(asked.partition)
        own = self._watches.setdefault(session, {})
        if asked.subscription not in own and len(own) >= limits.WATCHES_PER_SESSION_MAX:
            raise ProtocolError(f"{limits.WATCHES_PER_SESSION_MAX} watches in one session; end some")
        watch = Watch(session, asked)
        self.on_unwatch(session, asked.subscription)
        own[asked.subscription] = watch
        self._at[asked.partition][watch] = None
        self._queue(watch)

    def on_unwatch(self, session: Session, subscription: int) -> None:
        """End a watch; ending one that is over is nothing."""
        watch = self._watches.get(session, {}).pop(subscription, None)
        if watch is not None:
            self._at[watch.partition].pop(watch, None)

    def on_credit(self, session: Session, credit: wire.Credit) -> None:
        """More bytes for a watch; nonsense is nothing."""
        watch = self._watches.get(session, {}).get(credit.subscription)
        if watch is not None and credit.more > 0:
            watch.credit = min(watch.credit + credit.more, limits.WATCH_CREDIT_BYTES_MAX)
            self._queue(watch)

    def on_high(self, partition: int) -> None:
        """More is committed."""
        for watch in self._at[partition]:
            self._queue(watch)

    def on_lost(self, partition: int, why: str) -> None:
        """Leadership is gone: the readers have to look for the next leader."""
        for watch in list(self._at[partition]):
            self.on_unwatch(watch.session, watch.subscription)
            self._peers.fault(watch.session, watch.subscription, "NotLeader", why)

    def on_session_end(self, session: Session) -> None:
        """All watches of a session are over."""
        for watch in self._watches.pop(session, {}).values():
            self._at[watch.partition].pop(watch, None)

    def pump(self) -> None:
        """Send what ready watches may have, in turns."""
        room = limits.TURN_READ_BYTES_MAX
        for _ in range(len(self._ready)):
            if room <= 0:
                return
            watch = self._ready.popleft()
            self._queued.discard(watch)
            if watch in self._at[watch.partition] and self._replication.leads(watch.partition):
                room -= self._advance(watch)

    def extents(self, partitions: list[int]) -> list[wire.Extent]:
        """The extents of the partitions asked for that are led here; of all that are, when none is named."""
        wanted = partitions or range(len(self._at))
        return [self._extent(partition) for partition in wanted if self._replication.leads(partition)]

    def _extent(self, partition: int) -> wire.Extent:
        store = self._store
        first, end = store.first(partition), store.mark(partition).end
        since = store.header(partition, first).appended if first < end else 0
        return wire.Extent(
            partition, store.first_offset(partition), self._replication.replicas[partition].high_offset, since
        )

    def _queue(self, watch: Watch) -> None:
        if watch not in self._queued:
            self._queued.add(watch)
            self._ready.append(watch)

    def _advance(self, watch: Watch) -> int:
        """Send one message if there is something to say; the bytes of it."""
        replica = self._replication.replicas[watch.partition]
        if watch.index < self._store.first(watch.partition):
            self._place(watch)
        if watch.credit <= 0 and watch.said >= 0:
            return 0
        first = watch.offset
        blobs: list[bytes] = []
        rows: list[bytes] = []
        if watch.credit > 0 and watch.index < replica.high:
            try:
                self._collect(watch, replica.high, blobs, rows)
            except CorruptRecord as error:
                self.on_unwatch(watch.session, watch.subscription)
                self._peers.fault(watch.session, watch.subscription, "CorruptRecord", str(error))
                return 0
        if blobs or watch.offset != watch.said:
            watch.said = watch.offset
            told = wire.Records(watch.subscription, watch.partition, first, watch.offset, replica.high_offset, rows)
            if not self._peers.send(watch.session, told, blobs):
                return 0
        if watch.credit > 0 and watch.index < replica.high:
            self._queue(watch)
        return sum(map(len, blobs)) + limits.READ_OVERHEAD_BYTES

    def _place(self, watch: Watch) -> None:
        """Find where the watch stands, now that the partition can be read, or was trimmed beyond it."""
        store, partition = self._store, watch.partition
        high_offset = self._replication.replicas[partition].high_offset
        if watch.time > 0:
            index = store.index_since(partition, watch.time)
            end = store.mark(partition)
            offset = store.header(partition, index).base_offset if index < end.end else end.end_offset
            watch.offset = min(offset, high_offset)
            watch.time = 0
        watch.offset = max(watch.offset, store.first_offset(partition))
        watch.index = store.index_of(partition, watch.offset)

    def _collect(self, watch: Watch, high: int, blobs: list[bytes], rows: list[bytes]) -> None:
        bytes_max = min(watch.credit, limits.READ_BYTES_MAX)
        upto = min(high, watch.index + limits.READ_RECORDS_MAX)
        for entry in self._store.span(watch.partition, watch.index, upto, bytes_max):
            header = entry.header
            end = header.base_offset + header.count
            if header.kind == EVENTS and end > watch.offset:
                meant = _rows(watch.filter, entry, watch.offset - header.base_offset)
                if meant:
                    whole = len(meant) == header.count
                    rows.append(ALL_ROWS if whole else bitmap(meant, header.count))
                    blobs.append(entry.record)
                    watch.credit -= len(entry.record)
                    self._figures.events_out += len(meant)
                watch.offset = end
            watch.index += 1


def _rows(wanted: Filter, entry: Entry, skip: int) -> list[int]:
    types, index = type_view(body_of(entry.record))
    meant = wanted.rows(types, index)
    return meant if skip <= 0 else [row for row in meant if row >= skip]
