"""What the fleet does next about operators' decisions and its own balance: one leadership at a time, never at the cost
of availability. Pure; says, never does. What was decided, and what is well, is read in `operations`.

Each second, and after each election, the first of these that has something to do does one thing:

| what | only if |
|---|---|
| a drained broker, or the next one of a rolling restart, gives a leadership away | another replica is in sync |
| a learner that no plan wants any more is let go | W are in sync |
| a rolling restart ends a process, or goes on to the next broker | its partitions keep W in sync without it |
| a plan of rebalancing makes its next move | all is well, and has been for CALM_MS_MIN |
| a leadership goes back to its preferred leader, the first of its `replicas` | the same, and no restart is under way |

A move is an election for the sake of one replica (`LeadershipProposed.prefer`); one that comes to nothing is tried
again after a rest that doubles. Plans say how `replicas` shall be; leaderships follow, as to any preferred leader. A
newcomer learns first, and `leadership` admits it; the plan waits for that, one newcomer at a time. If it dies it is
waited for, as for any broker, until the plan is stopped or another takes its place.
"""

from collections.abc import Iterator

from controlplane import elections, membership
from controlplane.brokers import MS, UP
from controlplane.decisions import BrokerRemoved, HaltBroker, RebalanceEnded, RestartEnded, RestartStepped
from controlplane.elections import ELECTING, LED, Partition
from controlplane.facts import Fact, Intent, LeadershipProposed
from controlplane.fold import Entry
from controlplane.limits import CALM_MS_MIN, HALT_AGAIN_MS, MOVE_REST_MS_MAX, MOVE_REST_MS_MIN, RESTART_STEP_MS_MAX
from controlplane.operations import (
    Pace,
    Plan,
    Restart,
    Tried,
    ailment,
    heir_of,
    held_up_by,
    home_of,
    may_lead,
    moves_of,
    plan_of,
    restart_of,
)
from controlplane.roster import every_partition_of, in_sync, partitions_of, plane_of
from controlplane.state import KeyedState


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
    given_up = next(_given_up(state, now), None)
    if given_up is not None:
        yield given_up
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
            yield _propose(p, p.shall, home, f"{home} is its preferred leader and in sync")
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
                yield _propose(p, p.shall, heir, why)


def _given_up(state: KeyedState, now: int) -> Iterator[LeadershipProposed]:
    """Learners that no plan wants any more, well or not; but not at the cost of the quorum."""
    for p in every_partition_of(state):
        unwanted = p.phase == LED and p.learners and not elections.is_wanted(p, moves_of(state))
        if unwanted and in_sync(state, p) >= p.write_quorum and _rested(state, p, now):
            yield _propose(p, p.replicas, p.leader, f"{', '.join(p.learners)} is no longer to get a replica")


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
            yield HaltBroker(broker.id, restart.pid, "restart", plane_of(state).epoch)
    else:
        short = held_up_by(state, broker.id)
        led = [p.partition for p in partitions_of(state) if p.leader == broker.id]
        if broker.state == UP and not short and not led:
            yield RestartStepped(broker.id, broker.pid)
            yield HaltBroker(broker.id, broker.pid, "restart", plane_of(state).epoch)
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
                yield _propose(p, p.shall, heir, f"{p.leader} makes room for {fresh[0]}")
                return
        elif fresh:
            # One newcomer at a time: the plan waits until it is in, however long it learns.
            if not any(one.learners for one in every_partition_of(state)):
                yield _propose(p, move.replicas, p.leader, f"{fresh[0]} gets a replica: it learns first")
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
