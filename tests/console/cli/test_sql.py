"""`signalbox sql`: formats, refusals, Ctrl-C, the prompt, standard input, copied files."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from console import sqlprompt
from console.failures import INTERRUPTED, Failure
from console.sqlline import FileLine
from controlplane.questions import (
    AskSql,
    CancelSql,
    Progress,
    Question,
    Refusal,
    SqlAnswer,
    SqlCancelled,
    SqlColumn,
    Told,
)
from tests.console.cli.conftest import telling
from tests.console.cli.responder import Responder, plane_file
from tests.console.cli.test_fleet import ROOT

ROWS = [[2**64 - 1, "1.10", None, b"\x00", {"a": [1]}, "a\nb"], [0, "2.00", True, b"", {}, ""]]
TYPES = ("UBIGINT", "DECIMAL(4,2)", "BOOLEAN", "BLOB", "JSON", "VARCHAR")
ANSWER = SqlAnswer(
    [SqlColumn(name, kind) for name, kind in zip("ndbxjt", TYPES, strict=True)],
    msgspec.Raw(msgspec.msgpack.encode(ROWS)),
    2,
    took_ns=12_000_000,
)


@pytest.fixture
def folder(fleet_of) -> Path:
    return fleet_of(telling(ANSWER))


def test_every_format(cli, folder: Path) -> None:
    ask = ("sql", "select", "--data-dir", str(folder), "-o")
    told = json.loads(cli(*ask, "json").out)
    assert set(told) == {"schema", "position", "recorded", "columns", "rows", "count", "cut", "took_ns", "journal_from"}
    assert told["columns"][0] == {"name": "n", "type": "UBIGINT"}
    assert told["rows"][0] == {"n": 2**64 - 1, "d": "1.10", "b": None, "x": "AA==", "j": {"a": [1]}, "t": "a\nb"}
    lines = cli(*ask, "ndjson").out.splitlines()
    assert [json.loads(line) for line in lines] == told["rows"]
    assert cli(*ask, "csv").out == (
        '"n","d","b","x","j","t"\n18446744073709551615,"1.10","","AA==","{""a"":[1]}","a\nb"\n0,"2.00",True,"","{}",""\n'
    )
    table = cli(*ask, "table").out.splitlines()
    assert table[0].split() == ["n", "d", "b", "x", "j", "t"]
    assert table[1].split() == ["18446744073709551615", "1.10", "NULL", "\\x00", '{"a":[1]}', "a", "b"]
    assert table[-1] == "2 rows, 12ms"


def test_a_cut_answer_and_an_empty_one(cli, fleet_of) -> None:
    cut = SqlAnswer([SqlColumn("n", "BIGINT")], msgspec.Raw(b"\x91\x91\x01"), 1, "more than 1 rows")
    assert "there are more than 1 rows" in cli("sql", "x", "--data-dir", str(fleet_of(telling(cut)))).err


def test_what_retention_let_go_of_is_said_and_no_data(cli, fleet_of) -> None:
    told = SqlAnswer([SqlColumn("n", "BIGINT")], msgspec.Raw(b"\x91\x91\x01"), 1, journal_from=1_204)
    result = cli("sql", "x", "-o", "csv", "--data-dir", str(fleet_of(telling(told))))
    assert result.out == '"n"\n1\n' and "begins after position 1,204: retention" in result.err


def test_an_empty_answer_still_has_a_header(cli, fleet_of) -> None:
    folder = fleet_of(telling(SqlAnswer([SqlColumn("n", "BIGINT")], msgspec.Raw(b"\x90"), 0)))
    assert cli("sql", "x", "--data-dir", str(folder), "-o", "csv").out == '"n"\n'
    assert cli("sql", "x", "--data-dir", str(folder)).out == "n\n0 rows, 0s\n"


def test_options_reach_the_question(cli, responder, tmp_path: Path) -> None:
    made: Responder = responder(telling(ANSWER))
    (tmp_path / "plane.json").write_bytes(plane_file(made.url))
    assert cli("sql", "select 1", "--timeout", "2.5", "-n", "7", "--data-dir", str(tmp_path)).code == 0
    (asked,) = made.asked
    assert isinstance(asked, AskSql) and (asked.sql, asked.timeout_ms, asked.rows) == ("select 1", 2500, 7)


def test_a_refusal_keeps_its_place(cli, fleet_of) -> None:
    refusal = Refusal("usage", "Parser Error: no\n\nLINE 1: selec\n        ^")
    result = cli("sql", "selec", "--data-dir", str(fleet_of(telling(refusal))))
    assert (result.code, result.err) == (2, "signalbox: Parser Error: no\n\nLINE 1: selec\n        ^\n")


def test_without_a_terminal_a_query_comes_from_standard_input(cli, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 1\n"))
    assert cli("sql", "--data-dir", str(folder), "-o", "ndjson").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli("sql", "--data-dir", str(folder)).code == 2


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from console.cli import main; main()", "sql", *arguments]


def test_ctrl_c_cancels_at_once(responder, tmp_path: Path) -> None:
    def answer(question: Question) -> list[Told | bytes]:
        body = SqlCancelled(True) if isinstance(question, CancelSql) else Progress(0, 0, "running the query")
        if isinstance(question, AskSql):
            os.kill(process.pid, signal.SIGINT)
            begun.append(monotonic())
        return [Told(1, 1, body)]

    begun: list[float] = []
    made: Responder = responder(answer)
    (tmp_path / "plane.json").write_bytes(plane_file(made.url))
    process = subprocess.Popen(command("select", "--data-dir", str(tmp_path)), cwd=ROOT)
    assert process.wait(60) == INTERRUPTED
    assert monotonic() - begun[0] < 0.5
    asked, cancelled = made.asked
    assert isinstance(asked, AskSql) and isinstance(cancelled, CancelSql) and asked.token == cancelled.token != ""


def test_the_prompt(monkeypatch, capsys) -> None:
    """Queries over several lines, commands, a failure, Ctrl-C, and the end."""
    typed = iter(
        [
            "\\d",
            "\\d events",
            "\\d x",
            "\\?",
            "select 1",
            "from x;",
            "bad;",
            "",
            KeyboardInterrupt,
            "slow;",
            "last",
            EOFError,
        ]
    )
    asked: list[str] = []

    def type_(prompt: str) -> str:
        word = next(typed)
        if not isinstance(word, str):
            raise word
        return word

    def answer(sql: str) -> None:
        asked.append(sql)
        if sql == "bad":
            raise Failure("no such thing", "try another")
        if sql == "slow":
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", type_)
    sqlprompt.run(answer)
    said = capsys.readouterr().err
    assert asked == ["select 1\nfrom x", "bad", "slow"]
    for words in ("dead_letters", "recorded_ns", "there is no table x", "no such thing\ntry another", "cancelled"):
        assert words in said


def test_the_prompt_remembers(monkeypatch, tmp_path: Path) -> None:
    readline = pytest.importorskip("readline")
    readline.clear_history()

    def type_(prompt: str) -> str:
        if readline.get_current_history_length():
            raise EOFError
        readline.add_history("select 42")
        return "\\d"

    monkeypatch.setattr("builtins.input", type_)
    sqlprompt.run(lambda sql: None)
    kept = tmp_path / "state" / "signalbox" / "sql_history"
    assert "42" in kept.read_text(encoding="utf-8")
    assert kept.stat().st_mode & 0o077 == 0
    readline.clear_history()
    monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(EOFError))
    sqlprompt.run(lambda sql: None)
    assert readline.get_history_item(1) is not None


def test_copied_files_that_are_none(cli, tmp_path: Path) -> None:
    result = cli("sql", "select 1", "--file", str(tmp_path / "nothing"))
    assert (result.code, "there is no journal" in result.err) == (4, True)


def test_a_query_over_files_has_its_time_and_the_next_one_works(tmp_path: Path) -> None:
    from controlplane.journal import Journal
    from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, step_of

    journal = Journal(tmp_path, FOLLOWS)
    journal.commit([step_of(journal, arrived(simple(30)))])
    journal.close()
    line = FileLine([str(tmp_path)])
    try:
        assert line.ask("select count(*) from events", None, 10, lambda text: None)[1].values() == [[30]]
        with pytest.raises(Failure, match=r"longer than 0.3 s"):
            line.ask(
                "select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3",
                0.3,
                10,
                print,
            )
        told, answer = line.ask("select max(position) from events", None, 10, lambda text: None)
        assert (told.position, answer.values()) == (30, [[30]])
    finally:
        line.close()
