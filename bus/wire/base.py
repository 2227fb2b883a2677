"""What every verb is made of, and the topology: who leads what, where."""

from typing import Annotated

import msgspec

from bus.semantic import Rule

Epoch = Annotated[int, msgspec.Meta(ge=-1, le=1 << 48)]
Count = Annotated[int, msgspec.Meta(ge=-1, le=1 << 56)]
Instant = Annotated[int, msgspec.Meta(ge=-1, le=1 << 62)]
"""What a broker may tell the plane: one more than it, and sums of it, can still be written down."""
Decision = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number that the plane gives a decision; a later one has a greater number."""


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

    `stores` has the uuid of each replica's store, in the order of `replicas`: a replica is (broker, store), and a
    broker that comes with another store is a new replica without a vote. "" or a missing entry accepts any store.
    `learners` are shipped to as replicas are, never vote and never lead: they are to take a place among these later.
    """

    partition: int
    epoch: Epoch
    leader: str
    replicas: list[str]
    write_quorum: int
    stores: list[str] = []
    learners: list[str] = []

    @property
    def followers(self) -> list[str]:
        """Who is shipped to, with a vote or without."""
        return [broker for broker in (*self.replicas, *self.learners) if broker != self.leader]

    def votes(self, broker: str, store: str) -> bool:
        """Whether this replica counts, in the write quorum as in elections."""
        if broker not in self.replicas:
            return False
        at = self.replicas.index(broker)
        return at >= len(self.stores) or self.stores[at] in ("", store)


class Topology(Message, frozen=True):
    """Who leads what. `version` only grows (the journal position it was decided at); receivers ignore older ones.

    `slots`, `strategy` and `rules` say where keys live. The first and the last never change in a fleet's life.
    """

    version: int
    fleet: str
    slots: int
    nodes: list[Node]
    seats: list[Seat]
    plane_url: str = ""
    strategy: str = "hash"
    rules: list[Rule] = []
