"""Facts about the fleet's operation: what operators decided, and how far it has come. Part of the union in `facts`.

| decided by an operator | derived by the fleet |
|---|---|
| BrokerAdded, BrokerRemoved, RemovalDecided | BrokerRemoved |
| BrokerDrained, BrokerRevived | |
| RebalanceDecided, RebalanceStopped | RebalanceEnded, RebalanceForgone; by `adaptive` the other two |
| StrategyChosen, AdaptivePaused, AdaptiveResumed | |
| RestartDecided, RestartStopped | RestartStepped, RestartEnded |
| LossAccepted | |

`by` is who decided, `reason` what they said about it; both may be empty.
"""

import msgspec

from controlplane.journaled import Fact, Intent


class BrokerAdded(Fact, frozen=True):
    """A broker belongs to the fleet from here on; it holds no replica yet.

    `url`: where it was joined, started by somebody else; "" for one that the plane starts. One that moved is added
    again, at its new address.
    """

    id: str
    url: str = ""
    store: str = ""
    by: str = ""
    reason: str = ""


class BrokerRemoved(Fact, frozen=True):
    """A broker that holds no replica belongs to the fleet no longer. Derived at the end of a `RemovalDecided`."""

    id: str
    by: str = ""
    reason: str = ""


class BrokerDrained(Fact, frozen=True):
    """A broker gives its leaderships away and gets none, until it is revived; it goes on as a follower."""

    id: str
    by: str = ""
    reason: str = ""


class BrokerRevived(Fact, frozen=True):
    """A drained broker may lead again."""

    id: str
    by: str = ""
    reason: str = ""


class PlannedMove(msgspec.Struct, frozen=True, array_like=True):
    """A partition's replicas as they shall be, preferred leader first; at most one of them is new."""

    partition: int
    replicas: list[str]


class RemovalDecided(Fact, frozen=True):
    """A broker leads nothing from here on, its replicas move, one after the other, and then it is removed.

    The moves replace a plan that is under way; BrokerRevived gives the removal up.
    """

    id: str
    moves: list[PlannedMove]
    by: str = ""
    reason: str = ""


class RebalanceDecided(Fact, frozen=True):
    """Partitions are to move, one after the other, in this order. Replaces a plan that is under way."""

    moves: list[PlannedMove]
    by: str = ""
    reason: str = ""


class RebalanceStopped(Fact, frozen=True):
    """The plan is given up; what has moved stays where it is."""

    by: str = ""
    reason: str = ""


class RebalanceEnded(Fact, frozen=True):
    """Derived: every move of the plan was made."""

    moves: int


class RebalanceForgone(Fact, frozen=True):
    """Derived: an adaptive fleet is skewed, and no move is worth it; shares in thousandths of the mean."""

    share: int
    after: int


class StrategyChosen(Fact, frozen=True):
    """The fleet's partitioning from here on: one under which every key stays where it is."""

    strategy: str


class AdaptivePaused(Fact, frozen=True):
    """Nothing moves by itself until it is resumed; a plan that was made so is given up."""

    by: str = ""
    reason: str = ""


class AdaptiveResumed(Fact, frozen=True):
    """An adaptive fleet may move partitions by itself again."""

    by: str = ""
    reason: str = ""


class RestartDecided(Fact, frozen=True):
    """These brokers are to be restarted, one after the other. Replaces a restart that is under way."""

    brokers: list[str]
    by: str = ""
    reason: str = ""


class RestartStopped(Fact, frozen=True):
    """No further broker is restarted."""

    by: str = ""
    reason: str = ""


class RestartStepped(Fact, frozen=True):
    """Derived: a broker leads nothing, and its process `pid` ends now; or, with `pid` 0, it is back and in sync."""

    id: str
    pid: int


class RestartEnded(Fact, frozen=True):
    """Derived: all are restarted; or, with `why`, it cannot go on."""

    restarted: list[str]
    why: str = ""


class LossAccepted(Fact, frozen=True):
    """A partition that cannot elect may be led by the greatest replica that is left; what only others held is lost."""

    partition: int
    missing: list[str]
    may_lose: str
    by: str = ""
    reason: str = ""


class HaltBroker(Intent, frozen=True):
    """End process `pid` of a broker kindly, so that it is started again. Answer: BrokerLost."""

    id: str
    pid: int
    reason: str
    plane_epoch: int = 0


class ReleaseBroker(Intent, frozen=True):
    """A broker is no member any more: end the process if it is the plane's own, else let go of it."""

    id: str
    reason: str
    plane_epoch: int = 0


Decision = (
    BrokerAdded
    | BrokerRemoved
    | RemovalDecided
    | BrokerDrained
    | BrokerRevived
    | RebalanceDecided
    | RebalanceStopped
    | RebalanceEnded
    | RebalanceForgone
    | StrategyChosen
    | AdaptivePaused
    | AdaptiveResumed
    | RestartDecided
    | RestartStopped
    | RestartStepped
    | RestartEnded
    | LossAccepted
)
