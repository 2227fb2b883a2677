"""Numbers, ages and times take few cells and say what they mean."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import measure

INSTANT = st.integers(1, 4_102_444_800 * measure.SECOND)
NARROW_MAX = 6


@given(st.integers(-(10**18), 99 * measure.DAY))
def test_ages_fit_six_cells(duration: int) -> None:
    assert len(measure.age(duration)) <= NARROW_MAX
    assert len(measure.took(duration)) <= NARROW_MAX


@given(INSTANT)
def test_days_and_clocks_are_those_of_the_calendar(instant: int) -> None:
    when = datetime.fromtimestamp(instant // measure.SECOND, UTC)
    assert measure.day(instant) == f"{when:%b} {when.day}"
    assert measure.clock(instant) == f"{when:%H:%M:%S}"
    assert measure.clock(instant, 3).startswith(f"{when:%H:%M:%S}.")


@given(st.lists(st.floats(0, 1e9), max_size=12), st.none() | st.floats(0, 1e9))
def test_sparks_have_one_bar_a_value_and_the_largest_is_the_highest(values: list[float], top: float | None) -> None:
    bars = measure.spark(values, top)
    assert len(bars) == len(values)
    assert "█" not in bars
    assert all(
        a <= b
        for (_, a), (_, b) in zip(*(iter(sorted(zip(values, bars, strict=True))[i:]) for i in (0, 1)), strict=False)
    )


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        (measure.age(252 * measure.SECOND), "4m12s"),
        (measure.age(3_840 * measure.SECOND), "1h04m"),
        (measure.age(None), "–"),
        (measure.lag(300_000_000), "0.3s"),
        (measure.took(1_900_000_000), "1.9s"),
        (measure.took(41_000_000), "41ms"),
        (measure.rate(18_400), ("18.4", "k/s")),
        (measure.rate(4_212), ("4,212", "/s")),
        (measure.rate(None), ("–", "")),
        (measure.size(1_234), "1.2 kB"),
        (measure.size(310), "310 B"),
        (measure.count(1_204_331), "1,204,331"),
        (measure.percent(0.004, 1), "0.4"),
        (measure.percent(None), "–"),
        (measure.clock(0), "–"),
    ],
)
def test_the_ways_of_saying_it(shown: object, meant: object) -> None:
    assert shown == meant


def test_one_is_not_many() -> None:
    told = [measure.many(number, "event") for number in (0, 1, 2, 18_400_000)]
    assert told == ["0 events", "1 event", "2 events", "18.4 M events"]
    assert measure.many(1, "entry", "entries") == "1 entry" and measure.many(None, "entry", "entries") == "– entries"
