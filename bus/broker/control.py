"""The control plane's verbs: claim a broker, offer epochs, place leaders, spread the topology, sample, halt.

Fencing: a plane claims a broker under `(plane_epoch, uuid)`. The greatest pair is written down before `Claimed` leaves;
a lower epoch, or the same one from another uuid, is refused, and every other verb must come in a session that made the
claim in force, and name it. What a verb promises is durable before its answer leaves: answers wait for the commit.
"""

import logging
import os
from collections.abc import Callable

from bus import limits, wire
from bus.broker.access import PLANE, authorise
from bus.broker.kept import ClaimNote, keep, kept
from bus.broker.links import Links
from bus.broker.peers import Peers
from bus.broker.replication import Replication
from bus.errors import AccessDenied, InvalidRules, ProtocolError, StaleEpoch, StorageFull, UnknownPartition
from bus.semantic import check
from bus.session import Session
from bus.store import Store

log = logging.getLogger("bus.broker")
_EPOCH_MAX = (1 << 62) - 1


class Control:
    """What a broker owes its plane. `halted` is "" until a plane, or a signal, ends the broker; then it says why."""

    def __init__(
        self,
        peers: Peers,
        replication: Replication,
        links: Links,
        store: Store,
        sample: Callable[[int], wire.Sampled],
        started: int,
    ) -> None:
        self.halted = ""
        self._peers = peers
        self._replication = replication
        self._links = links
        self._store = store
        self._sample = sample
        self._started = started
        self.on_archived: Callable[[dict[int, int]], None] = lambda archived: None
        self._answers: list[tuple[Session, int, wire.Message]] = []
        self.claim = kept(store, "claim", ClaimNote) or ClaimNote()
        self.topology = kept(store, "topology", wire.Topology)
        if self.topology is not None:
            links.learn(self.topology.nodes)

    def stranger(self, broker: str) -> str:
        """Why a broker is not listened to: the newest topology does not have it. "" for a member, or before any."""
        told = self.topology
        if told is None or any(node.id == broker for node in told.nodes):
            return ""
        return f"{broker[:80]} is no member of fleet {told.fleet}: join it with `signalbox broker add`"

    def on_claim(self, session: Session, claim: wire.Claim) -> None:
        """Obey a plane from now on, or say whom this broker obeys."""
        if session.peer is None or getattr(session.peer, "role", "") != "plane":
            raise AccessDenied("only a session of role plane may claim a broker")
        if not 0 < claim.plane_epoch <= _EPOCH_MAX or not 0 < len(claim.uuid) <= limits.PEER_NAME_CHARS_MAX:
            raise ProtocolError(
                f"plane epoch {claim.plane_epoch} with a uuid of {len(claim.uuid)} characters is no claim"
            )
        held = self.claim
        accepted = claim.plane_epoch > held.plane_epoch or (claim.plane_epoch, claim.uuid) == (
            held.plane_epoch,
            held.uuid,
        )
        if accepted:
            self._room()
            if claim.plane_epoch > held.plane_epoch:
                log.info("obeying plane %s of epoch %d", claim.uuid, claim.plane_epoch)
                self._depose(session)
            self.claim = ClaimNote(claim.plane_epoch, claim.uuid)
            keep(self._store, "claim", self.claim)
            session.principal = PLANE
        else:
            log.warning("refused plane %s of epoch %d: obeying %s", claim.uuid, claim.plane_epoch, held)
        self._after_commit(session, claim.request, self._claimed(claim.request, accepted))

    def on_offer(self, session: Session, offer: wire.Offer) -> None:
        """Promise an epoch for a partition, and say what is held of it."""
        self._authorised(session, "Offer", offer.plane_epoch, offer.plane_uuid)
        self._check(offer.partition, offer.epoch)
        self._room()
        accepted = True
        try:
            self._replication.offer(offer.partition, offer.epoch)
        except StaleEpoch as error:
            log.info("refused an offer: %s", error)
            accepted = False
        replica = self._replication.replicas[offer.partition]
        last_epoch, end, end_offset = replica.answer()
        answer = wire.Answered(
            request=offer.request,
            partition=offer.partition,
            epoch=offer.epoch,
            accepted=accepted,
            promised=replica.promised,
            last_epoch=last_epoch,
            end=end,
            end_offset=end_offset,
        )
        self._after_commit(session, offer.request, answer)

    def on_place(self, session: Session, place: wire.Place) -> None:
        """Take the seat that was decided."""
        self._authorised(session, "Place", place.plane_epoch, place.plane_uuid)
        seat = place.seat
        self._check(seat.partition, seat.epoch)
        told = len(seat.replicas), len(seat.stores), len(seat.learners)
        if not seat.replicas or max(told) > limits.SEAT_REPLICAS_MAX:
            raise ProtocolError(f"a seat of {len(seat.replicas)} replicas; 1 to {limits.SEAT_REPLICAS_MAX} are legal")
        self._room()
        why = ""
        try:
            self._replication.place(seat)
        except StaleEpoch as error:
            why = str(error)
        placed = wire.Placed(place.request, seat.partition, seat.epoch, not why, why)
        self._after_commit(session, place.request, placed)

    def on_spread(self, session: Session, spread: wire.Spread) -> None:
        """Learn who leads what, keep it, and pass it on to every session."""
        self._authorised(session, "Spread", spread.plane_epoch, spread.plane_uuid)
        told = spread.topology
        if len(told.nodes) > limits.TOPOLOGY_NODES_MAX or len(told.seats) > limits.PARTITIONS_MAX:
            raise ProtocolError(f"a topology of {len(told.nodes)} brokers and {len(told.seats)} seats is too large")
        if told.fleet != self._peers.sessions.fleet:
            raise ProtocolError(f"a topology of fleet {told.fleet!r} came to {self._peers.sessions.fleet!r}")
        try:
            check(told.rules, told.slots)
        except InvalidRules as error:
            raise ProtocolError(f"a topology whose rules make no sense: {error}") from error
        known = self.topology
        if known is not None and told.version <= known.version:
            return
        if known is not None and (told.slots, told.rules) != (known.slots, known.rules):
            raise ProtocolError("a topology places keys by other rules than before: a key has one home for life")
        me = self._replication.broker
        if self.topology is not None and not self.stranger(me) and all(node.id != me for node in told.nodes):
            log.warning("%s is no member of fleet %s any more: it was removed", me, told.fleet)
        self.topology = told
        keep(self._store, "topology", told, lazy=True)
        self._links.learn(told.nodes)
        for peer in self._peers.sessions:
            self._peers.send(peer, told)

    def on_sample(self, session: Session, sample: wire.Sample) -> None:
        """Figures since the last one. Counters belong to the plane, so nobody else may take them."""
        authorise(session.principal, "operate", "Sample")
        self._peers.send(session, self._sample(sample.request))

    def on_keep(self, session: Session, keep: wire.Keep) -> None:
        """Learn how far the plane has archived: retention lets go of nothing beyond."""
        self._authorised(session, "Keep", keep.plane_epoch, keep.plane_uuid)
        if len(keep.archived) > limits.PARTITIONS_MAX:
            raise ProtocolError(f"a Keep of {len(keep.archived)} partitions; {limits.PARTITIONS_MAX} are legal")
        self.on_archived(keep.archived)

    def vetted(self, session: Session, change: wire.ChangeGroup) -> wire.ChangeGroup:
        """A change of a group, if it is the plane's word. Raises AccessDenied, StaleEpoch."""
        self._authorised(session, "ChangeGroup", change.plane_epoch, change.plane_uuid)
        return change

    def on_halt(self, session: Session, halt: wire.Halt) -> None:
        """End the broker."""
        self._authorised(session, "Halt", halt.plane_epoch, halt.plane_uuid)
        self.halted = f"the plane ended this broker: {halt.reason[:200]}"

    def on_commit(self) -> None:
        """What was promised is durable: say so."""
        answers, self._answers = self._answers, []
        for session, _, answer in answers:
            self._peers.send(session, answer)

    def on_full(self, why: str) -> None:
        """The store could not keep the turn: nothing that was promised holds. The plane has to find other leaders."""
        self.claim = kept(self._store, "claim", ClaimNote) or ClaimNote()
        self._answers.clear()
        for session in self._peers.sessions:
            if session.principal == PLANE:
                self._peers.end(session, "closing", why)

    def _after_commit(self, session: Session, request: int, answer: wire.Message) -> None:
        self._answers.append((session, request, answer))

    def _claimed(self, request: int, accepted: bool) -> wire.Claimed:
        return wire.Claimed(
            request=request,
            accepted=accepted,
            plane_epoch=self.claim.plane_epoch,
            uuid=self.claim.uuid,
            broker=self._replication.broker,
            store=self._store.id,
            pid=os.getpid(),
            started=self._started,
            seats=[replica.seat for replica in self._replication.replicas if replica.seat is not None],
        )

    def _depose(self, claimant: Session) -> None:
        for session in self._peers.sessions:
            if session is not claimant and session.principal == PLANE:
                self._peers.end(session, "denied", "another plane has claimed this broker")

    def _authorised(self, session: Session, verb: str, plane_epoch: int, uuid: str) -> None:
        authorise(session.principal, "operate", verb)
        if (plane_epoch, uuid) != (self.claim.plane_epoch, self.claim.uuid):
            raise StaleEpoch(
                f"{verb} came from plane epoch {plane_epoch}; this broker obeys epoch {self.claim.plane_epoch}"
            )

    def _check(self, partition: int, epoch: int) -> None:
        if not 0 <= partition < len(self._replication.replicas):
            raise UnknownPartition(
                f"partition {partition} does not exist; this fleet has {len(self._replication.replicas)}"
            )
        if not 0 < epoch <= _EPOCH_MAX:
            raise ProtocolError(f"epoch {epoch} is out of range")

    def _room(self) -> None:
        if self._replication.full:
            raise StorageFull(self._replication.full)
