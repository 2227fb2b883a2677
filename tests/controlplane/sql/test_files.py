"""The same answers from copied files, without a fleet; the files stay as they are."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane import limits
from controlplane.errors import SqlRefused
from controlplane.fold import Heart
from controlplane.plane import folds
from controlplane.questions import AskSql, AskStatus, At, Progress, Refusal, SqlAnswer, decode_told, encode
from controlplane.snapshots import Snapshots
from controlplane.sql.files import Files
from controlplane.sql.frames import framed, read
from controlplane.sql.state import refuse_present_only
from tests.controlplane.sql.conftest import Office, order

ASKED = (
    "select * from events order by position",
    "select * from facts order by position",
    "select * from flows order by source, type",
    "select * exclude (waiting_ns) from sagas order by saga",
    "select * from dead_letters order by id",
)


@pytest.fixture
async def copied(office: Office) -> Path:
    """A copy of the journal while its plane lives: its write-ahead log holds it all."""
    copy = office.folder / "copy"
    shutil.copytree(office.folder / "journal", copy / "journal")
    return copy


def tell(work: Progress) -> None:
    """Nobody waits here for how far it is."""


def bytes_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_copied_files_answer_as_the_fleet_does(office: Office, copied: Path, tmp_path: Path) -> None:
    before = bytes_of(copied)
    for named in (copied, copied / "journal", copied / "journal" / "000001.duckdb"):
        files = Files([str(named)], str(tmp_path / "spill"))
        for sql in ASKED:
            told = files.answer(AskSql(sql), tell)
            assert isinstance(told.body, SqlAnswer), told.body
            assert told.body.values() == await office.rows(sql), sql
            assert told.position == office.journal.position
    assert bytes_of(copied) == before


def refused(files: Files, sql: str, at: At | None = None) -> str:
    told = files.answer(AskSql(sql), tell, at)
    assert isinstance(told.body, Refusal)
    return told.body.message


async def test_what_files_do_not_answer(copied: Path, tmp_path: Path) -> None:
    files = Files([str(copied)], "")
    assert "only SELECT" in refused(files, "attach 'x'")
    assert "/etc/passwd" in refused(files, "from '/etc/passwd'")
    assert isinstance(files.answer(AskStatus(), tell).body, Refusal)
    journal = copied / "journal" / "000001.duckdb"
    shutil.copy(journal, journal.with_name("000002.duckdb"))
    assert "whole journal" in refused(Files([str(journal)], ""), "from sagas")
    junk = tmp_path / "junk.duckdb"
    junk.write_bytes(b"no journal")
    assert "cannot be read" in refused(Files([str(junk)], ""), "from events")


@pytest.fixture
def line(copied: Path) -> Iterator[socket.socket]:
    """A worker process over the copy, as the command line starts it."""
    mine, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", "controlplane.sql", "--file", str(copied)]
    with theirs:
        child = subprocess.Popen(command, stdin=theirs.fileno())
    mine.settimeout(60)
    with mine:
        yield mine
        mine.shutdown(socket.SHUT_RDWR)
        child.wait(20)


async def test_a_worker_of_its_own_answers_over_its_line(line: socket.socket) -> None:
    counted = encode(AskSql("select count(*) from events"))
    line.sendall(framed(counted) + framed(b"") + framed(encode(AskSql("nonsense"))) + framed(b""))
    line.sendall(framed(counted) + framed(encode(At(position=5))))
    first, second, third = (decode_told(read(line.recv)) for _ in range(3))
    assert isinstance(first.body, SqlAnswer) and first.body.values() == [[13]] and not first.past
    assert isinstance(second.body, Refusal) and "syntax error" in second.body.message
    assert isinstance(third.body, SqlAnswer) and third.past and 0 < third.position <= 5
    assert third.body.values()[0][0] < 13


def answered(files: Files, sql: str, at: At | None = None) -> SqlAnswer:
    told = files.answer(AskSql(sql), tell, at)
    assert isinstance(told.body, SqlAnswer), told.body
    return told.body


async def test_copied_files_answer_of_then_as_the_fleet_did_then(office: Office, tmp_path: Path) -> None:
    then = []
    for number in range(20, 26):
        await office.say(order(number, priority="low"))
        answers = [await office.rows(sql.replace(" exclude (waiting_ns)", "")) for sql in ASKED]
        then.append((office.journal.position, office.heart.recorded, answers))
    files = Files([str(office.folder)], str(tmp_path / "spill"))
    office.journal.close()
    for position, recorded, answers in [then[2], then[4], then[0], then[5]]:
        for sql, answer in zip(ASKED, answers, strict=True):
            whole = sql.replace(" exclude (waiting_ns)", "")
            assert answered(files, whole, At(position=position)).values() == answer, sql
            assert answered(files, whole, At(instant=recorded)).values() == answer
    assert answered(files, "select count(*) from events").values() == [[19]]
    assert answered(files, "select count(*) from sagas", At(position=0)).values() == [[0]]
    end = then[-1][0]
    assert f"the journal ends at {end:,}" in refused(files, "from events", At(position=end + 1))
    assert "in the future" in refused(files, "from events", At(instant=2**62))
    assert answered(files, "select count(*) from events", At(instant=time.time_ns())).values() == [[19]]


async def test_a_part_of_a_journal_names_what_it_does_not_reach_back_to(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 20)
    for number in range(50, 90):
        await office.say(order(number))
        await asyncio.to_thread(office.journal.settle)
    sealed, _ = office.journal.sealed
    files = Files([str(sealed[1])], "")
    begin = office.journal._shelf.segments[1].birth.position
    said = refused(files, "select count(*) from facts", At(position=5))
    assert said.startswith("facts cannot be had as of then") and f"begins after position {begin:,}" in said
    assert str(sealed[1]) in said
    inside = answered(files, "select max(position), min(position) from events", At(position=begin + 4)).values()
    assert begin < inside[0][1] <= inside[0][0] <= begin + 4


async def test_files_are_folded_from_the_nearest_snapshot_on(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = office.folder / "journal" / "snapshots"
    snapshots = Snapshots(folder, folds, office.journal.journaled)
    snapshots.follow(office.heart)
    marks = []
    for number in range(30, 36):
        await office.say(order(number))
        if number in (31, 33):
            snapshots.take(office.heart, office.journal.digest)
            snapshots.settle()
            marks.append(office.heart.steps)
        if number == 32:
            middle = office.heart.position
    snapshots.close()
    expected = await office.rows("select * from sagas order by saga")
    office.journal.close()
    replayed: list[int] = []
    real = Heart.replay
    monkeypatch.setattr(Heart, "replay", lambda heart, step: (replayed.append(step.number), real(heart, step)))
    files = Files([str(office.folder)], str(tmp_path / "spill"))
    assert answered(files, "select * from sagas order by saga").values() == expected
    assert replayed == list(range(marks[1] + 1, office.heart.steps + 1))
    replayed.clear()
    answered(files, "select * from sagas", At(position=middle))
    assert replayed[0] == marks[0] + 1
    for path in folder.iterdir():
        path.write_bytes(b"damaged")
    replayed.clear()
    assert answered(Files([str(office.folder)], ""), "select * from sagas order by saga").values() == expected
    assert replayed[0] == 1


async def test_how_far_the_files_were_read_is_told(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PROGRESS_MS", 0)
    heard: list[Progress] = []
    files = Files([str(copied)], str(tmp_path / "spill"))
    told = files.answer(AskSql("select count(*) from sagas"), heard.append)
    assert [work.done for work in heard] == sorted(work.done for work in heard)
    assert heard[-1].done == heard[-1].total == told.position


def test_a_table_that_is_known_only_as_it_is_now_is_refused_by_name() -> None:
    refuse_present_only(["events", "events.attributes", "facts", "flows", "sagas", "dead_letters"])
    with pytest.raises(SqlRefused, match="moods is known only as it is now"):
        refuse_present_only(["events", "moods"])
