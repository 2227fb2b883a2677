"""Offsets as runs, rows as bits: against lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bitmap import bits_of, lowest, packed, places, rows_of, spans
from bus.pages import Page, Pages
from bus.runs import extend, pairs, runs_of


@given(st.sets(st.integers(0, 300)))
def test_runs_round_trip(offsets: set[int]) -> None:
    runs = runs_of(sorted(offsets))
    assert [at for first, length in pairs(runs, 301) for at in range(first, first + length)] == sorted(offsets)
    built: list[int] = []
    for base in range(0, 301, 43):
        extend(built, base, sum(1 << (offset - base) for offset in offsets if base <= offset < base + 43))
    assert built == runs


@given(st.integers(0, 2**80), st.integers(0, 90))
def test_bits_are_counted_placed_and_cut(bits: int, most: int) -> None:
    ones = [place for place in range(81) if bits >> place & 1]
    assert places(bits) == ones and bits_of(ones, 81) == bits
    assert [at for first, length in spans(bits) for at in range(first, first + length)] == ones
    assert places(lowest(bits, most)) == ones[:most]
    assert rows_of(packed(bits, 81), 81) == ones


@pytest.mark.parametrize("runs", [[3], [3, 0], [3, -1], [-1, 2], [3, 2, 4, 1], [0, 6], [5, 1, 2, 1], [2**70, 2**70]])
def test_what_are_no_runs_is_refused(runs: list[int]) -> None:
    with pytest.raises(ValueError, match="runs of offsets"):
        pairs(runs, 5)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(0, 511)), max_size=12), st.data())
def test_pages_are_found_by_any_offset(shapes: list[tuple[int, int, int]], data: st.DataObject) -> None:
    made: list[Page] = []
    at = 0
    for gap, count, bits in shapes:
        made.append(Page(at + gap, count, at, bits & (1 << count) - 1))
        at += gap + count
    pages: Pages[Page] = Pages()
    for page in data.draw(st.permutations(made)):
        pages.add(page)
    for page in data.draw(st.lists(st.sampled_from(made), unique=True)) if made else ():
        pages.drop(page)
        made.remove(page)
    assert list(pages) == made and pages.first == (made[0] if made else None)
    first, length = data.draw(st.integers(0, 90)), data.draw(st.integers(1, 60))
    covered = {}
    for page, mask in pages.over(first, length):
        covered |= dict.fromkeys(page.offsets(mask), page)
    for offset in range(160):
        owner = next((page for page in made if page.base <= offset < page.base + page.count), None)
        assert pages.at(offset) is owner
        is_open = owner is not None and bool(owner.open >> (offset - owner.base) & 1)
        assert pages.having(offset) is (owner if is_open else None)
        assert covered.get(offset) is (owner if first <= offset < first + length else None)
