"""The order and fate of one producer's batches in one partition. Pure: the clock and dice are passed in.

A batch gets its (producer, sequence) when it is first sent and keeps it: sent again after a failover it is recognised,
so it is appended once. What an answer means:

| answer | the batch |
|---|---|
| appended | is settled with its place |
| NotLeader, InsufficientReplicas and others in `REFUSED` | was not appended then; sent again, until its deadline |
| OutcomeUnknown, or the session ended | may have been appended; the same sequence is sent to the leader |
| OutOfSequence, UnknownProducer behind an unsettled batch | waits for that one and is sent again |
| the same for the oldest batch | if it cannot have been appended: sent under a fresh producer; else OutcomeUnknown |
| anything else | is settled with that error: sending it again would not help |

When a batch is given up its sequence is missing for good, so the lane goes on under a fresh producer. Batches that may
have been appended under the old one are only ever sent under the old one; later batches wait until those are settled.
At the deadline a batch that may have been appended is OutcomeUnknown; one that cannot have been has its last refusal.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from bus import limits, wire
from bus.errors import BrokerUnavailable, BusError, OutcomeUnknown, from_code
from bus.words import many

REFUSED = frozenset({"NotLeader", "InsufficientReplicas", "BrokerUnavailable", "StaleEpoch"})
UNSURE = frozenset({"OutcomeUnknown"})
"""A leader that is deposed says so of what it had appended and not committed."""
SKIPPED = frozenset({"OutOfSequence", "UnknownProducer"})
RENEWALS_MAX = 3
_MS = 1_000_000
_UNNUMBERED = -1

Result = wire.Outcome | BusError


class Batch:
    """Encoded events on their way to one partition. `owner` is told what became of it; `deadline` is in ns.

    `given` is the bitmap of the ids that its publisher gave. `link` is the session it is out on, or None; `doubts`
    counts sendings whose answer never came.
    """

    __slots__ = (
        "acks",
        "body",
        "count",
        "deadline",
        "doubts",
        "given",
        "link",
        "owner",
        "partition",
        "producer",
        "refusal",
        "renewals",
        "sendings",
        "sequence",
        "settled",
    )

    def __init__(
        self, partition: int, body: bytes, count: int, acks: str, deadline: int, owner: Any, given: bytes = b""
    ) -> None:
        self.partition = partition
        self.body = body
        self.count = count
        self.acks = acks
        self.deadline = deadline
        self.owner = owner
        self.given = given
        self.producer = b""
        self.sequence = _UNNUMBERED
        self.link: object | None = None
        self.sendings = 0
        self.doubts = 0
        self.renewals = 0
        self.refusal: BusError | None = None
        self.settled = False

    @property
    def uncertain(self) -> bool:
        """Whether it may have been appended although nobody said so."""
        return self.link is not None or self.doubts > 0


class Lane:
    """Batches of one producer for one partition, in order. Methods return the batches that are settled by the call.

    `fresh` makes producer ids. `now` is ns of a clock that never goes back. `out` holds what was sent and not settled,
    `waiting` what was never sent.
    """

    def __init__(self, partition: int, fresh: Callable[[], bytes]) -> None:
        self.partition = partition
        self.out: deque[Batch] = deque()
        self.waiting: deque[Batch] = deque()
        self.held_until = 0
        self._fresh = fresh
        self._producer = fresh()
        self._next = 0
        self._wait_ms = limits.PUBLISH_RETRY_MS_MIN
        self._refusal: BusError | None = None

    @property
    def idle(self) -> bool:
        """Whether everything is settled."""
        return not self.out and not self.waiting

    def offer(self, batch: Batch) -> None:
        """Take one more batch, behind all others."""
        self.waiting.append(batch)

    def withdraw(self, unwanted: Callable[[Any], bool]) -> list[Batch]:
        """Take back what was never sent and whose owner is unwanted."""
        gone = [batch for batch in self.waiting if unwanted(batch.owner)]
        if gone:
            self.waiting = deque(batch for batch in self.waiting if not unwanted(batch.owner))
        return gone

    def due(self, link: object, now: int) -> list[Batch]:
        """What is to be sent on this link now, in order; each batch is taken to be sent by the call."""
        if now < self.held_until:
            return []
        sent: list[Batch] = []
        for batch in self.out:
            if batch.link is not None and batch.link is not link:
                batch.doubts += 1
                batch.link = None
            if batch.link is None:
                self._send(batch, link)
                sent.append(batch)
            if batch.producer != self._producer:
                return sent
        while self.waiting and len(self.out) < limits.LANE_BATCHES_IN_FLIGHT_MAX:
            batch = self.waiting.popleft()
            self.out.append(batch)
            self._send(batch, link)
            sent.append(batch)
        return sent

    def _send(self, batch: Batch, link: object) -> None:
        if batch.sequence == _UNNUMBERED:
            batch.producer = self._producer
            batch.sequence = self._next
            self._next += 1
        batch.link = link
        batch.sendings += 1

    def answered(self, batch: Batch, outcome: wire.Outcome, link: object, now: int) -> list[tuple[Batch, Result]]:
        """The broker on `link` said what became of a batch that was sent there."""
        if batch.settled:
            return []
        if not outcome.code:
            self._wait_ms = limits.PUBLISH_RETRY_MS_MIN
            self._refusal = None
            return [self._settle(batch, outcome)]
        if batch.link is link:
            batch.link = None
        elif batch.doubts:
            batch.doubts -= 1
        error = from_code(outcome.code, outcome.message)
        if outcome.code in SKIPPED:
            return self._skipped(batch, error, now)
        batch.refusal = self._refusal = error
        if outcome.code in UNSURE:
            batch.doubts += 1
        elif outcome.code not in REFUSED:
            return self._give_up([(batch, error)])
        elif batch.producer != self._producer:
            self._unnumber(batch)
        self._hold(now)
        return []

    def _skipped(self, batch: Batch, error: BusError, now: int) -> list[tuple[Batch, Result]]:
        """The broker has not seen what comes before this one."""
        if batch.link is not None:
            return []
        if batch is not self.out[0]:
            if batch.producer != self._producer:
                self._unnumber(batch)
            return []
        if batch.doubts:
            unknown = OutcomeUnknown(
                f"partition {batch.partition}: {many(batch.count, 'event was', 'events were')} sent, and the fleet no "
                f"longer knows their producer ({error}); look before sending them again"
            )
            return self._give_up([(batch, unknown)])
        if batch.renewals >= RENEWALS_MAX:
            return self._give_up([(batch, error)])
        batch.renewals += 1
        self._hold(now)
        if batch.producer == self._producer:
            self._renew()
        self._unnumber(batch)
        return []

    def lost(self, batch: Batch, link: object) -> None:
        """The session a batch was sent on ended before its answer."""
        if not batch.settled and batch.link is link:
            batch.link = None
            batch.doubts += 1

    def moved(self) -> None:
        """Another leader: no need to wait for the old one to change its mind."""
        self.held_until = 0

    def expire(self, now: int) -> list[tuple[Batch, Result]]:
        """Give up what is past its deadline."""
        late = [batch for batch in (*self.out, *self.waiting) if batch.deadline <= now]
        return self._give_up([(batch, self._verdict(batch)) for batch in late]) if late else []

    def abandon(self, why: str) -> list[tuple[Batch, Result]]:
        """Give up everything, because the client closes."""
        left = [*self.out, *self.waiting]
        return self._give_up([(batch, self._verdict(batch, why)) for batch in left])

    def _verdict(self, batch: Batch, why: str = "") -> BusError:
        refusal = batch.refusal or self._refusal
        if batch.uncertain:
            detail = why or str(refusal or "no answer came")
            return OutcomeUnknown(
                f"partition {batch.partition}: {many(batch.count, 'event was', 'events were')} sent, and may or may "
                f"not have been appended ({detail}); look before sending them again"
            )
        return refusal or BrokerUnavailable(f"partition {batch.partition}: {why or 'no leader answered in time'}")

    def _settle(self, batch: Batch, result: Result) -> tuple[Batch, Result]:
        batch.settled = True
        batch.link = None
        if self.out and self.out[0] is batch:
            self.out.popleft()
        elif batch in self.out:
            self.out.remove(batch)
        elif batch in self.waiting:
            self.waiting.remove(batch)
        return batch, result

    def _give_up(self, settled: list[tuple[Batch, Result]]) -> list[tuple[Batch, Result]]:
        """Settle without a place in the log: from here on under a fresh producer, if sequences are missing now."""
        missing = any(batch.sequence != _UNNUMBERED and batch.producer == self._producer for batch, _ in settled)
        done = [self._settle(batch, result) for batch, result in settled]
        if missing:
            self._renew()
        return done

    def _renew(self) -> None:
        self._producer = self._fresh()
        self._next = 0
        for batch in self.out:
            self._unnumber(batch)

    def _unnumber(self, batch: Batch) -> None:
        """Let a batch be numbered anew, if it cannot have been appended under its old number."""
        if not batch.uncertain:
            batch.sequence = _UNNUMBERED
            batch.producer = b""

    def _hold(self, now: int) -> None:
        if now < self.held_until:
            return
        self.held_until = now + self._wait_ms * _MS
        self._wait_ms = min(2 * self._wait_ms, limits.PUBLISH_RETRY_MS_MAX)
