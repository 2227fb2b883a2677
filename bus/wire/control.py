"""What the plane tells brokers, and what it asks of them."""

import msgspec

from bus.wire.base import Count, Decision, Epoch, Instant, Message, Seat, Topology
from bus.wire.groups import GroupSettings


class Claim(Message, frozen=True):
    """A plane takes control under `(plane_epoch, uuid)`; brokers persist the greatest pair and refuse lower epochs."""

    request: int
    plane_epoch: int
    uuid: str


class Claimed(Message, frozen=True):
    """`accepted` False: the broker obeys `(plane_epoch, uuid)` instead. `seats` is what the broker knows of itself."""

    request: int
    accepted: bool
    plane_epoch: Epoch
    uuid: str
    broker: str
    store: str
    pid: Count
    started: Instant
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
    partition: Count
    epoch: Epoch
    accepted: bool
    promised: Epoch
    last_epoch: Epoch
    end: Count
    end_offset: Count


class Place(Message, frozen=True):
    """The seat that was decided: the leader starts to lead, the others follow."""

    request: int
    plane_epoch: int
    plane_uuid: str
    seat: Seat


class Placed(Message, frozen=True):
    request: int
    partition: Count
    epoch: Epoch
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

    partition: Count
    epoch: Epoch
    leads: bool
    end: Count
    high: Count
    end_offset: Count
    high_offset: Count
    follower_end: dict[str, Count]
    follower_lag_ns: dict[str, Instant]
    refused: Count = 0
    newcomers: dict[str, str] = {}
    bytes: Count = 0


class GroupSample(msgspec.Struct, array_like=True, frozen=True):
    """A group at one partition, since the last sample. `latency`: append to ack, log2 bucket of µs -> count.

    `oldest` is when the oldest unsettled event was appended, ns, or 0. `in_flight` are with members; `waiting` are the
    others that match and are not settled, read or not. `endangered` of those unread retention is about to trim;
    `trimmed` were, before they were delivered or settled. `settings` are left out where they were told before.
    `holding`: member -> events it holds, of at most GROUP_SAMPLE_MEMBERS_MAX members, those that hold most.
    """

    group: str
    partition: Count
    pattern: str
    members: Count
    floor: Count
    waiting: Count
    in_flight: Count
    delivered: Count
    acked: Count
    failed: Count
    dead: Count
    oldest: Instant
    latency: dict[int, Count]
    trimmed: Count = 0
    endangered: Count = 0
    settings: GroupSettings | None = None
    holding: dict[str, Count] = {}


class Sampled(Message, frozen=True):
    """One broker's figures. Counters are since the last Sample; `fsync_p99_ns`, `ack_p99_ns` over the same span.

    `free_bytes` are left for its store, -1 where it did not say; below `reserve_bytes` it `refuses` new events with
    StorageFull, and when a commit found no room at all. `locality` is where it is, or "".
    """

    request: int
    broker: str
    at: Instant
    replicas: list[ReplicaSample]
    groups: list[GroupSample]
    events_in: Count
    events_out: Count
    commits: Count
    fsync_p99_ns: Instant
    ack_p99_ns: Instant
    memory_bytes: Count
    store_bytes: Count
    sessions: Count
    malformed: Count
    refused: Count
    free_bytes: Count = -1
    reserve_bytes: Count = 0
    refuses: bool = False
    locality: str = ""


class Keep(Message, frozen=True):
    """The plane has archived all events below these offsets, by partition: retention may let go of no others."""

    plane_epoch: int
    plane_uuid: str
    archived: dict[int, int]


class ChangeGroup(Message, frozen=True):
    """The plane tells a partition's leader what an operator decided of a group: new values of settings, or its end.

    `changes`: field of GroupSettings -> value; None removes the group here. `decision` is the number of the operator's
    decision, of which a later one has a greater number, whatever plane decides it: a removal leaves alone what was made
    after an equal or a later removal was carried out here. 0, of a plane that gives none: whatever is there is removed.
    """

    request: int
    plane_epoch: int
    plane_uuid: str
    partition: int
    group: str
    changes: dict[str, int] | None = None
    decision: Decision = 0


class GroupChanged(Message, frozen=True):
    """Answer to ChangeGroup, once that is committed. `was_there` False: there is no such group at the partition, or
    only one that was made after the decision."""

    request: int
    partition: Count
    was_there: bool


class Halt(Message, frozen=True):
    """The plane ends a broker: it commits, says Bye to all, and exits 0."""

    plane_epoch: int
    plane_uuid: str
    reason: str
