"""What a heart is made of, takes in and gives out: folds, entries, steps, states. Part of `fold`; see there."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from controlplane.errors import FoldRebuilding
from controlplane.facts import Fact, FoldQuarantined, Intent, Rows
from controlplane.state import Key, KeyedState

World = Mapping[str, KeyedState]
"""States by their folds' names, to be read only: a fold gets its own and those that it `reads`."""


class Entry(msgspec.Struct, frozen=True):
    """A place in the journal. `recorded` is the folds' now; `cause` is None for an input.

    Rows take as many positions as they have events, from `position` on.
    """

    position: int
    recorded: int
    cause: int | None
    fact: Fact | Rows

    def cut(self, rows: Iterable[int]) -> "list[Entry]":
        """The same as entries that follow on one another, cut before each of these rows."""
        fact, edges = self.fact, sorted(set(rows))
        if not isinstance(fact, Rows) or not edges:
            return [self]
        return [
            Entry(self.position + start, self.recorded, self.cause, fact.part(start, stop))
            for start, stop in pairwise(dict.fromkeys((0, *edges, len(fact))))
        ]

    @property
    def place(self) -> str:
        """Where it stands, and what it is, as errors tell it."""
        last = self.position + (len(self.fact) if isinstance(self.fact, Rows) else 1) - 1
        where = f"position {self.position}" if last <= self.position else f"positions {self.position} to {last}"
        return f"{where}, {type(self.fact).__name__}"


class Step(msgspec.Struct):
    """One input and what followed. Positions `first` <= p <= `last`; `intents` are (position, index, intent).

    `digest` is of all folds' states after it.
    """

    number: int
    first: int
    last: int
    recorded: int
    input: Fact | Rows
    derived: list[Entry]
    intents: list[tuple[int, int, Intent]]
    digest: bytes


class Loaded(NamedTuple):
    """A state from elsewhere: `tables` are fold -> table -> key -> value, `step` is the last one's number.

    A fold that is not in `tables` is not there yet. `stamp`: as in `Heart`.
    """

    position: int
    step: int
    recorded: int
    quarantined: Sequence[FoldQuarantined]
    tables: Mapping[str, Mapping[str, Mapping[Key, Any]]]
    stamp: str = ""


class States(dict[str, KeyedState]):
    """The states that are there, by fold; for another one FoldRebuilding is raised."""

    def __missing__(self, fold: str) -> KeyedState:
        raise FoldRebuilding(fold)


class Fold:
    """What every fold is. Pure: its state is the `KeyedState` it is handed, and nothing else.

    `follows` are the facts it wants, `reads` the other folds whose states it looks into: it is given no others. `timed`
    are its tables whose values have deadlines. `tables` says what the values of each table are, which is how a snapshot
    is read. A fold whose meaning changes gets another `version`. Without a `vital` one the plane cannot act: it waits.
    """

    name: str = ""
    version: int = 1
    vital: bool = False
    follows: tuple[type, ...] = ()
    reads: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()
    tables: Mapping[str, Any] = MappingProxyType({})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """What the entry means. Total: anything that may be journaled is fine."""

    def cuts(self, rows: Rows, world: World) -> Iterable[int]:
        """The rows before which a batch is cut, in any order, so that `evolve` sees what it reads of others as of
        there, and not as of the end of the batch. `world` is as before it. Only a fold that reads others as it evolves
        rows has any."""
        return ()

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """What follows from the entry; sees the state after it and changes nothing."""
        return ()

    def due(self, table: str, value: Any) -> int:
        """The deadline in a value of a timed table; 0 for none."""
        return 0

    def intended(self, state: KeyedState, cause: int, index: int, intent: Intent) -> None:
        """What this step wants done, when it is over: an intent of a kind that it `follows`."""

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """A deadline is over at `entry`, which is not evolved yet. Must move or clear the deadline by a put."""
        return ()
