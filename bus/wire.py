"""Multipart frames and the one table of verbs. Pure: bytes in, structs out.

A message is one ZeroMQ multipart: `[head, blob, blob, ...]`. The head is `MAGIC` + MessagePack of
`(session, sequence, message)`; the blobs are records or batch bodies that the message names by order. `session` is a
random 63-bit number chosen by the opener; `sequence` counts from 0 in each direction.

| who says it | messages |
|---|---|
| opener, listener | Hello, Welcome, Bye, Ping, Pong |
| publisher | Publish -> Published |
| reader | Watch -> Records ..., Credit, Unwatch; Describe -> Described |
| group member | Join -> Joined, Deliver ..., Settle -> Settled, Credit, Leave |
| plane | Claim -> Claimed, Offer -> Answered, Place -> Placed, Spread -> (broadcast Topology), Sample -> Sampled, Halt |
| leader, follower | Ship -> Shipped, AskEpochEnd -> EpochEnd |
| anyone | Fault answers a request that failed |
"""

from typing import Any

import msgspec

from bus import limits
from bus.errors import ProtocolError

MAGIC = b"SB1"
PROTOCOL_MIN = 1
PROTOCOL_MAX = 1


class Message(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """The base of every verb. Structs are arrays on the wire: fields may be added at the end, never moved."""


class Node(msgspec.Struct, array_like=True, frozen=True):
    """A broker as others know it. `store` is the uuid of its store: another store is another replica."""

    id: str
    url: str
    store: str
    up: bool = True


class Seat(msgspec.Struct, array_like=True, frozen=True):
    """One partition's placement. `leader` is "" while nobody leads; `replicas` are broker ids, preferred leader first.

    `stores` has the uuid of each replica's store, in the order of `replicas`: a replica is (broker, store), and a broker
    that comes with another store is a new replica without a vote. "" or a missing entry accepts any store.
    """

    partition: int
    epoch: int
    leader: str
    replicas: list[str]
    write_quorum: int
    stores: list[str] = []

    def votes(self, broker: str, store: str) -> bool:
        """Whether this replica counts, in the write quorum as in elections."""
        if broker not in self.replicas:
            return False
        at = self.replicas.index(broker)
        return at >= len(self.stores) or self.stores[at] in ("", store)


class Topology(Message, frozen=True):
    """Who leads what. `version` only grows (the journal position it was decided at); receivers ignore older ones."""

    version: int
    fleet: str
    slots: int
    nodes: list[Node]
    seats: list[Seat]
    plane_url: str = ""


# -------------------------------------------------------------------------------------------------- session


class Hello(Message, frozen=True):
    """First frame of a session. `role`: client, broker, plane. `name`: broker id or a client's name for logs.

    `fleet` may be "" for a client that does not know it yet. `resumes` is the session this one continues, or 0.
    """

    role: str
    name: str
    fleet: str
    store: str
    protocol_min: int
    protocol_max: int
    features: list[str]
    principal: str
    resumes: int = 0


class Welcome(Message, frozen=True):
    """The listener accepts. `principal` is what it takes the opener to be."""

    fleet: str
    broker: str
    store: str
    protocol: int
    features: list[str]
    principal: str
    plane_epoch: int
    topology: Topology | None = None


class Bye(Message, frozen=True):
    """The session is over. `code`: gap, unknown, protocol, closing, denied. `expected` is the sequence that was due."""

    code: str
    reason: str
    expected: int = 0


class Ping(Message, frozen=True):
    """Keeps a session alive and measures it; `token` comes back."""

    token: int


class Pong(Message, frozen=True):
    token: int


class Fault(Message, frozen=True):
    """A request failed. `code` is the name of a class in `bus.errors`; `detail` e.g. the GroupConflict's field."""

    request: int
    code: str
    message: str
    detail: str = ""


# -------------------------------------------------------------------------------------------------- publish


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


# -------------------------------------------------------------------------------------------------- read


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
    """

    subscription: int
    partition: int
    offset: int
    time: int
    pattern: str
    internal: bool
    credit: int


class Records(Message, frozen=True):
    """Records for a watch, a blob each, in order. `rows[i]` selects rows of blob i as a little-endian bitmap; empty: all.

    `next_offset` is where the reader stands after these, filtered events passed; `high` the high watermark. Sent also
    without blobs when only the position moved. `first_offset` > what was asked says that retention trimmed.
    """

    subscription: int
    partition: int
    first_offset: int
    next_offset: int
    high: int
    rows: list[bytes]


class Credit(Message, frozen=True):
    """More credit for a subscription: bytes for a watch, events for a group member."""

    subscription: int
    more: int


class Unwatch(Message, frozen=True):
    subscription: int


# -------------------------------------------------------------------------------------------------- groups


class GroupSettings(msgspec.Struct, array_like=True, frozen=True):
    """What a group is; all members must agree. `start`: ns instant, or -1 for the earliest event kept.

    `order`: none. Durations in milliseconds.
    """

    pattern: str
    start: int
    ack_wait_ms: int
    max_deliver: int
    order: str = "none"


class Join(Message, frozen=True):
    """Become a member of a group at one partition's leader. `start` of the settings counts only for the first member.

    `holds`: offset -> attempt of what another leader delivered and this member still works on: a leader that is new takes
    its word for it, and does not deliver it to others.
    """

    subscription: int
    group: str
    partition: int
    member: str
    settings: GroupSettings
    credit: int
    holds: dict[int, int] = {}


class Joined(Message, frozen=True):
    subscription: int
    group: str
    partition: int
    floor: int


class Deliver(Message, frozen=True):
    """Events for a member: one record (blob 0), the rows of it that are meant, and the attempt of each."""

    subscription: int
    partition: int
    rows: list[int]
    attempts: list[int]


class Settlement(msgspec.Struct, array_like=True, frozen=True):
    """`verdict`: ack, nack, terminate. `delay_ms` and `error` for nack, `error` for terminate."""

    offset: int
    attempt: int
    verdict: str
    delay_ms: int = 0
    error: str = ""


class Settle(Message, frozen=True):
    request: int
    subscription: int
    partition: int
    items: list[Settlement]


class Settled(Message, frozen=True):
    """Offsets whose settlement was refused as stale, with why; the others are durable."""

    request: int
    stale: dict[int, str]


class Leave(Message, frozen=True):
    subscription: int


# -------------------------------------------------------------------------------------------------- plane


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
    epoch's seat may name their stores (leader only, and only once it is readable).
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


class GroupSample(msgspec.Struct, array_like=True, frozen=True):
    """A group at one partition, since the last sample. `latency`: append to ack, log2 bucket of µs -> count.

    `oldest` is when the oldest unsettled event was appended, ns, or 0. `waiting` counts events not yet read by it.
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


class Sampled(Message, frozen=True):
    """One broker's figures. Counters are since the last Sample; `fsync_p99_ns`, `ack_p99_ns` over the same span."""

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


class Halt(Message, frozen=True):
    """The plane ends a broker: it commits, says Bye to all, and exits 0."""

    plane_epoch: int
    plane_uuid: str
    reason: str


# -------------------------------------------------------------------------------------------------- replication


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


class Shipped(Message, frozen=True):
    """A follower has fsynced all records below `end`.

    `matched` False acks nothing: the ship did not fit and the next one should start at `end`; or `epoch` is greater than
    the ship's, and the leader is deposed.
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


AnyMessage = (
    Hello
    | Welcome
    | Bye
    | Ping
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
)


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
    return frame, parts[1:]
