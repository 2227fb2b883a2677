"""Bugs planted on purpose: each is a mistake somebody made in a real system, and the checkers have to find it.

A bug is a class in place of an honest one: of the replica machine, the windows, the edge or the plane.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bus.errors import UnknownProducer
from bus.given import GivenIds
from bus.lineage import Outline, Restored
from bus.outputs import Append, High, Output, Restart, ShipTo, Trim
from bus.producer import Original, Windows
from bus.record import Header
from bus.replica import Replica
from bus.wire import Begin, EpochEnd, Seat, Ship

from .broker import Parts
from .plane import Plane


class AckBeforeQuorum(Replica):
    """Commits what the leader alone has fsynced."""

    def _advance(self) -> list[Output]:
        if self._synced <= self._start or not self.log.commit(self._synced):
            return []
        return [High(self.high, self.high_offset)]


class AckBeforeFsync(Parts):
    """Followers ack, and leaders count, what is only in memory."""

    acks_before_commit = True


class NoTruncation(Replica):
    """A follower takes its own log for a beginning of the leader's."""

    def _follow(self, epoch: int, leader: str) -> None:
        super()._follow(epoch, leader)
        self.role = "following"

    def _store(self, ship: Ship, heads: Sequence[tuple[int, int, int]]) -> list[Output]:
        honest, self.log.epoch_at = self.log.epoch_at, lambda index: dict(known).get(index, 0)  # type: ignore[method-assign]
        known = [(ship.prev, ship.prev_epoch), *((ship.prev + 1 + at, head[0]) for at, head in enumerate(heads))]
        outputs = super()._store(ship, heads)
        self.log.epoch_at = honest  # type: ignore[method-assign]
        return outputs


class TruncateToHigh(Replica):
    """A follower goes back to its own high watermark instead of asking (what KIP-101 mended)."""

    def _follow(self, epoch: int, leader: str) -> None:
        super()._follow(epoch, leader)
        self.cut = True

    def on_ship(self, ship: Ship, heads: Sequence[tuple[int, int, int]], now: int) -> list[Output]:
        self.cut = False
        outputs = super().on_ship(ship, heads, now)
        if self.cut and self.role == "asking":
            outputs = self._truncate(self.high)
            self.role = "following"
        return outputs


class AskOnce(Replica):
    """Asks for the end of its last epoch and takes the answer for the last word, whatever epoch it names."""

    def on_epoch_end(self, told: EpochEnd, now: int) -> list[Output]:
        if self.role != "asking" or told.epoch != self.epoch or told.asked != self.log.last_epoch:
            return []
        outputs = self._truncate(min(self.end, told.end))
        self.role = "following"
        return outputs + self._ack()


class StaleEpochAccepted(Replica):
    """Stores ships of an epoch below the one it promised, and its leader counts the ack."""

    def on_ship(self, ship: Ship, heads: Sequence[tuple[int, int, int]], now: int) -> list[Output]:
        promised, self.promised = self.promised, min(self.promised, ship.epoch)
        outputs = super().on_ship(ship, heads, now)
        self.promised = max(promised, self.promised)
        return outputs


class PromiseForgotten(Parts):
    """Promises are not persisted."""

    forgets_promises = True


class AnswerBeforeCommit(Parts):
    """Answers the offer before the promise, and the log it speaks of, are durable."""

    answers_before_commit = True


class TornTransaction(Parts):
    """Log and meta are written one by one, not in one transaction; there is often something to tear."""

    torn_disk = True
    high_lags = False


class OneBrokerTwice(Replica):
    """The leader counts itself as one of its followers too."""

    def _advance(self) -> list[Output]:
        seat = self.seat
        if seat is not None:
            self.seat = Seat(
                *[getattr(seat, name) for name in seat.__struct_fields__[:4]], seat.write_quorum - 1, seat.stores
            )
        outputs = super()._advance()
        self.seat = seat
        return outputs


class StrangerVotes(Replica):
    """A replaced disk under a known broker id keeps the vote."""

    def _votes(self, broker: str, store: str) -> bool:
        return self.seat is not None and broker in self.seat.replicas


class WatermarkAhead(Replica):
    """The leader tells followers that all it ships is committed."""

    def pump(self, now: int) -> list[Output]:
        return [
            ShipTo(out.broker, out.epoch, out.prev, out.prev_epoch, out.first, out.upto, out.upto)
            if isinstance(out, ShipTo)
            else out
            for out in super().pump(now)
        ]


class NoEpochStart(Replica):
    """Leads without an epoch-start record, and commits records of older epochs by counting (Raft's figure 8)."""

    def _lead(self, seat: Seat, now: int) -> Append:
        placed = super()._lead(seat, now)
        self.log.truncate(self.end - 1)
        self._start = -1
        return placed

    def place(self, seat: Seat, now: int) -> list[Output]:
        return [output for output in super().place(seat, now) if not isinstance(output, Append)]


class OldEpochsCounted(Replica):
    """Writes the epoch start, but commits what is before it by counting."""

    def _advance(self) -> list[Output]:
        start, self._start = self._start, -1
        outputs = super()._advance()
        self._start = start
        return outputs


class SameEpochRestart(Replica):
    """A leader that restarts goes on in its epoch when its place is repeated."""

    def place(self, seat: Seat, now: int) -> list[Output]:
        if not self.leads:
            self._promised_before = 0
        return super().place(seat, now)


class DedupForgotten(Windows):
    """A new leader forgets what lies above the high watermark."""

    def relay(self, originals: Iterable[Original]) -> None:
        super().relay([])

    def judge(self, producer: bytes, sequence: int) -> Original | None:
        try:
            return super().judge(producer, sequence)
        except UnknownProducer:
            return None


class DedupLostOnFailover(Windows):
    """A new leader starts with empty windows."""

    def relay(self, originals: Iterable[Original]) -> None:
        self._windows.clear()
        super().relay([])

    def judge(self, producer: bytes, sequence: int) -> Original | None:
        known = self._windows.get(producer, []) + self._overlay.get(producer, [])
        return next((original for original in known if original.sequence == sequence), None)


class IdsLostOnFailover(GivenIds):
    """A new leader starts with an empty window of given ids."""

    def relay(self, records: Iterable[tuple[int, Header]]) -> None:
        super().relay(records)
        self._forget(len(self))


class IdsUncommittedForgotten(GivenIds):
    """A new leader forgets the given ids above the high watermark."""

    def relay(self, records: Iterable[tuple[int, Header]]) -> None:
        super().relay([])


class IdsOfCommittedOnly(GivenIds):
    """A leader looks given ids up among what is committed alone."""

    def append(self, index: int, header: Header) -> None:
        pass

    def commit(self, index: int, header: Header) -> None:
        super().commit(index, header)
        self._known = None


class BeginWithoutIds(Parts):
    """Who begins anew is not told of the given ids in the trimmed records."""

    begins_without_ids = True


class AnyLiveReplica(Plane):
    """Elects whoever answers first."""

    def choose(self) -> str:
        return self.answers[0][0]


class LongestLog(Plane):
    """Elects the longest log, whatever epoch it ends in."""

    def choose(self) -> str:
        return max(self.answers, key=lambda answered: answered[1].end)[0]


class OneAnswerTwice(Plane):
    """Counts answers, not the brokers that gave them."""

    def enough(self) -> bool:
        return len(self.answers) >= len(self.replicas) - self.write_quorum + 1


class StrangerElects(Plane):
    """Takes answers from disks that never had a vote."""

    def _answered(self, broker: str, store: str, answered) -> None:  # type: ignore[no-untyped-def]
        is_replica = self.seat is not None and broker in self.seat.replicas
        votes = self.seat.stores[self.seat.replicas.index(broker)] if self.seat is not None and is_replica else store
        super()._answered(broker, votes, answered)


class LearnerVotes(Replica):
    """The leader counts a learner among those that hold a record."""

    def _votes(self, broker: str, store: str) -> bool:
        return super()._votes(broker, store) or (self.seat is not None and broker in self.seat.learners)


class LearnerElects(Plane):
    """Takes a learner's answer for a vote, and elects it."""

    def _answered(self, broker: str, store: str, answered) -> None:  # type: ignore[no-untyped-def]
        if broker in self.learners and answered.accepted and answered.epoch == self.proposed:
            self.answers.append((broker, answered))
        super()._answered(broker, store, answered)

    def choose(self) -> str:
        votes = self.answers
        self.answers = [(name, answer) for name, answer in votes if name in self.replicas] or votes
        leader = super().choose()
        self.answers = votes
        return leader


class LearnerUnproven(Plane):
    """Lets a learner in by its leader's word of before, whatever it answers."""

    def admits(self, leader: str) -> bool:
        return self.learned is not None and leader in self.target


class TrimUncommitted(Replica):
    """Retention goes beyond the high watermark."""

    def trim(self, first: int) -> list[Output]:
        return [*super().trim(first), *([Trim(self.end)] if self.end > self.high >= first > 0 else [])]


class TrimUnnoted(Parts):
    """Retention removes records whose effect on the windows is not written down."""

    trims_unnoted = True


class BeginWithoutState(Parts):
    """Who begins anew is not told what the trimmed records made."""

    begins_without_state = True


class BeginAnyway(Replica):
    """Begins anew whenever told so, though it holds more: a Begin that came late takes away what it has acked."""

    def on_begin(self, begin: Begin) -> list[Output]:
        if self.role == "following" and begin.epoch == self.epoch and begin.first <= self.end:
            first, offset = begin.first, begin.first_offset
            self.log = Outline(
                Restored(self.promised, self.seat, begin.lineage, first, offset, first, offset, first=first)
            )
            self._dirty = True
            return [Restart(first), High(first, offset), *self._ack()]
        return super().on_begin(begin)


class ShipOverGap(Replica):
    """Ships its first record to a follower that lacks the ones before."""

    def pump(self, now: int) -> list[Output]:
        for follower in self._followers.values():
            if follower.contacted:
                follower.next = max(follower.next, self.log.first)
        return super().pump(now)


class Bug(NamedTuple):
    """Where to put it, and which plan of storms brings it out."""

    parts: type[Parts]
    plane: type[Plane]
    plan: str


def _machine(kind: type[Replica], plan: str = "any") -> Bug:
    return Bug(type(kind.__name__, (Parts,), {"machine": kind}), Plane, plan)


def _given(kind: type[GivenIds]) -> Bug:
    return Bug(type(kind.__name__, (Parts,), {"given": kind}), Plane, "any")


def _windows(kind: type[Windows]) -> Bug:
    return Bug(type(kind.__name__, (Parts,), {"windows": kind}), Plane, "any")


BUGS = {
    "ack-before-quorum": _machine(AckBeforeQuorum),
    "ack-before-fsync": Bug(AckBeforeFsync, Plane, "any"),
    "no-truncation": _machine(NoTruncation),
    "truncate-to-high": _machine(TruncateToHigh),
    "ask-once": _machine(AskOnce, "usurp"),
    "stale-epoch-accepted": _machine(StaleEpochAccepted, "tempt"),
    "promise-forgotten": Bug(PromiseForgotten, Plane, "tempt"),
    "answer-before-commit": Bug(AnswerBeforeCommit, Plane, "any"),
    "torn-transaction": Bug(TornTransaction, Plane, "any"),
    "one-broker-twice": _machine(OneBrokerTwice),
    "stranger-votes": _machine(StrangerVotes),
    "watermark-ahead": _machine(WatermarkAhead),
    "no-epoch-start": _machine(NoEpochStart),
    "old-epochs-counted": _machine(OldEpochsCounted, "usurp"),
    "same-epoch-restart": _machine(SameEpochRestart),
    "dedup-forgotten": _windows(DedupForgotten),
    "dedup-lost-on-failover": _windows(DedupLostOnFailover),
    "ids-lost-on-failover": _given(IdsLostOnFailover),
    "ids-uncommitted-forgotten": _given(IdsUncommittedForgotten),
    "ids-of-committed-only": _given(IdsOfCommittedOnly),
    "begin-without-ids": Bug(BeginWithoutIds, Plane, "any"),
    "any-live-replica": Bug(Parts, AnyLiveReplica, "any"),
    "longest-log": Bug(Parts, LongestLog, "usurp"),
    "one-answer-twice": Bug(Parts, OneAnswerTwice, "tempt"),
    "trim-uncommitted": _machine(TrimUncommitted),
    "trim-unnoted": Bug(TrimUnnoted, Plane, "any"),
    "begin-without-state": Bug(BeginWithoutState, Plane, "any"),
    "begin-anyway": _machine(BeginAnyway),
    "ship-over-gap": _machine(ShipOverGap),
    "learner-votes": _machine(LearnerVotes),
    "learner-elects": Bug(Parts, LearnerElects, "any"),
    "learner-unproven": Bug(Parts, LearnerUnproven, "any"),
    "stranger-elects": Bug(Parts, StrangerElects, "any"),
}
"""The planted bugs by name."""
