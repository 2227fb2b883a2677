"""Leader and follower: records, acks, and where an epoch ends."""

from bus.wire.base import Message


class Ship(Message, frozen=True):
    """Records from the leader, a blob each, from index `prev` + 1 on; `prev` is the index just before the first one.

    Indexes count records from 0; `prev` = -1 before the first. `prev_epoch` is the epoch of record `prev` (0 for -1).
    `high` counts committed records. Without blobs it is a heartbeat.
    """

    partition: int
    epoch: int
    leader: str
    prev: int
    prev_epoch: int
    high: int


class Begin(Message, frozen=True):
    """A follower lacks records that its leader has trimmed: let go of its own, and begin at `first`.

    `first_offset` is the offset of the first event there, `appended` of the record before, `lineage` the start of every
    epoch below. Blobs: producer windows, groups and given ids as applied up to `upto`, at or above `first`.
    """

    partition: int
    epoch: int
    leader: str
    first: int
    first_offset: int
    appended: int
    lineage: list[tuple[int, int]]
    upto: int


class Shipped(Message, frozen=True):
    """A follower has fsynced all records below `end`.

    `matched` False acks nothing: the ship did not fit and the next one should start at `end`; or `epoch` is greater
    than the ship's, and the leader is deposed.
    """

    partition: int
    epoch: int
    broker: str
    store: str
    end: int
    matched: bool = True


class AskEpochEnd(Message, frozen=True):
    """A follower asks where its last epoch ends at the leader."""

    partition: int
    epoch: int
    broker: str
    last_epoch: int


class EpochEnd(Message, frozen=True):
    """The greatest epoch <= `asked` that the leader holds, and the index after its last record; (0, 0) for none."""

    partition: int
    epoch: int
    last_epoch: int
    end: int
    asked: int
