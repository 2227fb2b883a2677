"""AskBrokers and AskPartitions: the nouns with what operators need to know before they pull a lever."""

from typing import Any

import msgspec

from controlplane.answers import fleet
from controlplane.answers.balance import partitioning
from controlplane.answers.lag import Listening
from controlplane.answers.rates import Rates
from controlplane.answers.words import said_by
from controlplane.decisions import PlannedMove
from controlplane.elections import Partition
from controlplane.fold import Heart, KeyedState, World
from controlplane.membership import removed_of
from controlplane.operations import ailment, held_up_by, home_of, plan_of, restart_of
from controlplane.questions import (
    AskBrokers,
    AskPartitions,
    BrokerRow,
    Brokers,
    Move,
    PartitionRow,
    Partitions,
    PlaneStatus,
    PlanStatus,
    Refusal,
    RestartStatus,
)
from controlplane.roster import is_up, lagging, partitions_of, plane_of
from controlplane.standing import ground_of


def brokers(world: World, question: AskBrokers, now: int) -> Brokers | Refusal:
    """All brokers, or the one that was asked for."""
    state = world["fleet"]
    ground = ground_of(state)
    everything = partitions_of(state)
    late = {p.partition: lagging(state, p) for p in everything}
    rows = []
    for status in fleet.brokers(world, now, Rates(world["flows"], now)):
        if question.broker not in ("", status.id):
            continue
        held = [p for p in everything if status.id in p.replicas]
        up = is_up(state, status.id)
        rows.append(
            BrokerRow(
                **_fields(status),
                drained=fleet.drained_by(state, status.id),
                leaving=fleet.leaving_by(state, status.id),
                replicas=len(held),
                in_sync=sum(up and bool(p.leader) and status.id not in late[p.partition] for p in held),
                home_of=[p.partition for p in held if home_of(state, p) == status.id],
                holds_up=held_up_by(state, status.id) if up else [],
                locality=ground.where(status.id),
                room_bytes=ground.room.get(status.id),
            )
        )
    if not rows and question.broker:
        return unknown_broker(question.broker, state)
    return Brokers(rows, _restart(state), "" if plane_of(state).stopping else ailment(state))


def partitions(heart: Heart, question: AskPartitions, now: int, plane: PlaneStatus) -> Partitions | Refusal:
    """All partitions, or the one that was asked for."""
    world = heart.states
    state = world["fleet"]
    rates = Rates(world["flows"], now)
    loads = loads_of(rates)
    told = fleet.status(heart, now, plane, rates, Listening(world["groups"], now))
    rows = []
    for status in told.partitions:
        if question.partition not in (None, status.partition):
            continue
        p: Partition = state.get("partition", status.partition)
        load = loads.get(p.partition, 0)
        rows.append(
            PartitionRow(**_fields(status), preferred=home_of(state, p), write_quorum=p.write_quorum, load=load)
        )
    if not rows and question.partition is not None:
        return unknown_partition(str(question.partition), len(told.partitions))
    return Partitions(rows, _plan(state, loads), ailment(state), partitioning(world, now))


def loads_of(rates: Rates) -> dict[int, int]:
    """Events of the last two minutes, by partition."""
    return {partition: sum(recent) for partition, recent in rates.partition_recent.items()}


def move_of(p: Partition, planned: PlannedMove, load: int) -> Move:
    """A planned move beside where the partition is now."""
    return Move(p.partition, p.leader, p.replicas, planned.replicas[0], planned.replicas, load)


def unknown_broker(id: str, state: KeyedState | None = None) -> Refusal:
    """There is no such broker; with `state`, whether there was one."""
    gone = removed_of(state, id) if state is not None else None
    if gone is not None:
        said = said_by("removed", gone.by, gone.reason)
        hint = f"signalbox broker add {gone.dial} takes it back" if gone.dial else "signalbox broker add starts another"
        return Refusal("not_found", f"{id} is no member of this fleet any more: it was {said}", hint)
    return Refusal("not_found", f"there is no broker {id!r} in this fleet", "signalbox broker list")


def unknown_partition(name: str, count: int) -> Refusal:
    """There is no such partition."""
    return Refusal("not_found", f"there is no partition {name}; this fleet has {count}", "signalbox partition list")


def _restart(state: KeyedState) -> RestartStatus | None:
    restart = restart_of(state)
    if restart is None:
        return None
    done = restart.brokers[: restart.done]
    return RestartStatus(restart.brokers, done, restart.ended, restart.why, restart.since, restart.by, restart.reason)


def _plan(state: KeyedState, loads: dict[int, int]) -> PlanStatus | None:
    plan = plan_of(state)
    if plan is None:
        return None
    known = [(state.get("partition", move.partition), move) for move in plan.moves]
    moves = [move_of(p, move, loads.get(p.partition, 0)) for p, move in known if p is not None]
    made = sum(move.replicas == move.target and move.leader == move.to for move in moves)
    return PlanStatus(moves, len(plan.moves) if plan.ended == "done" else made, plan.ended, plan.since, plan.by,
                      plan.reason)  # fmt: skip


def _fields(status: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(status, name) for name in status.__struct_fields__}
