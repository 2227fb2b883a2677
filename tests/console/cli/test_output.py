"""Pages as table, JSON, lines and CSV: aligned, complete, and never in command of the terminal."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from console.canvas import width_of
from console.output import Column, Page, csv_of, paint, record_of, say, table_of
from controlplane.questions import (
    SCHEMA,
    AgentRow,
    AgentTurn,
    AskAgent,
    Happening,
    Link,
    Refusal,
    RouteExplained,
    RouteStep,
    RouteTask,
    RuleVerdict,
)
from controlplane.questions import Agent as AgentDetail
from tests.console.cli.conftest import telling

texts = st.text(max_size=20)
COLUMNS = [Column("one", lambda row: row[0], flex=True), Column("two", lambda row: row[1], "r")]


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), texts, st.none() | st.integers(30, 60))
def test_no_text_drives_the_terminal(rows: list[tuple[str, str]], above: str, width: int | None) -> None:
    text = table_of(Page({}, rows, COLUMNS, above=above), width, colour=False)
    for line in text.split("\n"):
        assert all(char == " " or char.isprintable() for char in line), repr(line)


@given(st.lists(st.tuples(texts, st.text("xy", min_size=1)), min_size=1, max_size=5))
def test_columns_stand_under_their_names(rows: list[tuple[str, str]]) -> None:
    lines = table_of(Page({}, rows, COLUMNS), None, colour=False).splitlines()
    assert len(lines) == len(rows) + 1
    assert len({width_of(line) for line in lines if line.endswith(("two", "x"))}) <= 1


def test_a_narrow_terminal_cuts_the_flexible_column() -> None:
    rows = [("n" * 60, "1,204")]
    lines = table_of(Page({}, rows, COLUMNS), 40, colour=False).splitlines()
    assert all(width_of(line) <= 40 for line in lines)
    assert "…" in lines[1] and lines[1].endswith("1,204")
    assert "n" * 60 in table_of(Page({}, rows, COLUMNS), None, colour=False)


def test_an_empty_page_says_what_to_do_next() -> None:
    page = Page({}, [], COLUMNS, empty="no flows yet\n  signalbox demo")
    assert table_of(page, None, colour=False) == "no flows yet\n  signalbox demo\n"


def test_colour_is_only_added_to_shapes() -> None:
    assert paint("● fine") == "\x1b[32m●\x1b[0m fine"
    assert paint("plain") == "plain"


def test_json_has_a_schema_and_no_tag() -> None:
    record = record_of(Happening(1, 2, "ok", "said"), {"position": 5})
    assert record == {"schema": SCHEMA, "position": 5, "at": 1, "severity": "ok", "text": "said"} | {"position": 2}


@given(st.lists(st.fixed_dictionaries({"name": texts, "many": st.lists(st.integers(0, 9), max_size=3)}), min_size=1))
def test_csv_is_read_back(rows: list[dict[str, object]]) -> None:
    read = list(csv.DictReader(io.StringIO(csv_of(rows), newline="")))
    assert [(row["name"], json.loads(row["many"])) for row in read] == [(row["name"], row["many"]) for row in rows]


def test_the_past_says_so_in_a_dim_heading() -> None:
    page = Page({}, [("a", "1")], COLUMNS, above="● fine", as_of="as of 14:03:12.123, position 120,431")
    assert table_of(page, None, colour=False).splitlines()[0] == "as of 14:03:12.123, position 120,431"
    assert table_of(page, None, colour=True).startswith(
        "\x1b[2mas of 14:03:12.123, position 120,431\x1b[0m\n\x1b[32m●\x1b[0m fine\n"
    )


def test_talk_does_not_drive_the_terminal_either(cli, fleet_of, capsys) -> None:
    say("one\x1b[2J\ntwo\x9b31m\r\x7f")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2 and all(line.isprintable() for line in said.splitlines()), said
    folder = fleet_of(telling(Refusal("failed", "it said \x1b]0;owned\x07", "do\x1b[2J")))
    result = cli("agent", "show", "a", "--data-dir", folder)
    assert (result.code, result.out) == (1, "") and "owned" in result.err and "do" in result.err
    assert all(line.isprintable() for line in result.err.splitlines()), result.err


def test_an_error_text_that_an_agent_gave_does_not_drive_the_terminal(cli, fleet_of) -> None:
    evil = "boom\x1b[2J\x1b]0;owned\x07\x9b31m"
    task = RouteTask("4711.0", "out", "plan", "agent/a", 2, 1, evil)
    row = AgentRow(
        "agent/a", "warn", "quarantined", 1, 1, ["plan"], evil, evil, None, None, None, 1, None, None, None, None, None,
        1, 1, evil, evil, evil, evil, evil,
    )  # fmt: skip
    detail = AgentDetail(
        row, evil, evil, {evil: evil}, 0, 0, 0, evil, 1, 1, [AgentTurn("left", 1, 1, evil)], [], [evil], [Link(evil)],
        [evil], [task],
    )  # fmt: skip
    explained = RouteExplained(
        evil, evil, 1, 1, [RuleVerdict(evil, "error", evil)], [], [task], [RouteStep(1, 1, "TaskSettled", evil)], evil
    )
    folder = fleet_of(lambda asked: telling(detail if isinstance(asked, AskAgent) else explained)(asked))
    for line in (("agent", "show", "a"), ("route", "explain", "e-1")):
        result = cli(*line, "--data-dir", folder)
        assert (result.code, result.err) == (0, "") and "owned" in result.out
        assert all(shown.isprintable() for shown in result.out.split("\n")), result.out
