"""Turns: what is reported is committed, in order and once, whatever the clock and the disk do."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import batch
from controlplane import limits
from controlplane.clock import Clock
from controlplane.errors import DiskFull
from controlplane.facts import (
    BrokerLost,
    Intent,
    PlaneResumed,
    Rows,
    SettingSet,
    StartBroker,
    Tick,
)
from controlplane.fold import Entry, Fold, Heart, KeyedState, World
from controlplane.journal import Journal, Kept
from controlplane.turns import Turns
from tests.controlplane.edge.examples import FOLLOWS, simple

SECOND = 1_000_000_000


class Counting(Fold):
    """Counts what it sees; a BrokerLost wants its broker started."""

    name = "counting"
    follows = (Rows, BrokerLost, SettingSet)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        count = len(entry.fact) if isinstance(entry.fact, Rows) else 1
        state.put("count", "all", state.get("count", "all", 0) + count)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Sequence[Intent]:
        return [StartBroker(entry.fact.id, 1)] if isinstance(entry.fact, BrokerLost) else []


class Hands:
    """A clock that a test sets, and the intents that were carried."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND
        self.carried: list[tuple[int, int, Intent]] = []

    def turns(self, folder: Path) -> Turns:
        clock = Clock(0, lambda: self.now, lambda: self.now)
        return Turns(Heart([Counting()]), Journal(folder, FOLLOWS), clock, FOLLOWS, self.carried.extend)


def facts(turns: Turns) -> list[Any]:
    return [entry for step in turns.journal.replay() for entry in (step.input, *step.derived)]


async def test_a_turn_takes_what_is_there_and_carries_after_the_commit(tmp_path: Path) -> None:
    hands = Hands()
    turns = hands.turns(tmp_path)
    turns.report(BrokerLost("b1", "it ended"))
    turns.recorder.add(batch.Header(batch.EVENTS, 4, 1, 0, 6, 7), batch.encode(simple(6)))
    turns.report(SettingSet("a", "b"))
    await turns.turn()
    assert [type(fact) for fact in facts(turns)] == [BrokerLost, SettingSet, Rows, Tick]
    assert hands.carried == [(1, 0, StartBroker("b1", 1))]
    assert (turns.journal.offsets, turns.journal.position) == ({4: 6}, 9)
    assert turns.heart.states["counting"].get("count", "all") == 8
    assert turns.journal.digest == turns.heart.digest()
    turns.close()
    turns.journal.close()


async def test_ticks_come_each_second_and_a_stall_is_told_apart(tmp_path: Path) -> None:
    hands = Hands()
    turns = hands.turns(tmp_path)
    for ahead in (0, 1, 1, 0, 10, 1):
        hands.now += ahead * SECOND
        await turns.turn()
    assert facts(turns) == [Tick(), Tick(), Tick(), PlaneResumed(9 * SECOND), Tick(), Tick()]
    turns.close()
    turns.journal.close()


async def test_decisions_wait_for_their_commit(tmp_path: Path) -> None:
    turns = Hands().turns(tmp_path)
    running = asyncio.create_task(turns.run())
    positions = await asyncio.gather(*(turns.decide(SettingSet(f"s{n}", "x")) for n in range(5)))
    assert [facts(turns)[position - 1] for position in positions] == [SettingSet(f"s{n}", "x") for n in range(5)]
    turns.report(SettingSet("last", "x"))
    turns.finish()
    await running
    assert SettingSet("last", "x") in facts(turns)
    turns.close()
    turns.journal.close()


async def test_a_full_disk_holds_everything_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FULL_RETRY_MS", 1)
    hands = Hands()
    turns = hands.turns(tmp_path)
    commit: Callable[[Sequence[Kept]], None] = turns.journal.commit
    refused = 0
    room, thrice = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(kept: Sequence[Kept]) -> None:
        nonlocal refused
        if not room.is_set():
            refused += 1
            if refused == 3:
                loop.call_soon_threadsafe(thrice.set)
            raise DiskFull("no room for the journal")
        commit(kept)

    monkeypatch.setattr(turns.journal, "commit", full)
    turns.report(BrokerLost("b1", "it ended"))
    running = asyncio.create_task(turns.run())
    await thrice.wait()
    await turns.settled()
    assert turns.full == "no room for the journal"
    assert not hands.carried and turns.journal.position == 0
    room.set()
    assert await turns.decide(SettingSet("a", "b")) > 1
    assert turns.full == "" and hands.carried == [(1, 0, StartBroker("b1", 1))]
    assert facts(turns)[0] == BrokerLost("b1", "it ended")
    turns.finish()
    await running
    turns.close()
    turns.journal.close()


async def test_effects_do_not_wait_for_a_snapshot(tmp_path: Path) -> None:
    hands, carried = Hands(), list[Intent]()
    turns = hands.turns(tmp_path)

    class Slow:
        def is_due(self, heart: Heart) -> bool:
            return True

        def take(self, heart: Heart, digest: bytes) -> None:
            carried.extend(intent for _, _, intent in hands.carried)

    turns.snapshots = Slow()  # type: ignore[assignment]
    turns.report(BrokerLost("b1", "it ended"))
    await turns.turn()
    assert carried == [StartBroker("b1", 1)], "when the snapshot begins it is under way"
    turns.close()
    turns.journal.close()


async def test_reached_is_when_all_is_archived(tmp_path: Path) -> None:
    turns = Hands().turns(tmp_path)
    reached = asyncio.create_task(turns.reached({0: 3, 1: 0}))
    await turns.turn()
    assert not reached.done()
    turns.recorder.add(batch.Header(batch.EVENTS, 0, 1, 0, 3, 7), batch.encode(simple(3)))
    await turns.turn()
    await reached
    turns.close()
    turns.journal.close()


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(-50, 50))), st.integers(0, 100))
def test_the_clock_never_goes_back_nor_stands_still(moves: list[tuple[int, int]], floor: int) -> None:
    monotonic, wall = 0, 50
    clock = Clock(floor, lambda: wall, lambda: monotonic)
    last = clock.now()
    assert last >= floor
    for passed, jump in moves:
        monotonic += 2 * passed
        wall += 2 * passed + jump
        now = clock.now()
        assert now >= last + passed or now >= wall
        assert now >= last
        last = now
