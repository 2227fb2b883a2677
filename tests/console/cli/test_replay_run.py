"""`replay run` as a command, against a real archive: transcripts of what it says, and what a run leaves in a file."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bus.event import Event
from console.failures import Failure, Usage
from console.fleetdir import Fleet
from console.replaying.command import _confirm
from console.replaying.plan import Order, planned
from console.replaying.shadow import check as check_shadow
from controlplane.archive import Archive
from controlplane.journal import Journal
from controlplane.questions import (
    AskGroups,
    AskSlice,
    AskSlicePage,
    GroupRow,
    Groups,
    Question,
    Refusal,
    Slice,
    Sliced,
    SlicePage,
    Told,
)
from controlplane.slices import Slices
from tests.console.cli.test_commands import SHAPES, shape
from tests.controlplane.edge.examples import FOLLOWS, arrived, step_of
from tests.transcripts import check, files

AT = 1_772_366_400_000_000_000
SECOND = 1_000_000_000
FILES = files("cli")
RECORDED = [
    *(Event(id=f"e{n}", type=f"order.{('created', 'paid')[n % 2]}", source="agent/shop", subject=f"order-{n // 2}",
            time=AT + n * SECOND, causationid=f"e{n - 1}" if n % 2 else None, data={"n": n}) for n in range(6)),
    *(Event(id=f"i{n}", type="case.opened", source="clerk", subject=f"case-{n}", time=AT - 10**18,
            extensions={"importof": "log"}) for n in range(2)),
    Event(id="old", type="order.created", source="agent/shop", subject="order-9", expirytime=AT - 1),
    Event(id="dead", type="signalbox.deadletter", source="signalbox/b1"),
    Event(id="here", type="agent.lifecycle.joined", source="agent/shop", subject="agent/shop"),
    Event(id="copy", type="order.paid", source="agent/shop", subject="order-1", extensions={"redriveto": "billing"}),
    Event(id="replay.r0/e1", type="replay.order.paid", source="agent/shop", extensions={"replayrun": "r0"}),
]  # fmt: skip


def group(name: str, pattern: str) -> GroupRow:
    return GroupRow(name, pattern, "ok", 1, 0, 0, 0, "steady", None, 0.0, 0, 0, 0, None, None, 0, 0, 0, 0, 2)


class Plane:
    """A plane of a real archive. `refused`: what pages are refused with after `pages_told` of them."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.slices = Slices(journal, Archive(journal), lambda: None)
        self.page_events = 5_000
        self.pages_told = 0
        self.refused: tuple[int, Refusal] | None = None

    def __call__(self, question: Question) -> Told:
        return Told(self.journal.position, AT, self._body(question))

    def _body(self, question: Question) -> Any:
        if isinstance(question, AskGroups):
            return Groups([group("audit", ">"), group("billing", "order.>"), group("idle", "nothing.>")])
        if isinstance(question, AskSlice):
            return self.slices.count(question, self.journal.position)
        assert isinstance(question, AskSlicePage)
        self.pages_told += 1
        if self.refused is not None and self.pages_told > self.refused[0]:
            return self.refused[1]
        asked = AskSlicePage(question.slice, question.up_to, question.after, question.expired_at, self.page_events)
        return self.slices.page(asked)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", FOLLOWS)
    for number, event in enumerate(RECORDED):
        arrival = arrived([event], partition=number % 3, first_offset=number // 3, appended=AT + number * SECOND)
        journal.commit([step_of(journal, arrival)])
    yield Plane(journal)
    journal.close()


@pytest.fixture
def folder(fleet_of, plane: Plane) -> Path:
    return fleet_of(plane)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(cli, folder: Path, tmp_path: Path, path: Path, rewrite: bool) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()
    places = {"FLEET": folder, "SHADOW": tmp_path / "shadow", "USED": tmp_path / "used", "FILE": tmp_path / "file"}

    def run(line: str) -> list[str]:
        words = [str(places.get(word, word)) for word in shlex.split(line)]
        result = cli("replay", "run", *words, "--data-dir", folder)
        said = [f"│ {text}" for text in result.out.splitlines()] + [f"! {text}" for text in result.err.splitlines()]
        return [_same(text, places) for text in said] + [f"= {result.code}"]

    check(path, run, rewrite)
    assert not (tmp_path / "shadow").exists()


def _same(text: str, places: dict[str, Path]) -> str:
    """Without what differs from run to run."""
    for name, place in places.items():
        text = text.replace(str(place), name)
    text = re.sub(r"in \d+\.\d s \([^)]*\)", "in … s (…)", text)
    return re.sub(r"\br\d{9,}\b", "r…", text).rstrip()


def test_there_is_a_transcript() -> None:
    assert len(FILES) == 1


def replayed(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_to(cli, folder: Path, out: Path, *words: str, code: int = 0) -> Any:
    """A run to a file as JSON."""
    result = cli("replay", "run", "--out", out, "--name", "r1", "-o", "json", "--data-dir", folder, *words)
    assert result.code == code, result
    return json.loads(result.out)


def test_a_file_has_each_event_and_where_it_is_from(cli, folder: Path, tmp_path: Path) -> None:
    said = run_to(cli, folder, tmp_path / "out")
    assert (said["published"], said["events"], said["ended"], said["go_on"]) == (9, 9, "done", "")
    assert said["left_out"] == {"lifecycle": 1, "plane": 1, "redriven": 1, "replayed": 1}
    lines = replayed(tmp_path / "out")
    assert [line["replayof"] for line in lines] == [event.id for event in RECORDED[:9]], "an expired one is in a file"
    assert lines[1] == {
        "specversion": "1.0", "id": "r1/e1", "source": "agent/shop", "type": "order.paid", "subject": "order-0",
        "time": "2026-03-01T12:00:01.000Z", "causationid": "r1/e0", "replayrun": "r1", "replayof": "e1",
        "replaytime": "2026-03-01T12:00:01.000Z", "replayposition": "2", "replaypartition": 1, "replayoffset": "0",
        "data": {"n": 1},
    }  # fmt: skip
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    "words", [["--limit", "4"], ["--stop-at", "4"], ["--stop-at", "1970-01-01T00:00:00.000001003Z"]]
)
def test_what_stopped_goes_on_with_the_command_it_says(cli, folder: Path, plane: Plane, tmp_path: Path, words) -> None:
    plane.page_events = 3
    said = run_to(cli, folder, tmp_path / "one", *words)
    assert (said["published"], said["reached"], said["ended"]) == (4, 4, "stopped"), said
    again = [word.replace("ANOTHER", str(tmp_path / "two")) for word in shlex.split(said["go_on"])]
    assert cli(*again[1:]).code == 0
    whole = run_to(cli, folder, tmp_path / "whole")
    assert (tmp_path / "one").read_text() + (tmp_path / "two").read_text() == (tmp_path / "whole").read_text()
    assert whole["published"] == 9


def test_a_plane_that_refuses_in_the_middle_leaves_what_was_done(cli, folder: Path, plane: Plane, tmp_path) -> None:
    plane.page_events, plane.refused = 3, (2, Refusal("unavailable", "it is ending"))
    said = run_to(cli, folder, tmp_path / "out", code=6)
    assert (said["published"], said["ended"], said["error"]) == (6, "failed", "it is ending")
    assert "--from 7 --to 9" in said["go_on"] and len(replayed(tmp_path / "out")) == 6


def test_what_fails_before_the_first_event_is_no_part_of_it(cli, folder: Path, plane: Plane, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine\n")
    plane.refused = (0, Refusal("unavailable", "it is ending"))
    said = run_to(cli, folder, tmp_path / "out", code=1)
    assert (said["published"], said["ended"]) == (0, "failed")
    assert (tmp_path / "out").read_text() == "mine\n"


def test_what_the_journal_has_no_more_is_missed(cli, fleet_of, plane: Plane, tmp_path: Path) -> None:
    def shorter(question: Question) -> Told:
        told = plane(question)
        if isinstance(told.body, SlicePage):
            told.body.rows = told.body.rows[2:]
        return told

    said = run_to(cli, fleet_of(shorter), tmp_path / "out", code=6)
    assert (said["published"], said["error"]) == (7, "the journal had 7 of the 9 events that had been counted")


def test_a_file_that_cannot_be_written(cli, folder: Path, tmp_path: Path) -> None:
    result = cli("replay", "run", "--out", tmp_path / "no" / "out", "--data-dir", folder)
    assert result.code == 1 and "cannot be written" in result.err and "--out" in result.err


def test_json_keeps_its_shape(cli, folder: Path, rewrite: bool) -> None:
    result = cli("replay", "run", "--prefix", "replay", "--dry-run", "-o", "json", "--data-dir", folder)
    found = shape(json.loads(result.out))
    pinned = json.loads(SHAPES.read_text())
    if rewrite:
        pinned["replay run"] = found
        SHAPES.write_text(json.dumps(pinned, indent=1) + "\n")
    assert found == pinned["replay run"]


def test_a_directory_is_a_shadow_or_new_or_refused(tmp_path: Path) -> None:
    live, shadow = tmp_path / "live", tmp_path / "shadow"
    live.mkdir()
    (live / "fleet.json").write_text('{"fleet": "f1"}')
    assert not check_shadow(shadow, Fleet(live))
    shadow.mkdir()
    assert not check_shadow(shadow, Fleet(live))
    (tmp_path / "link").symlink_to(live)
    for other in (live, live / "inside", tmp_path, tmp_path / "link", live / "fleet.json"):
        with pytest.raises(Usage):
            check_shadow(other, Fleet(live))
    (shadow / "fleet.json").write_text('{"fleet": "f2"}')
    with pytest.raises(Usage, match="no replay made it"):
        check_shadow(shadow, Fleet(live))
    (shadow / "shadow.json").write_text("{}")
    assert check_shadow(shadow, Fleet(live))
    (shadow / "fleet.json").write_text('{"fleet": "f1"}')
    with pytest.raises(Usage, match="a copy of the fleet"):
        check_shadow(shadow, Fleet(live))


@pytest.mark.parametrize(
    ("events", "live", "typed", "agreed"),
    [(2, True, "2", True), (2, True, "y", False), (2_000, False, "2,000", True), (2_000, False, "", False)],
)
def test_many_events_and_live_types_want_the_number_itself(
    monkeypatch: pytest.MonkeyPatch, events: int, live: bool, typed: str, agreed: bool
) -> None:
    monkeypatch.setattr("typer.prompt", lambda *_words, **_more: typed)
    sliced = Sliced(events, {}, {"t": events}, 0, 0, 0, 9, 1, 9, (AT, AT), None, 5)
    asked = planned(Order("r1", "live" if live else "prefix", "x.", live=live), sliced, [], False)
    with nullcontext() if agreed else pytest.raises(Failure, match="nothing was replayed"):
        _confirm(asked)


def test_a_plan_says_where_it_stops() -> None:
    from console.replaying.pages import plan_text

    def said(**more: int) -> str:
        sliced = Sliced(5, {}, {"t": 5}, 0, 0, 0, 9, 1, 9, (AT, AT), None, 5)
        order = Order("r1", "file", "x", Slice(), **more)  # type: ignore[arg-type]
        return plan_text(order, planned(order, sliced, [], True))

    assert "\n  stops after 2 of them\n" in said(limit=2) + "\n"
    assert "\n  stops behind position 7 or behind " in said(stop_position=7, stop_instant=AT)
    assert "stops" not in said() and "stops" not in said(limit=5)


def test_many_types_groups_and_events_are_said_shortly() -> None:
    from console.replaying.pages import plan_text

    types = {f"t.{n}": 10_000 - n for n in range(20)}
    sliced = Sliced(sum(types.values()), {}, types, 7, 10**9, 0, 9, 1, 9, (AT, AT + 60 * SECOND), None, 5)
    order = Order("r1", "live", "", Slice(), speed=2.0, live=True)
    text = plan_text(order, planned(order, sliced, [group(f"g{n}", "t.>") for n in range(20)], True))
    assert "many more types" in text and "and 12 more" in text and "30s" in text and "last 5 ids" in text


def test_a_slice_that_ends_before_it_begins_is_refused(cli: Any, tmp_path: Path) -> None:
    for begin, end in (("9", "5"), ("-1m", "-1h")):
        said = cli("replay", "run", "--from", begin, "--to", end, "--out", "x", "--data-dir", str(tmp_path))
        assert (said.code, said.out) == (2, "") and f"--to {end} is before --from {begin}" in said.err
