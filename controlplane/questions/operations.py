"""Brokers and partitions as nouns: what they are, and the levers on them and on agents.

One lever is one `Operate`. As a dry run it answers what it would touch, and changes nothing; `expected` is then that
set, and if it has changed since, the answer is a `Refusal` with code `changed`.
"""

from typing import Literal

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import BrokerStatus, Partitioning, PartitionStatus

__all__ = [
    "AskBrokers",
    "AskPartitions",
    "BrokerRow",
    "Brokers",
    "Goal",
    "Move",
    "Operate",
    "Operated",
    "PartitionRow",
    "Partitions",
    "PlanStatus",
    "RestartStatus",
    "Verb",
]

Verb = Literal[
    "add", "remove", "drain", "revive", "restart", "restart_stop", "rebalance", "rebalance_stop", "rebalance_pause",
    "rebalance_resume", "recover", "quarantine", "release", "remove_group", "update_group",
]  # fmt: skip


class AskBrokers(Ask, frozen=True):
    """All brokers, or the one with this id."""

    broker: str = ""


class BrokerRow(BrokerStatus):
    """A broker and its part in the fleet. `drained` says by whom and why, or is "": it may lead."""

    drained: str = ""
    leaving: str = ""
    """By whom and why it is to be removed once its replicas have moved away; "" when it stays."""
    replicas: int = 0
    in_sync: int = 0
    """Of them."""
    home_of: list[int] = []
    """Partitions whose preferred leader it is."""
    holds_up: list[int] = []
    """Partitions that would refuse without it."""
    locality: str = ""
    room_bytes: int | None = None
    """What it may still write before it refuses; None: not known."""


class RestartStatus(msgspec.Struct):
    """The newest rolling restart. `ended` is "" while it is under way, else done, stopped, failed (`why`)."""

    brokers: list[str]
    done: list[str]
    ended: str
    why: str
    since: int
    by: str = ""
    reason: str = ""


class Brokers(Reply):
    rows: list[BrokerRow]
    restart: RestartStatus | None = None
    ailment: str = ""
    """What is not well, so that nothing moves for the sake of balance; "" when all is."""


class AskPartitions(Ask, frozen=True):
    """All partitions, or this one."""

    partition: int | None = None


class PartitionRow(PartitionStatus):
    """A partition and where it should be. `load`: events of the last two minutes."""

    preferred: str = ""
    write_quorum: int = 0
    load: int = 0


class Move(msgspec.Struct):
    """One partition's move: who leads and the replicas now, and as they shall be, preferred leader first."""

    partition: int
    leader: str
    replicas: list[str]
    to: str
    target: list[str]
    load: int = 0


class Goal(msgspec.Struct):
    """What a plan is measured by: hard ones must hold, soft ones are weighed. Less is better."""

    name: str
    hard: bool
    before: float
    after: float
    best: float
    """What could be reached at best; for a hard one what must be."""


class PlanStatus(msgspec.Struct):
    """The newest plan of rebalancing. `ended` is "" while it is under way, else done or stopped."""

    moves: list[Move]
    made: int
    ended: str
    since: int
    by: str = ""
    reason: str = ""


class Partitions(Reply):
    rows: list[PartitionRow]
    plan: PlanStatus | None = None
    ailment: str = ""
    partitioning: Partitioning | None = None


class Operate(Ask, frozen=True):
    """Pull a lever. `targets`: brokers, agents, groups, or partitions as numbers; `to`: the broker that a partition is
    moved to.

    For `add` the one target is the address of a broker that runs; none has the plane start one. `changes`: setting ->
    value, for `update_group`. `pattern`: the one target of `remove_group` stands for many
    names, `*` for any characters and `?` for one.
    """

    verb: Verb
    targets: list[str] = []
    to: str = ""
    dry_run: bool = False
    reason: str = ""
    by: str = ""
    expected: list[str] | None = None
    changes: dict[str, int] = {}
    pattern: bool = False


class Operated(Reply):
    verb: Verb
    touched: list[str]
    """The exact set, a line each."""
    dry_run: bool
    position: int
    """Of the decision in the journal; 0 for a dry run."""
    moves: list[Move] = []
    goals: list[Goal] = []
    notes: list[str] = []
