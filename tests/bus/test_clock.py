"""Vector clocks: a lattice, and what a client knows."""

from hypothesis import given
from hypothesis import strategies as st

from bus.clock import Knowledge, compare, merge, missing, reaches

CLOCK = st.dictionaries(st.integers(0, 3), st.integers(0, 4), max_size=4)


@given(CLOCK, CLOCK, CLOCK)
def test_merging_is_the_least_upper_bound(one: dict[int, int], two: dict[int, int], three: dict[int, int]) -> None:
    both = merge(one, two)
    assert both == merge(two, one) and merge(both, three) == merge(one, merge(two, three)) and merge(one, one) == one
    assert compare(one, both) in ("before", "equal") and compare(two, both) in ("before", "equal")
    assert all(offset in (one.get(partition), two.get(partition)) for partition, offset in both.items())


@given(CLOCK, CLOCK)
def test_comparing_is_set_inclusion_of_what_is_known(one: dict[int, int], two: dict[int, int]) -> None:
    def known(clock: dict[int, int]) -> set[tuple[int, int]]:
        return {(partition, at) for partition, offset in clock.items() for at in range(offset + 1)}

    expected = {(True, True): "equal", (True, False): "before", (False, True): "after", (False, False): "concurrent"}
    assert compare(one, two) == expected[known(one) <= known(two), known(two) <= known(one)]


@given(CLOCK, CLOCK)
def test_cursors_reach_what_lies_below_them(cursors: dict[int, int], deps: dict[int, int]) -> None:
    below = {(partition, at) for partition, offset in cursors.items() for at in range(offset)}
    assert reaches(cursors, deps) == (set(deps.items()) <= below)
    assert merge(missing(cursors, deps), deps) == merge(deps, {})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9))), CLOCK)
def test_knowledge_has_the_greatest_of_each_partition(seen: list[tuple[int, int]], given_deps: dict[int, int]) -> None:
    knowledge = Knowledge()
    for partition, offset in seen:
        knowledge.saw(partition, offset)
    expected: dict[int, int] = dict(given_deps)
    for partition, offset in seen:
        expected[partition] = max(offset, expected.get(partition, 0))
    assert (knowledge.deps(given_deps) or {}) == expected
    assert knowledge.deps() is None or seen
