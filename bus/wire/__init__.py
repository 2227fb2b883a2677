"""Multipart frames and the one table of verbs. Pure: bytes in, structs out; the verbs stand in the files beside.

A message is one ZeroMQ multipart: `[head, blob, blob, ...]`. The head is `MAGIC` + MessagePack of
`(session, sequence, message)`; the blobs are records or batch bodies that the message names by order. `session` is a
random 63-bit number chosen by the opener; `sequence` counts from 0 in each direction.

| who says it | messages |
|---|---|
| opener, listener | Hello, Welcome, Bye, Ping, Pong |
| publisher | Publish -> Published |
| reader | Watch -> Records ..., Credit, Unwatch; Describe -> Described |
| group member | Join -> Joined, Deliver ..., Progress ..., Governed, Settle -> Settled, Credit, Leave |
| agent, caller | Present -> Presented, Absent, Whereis -> Located |
| among themselves | Call -> Returned, or Part ... -> Ended with Grant ...; Cancel |
| plane | Claim -> Claimed, Offer -> Answered, Place -> Placed, Spread -> Topology, Sample -> Sampled; Keep, Halt |
| | ChangeGroup -> GroupChanged |
| leader, follower | Ship -> Shipped, Begin -> Shipped, AskEpochEnd -> EpochEnd |
| anyone | Fault answers a request that failed; Bundle holds what one turn has to say to one peer |
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bus import limits
from bus.errors import ProtocolError
from bus.wire.base import Message, Node, Seat, Topology
from bus.wire.calls import (
    Absent,
    Answerer,
    Call,
    Cancel,
    Ended,
    Grant,
    Located,
    Part,
    Present,
    Presented,
    Returned,
    Whereis,
)
from bus.wire.control import (
    Answered,
    ChangeGroup,
    Claim,
    Claimed,
    GroupChanged,
    GroupSample,
    Halt,
    Keep,
    Offer,
    Place,
    Placed,
    ReplicaSample,
    Sample,
    Sampled,
    Spread,
)
from bus.wire.greeting import Bye, Fault, Hello, Ping, Pong, Welcome
from bus.wire.groups import Deliver, Governed, GroupSettings, Join, Joined, Leave, Progress, Settle, Settled, Settlement
from bus.wire.publishing import Outcome, Publish, Published, Section
from bus.wire.reading import Credit, Describe, Described, Extent, Records, Unwatch, Watch
from bus.wire.replication import AskEpochEnd, Begin, EpochEnd, Ship, Shipped

__all__ = [
    "MAGIC",
    "PROTOCOL_MAX",
    "PROTOCOL_MIN",
    "Absent",
    "Answered",
    "Answerer",
    "AnyMessage",
    "AskEpochEnd",
    "Begin",
    "Bundle",
    "Bye",
    "Call",
    "Cancel",
    "ChangeGroup",
    "Claim",
    "Claimed",
    "Credit",
    "Deliver",
    "Describe",
    "Described",
    "Ended",
    "EpochEnd",
    "Extent",
    "Fault",
    "Frame",
    "Governed",
    "Grant",
    "GroupChanged",
    "GroupSample",
    "GroupSettings",
    "Halt",
    "Hello",
    "Join",
    "Joined",
    "Keep",
    "Leave",
    "Located",
    "Message",
    "Node",
    "Offer",
    "Outcome",
    "Part",
    "Ping",
    "Place",
    "Placed",
    "Pong",
    "Present",
    "Presented",
    "Progress",
    "Publish",
    "Published",
    "Records",
    "ReplicaSample",
    "Returned",
    "Sample",
    "Sampled",
    "Seat",
    "Section",
    "Settle",
    "Settled",
    "Settlement",
    "Ship",
    "Shipped",
    "Spread",
    "Topology",
    "Unwatch",
    "Watch",
    "Welcome",
    "Whereis",
    "bundled",
    "decode",
    "encode",
    "unbundled",
]

MAGIC = b"SB1"
PROTOCOL_MIN = 1
PROTOCOL_MAX = 1

Said = (
    Ping
    | Pong
    | Fault
    | Publish
    | Published
    | Describe
    | Described
    | Watch
    | Records
    | Credit
    | Unwatch
    | Join
    | Joined
    | Deliver
    | Settle
    | Settled
    | Leave
    | Claim
    | Claimed
    | Offer
    | Answered
    | Place
    | Placed
    | Spread
    | Topology
    | Sample
    | Sampled
    | Halt
    | Ship
    | Shipped
    | AskEpochEnd
    | EpochEnd
    | Present
    | Presented
    | Absent
    | Whereis
    | Located
    | Call
    | Returned
    | Cancel
    | Begin
    | Keep
    | Progress
    | Governed
    | ChangeGroup
    | GroupChanged
    | Part
    | Grant
    | Ended
)


class Bundle(Message, frozen=True):
    """Several messages in one frame, in order; `blobs` says how many of the frame's blobs each of them has."""

    messages: list[Said]
    blobs: list[int]


AnyMessage = Hello | Welcome | Bye | Said | Bundle


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """The head of a multipart message."""

    session: int
    sequence: int
    message: AnyMessage


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode(session: int, sequence: int, message: Message, blobs: "list[bytes] | tuple[bytes, ...]" = ()) -> list[bytes]:
    """The multipart frames of one message."""
    return [MAGIC + _encoder.encode((session, sequence, message)), *blobs]


def decode(parts: list[bytes]) -> tuple[Frame, list[bytes]]:
    """Frame and blobs of a multipart message; raises `ProtocolError` on anything else, whatever it is."""
    if not parts or len(parts) > limits.FRAME_PARTS_MAX:
        raise ProtocolError(f"a message of {len(parts)} parts; 1 to {limits.FRAME_PARTS_MAX} are legal")
    head = parts[0]
    if head[:3] != MAGIC:
        raise ProtocolError(f"not a Signalbox frame: it begins with {bytes(head[:3])!r}, not {MAGIC!r}")
    if sum(map(len, parts)) > limits.FRAME_BYTES_MAX:
        raise ProtocolError(f"a message of over {limits.FRAME_BYTES_MAX} bytes")
    try:
        frame: Any = _decoder.decode(memoryview(head)[3:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"malformed head: {error}") from error
    blobs = parts[1:]
    if type(frame.message) is Bundle:
        _check(frame.message, len(blobs))
    return frame, blobs


def bundled(said: Sequence[tuple[Any, Sequence[bytes]]]) -> tuple[Message, list[bytes]]:
    """Several messages with their blobs as one."""
    blobs = [blob for _, own in said for blob in own]
    return Bundle([message for message, _ in said], [len(own) for _, own in said]), blobs


def unbundled(message: Message, blobs: list[bytes]) -> Iterator[tuple[Any, list[bytes]]]:
    """What a decoded message says: itself, or each message of a bundle with its blobs."""
    if type(message) is not Bundle:
        yield message, blobs
        return
    at = 0
    for each, count in zip(message.messages, message.blobs, strict=True):
        yield each, blobs[at : at + count]
        at += count


def _check(bundle: Bundle, blobs: int) -> None:
    if not 0 < len(bundle.messages) <= limits.BUNDLE_MESSAGES_MAX or len(bundle.blobs) != len(bundle.messages):
        raise ProtocolError(
            f"a Bundle of {len(bundle.messages)} messages with {len(bundle.blobs)} counts of blobs; "
            f"1 to {limits.BUNDLE_MESSAGES_MAX} messages are legal, each with its count"
        )
    if min(bundle.blobs) < 0 or sum(bundle.blobs) != blobs:
        raise ProtocolError(f"a Bundle that speaks of {sum(bundle.blobs)} blobs came with {blobs}")
