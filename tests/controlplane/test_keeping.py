"""Which segments retention lets go of, against the rule said plainly; and a base, read by folds of other versions."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from controlplane.keeping import Part, due
from controlplane.limits import SEGMENTS_LEFT_MIN

SECOND = 1_000_000_000
NOW = 1_000 * SECOND


def parts(*given: tuple[int, int, bool]) -> list[Part]:
    """Segments of (bytes, age in seconds, sealed), ten positions each."""
    return [Part(size, 10 * n, NOW - age * SECOND, sealed) for n, (size, age, sealed) in enumerate(given, 1)]


FIVE = parts((10, 500, True), (10, 400, True), (10, 300, True), (10, 200, True), (10, 0, False))


def test_nothing_is_let_go_of_where_nothing_is_asked() -> None:
    assert due(FIVE, NOW, 0, 0) == (0, "")
    assert due([], NOW, 1, 1) == (0, "")


def test_the_oldest_go_by_age_and_by_bytes() -> None:
    assert due(FIVE, NOW, 350, 0) == (2, "age")
    assert due(FIVE, NOW, 400, 0) == (1, "age"), "as old as that is not older"
    assert due(FIVE, NOW, 0, 35) == (2, "bytes")
    assert due(FIVE, NOW, 0, 50) == (0, "")
    assert due(FIVE, NOW, 450, 25) == (3, "age")


def test_the_newest_stay_whatever_was_asked() -> None:
    assert due(FIVE, NOW, 1, 1) == (len(FIVE) - SEGMENTS_LEFT_MIN, "age")


def test_what_is_not_sealed_or_is_needed_yet_stays_with_all_after_it() -> None:
    unsealed = parts((10, 500, True), (10, 400, False), (10, 300, True), (10, 200, True), (10, 0, False))
    assert due(unsealed, NOW, 1, 0) == (1, "age")
    assert due(FIVE, NOW, 1, 0, needed=20) == (1, "age")
    assert due(FIVE, NOW, 1, 0, needed=21) == (2, "age")
    assert due(FIVE, NOW, 1, 0, needed=1) == (0, "")


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 900), st.booleans()), max_size=8),
    st.integers(0, 900),
    st.integers(0, 200),
    st.none() | st.integers(1, 90),
)
def test_it_is_the_longest_beginning_of_which_each_may_and_must_go(
    made: Sequence[tuple[int, int, bool]], seconds: int, bytes: int, needed: int | None
) -> None:
    all_of = parts(*made)
    count, by = due(all_of, NOW, seconds, bytes, needed)

    def goes(n: int) -> bool:
        part, left = all_of[n], sum(each.bytes for each in all_of[n:])
        wanted = (0 < seconds < made[n][1]) or 0 < bytes < left
        is_free = part.is_sealed and (needed is None or needed > part.last)
        return wanted and is_free and n < len(made) - SEGMENTS_LEFT_MIN

    assert all(goes(n) for n in range(count))
    assert count == len(made) or not goes(count)
    assert bool(by) == bool(count)
