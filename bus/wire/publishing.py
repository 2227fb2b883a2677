"""Appending batches."""

import msgspec

from bus.repeats import Repeated
from bus.wire.base import Message


class Section(msgspec.Struct, array_like=True, frozen=True):
    """One batch of a PUBLISH: blob number i is the body of section number i (`batch.encode`).

    `given` is a bitmap of the events whose id their publisher gave (`bus.bitmap`); b"" when the client made them all.
    """

    partition: int
    producer: bytes
    sequence: int
    count: int
    given: bytes = b""


class Publish(Message, frozen=True):
    """Append batches. `acks`: quorum, leader, none."""

    request: int
    acks: str
    sections: list[Section]


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of one section: where it stands and on how many replicas, or the error's code and message.

    Rows in `repeats` stood in the log already, there; the others were appended from `base_offset` on.
    """

    partition: int
    base_offset: int
    replicas: int
    appended: int = 0
    code: str = ""
    message: str = ""
    repeats: list[Repeated] = []


class Published(Message, frozen=True):
    """Answers for sections of one request, by section number; one request may be answered in several parts."""

    request: int
    outcomes: dict[int, Outcome]
