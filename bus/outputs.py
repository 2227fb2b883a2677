"""What a replica asks of its edge: persist this, send that, know that the watermark moved.

Promise, SetSeat, Append, Store, Truncate and High of one turn belong into one transaction; ShipTo and Send go out.
"""

import msgspec

from bus.wire import AskEpochEnd, EpochEnd, Seat, Shipped

EVENTS, EPOCH_START, GROUP = 0, 1, 2
"""The kinds of records."""


class Output(msgspec.Struct, frozen=True):
    """The base of what a replica asks of its edge."""


class Promise(Output, frozen=True):
    """Persist: no epoch below this one is obeyed any more."""

    epoch: int


class SetSeat(Output, frozen=True):
    """Persist the placement."""

    seat: Seat


class Append(Output, frozen=True):
    """Make and store a record of the leader's own (an epoch start) at `index`; it carries no events."""

    kind: int
    index: int
    base_offset: int
    epoch: int


class Store(Output, frozen=True):
    """Store the blobs of the ship in hand, from blob `skip` on, as records `first`, `first` + 1, ..."""

    first: int
    skip: int


class Truncate(Output, frozen=True):
    """Drop all records from index `end` on; the event after the last one left is `end_offset`."""

    end: int
    end_offset: int


class Trim(Output, frozen=True):
    """Let go of all records below index `first`."""

    first: int


class Restart(Output, frozen=True):
    """Drop all records: the log is empty and begins at `first`. Take over the state that the Begin in hand brings."""

    first: int


class SendBegin(Output, frozen=True):
    """Tell a follower that lacks trimmed records where the log begins, as a `Begin`: with its lineage below `first`,
    and with what is applied here."""

    broker: str
    epoch: int
    first: int


class ShipTo(Output, frozen=True):
    """Send records [first, upto) to a follower as a `Ship`; none is a heartbeat.

    The edge stops at `SHIP_BYTES_MAX` (one record always goes) and reports what it attached by `shipped_upto`.
    """

    broker: str
    epoch: int
    prev: int
    prev_epoch: int
    first: int
    upto: int
    high: int


class Send(Output, frozen=True):
    """Send a message to the replica on another broker."""

    broker: str
    message: Shipped | AskEpochEnd | EpochEnd


class High(Output, frozen=True):
    """Records below `high` are committed: apply them, persist the mark; a leader answers for them."""

    high: int
    high_offset: int


class Lost(Output, frozen=True):
    """Leadership ended. Nobody here can say what becomes of records at or above the high watermark."""

    why: str


class Diverged(Output, frozen=True):
    """The leader lacks what this replica holds as committed. It stops following; an operator has to choose a log."""

    end: int
    high: int


class Placement(msgspec.Struct, frozen=True):
    """Where an appended record stands."""

    index: int
    base_offset: int
    epoch: int
