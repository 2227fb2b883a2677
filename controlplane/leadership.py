"""What follows from the fleet's facts: offers, elections, seats, restarts, admissions. Pure; says, never does.

Every partition that nobody leads is decided on again whenever something that matters to it happened: a broker came
or went, an answer came, its time was over. What a broker's sample shows to be otherwise than decided is mended: a
leader that does not lead gets a new epoch, a follower of an older epoch its seat once more.
"""

from collections.abc import Iterator
from typing import Any

from controlplane import brokers as lives
from controlplane import elections
from controlplane.brokers import MS, Broker
from controlplane.decisions import LossAccepted
from controlplane.elections import ELECTING, LED, WAITING, Choice, Partition
from controlplane.facts import (
    BrokerHeard,
    BrokerLost,
    BrokerSampled,
    BrokerStarted,
    Fact,
    Intent,
    LeaderElected,
    LeadershipProposed,
    OfferAnswered,
    OfferClosed,
    OfferEpoch,
    PartitionWaits,
    PlaceSeat,
    RestartScheduled,
    SpreadTopology,
)
from controlplane.fold import Entry
from controlplane.limits import SEAT_SETTLE_MS
from controlplane.operations import avoided, moves_of
from controlplane.roster import Replica, brokers_of, every_partition_of, is_up, plane_of, replica_of, topology_of
from controlplane.state import KeyedState


def on_sample(state: KeyedState, entry: Entry, fact: BrokerSampled) -> Iterator[Fact | Intent]:
    """A silent broker is heard again; seats that were lost are placed again; newcomers that caught up are admitted."""
    id = fact.sampled.broker
    broker: Broker | None = state.get("broker", id)
    plane = plane_of(state)
    if broker is None or plane.stopping:
        return
    if broker.state == lives.SILENT:
        yield BrokerHeard(id)
    if broker.state != lives.UP:
        return
    for p in every_partition_of(state):
        if p.phase != LED or id not in p.members:
            continue
        own = replica_of(state, p.partition, id)
        settled = entry.recorded - max(p.since, broker.since) > SEAT_SETTLE_MS * MS
        if p.leader == id and own is not None and settled and not (own.sample.leads and own.sample.epoch == p.epoch):
            why = f"{id} was elected and does not lead"
            yield LeadershipProposed(p.partition, elections.next_epoch(p), p.shall, why)
        elif own is not None and settled and own.sample.epoch < p.epoch:
            yield PlaceSeat(p.seat, [id], plane.epoch)
        elif p.leader == id and own is not None and settled and (new := _newcomer(state, p, own)):
            # For its leader's sake, who need not change; and as nothing has gone wrong, balance goes on.
            why = f"{new} has caught up and may vote from here on"
            yield LeadershipProposed(p.partition, elections.next_epoch(p), p.shall, why, p.leader)


def _newcomer(state: KeyedState, p: Partition, led: Replica) -> str:
    """A replica without a vote of its own that, by its leader's word, holds all that is committed; or "".

    A learner counts if it keeps up, and a plan still wants it in a place that is not the leader's.
    """
    learns = p.leader in p.target and elections.is_wanted(p, moves_of(state))
    for id, store in sorted(led.sample.newcomers.items()):
        broker: Broker | None = state.get("broker", id)
        if id not in p.replicas and not (learns and id in p.target and not led.is_late(id)):
            continue
        if broker is not None and broker.state == lives.UP and broker.store == store != p.stores.get(id):
            return id
    for id, end in sorted(led.sample.follower_end.items()):
        # Taken back with any store after a loss was accepted: now it is this one that counts.
        if p.stores.get(id) == elections.ANY_STORE and is_up(state, id) and end >= led.sample.high > 0:
            return id
    return ""


def on_broker(state: KeyedState, entry: Entry, fact: Any) -> Iterator[Fact | Intent]:
    """A broker came or went: restart it, give it its seats, decide on what nobody leads, tell everyone."""
    broker: Broker | None = state.get("broker", fact.id)
    plane = plane_of(state)
    if broker is None or broker.position != entry.position or plane.stopping or not plane.epoch:
        return
    if isinstance(fact, BrokerLost) and not broker.joined:
        at = entry.recorded + lives.backoff_ns(broker.attempt)
        yield RestartScheduled(broker.id, at, broker.attempt, fact.why)
    if isinstance(fact, BrokerStarted | BrokerHeard) and broker.state == lives.UP:
        held = {seat.partition: seat for seat in fact.seats} if isinstance(fact, BrokerStarted) else {}
        for p in every_partition_of(state):
            if p.phase == LED and broker.id in p.members and held.get(p.partition) != p.seat:
                yield PlaceSeat(p.seat, [broker.id], plane.epoch)
    for p in every_partition_of(state):
        yield from _decide(state, p, eager=isinstance(fact, BrokerStarted | BrokerHeard))
    yield SpreadTopology(topology_of(state, entry.position), plane.epoch)


def on_loss(state: KeyedState, entry: Entry, fact: LossAccepted) -> Iterator[Fact]:
    """A partition may be led by whoever is left."""
    p: Partition | None = state.get("partition", fact.partition)
    if p is not None and p.lossy and elections.live(p, brokers_of(state)):
        yield LeadershipProposed(p.partition, elections.next_epoch(p), p.shall, "a loss was accepted")


def on_partition(state: KeyedState, entry: Entry, fact: Any) -> Iterator[Fact | Intent]:
    """An election went a step further."""
    p: Partition | None = state.get("partition", fact.partition)
    plane = plane_of(state)
    if p is None or plane.stopping:
        return
    if isinstance(fact, OfferAnswered | OfferClosed):
        yield from _decide(state, p)
    elif p.position == entry.position and isinstance(fact, LeadershipProposed):
        yield OfferEpoch(p.partition, p.epoch, p.asked, plane.epoch)
    elif p.position == entry.position:
        yield PlaceSeat(p.seat, elections.placed_at(p, brokers_of(state)), plane.epoch)
        yield SpreadTopology(topology_of(state, entry.position), plane.epoch)


def _decide(state: KeyedState, p: Partition, eager: bool = False) -> Iterator[Fact]:
    if p.phase == ELECTING:
        yield from _decide_offered(p, brokers_of(state), avoided(state))
    elif p.phase == WAITING:
        yield from _decide_waiting(p, brokers_of(state), avoided(state), eager)


def _decide_offered(p: Partition, brokers: dict[str, Broker], shunned: list[str]) -> Iterator[Fact]:
    choice = elections.choose(p, shunned)
    if elections.is_refused(p):
        yield LeadershipProposed(p.partition, elections.next_epoch(p), p.shall, "a greater epoch was promised")
    elif not elections.is_complete(p, brokers):
        return
    elif choice is not None:
        yield _elected(p, choice)
    elif len(elections.voters(p, brokers)) < p.needed:
        yield PartitionWaits(p.partition, elections.who_is_missing(p, brokers))
    else:
        votes = sum(answer.accepted for answer in p.answers)
        yield PartitionWaits(p.partition, f"{votes} of {len(p.asked)} replicas accepted the offer, needs {p.needed}")


def _elected(p: Partition, choice: Choice) -> LeaderElected:
    return LeaderElected(p.partition, p.epoch, choice.leader, choice.replicas, p.write_quorum, choice.stores)


def _decide_waiting(p: Partition, brokers: dict[str, Broker], shunned: list[str], eager: bool) -> Iterator[Fact]:
    """`closed`: it was offered, and too few answered; a late answer may make it, else it is offered again when due."""
    choice = elections.choose(p, shunned) if p.closed else None
    if choice is not None:
        yield _elected(p, choice)
    elif elections.may_propose(p, brokers):
        why = "enough replicas are here" if eager else p.why
        if eager or p.due == 0 or not p.closed:
            yield LeadershipProposed(p.partition, elections.next_epoch(p), p.shall, why)
    elif not p.patient and len(elections.voters(p, brokers)) < p.needed:
        why = elections.who_is_missing(p, brokers)
        if why != p.why:
            yield PartitionWaits(p.partition, why)
