"""The heart: one input and all that follows from it, as one atomic step.

    input ─▶ timers that are due fire ─▶ evolve ─▶ react ─▶ facts ─▶ evolve ─▶ react ─▶ ... until nothing follows
                                                      ╰──▶ intents, carried out after the step is committed

`evolve` says what an entry means, `react` what follows from it; `fire` does both for a deadline. What follows from an
entry is settled before anything else goes on, so each reaction sees the world that the ones before it made. Replaying
a step runs `evolve` and `fire` over its journaled entries and never `react`; both roads end in the same digest.

Timers are derived: a deadline is a function of a value (`Fold.due`), and at each input the deadlines <= `recorded`
fire in (deadline, fold, table, key) order before the input is evolved, so that a batch may be split anywhere. Only an
entry that says the plane itself stood still (`PAUSES`) is evolved first.

Folds evolve one after the other. Where one of them reads another as it goes along the rows of a batch, it has the batch
cut (`Fold.cuts`), and all of them evolve part by part: it sees what was said before a row, and nothing of what came
after it.

A fold that raises, says what cannot be journaled, or leaves a value that has no canonical form, is quarantined: the
step is undone and run again without it, with `FoldQuarantined` as its first derived fact. It stands still until a plane
with another version of it starts.

A plane whose folds have changed starts without them (`PlaneStarted.rebuilding`) and folds the journal again beside its
turns; `FoldsRebuilt` says where they are there again. In between such a fold says nothing, its timers wait, and it is
in no digest. A heart that has its past evolves it all the same, out of sight (`hidden`); the live one has none of it
until it takes it over (`adopt`). So both have the same state at `FoldsRebuilt`, and at every step the same digest.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from bus.attributes import legible
from controlplane.deadlines import Deadlines, Due
from controlplane.entry import Entry, Fold, Loaded, States, Step, World
from controlplane.errors import StepMismatch
from controlplane.facts import (
    Fact,
    FoldQuarantined,
    FoldsRebuilt,
    Intent,
    PlaneResumed,
    PlaneStarted,
    Rows,
    encode_said,
)
from controlplane.limits import CASCADE_FACTS_MAX, QUARANTINE_ERROR_CHARS_MAX
from controlplane.stamps import stamped
from controlplane.state import ABSENT, Hashes, KeyedState, combined

__all__ = ["Entry", "Fold", "Heart", "KeyedState", "Loaded", "Step", "World"]

PAUSES = (PlaneStarted, PlaneResumed)
Sealed = tuple[KeyedState, Hashes, list[Due]]
"""A state that a step has changed, with its new hashes and deadlines."""


class FoldRaised(Exception):
    """A fold broke the step under way, at `entry` where that is known; its place comes first in what is told."""

    def __init__(self, fold: Fold, cause: str, entry: Entry | None = None) -> None:
        super().__init__(cause)
        told = f"{entry.place}: {cause}" if entry is not None else cause
        self.fact = FoldQuarantined(fold.name, fold.version, legible(told, QUARANTINE_ERROR_CHARS_MAX))


class Heart:
    """All folds and their states at one position. `recorded` never goes back."""

    def __init__(self, folds: Sequence[Fold]) -> None:
        self.folds = {fold.name: fold for fold in folds}
        self.states = States((fold.name, KeyedState(fold.name)) for fold in folds)
        self.hidden: dict[str, KeyedState] = {}
        """Of folds that the journal says are folded again: evolved, and seen and counted nowhere."""
        self.position = 0
        self.recorded = 0
        self.steps = 0
        self.stamp = ""
        """What the ids of what it wants published have in them (`stamps`), as the newest PlaneStarted says."""
        self.quarantined: dict[str, FoldQuarantined] = {}
        self.reasons: list[str] = []
        """The fold that said each derived fact of the newest step; for telling, not part of the state."""
        self.wanting: list[str] = []
        """The same of its intents."""
        self.scratch: dict[str, Any] = {}
        """Where answers keep what they worked out of the state; nobody else reads it."""
        self._deadlines = Deadlines(self.quarantined, self.hidden)
        self._arrange()

    def step(self, given: Fact | Rows, recorded: int) -> Step:
        """Take an input live. The step is in the states when this returns; its intents are not carried out."""
        recorded = max(recorded, self.recorded)
        broken = self._come_and_go(given)
        fired = self._deadlines.take(recorded)
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
        self._come_and_go(step.input)
        fired = self._deadlines.take(step.recorded)
        broken = [e.fact for e in step.derived if isinstance(e.fact, FoldQuarantined) and self._is_present(e.fact)]
        self.quarantined |= {fact.fold: fact for fact in broken}
        entry = Entry(step.first, step.recorded, None, step.input)
        while True:
            try:
                self._open(entry, fired)
                for derived in step.derived:
                    self._evolve(derived)
                self._intended(step.intents)
                sealed = self._sealed()
            except FoldRaised as raised:
                self._undo(raised.fact, broken)
                continue
            self._commit(step.last, step.recorded, fired, sealed)
            return

    def load(self, state: "Loaded") -> None:
        """Take over the state of another heart of these folds; this one must be new. Timers follow from it."""
        for name in [name for name in self.states if name not in state.tables]:
            del self.states[name]
        self._arrange()
        for name, tables in state.tables.items():
            for table, rows in tables.items():
                for key, value in rows.items():
                    self.states[name].put(table, key, value)
        self.quarantined.update((fact.fold, fact) for fact in state.quarantined)
        self._commit(state.position, state.recorded, [], self._sealed())
        self.steps, self.stamp = state.step, state.stamp

    @property
    def rebuilding(self) -> list[str]:
        """The folds that are not there, in order."""
        return [name for name in self.folds if name not in self.states]

    @property
    def lacking(self) -> list[str]:
        """The folds that it can get from another heart only."""
        return [name for name in self.folds if name not in self._all]

    def adopt(self, other: "Heart") -> list[str]:
        """Take over what this heart lacks from one at the same position, which is then of no use; the folds' names.

        They are seen from the `FoldsRebuilt` on that names them; nothing but `PlaneResumed` may come before it.
        """
        if (other.position, other.steps) != (self.position, self.steps):
            raise StepMismatch(self.position + 1, other.position + 1)
        names = self.lacking
        for name in names:
            state = other.hidden[name] if name in other.hidden else other.states[name]
            self.hidden[name] = state
            fold = self.folds[name]
            places = ((table, key, value) for table in fold.timed for key, value in state.items(table))
            self._deadlines.schedule(
                (due, name, table, key) for table, key, value in places if (due := fold.due(table, value))
            )
        self.quarantined.update((name, fact) for name, fact in other.quarantined.items() if name in names)
        self._arrange()
        return names

    def follow_changes(self) -> None:
        """From here on it is remembered which places change, for snapshots (`KeyedState.changes`)."""
        for state in self._all.values():
            state.follow_changes()

    def copy(self) -> "Heart":
        """A heart of its own with the same state, between steps: what one takes in, the other does not."""
        twin = Heart(list(self.folds.values()))
        twin.states = States((name, state.copy()) for name, state in self.states.items())
        twin.hidden.update((name, state.copy()) for name, state in self.hidden.items())
        twin.position, twin.recorded, twin.steps, twin.stamp = self.position, self.recorded, self.steps, self.stamp
        twin.quarantined.update(self.quarantined)
        twin._deadlines = self._deadlines.copy(twin.quarantined, twin.hidden)
        twin._arrange()
        return twin

    def digest(self) -> bytes:
        """Of all states that are there, 16 bytes; equal states have equal digests."""
        return combined(self.states)

    def digest_of(self, fold: str) -> int:
        """Of one fold's state, seen or hidden; 0 where it is lacking."""
        return self._all[fold].digest if fold in self._all else 0

    def next_deadline(self) -> int | None:
        """When the next timer is due, or None. A `Tick` then makes it fire."""
        return self._deadlines.next()

    # ----------------------------------------------------------------------------------------- who is there

    def _come_and_go(self, given: Fact | Rows) -> list[FoldQuarantined]:
        """Folds begin to be folded again, or are there again; why those of the latter stand still that do."""
        if isinstance(given, PlaneStarted):
            self.stamp = given.stamp
            gone = [name for name in self.folds if name in given.rebuilding]
            back = [name for name in self.hidden if name not in gone]
        elif isinstance(given, FoldsRebuilt):
            gone, back = [], [name for name in self.hidden if name in given.folds]
        else:
            return []
        for name in back:
            self.states[name] = self.hidden.pop(name)
        for name in gone:
            if name in self.states:
                self.hidden[name] = self.states.pop(name)
        self._deadlines.bring_back()
        self._arrange()
        return [self.quarantined[name] for name in back if name in self.quarantined]

    def _arrange(self) -> None:
        """Each fold that is there, or hidden, gets its own state and those that it reads."""
        there = self.hidden | self.states
        self._all = {name: there[name] for name in self.folds if name in there}
        self._worlds = {
            name: {read: self._all[read] for read in (name, *self.folds[name].reads) if read in self._all}
            for name in self._all
        }
        self._following: dict[type, list[Fold]] = {}

    # ----------------------------------------------------------------------------------------- one attempt

    def _attempt(self, given: Fact | Rows, recorded: int, fired: list[Due], broken: list[FoldQuarantined]) -> Step:
        first = self.position + 1
        last = first + (max(1, len(given)) if isinstance(given, Rows) else 1) - 1
        entry = Entry(first, recorded, None, given)
        derived: list[Entry] = []
        intents: list[tuple[int, int, Intent]] = []
        told: dict[int, int] = {}
        self.reasons, self.wanting = [], []
        waiting: deque[tuple[str, int, Fact | Intent]] = deque(("heart", first, fact) for fact in broken)
        by_timers = self._open(entry, fired)
        waiting.extend(self._react(entry))
        waiting.extend(by_timers)
        while waiting:
            fold, cause, said = waiting.popleft()
            try:
                encode_said(said)
            except Exception as error:
                raise FoldRaised(self.folds[fold], f"{type(said).__name__}: {type(error).__name__}: {error}") from error
            if isinstance(said, Intent):
                index = told.get(cause, 0)
                told[cause] = index + 1
                intents.append((cause, index, said.named(stamped(f"{cause}:{index}", self.stamp))))
                self.wanting.append(fold)
                continue
            if len(derived) >= CASCADE_FACTS_MAX:
                raise FoldRaised(self.folds[fold], f"its facts have no end: over {CASCADE_FACTS_MAX} in one step")
            last += 1
            follower = Entry(last, recorded, cause, said)
            derived.append(follower)
            self.reasons.append(fold)
            self._evolve(follower)
            waiting.extendleft(reversed(self._react(follower)))
        self._intended(intents)
        return Step(self.steps + 1, first, last, recorded, given, derived, intents, b"")

    def _open(self, entry: Entry, fired: list[Due]) -> list[tuple[str, int, Fact | Intent]]:
        pause = isinstance(entry.fact, PAUSES)
        if pause:
            self._evolve(entry)
        said: list[tuple[str, int, Fact | Intent]] = []
        for due, name, table, key in fired:
            fold = self.folds[name]
            value = self._all[name].get(table, key, ABSENT)
            if name in self.quarantined or value is ABSENT or fold.due(table, value) != due:
                continue
            try:
                for each in fold.fire(self._all[name], table, key, entry, self._worlds[name]):
                    said.append((name, entry.position, each))
            except Exception as error:
                raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error
        if not pause:
            self._evolve(entry)
        return said

    def _evolve(self, entry: Entry) -> None:
        for part in self._parts(entry):
            for fold in self._followers(type(part.fact)):
                if fold.name not in self.quarantined:
                    try:
                        fold.evolve(self._all[fold.name], part, self._worlds[fold.name])
                    except Exception as error:
                        raise FoldRaised(fold, f"{type(error).__name__}: {error}", part) from error

    def _parts(self, entry: Entry) -> list[Entry]:
        """A batch in parts, where a fold wants it cut; the others come to the same state however it is split."""
        rows, cuts = entry.fact, list[int]()
        if isinstance(rows, Rows):
            for fold in self._followers(Rows):
                if fold.name not in self.quarantined:
                    try:
                        cuts += fold.cuts(rows, self._worlds[fold.name])
                    except Exception as error:
                        raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error
        return entry.cut(cuts)

    def _react(self, entry: Entry) -> list[tuple[str, int, Fact | Intent]]:
        said: list[tuple[str, int, Fact | Intent]] = []
        for fold in self._followers(type(entry.fact)):
            name = fold.name
            if name not in self.quarantined and name in self.states:
                try:
                    said += [(name, entry.position, x) for x in fold.react(self._all[name], entry, self._worlds[name])]
                except Exception as error:
                    raise FoldRaised(fold, f"{type(error).__name__}: {error}", entry) from error
        return said

    def _intended(self, intents: Sequence[tuple[int, int, Intent]]) -> None:
        """What the step wants done, to the folds that follow intents."""
        for cause, index, intent in intents:
            for fold in self._followers(type(intent)):
                if fold.name not in self.quarantined:
                    try:
                        fold.intended(self._all[fold.name], cause, index, intent)
                    except Exception as error:
                        raise FoldRaised(fold, f"{type(error).__name__}: {error}") from error

    def _followers(self, kind: type) -> list[Fold]:
        found = self._following.get(kind)
        if found is None:
            found = self._following[kind] = [self.folds[name] for name in self._all if kind in self.folds[name].follows]
        return found

    # ----------------------------------------------------------------------------------------- around it

    def _undo(self, fact: FoldQuarantined, broken: list[FoldQuarantined]) -> None:
        for state in self._all.values():
            state.undo()
        self.quarantined[fact.fold] = fact
        if fact.fold in self.states:
            # Of one that is hidden it is said when it is there.
            broken.append(fact)

    def _sealed(self) -> list[Sealed]:
        """What the step makes of each state. What has no canonical form, or no deadline, is its fold's fault."""
        sealed: list[Sealed] = []
        for name, state in self._all.items():
            fold = self.folds[name]
            try:
                sealed.append((state, state.hashes(), self._dues(fold, state) if fold.timed else []))
            except Exception as error:
                raise FoldRaised(fold, f"{type(error).__name__}: {error}") from error
        return sealed

    def _commit(self, last: int, recorded: int, fired: list[Due], sealed: list[Sealed]) -> None:
        for state, hashes, dues in sealed:
            self._deadlines.schedule(dues)
            state.settle(hashes)
        self._deadlines.settle(fired)
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
                if due != self._deadlines.of(fold.name, table, key):
                    dues.append((due, fold.name, table, key))
        return dues

    def _is_present(self, fact: FoldQuarantined) -> bool:
        fold = self.folds.get(fact.fold)
        return fold is not None and fold.version == fact.version


def changed(folds: Sequence[Fold], versions: Mapping[str, int]) -> list[str]:
    """The folds whose state is another one than these versions made: they changed, or they read one that did."""
    found: list[str] = []
    for fold in folds:
        if versions.get(fold.name) != fold.version or any(read in found for read in fold.reads):
            found.append(fold.name)
    return found
