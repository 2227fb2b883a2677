"""Turns that are written ahead: effects follow the log, whoever waits for the journal waits for the journal."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import batch
from controlplane import ahead as ahead_module
from controlplane import limits
from controlplane.ahead import NAME, Ahead
from controlplane.aheadturns import as_seen
from controlplane.clock import Clock
from controlplane.errors import CorruptJournal, DiskFull
from controlplane.facts import BrokerLost, SettingSet
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.turns import Turns
from tests.controlplane.edge.examples import FOLLOWS, simple
from tests.controlplane.edge.test_turns import Counting, Gate, Hands, facts, flood, idle, while_looking

NEVER_MS = 1_000_000


class Plane(Hands):
    """Turns with a write-ahead log; commits wait at `gate`, and nobody waits for them so long that they begin."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        clock = Clock(0, lambda: self.now, lambda: self.now)
        journal = Journal(folder, FOLLOWS)
        self.log = Ahead(folder, journal)
        self.made = Turns(Heart([Counting()]), journal, clock, FOLLOWS, self.carried.extend, ahead=self.log)
        self.gate = Gate(self.made, monkeypatch)
        self.running = asyncio.create_task(self.made.run())

    def lose(self, broker: str) -> None:
        """One turn that wants something done."""
        self.made.report(BrokerLost(broker, "it ended"))

    async def carries(self, count: int) -> None:
        await while_looking(lambda: len(self.carried) >= count)

    async def lost(self, *brokers: str) -> None:
        """A turn each, carried out one after the other."""
        for broker in brokers:
            self.lose(broker)
            await self.carries(len(self.carried) + 1)

    async def end(self) -> None:
        """Whatever became of it."""
        self.gate.open()
        self.made.finish()
        await asyncio.gather(self.running, return_exceptions=True)
        self.made.close()
        self.log.close()
        self.made.journal.close()

    @property
    def ids(self) -> list[str]:
        return [intent.id for _, _, intent in self.carried]  # type: ignore[attr-defined]


@pytest.fixture
async def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plane]:
    monkeypatch.setattr(limits, "AHEAD_GATHER_MS", NEVER_MS)
    monkeypatch.setattr(limits, "FULL_RETRY_MS", 1)
    made = Plane(tmp_path, monkeypatch)
    yield made
    await made.end()


async def test_effects_follow_the_log_and_one_transaction_takes_what_has_gathered(plane: Plane) -> None:
    await plane.lost("b1", "b2", "b3")
    assert plane.ids == ["b1", "b2", "b3"] and (plane.gate.begun, plane.made.journal.position) == (0, 0)
    asked = asyncio.create_task(plane.made.settled())
    await while_looking(lambda: plane.gate.begun == 1)
    await idle()
    assert not asked.done()
    plane.gate.room.release()
    await asked
    assert plane.gate.begun == 1 and plane.made.journal.digest == plane.made.heart.digest()
    assert [fact.id for fact in facts(plane.made) if isinstance(fact, BrokerLost)] == ["b1", "b2", "b3"]


async def test_effects_go_on_while_the_journal_takes_what_was_before(plane: Plane) -> None:
    await plane.lost("b1")
    reached = asyncio.create_task(plane.made.beyond(0))
    await while_looking(lambda: plane.gate.begun == 1)
    await plane.lost("b2", "b3")
    assert not reached.done() and plane.made.journal.position == 0
    plane.gate.open()
    await reached
    assert await plane.made.decide(SettingSet("a", "b")) == plane.made.journal.position


async def test_what_was_carried_out_is_in_the_journal_after_a_crash(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plane.lost("b1", "b2")
    assert plane.made.journal.position == 0
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / NAME).write_bytes((tmp_path / NAME).read_bytes())
    journal = Journal(crashed, FOLLOWS)
    Ahead(crashed, journal).close()
    assert [step.intents for step in journal.replay() if step.intents] == [[each] for each in plane.carried]
    heart = Heart([Counting()])
    for step in journal.replay():
        heart.replay(step)
    assert heart.digest() == plane.made.heart.digest() == journal.digest
    journal.close()


async def test_a_large_turn_waits_for_the_journal_and_those_behind_it_too(plane: Plane) -> None:
    flood(plane.made, 1)
    plane.lose("b1")
    await while_looking(lambda: plane.gate.begun == 1)
    await idle()
    assert plane.carried == []
    plane.lose("b2")
    await idle()
    assert plane.carried == [], "its turn follows one that a crash would take back"
    plane.gate.room.release()
    await plane.carries(2)
    assert plane.ids == ["b1", "b2"] and plane.gate.begun == 1


async def test_the_heart_is_ahead_of_the_journal_by_so_many_turns(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AHEAD_TURNS_MAX", 3)
    await plane.lost("b1", "b2", "b3")
    plane.lose("b4")
    await while_looking(lambda: plane.gate.begun == 1)
    await idle()
    assert plane.ids == ["b1", "b2", "b3"]
    plane.gate.room.release()
    await plane.carries(4)


async def test_a_full_log_has_the_journal_take_its_turns(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AHEAD_BYTES", 3 * 4096)
    await plane.lost("b1", "b2")
    plane.lose("b3")
    await while_looking(lambda: plane.gate.begun == 1)
    await idle()
    assert plane.ids == ["b1", "b2"]
    plane.gate.room.release(2)
    await plane.carries(3)
    await plane.lost("b4")
    assert plane.gate.begun == 2, "the log begins again"


async def test_without_the_log_effects_wait_for_the_journal(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(5, "the disk does not answer")

    await plane.lost("b1")
    monkeypatch.setattr(ahead_module, "_sync", refuse)
    plane.lose("b2")
    plane.lose("b3")
    await while_looking(lambda: plane.gate.begun == 1)
    await idle()
    assert plane.ids == ["b1"]
    plane.gate.open()
    await plane.carries(3)
    await plane.made.settled()
    assert [line.message for line in caplog.records if "write-ahead" in line.message] == [
        "turns go to the journal without the write-ahead log: [Errno 5] the disk does not answer"
    ]


async def test_while_the_disk_is_full_nothing_new_is_taken_and_questions_are_answered(plane: Plane) -> None:
    await plane.lost("b1")
    plane.gate.fails = DiskFull("no room for the journal")
    plane.gate.open()
    told = asyncio.create_task(plane.made.beyond(0))
    await while_looking(lambda: bool(plane.made.full))
    await plane.made.settled()
    plane.lose("b2")
    plane.lose("b3")
    await idle()
    await plane.made.settled()
    assert plane.ids == ["b1"] and not told.done()
    plane.gate.fails = None
    plane.gate.open()
    await plane.carries(3)
    await told


async def test_a_commit_that_fails_beside_other_turns_ends_them(plane: Plane) -> None:
    await plane.lost("b1")
    plane.gate.fails = CorruptJournal("it is damaged")
    plane.gate.open()
    with pytest.raises(CorruptJournal):
        await asyncio.gather(plane.running, plane.made.settled())


async def test_events_that_came_ahead_are_not_taken_twice_after_a_crash(plane: Plane, tmp_path: Path) -> None:
    plane.made.recorder.add(batch.Header(batch.EVENTS, 4, 1, 0, 6, 7), batch.encode(simple(6)))
    await plane.lost("b1")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / NAME).write_bytes((tmp_path / NAME).read_bytes())
    journal = Journal(crashed, FOLLOWS)
    Ahead(crashed, journal).close()
    assert journal.offsets == {4: 6} and journal.events == 6
    journal.close()


async def test_a_plane_that_starts_while_the_disk_is_full_goes_on_with_what_the_log_has(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.made.recorder.add(batch.Header(batch.EVENTS, 4, 1, 0, 6, 7), batch.encode(simple(6)))
    await plane.lost("b1", "b2")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / NAME).write_bytes((tmp_path / NAME).read_bytes())

    def refuse(journal: Journal, kept: object) -> None:
        raise DiskFull("no room for the journal")

    with monkeypatch.context() as full:
        full.setattr(Journal, "commit", refuse)
        again = Plane(crashed, monkeypatch)
    pending = again.log.pending
    assert [kept.step.number for kept in pending] == list(range(1, len(pending) + 1))
    for kept in pending:
        again.made.heart.replay(as_seen(kept, FOLLOWS))
    again.gate.fails = DiskFull("no room for the journal")
    again.gate.open()
    again.lose("b3")
    await while_looking(lambda: bool(again.made.full))
    await again.made.settled()
    assert again.carried == [] and again.made.journal.position == 0
    # The brokers send it again to whoever asks from an older offset: it is there already.
    again.made.recorder.add(batch.Header(batch.EVENTS, 4, 1, 0, 6, 7), batch.encode(simple(6)))
    assert again.made.recorder.repeated == 6
    again.gate.fails, again.gate._commit = None, lambda kept: Journal.commit(again.made.journal, kept)
    again.gate.open()
    await again.carries(1)
    await again.made.decide(SettingSet("a", "b"))
    assert again.ids == ["b3"], "what was carried out before is not carried out again"
    assert [fact.id for fact in facts(again.made) if isinstance(fact, BrokerLost)] == ["b1", "b2", "b3"]
    assert again.made.journal.digest == again.made.heart.digest()
    await again.end()
