"""Groups in the simulation: the real `Delivering` on every simulated broker, real sessions, members that come and go.

Members speak in sessions over an ordered channel that loses ranges now and then, as ZeroMQ's does; a gap ends the
session. `GroupLedger` knows what every member was told, and what every committed record means to the group.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import Any

from bus import batch, wire
from bus.broker.delivering import Delivering
from bus.companion import Companion
from bus.errors import BusError
from bus.event import Event, from_json, to_json
from bus.groupactive import ORDERS as SPANNING
from bus.groupstate import LOST, TIMED_OUT, decode_deltas
from bus.partitioner import key_hash
from bus.record import EVENTS, GROUP, Header, seal
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.store import Entry

from .broker import Broker
from .channel import Channel, Parcel
from .checkers import Ledger
from .disk import Disk, Record
from .world import MS

SETTINGS = wire.GroupSettings("work.>", -1, 1_000, 4)
FLEET = "simulated"


class GroupLedger:
    """What the group must never do. Only the newest leader is held to what was confirmed: an older one may not know.

    In strict order nobody, however old, delivers an event while an earlier one of its key is not settled in the
    committed log: `_settled` is the fold of that log.
    """

    def __init__(self, ledger: Ledger, settings: wire.GroupSettings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.deps: dict[str, dict[int, int]] = {}
        self.mixed = False
        self.begun: set[tuple[int, int]] = set()
        self._works: list[int] = []
        self._settled = Companion()
        self._keys: dict[int, list[int]] = {}
        self._folded = 0
        self.confirmed: dict[int, int] = {}
        self.acked: set[int] = set()
        self.delivered = 0
        self.gone_below = 0
        self.trimmed = 0

    def sends(self, epoch: int, offset: int, attempt: int) -> None:
        self.delivered += 1
        if self.settings.order == "strict":
            self._in_line(offset, attempt)
        if epoch == max(self.ledger.leaders) and offset in self.confirmed:
            self.ledger.fail("group", f"event {offset} is delivered (attempt {attempt}) after its ack was confirmed")

    @property
    def end(self) -> int:
        """Where the committed events end."""
        return self.ledger.committed[-1].base_offset + self.ledger.committed[-1].count if self.ledger.committed else 0

    def entry(self, record: Record) -> tuple[Entry, int]:
        """See `entry_of`."""
        return entry_of(record, 0, tuple(self.deps.get(record.value, {}).items()), self.mixed)

    def works(self, record: Record) -> list[int]:
        """The offsets of a record that are meant for the group."""
        if record.kind != EVENTS or record.value.startswith("letter "):
            return []
        columns = batch.decode(batch.body_of(self.entry(record)[0].record))
        rows = [row for row, event in enumerate(columns.events(range(record.count))) if event.type == "work.asked"]
        return [record.base_offset + row for row in rows]

    def works_end(self) -> int:
        """Where the events that are meant for the group end."""
        self._fold()
        return self._works[-1] + 1 if self._works else 0

    def settled_floor(self) -> int:
        """All events below it are settled in the committed log, or not meant."""
        self._fold()
        state = self._settled.groups.get("g")
        upto = state.upto if state is not None else 0
        at = bisect_left(self._works, upto)
        unread = self._works[at] if at < len(self._works) else 1 << 62
        return min(unread, state.floor) if state is not None and state.count else unread

    def _fold(self) -> None:
        while self._folded < len(self.ledger.committed):
            self._folded += 1
            self._fold_one(self._folded - 1)

    def _fold_one(self, index: int) -> None:
        record = self.ledger.committed[index]
        entry, dead = self.entry(record)
        self._works += self.works(record)
        if record.kind == EVENTS and dead < 0:
            for row, key in enumerate(batch.decode(batch.body_of(entry.record)).key_hashes):
                self._keys.setdefault(key, []).append(record.base_offset + row)
        if record.kind == GROUP or entry.header.companion:
            deltas = entry.header.companion or batch.body_of(entry.record)
            self._settled.apply(index, deltas)
            if self.settings.order in SPANNING:
                self._burned(deltas)

    def _burned(self, deltas: bytes) -> None:
        """An event that is held back has no attempt that could fail."""
        for delta in decode_deltas(deltas):
            for failed in delta.failed:
                ended = failed.ended
                if ended.how in (LOST, TIMED_OUT) and (failed.offset, ended.attempt) not in self.begun:
                    self.ledger.fail("burned", f"event {failed.offset} was held back, and its attempt failed: {ended}")

    def _in_line(self, offset: int, attempt: int) -> None:
        self._fold()
        state = self._settled.groups["g"]
        line = next(line for line in self._keys.values() if offset in line)
        early = [one for one in line if one < offset and (state.is_open(one) or one >= state.upto)]
        if early:
            self.ledger.fail("group", f"event {offset} is delivered (attempt {attempt}) before {early} of its key")

    def confirms(self, offset: int, attempt: int, verdict: str) -> None:
        if verdict == "ack":
            self.confirmed.setdefault(offset, attempt)

    def finish(self, states: dict[str, Companion]) -> None:
        """Every event is acked or has one letter; whoever was told that its ack holds was told the truth."""
        letters: dict[int, int] = {}
        events: set[int] = set()
        for record in self.ledger.committed:
            if record.value.startswith("letter "):
                offset = entry_of(record, 0)[1]
                letters[offset] = letters.get(offset, 0) + 1
            events |= set(self.works(record))
        end = sum(record.count for record in self.ledger.committed)
        if any(count > 1 for count in letters.values()):
            self.ledger.fail("group", f"more than one letter: {letters}")
        if letters.keys() & self.confirmed.keys():
            self.ledger.fail("group", f"acked and dead: {sorted(letters.keys() & self.confirmed.keys())}")
        for name, companion in states.items():
            state = companion.groups.get("g")
            if state is None or state.count or any(not 0 <= offset < state.upto for offset in events):
                self.ledger.fail("group", f"{name} holds {state} at the end {end}")
            if companion.snapshot() != next(iter(states.values())).snapshot():
                self.ledger.fail("group", f"{name} has applied the same records to another state")
        # An ack may be durable though its answer was lost; but nothing is settled without a member that settled it.
        skipped = {offset for offset in events - letters.keys() - self.acked if offset >= self.gone_below}
        if skipped:
            self.ledger.fail("group", f"skipped: {sorted(skipped)}")


@lru_cache(maxsize=4_096)
def entry_of(
    record: Record, partition: int, deps: tuple[tuple[int, int], ...] = (), mixed: bool = False
) -> tuple[Entry, int]:
    """The stored record that a simulated one stands for; and of a dead letter, which event it is of (else -1).

    `deps` of its events; `mixed`: some of them are not meant for the group.
    """
    companion, body, dead = b"", b"", -1
    if record.value.startswith("letter "):
        _, hexed, text = record.value.split(" ", 2)
        companion = bytes.fromhex(hexed)
        event = from_json(text)
        dead = event.data["offset"]
        body = batch.encode([event])
    elif record.kind == EVENTS:
        names = [f"{record.value}:{row}" for row in range(record.count)]
        events = [
            Event(
                type="idle.noted" if mixed and key_hash(name) % 4 == 0 else "work.asked",
                source="s",
                id=name,
                subject=f"k{key_hash(name) % 12}",
                deps=dict(deps) or None,
            )
            for name in names
        ]
        body = batch.encode(events)
    elif record.value.startswith("deltas "):
        body = bytes.fromhex(record.value[7:])
    header = Header(
        record.kind, partition, record.epoch, record.base_offset, record.count, record.base_offset, companion=companion
    )
    return Entry(header, seal(header, body)), dead


class SimGround:
    """`bus.broker.ports.Ground` on a simulated broker."""

    partitions = 1

    def __init__(self, owner: "GroupBroker", skew_ns: int) -> None:
        self.owner, self.skew_ns = owner, skew_ns
        self.broker = owner.name

    def leads(self, partition: int) -> bool:
        return self.owner.replica.readable

    def high_offset(self, partition: int) -> int:
        return self.owner.replica.high_offset

    def first_offset(self, partition: int) -> int:
        return self.owner.log.first_offset

    def soon_trimmed(self, partition: int) -> int:
        return 0

    def clock_ns(self) -> int:
        return self.owner.world.now + self.skew_ns

    def read(self, partition: int, offset: int, bytes_max: int) -> list[Entry]:
        taken: list[Entry] = []
        for record in self.owner.log.span(self.owner.log.first, self.owner.replica.high):
            if taken or record.base_offset + record.count > offset:
                taken.append(self.owner.groups.entry(record)[0])
                if len(taken) > 10 or bytes_max == 1:
                    break
        return taken

    def offset_since(self, partition: int, instant: int) -> int:
        return self.owner.replica.end_offset

    def append_group(self, partition: int, delta: bytes) -> int:
        return self._append(GROUP, 0, f"deltas {delta.hex()}")

    def append_event(self, partition: int, event: Event, companion: bytes) -> int:
        return self._append(EVENTS, 1, f"letter {companion.hex()} {to_json(event).decode()}")

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        return self.owner.tell(session, message, list(blobs))

    def fault(self, session: Session, request: int, code: str, message: str, detail: str = "") -> None:
        self.send(session, wire.Fault(request, code, message, detail))

    def _append(self, kind: int, count: int, value: str) -> int:
        owner = self.owner
        placed = owner.replica.append(count, owner.world.now)
        owner._write(placed.index, Record(kind, placed.epoch, placed.base_offset, count, value=value))
        return placed.index


class GroupBroker(Broker):
    """A simulated broker with groups: its turn calls `Delivering` where the real loop does."""

    channel: Channel
    groups: GroupLedger

    def start(self, disk: Disk) -> None:
        self.sessions = Sessions(FLEET)
        self.ended: list[Session] = []
        self.leading = 0
        self.delivering = Delivering(SimGround(self, int(200 * MS * self.world.dice.random())))
        self.delivering.restore(0, disk.meta.get("groups", b""))
        super().start(disk)

    def _apply(self, first: int, upto: int) -> None:
        super()._apply(first, upto)
        for index in range(first, upto):
            entry, _ = entry_of(self.log[index], 0)
            if entry.header.kind == GROUP or entry.header.companion:
                self.delivering.apply(0, index, entry)

    def _high(self, high: int, high_offset: int) -> None:
        super()._high(high, high_offset)
        if self.highs % self.snapshot_every == 0:
            self.disk.write("groups", self.delivering.snapshot(0))
        if self.replica.readable and self.leading != self.replica.epoch:
            self.leading = self.replica.epoch
            self.delivering.on_lead(0, self.world.now)

    def _groups(self) -> bytes:
        return self.delivering.snapshot(0)

    def _install(self, begin: wire.Begin, windows: bytes, groups: bytes, given: bytes) -> None:
        super()._install(begin, windows, groups, given)
        self.delivering.restore(0, groups)
        self.disk.write("groups", groups)

    def _trim(self) -> None:
        super()._trim()
        self.groups.gone_below = max(self.groups.gone_below, self.log.first_offset)

    def _lost(self, why: str) -> None:
        super()._lost(why)
        if self.leading:
            self.leading = 0
            self.delivering.on_lost(0, why)

    def _append_group_record(self) -> None:
        """Its groups append records of their own."""

    def _turn(self, life: int) -> None:
        if not self.up or life != self.life:
            return
        while self.inbox:
            self._receive(*self.inbox.popleft())
        for session in self.sessions.silent(self.world.now):
            self._end(session, self.sessions.end(session, "closing", "silent"))
        self._sweep()
        self.delivering.pump(self.world.now)
        super()._turn(life)

    def _finish(self) -> None:
        super()._finish()
        self.delivering.deliver(self.world.now)
        self.groups.trimmed += sum(sample.trimmed for sample in self.delivering.samples(self.world.now))
        self._sweep()
        due = self.delivering.next_due(self.world.now)
        if due is not None:
            self.world.after(max(due - self.world.now, 10_000), self._nudge, self.life)

    def _nudge(self, life: int) -> None:
        if self.up and life == self.life:
            self._wake()

    def _sweep(self) -> None:
        while self.ended:
            self.delivering.on_session_end(self.ended.pop())

    def _end(self, session: Session, farewell: list[bytes]) -> None:
        self.channel.send(self.name, session.identity.decode(), farewell)
        self.ended.append(session)

    def _receive(self, source: str, message: Any) -> None:
        if not isinstance(message, Parcel):
            super()._receive(source, message)
            return
        arrival = self.sessions.receive(source.encode(), message.parts, self.world.now)
        match arrival:
            case Greeted(session, _, protocol, replaced):
                if replaced is not None:
                    self.ended.append(replaced)
                self.tell(session, wire.Welcome(FLEET, self.name, "", protocol, [], "anonymous", 0), [])
            case Heard(session, heard, _):
                self._heard(session, heard)
            case Refused(frames, _, _, ended):
                if frames:
                    self.channel.send(self.name, source, frames)
                if ended is not None:
                    self.ended.append(ended)

    def _heard(self, session: Session, message: Any) -> None:
        if isinstance(message, wire.Ping):
            self.tell(session, wire.Pong(message.token), [])
            return
        try:
            self.delivering.on_message(session, message, self.world.now)
        except BusError as error:
            request = getattr(message, "request", getattr(message, "subscription", 0))
            self.tell(session, wire.Fault(request, type(error).__name__, str(error)), [])

    def _works_alone(self, session: Session, subscription: int) -> None:
        """Who is delivered to came before all others that are there and have not lapsed; nobody else holds back."""
        group = self.delivering._led[0].groups["g"].group
        name = self.delivering._sessions[session][subscription].member
        mine = group.members[name]
        for other in group.members.values():
            if other is mine:
                continue
            if not other.lapsed and (mine.lapsed or (other.since, other.name) < (mine.since, mine.name)):
                self.groups.ledger.fail("one active", f"{name} is delivered to while {other.name} is there")
            if any(not group._odd.works[offset].timer for offset in other.held):
                self.groups.ledger.fail("one active", f"{name} is delivered to while {other.name} holds back")

    def tell(self, session: Session, message: wire.Message, blobs: list[bytes]) -> bool:
        if not session.is_open and not isinstance(message, wire.Welcome):
            return False
        if isinstance(message, wire.Deliver):
            header = batch.header_of(blobs[0])
            if self.groups.settings.order in SPANNING:
                self._works_alone(session, message.subscription)
            for row in batch.rows_of(message.rows, header.count):
                self.groups.sends(self.leading, header.base_offset + row, message.attempts.get(row, 1))
        frames = session.send(message, blobs, self.world.now)
        self.channel.send(self.name, session.identity.decode(), frames)
        return True
