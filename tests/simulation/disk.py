"""A disk that keeps what was committed: one transaction holds log and meta, a crash loses it whole or not at all.

What was trimmed is not to be read again: whoever does is found out.

`torn` is the fault that a real store must not have, for planting: at a crash a part of the transaction is kept.
"""

from random import Random
from typing import Any, NamedTuple

from bus.lineage import Restored
from bus.repeats import Repeated
from bus.wire import Seat

from .world import Violation


class Record(NamedTuple):
    """A record without its bytes. `value` is what the publisher meant, unique in the run.

    `names` are its events where their ids were given; `given` and `repeats` stand in its header.
    """

    kind: int
    epoch: int
    base_offset: int
    count: int
    producer: bytes = b""
    sequence: int = 0
    value: str = ""
    appended: int = 0
    names: tuple[str, ...] = ()
    given: bytes = b""
    repeats: tuple[Repeated, ...] = ()


class Log:
    """Records by index, the first ones trimmed away; `len` is the index after the last one."""

    def __init__(self, first: int = 0, first_offset: int = 0, epochs: list[tuple[int, int]] | None = None) -> None:
        self.first = first
        self.first_offset = first_offset
        self.epochs = epochs or []
        self.records: list[Record] = []

    def __len__(self) -> int:
        return self.first + len(self.records)

    def __getitem__(self, index: int) -> Record:
        if not self.first <= index < len(self):
            raise Violation("trimmed", f"record {index} is read of a log that holds {self.first} to {len(self)}")
        return self.records[index - self.first]

    def span(self, first: int, upto: int) -> list[Record]:
        return [self[index] for index in range(first, min(upto, len(self)))]

    @property
    def end_offset(self) -> int:
        return self.records[-1].base_offset + self.records[-1].count if self.records else self.first_offset

    def append(self, record: Record) -> None:
        if not self.epochs or self.epochs[-1][0] != record.epoch:
            self.epochs.append((record.epoch, len(self)))
        self.records.append(record)

    def cut(self, end: int) -> None:
        self.span(end, end + 1)
        del self.records[end - self.first :]
        self.epochs = [(epoch, start) for epoch, start in self.epochs if start < end]

    def trim(self, first: int) -> None:
        last = self[first - 1]
        self.first_offset = last.base_offset + last.count
        del self.records[: first - self.first]
        self.first = first

    def copy(self) -> "Log":
        twin = Log(self.first, self.first_offset, list(self.epochs))
        twin.records = list(self.records)
        return twin


class Disk:
    """One store: the durable log and meta, and the transaction that is on its way."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.log = Log()
        self.meta: dict[str, Any] = {"promised": 0, "seat": None, "high": 0, "high_offset": 0}
        self.meta |= {"windows": b"", "given": b""}
        self._pending: list[tuple[str, Any]] = []

    def write(self, verb: str, what: Any) -> None:
        """Add to the transaction: append a Record, truncate to an end, trim to a first, restart with a Log, or meta."""
        self._pending.append((verb, what))

    @property
    def dirty(self) -> bool:
        return bool(self._pending)

    def commit(self) -> None:
        for verb, what in self._pending:
            if verb == "append":
                self.log.append(what)
            elif verb == "truncate":
                self.log.cut(what)
            elif verb == "trim":
                self.log.trim(what)
            elif verb == "restart":
                self.log = what
            else:
                self.meta[verb] = what
        self._pending.clear()

    def crash(self, dice: Random, committing: bool, torn: bool) -> None:
        """What is left of the transaction: nothing, or all if it was just being committed."""
        if torn and committing:
            del self._pending[dice.randrange(len(self._pending) + 1) :]
            self.commit()
        elif committing and dice.random() < 0.5:
            self.commit()
        self._pending.clear()

    def restored(self) -> Restored:
        """What a broker reads at its start."""
        high = self.meta["high"]
        seat: Seat | None = self.meta["seat"]
        tail = [record.count for record in self.log.span(high, len(self.log))]
        return Restored(
            promised=self.meta["promised"],
            seat=seat,
            lineage=list(self.log.epochs),
            end=len(self.log),
            end_offset=self.log.end_offset,
            high=high,
            high_offset=self.meta["high_offset"],
            tail=tail,
            first=self.log.first,
        )
