"""The fleet: brokers and their restarts, partitions and their leaders, and the newest figures of both.

A broker's life stands in `brokers`, a partition's elections in `elections`, what follows from either in `leadership`,
who is a member in `membership`, what operators decided in `operations`, what follows from that in `reconcile`, and the
tables of the state in `roster`. Nothing is done here: effects carry the intents out, and what came of them is journaled
and comes back as facts.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, get_args

import msgspec

from bus.limits import REPLICATION_FACTOR_MAX, SEMANTIC_TEXT_CHARS_MAX
from controlplane import brokers as lives
from controlplane import elections, leadership, membership, operations, reconcile
from controlplane.brokers import Broker
from controlplane.decisions import (
    BrokerDrained,
    BrokerRemoved,
    BrokerRevived,
    Decision,
    LossAccepted,
    RebalanceDecided,
    RebalanceStopped,
    ReleaseBroker,
    RemovalDecided,
)
from controlplane.elections import LED, WAITING, Partition
from controlplane.facts import (
    BrokerAdded,
    BrokerHeard,
    BrokerLost,
    BrokerSampled,
    BrokerSilent,
    BrokerStarted,
    BrokerStopped,
    CopyFounded,
    Fact,
    FleetFounded,
    Intent,
    LeaderElected,
    LeadershipProposed,
    OfferAnswered,
    OfferClosed,
    PartitionWaits,
    PlaneResumed,
    PlaneStarted,
    PlaneStopped,
    RestartScheduled,
    SpreadTopology,
    StartBroker,
    Tick,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import BROKER_START_MS_MAX
from controlplane.roster import (
    Figures,
    Plane,
    Replica,
    brokers_of,
    every_partition_of,
    plane_of,
    sorted_ids,
    topology_of,
)
from controlplane.state import Key

DECISIONS = get_args(Decision)
TROUBLE = (BrokerStarted, BrokerLost, BrokerSilent, BrokerHeard, BrokerStopped, PlaneStarted, PlaneResumed)
"""After any of these balance waits for a while."""


class Fleet(Fold):
    """The fold. See the module."""

    name = "fleet"
    version = 5
    vital = True
    follows = (
        PlaneStarted, PlaneResumed, PlaneStopped, FleetFounded, BrokerStarted, BrokerLost, BrokerStopped, BrokerSilent,
        BrokerHeard, BrokerSampled, RestartScheduled, LeadershipProposed, OfferAnswered, OfferClosed,
        LeaderElected, PartitionWaits, Tick, CopyFounded, *DECISIONS,
    )  # fmt: skip
    timed = ("broker", "partition")
    tables = MappingProxyType(
        {"plane": Plane, "broker": Broker, "partition": Partition, "figures": Figures, "replica": Replica}
        | {"reserved": str, "began": int}
        | membership.TABLES
        | operations.TABLES
    )

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Brokers and partitions go from state to state; samples are kept as they came."""
        fact = entry.fact
        if isinstance(fact, TROUBLE) and getattr(fact, "id", "") not in state.table("leaving"):
            operations.troubled(state, entry)
        if isinstance(fact, Tick):
            return
        if isinstance(fact, BrokerSampled):
            _sampled(state, entry, fact)
        elif isinstance(fact, DECISIONS):
            _decided(state, entry, fact)
        elif isinstance(fact, CopyFounded):
            _copied(state, entry, fact)
        elif isinstance(fact, PlaneStarted | PlaneResumed | PlaneStopped | FleetFounded):
            _plane(state, entry, fact)
        elif isinstance(fact, LeadershipProposed | OfferAnswered | OfferClosed | LeaderElected | PartitionWaits):
            _leadership(state, entry, fact)
        else:
            _broker(state, entry, fact)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """What is to be done about it: starts, offers, elections, seats, the topology."""
        fact, epoch = entry.fact, plane_of(state).epoch
        if isinstance(fact, PlaneStarted | FleetFounded):
            there = brokers_of(state).values() if epoch else ()
            return [StartBroker(broker.id, 0, broker.dial, epoch) for broker in there]
        if isinstance(fact, BrokerAdded):
            return [StartBroker(fact.id, 0, fact.url, epoch)]
        if isinstance(fact, BrokerRemoved):
            gone = ReleaseBroker(fact.id, f"it was removed{f': {fact.reason}' if fact.reason else ''}", epoch)
            told = SpreadTopology(topology_of(state, entry.position), epoch)
            return [] if state.get("broker", fact.id) else [told, gone]
        if isinstance(fact, BrokerSampled):
            return list(leadership.on_sample(state, entry, fact))
        if isinstance(fact, BrokerStarted | BrokerHeard | BrokerLost | BrokerSilent | BrokerStopped):
            return list(leadership.on_broker(state, entry, fact))
        if isinstance(fact, LeadershipProposed | OfferAnswered | OfferClosed):
            return list(leadership.on_partition(state, entry, fact))
        if isinstance(fact, LeaderElected):
            return [*leadership.on_partition(state, entry, fact), *reconcile.go_on(state, entry)]
        if isinstance(fact, LossAccepted):
            return list(leadership.on_loss(state, entry, fact))
        if isinstance(fact, Tick):
            return list(reconcile.go_on(state, entry))
        return []

    def due(self, table: str, value: Broker | Partition) -> int:
        """A broker's start, silence or restart; a partition's offer or patience."""
        return value.due

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """A start took too long, a broker fell silent, a restart is due; or a partition has waited long enough."""
        value = state.get(table, key)
        if table == "partition" and elections.may_be_patient(value, brokers_of(state)):
            state.put(table, key, elections.patience(value, entry.recorded))
            return []
        state.put(table, key, msgspec.structs.replace(value, due=0))
        if table == "partition":
            return [OfferClosed(value.partition, value.epoch)]
        if value.state == lives.DOWN:
            begun = lives.begin(value, value.id, entry.recorded, entry.position)
            state.put(table, key, msgspec.structs.replace(begun, restarts=begun.restarts + 1))
            return [StartBroker(value.id, value.attempt, value.dial, plane_of(state).epoch)]
        if value.state == lives.UP:
            return [BrokerSilent(value.id, entry.recorded - max(value.sampled, value.since))]
        if isinstance(entry.fact, BrokerStarted) and entry.fact.id == value.id:
            return []
        since = f"being dialled at {value.dial}" if value.joined else "its start"
        return [BrokerLost(value.id, f"it did not answer within {BROKER_START_MS_MAX // 1000} s of {since}")]


def _decided(state: KeyedState, entry: Entry, fact: Any) -> None:
    if isinstance(fact, BrokerAdded):
        membership.added(state, entry, fact)
    elif isinstance(fact, BrokerRemoved):
        membership.removed(state, entry, fact)
    elif isinstance(fact, RemovalDecided):
        if membership.leaves(state, entry, fact):
            operations.decided(state, entry, BrokerDrained(fact.id, fact.by, fact.reason))
            operations.decided(state, entry, RebalanceDecided(fact.moves, fact.by, fact.reason))
    else:
        if isinstance(fact, BrokerRevived) and membership.stays(state, fact.id):
            operations.decided(state, entry, RebalanceStopped(fact.by, fact.reason))
        operations.decided(state, entry, fact)


def _plane(state: KeyedState, entry: Entry, fact: Fact) -> None:
    now, plane = entry.recorded, plane_of(state)
    if isinstance(fact, PlaneStarted):
        changed = msgspec.structs.replace(
            plane, epoch=fact.epoch, uuid=fact.uuid, url=fact.plane_url, stopping=False, started=now
        )
        state.put("plane", "plane", changed)
        for broker in brokers_of(state).values():
            state.put("broker", broker.id, lives.begin(broker, broker.id, now, entry.position))
        for p in every_partition_of(state):
            # Offers of an older plane are void: they are made anew. Leaders that live on go on.
            fresh = msgspec.structs.replace(p, led_before=False)
            if p.phase != LED:
                fresh = elections.unled(fresh, p.why, now, entry.position)
            state.put("partition", p.partition, fresh)
    elif isinstance(fact, PlaneResumed):
        for broker in brokers_of(state).values():
            state.put("broker", broker.id, lives.rested(broker, now))
    elif isinstance(fact, PlaneStopped):
        state.put("plane", "plane", msgspec.structs.replace(plane, stopping=True))
    elif isinstance(fact, FleetFounded):
        founded = msgspec.structs.replace(
            plane, fleet=fact.fleet, slots=fact.slots, strategy=fact.strategy, rules=fact.rules
        )
        state.put("plane", "plane", founded)
        for id in fact.brokers:
            state.put("broker", id, lives.begin(None, id, now, entry.position))
        replication = min(REPLICATION_FACTOR_MAX, len(fact.brokers))
        for number in range(fact.partitions if fact.brokers else 0):
            state.put("partition", number, elections.found(number, fact.brokers, replication, now))


def _copied(state: KeyedState, entry: Entry, fact: CopyFounded) -> None:
    members = [id for id in sorted_ids(state) if id not in state.table("leaving")]
    if fact.partition in state.table("partition") or not members:
        return
    replication = min(REPLICATION_FACTOR_MAX, len(members))
    state.put("reserved", fact.partition, "journal")
    found = elections.found(fact.partition, members, replication, entry.recorded)
    state.put("partition", fact.partition, found)


def _broker(state: KeyedState, entry: Entry, fact: Any) -> None:
    broker: Broker | None = state.get("broker", fact.id)
    now, position = entry.recorded, entry.position
    if isinstance(fact, BrokerStarted):
        if broker is None and membership.removed_of(state, fact.id) is not None:
            return
        known = broker or lives.begin(None, fact.id, now, position)
        twin = membership.twin_of(state, fact.id, fact.store)
        if twin:
            why = f"its store {fact.store} is {twin}'s: a copy. Start it with an empty folder"
            state.put("broker", fact.id, lives.fenced(known, now, position, why))
            _unseat(state, entry, fact.id, f"{fact.id} is fenced")
            return
        # A joined one may have been started anew by its owner while nobody here looked.
        goes_on = fact.adopted and (not known.joined or fact.pid == known.pid)
        state.put("broker", fact.id, lives.started(known, now, position, fact.pid, fact.store, fact.url))
        if fact.began:
            state.put("began", fact.id, min(fact.began, now))
        else:
            state.delete("began", fact.id)
        _believe_seats(state, entry, fact, known, goes_on)
        for p in every_partition_of(state):
            if p.phase == WAITING and p.patient and fact.id in p.replicas:
                state.put("partition", p.partition, elections.patience(p, now))
        return
    if broker is None:
        return
    if isinstance(fact, RestartScheduled):
        if broker.state == lives.DOWN:
            state.put("broker", fact.id, msgspec.structs.replace(broker, retry_at=fact.at, due=fact.at))
        return
    if isinstance(fact, BrokerHeard):
        if broker.state == lives.SILENT:
            state.put("broker", fact.id, lives.heard(broker, now, position))
        return
    if isinstance(fact, BrokerSilent):
        if broker.state != lives.UP or broker.due:
            return
        changed = lives.silent(broker, now, position, f"no answer for {fact.silent_ns // 1_000_000_000} s")
    elif isinstance(fact, BrokerStopped):
        changed = lives.stopped(broker, now, position)
    elif broker.state == lives.DOWN and broker.joined:
        # Dialled again and again: the newest reason is the one to be told.
        state.put("broker", fact.id, msgspec.structs.replace(broker, why=fact.why))
        return
    elif broker.state in (lives.DOWN, lives.STOPPED):
        return
    else:
        changed = lives.lost(broker, now, position, fact.why)
    state.put("broker", fact.id, changed)
    _unseat(state, entry, fact.id, f"{fact.id} is {changed.state}")


def _believe_seats(state: KeyedState, entry: Entry, fact: BrokerStarted, known: Broker, goes_on: bool) -> None:
    if not goes_on:
        # A process that has just started leads nothing, and its figures begin anew.
        _unseat(state, entry, fact.id, f"{fact.id} started anew")
        state.delete("figures", fact.id)
    for p in every_partition_of(state):
        state.delete("replica", f"{p.partition}/{fact.id}")
    for seat in fact.seats:
        p = state.get("partition", seat.partition)
        # A joined one may bring seats of another life: of what it is no replica of, its word counts for nothing.
        if p is not None and seat.epoch > p.epoch and (not known.joined or fact.id in p.replicas):
            p = elections.unled(p, f"{fact.id} knows a newer epoch", entry.recorded, entry.position)
            p = msgspec.structs.replace(p, promised=max(p.promised, seat.epoch))
            state.put("partition", seat.partition, p)


def _unseat(state: KeyedState, entry: Entry, broker: str, why: str) -> None:
    """A broker is not what it was: it leads nothing, and what it answered is void."""
    for p in every_partition_of(state):
        if any(answer.broker == broker for answer in p.answers):
            state.put("partition", p.partition, elections.unsaid(p, broker))
        if p.leader == broker:
            state.put("partition", p.partition, elections.unled(p, why, entry.recorded, entry.position))


def _leadership(state: KeyedState, entry: Entry, fact: Any) -> None:
    p: Partition | None = state.get("partition", fact.partition)
    if p is None:
        return
    now, position = entry.recorded, entry.position
    if isinstance(fact, LeadershipProposed):
        if fact.epoch > p.epoch:
            p = p if fact.replicas == p.shall else elections.rearranged(p, fact.replicas)
            asked = elections.asked_of(p, brokers_of(state), fact.prefer)
            state.put("partition", p.partition, elections.proposed(p, fact.epoch, asked, now, position, fact.prefer))
            if fact.prefer:
                operations.tried(state, entry, fact)
            elif p.partition not in state.table("reserved"):
                operations.troubled(state, entry)
    elif isinstance(fact, OfferAnswered):
        broker: Broker | None = state.get("broker", fact.broker)
        stands = broker is not None and broker.state == lives.UP and broker.store == fact.store
        state.put("partition", p.partition, elections.answered(p, fact, stands))
    elif isinstance(fact, OfferClosed):
        if fact.epoch == p.epoch and p.phase != LED:
            state.put("partition", p.partition, elections.closed(p))
    elif isinstance(fact, LeaderElected):
        if fact.epoch == p.epoch and p.phase != LED:
            if fact.leader == p.prefer:
                operations.moved(state, p.partition)
            choice = elections.Choice(fact.leader, fact.replicas, fact.stores)
            state.put("partition", p.partition, elections.elected(p, fact.epoch, choice, now, position))
    elif p.phase != LED:
        retry = len(elections.voters(p, brokers_of(state))) >= p.needed
        state.put("partition", p.partition, elections.waits(p, fact.why, retry, now, position))


def _sampled(state: KeyedState, entry: Entry, fact: BrokerSampled) -> None:
    s, now = fact.sampled, entry.recorded
    broker: Broker | None = state.get("broker", s.broker)
    if broker is None or broker.state not in (lives.UP, lives.SILENT):
        return
    state.put("broker", s.broker, lives.sampled(broker, now))
    before: Figures | None = state.get("figures", s.broker)
    span = now - (before.at if before is not None else broker.since)
    figures = Figures(
        now, span, s.events_in, s.events_out, s.fsync_p99_ns, s.ack_p99_ns, s.memory_bytes, s.store_bytes, s.sessions,
        s.malformed, s.refused, s.free_bytes, s.reserve_bytes, s.refuses, fact.skew_ns,
        s.locality[:SEMANTIC_TEXT_CHARS_MAX],
    )  # fmt: skip
    state.put("figures", s.broker, figures)
    for sample in s.replicas:
        p: Partition | None = state.get("partition", sample.partition)
        if p is None:
            continue  # a broker may say anything
        state.put("replica", f"{sample.partition}/{s.broker}", Replica(now, span, sample))
        if p.leader == s.broker and sample.epoch == p.epoch and sample.high > p.high:
            state.put("partition", sample.partition, msgspec.structs.replace(p, high=sample.high))
