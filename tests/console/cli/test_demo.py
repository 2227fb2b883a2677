"""The demo without a fleet: its log, the rule that spreads it, its consumers' work, and its check."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bus
from console.demo import check, consumers, script, stage
from console.demo.script import CHARS_PER_S, GAP_S_MAX, STAGGER_S, TERMINAL_GAP_S, Script, load
from controlplane.questions import AskExport, Exported, Question, Told
from tests.console import frozen

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def play() -> Script:
    return load(None)


def test_the_log_is_the_one_that_is_promised(play: Script) -> None:
    kinds = [line.event.type for line in play.lines]
    assert (len(kinds), len(play.sources)) == (1099, 191)
    assert len({line.event.subject for line in play.lines}) == 126
    assert (kinds.count("exec.failed"), kinds.count("agent.message")) == (90, 599)


def test_times_follow_the_rule(play: Script) -> None:
    assert all(one.due <= other.due for one, other in pairwise(play.lines))
    talks: dict[str, list[script.Line]] = {}
    for line in play.lines:
        talks.setdefault(line.event.subject or "", []).append(line)
    for number, lines in enumerate(talks.values()):
        assert lines[0].due == number * STAGGER_S * SECOND
        assert [line.event.extensions["sequence"] for line in lines] == [f"{at:06}" for at in range(len(lines))]
        for before, after in pairwise(lines):
            gap = (after.due - before.due) / SECOND
            typed = 1.0 + (len(before.event.payload) + len(after.event.payload)) / CHARS_PER_S
            expected = TERMINAL_GAP_S if after.event.type.startswith("exec.") else min(GAP_S_MAX, typed)
            assert gap == pytest.approx(expected, abs=1e-6)


def test_a_log_with_times_keeps_its_distances() -> None:
    found = [bus.Event(type="t", source="s", id=str(at), time=at * SECOND) for at in (50, 20, 30)]
    assert [(line.due // SECOND, line.event.id) for line in script.script(found).lines] == [
        (0, "20"),
        (10, "30"),
        (30, "50"),
    ]


@given(st.integers(1, 5))
def test_rounds_are_fresh_and_in_order(repeat: int) -> None:
    found = [bus.Event(type="t", source="s", id=f"{at}", subject=f"c{at % 3}", data="x" * 200) for at in range(9)]
    play = script.script(found)
    lines = list(play.rounds(repeat))
    assert len({line.event.id for line in lines}) == 9 * repeat
    assert len({line.event.subject for line in lines}) == 3 * repeat
    assert all(one.due <= other.due for one, other in pairwise(lines))
    assert lines[-1].due == play.span_ns + (repeat - 1) * play.round_ns


def test_consumers_fail_where_the_log_does(play: Script) -> None:
    failed = []
    for line in play.lines:
        if line.event.type == "agent.message":
            try:
                consumers.review(line.event)
            except SyntaxError:
                failed.append(line.event.id)
    assert failed == ["wwa-010-005"]
    terminal = next(line.event for line in play.lines if line.event.type == "exec.failed")
    with pytest.raises(consumers.ExecutionFailed, match="IndentationError"):
        consumers.watch(terminal)


@pytest.mark.parametrize("data", [None, 5, {"text": 5}, {"other": "x"}, ["text"]])
def test_consumers_take_any_data(data: object) -> None:
    event = bus.Event(type="agent.message", source="s", id="1", data=data)
    consumers.review(event)
    with pytest.raises(consumers.ExecutionFailed, match="without a word"):
        consumers.watch(event)


def event_line(number: int, **change: object) -> str:
    return json.dumps({"specversion": "1.0", "id": str(number), "source": "s", "type": "t"} | change)


def test_fingerprints_are_of_what_is_said_not_how() -> None:
    assert stage.fingerprint('{"a":1,"b":[1.0]}') == stage.fingerprint(b'{ "b": [1.0], "a": 1 }')
    assert stage.fingerprint('{"a":1}') != stage.fingerprint('{"a":2}')


@pytest.mark.parametrize(
    ("archive", "lost", "changed", "extra", "twice"),
    [
        ([1, 2, 3], [], [], [], []),
        ([1, 3], ["2"], [], [], []),
        ([1, 2, 3, 3], [], [], [], ["3"]),
        ([1, 2, 3, 4], [], [], ["4"], []),
        ([1, 2, 3, 9], [], [], [], []),
    ],
)
def test_the_check_finds_what_is_wrong(responder, archive, lost, changed, extra, twice) -> None:
    from console.link import Link

    lines = [event_line(number) for number in archive]

    def answer(question: Question) -> Told:
        assert isinstance(question, AskExport)
        return Told(0, 0, Exported(lines, 9, 9, len(lines), True))

    published = {str(number): stage.fingerprint(event_line(number)) for number in (1, 2, 3)}
    with Link(responder(answer).url) as link:
        verdict = check.compare(link, published, before={"9"})
    assert (verdict.lost, verdict.changed, verdict.extra, verdict.twice) == (lost, changed, extra, twice)
    assert verdict.balanced == (not (lost or changed or extra or twice))


def test_changed_content_is_found(responder) -> None:
    from console.link import Link

    lines = [event_line(1, subject="other")]
    with Link(responder(lambda question: Told(0, 0, Exported(lines, 9, 9, 1, True))).url) as link:
        verdict = check.compare(link, {"1": stage.fingerprint(event_line(1))}, set())
    assert verdict.changed == ["1"]


def test_the_summary_says_every_problem() -> None:
    told = frozen.calm().ask(frozen.AskBoard()).body
    played = stage.Played(published={"1": b""}, failed=2, error="no room", groups=consumers.consumers(), drained=False)
    shown = check.summary(played, check.Verdict(archived=0, lost=["1"]), told.status)
    assert not shown.ok
    assert len(shown.problems) == 3
    assert "not in the archive: 1" in check.text(shown)
    assert "2 events were not acked: no room" in check.text(shown)
