"""`--at` on every reading verb: what it takes, what is asked, and how a page says that it is of the past."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from console.commands.asking import as_of
from controlplane.questions import AskDiff, AskExport, At, Exported, Question, Refusal, Told
from tests.console import frozen
from tests.console.cli.conftest import story_teller
from tests.console.cli.responder import Answer, Responder, plane_file

SECOND = 1_000_000_000
READING = [
    ["status"],
    ["flow", "list"],
    ["group", "list"],
    ["group", "show", "coder"],
    ["saga", "list"],
    ["saga", "show", "report-4711"],
    ["dlq", "list"],
    ["dlq", "show", "g-07"],
    ["health", "show"],
    ["health", "check"],
    ["event", "search", "task"],
    ["event", "show", "@7"],
    ["broker", "list"],
    ["broker", "show", "b1"],
    ["partition", "list"],
    ["partition", "show", "3"],
]
WATCHING = [
    words for words in READING if words[0] != "event" and words[1:] != ["check"] and words[:2] != ["dlq", "show"]
]


@pytest.fixture
def then(tmp_path: Path, responder: Callable[..., Responder]) -> tuple[Path, Responder]:
    """A fleet whose every answer is of the past."""
    tell = story_teller(frozen.trouble())

    def answer(question: Question) -> Answer:
        told = tell(question)
        assert isinstance(told, Told)
        told.past = True
        return told

    plane = responder(answer)
    (tmp_path / "plane.json").write_bytes(plane_file(plane.url))
    return tmp_path, plane


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_every_reading_verb_asks_as_of_then(cli, then: tuple[Path, Responder], words: list[str]) -> None:
    folder, plane = then
    before = time.time_ns()
    for text in ("120,431", "2026-03-01T12:00:00Z", "-5m"):
        cli(*words, "--at", text, "--data-dir", folder)
    position, instant, back = plane.moments
    assert (position, instant) == (At(position=120_431), At(instant=1_772_366_400 * SECOND))
    assert back is not None and back.position is None
    assert before - 300 * SECOND <= (back.instant or 0) <= time.time_ns() - 300 * SECOND
    cli(*words, "--data-dir", folder)
    assert plane.moments[-1] is None


def test_a_page_says_which_instant_it_shows(cli, then: tuple[Path, Responder]) -> None:
    folder, _ = then
    story = frozen.trouble().story
    shown = cli("flow", "list", "--at", "7", "--data-dir", folder).out.splitlines()[0]
    assert shown.startswith("as of ") and shown.endswith(f"03:12:44.000, position {story.position:,}")
    record = json.loads(cli("flow", "list", "--at", "7", "-o", "json", "--data-dir", folder).out)
    assert (record["position"], record["recorded"]) == (story.position, story.now)
    assert "as of" not in cli("flow", "list", "--at", "7", "-o", "csv", "--data-dir", folder).out


def test_the_present_has_no_such_heading(cli, trouble: Path) -> None:
    assert "as of" not in cli("flow", "list", "--data-dir", trouble).out


def test_a_heading_has_the_day_when_it_is_another_one() -> None:
    told = Told(120_431, 1_772_366_400 * SECOND + 123_456_789, Refusal("", ""), past=True)
    assert as_of(told, told.recorded + SECOND) == "as of 12:00:00.123, position 120,431"
    assert as_of(told, told.recorded + 86_400 * SECOND) == "as of Mar 1 12:00:00.123, position 120,431"
    assert as_of(Told(0, 0, Refusal("", ""), past=True), SECOND) == (
        "as of before the first entry: nothing was there yet"
    )


@pytest.mark.parametrize("words", WATCHING, ids=" ".join)
def test_nobody_watches_the_past(cli, then: tuple[Path, Responder], words: list[str]) -> None:
    folder, plane = then
    result = cli(*words, "--at", "7", "--watch", "--data-dir", folder)
    assert result.code == 2 and "--watch" in result.err
    assert plane.asked == []


def test_what_is_no_moment_is_wrong_usage(cli, then: tuple[Path, Responder]) -> None:
    folder, plane = then
    for text in ("", "soon", "-5", "25:00", "99999999999999999999999", str(2**63), "+5m", "1960-01-01T00:00:00Z"):
        result = cli("status", "--at", text, "--data-dir", folder)
        assert result.code == 2, text
    assert plane.asked == []
    assert cli("health", "check", "--at", "soon", "--data-dir", folder).code == 3


def test_a_refused_moment_ends_the_command(cli, fleet_of: Callable[..., Path]) -> None:
    refusal = Refusal("usage", "there is no position 9 yet: the journal ends at position 7", "Without --at …")
    result = cli("status", "--at", "9", "--data-dir", fleet_of(lambda question: Told(7, 8, refusal)))
    assert result.code == 2 and "ends at position 7" in result.err


def test_an_export_asks_each_page_as_of_then(cli, tmp_path: Path, responder: Callable[..., Responder]) -> None:
    def answer(question: Question) -> Answer:
        assert isinstance(question, AskExport)
        return Told(9, 9, Exported(['{"id":"e"}'], question.after + 5, 9, 2, done=question.after > 0), past=True)

    plane = responder(answer)
    (tmp_path / "plane.json").write_bytes(plane_file(plane.url))
    result = cli("event", "export", "--at", "9", "--data-dir", tmp_path)
    assert result.out == '{"id":"e"}\n' * 2
    assert plane.moments == [At(position=9), At(position=9)]


def test_a_clock_time_is_the_last_one_that_was(cli, then: tuple[Path, Responder]) -> None:
    folder, plane = then
    day = 86_400 * SECOND
    cli("status", "--at", "00:00", "--data-dir", folder)
    cli("replay", "diff", "0:00", "-5m", "--data-dir", folder)
    midnight = At(instant=time.time_ns() // day * day)
    assert plane.moments[0] == midnight
    assert isinstance(plane.asked[1], AskDiff) and plane.asked[1].instant_a == midnight.instant


def test_what_was_not_there_then_is_not_said_of_now(cli, tmp_path: Path, responder: Callable[..., Responder]) -> None:
    refusal = Refusal("not_found", "there is no saga 'tale-1'", "signalbox saga list")
    plane = responder(lambda question: Told(7, 7 * SECOND, refusal, past=plane.moments[-1] is not None))
    (tmp_path / "plane.json").write_bytes(plane_file(plane.url))
    for at, said in (([], "there is no saga 'tale-1'"), (["--at", "7"], "then there was no saga 'tale-1'")):
        result = cli("saga", "show", "tale-1", *at, "--data-dir", tmp_path)
        assert (result.code, result.err.splitlines()[0]) == (4, f"signalbox: {said}")


@pytest.mark.parametrize("words", [*READING, ["event", "export"], ["sql", "select 1"]], ids=" ".join)
def test_what_is_no_moment_is_said_with_what_one_is_like(cli, then: tuple[Path, Responder], words: list[str]) -> None:
    folder, plane = then
    for text, said in (
        ("soon", "write now, 14:03, -5m, 2026-03-01, 2026-03-01T12:00:00Z or a position"),
        ("2026-02-30T12:00:00Z", "2026-03-01T12:00:00Z or a position"),
        ("2200-01-01T00:00:00Z", "has not been yet: it is "),
        ("1960-01-01T00:00:00Z", "before every journal"),
        ("9" * 30, "beyond every journal"),
    ):
        result = cli(*words, "--at", text, "--data-dir", folder)
        assert result.code == (3 if words[1:] == ["check"] else 2), text
        assert said in result.err and text in result.err and not result.out
    assert plane.asked == []


@pytest.mark.parametrize("words", [*READING, ["event", "export"], ["sql", "select 1"]], ids=" ".join)
def test_what_the_plane_refuses_of_a_moment_ends_every_verb(
    cli, fleet_of: Callable[..., Path], words: list[str]
) -> None:
    said = "position 9 does not exist yet: the journal ends at 7"
    folder = fleet_of(lambda question: Told(7, 8, Refusal("not_found", said, "Name 7, one before it, or a time.")))
    result = cli(*words, "--at", "9", "--data-dir", folder)
    assert result.code == (3 if words[1:] == ["check"] else 4)
    assert said in result.err and "Name 7" in result.err and not result.out
