"""The journal's copy as bytes: what goes in comes out, garbage is refused, each step counts once."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.batch import encode as encode_batch
from bus.record import EPOCH_START, EVENTS, Header
from controlplane import copied
from controlplane.copied import Chunk, CopiedStep
from controlplane.errors import CopyUnreadable
from controlplane.limits import COPY_CHUNK_BYTES_MAX

NUMBERS = st.integers(0, 2**62)
ENTRIES = st.lists(st.tuples(NUMBERS, NUMBERS | st.none(), st.text(max_size=20), st.binary(max_size=200)), max_size=5)
INTENTS = st.lists(st.tuples(NUMBERS, NUMBERS, st.text(max_size=20), st.binary(max_size=200)), max_size=3)


@st.composite
def runs(draw: st.DrawFn) -> list[CopiedStep]:
    first = draw(st.integers(1, 10_000))
    return [
        CopiedStep(
            number,
            *draw(st.tuples(NUMBERS, NUMBERS, st.integers(-(2**62), 2**62))),
            *draw(st.tuples(NUMBERS, NUMBERS, NUMBERS) | st.just((None, None, None))),
            draw(st.binary(max_size=32)),
            draw(ENTRIES),
            draw(INTENTS),
        )
        for number in range(first, first + draw(st.integers(0, 6)))
    ]


def record_of(data: bytes, kind: int = EVENTS) -> tuple[Header, bytes]:
    events = copied.events_of(data)
    return Header(kind, 4, 1, 0, len(events), 1), encode_batch(events)


def plain(number: int, digest: bytes = b"") -> CopiedStep:
    return CopiedStep(number, number, number, 0, None, None, None, digest)


@given(runs(), st.integers(0, 10))
def test_a_chunk_comes_back_as_it_was(steps: list[CopiedStep], anew: int) -> None:
    assert copied.chunk_of(*record_of(copied.encode(steps, anew))) == Chunk(copied.FORMAT, anew, steps)


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(CopyUnreadable):
        copied.decode(data)


@given(runs(), st.data())
def test_what_is_cut_or_flipped_is_refused_or_the_same(steps: list[CopiedStep], data: st.DataObject) -> None:
    whole = copied.encode(steps)
    with pytest.raises(CopyUnreadable):
        copied.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert copied.decode(bytes(flipped)).steps == steps  # bits of a header that say nothing
    except CopyUnreadable:
        pass


def test_steps_that_do_not_follow_on_one_another_are_refused() -> None:
    with pytest.raises(CopyUnreadable, match="do not follow"):
        copied.decode(copied.encode([plain(3), plain(5)]))


def test_a_chunk_larger_than_an_event_is_cut_and_joined_again() -> None:
    entry = (7, None, "Tick", os.urandom(3 * copied.PIECE_BYTES))
    step = CopiedStep(1, 7, 7, 0, None, None, None, b"d", [entry])
    header, body = record_of(copied.encode([step]))
    assert header.count == 4
    assert copied.chunk_of(header, body) == Chunk(copied.FORMAT, 0, [step])


def test_a_step_too_large_for_a_record_goes_without_its_facts_and_says_so() -> None:
    step = CopiedStep(1, 7, 7, 0, None, None, None, b"d", [(7, None, "Tick", os.urandom(COPY_CHUNK_BYTES_MAX))])
    (found,) = copied.decode(copied.encode([step])).steps
    assert (found.whole, found.entries, found.digest) == (False, [], b"d")


def test_records_without_events_are_no_chunks_and_others_are_refused() -> None:
    assert copied.chunk_of(*record_of(copied.encode([]), EPOCH_START)) is None
    events = copied.events_of(b"x")
    events[0].type = "signalbox.other"
    with pytest.raises(CopyUnreadable, match=r"signalbox\.other"):
        copied.chunk_of(Header(EVENTS, 4, 1, 0, 1, 1), encode_batch(events))


def test_each_step_counts_once_and_what_is_void_not_at_all() -> None:
    old, new = [plain(n, b"old") for n in range(1, 6)], [plain(n, b"new") for n in range(4, 7)]
    again = Chunk(1, 0, old[2:])
    assert copied.laid_out([Chunk(1, 0, old[:4]), again]) == old
    assert copied.laid_out([Chunk(1, 0, old), Chunk(1, 0, []), Chunk(1, 4, new)]) == [*old[:3], *new]
