"""`group update` and `group remove`: old and new first, the exact set, followed until every partition has it."""

import json

import pytest
import typer

from controlplane.questions import AskGroups, GroupChanging, Groups, Operate, Operated, Question, Refusal, Told
from tests.console.cli.conftest import telling

TOUCHED = {"update_group": ["billing ack_wait 30 s → 60 s"], "remove_group": ["billing"]}


class Plane:
    """Keeps orders; after one, the group is changing for as many looks as `looks`."""

    def __init__(self, looks: int = 1) -> None:
        self.looks = looks
        self.orders: list[Operate] = []

    def __call__(self, question: Question) -> Told:
        if isinstance(question, Operate):
            if not question.dry_run:
                self.orders.append(question)
            told = Operated(question.verb, TOUCHED[question.verb], question.dry_run, 0 if question.dry_run else 9)
            told.notes = ["billing: 86 events wait"]
            return Told(7, 8, told)
        assert isinstance(question, AskGroups)
        self.looks -= 1
        return Told(7, 8, Groups([], [GroupChanging("billing", 5, None, "op", "")] if self.looks >= 0 else []))


def test_an_update_shows_old_and_new_and_waits_until_it_is_so(cli, fleet_of) -> None:
    plane = Plane()
    folder = fleet_of(plane)
    words = ("group", "update", "billing", "--ack-wait", "60", "--max-deliver", "3", "--data-dir", folder)
    dry = cli(*words, "--dry-run")
    assert (dry.code, plane.orders) == (0, []) and "ack_wait 30 s → 60 s" in dry.out and "dry run" in dry.out
    wet = cli(*words, "--yes", "--reason", "slow model", "-o", "json")
    assert wet.code == 0 and json.loads(wet.out)["position"] == 9
    (order,) = plane.orders
    assert (order.targets, order.changes, order.reason) == (
        ["billing"], {"ack_wait_ms": 60_000, "max_deliver": 3}, "slow model",
    )  # fmt: skip
    assert order.expected == TOUCHED["update_group"] and plane.looks < 0


@pytest.mark.parametrize("format", ["table", "json"])
def test_an_update_that_changes_nothing_says_so(cli, fleet_of, format: str) -> None:
    told = Operated("update_group", [], True, 0, notes=["it has these settings already"])
    words = ("group", "update", "billing", "--ack-wait", "15", "--yes", "-o", format)
    result = cli(*words, "--data-dir", fleet_of(lambda question: Told(7, 8, told)))
    assert result.code == 0
    if format == "json":
        assert json.loads(result.out)["dry_run"] is False
    else:
        assert result.out.startswith("nothing to change\n\n  it has these settings already")


@pytest.mark.parametrize("said", [False, typer.Abort])
def test_a_prompt_says_what_is_to_be_and_no_or_an_interrupt_changes_nothing(cli, fleet_of, monkeypatch, said) -> None:
    def confirm(question: str, err: bool) -> bool:
        if said:
            raise said
        return False

    monkeypatch.setattr(typer, "confirm", confirm)
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    plane = Plane()
    result = cli("group", "update", "billing", "--ack-wait", "60", "--data-dir", fleet_of(plane))
    assert (result.code, plane.orders) == (1, [])
    assert "to be changed while members go on: 1" in result.err and "dry run" not in result.err
    assert result.err.endswith("\nsignalbox: nothing was changed\n") and "Abort" not in result.err


def test_a_removal_shows_what_waits_and_is_asked_for(cli, fleet_of) -> None:
    plane = Plane()
    folder = fleet_of(plane)
    dry = cli("group", "remove", "billing", "--dry-run", "--data-dir", folder)
    assert dry.code == 0 and "86 events wait" in dry.out and "removed for good: 1" in dry.out
    mute = cli("group", "remove", "billing", "--data-dir", folder)
    assert (mute.code, plane.orders) == (2, []) and "--yes" in mute.err
    wet = cli("group", "remove", "bill*", "--pattern", "--yes", "--data-dir", folder)
    assert wet.code == 0 and (plane.orders[0].pattern, plane.orders[0].targets) == (True, ["bill*"])


def test_what_waits_for_a_leader_is_partly_done(cli, fleet_of) -> None:
    plane = Plane(looks=1_000)
    result = cli("group", "remove", "billing", "--yes", "--wait", "0.1", "--data-dir", fleet_of(plane))
    assert result.code == 6 and "waits for the leaders" in result.err and "goes on" in result.err


def test_nothing_to_change_is_wrong_usage(cli, fleet_of) -> None:
    result = cli("group", "update", "billing", "--yes", "--data-dir", fleet_of(Plane()))
    assert result.code == 2 and "--ack-wait" in result.err


@pytest.mark.parametrize(("code", "exit"), [("not_found", 4), ("usage", 2), ("changed", 1), ("unavailable", 3)])
def test_refusals(cli, fleet_of, code: str, exit: int) -> None:
    folder = fleet_of(telling(Refusal(code, "no such group", "signalbox group list")))
    result = cli("group", "remove", "nobody", "--yes", "--data-dir", folder)
    assert result.code == exit and "no such group" in result.err


def test_a_group_that_is_being_removed_is_listed_and_shown(cli, fleet_of) -> None:
    folder = fleet_of(telling(Groups([], [GroupChanging("billing", 5, None, "op", "")])))
    for words in (("group", "list"), ("group", "show", "billing")):
        result = cli(*words, "--data-dir", folder)
        assert result.code == 0 and "billing is being removed" in result.out
