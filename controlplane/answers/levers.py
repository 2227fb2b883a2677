"""What a lever on brokers, partitions and agents would touch: the decision to be journaled, the answer that shows it.

For a dry run, or when it is refused, there is no decision. Refusals name what is in the way, and what to do about it.
"""

from collections.abc import Callable

import msgspec

from bus.words import many
from controlplane import rebalance
from controlplane.answers import agentlevers, balance, grouplevers
from controlplane.answers.members import Newcomer, plan_add, plan_remove, removal_under_way
from controlplane.answers.operations import loads_of, move_of, unknown_broker, unknown_partition
from controlplane.answers.rates import Rates
from controlplane.brokers import UP
from controlplane.decisions import (
    BrokerDrained,
    BrokerRevived,
    LossAccepted,
    PlannedMove,
    RebalanceDecided,
    RebalanceStopped,
    RestartDecided,
    RestartStopped,
)
from controlplane.elections import LED, Partition, live, voters
from controlplane.facts import Fact
from controlplane.fold import KeyedState, World
from controlplane.limits import LOST_NAMED_MAX
from controlplane.operations import ailment, drained_of, held_up_by, may_lead, plan_of, restart_of
from controlplane.placing import Standing, crowded, far, overfull
from controlplane.questions import Goal, Move, Operate, Operated, Refusal
from controlplane.roster import brokers_of, in_sync, partitions_of, replica_of
from controlplane.standing import ground_of, standings_of

Planned = tuple[Fact | None, Operated | Refusal]


def plan_operation(world: World, ask: Operate, now: int, newcomer: Newcomer | None = None) -> Planned:
    """The decision, and what it touches. `newcomer`: who is to be added."""
    if ask.verb == "add":
        decision, told = plan_add(world, ask, newcomer or Newcomer())
    else:
        decision, told = _LEVERS[ask.verb](world, ask, now)
    if isinstance(told, Refusal):
        return None, told
    if ask.expected is not None and ask.expected != told.touched:
        shown = many(len(ask.expected), "was", "were")
        message = f"the set has changed: {shown} shown, {len(told.touched)} would be touched now"
        return None, Refusal("changed", message, "look again with --dry-run, then confirm that set")
    return (None if ask.dry_run else decision), told


def _drain(world: World, ask: Operate, now: int) -> Planned:
    state = world["fleet"]
    id = ask.targets[0] if ask.targets else ""
    if id not in brokers_of(state):
        return None, unknown_broker(id)
    drained = drained_of(state)
    if id in drained:
        return None, Refusal("usage", f"{id} is drained already", f"signalbox broker revive {id}")
    short = [p.partition for p in partitions_of(state) if id in p.replicas and in_sync(state, p) < p.write_quorum]
    if short:
        message = f"{names(short)} {'has' if len(short) == 1 else 'have'} fewer than W replicas in sync already"
        return None, Refusal("failed", message, "signalbox partition list says why; drain when they are back")
    moves, stuck = [], []
    for p in partitions_of(state):
        if p.leader == id:
            heir = next((one for one in p.replicas if one != id and one not in drained and may_lead(state, p, one)), "")
            if heir:
                moves.append(_lead(p, heir))
            else:
                stuck.append(p.partition)
    if stuck:
        message = f"{names(stuck)} {'has' if len(stuck) == 1 else 'have'} no other replica in sync that may lead"
        message += f": {ailment(state)}" if ailment(state) else ""
        return None, Refusal("failed", message, "signalbox partition list; bring back or revive another broker first")
    heirs = {move.partition: move.to for move in moves}
    before = _standings(world, now)
    after = [msgspec.structs.replace(one, leader=heirs.get(one.partition, one.leader)) for one in before]
    touched = [_line(move) for move in moves] or [id]
    told = Operated(ask.verb, touched, ask.dry_run, 0, moves, _goals(state, before, after, without=id))
    return BrokerDrained(id, ask.by, ask.reason), told


def _revive(world: World, ask: Operate, now: int) -> Planned:
    state = world["fleet"]
    id = ask.targets[0] if ask.targets else ""
    if id not in brokers_of(state):
        return None, unknown_broker(id)
    if id not in drained_of(state):
        return None, Refusal("usage", f"{id} is not drained", "signalbox broker list")
    own = [p for p in partitions_of(state) if p.replicas[0] == id and p.leader != id]
    moves = [_lead(p, id) for p in own]
    told = Operated(ask.verb, [_line(move) for move in moves] or [id], ask.dry_run, 0, moves, notes=_waits(state))
    return BrokerRevived(id, ask.by, ask.reason), told


def _restart(world: World, ask: Operate, now: int) -> Planned:
    state = world["fleet"]
    known = brokers_of(state)
    own = [id for id, broker in known.items() if not broker.joined]
    wanted = list(dict.fromkeys(ask.targets)) or own
    notes = [f"{id} was joined: whoever started it restarts it" for id in known if id not in own and not ask.targets]
    for id in wanted:
        if id not in known:
            return None, unknown_broker(id, state)
        if known[id].joined:
            message = f"{id} was joined at {known[id].dial}: its process is not this plane's to restart"
            hint = f"signalbox broker drain {id}, restart it where it was started, signalbox broker revive {id}"
            return None, Refusal("failed", message, hint)
        if known[id].state != UP:
            return None, Refusal("failed", f"{id} is {known[id].state}", "signalbox broker list; wait until it is up")
        short = held_up_by(state, id)
        if short:
            message = f"without {id} {names(short)} would lose the quorum"
            return None, Refusal("failed", message, "signalbox partition list; bring the other replicas back first")
    under_way = restart_of(state)
    if under_way is not None and under_way.head:
        message = f"a rolling restart is under way, at {under_way.head}"
        return None, Refusal("failed", message, "signalbox broker restart --stop ends it")
    return RestartDecided(wanted, ask.by, ask.reason), Operated(ask.verb, wanted, ask.dry_run, 0, notes=notes)


def _restart_stop(world: World, ask: Operate, now: int) -> Planned:
    restart = restart_of(world["fleet"])
    if restart is None or not restart.head:
        return None, Refusal("not_found", "no rolling restart is under way", "signalbox broker list")
    left = restart.brokers[restart.done :]
    return RestartStopped(ask.by, ask.reason), Operated(ask.verb, left, ask.dry_run, 0)


def _rebalance(world: World, ask: Operate, now: int) -> Planned:
    state = world["fleet"]
    found = [_partition(state, target) for target in ask.targets]
    for target, p in zip(ask.targets, found, strict=True):
        if p is None:
            return None, unknown_partition(target, len(partitions_of(state)))
    known, drained = [id for id in brokers_of(state) if id not in state.table("leaving")], drained_of(state)
    if ask.to and ask.to not in known:
        return None, unknown_broker(ask.to)
    if ask.to in drained:
        return None, Refusal("failed", f"{ask.to} is drained: it may not lead", f"signalbox broker revive {ask.to}")
    if ask.to and not ask.targets:
        return None, Refusal("usage", "which partition?", f"signalbox partition rebalance N --to {ask.to}")
    under_way = removal_under_way(state)
    if under_way is not None:
        return None, under_way
    chosen = [p.partition for p in found if p is not None]
    # Planned from where leaderships will go home to by themselves, so that a broker's absence moves nothing for good.
    standings = _standings(world, now, at_home=True)
    if ask.to:
        moves = [rebalance.move_to(one, ask.to) for one in standings if one.partition in chosen]
        moves = [move for move in moves if _differs(state, move)]
    else:
        moves = rebalance.plan(standings, known, [id for id in known if id not in drained], ground_of(state))
        moves = [move for move in moves if not chosen or move.partition in chosen]
    loads = {one.partition: one.load for one in standings}
    shown = [move_of(state.get("partition", move.partition), move, loads[move.partition]) for move in moves]
    after = rebalance.moved(standings, moves)
    for id in overfull(standings, after, ground_of(state)):
        message = f"{id} has no room for that: it may take {ground_of(state).room[id]:,} bytes more"
        return None, Refusal("failed", message, "signalbox broker list; choose another broker, or make room there")
    goals = _goals(state, _standings(world, now), after)
    told = Operated(ask.verb, [_line(move) for move in shown], ask.dry_run, 0, shown, goals)
    if not moves:
        told.notes = ["nothing to move: no move makes it better"]
        return None, told
    told.notes = _waits(state)
    return RebalanceDecided(moves, ask.by, ask.reason), told


def _rebalance_stop(world: World, ask: Operate, now: int) -> Planned:
    plan = plan_of(world["fleet"])
    if plan is None or plan.ended:
        return None, Refusal("not_found", "no rebalancing is under way", "signalbox partition list")
    left = [f"p{move.partition:02d}" for move in plan.moves if _differs(world["fleet"], move)]
    notes = [
        f"{id} stays drained: signalbox broker remove {id} goes on, signalbox broker revive {id} keeps it"
        for id in world["fleet"].table("leaving")
    ]
    return RebalanceStopped(ask.by, ask.reason), Operated(ask.verb, left, ask.dry_run, 0, notes=notes)


def _recover(world: World, ask: Operate, now: int) -> Planned:
    state = world["fleet"]
    target = ask.targets[0] if ask.targets else "?"
    p = _partition(state, target)
    if p is None:
        return None, unknown_partition(target, len(partitions_of(state)))
    known, name = brokers_of(state), f"p{p.partition:02d}"
    there = live(p, known)
    if p.phase == LED:
        return None, Refusal("usage", f"{name} is led by {p.leader}: nothing is lost", "signalbox partition list")
    if len(voters(p, known)) >= p.needed:
        return None, Refusal("usage", f"{name} can elect by itself: {p.why}", "wait; signalbox partition show")
    if not there:
        message = f"{name}: no replica is up, {', '.join(f'{id} is {known[id].state}' for id in p.replicas)}"
        return None, Refusal("unavailable", message, "start one of these brokers; there is nothing to lead from")
    missing = [id for id in p.replicas if id not in voters(p, known)]
    ends = {id: one.sample.end_offset for id in there if (one := replica_of(state, p.partition, id)) is not None}
    seen = [replica_of(state, p.partition, id) for id in p.replicas]
    archived = world["ledger"].get("partition", p.partition)
    beyond = max([one.sample.high_offset for one in seen if one], default=0)
    kept, journaled = max(ends.values(), default=0), archived.next_offset if archived else 0
    may_lose = f"events from offset {kept:,} on that only {', '.join(missing)} held; acked up to {beyond:,} at least"
    notes = [f"{name} will be led by the greatest of {', '.join(there)}; {', '.join(missing)} cannot vote", may_lose]
    if journaled > kept:
        notes.append(
            f"the journal holds {many(journaled - kept, 'event')} beyond that; they stay there (signalbox event "
            "export), and the new events that take their offsets will not be journaled"
        )
    decision = LossAccepted(p.partition, missing, may_lose, ask.by, ask.reason)
    return decision, Operated(ask.verb, [name], ask.dry_run, 0, notes=notes)


_LEVERS: dict[str, Callable[[World, Operate, int], Planned]] = {
    "remove": plan_remove,
    "drain": _drain,
    "revive": _revive,
    "restart": _restart,
    "restart_stop": _restart_stop,
    "rebalance": _rebalance,
    "rebalance_stop": _rebalance_stop,
    "rebalance_pause": balance.pause,
    "rebalance_resume": balance.resume,
    "recover": _recover,
    "quarantine": agentlevers.quarantine,
    "release": agentlevers.release,
    "remove_group": grouplevers.remove,
    "update_group": grouplevers.update,
}


def names(partitions: list[int]) -> str:
    """`p03, p07`, and how many more."""
    shown = ", ".join(f"p{number:02d}" for number in partitions[:LOST_NAMED_MAX])
    more = len(partitions) - LOST_NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _partition(state: KeyedState, name: str) -> Partition | None:
    digits = name.removeprefix("p")
    if not (digits.isascii() and digits.isdigit()):
        return None
    return next((p for p in partitions_of(state) if p.partition == int(digits)), None)


def _lead(p: Partition, heir: str) -> Move:
    return Move(p.partition, p.leader, p.replicas, heir, p.replicas)


def _line(move: Move) -> str:
    change = "" if sorted(move.replicas) == sorted(move.target) else f" on {', '.join(move.target)}"
    return f"p{move.partition:02d} {move.leader or '–'} → {move.to}{change}"


def _differs(state: KeyedState, move: PlannedMove) -> bool:
    p: Partition | None = state.get("partition", move.partition)
    return p is not None and (p.replicas != move.replicas or p.leader != move.replicas[0])


def _waits(state: KeyedState) -> list[str]:
    why = ailment(state)
    return [f"waits until all is well: {why}"] if why else []


def _standings(world: World, now: int, at_home: bool = False) -> list[Standing]:
    return standings_of(world["fleet"], loads_of(Rates(world["flows"], now)), at_home)


def _goals(state: KeyedState, before: list[Standing], after: list[Standing], without: str = "") -> list[Goal]:
    """Before and after, by what is wanted; `without` a broker that leads now and will not."""
    known, drained = list(brokers_of(state)), drained_of(state)
    led_by = [id for id in known if id not in drained]
    leaders = [id for id in led_by if id != without]
    quorums = {p.partition: p.write_quorum for p in partitions_of(state)}

    def doubled(standings: list[Standing]) -> int:
        return sum(len(set(one.replicas)) != len(one.replicas) for one in standings)

    def thin(standings: list[Standing]) -> int:
        return sum(len(one.replicas) < quorums[one.partition] for one in standings)

    def share(standings: list[Standing], brokers: list[str]) -> float:
        busiest, total = rebalance.busiest_share(standings, brokers)
        return round(busiest / total, 3) if total else 1.0

    ground = ground_of(state)
    leads = [max(rebalance.counts(standings, known)[0], default=0) for standings in (before, after)]
    holds = [max(rebalance.counts(standings, known)[1], default=0) for standings in (before, after)]
    held = sum(len(one.replicas) for one in before)
    return [
        Goal("partitions with two replicas on one broker", True, doubled(before), doubled(after), 0),
        Goal("partitions with fewer than W replicas", True, thin(before), thin(after), 0),
        Goal("brokers without room for new replicas", True, 0, len(overfull(before, after, ground)), 0),
        Goal("load of the busiest broker, × the mean", False, share(before, led_by), share(after, leaders), 1),
        Goal("most leaderships on one broker", False, leads[0], leads[1], -(-len(before) // max(1, len(leaders)))),
        Goal("most replicas on one broker", False, holds[0], holds[1], -(-held // max(1, len(known)))),
        Goal(
            "partitions in fewer localities than could be",
            False,
            crowded(before, known, ground),
            crowded(after, known, ground),
            0,
        ),
        Goal("partitions led far from their rules' locality", False, far(before, ground), far(after, ground), 0),
    ]
