"""The in-memory twin of what groups stand on (`bus.broker.ports.Ground`), and a stage that turns like the loop does."""

from itertools import count

from bus import batch, wire
from bus.batch import encode
from bus.broker.delivering import Delivering
from bus.errors import CorruptRecord, InsufficientReplicas, NotLeader
from bus.event import Event
from bus.record import EVENTS, GROUP, Header, seal
from bus.session import Session
from bus.store import Entry

SECOND = 1_000_000_000
numbers = count(1)


def event(name: str = "order.created", **attributes: object) -> Event:
    return Event(type=name, source="agent/shop", id=f"e{next(numbers)}", **attributes)  # type: ignore[arg-type]


def session() -> Session:
    return Session(next(numbers), opener=False)


def delivered(sent: list) -> list[tuple[Session, str, int, int]]:
    """(session, id, offset, attempt) of every event that was sent."""
    found = []
    for to, message, blobs in sent:
        if isinstance(message, wire.Deliver):
            header, body = batch.unseal(blobs[0])
            columns = batch.decode(body)
            assert columns.count == header.count and len(blobs) == 1
            rows = batch.rows_of(message.rows, header.count)
            assert rows and message.attempts.keys() <= set(rows)
            for row in rows:
                found.append((to, columns.ids[row], header.base_offset + row, message.attempts.get(row, 1)))
    return found


def said(sent: list, kind: type) -> list:
    return [message for _, message, _ in sent if isinstance(message, kind)]


class GroundTwin:
    """Partitions' logs in lists; what is appended is committed by `Stage.commit`. `refuse`: no appends now."""

    def __init__(self, broker: str = "b1", partitions: int = 2) -> None:
        self.broker = broker
        self.partitions = partitions
        self.logs: list[list[Entry]] = [[] for _ in range(partitions)]
        self.high = [0] * partitions
        self.first = [0] * partitions
        self.soon = [0] * partitions
        self.leading: set[int] = set()
        self.clock = 1_000 * SECOND
        self.sent: list[tuple[Session, wire.Message, list[bytes]]] = []
        self.deaf: set[Session] = set()
        self.refuse = False
        self.damaged = False

    def leads(self, partition: int) -> bool:
        return partition in self.leading

    def high_offset(self, partition: int) -> int:
        return self._offset(partition, self.high[partition])

    def clock_ns(self) -> int:
        return self.clock

    def first_offset(self, partition: int) -> int:
        return self._offset(partition, self.first[partition])

    def soon_trimmed(self, partition: int) -> int:
        return self.soon[partition]

    def read(self, partition: int, offset: int, bytes_max: int) -> list[Entry]:
        if self.damaged:
            raise CorruptRecord("a record's body does not have its checksum")
        taken: list[Entry] = []
        for entry in self.logs[partition][self.first[partition] : self.high[partition]]:
            if entry.header.base_offset + entry.header.count > offset or taken:
                if taken and sum(len(one.record) for one in (*taken, entry)) > bytes_max:
                    break
                taken.append(entry)
        return taken

    def offset_since(self, partition: int, instant: int) -> int:
        for entry in self.logs[partition]:
            if entry.header.appended >= instant:
                return entry.header.base_offset
        return self._offset(partition, len(self.logs[partition]))

    def append_group(self, partition: int, delta: bytes) -> int:
        return self.append(GROUP, partition, delta, 0, b"")

    def append_event(self, partition: int, event: Event, companion: bytes) -> int:
        return self.append(EVENTS, partition, encode([event]), 1, companion)

    def append(self, kind: int, partition: int, body: bytes, count: int, companion: bytes) -> int:
        if partition not in self.leading:
            raise NotLeader("not led here")
        if self.refuse:
            raise InsufficientReplicas("1 of 2 replicas in sync")
        return self.store(kind, partition, body, count, companion)

    def store(self, kind: int, partition: int, body: bytes, count: int, companion: bytes = b"") -> int:
        log = self.logs[partition]
        header = Header(kind, partition, 1, self._offset(partition, len(log)), count, self.clock, companion=companion)
        log.append(Entry(header, seal(header, body)))
        return len(log) - 1

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        if session in self.deaf:
            return False
        self.sent.append((session, message, list(blobs)))
        return True

    def fault(self, session: Session, request: int, code: str, message: str, detail: str = "") -> None:
        self.send(session, wire.Fault(request, code, message, detail))

    def _offset(self, partition: int, index: int) -> int:
        return sum(entry.header.count for entry in self.logs[partition][:index])


class Stage:
    """A broker's groups on the twin, turned by hand. Everything runs at partition 0 unless it says otherwise."""

    def __init__(self, ground: GroundTwin | None = None) -> None:
        self.ground = ground or GroundTwin()
        self.delivering = Delivering(self.ground)
        self.applied = [0] * self.ground.partitions

    def lead(self, partition: int = 0) -> None:
        self.ground.leading.add(partition)
        self.delivering.on_lead(partition, 0)

    def lose(self, partition: int = 0) -> None:
        self.ground.leading.discard(partition)
        self.delivering.on_lost(partition, "deposed")

    def publish(self, *events: Event, partition: int = 0) -> None:
        self.ground.store(EVENTS, partition, encode(events), len(events))

    def commit(self, partition: int = 0) -> None:
        """All that is appended is on W disks: apply what is for groups, in order."""
        self.ground.high[partition] = len(self.ground.logs[partition])
        for index in range(self.applied[partition], self.ground.high[partition]):
            entry = self.ground.logs[partition][index]
            if entry.header.kind == GROUP or entry.header.companion:
                self.delivering.apply(partition, index, entry)
        self.applied[partition] = self.ground.high[partition]

    def turn(self, seconds: float = 0, commit: bool = True) -> list[tuple[Session, wire.Message, list[bytes]]]:
        """One turn of the loop, `seconds` later; what it sent."""
        self.ground.clock += int(seconds * SECOND)
        self.ground.sent.clear()
        self.delivering.pump(0)
        if commit:
            for partition in range(self.ground.partitions):
                self.commit(partition)
        self.delivering.deliver(0)
        return list(self.ground.sent)

    def tell(self, session: Session, message: wire.Message) -> None:
        self.delivering.on_message(session, message, 0)
