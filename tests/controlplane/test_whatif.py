"""What-if: nothing changed is nothing; what changed is exactly what the other rules would have said, and how far."""

from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane import facts, whatif
from controlplane.facts import Carried, Fact, FoldVersions, Intent, OfferEpoch, RedriveDecided, SagaStuck, SettingSet
from controlplane.fleet import Fleet
from controlplane.fold import Entry, Fold, Heart, KeyedState, World
from controlplane.plane import folds, versions
from controlplane.whatif import Span, fields_of, what_if
from tests.controlplane.made import Story, actions, bury

STUCK = "sagas.stuck_after_ms"
few = settings(max_examples=40, deadline=None)


def waiting_story() -> Story:
    """Ten sagas begin 0.1 s apart under a threshold of 30 s; half of them go on after a minute."""
    story = Story().begin(partitions=1)
    story.tell(SettingSet(STUCK, "30000"))
    for n in range(10):
        story.say("step.a", f"s-{n}", after=0.1)
    story.wait(60)
    for n in range(0, 10, 2):
        story.say("step.b", f"s-{n}")
    story.wait(60)
    return story


def stuck(story: Story) -> list[SagaStuck]:
    return [e.fact for step in story.steps for e in step.derived if isinstance(e.fact, SagaStuck)]


@few
@given(actions)
def test_nothing_changed_is_nothing(things: list[tuple[int, int]]) -> None:
    story = Story().begin(partitions=3)
    for code, argument in things:
        story.act(code, argument)
    found = what_if(story.steps, folds, {})
    assert found.same
    assert not found.examples
    assert (found.horizon, found.unasked, found.beyond) == (None, None, 0)
    assert found.now.digest() == found.was.digest() == story.heart.digest()
    assert (found.first, found.last, found.entries) == (1, story.heart.position, story.heart.position)
    assert sum(found.tally.values()) == sum(len(step.derived) for step in story.steps)


@few
@given(actions, st.integers(1, 60_000))
def test_the_facts_are_those_of_a_fleet_that_lived_so(things: list[tuple[int, int]], patience: int) -> None:
    story = Story().begin(partitions=3)
    for code, argument in things:
        story.act(code, argument)
    lived = Heart(folds())
    lived.step(SettingSet(STUCK, str(patience)), story.steps[0].recorded)
    now: Counter[str] = Counter()
    for step in story.steps:
        chosen = isinstance(step.input, SettingSet) and step.input.name == STUCK
        lived.position = step.first - 1
        again = lived.step(SettingSet(STUCK, str(patience)) if chosen else step.input, step.recorded)
        now.update(type(entry.fact).__name__ for entry in again.derived)
    was = Counter(type(entry.fact).__name__ for step in story.steps for entry in step.derived)
    found = what_if(story.steps, folds, {STUCK: str(patience)}, limit=10_000)
    assert found.now.digest() == lived.digest()
    for kind in was | now:
        tally = {change: found.tally[kind, change] for change in ("gone", "new", "moved", "changed", "same")}
        both = tally["moved"] + tally["changed"] + tally["same"]
        assert both + tally["gone"] == was[kind]
        assert both + tally["new"] == now[kind]
    assert len(found.examples) == sum(n for (_, change), n in found.tally.items() if change != "same")
    assert found.horizon is None, "no saga makes the plane want anything else"


def test_a_longer_patience_moves_some_facts_and_takes_others_away() -> None:
    story = waiting_story()
    assert Counter(fact.severity for fact in stuck(story)) == {"warn": 15, "bad": 5}
    found = what_if(story.steps, folds, {STUCK: "70000"}, limit=100)
    assert {change: n for (kind, change), n in found.tally.items() if kind == "SagaStuck"} == {
        "gone": 10 + 5, "moved": 5,
    }  # fmt: skip
    moved = [one for one in found.examples if one.change == "moved"]
    for one in moved:
        assert isinstance(one.was, Entry) and isinstance(one.now, Entry)
        assert isinstance(one.was.fact, SagaStuck) and one.was.fact.severity == "warn"
        assert 39 <= (one.now.recorded - one.was.recorded) / 1_000_000_000 <= 41
        assert fields_of(one) == [("threshold_ns", "30000000000", "70000000000")]
    assert [one.place for one in found.examples] == sorted(one.place for one in found.examples)
    assert (found.was.states["sagas"].get("count", "bad"), found.now.states["sagas"].get("count", "bad")) == (5, None)
    assert not found.same


def test_a_shorter_patience_says_new_ones() -> None:
    story = waiting_story()
    found = what_if(story.steps, folds, {STUCK: "20000"}, limit=100)
    kinds = {change: n for (kind, change), n in found.tally.items() if kind == "SagaStuck"}
    assert kinds["moved"] == 20
    assert kinds["new"] == 5, "those that went on were bad after a minute"
    assert "gone" not in kinds


def test_a_setting_journaled_meanwhile_does_not_undo_it() -> None:
    story = waiting_story()
    story.tell(SettingSet(STUCK, "1000"))
    story.wait(5)
    assert len(stuck(story)) > 20
    found = what_if(story.steps, folds, {STUCK: "900000"})
    assert found.tally["SagaStuck", "gone"] == len(stuck(story))
    assert found.now.states["sagas"].get("setting", STUCK) == "900000"


def test_a_span_leaves_what_was_before_it_alone() -> None:
    story = waiting_story()
    middle = next(step for step in story.steps if step.derived and isinstance(step.derived[0].fact, SagaStuck))
    since = what_if(story.steps, folds, {STUCK: "900000"}, Span(position=middle.last + 1))
    assert 0 < since.tally["SagaStuck", "gone"] < len(stuck(story))
    assert since.first == middle.last + 1
    until = what_if(story.steps, folds, {STUCK: "900000"}, Span(until_position=middle.last))
    assert until.tally["SagaStuck", "gone"] == 1 and until.last == middle.last
    by_time = what_if(story.steps, folds, {STUCK: "900000"}, Span(instant=middle.recorded + 1))
    assert by_time.tally == since.tally
    nothing = what_if(story.steps, folds, {STUCK: "1"}, Span(position=10**9))
    assert (nothing.first, nothing.entries, nothing.same) == (0, 0, True)


class Shy(Fleet):
    """Does not offer the first epoch of partition 1 to anyone; everything else as ever."""

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        for said in super().react(state, entry, world):
            if not (isinstance(said, OfferEpoch) and said.partition == 1):
                yield said


def shy() -> list[Fold]:
    return [Shy() if fold.name == "fleet" else fold for fold in folds()]


def test_the_horizon_is_the_first_thing_asked_for_otherwise() -> None:
    story = Story().begin(partitions=3)
    story.wait(3)
    asked = next(
        step
        for step in story.steps
        if any(isinstance(intent, OfferEpoch) and intent.partition == 1 for _, _, intent in step.intents)
    )
    answered = next(
        step for step in story.steps if isinstance(step.input, facts.OfferAnswered) and step.input.partition == 1
    )
    found = what_if(story.steps, folds, {}, others=shy)
    assert found.horizon is not None and found.unasked is not None
    assert found.horizon.position == asked.first
    assert found.horizon.why == "OfferEpoch p01 epoch 1 would not have been asked for"
    assert found.unasked.position == answered.first
    assert found.unasked.why.startswith("OfferAnswered answers OfferEpoch p01 epoch 1, which would not have been asked")
    assert not found.same


def test_what_would_have_been_asked_is_a_horizon_too() -> None:
    story = Story(Heart(shy())).begin(partitions=3)
    story.wait(3)
    found = what_if(story.steps, shy, {}, others=folds)
    assert found.horizon is not None
    assert found.horizon.why == "OfferEpoch p01 epoch 1 would have been, and nothing here answers it"
    assert found.unasked is None


def test_differences_beyond_the_horizon_are_marked() -> None:
    story = Story().begin(partitions=3)
    story.tell(SettingSet(STUCK, "1000"))
    story.say("step.a", "s-1")
    story.wait(5)
    found = what_if(story.steps, folds, {STUCK: "900000"}, others=shy)
    assert found.horizon is not None
    assert found.beyond == sum(n for (_, change), n in found.tally.items() if change != "same")
    assert all(one.beyond for one in found.examples)


def test_ids_made_of_positions_still_find_what_asked_for_them() -> None:
    story = waiting_story()
    rows = story.rows()
    bury(rows, "dead-1", story.now)
    story.record(rows)
    story.tell(RedriveDecided(["dead-1"], "op", "again"))
    story.echo()
    carried = [e.fact for step in story.steps for e in step.derived if isinstance(e.fact, Carried)]
    assert len(carried) == 1
    found = what_if(story.steps, folds, {STUCK: "20000"})
    assert found.tally["SagaStuck", "new"] > 0, "more facts than the journal has come before it"
    assert found.tally["Carried", "same"] == 1
    assert found.horizon is None


def test_too_many_open_differences_are_counted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "WHATIF_HELD_MAX", 3)
    story = waiting_story()
    found = what_if(story.steps, folds, {STUCK: "70000"})
    assert found.unmatched >= 17
    assert len(found.examples) <= 3 * 5
    assert found.tally["SagaStuck", "gone"] + found.tally["SagaStuck", "moved"] == 20


def test_stretches_of_other_folds_are_taken_as_recorded() -> None:
    story = Story()
    story.tell(facts.PlaneStarted(1, "u"))
    story.tell(FoldVersions(versions() | {"sagas": 0}))
    story.tell(SettingSet(STUCK, "1000"))
    story.say("step.a", "s-1")
    story.wait(5)
    said = len(stuck(story))
    older = story.heart.position
    story.tell(facts.PlaneStarted(2, "v"))
    story.tell(FoldVersions(versions()))
    story.say("step.a", "s-2")
    story.wait(5)
    found = what_if(story.steps, folds, {STUCK: "900000"})
    assert found.older == older
    assert found.tally["SagaStuck", "gone"] == len(stuck(story)) - said > 0


def test_every_kind_named_is_a_fact_with_those_fields() -> None:
    for kind, names in whatif.ABOUT.items():
        assert issubclass(kind, Fact)
        assert set(names) <= {field.name for field in msgspec.structs.fields(kind)}
