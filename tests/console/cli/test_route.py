"""`signalbox route`: what it asks, what it shows, the lever that does what it showed, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.questions import (
    AskRoute,
    AskRoutes,
    Question,
    Refusal,
    RouteCandidate,
    RouteExample,
    RouteExplained,
    RouteRow,
    Routes,
    RoutesChanged,
    RouteStep,
    RoutesTried,
    RouteTask,
    RouteTo,
    RuleText,
    RuleTrial,
    RuleVerdict,
    SetRoutes,
    Told,
    TryRoutes,
    WorkRow,
)
from tests.console.cli.conftest import telling
from tests.console.cli.test_projection import pin

AT = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000
TRIED = RoutesTried(
    120, 4_711, AT, False, 7, [RuleTrial("large", 3, 10, 1, "there is no total"), RuleTrial("", 1, 0, 0)],
    [RouteExample(4_000, "e-1", "order.created", [], ["capability:review"])], 3,
)  # fmt: skip
ALL = Routes(
    3, AT, "op", "audit", [
        RouteRow("large", "order.created", "data.total > 1000", ["capability:review"], True, "warn", 12, AT, 4_711,
                 "there is no total"),
        RouteRow("all", "order.>", "", ["agent/auditor"], False, "ok", 0, 0),
    ],
    ["capability:triage"], "escalate",
    [WorkRow("review", "warn", 0, 2, AT, None, 0, "nobody can do review: start an agent that can; 1s",
             "agent list --capability review"),
     WorkRow("audit", "ok", 3, 0, 0, 1_500_000, 9)],
    2, 1, 12, 9, 1, 0, 0, 0,
)  # fmt: skip
EXPLAINED = RouteExplained(
    '{"id":"e-1"}', "order.created", 4_711, 3,
    [RuleVerdict("large", "matched"), RuleVerdict("all", "error", "there is no x"), RuleVerdict("other", "type")],
    [RouteTo("capability:review", ["large", "requires"], "agent/a", "ok", 12,
             [RouteCandidate("agent/a", 900, 0.25, 1_000_000, 0.99),
              RouteCandidate("agent/b", 1_400, 0.5, 1_000_000, 1.0, "another is expected sooner")],
             1_250_000, 0.99),
     RouteTo("capability:fly", [""], "", "warn", 0, [], why="nobody can do fly: it waits",
             mend="agent list --capability fly")],
    [RouteTask("4711.0", "out", "review", "agent/a", 2, AT, "boom")],
    [RouteStep(4_712, AT, "TaskDispatched", "4711.0 to agent/a, attempt 1, of 12, score 900 before agent/b 1400")],
)  # fmt: skip


@pytest.mark.parametrize("format", ["table", "json", "ndjson", "csv"])
def test_lists_in_every_format(cli, fleet_of, format: str, rewrite: bool) -> None:
    result = cli("route", "list", "-o", format, "--data-dir", fleet_of(telling(ALL)))
    assert (result.code, result.err) == (0, "")
    if format == "table":
        for part in ("version 3", "by op: audit", "default capability:triage; work that nobody can do: escalate",
                     "▲ large", "data.total > 1000",
                     "capability:review, then stop", "there is no total, at 4,711", "● all", "always",
                     "2 waiting, 1 out", "▲ review: 2 waiting", "signalbox agent list --capability review",
                     "● audit"):  # fmt: skip
            assert part in result.out, (part, result.out)
    elif format == "json":
        pin("route list", json.loads(result.out), rewrite)


@pytest.mark.parametrize("format", ["table", "json", "ndjson", "csv"])
def test_explains_in_every_format(cli, fleet_of, format: str, rewrite: bool) -> None:
    asked: list[Question] = []
    folder = fleet_of(lambda question: asked.append(question) or telling(EXPLAINED)(question))
    result = cli("route", "explain", "e-1", "-o", format, "--data-dir", folder)
    assert (result.code, result.err) == (0, "") and asked == [AskRoute("e-1")]
    if format == "table":
        for part in ("at 4,711: where it would go if it came again", "● capability:review", "large, requires",
                     "● agent/a  score 900, load 25%",
                     "◌ agent/b  score 1,400", "another is expected sooner", "▲ capability:fly", "nobody",
                     "signalbox agent list --capability fly", "▲ raised: all: there is no x", "◌ other types: other",
                     "4711.0 out with agent/a, attempt 2", "before agent/b 1400"):  # fmt: skip
            assert part in result.out, (part, result.out)
    elif format == "json":
        pin("route explain", json.loads(result.out), rewrite)


def test_explains_what_is_not_published_yet(cli, fleet_of, tmp_path: Path) -> None:
    asked: list[Any] = []
    folder = fleet_of(lambda question: asked.append(question) or telling(EXPLAINED)(question))
    file = tmp_path / "event.json"
    file.write_text('{"type": "order.created"}')
    assert cli("route", "explain", str(file), "--data-dir", folder).code == 0
    assert cli("route", "explain", '{"type": "x"}', "--data-dir", folder).code == 0
    assert [question.event for question in asked] == ['{"type": "order.created"}', '{"type": "x"}']
    assert cli("route", "explain", str(tmp_path / "none.json"), "--data-dir", folder).code == 4


class Plane:
    """Keeps orders."""

    def __init__(self, touched: tuple[str, ...] = ("+ large: order.created to capability:review",)) -> None:
        self.touched = list(touched)
        self.asked: list[Any] = []

    def __call__(self, question: Question) -> Told:
        self.asked.append(question)
        if isinstance(question, TryRoutes):
            return Told(7, AT, TRIED)
        assert isinstance(question, SetRoutes)
        tried = TRIED if question.since else None
        position = 0 if question.dry_run or not self.touched else 9
        return Told(7, AT, RoutesChanged(question.verb, self.touched, question.dry_run, 3, position, tried))


ADD = ("route", "add", "large", "--types", "order.created", "--when", "data.total > 1", "--to", "capability:review")
LARGE = RuleText("large", "order.created", ["capability:review"], "data.total > 1")


def test_a_dry_run_shows_what_it_would_have_done(cli, fleet_of, rewrite: bool) -> None:
    plane = Plane()
    folder = fleet_of(plane)
    result = cli(*ADD, "--dry-run", "--since", "2h", "--data-dir", folder)
    assert result.code == 0 and "+ large" in result.out and "7 would go elsewhere" in result.out
    assert "large: 10 matched, 3 before, raised on 1: there is no total" in result.out
    assert "@4000 order.created e-1: nobody → capability:review" in result.out
    assert plane.asked == [SetRoutes("add", [LARGE], since=2 * HOUR, dry_run=True)]
    result = cli(*ADD, "--dry-run", "-o", "json", "--data-dir", folder)
    pin("route add", json.loads(result.out), rewrite)


def test_it_is_decided_on_what_was_planned(cli, fleet_of) -> None:
    plane = Plane()
    result = cli(*ADD, "--stop", "--before", "all", "--yes", "--reason", "audit", "--data-dir", fleet_of(plane))
    assert result.code == 0 and "● changed" in result.out and "decided at 9" in result.out
    plan, order = plane.asked
    assert plan.dry_run and plan.since == 0 and plan.before == "all" and plan.rules[0].stop
    assert order.expected == 3 and order.reason == "audit" and order.by and not order.dry_run


def test_what_nobody_can_do_has_a_policy_of_its_own(cli, fleet_of) -> None:
    plane = Plane(("~ work that nobody can do: dead-letter",))
    assert cli("route", "add", "--no-capable", "dead-letter", "--yes", "--data-dir", fleet_of(plane)).code == 0
    assert plane.asked[-1].no_capable == "dead-letter" and plane.asked[-1].rules == []


def test_removing_names_rules(cli, fleet_of) -> None:
    plane = Plane(("- large",))
    assert cli("route", "remove", "large", "all", "--yes", "--data-dir", fleet_of(plane)).code == 0
    assert plane.asked[-1].verb == "remove" and plane.asked[-1].names == ["large", "all"]


def test_nothing_to_change_is_nothing_decided(cli, fleet_of) -> None:
    plane = Plane(())
    result = cli(*ADD, "--yes", "--data-dir", fleet_of(plane))
    assert result.code == 0 and "nothing to change" in result.out and len(plane.asked) == 1


TOML = """
default = ["capability:triage"]
no_capable = "escalate"

[[rule]]
name = "large"
types = "order.created"
when = "data.total > 1"
to = ["capability:review"]
"""


def test_rules_come_from_a_file(cli, fleet_of, tmp_path: Path, rewrite: bool) -> None:
    plane, file = Plane(), tmp_path / "rules.toml"
    file.write_text(TOML)
    folder = fleet_of(plane)
    assert cli("route", "add", "--file", str(file), "--replace", "--dry-run", "--data-dir", folder).code == 0
    assert plane.asked[-1] == SetRoutes(
        "add", [LARGE], default=["capability:triage"], whole=True, since=HOUR, dry_run=True, no_capable="escalate"
    )
    result = cli("route", "test", str(file), "--since", "30m", "--data-dir", folder)
    assert result.code == 0 and "▲ large" in result.out and "(default)" in result.out and "7 would go" in result.out
    assert plane.asked[-1] == TryRoutes([LARGE], ["capability:triage"], HOUR // 2)
    assert cli("route", "test", str(file), "--since", "-1.5h", "--data-dir", folder).code == 0
    assert plane.asked[-1] == TryRoutes([LARGE], ["capability:triage"], HOUR * 3 // 2)
    result = cli("route", "test", str(file), "-o", "json", "--data-dir", folder)
    pin("route test", json.loads(result.out), rewrite)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rule = 1", "[[rule]]"), ("[[rule]]\nname = 'x'", "types is missing"), ("x = 1", "x is nothing here"),
        ("[[rule]]\nname = 'x'\ntypes = 'a'\nto = 'b'", "to is a list"), ("[[rule", "is no TOML"),
        ("[[rule]]\nname = 'x'\ntypes = 'a'\nto = []\nmore = 1", "more is nothing here"),
        ("default = 'x'", "default is"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused(cli, fleet_of, tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    result = cli("route", "test", str(file), "--data-dir", fleet_of(Plane()))
    assert result.code == 2 and part in result.err


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (("route", "add", "--yes"), "either one rule"),
        (("route", "add", "x", "--yes"), "--types, --to"),
        (("route", "add", "x", "--types", "a", "--to", "agent/b"), "needs --yes"),
        ((*ADD, "--yes", "--since", "soon"), "--since 'soon' is no moment: write now, 14:03, -5m"),
        ((*ADD, "--yes", "--since", "5"), "--since '5' is no moment: write now, 14:03, -5m"),
        ((*ADD, "--yes", "--since", "now"), "--since now: nothing was recorded since then"),
        ((*ADD, "--yes", "--replace"), "goes with --file"),
        (("route", "remove"), "NAME"),
    ],
)
def test_wrong_usage(cli, fleet_of, command: tuple[str, ...], part: str) -> None:
    result = cli(*command, "--data-dir", fleet_of(Plane()))
    assert result.code == 2 and part in result.err


@pytest.mark.parametrize(("code", "refused"), [("usage", 2), ("not_found", 4), ("changed", 1)])
def test_refusals_have_their_codes(cli, fleet_of, code: Any, refused: int) -> None:
    result = cli(*ADD, "--yes", "--data-dir", fleet_of(telling(Refusal(code, "no", "see"))))
    assert result.code == refused and "no" in result.err


def test_it_looks_back(cli, fleet_of) -> None:
    plane = fleet_of(telling(ALL))
    assert cli("route", "list", "--at", "12", "--data-dir", plane).code == 0
    assert isinstance(AskRoutes(), AskRoutes)
