"""What operators decided about the fleet, what is well with it, and who may lead. Pure.

What follows from it stands in `reconcile`. A broker that is to be removed is drained, and a plan moves its replicas;
once it holds none, and all is well, it goes (`membership`). All is well: every broker that stays is up, every partition
is led by who was elected, every replica has a vote and is in sync.

| table | key | value |
|---|---|---|
| drained | broker | Drained |
| tried | partition | Tried: moves that came to nothing so far |
| pace | "pace" | Pace |
| plan | "plan" | Plan, the newest one |
| restart | "restart" | Restart, the newest one |
"""

import msgspec

from bus.semantic import ADAPTIVE
from controlplane import elections
from controlplane.brokers import UP
from controlplane.decisions import (
    AdaptivePaused,
    BrokerDrained,
    BrokerRevived,
    Decision,
    LossAccepted,
    PlannedMove,
    RebalanceDecided,
    RebalanceEnded,
    RebalanceStopped,
    RestartDecided,
    RestartEnded,
    RestartStepped,
    RestartStopped,
    StrategyChosen,
)
from controlplane.elections import LED, Partition
from controlplane.facts import LeadershipProposed
from controlplane.fold import Entry
from controlplane.limits import (
    CAUGHT_UP_RECORDS_MAX,
)
from controlplane.roster import brokers_of, in_sync, is_up, lagging, partitions_of, plane_of, replica_of, sorted_ids
from controlplane.state import KeyedState


class Drained(msgspec.Struct, frozen=True, array_like=True):
    """Since when a broker may not lead, and who said so."""

    since: int
    position: int
    by: str
    reason: str


class Tried(msgspec.Struct, frozen=True, array_like=True):
    """Moves of a partition's leadership that were begun and did not succeed, and when the last one was."""

    tries: int
    at: int


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """`trouble`: when something last happened to a broker, or a leader was lost."""

    trouble: int


class Plan(msgspec.Struct, frozen=True, array_like=True):
    """A plan of rebalancing. `ended` is "" while it is under way, else done or stopped."""

    moves: list[PlannedMove]
    since: int
    position: int
    by: str
    reason: str
    ended: str = ""


class Restart(msgspec.Struct, frozen=True, array_like=True):
    """A rolling restart. `done` brokers are back; `pid`: the process of the next one that was ended, 0 before.

    `since`: when it came to this step. `ended` is "" while it is under way; then `why` says what stopped it, if
    anything did.
    """

    brokers: list[str]
    done: int
    pid: int
    since: int
    position: int
    by: str
    reason: str
    ended: str = ""
    why: str = ""

    @property
    def head(self) -> str:
        """The broker whose turn it is, or "" when it is over."""
        return "" if self.ended or self.done >= len(self.brokers) else self.brokers[self.done]


TABLES = {"drained": Drained, "tried": Tried, "pace": Pace, "plan": Plan, "restart": Restart}
"""What the values of each table are."""


# ------------------------------------------------------------------------------------------------- what is read


def drained_of(state: KeyedState) -> dict[str, Drained]:
    """The drained brokers."""
    table = state.table("drained")
    return {id: state.get("drained", id) for id in sorted_ids(state) if id in table}


def plan_of(state: KeyedState) -> Plan | None:
    """The newest plan of rebalancing."""
    found: Plan | None = state.get("plan", "plan")
    return found


def moves_of(state: KeyedState) -> list[PlannedMove]:
    """The moves of the plan that is under way."""
    plan = plan_of(state)
    return plan.moves if plan is not None and not plan.ended else []


def restart_of(state: KeyedState) -> Restart | None:
    """The newest rolling restart."""
    found: Restart | None = state.get("restart", "restart")
    return found


def avoided(state: KeyedState) -> list[str]:
    """Brokers that should not lead now: the drained ones, and the one that is being restarted."""
    restart = restart_of(state)
    head = restart.head if restart is not None else ""
    drained = list(drained_of(state))
    return [*drained, head] if head and head not in drained else drained


def home_of(state: KeyedState, p: Partition) -> str:
    """The preferred leader: the first of its replicas that is not drained; "" when all are."""
    drained = state.table("drained")
    return next((id for id in p.replicas if id not in drained), "")


def may_lead(state: KeyedState, p: Partition, id: str) -> bool:
    """Whether a led partition could be moved to this replica: it votes, is in sync and as good as caught up."""
    led = replica_of(state, p.partition, p.leader)
    broker = state.get("broker", id)
    if led is None or not led.sample.leads or led.sample.epoch != p.epoch or broker is None or broker.state != UP:
        return False
    if id not in p.replicas or not elections.is_vote(p, id, broker.store) or id in lagging(state, p):
        return False
    return led.sample.follower_end.get(id, -1) + CAUGHT_UP_RECORDS_MAX >= led.sample.high


def heir_of(state: KeyedState, p: Partition) -> str:
    """Who takes over when its leader should not lead: the first replica that may, or ""."""
    shunned = avoided(state)
    return next((id for id in p.replicas if id not in shunned and id != p.leader and may_lead(state, p, id)), "")


def ailment(state: KeyedState) -> str:
    """What is not well with the fleet, in words; "" when all is."""
    leaving = state.table("leaving")
    for broker in brokers_of(state).values():
        if broker.state != UP and broker.id not in leaving:
            return f"{broker.id} is {broker.state}"
    for p in partitions_of(state):
        if p.phase != LED:
            return f"p{p.partition:02d} has no leader"
        led = replica_of(state, p.partition, p.leader)
        if led is None or not led.sample.leads or led.sample.epoch != p.epoch:
            return f"p{p.partition:02d} has just changed its leader"
        late = [id for id in p.replicas if id not in (p.leader, *leaving) and not may_lead(state, p, id)]
        if late:
            return f"p{p.partition:02d} is not in sync on {', '.join(late)}"
    return ""


def held_up_by(state: KeyedState, id: str) -> list[int]:
    """The partitions that would have fewer than W replicas in sync without this broker."""
    short = []
    for p in partitions_of(state):
        counts = id in p.replicas and is_up(state, id) and id not in lagging(state, p)
        if id in p.replicas and in_sync(state, p) - counts < p.write_quorum:
            short.append(p.partition)
    return short


# ------------------------------------------------------------------------------------------------- what it means


def troubled(state: KeyedState, entry: Entry) -> None:
    """Something happened to the fleet: balance can wait."""
    state.put("pace", "pace", Pace(entry.recorded))


def tried(state: KeyedState, entry: Entry, fact: LeadershipProposed) -> None:
    """A move was begun."""
    before: Tried | None = state.get("tried", fact.partition)
    state.put("tried", fact.partition, Tried(before.tries + 1 if before else 1, entry.recorded))


def moved(state: KeyedState, partition: int) -> None:
    """A move succeeded."""
    state.delete("tried", partition)


def decided(state: KeyedState, entry: Entry, fact: Decision) -> None:
    """A decision is remembered; a step of one is counted."""
    now, position = entry.recorded, entry.position
    plan, restart = plan_of(state), restart_of(state)
    if isinstance(fact, BrokerDrained):
        if state.get("broker", fact.id) is not None:
            state.put("drained", fact.id, Drained(now, position, fact.by, fact.reason))
    elif isinstance(fact, BrokerRevived):
        state.delete("drained", fact.id)
    elif isinstance(fact, RebalanceDecided):
        state.put("plan", "plan", Plan(fact.moves, now, position, fact.by, fact.reason))
    elif isinstance(fact, RebalanceStopped | RebalanceEnded):
        if plan is not None and not plan.ended:
            ended = "done" if isinstance(fact, RebalanceEnded) else "stopped"
            state.put("plan", "plan", msgspec.structs.replace(plan, ended=ended))
    elif isinstance(fact, AdaptivePaused):
        if plan is not None and not plan.ended and plan.by == ADAPTIVE:
            state.put("plan", "plan", msgspec.structs.replace(plan, ended="stopped"))
    elif isinstance(fact, StrategyChosen):
        plane = plane_of(state)
        state.put("plane", "plane", msgspec.structs.replace(plane, strategy=fact.strategy))
    elif isinstance(fact, RestartDecided):
        state.put("restart", "restart", Restart(fact.brokers, 0, 0, now, position, fact.by, fact.reason))
    elif isinstance(fact, LossAccepted):
        p: Partition | None = state.get("partition", fact.partition)
        if p is not None and p.phase != LED:
            state.put("partition", fact.partition, msgspec.structs.replace(p, lossy=True))
    elif isinstance(fact, RestartStepped | RestartStopped | RestartEnded) and restart is not None and not restart.ended:
        state.put("restart", "restart", _restarted(restart, now, fact))


def _restarted(restart: Restart, now: int, fact: RestartStepped | RestartStopped | RestartEnded) -> Restart:
    if isinstance(fact, RestartStepped):
        done = restart.done if fact.pid else restart.done + 1
        return msgspec.structs.replace(restart, done=done, pid=fact.pid, since=now)
    if isinstance(fact, RestartEnded):
        ended, why = "failed" if fact.why else "done", fact.why
    else:
        ended, why = "stopped", fact.reason
    return msgspec.structs.replace(restart, ended=ended, why=why, since=now)
