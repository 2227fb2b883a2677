"""`signalbox projection`: what it asks, what it shows, levers that touch what they showed, and how they end."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controlplane.questions import (
    AskProjection,
    AskProjections,
    Progress,
    Project,
    Projected,
    ProjectionRow,
    ProjectionRows,
    Projections,
    Question,
    Refusal,
    Told,
)
from tests.console.cli.conftest import telling
from tests.console.cli.responder import plane_file
from tests.console.cli.test_commands import SHAPES, shape

AT = 1_700_000_000_000_000_000


def row(name: str = "totals", state: str = "following", **more: Any) -> ProjectionRow:
    place = ("class", state, "bad" if state in ("standing", "quarantined") else "ok", "/a/b.py:Totals", "order.>")
    return ProjectionRow(name, *place, "/a/b.py", "ab" * 32, 120_431, 7, 9, AT, "op", "because", **more)


BROKEN = row("broken", "quarantined", why="KeyError: 'total'", mend="projection rebuild broken",
             event="e-7 (order.created)", event_position=4_711)  # fmt: skip
VIEW = ProjectionRow("spent", "view", "view", "ok", "select\n 1", "", "", "", None, None, 12, AT, "", "")
ALL = Projections([BROKEN, VIEW, row()])
HELD = ProjectionRows(
    "totals",
    ["key", "total", "note"],
    msgspec.Raw(msgspec.msgpack.encode([["a", 1, None], ["b", 22, {"x": "\x1b"}]])),
    2,
)


class Plane:
    """Keeps orders; each look is the next of `looks`, the last one again and again."""

    def __init__(self, *looks: ProjectionRow, touched: tuple[str, ...] = ("totals  class /a/b.py:Totals",)) -> None:
        self.looks = list(looks)
        self.touched = list(touched)
        self.asked: list[Project] = []

    def __call__(self, question: Question) -> Told:
        if isinstance(question, Project):
            self.asked.append(question)
            return Told(7, AT, Projected(question.verb, self.touched, question.dry_run, 0 if question.dry_run else 9))
        assert isinstance(question, AskProjections)
        return Told(7, AT, Projections([self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]]))


@pytest.mark.parametrize("format", ["table", "json", "ndjson", "csv"])
def test_lists_in_every_format(cli, fleet_of, format: str, rewrite: bool) -> None:
    folder = fleet_of(telling(ALL))
    for command in (["list"], ["show", "totals"]):
        result = cli("projection", *command, "-o", format, "--data-dir", folder)
        assert (result.code, result.err) == (0, "")
        if format == "table":
            for word in ("■ broken", "at 4,711, e-7 (order.created): KeyError: 'total'", "signalbox projection rebuild",
                         "● totals", "120,431", "select 1"):  # fmt: skip
                assert word in result.out, result.out
            assert ("sha256  abab" in result.out) == (command[0] == "show")
        elif format == "json" and command == ["list"]:
            pin("projection list", json.loads(result.out), rewrite)


def test_one_that_broke_says_why_once(cli, fleet_of) -> None:
    said = cli("projection", "show", "broken", "--data-dir", fleet_of(telling(Projections([BROKEN])))).out
    assert said.count("KeyError: 'total'") == said.count("projection rebuild broken") == 1


def pin(name: str, found: Any, rewrite: bool) -> None:
    pinned = json.loads(SHAPES.read_text())
    if rewrite:
        pinned[name] = shape(found)
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert shape(found) == pinned[name]


def test_none_says_how_to_make_one(cli, fleet_of) -> None:
    assert "signalbox projection add" in cli("projection", "list", "--data-dir", fleet_of(telling(Projections([])))).out


def test_rows_in_every_format(cli, fleet_of, rewrite: bool) -> None:
    folder = fleet_of(telling(HELD))
    ask = ("projection", "rows", "totals", "--data-dir", folder, "-o")
    told = json.loads(cli(*ask, "json").out)
    pin("projection rows", told, rewrite)
    assert told["rows"] == [{"key": "a", "total": 1, "note": None}, {"key": "b", "total": 22, "note": {"x": "\x1b"}}]
    assert told["position"] == 7
    assert [json.loads(line) for line in cli(*ask, "ndjson").out.splitlines()] == told["rows"]
    assert cli(*ask, "csv").out == '"key","total","note"\n"a",1,""\n"b",22,"{""x"":""\\u001b""}"\n'
    table = cli(*ask, "table").out
    assert table.splitlines()[0].split() == ["key", "total", "note"] and "2 rows at position 7" in table
    assert "\x1b" not in table


def test_what_is_not_whole_is_said(cli, fleet_of) -> None:
    held = ProjectionRows("totals", ["key"], msgspec.Raw(b"\x91\x91\x01"), 1, "more than 1 rows", 120)
    result = cli("projection", "rows", "totals", "--data-dir", fleet_of(telling(held)))
    assert "120 positions to go" in result.err and "more than 1 rows" in result.err
    assert "retention" not in result.err


def test_what_was_gone_before_it_was_built_is_said(cli, fleet_of) -> None:
    held = ProjectionRows("totals", ["key"], msgspec.Raw(b"\x91\x91\x01"), 1, journal_from=1_204)
    result = cli("projection", "rows", "totals", "--data-dir", fleet_of(telling(held)))
    assert "begins after position 1,204: retention" in result.err


@pytest.mark.parametrize(
    ("after", "position", "offsets"),
    [
        ([], 0, {}),
        (["120431"], 120_431, {}),
        (["120,431", "@9"], 120_431, {}),
        (["p07=1,200", "3=5"], 0, {7: 1_200, 3: 5}),
        (["p07·12", "p07=11", "5"], 5, {7: 12}),
    ],
)
def test_what_is_waited_for(cli, responder, tmp_path: Path, after: list[str], position: int, offsets: Any) -> None:
    made = responder(lambda question: [Told(7, AT, Progress(1, 2, "waiting")), Told(7, AT, HELD)])
    (tmp_path / "plane.json").write_bytes(plane_file(made.url))
    options = [word for each in after for word in ("--after", each)]
    result = cli("projection", "rows", "totals", *options, "--timeout", "2.5", "-n", "3", "--data-dir", tmp_path)
    assert result.code == 0, result.err
    assert made.asked == [AskProjection("totals", position, offsets, 2_500, 3)]


@pytest.mark.parametrize("after", ["x", "-5m", "now", "p07=", "p07=x", "b1=3", "=3"])
def test_what_cannot_be_waited_for(cli, fleet_of, after: str) -> None:
    assert cli("projection", "rows", "totals", f"--after={after}", "--data-dir", fleet_of(telling(HELD))).code == 2


def test_a_refusal_is_an_exit_code(cli, fleet_of) -> None:
    refused = Refusal("failed", "projection totals did not come so far within 5 s", "Wait longer with --timeout.")
    result = cli("projection", "rows", "totals", "--after", "9", "--data-dir", fleet_of(telling(refused)))
    assert (result.code, result.out) == (1, "") and "did not come so far" in result.err


def test_a_lever_orders_exactly_what_was_shown_and_follows_it(cli, fleet_of, monkeypatch) -> None:
    monkeypatch.setattr("console.commands.projecting.LOOK_S", 0.0)
    plane = Plane(row(state="building"), row(state="building"), row())
    folder = fleet_of(plane)
    result = cli("projection", "add", "totals", "--file", "b.py:Totals", "--pattern", "order.>", "--reason", "because",
                 "--yes", "--data-dir", folder)  # fmt: skip
    assert result.code == 0, result.err
    assert "● added\n  totals  class /a/b.py:Totals\ndecided at 9" in result.out
    dry, order = plane.asked
    assert dry.dry_run and not order.dry_run and order.expected == plane.touched and order.reason == "because"
    assert (order.kind, order.target, order.pattern) == ("class", f"{Path.cwd()}/b.py:Totals", "order.>")
    assert len(plane.looks) == 1


def test_without_a_terminal_nothing_happens_without_yes(cli, fleet_of) -> None:
    plane = Plane(row())
    folder = fleet_of(plane)
    for command in (["add", "totals", "--class", "m:C"], ["rebuild", "totals"], ["remove", "totals"]):
        result = cli("projection", *command, "--data-dir", folder)
        assert (result.code, "needs --yes" in result.err) == (2, True)
        result = cli("projection", *command, "--dry-run", "--data-dir", folder)
        assert result.code == 0 and result.out.startswith("would be ")
    assert all(asked.dry_run for asked in plane.asked)


@pytest.mark.parametrize(
    ("looks", "wait", "code", "said"),
    [
        ([row(state="quarantined", why="KeyError: 'n'")], "300", 1, "projection totals: KeyError: 'n'"),
        ([row(state="standing", why="does not load")], "300", 1, "does not load"),
        ([row(state="building")], "0.01", 6, "at 120,431 of 7 after 0.01 s"),
        ([row(state="building")], "0", 0, ""),
        ([msgspec.structs.replace(row(state="building"), build=99)], "300", 0, ""),
    ],
)
def test_how_a_lever_ends(cli, fleet_of, monkeypatch, looks: Any, wait: str, code: int, said: str) -> None:
    monkeypatch.setattr("console.commands.projecting.LOOK_S", 0.0)
    result = cli("projection", "rebuild", "totals", "--yes", "--wait", wait, "--data-dir", fleet_of(Plane(*looks)))
    assert result.code == code and said in result.err, result.err


def test_views_come_from_the_line_or_a_file(cli, fleet_of, tmp_path: Path) -> None:
    plane = Plane(row())
    folder = fleet_of(plane)
    file = tmp_path / "spent.sql"
    file.write_text("select 1\nfrom events;\n", encoding="utf-8")
    assert cli("projection", "add", "a", "--view", "select 2", "--dry-run", "--data-dir", folder).code == 0
    assert cli("projection", "add", "a", str(file), "--dry-run", "--data-dir", folder).code == 0
    line, filed = plane.asked
    assert (line.kind, line.target, line.file) == ("view", "select 2", "")
    assert (filed.kind, filed.target, filed.file) == ("view", "select 1\nfrom events", str(file))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a"], 2, "one of --class"),
        (["a", "--class", "m:C", "--view", "select 1"], 2, "one of --class"),
        (["a", "--file", "x.py"], 2, "which class"),
        (["a", "nothing.sql"], 4, "there is no file"),
    ],
)
def test_wrong_usage(cli, fleet_of, arguments: list[str], code: int, said: str) -> None:
    result = cli("projection", "add", *arguments, "--yes", "--data-dir", fleet_of(Plane(row())))
    assert (result.code, said in result.err) == (code, True), result.err
