"""AskStatus: the plane, its brokers and its partitions, and the counts that every header shows."""

from bus.words import many
from controlplane import ledger, registry
from controlplane import sagas as saga_fold
from controlplane.answers.balance import partitioning
from controlplane.answers.inbox import stuck_imported
from controlplane.answers.lag import Listening
from controlplane.answers.rates import TENTHS, Rates
from controlplane.answers.words import age, said_by
from controlplane.brokers import DOWN, FENCED, MS, SILENT, STARTING, STOPPED, UP, Broker
from controlplane.elections import LED, Partition
from controlplane.fold import Heart, KeyedState, World
from controlplane.health import is_beginning, penalties, score_of, state_of, why_down, why_refuses
from controlplane.limits import FSYNC_SLOW_MS, NEW_DEATH_MS, RATE_SECONDS
from controlplane.membership import Leaving
from controlplane.operations import Drained
from controlplane.questions import (
    BrokerStatus,
    Counts,
    PartitionStatus,
    PlaneStatus,
    ReplicaStatus,
    Severity,
    Status,
)
from controlplane.roster import Figures, brokers_of, in_sync, lagging, partitions_of, replica_of

_SECOND = 1_000_000_000


def status(heart: Heart, now: int, plane: PlaneStatus, rates: Rates, listening: Listening) -> Status:
    """The fleet in one answer. `plane` comes from the edge, but for `behind`, which is known here.

    It is answered while folds are folded again, too: what is made of them is left out.
    """
    world = heart.states
    plane.behind = ledger.behind(world["ledger"]) if "ledger" in world else None
    return Status(
        controlplane=plane,
        brokers=[_explained(world["fleet"], one) for one in brokers(world, now, rates)],
        partitions=[_partition(world, p, now, rates, listening) for p in partitions_of(world["fleet"])],
        counts=counts(heart, now),
        partitioning=partitioning(world, now) if "adaptive" in world else None,
    )


def counts(heart: Heart, now: int) -> Counts:
    """What every header needs; None for what is folded again."""
    world = heart.states
    score = score_of(world, penalties(world, now)) if "health" in world else None
    here = brokers_of(world["fleet"]).values()
    return Counts(
        score=score,
        health=state_of(score),
        events=_counted(world, "ledger", "events"),
        internal=_counted(world, "ledger", "internal"),
        flows=len(world["flows"].table("flow")) if "flows" in world else None,
        **_sagas(heart),
        dead_letters=_counted(world, "deadletters", "waiting"),
        dead_letters_new=_new_letters(world["deadletters"], now) if "deadletters" in world else None,
        agents=registry.present(world["registry"]) if "registry" in world else None,
        brokers_up=sum(broker.state == UP for broker in here),
        brokers=len(here),
        agents_out=registry.out_of(world["registry"]) if "registry" in world else None,
    )


def _counted(world: World, fold: str, name: str) -> int | None:
    return int(world[fold].get("count", name, 0)) if fold in world else None


def _new_letters(state: KeyedState, now: int) -> int:
    return sum(letter.died >= now - NEW_DEATH_MS * MS for _, letter in state.items("letter"))


def _sagas(heart: Heart) -> dict[str, int | None]:
    if "sagas" not in heart.states:
        return dict.fromkeys(("sagas_open", "sagas_stuck", "sagas_stuck_bad", "sagas_finished", "sagas_failed"))
    sagas, imported = heart.states["sagas"], stuck_imported(heart)
    warn, bad = sagas.get("count", "warn", 0), sagas.get("count", "bad", 0)
    return {
        "sagas_open": sagas.get("count", saga_fold.OPEN, 0),
        "sagas_stuck": warn + bad + len(imported),
        "sagas_stuck_bad": bad + sum(one.severity == "bad" for one in imported),
        "sagas_finished": sagas.get("count", saga_fold.FINISHED, 0),
        "sagas_failed": sagas.get("count", saga_fold.FAILED, 0),
    }


def brokers(world: World, now: int, rates: Rates) -> list[BrokerStatus]:
    """All brokers by id, with what they lead and what is wrong with them."""
    state = world["fleet"]
    leads: dict[str, list[int]] = {}
    late: dict[str, list[int]] = {}
    for p in partitions_of(state):
        leads.setdefault(p.leader, []).append(p.partition)
        for id in lagging(state, p):
            late.setdefault(id, []).append(p.partition)
    total = rates.total()
    found = []
    for broker in brokers_of(state).values():
        led = leads.get(broker.id, [])
        figures: Figures | None = state.get("figures", broker.id)
        shown, why = _condition(broker, figures, late.get(broker.id, []), now)
        one = BrokerStatus(
            id=broker.id,
            pid=broker.pid,
            state=shown,
            leads=led,
            url=broker.url,
            store=broker.store,
            since=state.get("began", broker.id, broker.since) if broker.state == UP else broker.since,
            restarts=broker.restarts,
            retry_at=broker.retry_at,
            why=why,
            mend="doctor" if why else "",
            joined=broker.joined,
            heard=broker.sampled,
            share=sum(rates.partition_count(p) for p in led) / total if total else 0.0,
        )
        # Figures of a time before it came up are no longer its own.
        if figures is not None and broker.state == UP and figures.at >= broker.since:
            span = max(figures.span_ns, 1) / _SECOND
            one.in_rate, one.out_rate = figures.events_in / span, figures.events_out / span
            one.memory_bytes, one.store_bytes = figures.memory_bytes, figures.store_bytes
            one.fsync_p99_ns = figures.fsync_p99_ns
        found.append(one)
    return found


def drained_by(state: KeyedState, id: str) -> str:
    """`drained by op: disk`, or "" for a broker that may lead."""
    said: Drained | None = state.get("drained", id)
    return said_by("drained", said.by, said.reason) if said is not None else ""


def leaving_by(state: KeyedState, id: str) -> str:
    """`leaving by op: old`, or "" for a broker that stays."""
    said: Leaving | None = state.get("leaving", id)
    return said_by("leaving", said.by, said.reason) if said is not None else ""


def _explained(state: KeyedState, one: BrokerStatus) -> BrokerStatus:
    """With why it leads nothing, where that was decided: before what is wrong with it, and nothing to mend."""
    decided = leaving_by(state, one.id) or drained_by(state, one.id)
    one.why = "; ".join(filter(None, (decided, one.why)))
    return one


def _condition(broker: Broker, figures: Figures | None, late: list[int], now: int) -> tuple[str, str]:
    if broker.state in (DOWN, STOPPED):
        return broker.state, why_down(broker, now)
    if broker.state == STARTING:
        return broker.state, why_down(broker, now) if broker.attempt else ""
    if broker.state in (SILENT, FENCED):
        return broker.state, broker.why
    if figures is not None and figures.refuses:
        return "full", why_refuses(figures)
    if late:
        return "slow", f"{many(len(late), 'replica is', 'replicas are')} not in sync"
    if figures is not None and figures.fsync_p99_ns > FSYNC_SLOW_MS * MS:
        return "slow", f"fsync p99 {figures.fsync_p99_ns // MS} ms"
    return broker.state, ""


def _partition(world: World, p: Partition, now: int, rates: Rates, listening: Listening) -> PartitionStatus:
    state = world["fleet"]
    led = replica_of(state, p.partition, p.leader) if p.phase == LED else None
    severity, why, mend = _standing(world, p, now)
    archived = world["ledger"].get("partition", p.partition) if "ledger" in world else None
    known = "flows" in world
    flows = rates.partition_flows.get(p.partition, {})
    busiest = max(flows, key=lambda flow: (flows[flow], -flow), default=None)
    late = [at for lag in listening.groups.values() for at in lag.places if at.partition == p.partition]
    slowest = min(late, key=lambda at: (at.oldest or now, at.group), default=None)
    return PartitionStatus(
        partition=p.partition,
        severity=severity,
        leader=p.leader or None,
        epoch=p.epoch,
        replicas=_replicas(world, p),
        high=led.sample.high_offset if led else 0,
        archived=archived.next_offset if archived else 0,
        rate=rates.partition_count(p.partition) / RATE_SECONDS,
        refused_rate=led.sample.refused * _SECOND / max(led.span_ns, 1) if led else 0.0,
        recent=rates.partition_recent.get(p.partition, [0] * TENTHS) if known else [],
        busiest=_flow_name(world, busiest),
        busiest_share=flows[busiest] / sum(flows.values()) if busiest is not None else 0.0,
        slowest_group=slowest.group if slowest else "",
        behind_ns=max(0, now - slowest.oldest) if slowest and slowest.oldest else (0 if slowest else None),
        trend=listening.groups[slowest.group].trend if slowest else "steady",
        why=why,
        mend=mend,
    )


def _flow_name(world: World, number: int | None) -> str:
    if number is None:
        return ""
    key = next((key for key, flow in world["flows"].items("flow") if flow.number == number), "")
    return str(key).partition("\0")[2]


def _standing(world: World, p: Partition, now: int) -> tuple[Severity, str, str]:
    state = world["fleet"]
    if p.phase != LED:
        why = f"no leader for {age(now - p.since)}: {p.why or 'the election is under way'}"
        return ("unknown" if is_beginning(p, now) else "bad"), why, "doctor"
    there, late = in_sync(state, p), lagging(state, p)
    learns = _learning(state, p)
    if there == len(p.replicas):
        return "ok", learns, ""
    known = brokers_of(state)
    off = [f"{id} is {known[id].state if id in known else 'gone'}" for id in p.replicas if not _up(known.get(id))]
    why = ", ".join([*off, *(f"{id} lags" for id in late)])
    if there < p.write_quorum:
        return "bad", f"refuses: {there} of {len(p.replicas)} in sync, needs {p.write_quorum}; {why}", "doctor"
    return "warn", "; ".join(filter(None, (why, learns))), "status"


def _learning(state: KeyedState, p: Partition) -> str:
    """Who is to get a replica, how far it is, and whose place it takes then; "" where nobody learns."""
    if not p.learners:
        return ""
    new, old = p.learners[0], next((id for id in p.replicas if id not in p.target), "")
    led, broker = replica_of(state, p.partition, p.leader), brokers_of(state).get(new)
    if not _up(broker):
        return f"{new}, which is to take the place of {old}, is {broker.state if broker else 'gone'}: the move waits"
    end, high = (led.sample.follower_end.get(new, 0), led.sample.high) if led else (0, p.high)
    return f"{new} copies the log, {end:,} of {high:,} records, and then takes the place of {old}"


def _up(broker: Broker | None) -> bool:
    return broker is not None and broker.state == UP


def _replicas(world: World, p: Partition) -> list[ReplicaStatus]:
    state = world["fleet"]
    known, late = brokers_of(state), lagging(state, p)
    led = replica_of(state, p.partition, p.leader) if p.phase == LED else None
    found = []
    for id in p.replicas:
        own = replica_of(state, p.partition, id)
        end = own.sample.end_offset if own else 0
        if not _up(known.get(id)):
            found.append(ReplicaStatus(id, "off", end))
        elif id == p.leader:
            found.append(ReplicaStatus(id, "leader", end))
        else:
            lag = led.sample.follower_lag_ns.get(id, 0) if led else 0
            found.append(ReplicaStatus(id, "lagging" if id in late else "in_sync", end, lag if id in late else 0))
    return found
