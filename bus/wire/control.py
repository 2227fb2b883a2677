"""What the plane tells brokers, and what it asks of them."""

import msgspec

from bus.wire.base import Message, Seat, Topology


class Claim(Message, frozen=True):
    """A plane takes control under `(plane_epoch, uuid)`; brokers persist the greatest pair and refuse lower epochs."""

    request: int
    plane_epoch: int
    uuid: str


class Claimed(Message, frozen=True):
    """`accepted` False: the broker obeys `(plane_epoch, uuid)` instead. `seats` is what the broker knows of itself."""

    request: int
    accepted: bool
    plane_epoch: int
    uuid: str
    broker: str
    store: str
    pid: int
    started: int
    seats: list[Seat]


class Offer(Message, frozen=True):
    """Promise `epoch` for a partition to the plane, and say what you hold."""

    request: int
    plane_epoch: int
    plane_uuid: str
    partition: int
    epoch: int


class Answered(Message, frozen=True):
    """Answer to Offer. `accepted` False: `promised` is a greater epoch. `end` counts records, `end_offset` events."""

    request: int
    partition: int
    epoch: int
    accepted: bool
    promised: int
    last_epoch: int
    end: int
    end_offset: int


class Place(Message, frozen=True):
    """The seat that was decided: the leader starts to lead, the others follow."""

    request: int
    plane_epoch: int
    plane_uuid: str
    seat: Seat


class Placed(Message, frozen=True):
    request: int
    partition: int
    epoch: int
    accepted: bool
    why: str = ""


class Spread(Message, frozen=True):
    """The plane tells a broker the topology; the broker passes it on to its sessions."""

    plane_epoch: int
    plane_uuid: str
    topology: Topology


class Sample(Message, frozen=True):
    """Ask for a broker's figures since the last Sample."""

    request: int


class ReplicaSample(msgspec.Struct, array_like=True, frozen=True):
    """A partition as one of its brokers sees it. `follower_lag_ns`: since it last acked (leader only).

    `newcomers`: broker -> store uuid of replicas without a vote that hold everything below the high watermark; the next
    epoch's seat may name their stores (leader only, and only once it is readable). `bytes` of records are held here.
    """

    partition: int
    epoch: int
    leads: bool
    end: int
    high: int
    end_offset: int
    high_offset: int
    follower_end: dict[str, int]
    follower_lag_ns: dict[str, int]
    refused: int = 0
    newcomers: dict[str, str] = {}
    bytes: int = 0


class GroupSample(msgspec.Struct, array_like=True, frozen=True):
    """A group at one partition, since the last sample. `latency`: append to ack, log2 bucket of µs -> count.

    `oldest` is when the oldest unsettled event was appended, ns, or 0. `in_flight` are with members; `waiting` are the
    others that match and are not settled, read or not. `endangered` of those unread retention is about to trim;
    `trimmed` were, before they were delivered or settled.
    """

    group: str
    partition: int
    pattern: str
    members: int
    floor: int
    waiting: int
    in_flight: int
    delivered: int
    acked: int
    failed: int
    dead: int
    oldest: int
    latency: dict[int, int]
    trimmed: int = 0
    endangered: int = 0


class Sampled(Message, frozen=True):
    """One broker's figures. Counters are since the last Sample; `fsync_p99_ns`, `ack_p99_ns` over the same span.

    `free_bytes` are left for its store, -1 where it did not say; below `reserve_bytes` it `refuses` new events with
    StorageFull, and when a commit found no room at all. `locality` is where it is, or "".
    """

    request: int
    broker: str
    at: int
    replicas: list[ReplicaSample]
    groups: list[GroupSample]
    events_in: int
    events_out: int
    commits: int
    fsync_p99_ns: int
    ack_p99_ns: int
    memory_bytes: int
    store_bytes: int
    sessions: int
    malformed: int
    refused: int
    free_bytes: int = -1
    reserve_bytes: int = 0
    refuses: bool = False
    locality: str = ""


class Keep(Message, frozen=True):
    """The plane has archived all events below these offsets, by partition: retention may let go of no others."""

    plane_epoch: int
    plane_uuid: str
    archived: dict[int, int]


class Halt(Message, frozen=True):
    """The plane ends a broker: it commits, says Bye to all, and exits 0."""

    plane_epoch: int
    plane_uuid: str
    reason: str
