"""Instants: round trips, Python's own reader as the oracle, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.rfc3339 import format_time, is_canonical, parse_time
from tests.bus.strategies import instants

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(instants)
def test_every_instant_comes_back(nanoseconds: int) -> None:
    text = format_time(nanoseconds)
    assert parse_time(text) == nanoseconds
    assert is_canonical(text)


@given(
    st.datetimes(min_value=datetime(1678, 1, 1), max_value=datetime(2262, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from(["", ".5", ".123", ".1234", ".123456"]),
)
def test_offsets_and_fractions_agree_with_datetime(moment: datetime, minutes: int, fraction: str) -> None:
    sign = "+" if minutes >= 0 else "-"
    offset = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + offset
    expected = datetime.fromisoformat(text) - EPOCH
    assert parse_time(text) == (expected // timedelta(microseconds=1)) * 1000


@given(st.text(st.sampled_from("0123456789-:TtZz.+ "), max_size=32) | st.text(max_size=32))
def test_garbage_is_refused_or_is_an_instant(text: str) -> None:
    try:
        nanoseconds = parse_time(text)
    except ValueError:
        return
    assert parse_time(format_time(nanoseconds)) == nanoseconds
    assert is_canonical(text) == (format_time(nanoseconds) == text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2023-10-25T17:09:19.736166", "not an RFC 3339"),
        ("2023-13-05T00:00:00Z", "no month 13"),
        ("2023-02-29T00:00:00Z", "no day 29"),
        ("2023-02-28T24:00:00Z", "no 24:00"),
        ("2023-02-28T23:00:61Z", "no second 61"),
        ("2023-02-28T23:00:00+24:00", "no offset"),
        ("1500-01-01T00:00:00.000Z", "64 bits"),
        ("2023-02-28 23:00:00Z", "not an RFC 3339"),
        ("２023-02-28T23:00:00.000Z", "not an RFC 3339"),
        ("2023-02-28T23:00:0٣.000Z", "not an RFC 3339"),
    ],
)
def test_refusals_say_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z"),
        ("2024-02-29t12:00:00z", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29T12:00:00.1234567899Z", "2024-02-29T12:00:00.123456789Z"),
        ("2024-02-29T12:00:00.120000Z", "2024-02-29T12:00:00.120Z"),
    ],
)
def test_other_texts_of_an_instant(text: str, same: str) -> None:
    assert parse_time(text) == parse_time(same)
    assert not is_canonical(text)
    assert is_canonical(same)
