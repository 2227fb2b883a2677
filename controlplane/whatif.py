"""What if: the journal's inputs again under other rules, without effects, and what would have followed instead.

Two hearts go through the journal side by side. One evolves what is recorded; the other is given the same inputs at the
same instants and says itself what follows, under the other settings (and folds, if others are given). Nothing that it
wants done is carried out. What the two say is compared, fact by fact.

- Each input keeps its journaled position in both, so that ids made of positions (`position:index`) still name the same
  things, and a fact that comes or goes moves nothing behind it. What follows takes the positions after its input.
- Timers fire at the first recorded input past their deadline, which is never more than a second away: the ticks of the
  journal are inputs like others, and none are invented.
- A setting that was journaled meanwhile does not undo one that is being asked about.
- Stretches that other versions of the folds made are taken as recorded, and counted.

| a fact is | when |
|---|---|
| gone | the journal has it, and it would not have been said |
| new | it would have been said, and the journal has it not |
| moved | it would have been said at another step: the same by what it is about (`ABOUT`), other fields may differ |
| changed | it would have been said at the same step, with other fields |

With nothing changed nothing differs: that is verify.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from controlplane import facts as f
from controlplane.decisions import RebalanceDecided, RebalanceEnded, RestartEnded, RestartStepped
from controlplane.differences import field_changes
from controlplane.facts import Fact, Rows, SettingSet, encode_fact, kind_of
from controlplane.fold import Entry, Fold, Heart, Step
from controlplane.horizon import Place, Watch
from controlplane.limits import WHATIF_HELD_MAX, WHATIF_TEXT_CHARS_MAX
from controlplane.timeline import stretches

GONE, NEW, MOVED, CHANGED, SAME = "gone", "new", "moved", "changed", "same"
ABOUT: Mapping[type, tuple[str, ...]] = {
    f.SagaStuck: ("saga", "steps", "severity"),
    f.AgentSuspected: ("agent", "incarnation"),
    f.AgentFailed: ("agent", "incarnation"),
    f.LeadershipProposed: ("partition", "epoch"),
    f.OfferClosed: ("partition", "epoch"),
    f.LeaderElected: ("partition", "epoch"),
    f.PartitionWaits: ("partition",),
    f.RestartScheduled: ("id", "attempt"),
    f.BrokerSilent: ("id",),
    f.BrokerHeard: ("id",),
    f.BrokerLost: ("id",),
    f.Carried: ("cause", "index"),
    f.FoldQuarantined: ("fold",),
    f.EventRouted: ("position",),
    f.RuleFailed: ("rule",),
    f.TaskDispatched: ("task", "attempt"),
    f.TaskReturned: ("task", "agent"),
    f.TaskReady: ("task",),
    f.TaskEscalated: ("task",),
    f.TaskDropped: ("task",),
    f.BallotDecided: ("ballot",),
    f.LeaseGranted: ("lease",),
    f.LeaseQueued: ("lease",),
    f.LeaseRefused: ("lease", "why"),
    f.LeaseEnded: ("lease",),
    RebalanceDecided: (),
    RebalanceEnded: (),
    RestartStepped: ("id",),
    RestartEnded: (),
}
"""By which fields a derived fact is the same one at another step; those of other kinds by all of them."""


class Span(msgspec.Struct, frozen=True):
    """From the first step that reaches `position` or `instant`, up to the last one not beyond the others; ns."""

    position: int = 0
    instant: int = 0
    until_position: int | None = None
    until_instant: int | None = None

    def begins(self, step: Step) -> bool:
        """Whether the other rules hold for this step."""
        return step.last >= self.position and step.recorded >= self.instant

    def is_over(self, step: Step) -> bool:
        """Whether this step is beyond it."""
        position, instant = self.until_position, self.until_instant
        return (position is not None and step.last > position) or (instant is not None and step.recorded > instant)


ALL = Span()


class Difference(msgspec.Struct):
    """One fact that differs; `was` as journaled, `now` as it would be. `beyond`: after the horizon."""

    change: str
    was: Entry | None
    now: Entry | None
    beyond: bool = False

    @property
    def entry(self) -> Entry:
        """The journaled one, else the other."""
        found = self.was or self.now
        if found is None:
            raise ValueError("a difference of nothing")
        return found

    @property
    def place(self) -> tuple[int, int]:
        """Where it belongs in the order of the journal."""
        return self.entry.recorded, self.entry.position


class Outcome(msgspec.Struct):
    """What a what-if found. `first` 0: the span has no step. `tally`: (kind, change) -> facts.

    `examples`: the first of each kind and change, in the journal's order.
    """

    was: Heart
    now: Heart
    first: int = 0
    last: int = 0
    since: int = 0
    until: int = 0
    entries: int = 0
    events: int = 0
    older: int = 0
    unmatched: int = 0
    beyond: int = 0
    tally: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    examples: list[Difference] = []
    horizon: Place | None = None
    unasked: Place | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs: no fact, no intent, no state."""
        differs = any(change != SAME for _, change in self.tally)
        return not differs and self.horizon is None and self.was.digest() == self.now.digest()


def what_if(
    steps: Iterable[Step],
    folds: Callable[[], Sequence[Fold]],
    settings: Mapping[str, str],
    span: Span = ALL,
    limit: int = 5,
    told: Callable[[int], None] | None = None,
    others: Callable[[], Sequence[Fold]] | None = None,
    begin: Callable[[], Heart] | None = None,
    is_present: bool = True,
) -> Outcome:
    """Run the steps under other `settings` (journaled names and values) within `span`.

    `folds` makes the present ones; `others` those of the changed side, if not the same. `limit` bounds the examples of
    each kind and change. `told` hears how far it is, as a position. `begin` makes the state that the steps go on from,
    where that is not nothing; `is_present` says whether the present folds made the first of them.
    """
    was, now = (begin(), begin()) if begin is not None else (Heart(folds()), Heart((others or folds)()))
    run = _Run(Outcome(was, now), settings, limit)
    versions = {name: fold.version for name, fold in run.outcome.was.folds.items()}
    for step, is_own in stretches(steps, versions, is_present):
        if span.is_over(step):
            break
        if run.outcome.first or span.begins(step):
            run.take(step, is_own)
        else:
            run.pass_over(step)
        if told is not None:
            told(step.last)
    return run.end()


class _Run:
    """One what-if under way."""

    def __init__(self, outcome: Outcome, settings: Mapping[str, str], limit: int) -> None:
        self.outcome = outcome
        self._settings = settings
        self._watch = Watch()
        self._held = _Held(outcome, limit)

    def pass_over(self, step: Step) -> None:
        """A step before the span, the same in both."""
        self.outcome.was.replay(step)
        self.outcome.now.replay(step)

    def take(self, step: Step, is_present: bool) -> None:
        """A step of the span."""
        out = self.outcome
        if not out.first:
            self._begin(step)
        out.last, out.until = step.last, step.recorded
        out.entries += step.last - step.first + 1
        out.events += len(step.input) if isinstance(step.input, Rows) else 0
        out.was.replay(step)
        out.now.position = step.first - 1
        if not is_present:
            out.older += step.last - step.first + 1
            out.now.replay(msgspec.structs.replace(step, input=self._given(step.input)))
            return
        again = out.now.step(self._given(step.input), step.recorded)
        self._watch.reply(step)
        self._watch.asked(step, step.intents, again.intents)
        out.horizon = self._watch.horizon
        self._held.compare(step.derived, again.derived)

    def end(self) -> Outcome:
        """Everything that is still open is gone or new."""
        self._held.close()
        self.outcome.unasked = self._watch.unasked
        return self.outcome

    def _begin(self, step: Step) -> None:
        out = self.outcome
        out.first, out.since = step.first, step.recorded
        for name, value in self._settings.items():
            # A step that is in no journal: its position is given to the next one again.
            out.now.step(SettingSet(name, value), out.now.recorded or step.recorded)

    def _given(self, given: Fact | Rows) -> Fact | Rows:
        if isinstance(given, SettingSet) and given.name in self._settings:
            return SettingSet(given.name, self._settings[given.name], given.by)
        return given


class _Held:
    """Facts that only one side has said so far: what the other says of the same later on has moved."""

    def __init__(self, outcome: Outcome, limit: int) -> None:
        self._out = outcome
        self._limit = limit
        self._open: dict[tuple[bool, tuple[Any, ...]], deque[Difference]] = {}
        self._count = 0

    def compare(self, was: list[Entry], now: list[Entry]) -> None:
        """What followed from one input, on both sides."""
        if len(was) == len(now) and all(old.fact == new.fact for old, new in zip(was, now, strict=True)):
            for entry in was:
                self._out.tally[_kind(entry), SAME] += 1
            return
        gone, new = self._pair(was, now, lambda entry: (_kind(entry), _bytes(entry)), SAME)
        gone, new = self._pair(gone, new, lambda entry: about(entry.fact), CHANGED)
        for is_new, entries in ((False, gone), (True, new)):
            for entry in entries:
                self._settle(is_new, entry)

    def close(self) -> None:
        """What was never matched is gone or new."""
        left = [one for waiting in self._open.values() for one in waiting]
        for one in sorted(left, key=lambda one: one.place):
            self._count_in(one)
        self._open.clear()
        self._out.examples.sort(key=lambda one: one.place)

    def _pair(
        self, was: list[Entry], now: list[Entry], key: Callable[[Entry], tuple[Any, ...]], change: str
    ) -> tuple[list[Entry], list[Entry]]:
        waiting: dict[tuple[Any, ...], deque[Entry]] = {}
        for entry in now:
            waiting.setdefault(key(entry), deque()).append(entry)
        gone = []
        for entry in was:
            found = waiting.get(key(entry))
            if found:
                self._count_in(Difference(change, entry, found.popleft()))
            else:
                gone.append(entry)
        return gone, sorted((entry for left in waiting.values() for entry in left), key=lambda entry: entry.position)

    def _settle(self, is_new: bool, entry: Entry) -> None:
        key = about(entry.fact)
        others = self._open.get((not is_new, key))
        if others:
            other = others.popleft()
            if not others:
                del self._open[not is_new, key]
            self._count -= 1
            was, now = (other.was, entry) if is_new else (entry, other.now)
            self._count_in(Difference(MOVED, was, now))
            return
        one = Difference(NEW, None, entry) if is_new else Difference(GONE, entry, None)
        if self._count >= WHATIF_HELD_MAX:
            self._out.unmatched += 1
            self._count_in(one)
            return
        self._count += 1
        self._open.setdefault((is_new, key), deque()).append(one)

    def _count_in(self, one: Difference) -> None:
        out = self._out
        kind = _kind(one.entry)
        out.tally[kind, one.change] += 1
        if one.change == SAME:
            return
        if out.horizon is not None and _latest(one) > out.horizon.position:
            one.beyond = True
            out.beyond += 1
        if out.tally[kind, one.change] <= self._limit:
            out.examples.append(one)


def about(fact: Fact | Rows) -> tuple[Any, ...]:
    """By what a fact is the same one wherever it stands."""
    names = ABOUT.get(type(fact))
    if names is None:
        return (type(fact).__name__, encode_fact(fact) if isinstance(fact, Fact) else b"")
    return (type(fact).__name__, *(getattr(fact, name) for name in names))


def text_of(fact: Fact | Rows) -> str:
    """A fact's fields in one line, what is empty left out."""
    parts = [f"{name} {value}" for name in fact.__struct_fields__ if (value := getattr(fact, name)) not in ("", [], 0)]
    text = ", ".join(parts)
    return text if len(text) <= WHATIF_TEXT_CHARS_MAX else text[: WHATIF_TEXT_CHARS_MAX - 1] + "…"


def fields_of(one: Difference) -> list[tuple[str, str, str]]:
    """Field, old and new text of what differs inside a fact that both sides have."""
    if one.was is None or one.now is None:
        return []
    return list(field_changes(one.was.fact, one.now.fact))


def _latest(one: Difference) -> int:
    return max(entry.position for entry in (one.was, one.now) if entry is not None)


def _kind(entry: Entry) -> str:
    return kind_of(entry.fact) if isinstance(entry.fact, Fact) else type(entry.fact).__name__


def _bytes(entry: Entry) -> bytes:
    return encode_fact(entry.fact) if isinstance(entry.fact, Fact) else b""
