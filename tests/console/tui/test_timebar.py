"""The time bar as a picture: what stands where, how columns and instants turn into each other, what is typed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.canvas import Canvas
from console.moments import DURATIONS, FORMS, INSTANTS, duration, instant, moment
from console.pictures import timebar
from console.pictures.frame import Scene, footer, header
from console.pictures.timebar import X0, bars_of, column_of, instant_of
from controlplane.questions import At, Bar, Incident, Timeline
from tests.console import frozen
from tests.console.story import S, at

NOW = at("03:12:44")
MINUTE = 60 * S


def line(bars: int = 60, step: int = MINUTE, **more: object) -> Timeline:
    """Bars of `step` that end with the one of NOW, each with more events than the one before."""
    first = NOW // step * step - (bars - 1) * step
    told = [Bar(first + i * step, 100 + i) for i in range(bars)]
    known: dict[str, object] = {"incidents": [], "score": 97, "health": "OK", "needs": []}
    return Timeline(step, told, **(known | more))  # type: ignore[arg-type]


def scene(told: Timeline | None = None, **more: object) -> Scene:
    known: dict[str, object] = {"position": 1_204_331, "now": NOW, "live": told or line(), "live_now": NOW}
    return Scene("local", frozen.trouble().story.board, **(known | more))  # type: ignore[arg-type]


def past(instant: int, **more: object) -> Scene:
    return scene(now=instant, moment=At(instant=instant), aim=At(instant=instant), **more)


def drawn(c: Canvas) -> list[str]:
    return c.text().splitlines()


def test_live_it_says_when_and_where_and_has_round_clock_times() -> None:
    volume, below = drawn(timebar.picture(scene(), 120))
    assert volume.startswith(" ● LIVE 03:12:44")
    assert below.startswith("   at 1,204,331") and below.endswith("03:12 UTC")
    assert re.findall(r"╵(\d\d:\d\d)", below) == ["02:20", "02:30", "02:40", "02:50", "03:00"]
    assert set(volume[X0:]) <= set("▁▂▃▄▅▆")


def test_the_past_has_its_own_paper_a_cursor_and_a_future() -> None:
    then = at("02:58:10")
    c = timebar.picture(past(then), 120)
    volume, below = drawn(c)
    assert volume.startswith(" ◀ PAST 02:58:10") and "14m34s ago" in below and below.endswith("now")
    cursor = X0 + column_of(line(), bars_of(120), then)
    assert volume[cursor] == "▼" and volume.count("▼") == 1
    assert {paper for row in c.rows for _, _, paper in row} == {"pbg", "past"}
    inks = [ink for _, ink, _ in c.rows[0][X0:118]]
    assert set(inks[: cursor - X0]) == {"mut"} and set(inks[cursor - X0 + 1 :]) == {"fnt"}
    assert len(volume) == X0 + bars_of(120), "the bars after the cursor are drawn"


def test_another_day_is_said() -> None:
    then = NOW - 30 * 3600 * S
    volume, below = drawn(timebar.picture(past(then), 120))
    assert volume.startswith(" ◀ PAST Nov 20 ") and below.startswith("   21:12 1d06h ago")


def test_going_somewhere_is_said_before_the_answers_come() -> None:
    aim = At(instant=at("02:30:00"))
    volume, _ = drawn(timebar.picture(scene(aim=aim), 120))
    assert volume.startswith(" ◀ GOING 02:30:00")
    assert volume[X0 + column_of(line(), bars_of(120), at("02:30:00"))] == "▼"
    assert drawn(timebar.picture(scene(aim=At(position=1_042)), 120))[0].startswith(" ◀ GOING @1,042")
    assert drawn(timebar.picture(scene(moment=aim), 120))[0].startswith(" ◀ GOING LIVE")


def test_incidents_are_flagged_below_and_in_the_bars_of_a_small_window() -> None:
    told = line(
        incidents=[Incident(at("02:20:14"), "warn", "coder slow"), Incident(at("03:12:00"), "bad", "p07 refuses")]
    )
    volume, below = drawn(timebar.picture(scene(told), 120))
    first = X0 + column_of(told, bars_of(120), at("02:20:14"))
    assert below[first] == "▲" and below.rstrip()[-1] == "■" and "▲" not in volume
    (small,) = drawn(timebar.picture(scene(told), 80))
    assert "▲" in small and "■" in small


def test_trouble_without_an_event_is_seen_too() -> None:
    told = line()
    told.bars[3] = Bar(told.bars[3].at, 0, "bad")
    told.bars[5] = Bar(told.bars[5].at, 0, "ok")
    c = timebar.picture(scene(told), X0 + 2 + 60)
    assert c.rows[0][X0 + 3][:2] == ("▁", "bad") and c.rows[0][X0 + 5][0] == "·"


def test_the_present_bar_is_drawn_as_if_it_were_full() -> None:
    told = line(step=60 * S)
    told.bars[-1] = Bar(told.bars[-1].at, 110, "ok")  # 44 s of 60: 150 by its end
    assert timebar._filled(told, NOW)[-1].events == 150
    told.bars[-1] = Bar(NOW - S, 1, "ok")
    assert timebar._filled(told, NOW)[-1].events == told.bars[-2].events


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([15, 30, 60, 240]), st.integers(0, 400))
def test_a_column_is_where_its_instant_is(bars: int, room: int, step: int, column: int) -> None:
    told = line(bars, step * S)
    then = instant_of(told, room, column, NOW)
    if then is not None:
        assert column_of(told, room, then) == min(column, room - 1) and then < NOW
    else:
        assert column >= room - 1 or column_of(told, room, NOW) <= column
    assert timebar.step_ns(told, room) <= timebar.bar_ns(told, room)


@given(st.integers(0, 240), st.integers(0, 300), st.integers(-400, 10))
def test_it_can_be_drawn_at_every_width_and_moment(width: int, bars: int, minutes: int) -> None:
    told = line(bars) if bars else Timeline(0, [], [], None, "UNKNOWN", [])
    c = timebar.picture(past(NOW + minutes * MINUTE, live=told), width)
    assert all(len(row) == width for row in c.rows)


def test_the_header_has_the_score_of_then_or_the_trouble_of_now() -> None:
    told = line(score=61, health="CRITICAL")
    assert drawn(header(past(NOW - S), "Board", 120))[0].endswith("  ■ 61")
    alarmed = header(past(NOW - S, live=told, alarm=True), "Board", 120)
    assert drawn(alarmed)[0].endswith("now ■ 61") and alarmed.target(116, 0) == "key:end"


def test_levers_are_gone_from_the_footer_of_the_past() -> None:
    keys = [("r", "redrive", True), ("enter", "open", False)]
    assert drawn(footer(scene(), keys, 120))[0].startswith(" r redrive  enter open")
    text = drawn(footer(past(NOW - S), keys, 120))[0]
    assert text.startswith(" levers locked  enter open") and text.endswith("end back to live")


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("03:10", At(instant=at("03:10:00"))),
        ("3:10:07", At(instant=at("03:10:07"))),
        ("14:03", At(instant=at("14:03:00") - 24 * 3600 * S)),
        ("-5m", At(instant=NOW - 300 * S)),
        (" -1h30m ", At(instant=NOW - 5_400 * S)),
        ("2025-11-22T03:00:00Z", At(instant=at("03:00:00"))),
        ("2025-11-22", At(instant=at("00:00:00"))),
        ("1,204,331", At(position=1_204_331)),
        ("@42", At(position=42)),
        (str(2**63 - 1), At(position=2**63 - 1)),
        ("now", At(instant=NOW)),
        ("now-5m", At(instant=NOW - 300 * S)),
        ("03:12:44", At(instant=NOW)),
        ("03:12:45", At(instant=NOW + S - 24 * 3600 * S)),
        ("03:10:07.123", At(instant=at("03:10:07") + 123_000_000)),
        ("03:12:44.5", At(instant=NOW + S // 2 - 24 * 3600 * S)),
        ("2025-11-22T03:00:02.5", At(instant=at("03:00:02") + S // 2)),
        ("2025-11-22T03:00:02", At(instant=at("03:00:02"))),
        ("2025-11-22 03:00", At(instant=at("03:00:00"))),
        ("2025-11-22T04:00:02.5+01:00", At(instant=at("03:00:02") + S // 2)),
        ("-1.5h", At(instant=NOW - 5_400 * S)),
        ("1.5h", At(instant=NOW - 5_400 * S)),
        ("-0.29s", At(instant=NOW - 290_000_000)),
    ],
)
def test_a_moment_is_typed_in_many_ways(typed: str, then: At) -> None:
    assert moment(typed, NOW) == then


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("25:00", "25:00 is no clock time: the last one is 23:59:59"),
        ("12:60", "12:60 is no clock time"),
        ("yesterday", f"'yesterday' is no moment: write {FORMS}"),
        ("", "'' is no moment"),
        ("-5", "'-5' is no moment"),
        ("２", "'２' is no moment"),
        ("2025-13-01T00:00:00Z", "is no moment (there is no month 13)"),
        ("2025-02-30", "'2025-02-30' is no moment (there is no day 30 in month 2 of 2025)"),
        ("2025-2-3", "'2025-2-3' is no moment"),
        ("2025-11-22T03:00:02.", "'2025-11-22T03:00:02.' is no moment"),
        ("24:00:00.5", "24:00:00.5 is no clock time"),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z has not been yet: it is Nov 22 03:12:44 UTC"),
        ("9" * 24, f"{'9' * 24} is beyond every journal"),
        (str(2**63), "is beyond every journal"),
        ("-999999d", "-999999d was before 1970"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z was before 1970"),
    ],
)
def test_what_is_no_moment_says_why(typed: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        moment(typed, NOW)


def test_an_instant_may_be_to_come_and_is_no_position() -> None:
    assert instant("2030-01-01T00:00:00Z", NOW) > NOW
    assert instant("3:10", NOW) == at("03:10:00")
    with pytest.raises(ValueError, match=f"'42' is no moment: write {INSTANTS}"):
        instant("42", NOW)


@pytest.mark.parametrize("typed", ["1.5h", "-1.5h", "1h30m", "2025-11-22T01:42:44", "01:42:44.000"])
def test_a_duration_back_has_a_minus_or_none(typed: str) -> None:
    assert instant(typed, NOW) == NOW - 5_400 * S
    assert moment(typed, NOW) == At(instant=NOW - 5_400 * S)


def test_a_duration_has_a_length() -> None:
    assert (duration("1h30m"), duration("1.5h"), duration("250ms")) == (5_400 * S, 5_400 * S, S // 4)
    for typed in ("", "0s", "5", "-5m", "1w", "m"):
        with pytest.raises(ValueError, match=re.escape(f"{typed!r} is not a duration: write {DURATIONS}")):
            duration(typed)


@given(st.text(max_size=30))
def test_whatever_is_typed_is_a_moment_or_says_why_not(typed: str) -> None:
    try:
        assert isinstance(moment(typed, NOW), At)
    except ValueError as error:
        assert str(error)


@given(st.integers(60, 200), st.lists(st.text("abcdefgh", min_size=1, max_size=12), max_size=12), st.booleans())
def test_the_keys_of_a_footer_stand_apart_from_its_end(width: int, labels: list[str], in_past: bool) -> None:
    shown = past(NOW - S) if in_past else scene()
    text = drawn(footer(shown, [("x", label, False) for label in labels], width))[0]
    before, _, _ = text.rpartition(
        "end back to live" if in_past else f"every {shown.every_s:g} s" if width >= 80 else "? help"
    )
    assert before.endswith("  ")
