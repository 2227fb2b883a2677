"""Publishes at a leader: judged, appended, and answered when the acks they asked for are there.

| acks | answered when |
|---|---|
| quorum | the record is committed: fsynced on W replicas |
| leader | the record is fsynced here |
| none | it was accepted; nothing is promised |

One request may name many partitions; each section has its own outcome, and the outcomes of one turn leave together.
`NotLeader` is a sure refusal: nothing was appended. When leadership ends with appended sections unanswered, they are
answered `OutcomeUnknown`: sending them again with the same producer and sequence to the next leader is right whether or
not they survived, as the windows of producers know.
"""

from collections import deque
from typing import NamedTuple

from msgspec.structs import replace

from bus import limits, wire
from bus.broker.access import unknown
from bus.broker.applied import Applied, original_of
from bus.broker.figures import Figures
from bus.broker.peers import Peers
from bus.broker.replication import Replication
from bus.broker.screening import check_body
from bus.errors import (
    BusError,
    DuplicateSequence,
    InsufficientReplicas,
    OutcomeUnknown,
    ProtocolError,
    StorageFull,
    code_of,
)
from bus.given import Fresh
from bus.producer import Original
from bus.record import EVENTS, REPEATS
from bus.session import Session

ACKS = frozenset({"quorum", "leader", "none"})


class _Awaited(NamedTuple):
    """A section whose answer is due once the record `index` is as safe as it asked for."""

    original: Original
    session: Session
    request: int
    section: int
    came: int


class Publishing:
    """Publishes of one broker. `now` is set by the loop at the start of a turn."""

    def __init__(self, peers: Peers, replication: Replication, applied: Applied, figures: Figures) -> None:
        self.now = 0
        self.short_of_room = ""
        self._peers = peers
        self._replication = replication
        self._applied = applied
        self._figures = figures
        partitions = len(replication.replicas)
        self._quorum: list[deque[_Awaited]] = [deque() for _ in range(partitions)]
        self._own: list[tuple[int, _Awaited]] = []
        self._answers: dict[tuple[Session, int], dict[int, wire.Outcome]] = {}

    def on_publish(self, session: Session, publish: wire.Publish, blobs: list[bytes]) -> None:
        """Append what may be appended; the answers follow in this turn or a later one."""
        if len(publish.sections) != len(blobs) or publish.acks not in ACKS:
            raise ProtocolError(
                f"a Publish of {len(publish.sections)} sections came with {len(blobs)} bodies and acks "
                f"{publish.acks[:20]!r}; each section has a body, acks are quorum, leader or none"
            )
        for number, (section, body) in enumerate(zip(publish.sections, blobs, strict=True)):
            try:
                self._section(session, publish, number, section, body)
            except BusError as error:
                self._figures.refused += 1
                outcome = wire.Outcome(section.partition, -1, 0, 0, code_of(error), str(error))
                self._answer(session, publish.request, number, outcome)

    def on_commit(self) -> None:
        """The turn is durable here: answer who asked for no more."""
        for partition, awaited in self._own:
            self._done(partition, awaited, 1)
        self._own.clear()

    def on_high(self, partition: int, high: int) -> None:
        """Records below `high` are committed."""
        waiting = self._quorum[partition]
        seat = self._replication.replicas[partition].seat
        replicas = seat.write_quorum if seat is not None else 0
        while waiting and waiting[0].original.index < high:
            self._done(partition, waiting.popleft(), replicas)

    def on_lost(self, partition: int, why: str) -> None:
        """Leadership ended: nobody here can say what becomes of what waits."""
        reason = f"appended here and not committed when the leadership ended ({why}); repeat it with the same sequence"
        lost = [*self._quorum[partition], *(awaited for owner, awaited in self._own if owner == partition)]
        self._quorum[partition].clear()
        self._own = [(owner, awaited) for owner, awaited in self._own if owner != partition]
        for awaited in lost:
            outcome = wire.Outcome(partition, -1, 0, 0, "OutcomeUnknown", reason)
            self._answer(awaited.session, awaited.request, awaited.section, outcome)

    def flush(self) -> None:
        """Send the answers that are ready."""
        if not self._answers:
            return
        answers, self._answers = self._answers, {}
        for (session, request), outcomes in answers.items():
            self._peers.send(session, wire.Published(request, outcomes))

    def _section(
        self, session: Session, publish: wire.Publish, number: int, section: wire.Section, body: bytes
    ) -> None:
        partition = section.partition
        if not self._replication.knows(partition, session.principal):
            raise unknown(partition, self._replication.public)
        if self._replication.full:
            raise StorageFull(self._replication.full)
        if not self._replication.replicas[partition].leads:
            raise self._replication.not_leader(partition)
        if len(self._quorum[partition]) >= limits.AWAITED_SECTIONS_MAX:
            raise InsufficientReplicas(
                f"partition {partition} owes {limits.AWAITED_SECTIONS_MAX} answers, until its replicas have what is "
                "appended; nothing was appended now, retry later"
            )
        windows = self._applied.windows[partition]
        if len(section.producer) > limits.PRODUCER_BYTES_MAX:
            raise ProtocolError(
                f"a producer id of {len(section.producer)} bytes; {limits.PRODUCER_BYTES_MAX} are legal"
            )
        original = windows.judge(section.producer, section.sequence)
        if original is None:
            if self.short_of_room:
                raise StorageFull(self.short_of_room)
            columns = check_body(session.principal, section, body, self._replication.clock_ns())
            fresh = Fresh(body, section.count)
            if section.given:
                fresh = self._applied.given[partition].sift(section.given, columns, body)
            original = self._append(session, section, fresh)
            windows.append(original)
        elif not original.repeated and not self._replication.is_body_at(partition, original.index, body):
            raise DuplicateSequence(
                f"producer {section.producer.hex()} gave number {section.sequence} to another batch before; "
                "nothing was appended: give each client a producer id of its own, and never count back"
            )
        self._await(session, publish, number, partition, original)

    def _append(self, session: Session, section: wire.Section, fresh: Fresh) -> Original:
        index, header = self._replication.append(
            EVENTS if fresh.count else REPEATS,
            section.partition,
            fresh.body,
            fresh.count,
            producer=section.producer,
            sequence=section.sequence,
            principal=session.principal,
            given=fresh.given,
            repeats=fresh.repeats,
        )
        if section.partition < self._replication.public:
            self._figures.events_in += fresh.count
        self._applied.given[section.partition].append(index, header)
        return original_of(index, header)

    def _await(self, session: Session, publish: wire.Publish, number: int, partition: int, original: Original) -> None:
        awaited = _Awaited(original, session, publish.request, number, self.now)
        if publish.acks == "none":
            self._done(partition, awaited, 0)
        elif publish.acks == "leader":
            self._own.append((partition, awaited))
        elif original.index < self._replication.replicas[partition].high:
            seat = self._replication.replicas[partition].seat
            self._done(partition, awaited, seat.write_quorum if seat is not None else 0)
        else:
            _insert(self._quorum[partition], awaited)

    def _done(self, partition: int, awaited: _Awaited, replicas: int) -> None:
        original = awaited.original
        outcome = wire.Outcome(partition, original.base_offset, replicas, original.appended)
        if original.repeated:
            outcome = self._repeating(outcome, original)
        self._figures.acked(self.now - awaited.came)
        self._answer(awaited.session, awaited.request, awaited.section, outcome)

    def _repeating(self, outcome: wire.Outcome, original: Original) -> wire.Outcome:
        """The outcome of a batch that repeated events: these stand below it in the log, so they are as safe."""
        try:
            return replace(outcome, repeats=self._applied.repeats(outcome.partition, original))
        except OutcomeUnknown as error:
            return wire.Outcome(outcome.partition, -1, 0, 0, code_of(error), str(error))

    def _answer(self, session: Session, request: int, section: int, outcome: wire.Outcome) -> None:
        self._answers.setdefault((session, request), {})[section] = outcome


def _insert(waiting: deque[_Awaited], awaited: _Awaited) -> None:
    """Keep the queue in order of index: only a repetition of an uncommitted batch comes out of order."""
    if not waiting or waiting[-1].original.index <= awaited.original.index:
        waiting.append(awaited)
        return
    place = next(at for at, other in enumerate(waiting) if other.original.index > awaited.original.index)
    waiting.insert(place, awaited)
