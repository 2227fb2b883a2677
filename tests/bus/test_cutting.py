"""Pieces of records for members with little credit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bus import batch
from bus.bitmap import bits_of, places
from bus.broker.cutting import Cutter
from bus.record import EVENTS, Header, seal
from bus.store import Entry
from tests.bus.groundtwin import event


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_pieces_of_a_record_hold_the_same_events_at_the_same_offsets(data: st.DataObject) -> None:
    size_of = data.draw(st.integers(1, 60))
    rows = data.draw(st.lists(st.integers(0, size_of - 1), min_size=1, unique=True).map(sorted))
    events = [event(data={"n": row}, extensions={"color": "red"} if row % 7 == 0 else None) for row in range(size_of)]
    header = Header(EVENTS, 3, 2, 1_000, size_of, 77, b"p", 5, "anonymous", b"", b"", b"companion")
    entry = Entry(header, seal(header, batch.encode(events)))
    cutter = Cutter()
    found = []
    for _ in range(2):
        found = []
        for record, first, size, bits in cutter.cut(entry, bits_of(rows, size_of)):
            head, body = batch.unseal(record)
            columns = batch.decode(body)
            assert (
                columns.count == head.count == size
                and head.base_offset == 1_000 + first
                and (head.partition, head.appended, head.epoch) == (3, 77, 2)
            )
            found += [(head.base_offset + row, columns.event(row)) for row in places(bits)]
    assert found == [(1_000 + row, events[row]) for row in rows]


def test_a_small_share_of_a_record_is_a_small_record() -> None:
    events = [event(data="x" * 100) for _ in range(500)]
    entry = Entry(Header(EVENTS, 0, 1, 0, 500, 0), seal(Header(EVENTS, 0, 1, 0, 500, 0), batch.encode(events)))
    ((record, first, size, bits),) = Cutter().cut(entry, bits_of(range(100, 120), 500))
    assert (first, size, bits) == (100, 20, (1 << 20) - 1) and len(record) < len(entry.record) / 20
    much = bits_of(range(300), 500)
    assert Cutter().cut(entry, much) == [(entry.record, 0, 500, much)], "and a large one is the record itself"
