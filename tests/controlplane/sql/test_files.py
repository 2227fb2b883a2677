"""The same answers from copied files, without a fleet; the files stay as they are."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.questions import AskSql, AskStatus, Refusal, SqlAnswer, decode_told, encode
from controlplane.sql.files import Files
from controlplane.sql.frames import framed, read
from tests.controlplane.sql.conftest import Office

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


def bytes_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_copied_files_answer_as_the_fleet_does(office: Office, copied: Path, tmp_path: Path) -> None:
    before = bytes_of(copied)
    for named in (copied, copied / "journal", copied / "journal" / "000001.duckdb"):
        files = Files([str(named)], str(tmp_path / "spill"))
        for sql in ASKED:
            told = files.answer(AskSql(sql))
            assert isinstance(told.body, SqlAnswer), told.body
            assert told.body.values() == await office.rows(sql), sql
            assert told.position == office.journal.position
    assert bytes_of(copied) == before


def refused(files: Files, sql: str) -> str:
    told = files.answer(AskSql(sql))
    assert isinstance(told.body, Refusal)
    return told.body.message


async def test_what_files_do_not_answer(copied: Path, tmp_path: Path) -> None:
    files = Files([str(copied)], "")
    assert "only SELECT" in refused(files, "attach 'x'")
    assert "/etc/passwd" in refused(files, "from '/etc/passwd'")
    assert isinstance(files.answer(AskStatus()).body, Refusal)
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
    line.sendall(framed(encode(AskSql("select count(*) from events"))) + framed(encode(AskSql("nonsense"))))
    first, second = (decode_told(read(line.recv)).body for _ in range(2))
    assert isinstance(first, SqlAnswer) and first.values() == [[13]]
    assert isinstance(second, Refusal) and "syntax error" in second.message
