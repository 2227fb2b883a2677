"""Ids: their shape, their order, and that threads and forks never share one."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from bus import ids
from bus.uuid7 import LOW_BITS, uuid7


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**LOW_BITS - 1))
def test_uuid7_is_a_uuid_of_version_seven(ms: int, low: int) -> None:
    text = uuid7(ms, low)
    parsed = UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == "specified in RFC 4122"
    assert parsed.int >> 80 == ms


@given(st.lists(st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**LOW_BITS - 1)), max_size=20))
def test_texts_sort_as_their_numbers(pairs: list[tuple[int, int]]) -> None:
    assert [uuid7(*pair) for pair in sorted(pairs)] == sorted(uuid7(*pair) for pair in pairs)


def test_ids_only_grow_also_when_the_clock_goes_back(monkeypatch) -> None:
    clock = iter([5_000_000, 5_000_000, 3_000_000, 9_000_000, 1_000_000])
    sequence = ids._Sequence()
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(clock))
    made = [id for _ in range(5) for id in sequence.next(2)]
    assert made == sorted(set(made))


def test_a_full_counter_takes_the_next_millisecond(monkeypatch) -> None:
    sequence = ids._Sequence()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 5_000_000)
    (first,) = sequence.next(1)
    sequence.tail = ids._TAIL_MASK - 2
    last, full = sequence.next(2), sequence.next(1)
    assert first < last[0] < last[1] < full[0]
    assert [UUID(id).int >> 80 for id in (first, *last, *full)] == [5, 5, 5, 6]


@given(st.integers(1, 10_000), st.integers(0, 2**62 - 20_000))
def test_many_at_once_are_counted_on_one_by_one(count: int, tail: int) -> None:
    sequence = ids._Sequence()
    sequence.next(1)
    sequence.ms, sequence.tail = 1 << 47, tail  # the clock is behind, so the millisecond stays
    numbers = [UUID(id).int for id in sequence.next(count)]
    assert numbers == [numbers[0] + step for step in range(count)]
    assert sequence.tail == tail + count


def test_threads_never_share_an_id() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = [id for part in threads.map(lambda _: [ids.new_id() for _ in range(2000)], range(4)) for id in part]
    assert len(set(made)) == 8000
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id) for id in made)


def test_a_forked_child_does_not_count_on_where_its_parent_does(monkeypatch) -> None:
    ids.new_id()
    # Nothing but the dice can tell the two apart in a millisecond that does not pass.
    monkeypatch.setattr(ids.time, "time_ns", lambda: 5_000_000)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, ids.new_id().encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        assert pipe.read() != ids.new_id()
    assert os.waitpid(child, 0)[1] == 0


def test_producers_and_sessions_are_random_and_of_their_size() -> None:
    assert len(ids.new_producer()) == 16
    assert ids.new_producer() != ids.new_producer()
    assert 0 < ids.new_session() < 2**63
