"""A broker as the real one is built: turns over an inbox, one transaction a turn, answers after its commit.

The machines are the real ones; the log is a list, the commit takes virtual time, and a crash may come at any moment.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from bus import limits, replica, wire
from bus.errors import FleetError, UnknownProducer, code_of
from bus.given import GivenIds
from bus.producer import Original, Windows

from .appending import Appending, header_of
from .checkers import Ledger
from .disk import Disk, Record
from .messages import Batch, Beginning, Page, Read, Reply, Shipment, Status
from .trimming import Trimming
from .world import MS, Network, World

PAGE_RECORDS_MAX = 20


class Parts:
    """What a broker is made of; planted bugs replace some of it."""

    machine: type[replica.Replica] = replica.Replica
    windows: type[Windows] = Windows
    torn_disk = False
    high_lags = True
    answers_before_commit = False
    acks_before_commit = False
    forgets_promises = False
    trims_unnoted = False
    begins_without_state = False
    given: type[GivenIds] = GivenIds
    begins_without_ids = False


class Broker(Trimming, Appending):
    """One broker process and its restarts."""

    def __init__(
        self, name: str, world: World, network: Network, ledger: Ledger, parts: Parts, commit_ms: float, grouping: float
    ) -> None:
        self.name = name
        self.world, self.network, self.ledger, self.parts = world, network, ledger, parts
        self.commit_ns = int(commit_ms * MS)
        self.grouping = grouping
        self.trimming = 0.0
        self.stall_ns = 0
        self.life = 0
        self.up = False
        self.snapshot_every = world.dice.choice([1, 3, 20])
        self.producers_max = limits.PRODUCERS_MAX
        self.ids_max = limits.GIVEN_IDS_MAX
        self.counts = {
            "refused": 0,
            "repeated": 0,
            "truncated": 0,
            "led": 0,
            "lost": 0,
            "diverged": 0,
            "trims": 0,
            "begun": 0,
            "duplicates": 0,
        }
        network.nodes[name] = self.deliver

    # ------------------------------------------------------------------------------------------ life and death

    def start(self, disk: Disk) -> None:
        self.disk = disk
        self.ledger.durable(self.name, disk)
        self.life += 1
        self.up = True
        self.inbox: deque[tuple[str, Any]] = deque()
        self.committing = False
        self.scheduled = False
        self.log = disk.log.copy()
        self.waiting: dict[int, list[Batch]] = {}
        self.afterwards: list[Callable[[], None]] = []
        self.highs = 0
        self.noted = 0
        self.known_high: int = disk.meta["high"]
        self.noted_high = self.known_high
        self.led_epoch = 0
        self.replica = self.parts.machine(0, self.name, disk.restored(), disk.store)
        self.windows = self.parts.windows(self.producers_max)
        if disk.meta["windows"]:
            self.windows.restore(disk.meta["windows"])
            self.noted = self.windows.applied
        self.given = self.parts.given(self.ids_max)
        if disk.meta["given"]:
            self.given.restore(disk.meta["given"])
        self._apply(self.windows.applied, self.replica.high)
        self.world.say(self.name, "starts life", self.life, "end", self.replica.end, "high", self.replica.high)
        self._tick(self.life)

    def crash(self) -> None:
        if not self.up:
            return
        self.world.say(self.name, "crashes", "committing" if self.committing else "")
        self.up = False
        self.disk.crash(self.world.dice, self.committing, self.parts.torn_disk)

    def deliver(self, source: str, message: Any) -> None:
        if self.up:
            self.inbox.append((source, message))
            self._wake()

    def _wake(self) -> None:
        if not self.scheduled and not self.committing:
            self.scheduled = True
            self.world.after(0, self._turn, self.life)

    def _tick(self, life: int) -> None:
        if self.up and life == self.life:
            self.network.send(self.name, "plane", self.status())
            self.inbox.append(("", None))
            self._wake()
            self.world.after(100 * MS, self._tick, life)

    def status(self) -> Status:
        machine = self.replica
        leads = machine.epoch if machine.leads else 0
        return Status(self.name, self.disk.store, self.life, machine.promised, leads, machine.newcomers())

    # -------------------------------------------------------------------------------------------------- the turn

    def _turn(self, life: int) -> None:
        if not self.up or life != self.life:
            return
        self.scheduled = False
        while self.inbox:
            self._receive(*self.inbox.popleft())
        self._carry(self.replica.pump(self.world.now))
        if self.parts.acks_before_commit:
            self._carry(self.replica.synced(len(self.log), self.world.now))
        if not self.disk.dirty:
            self._carry(self.replica.synced(len(self.log), self.world.now))
            self._finish()
            return
        self.committing = True
        delay, self.stall_ns = self.stall_ns + int(self.commit_ns * self.world.dice.random()), 0
        self.world.after(delay, self._committed, life)

    def _committed(self, life: int) -> None:
        if not self.up or life != self.life:
            return
        self.disk.commit()
        self.committing = False
        self._carry(self.replica.synced(len(self.log), self.world.now))
        self._finish()
        if self.inbox:
            self._wake()

    def _finish(self) -> None:
        todo, self.afterwards = self.afterwards, []
        for do in todo:
            do()

    def _receive(self, source: str, message: Any) -> None:
        now, machine = self.world.now, self.replica
        match message:
            case None:
                if self.trimming and self.world.dice.random() < self.trimming:
                    self._trim()
                if machine.leads and self.world.dice.random() < self.grouping:
                    self._append_group_record()
            case Shipment(ship, records):
                heads = [(record.epoch, record.base_offset, record.count) for record in records]
                self._carry(machine.on_ship(ship, heads, now), records)
            case Beginning():
                self._begin(*message)
            case wire.Shipped():
                self._carry(machine.on_shipped(message, now))
            case wire.AskEpochEnd():
                self._carry(machine.on_ask_epoch_end(message))
            case wire.EpochEnd():
                self._carry(machine.on_epoch_end(message, now))
            case wire.Offer():
                self._offer(message)
            case wire.Place():
                self._place(message)
            case Batch():
                self._publish(message)
            case Read():
                self._read(message)

    def _carry(self, outputs: list[replica.Output], records: list[Record] | None = None) -> None:
        for output in outputs:
            match output:
                case replica.Promise(epoch):
                    if not self.parts.forgets_promises:
                        self.disk.write("promised", epoch)
                case replica.SetSeat(seat):
                    self.disk.write("seat", seat)
                case replica.Append(kind, index, base_offset, epoch):
                    self._write(index, Record(kind, epoch, base_offset, 0, value=f"start {epoch}"))
                case replica.Store(first, skip):
                    for at, record in enumerate((records or [])[skip:]):
                        self._write(first + at, record)
                case replica.Truncate(end, _):
                    self.world.say(self.name, "truncates", len(self.log), "to", end)
                    self.counts["truncated"] += 1
                    self.log.cut(end)
                    self.disk.write("truncate", end)
                case replica.Trim(first):
                    self.ledger.trims(self.name, first)
                    self.log.trim(first)
                    self.disk.write("trim", first)
                    self._note_high()
                    self.counts["trims"] += 1
                case replica.SendBegin():
                    self._send_begin(output)
                case replica.ShipTo():
                    self._ship(output)
                case replica.Send(broker, message):
                    self.network.send(self.name, broker, message)
                case replica.High(high, high_offset):
                    self._high(high, high_offset)
                case replica.Lost(why):
                    self._lost(why)
                case replica.Diverged():
                    self.counts["diverged"] += 1
                    self.ledger.diverged(self.name, output)

    # --------------------------------------------------------------------------------------------- carrying out

    def _write(self, index: int, record: Record) -> None:
        if index != len(self.log):
            self.ledger.fail("store", f"{self.name} is to store record {index} after {len(self.log)} records")
        self.ledger.wrote(self.name, index, record)
        self.log.append(record)
        self.disk.write("append", record)

    def _ship(self, out: replica.ShipTo) -> None:
        upto = out.upto
        if upto - out.first > 1 and self.world.dice.random() < 0.2:  # the byte limit cuts somewhere
            upto = self.world.dice.randrange(out.first + 1, upto)
        records = self.log.span(out.first, upto)
        self.replica.shipped_upto(out.broker, upto, 100 * len(records))
        ship = wire.Ship(0, out.epoch, self.name, out.prev, out.prev_epoch, out.high)
        self.network.send(self.name, out.broker, Shipment(ship, records))

    def _high(self, high: int, high_offset: int) -> None:
        machine = self.replica
        seat = machine.seat if machine.leads else None
        self.ledger.high(self.name, seat, self.log, self.known_high, high, high_offset)
        self.known_high = high
        self._apply(self.windows.applied, high)
        self._note_high()
        self.highs += 1
        if self.highs % self.snapshot_every == 0:
            self._note()
        for index in [index for index in self.waiting if index < high]:
            for batch in self.waiting.pop(index):
                self._reply(batch, index)

    def _note_high(self) -> None:
        """What a restart knows of the watermark may be behind, but not below the log's beginning."""
        machine = self.replica
        lag = self.snapshot_every if self.parts.high_lags else 1
        if machine.high - self.noted_high >= lag or self.noted_high < self.log.first:
            self.noted_high = machine.high
            self.disk.write("high", machine.high)
            self.disk.write("high_offset", machine.high_offset)

    def _note(self) -> None:
        self.disk.write("windows", self.windows.snapshot())
        self.disk.write("given", self.given.snapshot())
        self.noted = self.windows.applied

    def _apply(self, first: int, upto: int) -> None:
        for index in range(first, upto):
            self.windows.commit(self._original(index))
            self.given.commit(index, header_of(self.log[index]))

    def _original(self, index: int) -> Original:
        record = self.log[index]
        repeated = sum(run.count for run in record.repeats)
        return Original(record.producer, record.sequence, index, record.base_offset, record.count, 0, repeated)

    def _lost(self, why: str) -> None:
        self.world.say(self.name, "loses:", why)
        self.counts["lost"] += 1
        self.windows.relay([])
        self.given.relay([])
        for batches in self.waiting.values():
            for batch in batches:
                self.network.send(self.name, batch.publisher, Reply(batch.sequence, "OutcomeUnknown"))
        self.waiting.clear()

    def _append_group_record(self) -> None:
        try:
            placed = self.replica.append(0, self.world.now)
        except FleetError:
            return
        self._write(placed.index, Record(replica.GROUP, placed.epoch, placed.base_offset, 0, value=f"group {placed}"))

    # -------------------------------------------------------------------------------------------------- requests

    def _offer(self, offer: wire.Offer) -> None:
        try:
            self._carry(self.replica.offer(offer.epoch))
        except FleetError:
            promised = self.replica.promised
            refusal = wire.Answered(offer.request, 0, offer.epoch, False, promised, 0, 0, 0)
            self.afterwards.append(partial(self._answer, refusal))
            return
        accepted = wire.Answered(offer.request, 0, offer.epoch, True, offer.epoch, *self.replica.answer())
        self.world.say(self.name, "promises", accepted)
        self.ledger.on_promise(self.name)
        if self.parts.answers_before_commit:
            self._answer(accepted)
        else:
            self.afterwards.append(partial(self._answer, accepted))

    def _answer(self, answered: wire.Answered) -> None:
        self.network.send(self.name, "plane", (self.name, self.disk.store, answered))

    def _place(self, place: wire.Place) -> None:
        why = ""
        try:
            self._carry(self.replica.place(place.seat, self.world.now))
        except FleetError as error:
            why = str(error)
        if self.replica.leads and self.led_epoch != self.replica.epoch:
            self.led_epoch = self.replica.epoch
            self.counts["led"] += 1
            self.world.say(self.name, "leads", self.replica.seat, "end", self.replica.end)
            self.ledger.leads(self.name, self.life, self.led_epoch)
            above = range(self.replica.high, len(self.log))
            self.windows.relay(self._original(index) for index in above)
            self.given.relay((index, header_of(self.log[index])) for index in above)
        placed = wire.Placed(place.request, 0, place.seat.epoch, not why, why)
        self.afterwards.append(partial(self.network.send, self.name, "plane", (self.name, self.disk.store, placed)))

    def _publish(self, batch: Batch) -> None:
        machine = self.replica
        if not machine.leads:
            self.network.send(self.name, batch.publisher, Reply(batch.sequence, "NotLeader", leader=machine.leader))
            return
        try:
            original = self.windows.judge(batch.producer, batch.sequence)
            if original is None:
                index = self._append(batch)
            else:
                self.counts["repeated"] += 1
                index = original.index
        except FleetError as error:
            if isinstance(error, UnknownProducer):
                self.ledger.forgotten(self.name, machine.epoch, batch.publisher)
            self.counts["refused"] += 1
            self.network.send(self.name, batch.publisher, Reply(batch.sequence, code_of(error)))
            return
        if index < machine.high:
            self._reply(batch, index)
        else:
            self.waiting.setdefault(index, []).append(batch)

    def _reply(self, batch: Batch, index: int) -> None:
        # A repetition is answered from the windows, long after its record may have gone.
        record = self.log[index] if index >= self.log.first else self.ledger.committed[index]
        self.ledger.acked(self.name, batch.value, index, record)
        self.ledger.stands(self.name, batch.names, record)
        self.network.send(self.name, batch.publisher, Reply(batch.sequence, "", record.base_offset))

    def _read(self, read: Read) -> None:
        machine = self.replica
        if not machine.readable:
            return
        values: list[tuple[int, str]] = []
        offset = read.offset
        for record in self.log.span(self.log.first, machine.high):
            if record.count and record.base_offset >= read.offset and len(values) < PAGE_RECORDS_MAX:
                values.append((record.base_offset, record.value))
                offset = record.base_offset + record.count
        offset = max(offset, self.log.first_offset)
        page = Page(machine.epoch, machine.high_offset, read.offset, offset, values, self.log.first_offset)
        self.network.send(self.name, read.reader, page)
