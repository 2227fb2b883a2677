"""What a heart takes in and gives out: entries, steps, states. Part of `fold`, where the theory stands."""

from collections.abc import Mapping, Sequence
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

    A fold that is not in `tables` is not there yet.
    """

    position: int
    step: int
    recorded: int
    quarantined: Sequence[FoldQuarantined]
    tables: Mapping[str, Mapping[str, Mapping[Key, Any]]]


class States(dict[str, KeyedState]):
    """The states that are there, by fold; for another one FoldRebuilding is raised."""

    def __missing__(self, fold: str) -> KeyedState:
        raise FoldRebuilding(fold)
