"""The journal read again: as of a moment, and stretches of other fold versions."""

import msgspec
import pytest

from controlplane import facts
from controlplane.differences import differing
from controlplane.facts import FoldVersions, LeaderElected, OfferEpoch, PlaneStarted, Tick
from controlplane.fold import Entry, Step
from controlplane.plane import folds, versions
from controlplane.timeline import as_of, verify
from tests.controlplane.logs import SECOND
from tests.controlplane.made import BROKERS, Story


@pytest.fixture(scope="module")
def story() -> Story:
    told = Story().begin(partitions=3)
    for n in range(60):
        told.act(10 + n % 5, n)
        told.act(n % 10, n)
    return told


def test_as_of_rounds_down_to_a_step(story: Story) -> None:
    for step in story.steps[:: len(story.steps) // 20]:
        heart = as_of(story.steps, folds(), position=step.last)
        assert (heart.position, heart.digest()) == (step.last, step.digest)
    long = next(step for step in story.steps if step.last - step.first > 2)
    assert as_of(story.steps, folds(), position=long.last - 1).position == long.first - 1


def test_as_of_an_instant_holds_all_that_was_recorded_by_then(story: Story) -> None:
    middle = story.steps[len(story.steps) // 2].recorded
    heart = as_of(story.steps, folds(), instant=middle)
    expected = [step for step in story.steps if step.recorded <= middle][-1]
    assert heart.digest() == expected.digest
    assert as_of(story.steps, folds(), instant=story.steps[0].recorded - 1).position == 0


def test_a_changed_fact_is_found_and_named(story: Story) -> None:
    steps = list(story.steps)
    place = next(n for n, step in enumerate(steps) if any(isinstance(e.fact, LeaderElected) for e in step.derived))
    derived = [
        Entry(e.position, e.recorded, e.cause, msgspec.structs.replace(e.fact, leader="b9"))
        if isinstance(e.fact, LeaderElected)
        else e
        for e in steps[place].derived
    ]
    steps[place] = msgspec.structs.replace(steps[place], derived=derived)
    verdict = verify(steps, folds())
    assert not verdict.same
    position = next(e.position for e in derived if isinstance(e.fact, LeaderElected))
    assert verdict.divergence.startswith(f"position {position:,}: fold fleet: LeaderElected.leader was 'b9'")
    where = verdict.where
    assert where is not None
    assert (where.position, where.what, where.fold, where.kind, where.field, where.was) == (
        position, "fact", "fleet", "LeaderElected", "leader", "b9",
    )  # fmt: skip
    assert where.now in BROKERS


@pytest.mark.parametrize("what", ["fact", "intent", "digest", "step"])
def test_what_is_missing_is_found(story: Story, what: str) -> None:
    steps = list(story.steps)
    place = next(n for n, step in enumerate(steps) if step.derived and step.intents)
    step = steps[place]
    if what == "fact":
        steps[place] = msgspec.structs.replace(step, derived=step.derived[:-1])
    elif what == "intent":
        steps[place] = msgspec.structs.replace(step, intents=step.intents[:-1])
    elif what == "digest":
        steps[place] = msgspec.structs.replace(step, digest=bytes(16))
    else:
        del steps[place]
    verdict = verify(steps, folds())
    assert not verdict.same
    assert verdict.where is not None
    assert verdict.where.what == {"fact": "fact", "intent": "intent", "digest": "state", "step": "step"}[what]
    assert verdict.divergence == verdict.where.text != ""
    assert verdict.where.position >= step.first


def test_an_intent_that_differs_is_named_by_its_field(story: Story) -> None:
    steps = list(story.steps)
    place = next(n for n, step in enumerate(steps) if any(isinstance(i, OfferEpoch) for _, _, i in step.intents))
    intents = [
        (cause, index, msgspec.structs.replace(i, plane_epoch=77) if isinstance(i, OfferEpoch) else i)
        for cause, index, i in steps[place].intents
    ]
    steps[place] = msgspec.structs.replace(steps[place], intents=intents)
    where = verify(steps, folds()).where
    assert where is not None
    assert (where.what, where.kind, where.field, where.was, where.now) == (
        "intent", "OfferEpoch", "plane_epoch", "77", "1",
    )  # fmt: skip


def test_a_digest_that_nothing_here_leads_to_names_what_the_step_changed(story: Story) -> None:
    steps = list(story.steps)
    steps[-1] = msgspec.structs.replace(steps[-1], digest=bytes(16))
    where = verify(steps, folds(), again=lambda: steps).where
    assert where is not None
    before, after = (as_of(steps, folds(), position=at).states for at in (steps[-1].first - 1, steps[-1].last))
    changed = [f"{fold} {table} {key!r}" for fold, table, keys in differing(before, after)
               for key in sorted(keys, key=str)]  # fmt: skip
    assert where.touched == changed[:20] != []
    assert f"it is one of them: {changed[0]}" in where.text


def test_a_stretch_of_older_folds_is_evolved_as_recorded() -> None:
    story = Story()
    story.tell(PlaneStarted(1, "u"))
    story.tell(FoldVersions(versions() | {"fleet": 0}))
    story.tell(facts.FleetFounded("f", 1, 4096, ["b1"]))
    invented = Entry(story.heart.position + 2, story.now, story.heart.position + 1, facts.PartitionWaits(0, "invented"))
    first = story.heart.position + 1
    step = Step(len(story.steps) + 1, first, first + 1, story.now, Tick(), [invented], [], b"")
    story.heart.replay(step)
    step.digest = story.heart.digest()
    story.steps.append(step)
    story.tell(PlaneStarted(2, "v"), 1)
    story.tell(FoldVersions(versions()), 1)
    story.tell(Tick(), 1)
    verdict = verify(story.steps, folds())
    assert verdict.divergence == ""
    assert verdict.older == first + 1
    present = [s for s in story.steps if not isinstance(s.input, FoldVersions) or s.input.versions == versions()]
    assert len(present) == len(story.steps) - 1


def test_progress_is_told(story: Story) -> None:
    told: list[int] = []
    verify(story.steps, folds(), told.append)
    assert told == sorted(told)
    assert told[-1] == story.heart.position
    assert story.now > story.steps[0].recorded + SECOND
