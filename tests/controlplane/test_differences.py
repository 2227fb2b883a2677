"""What differs between two states, down to the field."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.differences import compare, differing, field_changes, readable, text_of
from controlplane.limits import DIFF_FIELDS_MAX, DIFF_TEXT_CHARS_MAX
from controlplane.questions import StateChange, TableChange
from controlplane.state import ABSENT, KeyedState


class Thing(msgspec.Struct, frozen=True):
    """A value with fields."""

    size: int
    colour: str = "red"


def state(tables: dict[str, dict[str | int, object]]) -> dict[str, KeyedState]:
    made = KeyedState("f")
    for table, rows in tables.items():
        for key, value in rows.items():
            made.put(table, key, value)
    made.settle()
    return {"f": made}


def test_keys_are_added_removed_and_changed() -> None:
    was = state({"t": {"a": Thing(1), "b": Thing(2), 7: "x"}, "gone": {"k": 1}})
    now = state({"t": {"b": Thing(3, "blue"), 7: "x", "c": Thing(4)}})
    tables, changes = compare(was, now, 9)
    assert tables == [TableChange("f", "gone", 0, 1, 0), TableChange("f", "t", 1, 1, 1)]
    assert changes == [
        StateChange("f", "gone", "k", "removed", was="1"),
        StateChange("f", "t", "a", "removed", was="size 1, colour red"),
        StateChange("f", "t", "b", "changed", "size", "2", "3"),
        StateChange("f", "t", "b", "changed", "colour", "red", "blue"),
        StateChange("f", "t", "c", "added", now="size 4, colour red"),
    ]
    assert compare(was, now, 1)[0] == tables
    assert [change.key for change in compare(was, now, 1)[1]] == ["k", "a"]
    assert compare(was, was, 9) == ([], [])


tables = st.dictionaries(
    st.sampled_from("ab"), st.dictionaries(st.sampled_from("xyz") | st.integers(0, 2), st.integers(0, 2), max_size=4)
)


@settings(max_examples=200, deadline=None)
@given(tables, tables)
def test_against_brute_force(was: dict[str, dict[str | int, object]], now: dict[str, dict[str | int, object]]) -> None:
    flat = [{(table, key): value for table, rows in one.items() for key, value in rows.items()} for one in (was, now)]
    wanted = {place for place in flat[0].keys() | flat[1].keys() if flat[0].get(place) != flat[1].get(place)}
    found = [(table, key) for _, table, keys in differing(state(was), state(now)) for key in keys]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_a_fold_that_only_one_has_is_empty_in_the_other() -> None:
    assert compare({}, state({"t": {"a": 1}}), 5)[0] == [TableChange("f", "t", 1, 0, 0)]


def test_fields_of_maps_and_plain_values() -> None:
    assert list(field_changes({"a": 1, "b": 2}, {"b": 3, "c": 4})) == [("a", "1", ""), ("b", "2", "3"), ("c", "", "4")]
    assert list(field_changes(1, "1")) == [("", "1", "1")]
    assert list(field_changes(Thing(1), Thing(1))) == []


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (1_772_366_400_123_000_000, "since", "2026-03-01T12:00:00.123Z"),
        (30_000_000_000, "threshold_ns", "30 s"),
        (-1_500_000, "skew_ns", "-1.5 ms"),
        (120_431, "position", "120431"),
        (True, "up", "true"),
        ("b1", "id", "b1"),
        (b"\x01\xff", "digest", "01ff"),
        ([1_772_366_400_000_000_000, Thing(1)], "", "2026-03-01T12:00:00.000Z, (size 1, colour red)"),
        ({"b1": [], "b2": Thing(0, "")}, "", "b1 –, b2 (–)"),
        (ABSENT, "", ""),
    ],
)
def test_a_value_is_told_as_people_read_it(value: object, name: str, text: str) -> None:
    assert readable(value, name) == text


def test_what_is_told_is_bounded() -> None:
    assert len(text_of("x" * 1_000)) == DIFF_TEXT_CHARS_MAX
    many = state({"t": {"k": {str(n): n for n in range(50)}}}), state({"t": {"k": {str(n): n + 1 for n in range(50)}}})
    changes = compare(*many, 5)[1]
    assert len(changes) == DIFF_FIELDS_MAX + 1
    assert changes[-1].field == f"and {50 - DIFF_FIELDS_MAX} more"
