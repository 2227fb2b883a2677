"""What the groups of a broker stand on: the loop's parts behind the port `Ground`."""

from bus import wire
from bus.batch import encode
from bus.broker.figures import Figures
from bus.broker.peers import Peers
from bus.broker.replication import Replication
from bus.event import Event
from bus.record import EVENTS, GROUP
from bus.session import Session
from bus.store import Entry, Store


class BrokerGround:
    """See `bus.broker.ports.Ground`."""

    def __init__(self, peers: Peers, replication: Replication, store: Store, figures: Figures) -> None:
        self.broker = replication.broker
        self.partitions = replication.public
        self._peers = peers
        self._replication = replication
        self._store = store
        self._figures = figures
        self.soon = [0] * len(replication.replicas)

    def leads(self, partition: int) -> bool:
        """See `Ground`."""
        return self._replication.leads(partition)

    def high_offset(self, partition: int) -> int:
        """See `Ground`."""
        return self._replication.replicas[partition].high_offset

    def first_offset(self, partition: int) -> int:
        """See `Ground`."""
        return self._store.first_offset(partition)

    def soon_trimmed(self, partition: int) -> int:
        """See `Ground`."""
        return self.soon[partition]

    def clock_ns(self) -> int:
        """See `Ground`."""
        return self._replication.clock_ns()

    def read(self, partition: int, offset: int, bytes_max: int) -> list[Entry]:
        """See `Ground`."""
        high = self._replication.replicas[partition].high
        first = self._store.index_of(partition, offset)
        return self._store.span(partition, first, high, bytes_max) if first < high else []

    def offset_since(self, partition: int, instant: int) -> int:
        """See `Ground`."""
        index = self._store.index_since(partition, instant)
        mark = self._store.mark(partition)
        return self._store.header(partition, index).base_offset if index < mark.end else mark.end_offset

    def append_group(self, partition: int, delta: bytes) -> int:
        """See `Ground`."""
        index, _ = self._replication.append(GROUP, partition, delta, 0)
        return index

    def append_event(self, partition: int, event: Event, companion: bytes) -> int:
        """See `Ground`."""
        index, header = self._replication.append(EVENTS, partition, encode([event]), 1, companion=companion)
        self._figures.events_in += header.count
        return index

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        """See `Ground`."""
        if isinstance(message, wire.Deliver):
            self._figures.events_out += len(message.rows)
        return self._peers.send(session, message, blobs)

    def fault(self, session: Session, request: int, code: str, message: str, detail: str = "") -> None:
        """See `Ground`."""
        self._peers.fault(session, request, code, message, detail)
