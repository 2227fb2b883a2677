"""Watches: a reader stands at an offset of one partition and is sent committed records as its credit allows.

Filtering looks at the view of a record, its distinct types and one index byte per event, and never decodes an event:
the stored record goes out with a bitmap of the rows that are meant. Records without any such row are not sent, only
passed. A watch costs something only when there is something for it:

| a watch is | until |
|---|---|
| a newcomer, not far behind: what it missed is looked through for all newcomers together | it matches, or is asleep |
| ready: takes its turn, `TURN_READ_BYTES_MAX` together | it has been sent what is committed: asleep; or has no credit |
| waiting for credit, for its peer to read what it was sent, or for the partition to be readable | it comes |
| asleep, at the high watermark | a record comes whose types the trie of its partition leads from to this watch |

So records that a sleeping watch does not match pass by without its being touched: it stands wherever its partition has
been looked through to (`WatchedPartition.upto`). Its reader hears of that with the next record that matches; or, if it
asked to (`wire.Watch.passes`), within WATCH_PASSED_MS; or when its turn comes in a slow round, so that its next leader
need not take it far back: thousands of them may come at once then.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable

from bus import limits, wire
from bus.batch import bitmap, body_of, type_view, types_of
from bus.broker.access import authorise, unknown
from bus.broker.figures import Figures
from bus.broker.peers import Peers
from bus.broker.replication import Replication
from bus.broker.watch import Watch, WatchedPartition
from bus.errors import CorruptRecord, ProtocolError
from bus.record import EVENTS
from bus.session import Session
from bus.store import Entry, Store
from bus.topic import Filter

OFFSET_MAX = (1 << 63) - 1
ALL_ROWS = b""
_PASSED_NS = limits.WATCH_PASSED_MS * 1_000_000
_ROUND_NS = limits.WATCH_ROUND_MS * 1_000_000


class Reading:
    """All watches of one broker."""

    def __init__(self, peers: Peers, replication: Replication, store: Store, figures: Figures) -> None:
        self._peers = peers
        self._replication = replication
        self._store = store
        self._figures = figures
        self._watches: dict[Session, dict[int, Watch]] = {}
        self._at = [WatchedPartition() for _ in replication.replicas]
        self._ready: deque[Watch] = deque()
        self._queued: set[Watch] = set()
        self._lagging: dict[Session, dict[Watch, None]] = {}
        self._newcomers: dict[int, None] = {}
        self._passing: dict[Watch, None] = {}
        self._passed_at = 0
        self._round: OrderedDict[Watch, None] = OrderedDict()
        self._round_at = 0

    @property
    def busy(self) -> bool:
        """Whether some watch can go on at once."""
        return bool(self._ready or self._newcomers)

    def next_due(self) -> int | None:
        """When somebody is to be told what was passed, ns of the clock of `pump`; None: nobody is."""
        return self._passed_at + _PASSED_NS if self._passing else None

    def on_watch(self, session: Session, asked: wire.Watch) -> None:
        """Begin, or begin again under the same subscription. Raises what is wrong with the request."""
        if not self._replication.knows(asked.partition, session.principal):
            raise unknown(asked.partition, self._replication.public)
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
        self._at[asked.partition].add(watch)
        self._round[watch] = None
        self._queue(watch)

    def on_unwatch(self, session: Session, subscription: int) -> None:
        """End a watch; ending one that is over is nothing."""
        watch = self._watches.get(session, {}).pop(subscription, None)
        if watch is not None:
            self._forget(watch)

    def on_credit(self, session: Session, credit: wire.Credit) -> None:
        """More bytes for a watch; nonsense is nothing."""
        watch = self._watches.get(session, {}).get(credit.subscription)
        if watch is not None and credit.more > 0:
            watch.credit = min(watch.credit + credit.more, limits.WATCH_CREDIT_BYTES_MAX)
            if not watch.asleep and not watch.comes:
                self._queue(watch)

    def on_high(self, partition: int) -> None:
        """More is committed, and can be read."""
        at = self._at[partition]
        for watch in at.unplaced:
            self._queue(watch)
        at.unplaced.clear()
        if at.asleep:
            self._look_through(partition, at)
        replica = self._replication.replicas[partition]
        at.upto, at.offset = replica.high, replica.high_offset

    def on_lost(self, partition: int, why: str) -> None:
        """Leadership is gone: the readers have to look for the next leader."""
        for watch in list(self._at[partition].watches):
            self.on_unwatch(watch.session, watch.subscription)
            self._peers.fault(watch.session, watch.subscription, "NotLeader", why)

    def on_room(self, session: Session) -> None:
        """Its peer has read what it was sent: its watches go on."""
        for watch in self._lagging.pop(session, ()):
            self._queue(watch)

    def on_session_end(self, session: Session) -> None:
        """All watches of a session are over."""
        self._lagging.pop(session, None)
        for watch in self._watches.pop(session, {}).values():
            self._forget(watch)

    def pump(self, now: int) -> None:
        """Send what ready watches may have, in turns; and tell sleeping ones what was passed, where that is due."""
        self._look_back()
        room = limits.TURN_READ_BYTES_MAX
        for _ in range(len(self._ready)):
            if room <= 0:
                break
            watch = self._ready.popleft()
            self._queued.discard(watch)
            if watch not in self._at[watch.partition].watches:
                continue
            if self._peers.lags(watch.session):
                self._lagging.setdefault(watch.session, {})[watch] = None
            elif self._replication.leads(watch.partition):
                room -= self._advance(watch)
            else:
                self._at[watch.partition].unplaced[watch] = None
        if self._passing and now - self._passed_at >= _PASSED_NS:
            self._passed_at = now
            passing, self._passing = self._passing, {}
            for watch in passing:
                self._tell(watch, 1)
        self._go_round(now)

    def extents(self, partitions: list[int], principal: str = "") -> list[wire.Extent]:
        """The extents of the partitions asked for that are led here and known to `principal`; [] asks for all."""
        at = self._replication
        wanted = partitions or range(at.public)
        return [self._extent(number) for number in wanted if at.knows(number, principal) and at.leads(number)]

    def _extent(self, partition: int) -> wire.Extent:
        store = self._store
        first, end = store.first(partition), store.mark(partition).end
        since = store.header(partition, first).appended if first < end else 0
        return wire.Extent(
            partition, store.first_offset(partition), self._replication.replicas[partition].high_offset, since
        )

    # ------------------------------------------------------------------------------------------ private

    def _forget(self, watch: Watch) -> None:
        self._at[watch.partition].remove(watch)
        self._passing.pop(watch, None)
        self._lagging.get(watch.session, {}).pop(watch, None)
        del self._round[watch]

    def _queue(self, watch: Watch) -> None:
        if watch not in self._queued:
            self._queued.add(watch)
            self._ready.append(watch)

    def _look_through(self, partition: int, at: WatchedPartition) -> None:
        """Wake the sleeping watches that the new records have something for."""
        index, high = max(at.upto, self._store.first(partition)), self._replication.replicas[partition].high
        try:
            while index < high:
                for header, record in self._store.span(partition, index, high, limits.READ_BYTES_MAX):
                    if header.kind == EVENTS:
                        for type in types_of(body_of(record)):
                            self._wake(at, at.trie.match(type), index)
                    index += 1
        except CorruptRecord:  # each of them hears of it when it comes there
            self._wake(at, at.watches, index)
        for watch in at.passes:
            if watch.asleep:
                self._passing[watch] = None

    def _wake(self, at: WatchedPartition, watches: Iterable[Watch], index: int) -> None:
        for watch in watches:
            if watch.asleep and watch.index <= index:
                watch.asleep = False
                at.asleep -= 1
                watch.index = index
                self._queue(watch)

    def _look_back(self) -> None:
        """Look through what newcomers have missed, once for all that came by then, a turn's worth of it."""
        room = limits.WATCH_NEWCOMERS_TURN_RECORDS_MAX
        for partition in list(self._newcomers):
            at = self._at[partition]
            if not at.newcomers:
                at.newcomers = {watch: None for watch in at.coming if watch in at.watches}
                at.coming.clear()
                at.back = min((watch.index for watch in at.newcomers), default=0)
            room -= self._look_back_at(partition, at, room)
            if not at.newcomers and not at.coming:
                del self._newcomers[partition]
            if room <= 0:
                return

    def _look_back_at(self, partition: int, at: WatchedPartition, most: int) -> int:
        first = index = at.back
        upto = min(at.upto, index + most)
        try:
            while at.newcomers and index < upto:
                for header, record in self._store.span(partition, index, upto, limits.READ_BYTES_MAX):
                    if header.kind == EVENTS:
                        for type in types_of(body_of(record)):
                            for watch in at.trie.match(type):
                                if watch.comes and watch.index <= index and watch in at.newcomers:
                                    self._come(at, watch, index)
                    index += 1
        except CorruptRecord:  # damaged, or trimmed by now: each of them hears of it when it goes there
            for watch in list(at.newcomers):
                self._come(at, watch, watch.index)
        at.back = index
        if index >= at.upto:
            for watch in list(at.newcomers):
                self._come(at, watch, max(watch.index, at.upto))
        return index - first

    def _come(self, at: WatchedPartition, watch: Watch, index: int) -> None:
        """A newcomer stands at `index`, as if it had read what lies before."""
        watch.comes = False
        del at.newcomers[watch]
        watch.index = index
        self._queue(watch)

    def _tell(self, watch: Watch, events_min: int) -> None:
        """Tell the reader of a sleeping watch where it stands, if it has passed so many events since it was told."""
        at = self._at[watch.partition]
        if not watch.asleep or at.offset - watch.offset < events_min:
            return
        first, watch.offset, watch.index = watch.offset, at.offset, max(watch.index, at.upto)
        watch.said = watch.offset
        self._peers.send(
            watch.session, wire.Records(watch.subscription, watch.partition, first, watch.offset, at.offset, [])
        )

    def _go_round(self, now: int) -> None:
        """Look after one watch every WATCH_ROUND_MS, whoever's turn it is, but not after more than one turn's worth."""
        due = min(
            (now - self._round_at) // _ROUND_NS, len(self._round), limits.TURN_WAIT_MS_MAX // limits.WATCH_ROUND_MS
        )
        if now - self._round_at >= _ROUND_NS:
            self._round_at = now
        for _ in range(due):
            watch = next(iter(self._round))
            self._round.move_to_end(watch)
            self._tell(watch, limits.WATCH_PASSED_EVENTS_MAX)

    def _advance(self, watch: Watch) -> int:
        """Send one message if there is something to say; the bytes of it."""
        replica = self._replication.replicas[watch.partition]
        at = self._at[watch.partition]
        if watch.index < self._store.first(watch.partition):
            self._place(watch)
            if watch.said < 0 and 0 < at.upto - watch.index <= limits.WATCH_NEWCOMER_RECORDS_MAX:
                watch.comes = True
                at.coming.append(watch)
                self._newcomers[watch.partition] = None
                return limits.READ_OVERHEAD_BYTES
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
        if watch.index >= at.upto:
            watch.offset = max(watch.offset, at.offset)
        if blobs or watch.offset != watch.said:
            watch.said = watch.offset
            told = wire.Records(watch.subscription, watch.partition, first, watch.offset, replica.high_offset, rows)
            if not self._peers.send(watch.session, told, blobs):
                return 0
        if watch.index >= replica.high:
            at.sleep(watch)
        elif watch.credit > 0:
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
