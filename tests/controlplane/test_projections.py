"""The fold of registered projections, what a lever on them comes to, and how they are told."""

from typing import Any

import pytest

from controlplane import limits
from controlplane.answers.projections import Resolved, Running, plan_projection, projections
from controlplane.facts import (
    Fact,
    ProjectionAdded,
    ProjectionQuarantined,
    ProjectionRebuilt,
    ProjectionRemoved,
    decode_fact,
    encode_fact,
)
from controlplane.fold import Heart
from controlplane.plane import folds
from controlplane.projections import Registered, registered_in
from controlplane.questions import AskProjections, Project, Projected, ProjectionRow, Projections, Refusal
from tests.controlplane.logs import NOW

CODE = Resolved("/a/b.py", "ab" * 32, "order.>")
ADDED = ProjectionAdded("sums", "class", "/a/b.py:Sums", "order.>", "/a/b.py", "ab" * 32, "op", "why")


def after(*facts: Fact) -> Heart:
    heart = Heart(folds())
    for number, fact in enumerate(facts):
        heart.step(fact, NOW + number)
    assert not heart.quarantined
    return heart


def known(heart: Heart, name: str = "sums") -> Registered | None:
    return registered_in(heart.states["projections"], name)


def row_of(heart: Heart, running: dict[str, Running] | None = None) -> ProjectionRow:
    body = projections(heart.states, AskProjections("sums"), running or {})
    assert isinstance(body, Projections)
    return body.rows[0]


def test_one_is_registered_broken_rebuilt_and_gone() -> None:
    broken = ProjectionQuarantined("sums", 1, 40, "e-1 (order.created)", "KeyError: 'n'")
    heart = after(ADDED, broken)
    told = row_of(heart)
    assert (told.state, told.severity, told.why) == ("quarantined", "bad", "KeyError: 'n'")
    assert (told.event, told.event_position, told.mend) == ("e-1 (order.created)", 40, "projection rebuild sums")
    heart.step(ProjectionRebuilt("sums", "/a/b.py", "cd" * 32, "op", "mended"), NOW + 9)
    found = known(heart)
    assert found is not None
    assert (found.error, found.sha256, found.build, found.reason) == ("", "cd" * 32, 3, "mended")
    assert (found.target, found.pattern) == ("/a/b.py:Sums", "order.>")
    heart.step(ProjectionRemoved("sums"), NOW + 10)
    assert known(heart) is None


def test_what_an_older_build_is_guilty_of_is_not_the_newer_ones() -> None:
    heart = after(ADDED, ADDED, ProjectionQuarantined("sums", 1, 40, "e", "boom"))
    found = known(heart)
    assert found is not None and found.error == "" and found.build == 2


def test_facts_about_what_is_not_there_mean_nothing() -> None:
    late = (ProjectionRemoved("x"), ProjectionRebuilt("x", "", ""), ProjectionQuarantined("x", 1, 0, "", "e"))
    heart = after(*late)
    assert not heart.states["projections"].names() or not heart.states["projections"].table("projection")
    for fact in late:
        assert decode_fact(encode_fact(fact)) == fact


@pytest.mark.parametrize(
    ("running", "state", "severity", "why"),
    [
        (Running(50, 3, True), "following", "ok", ""),
        (Running(20, 3, False), "building", "ok", ""),
        (Running(50, 3, True, changed="b.py has changed since"), "following", "warn", "b.py has changed since"),
        (Running(0, 0, False, why="its process ended"), "building", "warn", "its process ended"),
        (Running(0, 0, False, why="does not load", stands=True), "standing", "bad", "does not load"),
    ],
)
def test_how_it_is_told(running: Running, state: str, severity: str, why: str) -> None:
    told = row_of(after(ADDED), {"sums": running})
    assert (told.state, told.severity, told.why) == (state, severity, why)
    assert (told.reached, told.keys) == (running.position, running.keys)


def test_in_the_past_only_what_was_registered_is_told() -> None:
    told = row_of(after(ADDED))
    assert (told.state, told.reached, told.keys, told.build, told.since) == ("", None, None, 1, NOW)
    view = after(ProjectionAdded("sums", "view", "select 1"))
    assert (row_of(view).state, row_of(view).kind) == ("view", "view")


def plan(heart: Heart, verb: Any, name: str = "sums", found: Resolved = CODE, **more: Any) -> tuple[Fact | None, Any]:
    return plan_projection(heart.states, Project(verb, name, by="op", reason="why", **more), found)


def test_a_lever_touches_what_its_dry_run_said_and_nothing_else() -> None:
    heart = after()
    add = {"kind": "class", "target": "/a/b.py:Sums"}
    decision, would = plan(heart, "add", dry_run=True, **add)
    assert decision is None and isinstance(would, Projected) and would.dry_run
    assert would.touched == ["sums  class /a/b.py:Sums  order.>  sha256 abababababab"]
    assert plan(heart, "add", expected=would.touched, **add)[0] == ADDED
    other = Resolved("/a/b.py", "cd" * 32, "order.>")
    decision, refused = plan(heart, "add", found=other, expected=would.touched, **add)
    assert decision is None and refused.code == "changed" and "cdcdcdcdcdcd" in refused.message


def test_what_is_decided_about_one_that_is_there() -> None:
    heart = after(ADDED)
    decision, said = plan(heart, "add", kind="class", target="m:C")
    assert isinstance(decision, ProjectionAdded) and said.touched[0].endswith("in place of the one of 1")
    assert plan(heart, "rebuild")[0] == ProjectionRebuilt("sums", "/a/b.py", "ab" * 32, "op", "why")
    assert plan(heart, "remove")[0] == ProjectionRemoved("sums", "op", "why")
    view = after(ProjectionAdded("sums", "view", "select 1"))
    refused = plan(view, "rebuild")[1]
    assert isinstance(refused, Refusal) and refused.code == "usage" and "is a view" in refused.message
    for verb in ("rebuild", "remove"):
        assert plan(heart, verb, "other")[1].code == "not_found"
    assert isinstance(projections(heart.states, AskProjections("other"), {}), Refusal)


@pytest.mark.parametrize("name", ["", "Sums", "1st", "a b", "../x", "a/b", "a" * 65, ".checking", "ä"])
def test_names_are_plain(name: str) -> None:
    decision, refused = plan(after(), "add", name, kind="class", target="m:C")
    assert decision is None and refused.code == "usage"


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.answers.projections.PROJECTIONS_MAX", 1)
    heart = after(ADDED)
    assert plan(heart, "add", "second", kind="class", target="m:C")[1].code == "usage"
    assert plan(heart, "add", "sums", kind="class", target="m:C")[0] is not None
    assert limits.PROJECTIONS_MAX > 1
    assert plan(after(), "add", kind="table", target="x")[1].code == "usage"
    assert plan(after(), "add", kind="view", target="select 1", pattern="a.>")[1].code == "usage"
