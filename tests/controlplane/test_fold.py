"""The heart: order, timers, quarantine, the bound of a cascade; and that planted impurities do not go unseen."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from controlplane import facts
from controlplane.errors import StepMismatch
from controlplane.facts import (
    BrokerAdded,
    BrokerLost,
    Fact,
    FoldQuarantined,
    Intent,
    PlaneResumed,
    PublishEvent,
    Rows,
    StartBroker,
    Tick,
    encode_fact,
)
from controlplane.fold import Entry, Fold, Heart, KeyedState, World
from controlplane.limits import CASCADE_FACTS_MAX
from controlplane.state import Key
from controlplane.timeline import verify
from tests.controlplane.logs import NOW, add, empty_rows


class Echo(Fold):
    """Answers a lost broker with an added one of a longer name, until three letters long."""

    name = "echo"
    follows = (BrokerLost, BrokerAdded)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        state.put("seen", entry.position, type(entry.fact).__name__)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        fact = entry.fact
        if isinstance(fact, BrokerLost):
            return [BrokerAdded(f"{fact.id}1"), StartBroker(fact.id, 1), BrokerAdded(f"{fact.id}2")]
        if isinstance(fact, BrokerAdded) and len(fact.id) < 3:
            return [BrokerAdded(fact.id + "x"), StartBroker(fact.id, 2)]
        return []


class Clocks(Fold):
    """A deadline for each broker added, at the instant its name says; firing tells and clears."""

    name = "clocks"
    follows = (BrokerAdded, facts.PlaneResumed)
    timed = ("clock",)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        if isinstance(entry.fact, BrokerAdded) and entry.fact.id.isdigit():
            state.put("clock", f"{entry.fact.id}@{entry.position}", NOW + int(entry.fact.id))
        elif isinstance(entry.fact, facts.PlaneResumed):
            for key, due in list(state.items("clock")):
                state.put("clock", key, due + entry.fact.gap_ns)

    def due(self, table: str, value: Any) -> int:
        return int(value)

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact]:
        state.delete("clock", key)
        return [BrokerLost(str(key), "due")]


class Raises(Fold):
    """Counts ticks, and breaks at the third; in `react`, so that its own evolve has to be undone."""

    name = "raises"
    version = 7
    follows = (Tick,)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        state.put("count", "ticks", state.get("count", "ticks", 0) + 1)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact]:
        if state.get("count", "ticks") == 3:
            raise ValueError("three")
        return ()


class Reads(Fold):
    """Reads what `Raises` counts."""

    name = "reads"
    follows = (Tick, FoldQuarantined)
    reads = ("raises",)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        state.put("seen", entry.position, world["raises"].get("count", "ticks", 0))


def told(step: Any) -> list[str]:
    return [f"{entry.position}<{entry.cause} {entry.fact.id}" for entry in step.derived]


def test_what_follows_from_an_entry_is_settled_before_anything_else() -> None:
    heart = Heart([Echo()])
    step = heart.step(BrokerLost("b", "x"), NOW)
    assert told(step) == ["2<1 b1", "3<2 b1x", "4<1 b2", "5<4 b2x"]
    assert [(position, index, intent.id) for position, index, intent in step.intents] == [
        (2, 0, "b1"),
        (1, 0, "b"),
        (4, 0, "b2"),
    ]
    assert (step.first, step.last, heart.position, step.number) == (1, 5, 5, 1)


def test_rows_take_a_position_each_and_recorded_never_goes_back() -> None:
    heart = Heart([Echo()])
    rows = empty_rows(0, 0)
    for _ in range(4):
        add(rows, "a")
    assert heart.step(rows, NOW).last == 4
    step = heart.step(BrokerAdded("bcd"), NOW - 5)
    assert (step.first, step.recorded) == (5, NOW)


def test_deadlines_fire_in_order_at_an_input_and_only_once() -> None:
    heart = Heart([Clocks()])
    for name in ("30", "10", "20", "10"):
        heart.step(BrokerAdded(name), NOW)
    assert heart.next_deadline() == NOW + 10
    assert told(heart.step(Tick(), NOW + 9)) == []
    step = heart.step(Tick(), NOW + 20)
    assert [entry.fact.id for entry in step.derived] == ["10@2", "10@4", "20@3"]
    assert heart.next_deadline() == NOW + 30
    assert told(heart.step(Tick(), NOW + 25)) == []
    assert len(heart.step(Tick(), NOW + 99).derived) == 1
    assert heart.next_deadline() is None


def test_a_pause_is_evolved_before_deadlines_fire() -> None:
    heart = Heart([Clocks()])
    heart.step(BrokerAdded("10"), NOW)
    assert heart.step(facts.PlaneResumed(100), NOW + 100).derived == []
    assert heart.next_deadline() == NOW + 110


def test_a_fold_that_raises_is_undone_and_stands_still_and_the_rest_goes_on() -> None:
    live = Heart([Raises(), Reads()])
    steps = [live.step(Tick(), NOW + n) for n in range(5)]
    assert [entry.fact for entry in steps[2].derived] == [
        FoldQuarantined("raises", 7, "position 3, Tick: ValueError: three")
    ]
    assert live.states["raises"].get("count", "ticks") == 2
    assert [value for _, value in sorted(live.states["reads"].items("seen"))] == [1, 2, 2, 2, 2, 2]
    replayed = Heart([Raises(), Reads()])
    for step in steps:
        replayed.replay(step)
        assert replayed.digest() == step.digest
    assert verify(steps, [Raises(), Reads()]).same


class Leaves(Fold):
    """Leaves at the third tick what cannot be encoded, or has no deadline that could be read."""

    name = "leaves"
    follows = (Tick,)
    timed = ("count",)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        ticks = state.get("count", "ticks", 0) + 1
        state.put("count", "ticks", ticks)
        if ticks == 3:
            state.put(*self.bad)

    bad: tuple[str, str, Any] = ("odd", "ticks", object())

    def due(self, table: str, value: Any) -> int:
        return 0 if value < 100 else value


@pytest.mark.parametrize("bad", [("odd", "x", object()), ("odd", "x", {1: 1, "a": 1}), ("count", "x", "no number")])
def test_a_fold_that_leaves_what_has_no_digest_or_deadline_is_quarantined_too(bad: tuple[str, str, Any]) -> None:
    made = type("Made", (Leaves,), {"bad": bad})
    live = Heart([made(), Clocks()])
    steps = [live.step(Tick(), NOW + n) for n in range(5)]
    fact = steps[2].derived[0].fact
    assert isinstance(fact, FoldQuarantined) and (fact.fold, "Error: " in fact.error) == ("leaves", True)
    assert live.states["leaves"].get("count", "ticks") == 2
    assert all(state.digest == state.recomputed_digest() for state in live.states.values())
    replayed = Heart([made(), Clocks()])
    for step in steps:
        replayed.replay(step)
        assert replayed.digest() == step.digest
    assert verify(steps, [made(), Clocks()]).same


def test_another_version_of_a_quarantined_fold_is_not_held_back() -> None:
    live = Heart([Raises(), Reads()])
    steps = [live.step(Tick(), NOW + n) for n in range(5)]
    mended = type("Mended", (Raises,), {"version": 8, "react": lambda *_: ()})()
    replayed = Heart([mended, Reads()])
    for step in steps:
        replayed.replay(step)
    assert replayed.states["raises"].get("count", "ticks") == 5
    assert not replayed.quarantined


def test_a_cascade_without_end_is_cut_and_blamed() -> None:
    class Endless(Fold):
        name = "endless"
        follows = (Tick,)

        def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact]:
            return [Tick()]

    heart = Heart([Endless()])
    step = heart.step(Tick(), NOW)
    assert [type(entry.fact) for entry in step.derived] == [FoldQuarantined]
    assert f"{CASCADE_FACTS_MAX}" in step.derived[0].fact.error
    assert heart.step(Tick(), NOW).derived == []


@pytest.mark.parametrize(
    "said",
    [PlaneResumed(1 << 64), BrokerLost("a", "\ud800"), PublishEvent("1:0", "\ud800")],  # type: ignore[arg-type]
    ids=["figure", "text", "intent"],
)
def test_what_cannot_be_journaled_is_blamed_on_who_says_it(said: Fact | Intent) -> None:
    class Unwritable(Fold):
        name = "unwritable"
        follows = (Tick,)

        def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
            return [said]

    heart = Heart([Unwritable(), Echo()])
    step = heart.step(Tick(), NOW)
    assert [type(entry.fact) for entry in step.derived] == [FoldQuarantined] and step.intents == []
    assert heart.quarantined["unwritable"].error.startswith(type(said).__name__)
    assert all(encode_fact(entry.fact) for entry in step.derived)


def test_a_missing_step_is_not_replayed_over() -> None:
    live = Heart([Echo()])
    steps = [live.step(BrokerLost(id, ""), NOW) for id in ("a", "b", "c")]
    heart = Heart([Echo()])
    heart.replay(steps[0])
    with pytest.raises(StepMismatch) as caught:
        heart.replay(steps[2])
    assert (caught.value.expected, caught.value.found) == (steps[1].first, steps[2].first)


# ------------------------------------------------------------------------------------------- planted impurities


class Impure(Fold):
    """A base for folds that do what they must not."""

    name = "impure"
    follows = (Tick, Rows)
    clock = itertools.count()


class ReadsAClock(Impure):
    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact]:
        return [BrokerLost(str(next(self.clock)), "")] if isinstance(entry.fact, Tick) else []


class RemembersOutsideItsState(Impure):
    def __init__(self) -> None:
        self.seen = next(self.clock)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        self.seen += 1
        state.put("seen", "n", self.seen)


class GoesThroughASet(Impure):
    salt = 0

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact]:
        # What another hash seed does: the order of the same set differs from run to run.
        names = {f"b{n}" for n in range(20)}
        type(self).salt += 1
        return [BrokerLost(name, "") for name in sorted(names, key=lambda name: hash((name, self.salt)))]


@pytest.mark.parametrize("impure", [ReadsAClock, RemembersOutsideItsState, GoesThroughASet])
def test_verify_finds_an_impure_fold_and_names_position_and_fold(impure: type[Impure]) -> None:
    live = Heart([impure()])
    steps = [live.step(Tick(), NOW + n) for n in range(3)]
    verdict = verify(steps, [impure()])
    assert not verdict.same
    assert verdict.divergence.startswith("position ")
    assert "impure" in verdict.divergence or "digest" in verdict.divergence


def test_a_float_sum_shows_when_a_batch_is_cut_elsewhere() -> None:
    class SumsFloats(Impure):
        def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
            if isinstance(entry.fact, Rows):
                state.put("sum", "s", state.get("sum", "s", 0.0) + sum(0.1 for _ in entry.fact.types))

    rows = empty_rows(0, 0)
    for _ in range(10):
        add(rows, "a")
    whole, pieces = Heart([SumsFloats()]), Heart([SumsFloats()])
    whole.step(rows, NOW)
    for start, stop in ((0, 3), (3, 10)):
        pieces.step(rows.part(start, stop), NOW)
    assert whole.digest() != pieces.digest()


def test_a_value_changed_in_place_shows_in_the_digest() -> None:
    class ChangesInPlace(Impure):
        def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
            if state.get("list", "l") is None:
                state.put("list", "l", [])
            state.get("list", "l").append(entry.position)

    heart = Heart([ChangesInPlace()])
    for n in range(2):
        heart.step(Tick(), NOW + n)
    state = heart.states["impure"]
    assert state.recomputed_digest() != state.digest
