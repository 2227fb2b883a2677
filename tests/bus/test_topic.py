"""Patterns against a matcher too simple to be wrong, and against NATS's own test vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidPattern
from bus.topic import Filter, is_pattern, is_type, matches

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "subject_match.json").read_text())
words = st.sampled_from(["a", "b", "a b", "*", ">", "a*", ">>", ""])
texts = st.lists(words, min_size=1, max_size=5).map(".".join)


def slowly(pattern: list[str], type: list[str]) -> bool:
    """Token by token, by recursion."""
    if not pattern or not type:
        return not pattern and not type
    if pattern[0] == ">":
        return len(pattern) == 1
    return pattern[0] in ("*", type[0]) and slowly(pattern[1:], type[1:])


@given(texts, texts)
def test_matches_as_the_slow_matcher_does(pattern: str, type: str) -> None:
    if not is_pattern(pattern):
        with pytest.raises(InvalidPattern):
            matches(pattern, type)
        return
    expected = is_type(type) and slowly(pattern.split("."), type.split("."))
    assert matches(pattern, type) == expected


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_answered(pattern: str, type: str) -> None:
    if is_pattern(pattern):
        assert matches(pattern, type) in (True, False)
    if is_type(type):
        assert matches(type, type)
        assert matches(">", type)


@given(texts.filter(is_pattern), st.lists(texts, min_size=1, max_size=6, unique=True), st.data(), st.booleans())
def test_rows_of_a_batch_are_those_whose_type_matches(
    pattern: str, names: list[str], data: st.DataObject, wide: bool
) -> None:
    index = data.draw(st.lists(st.integers(0, len(names) - 1), max_size=30))
    chosen = Filter(pattern)
    rows = chosen.rows(names, tuple(index) if wide else bytes(index))
    assert rows == [row for row, place in enumerate(index) if chosen.accepts(names[place])]


@pytest.mark.parametrize("case", VECTORS["nats_match"], ids=lambda case: f"{case['pattern']} {case['subject']}")
def test_nats_match(case: dict[str, object]) -> None:
    assert matches(str(case["pattern"]), str(case["subject"])) == case["match"]


@pytest.mark.parametrize("case", VECTORS["nats_valid"], ids=lambda case: case["subject"])
def test_nats_valid(case: dict[str, object]) -> None:
    assert is_pattern(str(case["subject"])) == case["valid"]


@pytest.mark.parametrize("case", VECTORS["nats_publishable"], ids=lambda case: case["subject"])
def test_nats_publishable(case: dict[str, object]) -> None:
    assert is_type(str(case["subject"])) == case["publishable"]


@pytest.mark.parametrize(
    ("pattern", "internal", "reached"),
    [
        (">", False, False),
        ("*.deadletter", False, False),
        ("signalbox.>", False, True),
        ("signalbox.*", False, True),
        (">", True, True),
    ],
)
def test_reserved_types_are_reached_only_by_name(pattern: str, internal: bool, reached: bool) -> None:
    assert Filter(pattern, internal).accepts("signalbox.deadletter") == reached


def test_a_filter_forgets_rather_than_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.topic.FILTER_TYPES_CACHED_MAX", 4)
    chosen = Filter("a.*")
    assert [chosen.accepts(f"a.{number}") for number in range(20)] == [True] * 20
    assert len(chosen._known) <= 4
