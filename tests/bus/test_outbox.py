"""Several messages in one frame: what goes in comes out, in order, within the bounds; hostile bundles are refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import limits, wire
from bus.errors import ProtocolError
from bus.outbox import Outbox
from bus.repeats import Repeated
from bus.session import Session, State

SHIPPED = wire.Shipped(0, 1, "b1", "s", 5)
MESSAGES = st.sampled_from(
    [SHIPPED, wire.Ship(1, 1, "b1", 3, 1, 2), wire.Published(4, {}), wire.Pong(3), wire.Fault(1, "code", "why")]
)
SAID = st.lists(st.tuples(MESSAGES, st.lists(st.binary(max_size=20), max_size=120)), max_size=90)


@given(SAID, st.sampled_from([30, 1_000, limits.BUNDLE_BYTES_MAX]))
def test_everything_leaves_once_in_order_and_within_the_bounds(said: list[tuple[Any, list[bytes]]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BUNDLE_BYTES_MAX", size)
        outbox, frames = Outbox(), []
        for message, blobs in said:
            if not outbox.fits(message, blobs):
                frames.append(outbox.take())
            outbox.add(message, blobs)
        if outbox:
            frames.append(outbox.take())
        assert not outbox
    heard = []
    for number, (message, blobs) in enumerate(frames):
        parts = wire.encode(7, number, message, blobs)
        assert len(parts) <= limits.FRAME_PARTS_MAX
        decoded, rest = wire.decode(parts)
        own = list(wire.unbundled(decoded.message, rest))
        assert len(own) == 1 or sum(map(len, rest)) <= size
        assert len(own) == 1 or not any(isinstance(each, wire.Fault | wire.Pong) for each, _ in own)
        heard += own
    assert heard == said


def test_answers_that_name_repeats_leave_alone() -> None:
    """Each may be of megabytes: 32 of them would be no frame."""
    long = wire.Published(1, {0: wire.Outcome(0, 5, 2, 1, repeats=[Repeated(0, 1, 3, 1)])})
    outbox = Outbox()
    outbox.add(SHIPPED, [])
    assert not outbox.fits(long, []) and outbox.fits(wire.Published(1, {}), [])
    outbox.take()
    outbox.add(long, [])
    assert not outbox.fits(SHIPPED, [])


def head(messages: list[Any], blobs: list[Any]) -> bytes:
    return wire.MAGIC + msgspec.msgpack.encode((7, 1, ["Bundle", messages, blobs]))


PLAIN: list[Any] = ["Shipped", 0, 1, "b1", "s", 5, True]


@pytest.mark.parametrize(
    ("messages", "counts", "blobs", "why"),
    [
        ([], [], 0, "a Bundle of 0 messages"),
        ([PLAIN] * (limits.BUNDLE_MESSAGES_MAX + 1), [0] * (limits.BUNDLE_MESSAGES_MAX + 1), 0, "are legal"),
        ([PLAIN], [], 0, "with 0 counts of blobs"),
        ([PLAIN], [2], 1, "speaks of 2 blobs came with 1"),
        ([PLAIN, PLAIN], [2, -1], 1, "speaks of 1 blobs"),
        ([["Bundle", [PLAIN], [0]]], [0], 0, "malformed head"),
        ([["Bye", "closing", "", 0]], [0], 0, "malformed head"),
        ([PLAIN], ["x"], 0, "malformed head"),
    ],
)
def test_a_bundle_against_the_rules_is_refused(messages: list[Any], counts: list[Any], blobs: int, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        wire.decode([head(messages, counts), *[b"blob"] * blobs])


def test_a_bundle_with_a_verb_of_the_other_side_ends_the_session() -> None:
    session = Session(7)
    session.state = State.OPEN
    message, blobs = wire.bundled([(SHIPPED, []), (wire.Describe(1, [0]), [])])
    with pytest.raises(ProtocolError, match="a Bundle holds what is not for a peer of that side to say"):
        session.receive(wire.encode(7, 0, message, blobs))
    assert session.bye_code == "protocol"
