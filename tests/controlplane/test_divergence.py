"""Whatever differs is named by position, fold and field: facts, intents, and what only the digest shows."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pytest

from controlplane import facts
from controlplane.differences import deepest, differing
from controlplane.errors import FactUnreadable
from controlplane.facts import Carried, LeaderElected, OfferEpoch, PartitionWaits, PublishEvent
from controlplane.fold import Entry, Heart, Step
from controlplane.plane import folds
from controlplane.questions import Divergence
from controlplane.state import ABSENT, DIGEST_BYTES, KeyedState
from controlplane.timeline import as_of, verify
from tests.controlplane.made import Story, bury


@pytest.fixture(scope="module")
def story() -> Story:
    """A fleet that elects, loses a broker, redrives a dead letter; sagas that move."""
    told = Story().begin(partitions=3)
    rows = told.rows()
    bury(rows, "dead-1", told.now)
    told.record(rows)
    told.tell(facts.RedriveDecided(["dead-1"], "op", "again"), 1)
    told.echo()
    for n in range(30):
        told.act(10 + n % 5, n)
        told.act(n % 8, n)
    return told


def found(steps: Iterable[Step], **more: Any) -> Divergence:
    steps = list(steps)
    verdict = verify(steps, folds(), again=lambda: steps, **more)
    assert not verdict.same and verdict.where is not None
    assert verdict.divergence == verdict.where.text != ""
    assert f"position {verdict.where.position:,}" in verdict.where.text
    return verdict.where


def place_of(story: Story, wanted: Callable[[Step], bool]) -> int:
    return next(n for n, step in enumerate(story.steps) if wanted(step))


def changed(story: Story, place: int, **fields: Any) -> list[Step]:
    steps = list(story.steps)
    steps[place] = msgspec.structs.replace(steps[place], **fields)
    return steps


def says(kind: type) -> Callable[[Step], bool]:
    return lambda step: any(isinstance(entry.fact, kind) for entry in step.derived)


def wants(kind: type) -> Callable[[Step], bool]:
    return lambda step: any(isinstance(intent, kind) for _, _, intent in step.intents)


# ------------------------------------------------------------------------------------------------- facts


def test_a_fact_that_no_fold_says_is_named_by_who_would_say_it(story: Story) -> None:
    place = place_of(story, says(LeaderElected))
    step = story.steps[place]
    more = Entry(step.last + 1, step.recorded, step.first, PartitionWaits(0, "made up"))
    where = found(changed(story, place, derived=[*step.derived, more]))
    assert (where.position, where.what, where.kind) == (step.last + 1, "fact", "PartitionWaits")
    assert where.fold == "fleet, sagas, registry, dispatch, ballots, leases", "nobody has said it: whoever could"
    carried = place_of(story, says(Carried))
    step = story.steps[carried]
    again = Entry(step.last + 1, step.recorded, step.first, Carried(1, 2, 3, 4))
    assert found(changed(story, carried, derived=[*step.derived, again])).fold == "outbox"


def test_a_fact_that_is_missing_is_named_by_who_says_it(story: Story) -> None:
    place = place_of(story, says(LeaderElected))
    derived = [entry for entry in story.steps[place].derived if not isinstance(entry.fact, LeaderElected)]
    where = found(changed(story, place, derived=derived))
    assert (where.what, where.fold, where.kind) == ("fact", "fleet", "LeaderElected")


@pytest.mark.parametrize("name", ["position", "recorded", "cause"])
def test_a_fact_at_another_place_is_named_by_which(story: Story, name: str) -> None:
    place = place_of(story, says(LeaderElected))
    step = story.steps[place]
    moved = step.derived[0]
    other = Entry(**{field: getattr(moved, field) + (field == name) for field in ("position", "recorded", "cause")},
                  fact=moved.fact)  # fmt: skip
    where = found(changed(story, place, derived=[other, *step.derived[1:]]))
    assert (where.fold, where.field) == ("fleet", name)
    assert int(where.was) == int(where.now) + 1


def test_a_field_deep_in_a_fact_is_named_and_so_is_a_map_in_another_order(story: Story) -> None:
    place = place_of(story, says(LeaderElected))
    step = story.steps[place]

    def with_stores(change: Callable[[dict[str, str]], dict[str, str]]) -> list[Step]:
        derived = [
            Entry(e.position, e.recorded, e.cause, msgspec.structs.replace(e.fact, stores=change(e.fact.stores)))
            if isinstance(e.fact, LeaderElected)
            else e
            for e in step.derived
        ]
        return changed(story, place, derived=derived)

    where = found(with_stores(lambda stores: stores | {"b2": "another"}))
    assert (where.field, where.was, where.now) == ("stores.b2", "another", "store-b2")
    where = found(with_stores(lambda stores: dict(reversed(stores.items()))))
    assert where.field == "stores" and where.was != where.now


# ------------------------------------------------------------------------------------------------- intents


def test_an_intent_is_named_by_its_own_position_its_fold_and_field(story: Story) -> None:
    place = place_of(story, wants(OfferEpoch))
    step = story.steps[place]
    index = next(n for n, (_, _, intent) in enumerate(step.intents) if isinstance(intent, OfferEpoch))
    cause, number, intent = step.intents[index]

    def having(said: list[tuple[int, int, Any]]) -> Divergence:
        return found(changed(story, place, intents=[*step.intents[:index], *said, *step.intents[index + 1 :]]))

    where = having([(cause, number, msgspec.structs.replace(intent, brokers=["b1", "b9", "b3"]))])
    assert (where.position, where.fold, where.kind, where.field) == (cause, "fleet", "OfferEpoch", "brokers[1]")
    assert (where.was, where.now) == ("b9", "b2")
    where = having([(cause, number, PublishEvent("x", b""))])
    assert (where.position, where.fold, where.kind) == (cause, "fleet", "OfferEpoch")
    where = having([(cause + 1, number, intent)])
    assert (where.fold, where.field, where.was) == ("fleet", "cause", f"{cause + 1}:{number}")
    short = found(changed(story, place, intents=step.intents[:-1]))
    assert (short.position, short.fold) == (step.intents[-1][0], "fleet")
    where = found(changed(story, place, intents=[*step.intents, (step.last, 99, intent)]))
    assert (where.position, where.fold, where.kind) == (step.last, "fleet", "OfferEpoch")


# ------------------------------------------------------------------------------------------------- steps, bytes


def test_a_step_that_is_not_the_next_is_named_wherever_it_is(story: Story) -> None:
    where = found([*story.steps[:10], *story.steps[11:]])
    assert (where.what, where.field, where.position) == ("step", "first", story.steps[11].first)
    older = [s if not isinstance(s.input, facts.FoldVersions) else msgspec.structs.replace(
        s, input=facts.FoldVersions({"fleet": 0})) for s in story.steps]  # fmt: skip
    where = found([*older[:10], *older[11:]])
    assert (where.what, where.field, where.position) == ("step", "first", story.steps[11].first)


def test_an_instant_that_goes_back_is_named() -> None:
    story = Story().begin(partitions=1)
    story.tell(facts.SettingSet("x", "y"), 1)
    steps = list(story.steps)
    steps[-1] = msgspec.structs.replace(steps[-1], recorded=steps[0].recorded - 1)
    where = found(steps)
    assert (where.what, where.field) == ("step", "recorded")


def test_what_cannot_be_read_is_named_by_its_position(story: Story) -> None:
    def torn() -> Iterator[Step]:
        yield from story.steps[:5]
        raise FactUnreadable("LeaderElected", "truncated", 77)

    where = verify(torn(), folds()).where
    assert where is not None and (where.position, where.what, where.kind) == (77, "fact", "LeaderElected")


# ------------------------------------------------------------------------------------------------- the digest


def test_one_change_that_was_not_made_is_found_in_the_digest(story: Story) -> None:
    """The digest is a sum: with one place as it was before, it is the journaled one."""
    for n, step in enumerate(story.steps):
        before, after = (as_of(story.steps, folds(), position=at) for at in (step.first - 1, step.last))
        touched = [(fold, table, key) for fold, table, keys in differing(before.states, after.states) for key in keys]
        if n < 12 or len(touched) < 2:
            continue
        fold, table, key = touched[-1]
        missed = int.from_bytes(step.digest, "big") - after.states[fold].hash_of(table, key)
        missed += before.states[fold].hash_of(table, key)
        where = found(changed(story, n, digest=(missed % 2 ** (8 * DIGEST_BYTES)).to_bytes(DIGEST_BYTES, "big")))
        assert (where.fold, where.table, where.key) == (fold, table, str(key))
        old = before.states[fold].get(table, key, ABSENT)
        assert where.field or old is ABSENT or not isinstance(old, msgspec.Struct)
        if n > 30:
            break


def test_the_planes_own_state_later_tells_which_field_it_is(story: Story) -> None:
    """The plane changed a value that nothing in the journal leads to; a snapshot has it, or the live heart."""
    place = place_of(story, lambda step: isinstance(step.input, facts.BrokerLost))
    live = Heart(folds())
    steps: list[Step] = []
    for n, step in enumerate(story.steps):
        live.replay(step)
        if n == place:
            state = live.states["fleet"]
            broker = state.get("broker", "b1")
            state.put("broker", "b1", msgspec.structs.replace(broker, restarts=77))
            state.settle()
        steps.append(msgspec.structs.replace(step, digest=live.digest()) if n >= place else step)
        if n == place + 1:
            witness = live.copy()
    where = found(steps, witnesses=lambda position: [witness])
    assert (where.position, where.what, where.fold) == (story.steps[place].first, "state", "fleet")
    assert (where.table, where.key, where.field, where.was) == ("broker", "b1", "restarts", "77")
    assert f"by the plane's own state at {witness.position:,}" in where.text
    assert found(steps).touched, "without one nobody can say"


def test_equal_is_not_the_same() -> None:
    was, now = KeyedState("f"), KeyedState("f")
    for state, value in ((was, [1, 2]), (now, [1, True])):
        state.put("t", "k", value if state is was else [1, 2])
        state.put("t", "odd", [value[0], 1 if state is was else True])
        state.settle()
    assert list(differing({"f": was}, {"f": now})) == [("f", "t", ["odd"])]
    assert deepest(was.get("t", "odd"), now.get("t", "odd")) == ("[1]", 1, True)


def test_the_deepest_place_is_named() -> None:
    assert deepest({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == ("a[1].b", 2, 3)
    assert deepest({"a": 1}, {"b": 1}) == ("a", 1, ABSENT)
    assert deepest([1], [1, 2]) == ("[1]", ABSENT, 2)
    assert deepest({"a": 1, "b": 2}, {"b": 2, "a": 1}) == ("", {"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert deepest(3, 3) is None and deepest({"a": [1]}, {"a": [1]}) is None
