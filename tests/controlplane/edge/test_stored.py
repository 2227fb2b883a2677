"""Columns come out of Arrow's buffers as they come out of Arrow, and rows without payloads as with them."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bus.event import Event
from controlplane.arrivals import ROWS, STORED, of_archive, rows_of_archive
from controlplane.stored import _listed
from tests.controlplane.edge.examples import FOLLOWS, arrived, events

INTEGERS = {pa.uint64(): 2**64 - 1, pa.int64(): 2**63 - 1, pa.uint32(): 2**32 - 1, pa.uint16(): 2**16 - 1}
chunks = st.lists(st.lists(st.none() | st.text(), max_size=6), max_size=4)


@given(chunks, st.booleans(), st.integers(0, 3))
def test_texts_come_out_of_their_buffers(values: list[list[str | None]], whole: bool, cut: int) -> None:
    filled = [[text or "" for text in some] if whole else some for some in values]
    column = pa.chunked_array(filled, pa.string()).slice(cut)
    assert _listed(column) == column.to_pylist()


@given(st.sampled_from(sorted(INTEGERS, key=str)), st.lists(st.integers(0, 2**16 - 1)), st.integers(0, 3))
def test_integers_come_out_of_their_buffers(kind: pa.DataType, values: list[int], cut: int) -> None:
    column = pa.chunked_array([[*values, INTEGERS[kind]], values], kind).slice(cut)
    assert _listed(column) == column.to_pylist()


@given(st.lists(events, min_size=1, max_size=8))
def test_rows_need_no_payloads(published: list[Event]) -> None:
    arrival = arrived(published)
    names: list[str] = []

    def number_of(name: str) -> int:
        if name not in names:
            names.append(name)
        return names.index(name)

    table = arrival.table(1, 2, number_of)
    stored = {name: table.column(name).to_pylist() for name in STORED}
    wanted = of_archive(stored, names).rows(FOLLOWS)
    sagas = [
        correlation or subject or ""
        for correlation, subject in zip(stored["correlation"], stored["subject"], strict=True)
    ]
    found = {name: sagas if name == "saga" else table.column(name).to_pylist() for name in ROWS}
    assert rows_of_archive(found, names, dict(wanted.followed), dict(wanted.deep)) == wanted == arrival.rows(FOLLOWS)
