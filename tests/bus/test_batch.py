"""Batches, records and bitmaps: round trips, and garbage that may only raise CorruptRecord."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import batch, record
from bus.batch import Header, bitmap, rows_of
from bus.errors import CorruptRecord, InvalidEvent
from bus.event import Event
from bus.limits import BATCH_EVENTS_MAX
from bus.partitioner import key_hash
from tests.bus.strategies import events

batches = st.lists(events, min_size=1, max_size=8)
small = st.integers(0, 2**40)
headers = st.builds(
    Header,
    kind=st.sampled_from([batch.EVENTS, batch.EPOCH_START, batch.GROUP]),
    partition=small,
    epoch=small,
    base_offset=small,
    count=small,
    appended=small,
    producer=st.binary(max_size=16),
    sequence=small,
    principal=st.text(max_size=8),
    companion=st.binary(max_size=8),
)


def look_at_everything(columns: batch.Columns) -> None:
    columns.events()
    columns.payloads()
    assert len(columns.times) == len(columns.key_hashes) == columns.count
    columns.extension("redriveto")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(batches)
def test_a_batch_comes_back(published: list[Event]) -> None:
    body = batch.encode(published)
    columns = batch.decode(body)
    assert columns.events() == published
    assert batch.type_view(body) == (columns.types, columns.type_index)
    assert batch.count_of(body) == columns.count == len(published)
    for row, event in enumerate(published):
        assert columns.types[columns.type_index[row]] == event.type
        assert columns.sources[columns.source_index[row]] == event.source
        assert (columns.ids[row], columns.times[row], columns.subjects[row]) == (event.id, event.time, event.subject)
        assert columns.key_hashes[row] == key_hash(event.key)
        assert columns.data(row) == (event.payload if event.kind else None)
        assert (columns.data_kind(row), columns.size(row)) == (event.kind, len(event.payload))
        assert columns.event(row) == event
    assert columns.extension("ext1") == [event.extensions.get("ext1") for event in published]
    assert batch.encode(columns.events()) == body


@given(batches, st.data())
def test_a_damaged_body_is_corrupt_or_still_a_batch(published: list[Event], data: st.DataObject) -> None:
    body = bytearray(batch.encode(published))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut])):
        try:
            look_at_everything(batch.decode(damaged))
        except CorruptRecord as refused:
            assert str(refused)


@given(st.binary(max_size=80))
def test_garbage_is_corrupt(garbage: bytes) -> None:
    for read in (batch.decode, batch.type_view, batch.unseal, batch.header_of, batch.body_of):
        with pytest.raises(CorruptRecord):
            read(garbage)


@given(headers, st.binary(max_size=60))
def test_a_record_comes_back(header: Header, body: bytes) -> None:
    sealed = batch.seal(header, body)
    assert batch.unseal(sealed) == (header, body)
    assert batch.unseal(memoryview(sealed)) == (header, body)
    assert batch.header_of(sealed) == header
    assert bytes(batch.body_of(sealed)) == body


@given(headers, st.binary(max_size=60), st.data())
def test_any_flipped_bit_of_a_record_is_noticed(header: Header, body: bytes, data: st.DataObject) -> None:
    sealed = bytearray(batch.seal(header, body))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptRecord):
        batch.unseal(bytes(sealed))


@given(headers, st.binary(max_size=20), st.integers(0, 100))
def test_a_cut_record_is_noticed(header: Header, body: bytes, cut: int) -> None:
    sealed = batch.seal(header, body)
    with pytest.raises(CorruptRecord):
        batch.unseal(sealed[: len(sealed) - 1 - min(cut, len(sealed) - 1)])


@pytest.mark.parametrize("distinct", [1, 2, 256, 257, BATCH_EVENTS_MAX])
def test_dictionaries_grow_to_two_bytes(distinct: int) -> None:
    published = [
        Event(type=f"t{row % distinct}", source=f"s{row % distinct}", id=str(row), extensions={"n": row % distinct})
        for row in range(BATCH_EVENTS_MAX)
    ]
    columns = batch.decode(batch.encode(published))
    assert len(columns.types) == len(columns.sources) == distinct
    assert len(columns.extras) == distinct + 1
    assert columns.events() == published


def test_a_batch_has_bounds() -> None:
    with pytest.raises(ValueError, match="1 to"):
        batch.encode([])
    with pytest.raises(ValueError, match="1 to"):
        batch.encode([Event(type="t", id="1")] * (BATCH_EVENTS_MAX + 1))


def test_text_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        batch.encode([Event(type="t", source="s", id="a\nb")])
    with pytest.raises(InvalidEvent):
        batch.encode([Event(type="t", source="\ud800", id="1")])


def test_extras_of_an_import_are_stored_once() -> None:
    published = [Event(type="t", source="s", id=str(row), extensions={"importof": "log"}) for row in range(100)]
    columns = batch.decode(batch.encode(published))
    assert len(columns.extras) == 2
    assert columns.extension("importof") == ["log"] * 100


@given(st.integers(0, 70).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, max(count - 1, 0))))))
def test_bitmaps_come_back(drawn: tuple[int, set[int]]) -> None:
    count, rows = drawn
    rows = rows if count else set()
    bits = bitmap(rows, count)
    assert len(bits) == (count + 7) // 8
    assert rows_of(bits, count) == sorted(rows)
    for row in range(count):
        assert bool(bits[row // 8] >> row % 8 & 1) == (row in rows)


@given(st.binary(max_size=6), st.integers(0, 60))
def test_any_bitmap_is_rows_or_corrupt(bits: bytes, count: int) -> None:
    try:
        rows = rows_of(bits, count)
    except CorruptRecord:
        return
    assert bitmap(rows, count) == bits


def test_records_of_another_kind_of_file_are_not_records() -> None:
    sealed = record.seal(Header(0, 0, 0, 0, 0, 0), b"")
    with pytest.raises(CorruptRecord, match="does not begin"):
        record.unseal(b"XXXX" + sealed[4:])
