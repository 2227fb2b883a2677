"""`signalbox agent`: lists and one agent in every format, levers that touch exactly what they showed, exit codes."""

import json
from pathlib import Path

import pytest

from controlplane.questions import Agents, AskAgent, AskAgents, Operate, Operated, Question, Refusal, Told
from tests.console.cli.conftest import telling


def test_the_list_says_what_each_agent_is_and_why_it_is_out(cli, trouble: Path) -> None:
    result = cli("agent", "list", "--data-dir", trouble)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split() == ["agent", "state", "load", "phi", "can", "err%", "behind", "version", "seen", "why"]
    assert lines[1].startswith("▲  search-2") and "silent for 19s" in lines[1]
    assert "▲  coder-3" in lines[2] and "98.2" in lines[2] and "signalbox agent release coder-3" in lines[2]
    assert any(line.startswith("○  clerk") for line in lines) and "7 live, 3 out, 1 left" in result.out


def test_one_agent_has_its_states_and_its_groups(cli, trouble: Path) -> None:
    result = cli("agent", "show", "coder-3", "--data-dir", trouble)
    assert (result.code, result.err) == (0, "")
    for words in ("coder-3  quarantined for 3m50s", "by op1: 5 failures", "1,192,420", "can           code review.code",
                  "capability.code",
                  "ruled out: silence (it beats in time)", "signalbox agent release coder-3"):  # fmt: skip
        assert words in result.out, result.out


def test_options_are_what_is_asked(cli, responder, fleet_of) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> Told:
        asked.append(question)
        return Told(7, 8, Agents(0, 0, 0, 0, 0, []))

    folder = fleet_of(answer)
    cli("agent", "list", "--state", "out", "--capability", "plan", "--match", "x", "--sort", "load", "-n", "5",
        "--data-dir", folder)  # fmt: skip
    assert asked == [AskAgents("out", "x", "plan", "load", 0, 5)]


def test_without_agents_it_says_how_one_comes(cli, empty: Path) -> None:
    result = cli("agent", "list", "--data-dir", empty)
    assert result.code == 0 and "no agents yet" in result.out and "bus.Agent(" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["list", "--state", "odd"], 2, "one of all"),
        (["list", "--sort", "odd"], 2, "one of worst"),
        (["list", "--watch", "--at", "7"], 2, "one of them"),
        (["show", "nobody"], 4, "no agent 'nobody'"),
        (["show"], 2, "Missing argument"),
        (["quarantine"], 2, "Missing argument"),
        (["quarantine", "planner"], 2, "needs --yes"),
        (["release", "planner"], 2, "needs --yes"),
    ],
)
def test_exit_codes(cli, trouble: Path, arguments: list[str], code: int, said: str) -> None:
    result = cli("agent", *arguments, "--data-dir", trouble)
    assert result.code == code and said in result.err, result.err


class Plane:
    """Keeps orders."""

    def __init__(self) -> None:
        self.orders: list[Operate] = []

    def __call__(self, question: Question) -> Told:
        assert isinstance(question, Operate)
        self.orders.append(question)
        touched = [f"agent/{name}" for name in question.targets]
        position = 0 if question.dry_run else 9
        return Told(7, 8, Operated(question.verb, touched, question.dry_run, position, notes=["nobody else has code"]))


@pytest.mark.parametrize(("verb", "says"), [("quarantine", "given no more work"), ("release", "free to be given work")])
def test_a_lever_shows_its_set_and_then_touches_exactly_that(cli, fleet_of, verb: str, says: str) -> None:
    plane = Plane()
    folder = fleet_of(plane)
    result = cli("agent", verb, "a", "b", "--dry-run", "--data-dir", folder)
    assert result.code == 0 and [order.dry_run for order in plane.orders] == [True]
    assert f"dry run, nothing was changed; {says}" in result.out
    assert "agent/a" in result.out and "nobody else has code" in result.out
    result = cli("agent", verb, "a", "b", "--yes", "--reason", "why", "-o", "json", "--data-dir", folder)
    order = plane.orders[-1]
    assert (order.verb, order.targets, order.reason, order.expected) == (
        verb,
        ["a", "b"],
        "why",
        ["agent/a", "agent/b"],
    )
    told = json.loads(result.out)
    assert (told["touched"], told["position"], told["dry_run"]) == (["agent/a", "agent/b"], 9, False)


@pytest.mark.parametrize(("code", "exit"), [("not_found", 4), ("denied", 5), ("usage", 2), ("changed", 1)])
def test_a_refusal_is_told_with_its_hint(cli, fleet_of, code: str, exit: int) -> None:
    folder = fleet_of(telling(Refusal(code, "it is so", "do this")))
    result = cli("agent", "quarantine", "a", "--yes", "--data-dir", folder)
    assert result.code == exit and "it is so" in result.err and "do this" in result.err


def test_the_past_is_asked_for_as_of_then(cli, responder, tmp_path: Path) -> None:
    from tests.console.cli.responder import plane_file

    made = responder(lambda question: Told(7, 8, Refusal("not_found", "x") if isinstance(question, AskAgent) else
                                           Agents(0, 0, 0, 0, 0, []), past=True))  # fmt: skip
    (tmp_path / "plane.json").write_bytes(plane_file(made.url))
    assert cli("agent", "list", "--at", "7", "--data-dir", tmp_path).code == 0
    assert cli("agent", "show", "x", "--at", "7", "--data-dir", tmp_path).code == 4
    assert [moment.position for moment in made.moments] == [7, 7]
