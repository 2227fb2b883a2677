"""Appending batches."""

import msgspec

from bus.wire.base import Message


class Section(msgspec.Struct, array_like=True, frozen=True):
    """One batch of a PUBLISH: blob number i is the body of section number i (`batch.encode`)."""

    partition: int
    producer: bytes
    sequence: int
    count: int


class Publish(Message, frozen=True):
    """Append batches. `acks`: quorum, leader, none."""

    request: int
    acks: str
    sections: list[Section]


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of one section: where it stands and on how many replicas, or the error's code and message."""

    partition: int
    base_offset: int
    replicas: int
    appended: int = 0
    code: str = ""
    message: str = ""


class Published(Message, frozen=True):
    """Answers for sections of one request, by section number; one request may be answered in several parts."""

    request: int
    outcomes: dict[int, Outcome]
