"""The heart: one input and all that follows from it, as one atomic step.

    input ─▶ timers that are due fire ─▶ evolve ─▶ react ─▶ facts ─▶ evolve ─▶ react ─▶ ... until nothing follows
                                                      ╰──▶ intents, carried out after the step is committed

`evolve` says what an entry means, `react` what follows from it; `fire` does both for a deadline. What follows from an
entry is settled before anything else goes on, so each reaction sees the world that the ones before it made. Replaying
a step runs `evolve` and `fire` over its journaled entries and never `react`; both roads end in the same digest.

Timers are derived: a deadline is a function of a value (`Fold.due`), and at each input the deadlines <= `recorded`
fire in (deadline, fold, table, key) order before the input is evolved, so that a batch may be split anywhere. Only an
entry that says the plane itself stood still (`PAUSES`) is evolved first.

A fold that raises, or leaves a value that has no canonical form, is quarantined: the step is undone and run again
without it, with `FoldQuarantined` as its first derived fact. It stands still until a plane with another version of it
starts.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from controlplane.errors import StepMismatch
from controlplane.facts import Fact, FoldQuarantined, Intent, PlaneResumed, PlaneStarted, Rows
from controlplane.limits import CASCADE_FACTS_MAX, QUARANTINE_ERROR_CHARS_MAX, TIMERS_FIRED_MAX
from controlplane.state import ABSENT, Hashes, Key, KeyedState, combined

__all__ = ["Entry", "Fold", "Heart", "KeyedState", "Step", "World"]

PAUSES = (PlaneStarted, PlaneResumed)
World = Mapping[str, KeyedState]
"""The states of all folds by name, for those that read others; to be read only."""
Due = tuple[int, str, str, Key]
"""Deadline, fold, table, key."""
Sealed = tuple[KeyedState, Hashes, list[Due]]
"""A state that a step has changed, with its new hashes and deadlines."""


class Entry(msgspec.Struct, frozen=True):
    """A place in the journal. `recorded` is the folds' now; `cause` is None for an input.

    Rows take as many positions as they have events, from `position` on.
    """

    position: int
    recorded: int
    cause: int | None
    fact: Fact | Rows


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
    """A whole state from elsewhere: `tables` are fold -> table -> key -> value, `step` is the last one's number."""

    position: int
    step: int
    recorded: int
    quarantined: Sequence[FoldQuarantined]
    tables: Mapping[str, Mapping[str, Mapping[Key, Any]]]


class Fold:
    """What every fold is. Pure: its state is the `KeyedState` it is handed, and nothing else.

    `follows` are the facts it wants. `timed` are its tables whose values have deadlines. `tables` says what the values
    of each table are, which is how a snapshot is read. A fold whose meaning changes gets another `version`.
    """

    name: str = ""
    version: int = 1
    follows: tuple[type, ...] = ()
    timed: tuple[str, ...] = ()
    tables: Mapping[str, Any] = MappingProxyType({})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """What the entry means. Total: anything that may be journaled is fine."""

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """What follows from the entry; sees the state after it and changes nothing."""
        return ()

    def due(self, table: str, value: Any) -> int:
        """The deadline in a value of a timed table; 0 for none."""
        return 0

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """A deadline is over at `entry`, which is not evolved yet. Must move or clear the deadline by a put."""
        return ()


class FoldRaised(Exception):
    """A fold broke the step under way, at `entry` where that is known; its place comes first in what is told."""

    def __init__(self, fold: Fold, cause: str, entry: Entry | None = None) -> None:
        super().__init__(cause)
        told = f"{_place(entry)}: {cause}" if entry is not None else cause
        self.fact = FoldQuarantined(fold.name, fold.version, told[:QUARANTINE_ERROR_CHARS_MAX])


def _place(entry: Entry) -> str:
    last = entry.position + (len(entry.fact) if isinstance(entry.fact, Rows) else 1) - 1
    where = f"position {entry.position}" if last <= entry.position else f"positions {entry.position} to {last}"
    return f"{where}, {type(entry.fact).__name__}"


class Heart:
    """All folds and their states at one position. `recorded` never goes back."""

    def __init__(self, folds: Sequence[Fold]) -> None:
        self.folds = {fold.name: fold for fold in folds}
        self.states = {fold.name: KeyedState(fold.name) for fold in folds}
        self.position = 0
        self.recorded = 0
        self.steps = 0
        self.quarantined: dict[str, FoldQuarantined] = {}
        self.reasons: list[str] = []
        """The fold that said each derived fact of the newest step; for telling, not part of the state."""
        self.scratch: dict[str, Any] = {}
        """Where answers keep what they worked out of the state; nobody else reads it."""
        self._following: dict[type, list[Fold]] = {}
        self._deadlines: list[Due] = []
        self._due: dict[tuple[str, str, Key], int] = {}

    def step(self, given: Fact | Rows, recorded: int) -> Step:
        """Take an input live. The step is in the states when this returns; its intents are not carried out."""
        recorded = max(recorded, self.recorded)
        fired = self._take_due(recorded)
        broken: list[FoldQuarantined] = []
        while True:
            try:
                step = self._attempt(given, recorded, fired, broken)
                sealed = self._sealed()
            except FoldRaised as raised:
                self._undo(raised.fact, broken)
                continue
            self._commit(step.last, recorded, fired, sealed)
            step.digest = self.digest()
            return step

    def replay(self, step: Step) -> None:
        """Take a journaled step as it was; raises `StepMismatch` if it is not the next one."""
        if step.first != self.position + 1:
            raise StepMismatch(self.position + 1, step.first)
        fired = self._take_due(step.recorded)
        broken = [e.fact for e in step.derived if isinstance(e.fact, FoldQuarantined) and self._is_present(e.fact)]
        self.quarantined |= {fact.fold: fact for fact in broken}
        entry = Entry(step.first, step.recorded, None, step.input)
        while True:
            try:
                self._open(entry, fired)
                for derived in step.derived:
                    self._evolve(derived)
                sealed = self._sealed()
            except FoldRaised as raised:
                self._undo(raised.fact, broken)
                continue
            self._commit(step.last, step.recorded, fired, sealed)
            return

    def load(self, state: "Loaded") -> None:
        """Take over the state of another heart of the same folds; this one must be new. Timers follow from it."""
        for name, tables in state.tables.items():
            for table, rows in tables.items():
                for key, value in rows.items():
                    self.states[name].put(table, key, value)
        self.quarantined = {fact.fold: fact for fact in state.quarantined}
        self._commit(state.position, state.recorded, [], self._sealed())
        self.steps = state.step

    def follow_changes(self) -> None:
        """From here on it is remembered which places change, for snapshots (`KeyedState.changes`)."""
        for state in self.states.values():
            state.follow_changes()

    def copy(self) -> "Heart":
        """A heart of its own with the same state, between steps: what one takes in, the other does not."""
        twin = Heart(list(self.folds.values()))
        twin.states = {name: state.copy() for name, state in self.states.items()}
        twin.position, twin.recorded, twin.steps = self.position, self.recorded, self.steps
        twin.quarantined = dict(self.quarantined)
        twin._deadlines = list(self._deadlines)
        twin._due = dict(self._due)
        return twin

    def digest(self) -> bytes:
        """Of all states, 16 bytes; equal states have equal digests."""
        return combined(self.states)

    def next_deadline(self) -> int | None:
        """When the next timer is due, or None. A `Tick` then makes it fire."""
        while self._deadlines and not self._is_live(self._deadlines[0]):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    # ----------------------------------------------------------------------------------------- one attempt

    def _attempt(self, given: Fact | Rows, recorded: int, fired: list[Due], broken: list[FoldQuarantined]) -> Step:
        first = self.position + 1
        last = first + (max(1, len(given)) if isinstance(given, Rows) else 1) - 1
        entry = Entry(first, recorded, None, given)
        derived: list[Entry] = []
        intents: list[tuple[int, int, Intent]] = []
        told: dict[int, int] = {}
        self.reasons = []
        waiting: deque[tuple[str, int, Fact | Intent]] = deque(("heart", first, fact) for fact in broken)
        by_timers = self._open(entry, fired)
        waiting.extend(self._react(entry))
        waiting.extend(by_timers)
        while waiting:
            fold, cause, said = waiting.popleft()
            if isinstance(said, Intent):
                index = told.get(cause, 0)
                told[cause] = index + 1
                intents.append((cause, index, said))
                continue
            if len(derived) >= CASCADE_FACTS_MAX:
                raise FoldRaised(self.folds[fold], f"its facts have no end: over {CASCADE_FACTS_MAX} in one step")
            last += 1
            follower = Entry(last, recorded, cause, said)
            derived.append(follower)
            self.reasons.append(fold)
            self._evolve(follower)
            waiting.extendleft(reversed(self._react(follower)))
        return Step(self.steps + 1, first, last, recorded, given, derived, intents, b"")

    def _open(self, entry: Entry, fired: list[Due]) -> list[tuple[str, int, Fact | Intent]]:
        pause = isinstance(entry.fact, PAUSES)
        if pause:
            self._evolve(entry)
        said: list[tuple[str, int, Fact | Intent]] = []
        for due, name, table, key in fired:
            fold = self.folds[name]
            value = self.states[name].get(table, key, ABSENT)
            if name in self.quarantined or value is ABSENT or fold.due(table, value) != due:
                continue
            try:
                for each in fold.fire(self.states[name], table, key, entry, self.states):
                    said.append((name, entry.position, each))
            except Exception as error:
                raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error
        if not pause:
            self._evolve(entry)
        return said

    def _evolve(self, entry: Entry) -> None:
        for fold in self._followers(type(entry.fact)):
            if fold.name not in self.quarantined:
                try:
                    fold.evolve(self.states[fold.name], entry, self.states)
                except Exception as error:
                    raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error

    def _react(self, entry: Entry) -> list[tuple[str, int, Fact | Intent]]:
        said: list[tuple[str, int, Fact | Intent]] = []
        for fold in self._followers(type(entry.fact)):
            if fold.name not in self.quarantined:
                try:
                    said += [
                        (fold.name, entry.position, x) for x in fold.react(self.states[fold.name], entry, self.states)
                    ]
                except Exception as error:
                    raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error
        return said

    def _followers(self, kind: type) -> list[Fold]:
        found = self._following.get(kind)
        if found is None:
            found = self._following[kind] = [fold for fold in self.folds.values() if kind in fold.follows]
        return found

    # ----------------------------------------------------------------------------------------- around it

    def _undo(self, fact: FoldQuarantined, broken: list[FoldQuarantined]) -> None:
        for state in self.states.values():
            state.undo()
        self.quarantined[fact.fold] = fact
        broken.append(fact)

    def _sealed(self) -> list[Sealed]:
        """What the step makes of each state. What has no canonical form, or no deadline, is its fold's fault."""
        sealed: list[Sealed] = []
        for name, state in self.states.items():
            fold = self.folds[name]
            try:
                sealed.append((state, state.hashes(), self._dues(fold, state) if fold.timed else []))
            except Exception as error:
                raise FoldRaised(fold, f"{type(error).__name__}: {error}") from error
        return sealed

    def _commit(self, last: int, recorded: int, fired: list[Due], sealed: list[Sealed]) -> None:
        for state, hashes, dues in sealed:
            self._schedule(dues)
            state.settle(hashes)
        for due in fired:
            if self._is_live(due):
                heappush(self._deadlines, due)
        self.position = last
        self.recorded = recorded
        self.steps += 1

    def _dues(self, fold: Fold, state: KeyedState) -> list[Due]:
        """The deadlines of touched places that are others than before; 0: none any more."""
        dues: list[Due] = []
        for table, key in state.touched:
            if table in fold.timed:
                value = state.get(table, key, ABSENT)
                due = 0 if value is ABSENT else fold.due(table, value)
                if due != self._due.get((fold.name, table, key), 0):
                    dues.append((due, fold.name, table, key))
        return dues

    def _schedule(self, dues: list[Due]) -> None:
        for due in dues:
            if due[0]:
                self._due[due[1:]] = due[0]
                heappush(self._deadlines, due)
            else:
                del self._due[due[1:]]

    def _take_due(self, recorded: int) -> list[Due]:
        fired: list[Due] = []
        while self._deadlines and self._deadlines[0][0] <= recorded and len(fired) < TIMERS_FIRED_MAX:
            due = heappop(self._deadlines)
            if self._is_live(due) and (not fired or fired[-1] != due):
                fired.append(due)
        return fired

    def _is_live(self, due: Due) -> bool:
        return due[1] not in self.quarantined and self._due.get(due[1:]) == due[0]

    def _is_present(self, fact: FoldQuarantined) -> bool:
        fold = self.folds.get(fact.fold)
        return fold is not None and fold.version == fact.version
