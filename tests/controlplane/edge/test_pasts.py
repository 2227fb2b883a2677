"""States of the past: right wherever one goes, near ones cheap, and never more of them than there may be."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane import limits
from controlplane.errors import CorruptJournal
from controlplane.fold import Heart, Step
from controlplane.pasts import Pasts
from controlplane.plane import folds
from tests.controlplane.edge.lived import Lived, demo_log
from tests.controlplane.made import Story


class Journaled:
    """A story's steps as a journal gives them; `read` counts the ones that were handed out."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.read = 0

    def replay(self, up_to: int, after: int) -> Iterator[Step]:
        for step in self.steps[after:]:
            if step.last > up_to:
                return
            self.read += 1
            yield step

    def pasts(self, nearest: Callable[[int], Heart] | None = None) -> Pasts:
        return Pasts(self.replay, nearest or (lambda position: Heart(folds())))


def unheard(position: int) -> None:
    """Nobody wants to know how far it is."""


@pytest.fixture(scope="module")
def story() -> Story:
    told = Story().begin(partitions=3)
    for n in range(80):
        told.act(10 + n % 5, n)
        told.act(n % 10, n)
    return told


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_state_is_the_one_that_was(story: Story, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(story.steps) - 1), min_size=1, max_size=25))
    kept, walk, near = (data.draw(st.integers(*bounds)) for bounds in ((1, 5), (1, 200), (1, 1_000)))

    async def wander() -> None:
        pasts = Journaled(story.steps).pasts()
        for place in places:
            step = story.steps[place]
            heart = await pasts.at(step.last, unheard)
            assert (heart.position, heart.recorded, heart.steps) == (step.last, step.recorded, place + 1)
            assert heart.digest() == step.digest
            assert all(state.recomputed_digest() == state.digest for state in heart.states.values())
            assert len(pasts.kept) <= kept and pasts.kept[-1] == step.last
        for position in pasts.kept:
            known = next(step for step in story.steps if step.last == position)
            assert (await pasts.at(position, unheard)).digest() == known.digest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "PASTS_KEPT_MAX", kept)
        patch.setattr(limits, "PAST_WALK_ENTRIES_MAX", walk)
        patch.setattr(limits, "PAST_NEAR_ENTRIES_MAX", near)
        asyncio.run(wander())


async def test_a_kept_heart_goes_on_with_its_timers(story: Story) -> None:
    middle = story.steps[len(story.steps) // 2]
    pasts = Journaled(story.steps).pasts()
    heart = (await pasts.at(middle.last, unheard)).copy()
    fresh = Heart(folds())
    for step in story.steps[: heart.steps]:
        fresh.replay(step)
    assert heart.next_deadline() == fresh.next_deadline() is not None
    for _ in range(50):
        now = max(heart.next_deadline() or 0, heart.recorded + 1)
        again, first = (one.step(story.steps[-1].input, now) for one in (heart, fresh))
        assert again == first


async def test_going_on_evolves_the_difference_only_either_way(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAST_WALK_ENTRIES_MAX", 60)
    journal = Journaled(story.steps)
    pasts = journal.pasts()
    start = len(story.steps) - 30
    await pasts.at(story.steps[start].last, unheard)
    assert journal.read == start + 1
    for place in [*range(start + 1, start + 20), *range(start, start - 10, -1)]:
        journal.read = 0
        await pasts.at(story.steps[place].last, unheard)
        assert journal.read <= 25
    journal.read = 0
    await pasts.at(story.steps[start - 9].last, unheard)
    assert journal.read == 0


async def test_what_is_quickly_made_again_goes_first(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASTS_KEPT_MAX", 4)
    monkeypatch.setattr(limits, "PAST_WALK_ENTRIES_MAX", 20)
    pasts = Journaled(story.steps).pasts()
    ends = [step.last for step in story.steps]
    far, near = ends[10], [end for end in ends if 200 < end < 220][:4]
    await pasts.at(far, unheard)
    for end in near:
        await pasts.at(end, unheard)
    assert far in pasts.kept and len(pasts.kept) == 4 and pasts.kept[-1] == near[-1]


async def test_large_states_are_fewer(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASTS_PLACES_MAX", 10)
    pasts = Journaled(story.steps).pasts()
    for step in story.steps[::20]:
        await pasts.at(step.last, unheard)
        assert pasts.kept == [step.last]


async def test_nobody_looking_they_are_let_go_of(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PASTS_IDLE_MS", 1)
    pasts = Journaled(story.steps).pasts()
    await pasts.at(story.steps[50].last, unheard)
    assert pasts.kept
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * limits.PASTS_IDLE_MS / 1000, later.set)
    await later.wait()
    assert pasts.kept == []


async def test_a_nearer_state_from_elsewhere_is_taken(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAST_NEAR_ENTRIES_MAX", 10)
    snapshot = Heart(folds())
    for step in story.steps[:100]:
        snapshot.replay(step)
    journal = Journaled(story.steps)
    pasts = journal.pasts(lambda position: snapshot.copy() if position >= snapshot.position else Heart(folds()))
    await pasts.at(story.steps[20].last, unheard)
    journal.read = 0
    assert (await pasts.at(story.steps[109].last, unheard)).digest() == story.steps[109].digest
    assert journal.read == 10
    journal.read = 0
    assert (await pasts.at(story.steps[40].last, unheard)).digest() == story.steps[40].digest
    assert journal.read == 20


async def test_the_same_moment_is_made_once_for_all(story: Story) -> None:
    journal = Journaled(story.steps)
    pasts = journal.pasts()
    hearts = await asyncio.gather(*(pasts.at(story.steps[-1].last, unheard) for _ in range(5)))
    assert len({id(heart) for heart in hearts}) == 1
    assert journal.read == len(story.steps)


async def test_what_is_kept_does_not_wait_for_what_is_being_made(story: Story) -> None:
    pasts = Journaled(story.steps).pasts()
    first = story.steps[10].last
    await pasts.at(first, unheard)
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(position: int) -> None:
        if position == story.steps[60].last:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)

    making = asyncio.create_task(pasts.at(story.steps[-1].last, wait))
    async with asyncio.timeout(10):
        await begun.wait()
        assert (await pasts.at(first, unheard)).position == first
        assert not making.done()
        go.set()
        await making


async def test_what_ends_the_making_leaves_all_as_it_was(story: Story) -> None:
    def enough(position: int) -> None:
        if position > 100:
            raise InterruptedError

    pasts = Journaled(story.steps).pasts()
    with pytest.raises(InterruptedError):
        await pasts.at(story.steps[-1].last, enough)
    assert pasts.kept == []
    assert (await pasts.at(story.steps[-1].last, unheard)).digest() == story.steps[-1].digest


async def test_a_journal_that_does_not_lead_there_is_said(story: Story) -> None:
    with pytest.raises(CorruptJournal, match="ends at position"):
        await Journaled(story.steps[:50]).pasts().at(story.steps[60].last, unheard)


async def test_turns_go_on_while_the_past_is_made(tmp_path: Path) -> None:
    life = Lived(tmp_path)
    life.begin()
    list(life.live(demo_log()))
    pasts = Pasts(life.journal.replay, lambda position: Heart(folds()))
    making = asyncio.create_task(pasts.at(life.journal.position, unheard))
    end, turned = life.journal.position, 0
    while not making.done():
        await life.turns.turn()
        turned += 1
        await asyncio.sleep(0)
    assert (await making).position == end
    assert turned > 3
    life.close()
