"""What the simulated parts say to each other beside the bus's own messages, which travel as they are."""

from typing import NamedTuple

from bus.wire import Begin, Ship

from .disk import Record


class Shipment(NamedTuple):
    """A Ship with its blobs."""

    ship: Ship
    records: list[Record]


class Beginning(NamedTuple):
    """A Begin with its blobs: windows, groups, given ids."""

    begin: Begin
    windows: bytes
    groups: bytes
    given: bytes


class Status(NamedTuple):
    """What a broker tells the plane now and then. `leads` is the epoch it leads, or 0."""

    broker: str
    store: str
    life: int
    promised: int
    leads: int
    newcomers: dict[str, str]


class Batch(NamedTuple):
    """A publisher's batch; `names` are the ids it gave its events, `body` holds them."""

    publisher: str
    producer: bytes
    sequence: int
    count: int
    value: str
    names: tuple[str, ...] = ()
    body: bytes = b""


class Reply(NamedTuple):
    """`code` "" is an ack with the placement."""

    sequence: int
    code: str
    base_offset: int = -1
    leader: str = ""


class Read(NamedTuple):
    """From an offset on."""

    reader: str
    offset: int


class Page(NamedTuple):
    """What a leader lets read: events from `first_offset` to `high`, as (offset of the first, value) of each record."""

    epoch: int
    high: int
    offset: int
    next_offset: int
    values: list[tuple[int, str]]
    first_offset: int
