"""What must never be, checked at every step with knowledge that no broker has."""

from collections.abc import Callable
from itertools import count

from bus.repeats import repeated_rows, resolved
from bus.replica import Diverged
from bus.wire import Seat

from .disk import Disk, Log, Record
from .world import Violation


class Ledger:
    """Sees every write, commit and answer of all brokers."""

    def __init__(self) -> None:
        self.committed: list[Record] = []
        self.placed: dict[tuple[int, int], Record] = {}
        self.leaders: dict[int, tuple[str, int]] = {}
        self.acks: dict[str, int] = {}
        self.named: dict[int, str] = {}
        self.ids_max = 0
        self.disks: dict[str, list[Disk]] = {}
        self.on_lead: Callable[[str], None] = lambda broker: None
        self.on_promise: Callable[[str], None] = lambda broker: None

    def fail(self, checker: str, what: str) -> None:
        raise Violation(checker, what)

    def leads(self, broker: str, life: int, epoch: int) -> None:
        """At most one process leads an epoch."""
        other = self.leaders.setdefault(epoch, (broker, life))
        if other != (broker, life):
            self.fail("one leader", f"epoch {epoch} is led by {broker} in life {life} and by {other[0]} in {other[1]}")
        self.on_lead(broker)

    def wrote(self, broker: str, index: int, record: Record) -> None:
        """One (epoch, index) names one record, wherever it is held."""
        other = self.placed.setdefault((record.epoch, index), record)
        if other != record:
            self.fail("log matching", f"{broker} holds {record} at {index}, others hold {other}")

    def durable(self, broker: str, disk: Disk) -> None:
        """A disk that was replaced still counts as one that once held its records."""
        disks = self.disks.setdefault(broker, [])
        if disk not in disks:
            disks.append(disk)

    def high(self, broker: str, seat: Seat | None, log: Log, old: int, high: int, high_offset: int) -> None:
        """Below the high watermark all logs are equal, and W disks hold them before any leader says so.

        `seat` is None when a follower speaks.
        """
        if not old < high <= len(log):
            self.fail("watermark", f"{broker} moves from {old} to {high} of {len(log)} records")
        if log[high - 1].base_offset + log[high - 1].count != high_offset:
            self.fail("watermark", f"{broker} says {high} records end at event {high_offset}")
        for index in range(old, min(high, len(self.committed))):
            if log[index] != self.committed[index]:
                self.fail(
                    "equal logs", f"{broker} commits {log[index]} at {index}, where {self.committed[index]} stands"
                )
        for index in range(len(self.committed), high):
            if seat is None:
                self.fail("watermark", f"follower {broker} commits {high}, its leaders only {len(self.committed)}")
                return
            held = [name for name in seat.replicas if self._holds(name, seat, index, log[index])]
            if len(held) < seat.write_quorum or broker not in held:
                self.fail("quorum", f"{broker} commits {log[index]} at {index}, durable only on {held}")
            self.committed.append(log[index])
            self.named.update(enumerate(log[index].names, log[index].base_offset))

    def trims(self, broker: str, first: int) -> None:
        """Nothing goes that was not committed."""
        if first > len(self.committed):
            self.fail("trimmed", f"{broker} trims to {first}, {len(self.committed)} records are committed")

    def begins(self, broker: str, end: int, log: Log, high: int, high_offset: int) -> None:
        """Who begins anew stands where the trimmed records would have led, and had none beyond: `end` was its end."""
        if end >= log.first:
            self.fail("trimmed", f"{broker} begins at {log.first} and lets go of records up to {end}")
        before = self.committed[: log.first]
        if len(before) < log.first or sum(record.count for record in before) != high_offset:
            self.fail("trimmed", f"{broker} begins at {log.first}, event {high_offset}, after {len(before)} committed")
        if high != log.first:
            self.fail("watermark", f"{broker} begins at {log.first} and takes {high} for committed")

    def _holds(self, broker: str, seat: Seat, index: int, record: Record) -> bool:
        return any(
            index < len(disk.log) and disk.log[index] == record and seat.votes(broker, disk.store)
            for disk in self.disks.get(broker, [])
        )

    def _once(self) -> None:
        """No id stands twice among so many as the window remembers."""
        last: dict[str, int] = {}
        names = [name for record in self.committed for name in record.names]
        for place, name in enumerate(names):
            if place - last.get(name, -self.ids_max - 1) <= self.ids_max:
                self.fail("given ids", f"{name} was appended twice, with {place - last[name]} ids in between")
            last[name] = place

    def acked(self, broker: str, value: str, index: int, record: Record) -> None:
        """An ack names the committed record that holds the batch, and always the same one."""
        if record.value != value:
            self.fail("acked", f"{broker} acks {value!r} with record {index}, which is {record.value!r}")
        if index >= len(self.committed) or self.committed[index] != record:
            self.fail("acked", f"{broker} acks {value!r} at {index}, which is not committed")
        if self.acks.setdefault(value, index) != index:
            self.fail("twice", f"{value!r} was acked at {self.acks[value]} and at {index}")

    def stands(self, broker: str, names: tuple[str, ...], record: Record) -> None:
        """An ack of given ids names committed events with these ids."""
        if not names:
            return
        repeats = resolved(record.repeats, record.base_offset, record.appended)
        elsewhere = {row: offset for row, offset, _ in repeated_rows(repeats)}
        fresh = count(record.base_offset)
        found = [self.named.get(elsewhere[row] if row in elsewhere else next(fresh)) for row in range(len(names))]
        if found != list(names):
            self.fail("given ids", f"{broker} says that {names} stand where {found} do")

    def forgotten(self, broker: str, epoch: int, publisher: str) -> None:
        """The newest leader holds all that was acked, so it knows whoever has an ack."""
        acked = [value for value in self.acks if value.startswith(f"{publisher}/")]
        if acked and epoch == max(self.leaders):
            self.fail("windows", f"{broker} in epoch {epoch} has forgotten {publisher}, of which {acked} are acked")

    def diverged(self, broker: str, output: Diverged) -> None:
        """Without lost disks no leader lacks what a follower knows as committed."""
        self.fail("diverged", f"{broker} holds {output.high} committed records, its leader parts at {output.end}")

    def finish(self, logs: dict[str, Log], published: list[str]) -> None:
        """After everything has healed: nothing acked is lost, nothing is there twice, offsets are dense."""
        values = [record.value for record in self.committed if record.producer]
        if len(set(values)) != len(values):
            twice = sorted({value for value in values if values.count(value) > 1})
            self.fail("twice", f"{twice} were appended more than once")
        self._once()
        for name, log in logs.items():
            if log.span(log.first, len(self.committed)) != self.committed[log.first :]:
                self.fail("equal logs", f"{name} differs from what was committed")
            for value, index in self.acks.items():
                if index >= len(log) or (index >= log.first and log[index].value != value):
                    self.fail("acked", f"{value!r} was acked at {index} and is not there on {name}")
        missing = sorted(set(published) - set(values))
        if missing:
            self.fail("acked", f"publishers hold acks for {missing}, which nobody holds")
        offset = 0
        for record in self.committed:
            if record.base_offset != offset:
                self.fail("offsets", f"{record} should start at event {offset}")
            offset += record.count
