"""The index of able agents, against sets that are looked through whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.able import able_agents, is_able, nth_able, seat, unseat
from controlplane.state import KeyedState

CAPABILITIES = ("plan", "code", "nlp.translate")
SOURCES = tuple(f"agent/{n}" for n in range(6))

comings = st.lists(
    st.tuples(st.booleans(), st.sampled_from(SOURCES), st.lists(st.sampled_from(CAPABILITIES), unique=True)),
    max_size=60,
)


def agree(state: KeyedState, model: dict[str, set[str]]) -> None:
    """The index says of everyone, and of every seat, what the sets say."""
    for capability in CAPABILITIES:
        able = model[capability]
        n = able_agents(state, capability)
        seated = [nth_able(state, capability, i) for i in range(n)]
        assert sorted(seated) == sorted(able)
        with pytest.raises(IndexError, match=f"has {n} agents"):
            nth_able(state, capability, n)
        assert {source for source in SOURCES if is_able(state, source, capability)} == able


@settings(max_examples=200, deadline=None)
@given(comings)
def test_seats_are_dense_and_hold_exactly_who_is_able(things: list[tuple[bool, str, list[str]]]) -> None:
    state = KeyedState("registry")
    model: dict[str, set[str]] = {capability: set() for capability in CAPABILITIES}
    for comes, source, capabilities in things:
        (seat if comes else unseat)(state, source, capabilities)
        for capability in capabilities:
            (model[capability].add if comes else model[capability].discard)(source)
        agree(state, model)
    for source in SOURCES:
        unseat(state, source, CAPABILITIES)
    assert not any(state.table(table) for table in ("able", "ables", "seat")), "who has gone leaves nothing behind"


def test_coming_and_going_touch_a_few_places_however_many_there_are() -> None:
    state = KeyedState("registry")
    for n in range(10_000):
        seat(state, f"agent/{n}", ["plan"])
    state.settle()
    unseat(state, "agent/17", ["plan"])
    assert len(state.touched) == 5
    assert nth_able(state, "plan", 17) == "agent/9999"
