"""Filters, and an order that does not jump."""

from hypothesis import given
from hypothesis import strategies as st

from console.order import Filter, by_column, is_subsequence, parse, steady
from console.pictures.parts import RANK
from console.pictures.table import Row

WORDS = st.text("abcd ", max_size=12)
SEVERITIES = st.sampled_from(["ok", "warn", "bad", "unknown"])


def row(key: str, severity: str = "ok", words: str = "", value: float = 0.0) -> Row:
    return Row(key, severity, (), (value,), words)


ROWS = st.lists(st.tuples(st.integers(0, 30), SEVERITIES), max_size=20, unique_by=lambda pair: pair[0]).map(
    lambda pairs: [row(str(n), severity) for n, severity in pairs]
)


def test_what_is_typed_says_the_kind() -> None:
    assert parse("coder") == Filter("coder", "plain")
    assert parse("!coder") == Filter("coder", "inverse")
    assert parse("-f cdr") == Filter("cdr", "fuzzy")
    assert parse("!") == parse("-f ") == parse("  ") == Filter()
    assert parse("!coder").at_plane == "" and parse("coder").at_plane == "coder"
    assert [str(parse(typed)) for typed in ("x", "!x", "-f x")] == ["x", "!x", "-f x"]


@given(WORDS, WORDS)
def test_inverse_keeps_exactly_what_plain_hides(text: str, words: str) -> None:
    if text.strip():
        assert parse(text).keeps(row("a", words=words)) != parse(f"!{text}").keeps(row("a", words=words))


@given(WORDS, WORDS)
def test_fuzzy_is_a_subsequence(text: str, words: str) -> None:
    letters = text.replace(" ", "")

    def brute(rest: str, among: str) -> bool:
        return not rest or (rest[0] in among and brute(rest[1:], among[among.index(rest[0]) + 1 :]))

    assert is_subsequence(text, words) == brute(letters, words)


@given(ROWS, ROWS)
def test_rows_keep_their_place_within_their_severity_and_new_ones_come_last(before: list[Row], now: list[Row]) -> None:
    places = {one.key: i for i, one in enumerate(before)}
    shown = steady(now, places)
    assert sorted(one.key for one in shown) == sorted(one.key for one in now)
    assert [RANK[one.severity] for one in shown] == sorted(RANK[one.severity] for one in now)
    for severity in RANK:
        known = [places[one.key] for one in shown if one.severity == severity and one.key in places]
        newness = [one.key not in places for one in shown if one.severity == severity]
        assert known == sorted(known)
        assert newness == sorted(newness)


def test_a_column_sorts_and_none_leaves_the_planes_order() -> None:
    rows = [row("a", value=2), row("b", value=1)]
    assert [one.key for one in by_column(rows, 0)] == ["b", "a"]
    assert by_column(rows, None) == rows
