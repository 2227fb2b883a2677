"""Folds that are folded again beside the plane: wherever they come in, all is as if they had been there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decisions import StrategyChosen
from controlplane.errors import FoldRebuilding, StepMismatch
from controlplane.facts import Fact, FoldQuarantined, FoldsRebuilt, FoldVersions, Intent, PlaneStarted, Tick
from controlplane.fold import Entry, Fold, Heart, KeyedState, Loaded, Step, World, changed
from controlplane.plane import folds, versions
from controlplane.state import Key
from controlplane.timeline import as_of, verify
from tests.controlplane.agentwords import join
from tests.controlplane.logs import NOW, SECOND
from tests.controlplane.made import Story, actions

few = settings(max_examples=60, deadline=None)
CHANGEABLE = [fold.name for fold in folds() if not fold.vital]
LEVER, RESTART = 6, 8


def lacking(steps: Iterable[Step], names: list[str], of: list[Fold] | None = None) -> Heart:
    """A live heart without these folds: what a plane has that loaded the others and read the tail."""
    heart = Heart(of if of is not None else folds())
    tables: dict[str, Mapping[str, Mapping[Key, Any]]] = {name: {} for name in heart.folds if name not in names}
    heart.load(Loaded(0, 0, 0, [], tables))
    return as_of(steps, (), heart=heart)


def restarted(story: Story, name: str) -> list[str]:
    """The plane starts anew, and this fold has changed; who has to be folded again."""
    names = changed(folds(), {**versions(), name: 0}) if name else []
    story.heart = lacking(story.steps, names)
    epoch = 1 + len(story.steps)
    story.tell(PlaneStarted(epoch, f"u-{epoch}", gap_ns=SECOND, rebuilding=names), 1)
    story.tell(FoldVersions(versions()))
    return names


def rebuilt(story: Story) -> None:
    """What is missing has been folded again, and comes in."""
    names = story.heart.adopt(as_of(story.steps, folds()))
    story.tell(FoldsRebuilt(names))


def act(story: Story, things: list[tuple[int, int]]) -> None:
    for code, argument in things:
        if code != RESTART and not (code == LEVER and "deadletters" in story.heart.rebuilding):
            story.act(code, argument)


@few
@given(actions, st.lists(st.tuples(st.sampled_from(["", *CHANGEABLE]), actions, st.booleans()), min_size=1, max_size=3))
def test_a_fold_that_comes_in_anywhere_is_as_if_it_had_been_there(
    before: list[tuple[int, int]], lives: list[tuple[str, list[tuple[int, int]], bool]]
) -> None:
    story = Story().begin(partitions=3)
    act(story, before)
    for name, things, lasts in lives:
        names = restarted(story, name)
        assert story.heart.rebuilding == names
        act(story, things)
        if lasts and names:
            rebuilt(story)
            assert not story.heart.rebuilding
            act(story, things[:10])
    assert not story.heart.quarantined
    same_on_every_road(story)


def same_on_every_road(story: Story) -> None:
    """Replayed and regenerated, step for step; and what is there now is what a heart has that had it all along."""
    replayed = Heart(folds())
    for step in story.steps:
        replayed.replay(step)
        assert replayed.digest() == step.digest
    verdict = verify(story.steps, folds())
    assert (verdict.divergence, verdict.older) == ("", 0)
    assert {name: state.digest for name, state in story.heart.states.items()} == {
        name: state.digest for name, state in replayed.states.items()
    }
    # A timer of what is missing is due for nobody.
    if not story.heart.rebuilding:
        assert story.heart.next_deadline() == replayed.next_deadline()


def test_what_is_missing_is_named_and_in_no_digest() -> None:
    story = Story().begin(partitions=3)
    story.say("task.request")
    before = story.heart.digest()
    assert restarted(story, "sagas") == ["sagas", "health", "history"]
    assert story.heart.digest() != before
    with pytest.raises(FoldRebuilding) as caught:
        story.heart.states["sagas"]
    assert caught.value.fold == "sagas"
    again = as_of(story.steps, folds())
    assert list(again.hidden) == ["sagas", "health", "history"] == again.rebuilding
    twin = again.copy()
    twin.step(FoldsRebuilt(["sagas", "health", "history"]), story.now)
    assert not twin.hidden and twin.digest() != again.digest()
    assert list(again.hidden) == ["sagas", "health", "history"]


def test_it_comes_in_where_the_journal_stands_and_nowhere_else() -> None:
    story = Story().begin(partitions=3)
    restarted(story, "registry")
    behind = as_of(story.steps, folds())
    story.tell(Tick(), 1)
    with pytest.raises(StepMismatch):
        story.heart.adopt(behind)


class Alarm(Fold):
    """Wakes up ten seconds after the first tick, and says so; answers its own version; may break at a later tick."""

    name = "alarm"
    version = 2
    follows = (Tick, FoldVersions)
    timed = ("at",)
    breaks = False

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        fact = entry.fact
        return [FoldVersions({"heard": 1})] if isinstance(fact, FoldVersions) and "alarm" in fact.versions else []

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        if not isinstance(entry.fact, Tick):
            return
        if self.breaks and entry.recorded > NOW + SECOND:
            raise ValueError("odd")
        if state.get("at", "at") is None:
            state.put("at", "at", entry.recorded + 10 * SECOND)

    def due(self, table: str, value: Any) -> int:
        return int(value)

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        state.put(table, key, 0)
        return [FoldVersions({"said": 1})]


def short(breaks: bool) -> tuple[Heart, list[Step], type[Alarm]]:
    """A plane whose alarm is folded again while its time comes; the heart, its journal, the fold."""
    kind = type("Kind", (Alarm,), {"breaks": breaks})
    older = type("Older", (kind,), {"version": 1, "breaks": False})
    first = Heart([older()])
    steps = [first.step(Tick(), NOW)]
    heart = lacking(steps, ["alarm"], [kind()])
    given: list[Fact] = [PlaneStarted(1, "u", rebuilding=["alarm"]), FoldVersions({"alarm": 2}), Tick(), Tick()]
    steps += [heart.step(fact, NOW + 6 * n * SECOND) for n, fact in enumerate(given)]
    assert heart.adopt(as_of(steps, [kind()])) == ["alarm"]
    steps += [heart.step(fact, NOW + 20 * SECOND) for fact in (FoldsRebuilt(["alarm"]), Tick())]
    return heart, steps, kind


def test_a_timer_that_is_due_meanwhile_waits_until_its_fold_is_there() -> None:
    heart, steps, kind = short(breaks=False)
    said = [[entry.fact for entry in step.derived] for step in steps]
    assert said == [[], [], [], [], [], [FoldVersions({"said": 1})], []]
    assert heart.states["alarm"].get("at", "at") == 0
    assert verify(steps, [kind()]).same


def test_one_that_raises_while_it_is_folded_again_comes_in_quarantined_and_a_fact_says_so() -> None:
    heart, steps, kind = short(breaks=True)
    fact = FoldQuarantined("alarm", 2, "position 4, Tick: ValueError: odd")
    assert [entry.fact for step in steps for entry in step.derived] == [fact]
    assert steps[5].derived[0].fact == fact and isinstance(steps[5].input, FoldsRebuilt)
    assert heart.quarantined == {"alarm": fact}
    assert heart.states["alarm"].get("at", "at") == NOW + 10 * SECOND
    assert verify(steps, [kind()]).same


# ------------------------------------------------------------------------------------------------- who reads whom


class Watched(dict[str, KeyedState]):
    """A world that remembers who was looked at."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> KeyedState:
        self.seen.add(name)
        return super().__getitem__(name)


def test_a_fold_gets_what_it_says_it_reads_and_nothing_else() -> None:
    heart = Heart(folds())
    for name, world in heart._worlds.items():
        assert list(world) == [name, *heart.folds[name].reads]


def test_every_fold_reads_what_it_says_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """More would only be folded again in vain; less cannot be, as it gets no others."""
    heart = Heart(folds())
    watched = {name: Watched(world) for name, world in heart._worlds.items()}
    monkeypatch.setattr(Heart, "_arrange", lambda self: None)
    heart._worlds = dict(watched)
    story = Story(heart).begin(partitions=3)
    story.tell(StrategyChosen("adaptive"))
    for code, argument in life():
        story.act(code, argument)
    join(story)
    story.wait(4)
    assert not story.heart.quarantined
    for name, world in watched.items():
        assert world.seen - {name} == set(story.heart.folds[name].reads), name


def life() -> Iterator[tuple[int, int]]:
    yield from ((code, n) for n in range(12) for code in (10 + n % 5, 4, 0, n % 10))


def test_folds_stand_after_those_that_they_read() -> None:
    known: list[str] = []
    for fold in folds():
        assert set(fold.reads) <= set(known), fold.name
        assert not fold.vital or not fold.reads, "what the plane waits for is there without others"
        known.append(fold.name)
