"""The wire codec: every verb comes back, and garbage may only raise ProtocolError."""

import types as python_types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import limits, wire
from bus.errors import ProtocolError

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
    bytes: st.binary(max_size=8),
    bool: st.booleans(),
    type(None): st.none(),
}
VERBS = sorted(typing.get_args(wire.AnyMessage), key=lambda verb: verb.__name__)


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, by its annotation."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return st.integers(inner[1].ge, inner[1].le)
    if origin is list:
        return st.lists(drawn(inner[0]), max_size=2)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(drawn(inner[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(drawn, inner))
    if origin is dict:
        return st.dictionaries(drawn(inner[0]), drawn(inner[1]), max_size=2)
    if origin in (typing.Union, python_types.UnionType):
        return st.one_of([drawn(one) for one in inner])
    return st.builds(kind, **{field.name: drawn(field.type) for field in msgspec.structs.fields(kind)})


# A Bundle has to fit its blobs: `test_outbox.py` has its own.
messages = st.sampled_from([verb for verb in VERBS if verb is not wire.Bundle]).flatmap(drawn)
numbers = st.integers(0, 2**63 - 1)


def test_every_verb_is_in_the_table() -> None:
    assert set(VERBS) == set(wire.Message.__subclasses__())


@given(numbers, numbers, messages, st.lists(st.binary(max_size=9), max_size=3))
def test_every_message_comes_back(session: int, sequence: int, message: wire.Message, blobs: list[bytes]) -> None:
    frame, rest = wire.decode(wire.encode(session, sequence, message, blobs))
    assert (frame.session, frame.sequence, frame.message, rest) == (session, sequence, message, blobs)


@given(st.lists(st.binary(max_size=40), max_size=3), st.booleans())
def test_garbage_is_a_protocol_error(parts: list[bytes], magic: bool) -> None:
    if magic and parts:
        parts[0] = wire.MAGIC + parts[0]
    try:
        frame, _ = wire.decode(parts)
    except ProtocolError as refused:
        assert str(refused)
        return
    assert type(frame.message) in VERBS


@given(numbers, messages, st.data())
def test_a_damaged_head_is_a_protocol_error_or_a_message(
    session: int, message: wire.Message, data: st.DataObject
) -> None:
    head = bytearray(wire.encode(session, 0, message)[0])
    head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
    try:
        frame, _ = wire.decode([bytes(head)])
    except ProtocolError as refused:
        assert str(refused)
        return
    assert type(frame.message) in VERBS


def test_a_message_has_bounds() -> None:
    head = wire.encode(1, 0, wire.Ping(1))[0]
    with pytest.raises(ProtocolError, match="parts"):
        wire.decode([head] * (limits.FRAME_PARTS_MAX + 1))
    with pytest.raises(ProtocolError, match="bytes"):
        wire.decode([head, bytes(limits.FRAME_BYTES_MAX)])


def test_later_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    later = wire.MAGIC + msgspec.msgpack.encode([1, 2, ["Ping", 7, "of a later version"], "too"])
    assert wire.decode([later])[0].message == wire.Ping(7)
    earlier = wire.MAGIC + msgspec.msgpack.encode([1, 2, ["Bye", "gap", "because"]])
    assert wire.decode([earlier])[0].message == wire.Bye("gap", "because", 0)
