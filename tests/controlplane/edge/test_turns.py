"""Turns: what is reported is committed, in order and once, whatever the clock and the disk do."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import batch
from bus.limits import BATCH_EVENTS_MAX
from controlplane import limits
from controlplane.clock import Clock
from controlplane.errors import CorruptJournal, DiskFull
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


RECORDS = limits.TURN_EVENTS_MAX // BATCH_EVENTS_MAX
"""Of a full turn."""
FLOODED = dict.fromkeys(range(4 * RECORDS), BATCH_EVENTS_MAX)


class Gate:
    """Commits that wait until they are let through; `begun` counts them."""

    def __init__(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.room = threading.Semaphore(0)
        self.fails: Exception | None = None
        self._commit: Callable[[Sequence[Kept]], None] = turns.journal.commit
        monkeypatch.setattr(turns.journal, "commit", self.commit)

    def commit(self, kept: Sequence[Kept]) -> None:
        self.begun += 1
        self.room.acquire()
        if self.fails is not None:
            raise self.fails
        self._commit(kept)

    def open(self) -> None:
        self.room.release(100)


def flood(turns: Turns, turns_full: int) -> None:
    """So many full turns of events wait, a record in each partition."""
    for partition in range(turns_full * RECORDS):
        header = batch.Header(batch.EVENTS, partition, 1, 0, BATCH_EVENTS_MAX, 7)
        turns.recorder.add(header, batch.encode(simple(BATCH_EVENTS_MAX)))


async def while_looking(until: Callable[[], bool]) -> None:
    """The loop goes round until then."""
    while not until():  # noqa: ASYNC110 - a state of what is tested, which has no event for it
        await asyncio.sleep(0)


async def idle() -> None:
    """Whatever can go on without a commit has gone on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_full_turn_is_stepped_while_one_is_committed_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, size = Hands(), limits.TURN_EVENTS_MAX
    turns = hands.turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    flood(turns, 4)
    turns.report(BrokerLost("b1", "it ended"))
    running = asyncio.create_task(turns.run())
    await while_looking(lambda: turns.heart.position > 2 * size)
    await idle()
    assert (gate.begun, turns.heart.states["counting"].get("count", "all")) == (1, 2 * size + 1)
    asked = asyncio.create_task(turns.settled())
    turns.report(BrokerLost("b2", "it ended"))
    await idle()
    assert not asked.done() and turns.journal.position == 0 and hands.carried == []
    gate.room.release()
    await while_looking(lambda: gate.begun == 2)
    await idle()
    # Somebody waits for the state: nothing is stepped beyond the second turn.
    assert turns.heart.states["counting"].get("count", "all") == 2 * size + 1
    assert [intent.id for _, _, intent in hands.carried] == ["b1"]  # type: ignore[attr-defined]
    assert not asked.done()
    gate.room.release()
    await asked
    assert turns.heart.position == turns.journal.position and turns.heart.digest() == turns.journal.digest
    gate.open()
    await turns.reached(FLOODED)
    turns.finish()
    await running
    assert turns.journal.digest == turns.heart.digest()
    kinds = [type(fact) for fact in facts(turns) if type(fact) is not Tick]
    assert kinds == [BrokerLost, *[Rows] * 2 * RECORDS] * 2
    turns.close()
    turns.journal.close()


async def test_a_snapshot_is_taken_where_the_journal_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Snapshots:
        taken = 0

        def is_due(self, heart: Heart) -> bool:
            return True

        def take(self, heart: Heart, journaled: bytes) -> None:
            assert heart.digest() == journaled
            self.taken += 1

    turns = Hands().turns(tmp_path)
    turns.snapshots = Snapshots()  # type: ignore[assignment]
    flood(turns, 4)
    running = asyncio.create_task(turns.run())
    await turns.reached(FLOODED)
    turns.finish()
    await running
    assert turns.snapshots.taken >= 4  # type: ignore[attr-defined]
    turns.close()
    turns.journal.close()


async def test_a_disk_that_is_full_while_the_next_turn_is_stepped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FULL_RETRY_MS", 1)
    hands, size = Hands(), limits.TURN_EVENTS_MAX
    turns = hands.turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    flood(turns, 4)
    turns.report(BrokerLost("b1", "it ended"))
    running = asyncio.create_task(turns.run())
    await while_looking(lambda: turns.heart.position > 2 * size)
    gate.fails = DiskFull("no room for the journal")
    gate.open()
    await while_looking(lambda: gate.begun > 3)
    await turns.settled()
    assert turns.full and turns.heart.states["counting"].get("count", "all") == 2 * size + 1
    assert not hands.carried and turns.journal.position == 0
    gate.fails = None
    gate.open()
    await turns.reached(FLOODED)
    turns.finish()
    await running
    assert turns.full == "" and len(hands.carried) == 1
    assert turns.journal.digest == turns.heart.digest()
    turns.close()
    turns.journal.close()


async def test_a_commit_that_fails_ends_the_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands()
    turns = hands.turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    flood(turns, 4)
    running = asyncio.create_task(turns.run())
    await while_looking(lambda: turns.heart.position > 2 * limits.TURN_EVENTS_MAX)
    gate.fails = CorruptJournal("it is damaged")
    gate.open()
    with pytest.raises(CorruptJournal):
        await running
    assert gate.begun == 1 and turns.journal.position == 0
    turns.close()
    turns.journal.close()


async def test_who_is_cancelled_amid_a_full_disk_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Hands().turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    flood(turns, 4)
    running = asyncio.create_task(turns.run())
    await while_looking(lambda: turns.heart.position > 2 * limits.TURN_EVENTS_MAX)
    gate.fails = DiskFull("no room for the journal")
    gate.open()
    await while_looking(lambda: bool(turns.full))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
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


async def test_a_plane_that_has_no_room_for_its_first_turn_ends_when_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FULL_RETRY_MS", 1)
    turns = Hands().turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    gate.fails = DiskFull("no room for the journal")
    gate.open()
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    first = asyncio.create_task(turns.first(stop))
    await while_looking(lambda: gate.begun > 3)
    assert not first.done(), "it waits for room"
    stop.set_result("down")
    with pytest.raises(DiskFull, match="it ends before it began"):
        await first
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing tries on"
    turns.close()
    turns.journal.close()


async def test_a_first_turn_that_is_under_way_comes_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Hands().turns(tmp_path)
    gate = Gate(turns, monkeypatch)
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop.set_result("down")
    first = asyncio.create_task(turns.first(stop))
    await while_looking(lambda: gate.begun == 1)
    gate.open()
    await first
    assert turns.journal.position == 1
    turns.close()
    turns.journal.close()
