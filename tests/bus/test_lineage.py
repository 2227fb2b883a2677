"""The outline of a log against the log itself, record by record."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import CorruptRecord
from bus.lineage import Outline, Restored

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(0, 5)),
        st.tuples(st.just("truncate"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("commit"), st.integers(0, 12), st.just(0)),
    ),
    max_size=40,
)


class Brute:
    """The same log as a list of (epoch, count)."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int]] = []
        self.high = 0

    def take(self, outline: Outline, verb: str, what: int, count: int) -> None:
        end = len(self.records)
        if verb == "append":
            epoch = (self.records[-1][0] if self.records else 1) + what
            self.records.append((epoch, count))
            outline.append(epoch, count)
        elif verb == "truncate":
            cut = min(what, end)
            if cut < self.high:
                with pytest.raises(CorruptRecord):
                    outline.truncate(cut)
            else:
                del self.records[cut:]
                outline.truncate(cut)
        else:
            assert outline.commit(what) == (self.high < min(what, end))
            self.high = max(self.high, min(what, end))

    def offset(self, index: int) -> int:
        return sum(count for _, count in self.records[:index])

    def end_of(self, epoch: int) -> tuple[int, int]:
        held = [(own, index + 1) for index, (own, _) in enumerate(self.records) if own <= epoch]
        return max(held, default=(0, 0))


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_an_outline_is_what_the_log_is(steps: list[tuple[str, int, int]]) -> None:
    outline, brute = Outline(Restored()), Brute()
    for step in steps:
        brute.take(outline, *step)
        end = len(brute.records)
        assert (outline.end, outline.end_offset) == (end, brute.offset(end))
        assert (outline.high, outline.high_offset) == (brute.high, brute.offset(brute.high))
        assert outline.last_epoch == (brute.records[-1][0] if brute.records else 0)
        assert [outline.epoch_at(index) for index in range(-1, end)] == [0, *(epoch for epoch, _ in brute.records)]
        assert all(outline.end_of(epoch) == brute.end_of(epoch) for epoch in range(12))
    restored = restored_from(outline, brute)
    again = Outline(restored)
    assert vars(again) == vars(outline)


def restored_from(outline: Outline, brute: Brute) -> Restored:
    tail = [count for _, count in brute.records[brute.high :]]
    place = (outline.end, outline.end_offset, outline.high, outline.high_offset)
    return Restored(0, None, list(outline.lineage), *place, tail)


@pytest.mark.parametrize(
    "restored",
    [
        Restored(end=1),
        Restored(lineage=[(1, 0)], end=2, end_offset=5, high=1, high_offset=2, tail=[2]),
        Restored(lineage=[(1, 1)], end=2, high=2),
        Restored(lineage=[(1, 0), (1, 1)], end=2, high=2),
        Restored(lineage=[(2, 0), (1, 1)], end=2, high=2),
        Restored(lineage=[(1, 0), (2, 2)], end=2, high=2),
        Restored(lineage=[], end=2, high=2),
    ],
)
def test_parts_that_contradict_each_other_are_refused(restored: Restored) -> None:
    with pytest.raises(CorruptRecord):
        Outline(restored)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(-1, 4)), max_size=4))
def test_only_records_that_continue_the_log_follow_it(heads: list[tuple[int, int, int]]) -> None:
    outline = Outline(Restored())
    outline.append(1, 2)
    chain = [(1, 0, 2), *heads]
    fits = all(
        before[0] <= after[0] and after[1] == before[1] + before[2] and after[2] >= 0
        for before, after in pairwise(chain)
    )
    assert outline.follows(heads, 3) == (fits and all(epoch <= 3 for epoch, _, _ in heads))
