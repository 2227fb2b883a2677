"""The power of two choices: deterministic, even, better than one draw, and found where there is anyone with room."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bus.choice import alone, choose, draw, standing
from bus.routinglimits import CHOICE_SCAN_MAX

FREE = standing(0, 8, 1_000, 1_000)


def names(count: int) -> list[str]:
    return [f"agent/{n}" for n in range(count)]


@given(st.text(max_size=20), st.integers(1, 10_000))
def test_two_different_places_are_drawn(seed: str, count: int) -> None:
    first, second = draw(seed, count)
    assert 0 <= first < count and 0 <= second < count and (first != second or count == 1)
    assert draw(seed, count) == (first, second)


def test_draws_are_even() -> None:
    counted = Counter(place for n in range(20_000) for place in draw(f"event-{n}", 10))
    assert all(abs(counted[place] - 4_000) < 400 for place in range(10))


states = st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(1, 10**6), st.integers(0, 1_000), st.booleans())


@given(st.text(max_size=9), st.lists(st.none() | states, max_size=30), st.integers(-1, 29))
def test_whoever_is_chosen_is_able_and_has_room_and_is_the_better_of_the_two(
    seed: str, given: list[tuple[int, int, int, int, bool] | None], preferred: int
) -> None:
    agents = names(len(given))
    standings = {name: None if one is None else standing(*one) for name, one in zip(agents, given, strict=True)}
    prefer = agents[preferred] if 0 <= preferred < len(agents) else ""
    found = choose(seed, len(agents), lambda i: agents[i], lambda name: standings[name], prefer)
    free = [name for name, one in standings.items() if one is not None and not one.is_full]
    assert (found.agent in free) if free else found.agent == ""
    assert found == choose(seed, len(agents), lambda i: agents[i], lambda name: standings[name], prefer)
    if prefer in free:
        assert found.agent == prefer and found.sticky
        return
    if not agents:
        assert found.whole and not found.able
        return
    drawn = [agents[place] for place in draw(seed, len(agents))]
    two = [name for name in dict.fromkeys(drawn) if name in free]
    if two:
        best = min(two, key=lambda name: standings[name].score)  # type: ignore[union-attr]
        assert found.agent == best
    if not found.agent:
        assert found.whole and found.able == sum(one is not None for one in standings.values())
    assert all((one.why == "") == (one.agent == found.agent) for one in found.looked)


def test_two_choices_are_far_better_than_one() -> None:
    loads = dict.fromkeys(names(200), 0)
    agents = list(loads)
    for n in range(2_000):
        found = choose(f"e-{n}", 200, lambda i: agents[i], lambda name: standing(loads[name], 1, 1_000, 1_000))
        loads[found.agent] += 1
    once = Counter(draw(f"e-{n}", 200)[0] for n in range(2_000))
    assert max(loads.values()) <= 14 < max(once.values())


def test_the_one_with_room_is_found_among_many_that_are_busy() -> None:
    agents = names(1_000)
    full = FREE._replace(is_full=True)
    found = choose("seed", 1_000, lambda i: agents[i], lambda name: FREE if name == "agent/999" else full)
    assert (found.agent == "agent/999" and found.whole is False) or found.able
    many = names(CHOICE_SCAN_MAX * 2)
    found = choose("seed", len(many), lambda i: many[i], lambda name: full)
    assert found.agent == "" and not found.whole and len(found.looked) < 20


def test_a_slow_or_unreliable_or_loaded_one_scores_worse() -> None:
    assert FREE.score < standing(4, 8, 1_000, 1_000).score < standing(8, 8, 1_000, 1_000).score
    assert FREE.score < standing(0, 8, 1_001, 1_000).score
    assert FREE.score < standing(0, 8, 1_000, 900).score < standing(0, 8, 1_000, 0).score
    assert alone("agent/a", FREE).winner is not None and FREE.expected_us == 1_000
