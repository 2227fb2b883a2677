"""A disk that keeps what was committed: one transaction holds log and meta, a crash loses it whole or not at all.

`torn` is the fault that a real store must not have, for planting: at a crash a part of the transaction is kept.
"""

from random import Random
from typing import Any, NamedTuple

from bus.lineage import Restored
from bus.wire import Seat


class Record(NamedTuple):
    """A record without its bytes. `value` is what the publisher meant, unique in the run."""

    kind: int
    epoch: int
    base_offset: int
    count: int
    producer: bytes = b""
    sequence: int = 0
    value: str = ""


class Disk:
    """One store: the durable log and meta, and the transaction that is on its way."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.log: list[Record] = []
        self.meta: dict[str, Any] = {"promised": 0, "seat": None, "high": 0, "high_offset": 0, "windows": b""}
        self._pending: list[tuple[str, Any]] = []

    def write(self, verb: str, what: Any) -> None:
        """Add to the transaction: ("append", Record), ("truncate", end) or (meta name, value)."""
        self._pending.append((verb, what))

    @property
    def dirty(self) -> bool:
        return bool(self._pending)

    def commit(self) -> None:
        for verb, what in self._pending:
            if verb == "append":
                self.log.append(what)
            elif verb == "truncate":
                del self.log[what:]
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
        lineage: list[tuple[int, int]] = []
        for index, record in enumerate(self.log):
            if not lineage or lineage[-1][0] != record.epoch:
                lineage.append((record.epoch, index))
        high = self.meta["high"]
        seat: Seat | None = self.meta["seat"]
        end_offset = self.log[-1].base_offset + self.log[-1].count if self.log else 0
        tail = [record.count for record in self.log[high:]]
        return Restored(
            promised=self.meta["promised"],
            seat=seat,
            lineage=lineage,
            end=len(self.log),
            end_offset=end_offset,
            high=high,
            high_offset=self.meta["high_offset"],
            tail=tail,
        )
