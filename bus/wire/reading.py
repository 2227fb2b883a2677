"""Reading one partition from a cursor or a time, with credit."""

import msgspec

from bus.wire.base import Message


class Describe(Message, frozen=True):
    """Ask for the extents of partitions led here; empty list: all led here."""

    request: int
    partitions: list[int]


class Extent(msgspec.Struct, array_like=True, frozen=True):
    """Readable offsets `first` <= o < `high` of one partition; `since` is when `first` was appended, ns."""

    partition: int
    first: int
    high: int
    since: int = 0


class Described(Message, frozen=True):
    request: int
    extents: list[Extent]


class Watch(Message, frozen=True):
    """Read one partition from `offset` (or, when `time` > 0, from the first event appended at or after it).

    `credit` bounds the bytes of records that are sent before a `Credit` gives more. `internal`: reserved types too.
    `passes`: say soon, too, when the position moves over events that do not match; else that may take its time.
    """

    subscription: int
    partition: int
    offset: int
    time: int
    pattern: str
    internal: bool
    credit: int
    passes: bool = False


class Records(Message, frozen=True):
    """Records for a watch, a blob each, in order. `rows[i]`: a little-endian bitmap of blob i's rows; empty: all.

    `next_offset` is where the reader stands after these, filtered events passed; `high` the high watermark. Sent also
    without blobs when only the position moved: at first, and then as `Watch.passes` says. `first_offset` > what was
    asked says that retention trimmed.
    """

    subscription: int
    partition: int
    first_offset: int
    next_offset: int
    high: int
    rows: list[bytes]


class Credit(Message, frozen=True):
    """More credit for a subscription: bytes for a watch, events for a group member.

    A member may take back what it gave, by a negative number; what was delivered meanwhile is then owed.
    """

    subscription: int
    more: int


class Unwatch(Message, frozen=True):
    subscription: int
