"""The write-ahead log of turns: what was written is in the journal after a start, whatever else is in the file."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.event import Event
from controlplane import aheadturns, limits
from controlplane.ahead import NAME, Ahead
from controlplane.errors import CorruptJournal, PlaneError
from controlplane.facts import Tick
from controlplane.fold import Step
from controlplane.journal import Journal, Kept
from controlplane.stored import Names, rows_of
from tests.controlplane.edge.examples import FOLLOWS, arrived, events, simple, step_of

PAGE = 4096


def turns_of(journal: Journal, count: int, first: int = 0) -> list[list[Kept]]:
    """Turns of one step each that go on where `journal` ends: events, or time that passes; facts and intents."""
    turns: list[list[Kept]] = []
    before: Step | None = None
    for n in range(first, first + count):
        given = arrived(simple(2, 2 * n), first_offset=2 * n)
        turns.append([step_of(journal, given, before, follow=n % 3)])
        before = turns[-1][-1].step
    return turns


def written(ahead: Ahead, journal: Journal, turns: list[list[Kept]]) -> None:
    """Into the log alone."""
    before = journal.digest
    for number, turn in enumerate(turns):
        assert ahead.write(before, turn, from_start=number == 0)
        before = turn[-1].step.digest


def held(journal: Journal) -> list[Step]:
    return list(journal.replay())


def opened(folder: Path) -> tuple[Journal, Ahead]:
    journal = Journal(folder, FOLLOWS)
    return journal, Ahead(folder, journal)


def shut(journal: Journal, ahead: Ahead) -> None:
    ahead.close()
    journal.close()


class Empty:
    """What `step_of` needs of a journal that has nothing."""

    step = position = 0


@given(st.lists(events, min_size=1, max_size=5), st.integers(0, 3))
def test_a_turn_comes_back_as_it_was(published: list[Event], follow: int) -> None:
    empty: Any = Empty()
    turn = [step_of(empty, arrived(published), follow=follow)]
    turn.append(step_of(empty, Tick(), turn[0].step))
    again = aheadturns.decode(aheadturns.encode(b"before", turn))
    assert again.before == b"before" and [kept.arrival for kept in again.kept] == [kept.arrival for kept in turn]
    assert rows_of(again.kept, Names([]).id_of) == rows_of(turn, Names([]).id_of), "the same rows of the journal"


def test_what_the_journal_lacks_comes_from_the_log(tmp_path: Path) -> None:
    journal, ahead = opened(tmp_path)
    turns = turns_of(journal, 5)
    written(ahead, journal, turns)
    journal.commit(turns[0])
    journal.commit([*turns[1], *turns[2]])
    shut(journal, ahead)
    journal, ahead = opened(tmp_path)
    assert [step.number for step in held(journal)] == [1, 2, 3, 4, 5]
    assert held(journal)[-1] == turns[-1][0].step and journal.offsets == {0: 10}
    shut(journal, ahead)
    journal, ahead = opened(tmp_path)
    assert journal.step == 5, "and not once more"
    shut(journal, ahead)


def test_a_turn_that_is_torn_was_never_carried_out(tmp_path: Path) -> None:
    journal, ahead = opened(tmp_path)
    turns = turns_of(journal, 3)
    written(ahead, journal, turns)
    shut(journal, ahead)
    with open(tmp_path / NAME, "r+b") as file:
        file.seek(3 * PAGE + 200)
        file.write(b"torn")
    journal, ahead = opened(tmp_path)
    assert journal.step == 2
    shut(journal, ahead)


def test_what_an_older_turn_left_behind_is_no_turn(tmp_path: Path) -> None:
    journal, ahead = opened(tmp_path)
    older = turns_of(journal, 6)
    written(ahead, journal, older)
    for turn in older:
        journal.commit(turn)
    written(ahead, journal, turns_of(journal, 2, first=6))
    shut(journal, ahead)
    journal, ahead = opened(tmp_path)
    assert [step.number for step in held(journal)] == list(range(1, 9))
    shut(journal, ahead)


def test_another_journals_turns_are_left_out_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An older copy of the journal was put back, or it was begun anew, and the log stayed."""
    journal, ahead = opened(tmp_path)
    turns = turns_of(journal, 4)
    for turn in turns[:2]:
        journal.commit(turn)
    written(ahead, journal, turns[2:])
    shut(journal, ahead)
    log = (tmp_path / NAME).read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / NAME).write_bytes(log)
    journal, ahead = opened(other)
    assert journal.step == 0, "there is a gap"
    assert "has turns that do not follow on step 0: they are left out" in caplog.text
    for turn in turns_of(journal, 2):
        turn[-1].step.digest = b"another history"
        journal.commit(turn)
    shut(journal, ahead)
    (other / NAME).write_bytes(log)
    journal, ahead = opened(other)
    assert journal.step == 2
    shut(journal, ahead)


@pytest.mark.parametrize("content", [b"", b"SBT1", bytes(PAGE), os.urandom(3 * PAGE), b"SBT1" + bytes(5 * PAGE)])
def test_a_file_that_holds_no_turn_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    journal, ahead = opened(tmp_path)
    assert journal.step == 0
    written(ahead, journal, turns_of(journal, 2))
    shut(journal, ahead)
    journal, ahead = opened(tmp_path)
    assert journal.step == 2 and (tmp_path / NAME).stat().st_size == limits.AHEAD_BYTES
    shut(journal, ahead)


def test_what_another_version_wrote_is_said_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, ahead = opened(tmp_path)
    monkeypatch.setattr(aheadturns, "encode", lambda before, turn: b"\xc0 of a later version")
    written(ahead, journal, turns_of(journal, 1))
    shut(journal, ahead)
    log = (tmp_path / NAME).read_bytes()
    with closing(Journal(tmp_path, FOLLOWS)) as journal, pytest.raises(CorruptJournal, match="move the file away"):
        Ahead(tmp_path, journal)
    assert (tmp_path / NAME).read_bytes() == log


def test_it_has_room_for_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AHEAD_BYTES", 4 * PAGE)
    journal, ahead = opened(tmp_path)
    turns = turns_of(journal, 5)
    written(ahead, journal, turns[:3])
    before = turns[2][-1].step.digest
    assert not ahead.write(before, turns[3], from_start=False)
    for turn in turns[:3]:
        journal.commit(turn)
    assert ahead.write(before, turns[3], from_start=True)
    shut(journal, ahead)
    assert (tmp_path / NAME).stat().st_size == 4 * PAGE
    journal, ahead = opened(tmp_path)
    assert journal.step == 4
    shut(journal, ahead)


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with closing(Journal(tmp_path, FOLLOWS)) as journal, pytest.raises(PlaneError, match=NAME):
        Ahead(tmp_path, journal)
