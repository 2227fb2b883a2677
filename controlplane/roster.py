"""What the fleet's state holds beside brokers and partitions, and how it is read.

| table | key | value |
|---|---|---|
| plane | "plane" | Plane |
| broker | id | brokers.Broker |
| partition | number | elections.Partition |
| began | broker | when its process began, ns; of one that was adopted |
| figures | broker | Figures, from its newest sample |
| reserved | number | what the partition is for: "journal", its copy |
| replica | partition/broker | Replica, from that broker's newest sample |
| drained, tried, pace, plan, restart | | see `operations` |
"""

from typing import Any

import msgspec

from bus.limits import REPLICA_LAG_MS_MAX
from bus.semantic import Rule
from bus.wire import Node, ReplicaSample, Topology
from controlplane.brokers import MS, UP, Broker
from controlplane.elections import LED, Partition
from controlplane.state import KeyedState

POSITION_BITS = 44
"""Of a number that `numbered` gives; what is above is the plane epoch, up to `EPOCH_MAX`."""
EPOCH_MAX = (1 << 63 - POSITION_BITS) - 1


class Plane(msgspec.Struct, frozen=True, array_like=True):
    """Who runs the fleet. `epoch` 0: nobody yet."""

    epoch: int = 0
    uuid: str = ""
    url: str = ""
    stopping: bool = False
    fleet: str = ""
    slots: int = 0
    started: int = 0
    strategy: str = "hash"
    rules: list[Rule] = []


class Figures(msgspec.Struct, frozen=True, array_like=True):
    """A broker's newest sample; counters are of the `span_ns` before `at`. `skew_ns` as in BrokerSampled.

    `refuses`: it takes no new events, as only `free_bytes` are left for its store and its reserve is `reserve_bytes`.
    """

    at: int
    span_ns: int
    events_in: int
    events_out: int
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
    skew_ns: int = 0
    locality: str = ""

    @property
    def room_bytes(self) -> int:
        """What may still be written there before it refuses; -1: it did not say."""
        return max(0, self.free_bytes - self.reserve_bytes) if self.free_bytes >= 0 else -1


class Replica(msgspec.Struct, frozen=True, array_like=True):
    """A partition as one of its brokers saw it at `at`; the follower maps are the leader's."""

    at: int
    span_ns: int
    sample: ReplicaSample

    def is_late(self, follower: str) -> bool:
        """Whether a follower of this leader has not acked for too long."""
        return self.sample.follower_lag_ns.get(follower, 0) > REPLICA_LAG_MS_MAX * MS


def numbered(epoch: int, position: int) -> int:
    """A number for what is decided at a position under a plane epoch, greater than any before, in whatever journal:
    plane epochs only grow, and in one epoch positions do. So a plane that took over with an older journal gives out
    greater ones as well."""
    return min(epoch, EPOCH_MAX) << POSITION_BITS | position


def plane_of(state: KeyedState) -> Plane:
    """The plane's own record; an empty one before any started."""
    found: Plane = state.get("plane", "plane") or Plane()
    return found


def sorted_ids(state: KeyedState) -> list[str]:
    """Broker ids, b2 before b10."""
    return sorted((str(id) for id in state.table("broker")), key=lambda id: (len(id), id))


def partitions_of(state: KeyedState) -> list[Partition]:
    """All partitions that hold events, by number."""
    reserved = state.table("reserved")
    return [p for p in every_partition_of(state) if p.partition not in reserved]


def every_partition_of(state: KeyedState) -> list[Partition]:
    """The same, and the plane's own behind them: all that are led."""
    table: Any = state.table("partition")
    return [table[number] for number in sorted(table)]


def name_of(state: KeyedState, partition: int) -> str:
    """What a partition is called: p07, or what it is for."""
    return "the journal's copy" if partition in state.table("reserved") else f"p{partition:02d}"


def copy_of(state: KeyedState) -> Partition | None:
    """The partition that the journal's copy is kept in; None before it was founded."""
    found: Partition | None = next((state.get("partition", number) for number in state.table("reserved")), None)
    return found


def brokers_of(state: KeyedState) -> dict[str, Broker]:
    """All brokers by id, in the order of `sorted_ids`."""
    return {id: state.get("broker", id) for id in sorted_ids(state)}


def replica_of(state: KeyedState, partition: int, broker: str) -> Replica | None:
    """A partition as this broker last said."""
    found: Replica | None = state.get("replica", f"{partition}/{broker}")
    return found


def lagging(state: KeyedState, p: Partition) -> list[str]:
    """Replicas of a led partition whose brokers are up and which are not in sync, as its leader last said."""
    led = replica_of(state, p.partition, p.leader)
    if led is None:
        return []
    return [id for id in p.replicas if id != p.leader and is_up(state, id) and led.is_late(id)]


def in_sync(state: KeyedState, p: Partition) -> int:
    """How many replicas are in sync, the leader included; 0 when nobody leads."""
    if p.phase != LED:
        return 0
    late = lagging(state, p)
    return sum(is_up(state, id) and id not in late for id in p.replicas)


def is_up(state: KeyedState, id: str) -> bool:
    """Whether this broker is known, and answers."""
    broker: Broker | None = state.get("broker", id)
    return broker is not None and broker.state == UP


def topology_of(state: KeyedState, version: int) -> Topology:
    """Who leads what, as the bus is told."""
    plane = plane_of(state)
    nodes = [
        Node(broker.id, broker.url, broker.store, broker.state == UP)
        for broker in brokers_of(state).values()
        if broker.url
    ]
    seats = [p.seat for p in partitions_of(state)]
    return Topology(version, plane.fleet, plane.slots, nodes, seats, plane.url, plane.strategy, plane.rules)
