"""What the fleet does about operators' decisions and its own balance: one leadership at a time, never at the cost of
availability. Pure; says, never does.

Each second, and after each election, the first of these that has something to do does one thing:

| what | only if |
|---|---|
| a drained broker, or the next one of a rolling restart, gives a leadership away | another replica is in sync |
| a rolling restart ends a process, or goes on to the next broker | its partitions keep W in sync without it |
| a plan of rebalancing makes its next move | all is well, and has been for CALM_MS_MIN |
| a leadership goes back to its preferred leader, the first of its `replicas` | the same, and no restart is under way |

A broker that is to be removed is drained, and a plan moves its replicas; once it holds none, and all is well, it goes
(`membership`). All is well: every broker that stays is up, every partition is led by who was elected, every replica has
a vote and is in sync. A move is an election for the sake of one replica (`LeadershipProposed.prefer`); one that comes
to nothing is tried again after a rest that doubles. Plans say how `replicas` shall be; leaderships follow, as to any
preferred leader.

| table | key | value |
|---|---|---|
| drained | broker | Drained |
| tried | partition | Tried: moves that came to nothing so far |
| pace | "pace" | Pace |
| plan | "plan" | Plan, the newest one |
| restart | "restart" | Restart, the newest one |
"""

from collections.abc import Iterator

import msgspec

from controlplane import elections, membership
from controlplane.brokers import MS, UP
from controlplane.decisions import (
    BrokerDrained,
    BrokerRemoved,
    BrokerRevived,
    Decision,
    HaltBroker,
    LossAccepted,
    PlannedMove,
    RebalanceDecided,
    RebalanceEnded,
    RebalanceStopped,
    RestartDecided,
    RestartEnded,
    RestartStepped,
    RestartStopped,
)
from controlplane.elections import ELECTING, LED, Partition
from controlplane.facts import Fact, Intent, LeadershipProposed
from controlplane.fold import Entry
from controlplane.limits import (
    CALM_MS_MIN,
    CAUGHT_UP_RECORDS_MAX,
    HALT_AGAIN_MS,
    MOVE_REST_MS_MAX,
    MOVE_REST_MS_MIN,
    RESTART_STEP_MS_MAX,
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


# ------------------------------------------------------------------------------------------------- what is read


def drained_of(state: KeyedState) -> dict[str, Drained]:
    """The drained brokers."""
    table = state.table("drained")
    return {id: state.get("drained", id) for id in sorted_ids(state) if id in table}


def plan_of(state: KeyedState) -> Plan | None:
    """The newest plan of rebalancing."""
    found: Plan | None = state.get("plan", "plan")
    return found


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


# ------------------------------------------------------------------------------------------------- what follows


def go_on(state: KeyedState, entry: Entry) -> Iterator[Fact | Intent]:
    """The next thing to do, if there is one."""
    plane = plane_of(state)
    if plane.stopping or not plane.epoch or any(p.phase == ELECTING for p in partitions_of(state)):
        return
    now, restart = entry.recorded, restart_of(state)
    away = next(_given_away(state, now), None)
    if away is not None:
        yield away
        return
    if restart is not None and restart.head:
        yield from _restart(state, restart, now)
        return
    pace: Pace = state.get("pace", "pace") or Pace(0)
    if now - pace.trouble < CALM_MS_MIN * MS or ailment(state):
        return
    for id, leaving in membership.leaving_of(state).items():
        if not membership.held_by(state, id):
            yield BrokerRemoved(id, leaving.by, leaving.reason)
            return
    plan = plan_of(state)
    if plan is not None and not plan.ended:
        yield from _planned(state, plan, now)
        return
    for p in partitions_of(state):
        home = home_of(state, p)
        if home not in ("", p.leader) and _rested(state, p, now):
            yield _propose(p, p.replicas, home, f"{home} is its preferred leader and in sync")
            return


def _given_away(state: KeyedState, now: int) -> Iterator[LeadershipProposed]:
    drained, restart = state.table("drained"), restart_of(state)
    head = restart.head if restart is not None else ""
    # Where a restart would cost the quorum it has to wait anyway, and nothing is moved for its sake.
    ready = bool(head) and not held_up_by(state, head)
    for p in partitions_of(state):
        goes = p.leader in drained or (ready and p.leader == head)
        if p.phase == LED and goes and _rested(state, p, now):
            heir = heir_of(state, p)
            if heir:
                why = f"{p.leader} is {'drained' if p.leader in drained else 'to be restarted'}"
                yield _propose(p, p.replicas, heir, why)


def _restart(state: KeyedState, restart: Restart, now: int) -> Iterator[Fact | Intent]:
    broker = state.get("broker", restart.head)
    waits = now - restart.since > RESTART_STEP_MS_MAX * MS
    if broker is None:
        yield RestartEnded(restart.brokers[: restart.done], f"there is no broker {restart.head} any more")
    elif restart.pid and broker.state == UP and broker.pid != restart.pid:
        if not ailment(state):
            yield RestartStepped(broker.id, 0)
            if restart.done + 1 == len(restart.brokers):
                yield RestartEnded(restart.brokers)
        elif waits:
            yield RestartEnded(restart.brokers[: restart.done], f"{broker.id} is back, but {ailment(state)}")
    elif restart.pid:
        if waits:
            yield RestartEnded(restart.brokers[: restart.done], f"{broker.id} is not back: it is {broker.state}")
        elif broker.state == UP and _again(now - restart.since):
            yield HaltBroker(broker.id, restart.pid, "restart")
    else:
        short = held_up_by(state, broker.id)
        led = [p.partition for p in partitions_of(state) if p.leader == broker.id]
        if broker.state == UP and not short and not led:
            yield RestartStepped(broker.id, broker.pid)
            yield HaltBroker(broker.id, broker.pid, "restart")
        elif waits:
            why = f"{_names(short)} would lose the quorum" if short else f"it leads {_names(led)}"
            why = why if broker.state == UP else f"it is {broker.state}"
            yield RestartEnded(restart.brokers[: restart.done], f"{broker.id} cannot be restarted: {why}")


def _again(ns: int) -> bool:
    """Whether it is time to tell a broker again that it is to end, `ns` after the first time; told once a second."""
    times, ms = divmod(ns // MS, HALT_AGAIN_MS)
    return times > 0 and ms < MOVE_REST_MS_MIN


def _planned(state: KeyedState, plan: Plan, now: int) -> Iterator[Fact]:
    waiting = False
    drained = state.table("drained")
    for move in plan.moves:
        p: Partition | None = state.get("partition", move.partition)
        wanted = next((id for id in move.replicas if id not in drained), "")
        gone = any(state.get("broker", id) is None for id in move.replicas)
        if p is None or gone or (p.replicas == move.replicas and wanted in ("", p.leader)):
            continue
        waiting = True
        if not _rested(state, p, now):
            continue
        fresh = [id for id in move.replicas if id not in p.replicas]
        if fresh and p.leader not in move.replicas:
            heir = next((id for id in move.replicas if id not in drained and may_lead(state, p, id)), "")
            if heir:
                yield _propose(p, p.replicas, heir, f"{p.leader} makes room for {fresh[0]}")
                return
        elif fresh:
            yield _propose(p, move.replicas, p.leader, f"{fresh[0]} gets a replica")
            return
        else:
            yield _propose(p, move.replicas, wanted or p.leader, f"rebalanced to {wanted or p.leader}")
            return
    if not waiting:
        yield RebalanceEnded(len(plan.moves))


def _propose(p: Partition, replicas: list[str], prefer: str, why: str) -> LeadershipProposed:
    return LeadershipProposed(p.partition, elections.next_epoch(p), replicas, why, prefer)


def _rested(state: KeyedState, p: Partition, now: int) -> bool:
    before: Tried | None = state.get("tried", p.partition)
    if before is None:
        return True
    rest = min(MOVE_REST_MS_MIN << min(before.tries, 20), MOVE_REST_MS_MAX)
    return now - before.at >= rest * MS


def _names(partitions: list[int]) -> str:
    return ", ".join(f"p{number:02d}" for number in partitions)
