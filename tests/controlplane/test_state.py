"""Keyed state: the digest is the state's alone, however it came about."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.state import KeyedState

numbers = st.integers(-(2**63), 2**63 - 1)
values = st.one_of(numbers, st.text(max_size=3), st.lists(numbers, max_size=3),
                   st.dictionaries(st.integers(0, 5), numbers, max_size=4))  # fmt: skip
places = st.tuples(st.sampled_from(["t", "u"]), st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"])))
changes = st.lists(st.tuples(places, st.one_of(st.none(), values), st.booleans()), max_size=30)


def applied(changes: list[tuple[tuple[str, Any], Any, bool]]) -> tuple[KeyedState, dict[Any, Any]]:
    """A state and a plain dict after the same changes; None deletes, True settles."""
    state, plain = KeyedState("f"), {}
    for (table, key), value, settles in changes:
        if value is None:
            state.delete(table, key)
            plain.pop((table, key), None)
        else:
            state.put(table, key, value)
            plain[table, key] = value
        if settles:
            state.settle()
    state.settle()
    return state, plain


@given(changes)
def test_the_digest_is_of_what_is_there_and_not_of_how_it_came(changes: list[Any]) -> None:
    state, plain = applied(changes)
    assert {(t, k): v for t in ("t", "u") for k, v in state.items(t)} == plain
    again = KeyedState("f")
    for (table, key), value in sorted(plain.items(), key=repr):
        again.put(table, key, dict(reversed(value.items())) if isinstance(value, dict) else value)
    again.settle()
    assert state.digest == again.digest == state.recomputed_digest()


@given(changes, changes)
def test_undo_takes_back_to_the_last_settle(before: list[Any], after: list[Any]) -> None:
    state, plain = applied(before)
    digest = state.digest
    for (table, key), value, _ in after:
        if value is None:
            state.delete(table, key)
        else:
            state.put(table, key, value)
    state.undo()
    assert {(t, k): v for t in ("t", "u") for k, v in state.items(t)} == plain
    state.settle()
    assert state.digest == digest == state.recomputed_digest()


def test_fold_table_and_key_all_count() -> None:
    digests = set()
    for fold, table, key, value in (("f", "t", 1, 0), ("g", "t", 1, 0), ("f", "u", 1, 0), ("f", "t", "1", 0),
                                    ("f", "t", 1, 1), ("f", "t", 1, "0")):  # fmt: skip
        state = KeyedState(fold)
        state.put(table, key, value)
        state.settle()
        digests.add(state.digest)
    assert len(digests) == 6
