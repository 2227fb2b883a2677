"""One partition's replica on one broker: epochs, offers, shipping, truncation, the high watermark. Sans-io.

Values go in, a list of outputs comes out; the edge keeps the bytes and the clock.

| role | entered by | acks ships | leaves by |
|---|---|---|---|
| idle | start; `offer` of a greater epoch | no | `place`, or a ship of an epoch >= the promised one |
| leader | `place` of the very epoch this process promised | - | any sign of a greater epoch: `Lost` |
| asking | a new epoch's leader is known, the own log ends in an older one | no | `EpochEnd`: cut to what both share |
| following | the own log is a beginning of the leader's | yes | a greater epoch |

Why nothing acked is lost. A record is committed when W of RF replicas have fsynced it, the leader included; an epoch
starts with RF-W+1 promises, so one of them holds it, and the greatest (last epoch, end) leads. A promise ends older
epochs here: no ship of theirs is stored and, on their leader, nothing more is counted. Records are counted only from
the epoch start on: an older one on W replicas may still lose to a greater last epoch. Where logs differ a follower
goes back to the end of the greatest epoch both share, asking until one is found; its own high watermark says nothing
about what others hold beyond it. What was trimmed was committed: a log that ends below its leader's first record
begins anew there. Ships leave before the own fsync, so a leader that restarted may have shipped what it no longer
holds: it leads only epochs that it promised since it started, so no (epoch, index) names two records.

A learner (`Seat.learners`) is a follower that no quorum counts: it is shipped to until it holds all that is committed
(`newcomers`), and only the seat of a later epoch may have it among the replicas, in the place of another.

The edge persists Promise, SetSeat, Append, Store, Truncate, Trim, Restart and High of one turn in one transaction,
calls `synced` after that commit, and only then sends what `synced` returns, an `Answered` or a `Placed`. `ShipTo`,
`SendBegin` and `Send` from other calls leave at once. No turn runs while a commit does; an edge whose commit failed
starts its replicas anew.
"""

from collections.abc import Sequence

from bus import limits
from bus.errors import InsufficientReplicas, NotLeader, StaleEpoch
from bus.lineage import Outline
from bus.lineage import Restored as Restored
from bus.outputs import EPOCH_START as EPOCH_START
from bus.outputs import EVENTS as EVENTS
from bus.outputs import GROUP as GROUP
from bus.outputs import Append as Append
from bus.outputs import Diverged as Diverged
from bus.outputs import High as High
from bus.outputs import Lost as Lost
from bus.outputs import Output as Output
from bus.outputs import Placement as Placement
from bus.outputs import Promise as Promise
from bus.outputs import Restart as Restart
from bus.outputs import Send as Send
from bus.outputs import SendBegin as SendBegin
from bus.outputs import SetSeat as SetSeat
from bus.outputs import ShipTo as ShipTo
from bus.outputs import Store as Store
from bus.outputs import Trim as Trim
from bus.outputs import Truncate as Truncate
from bus.progress import Progress
from bus.seating import check_seat
from bus.stance import Stance
from bus.wire import AskEpochEnd, Begin, EpochEnd, Seat, Ship, Shipped
from bus.words import many


class Replica(Stance):
    """The machine of one (partition, broker, store). `now` is a clock in nanoseconds that never goes back."""

    # ---------------------------------------------------------------------------------------------- plane

    def offer(self, epoch: int) -> list[Output]:
        """Promise `epoch`. Raises `StaleEpoch` if a greater one is promised, or this one is already led or followed."""
        seated = max(self.epoch, self.log.last_epoch, self.seat.epoch if self.seat else 0)
        if epoch < self.promised or epoch <= seated:
            raise StaleEpoch(f"partition {self.partition}: epoch {epoch} is over, {self.promised} is promised")
        if epoch == self.promised:
            return []
        outputs = self._step_down(f"epoch {epoch} was offered")
        return [*outputs, self._promise(epoch)]

    def place(self, seat: Seat, now: int) -> list[Output]:
        """Take the place that `seat` gives. Raises `StaleEpoch` if it cannot be taken; says why."""
        self._check(seat)
        leading = seat.leader == self.broker
        if seat.epoch == self.epoch and self.role != "idle":
            if seat == self.seat:
                return []
            if leading or seat.leader != self.leader:
                raise StaleEpoch(f"partition {self.partition}: epoch {seat.epoch} is led by {self.leader}")
            return [self._set_seat(seat)]
        if leading and (seat.epoch != self.promised or seat.epoch <= max(self.epoch, self._promised_before)):
            raise StaleEpoch(
                f"partition {self.partition}: {self.broker} did not promise epoch {seat.epoch} since it started; "
                "offer a new epoch"
            )
        outputs = self._step_down(f"epoch {seat.epoch} is led by {seat.leader or 'nobody'}")
        outputs.append(self._set_seat(seat))
        if seat.epoch > self.promised:
            outputs.append(self._promise(seat.epoch))
        if leading:
            outputs.append(self._lead(seat, now))
        elif seat.leader and self.broker in seat.followers:
            self._follow(seat.epoch, seat.leader)
        return outputs

    # -------------------------------------------------------------------------------------------- leading

    def append(self, count: int, now: int) -> Placement:
        """Place a record of `count` events at the end.

        Raises `NotLeader` or `InsufficientReplicas`; then nothing was placed.
        """
        if self.seat is None or not self.leads:
            raise NotLeader(f"{self.broker} does not lead partition {self.partition}; {self.leader or 'nobody'} may")
        live = 1 + sum(follower.live(now) and self._may_count(follower) for follower in self._followers.values())
        if live < self.seat.write_quorum:
            self.refused += 1
            raise InsufficientReplicas(
                f"partition {self.partition} has {many(live, 'replica')} in sync and needs {self.seat.write_quorum}; "
                "nothing was appended, retry when the missing brokers are back"
            )
        if self.end - self.high >= limits.UNCOMMITTED_RECORDS_MAX:
            self.refused += 1
            raise InsufficientReplicas(
                f"partition {self.partition} waits for its replicas with {many(self.end - self.high, 'record')} "
                "uncommitted; nothing was appended, retry later"
            )
        return self._append(count)

    def pump(self, now: int) -> list[Output]:
        """What to ship to whom: once a turn, before the commit."""
        outputs: list[Output] = []
        for follower in self._followers.values():
            first, upto = follower.window(self.end, now)
            if first < self.log.first:
                if follower.begins(now):
                    outputs.append(SendBegin(follower.broker, self.epoch, self.log.first))
                continue
            if first == upto and not follower.due(now):
                continue
            follower.ship(upto, now)
            prev_epoch = self.log.epoch_at(first - 1)
            outputs.append(ShipTo(follower.broker, self.epoch, first - 1, prev_epoch, first, upto, self.high))
        return outputs

    def shipped_upto(self, broker: str, upto: int, size_bytes: int) -> None:
        """What the edge attached to the last `ShipTo` of a follower: records below `upto`, `size_bytes` together."""
        if broker in self._followers:
            self._followers[broker].attached(upto, size_bytes)

    def on_shipped(self, shipped: Shipped, now: int) -> list[Output]:
        """A follower acked, or said that a ship did not fit, or that we are deposed."""
        if not self.leads or shipped.epoch < self.epoch:
            return []
        if shipped.epoch > self.epoch:
            return self._step_down(f"{shipped.broker} obeys epoch {shipped.epoch}")
        follower = self._followers.get(shipped.broker)
        if follower is None or not 0 <= shipped.end <= self.end:
            return self._reject()
        if self._votes(follower.broker, shipped.store) and follower.store and not self._is_voter(follower):
            return []  # a late ack of a store that was since replaced
        follower.meet(shipped.store)
        if not shipped.matched:
            follower.refit(shipped.end, now)
            return []
        follower.ack(shipped.end, now)
        return self._advance() if shipped.end > self.high else []

    def on_ask_epoch_end(self, ask: AskEpochEnd) -> list[Output]:
        """A follower asks where an epoch ends here."""
        if not self.leads or ask.epoch != self.epoch or ask.broker not in self._followers:
            return [] if ask.epoch <= self.epoch else self._step_down(f"{ask.broker} obeys epoch {ask.epoch}")
        epoch, end = self.log.end_of(ask.last_epoch)
        return [Send(ask.broker, EpochEnd(self.partition, self.epoch, epoch, end, ask.last_epoch))]

    # ------------------------------------------------------------------------------------------ following

    def on_ship(self, ship: Ship, heads: Sequence[tuple[int, int, int]], now: int) -> list[Output]:
        """Records or a heartbeat of a leader; `heads` has `(epoch, base offset, count)` of each blob."""
        if ship.epoch < self.promised:
            return [Send(ship.leader, self._shipped(self.promised, matched=False))]
        stuck = ship.epoch == self.epoch and (self.leads or self.diverged)
        if stuck or ship.leader == self.broker:
            return self._reject()
        outputs: list[Output] = []
        if ship.epoch > self.epoch or self.role == "idle":
            outputs += self._step_down(f"epoch {ship.epoch} is led by {ship.leader}")
            if ship.epoch > self.promised:
                outputs.append(self._promise(ship.epoch))
            self._follow(ship.epoch, ship.leader)
        if ship.leader != self.leader:
            return outputs + self._reject()
        if self.role == "asking":
            return [*outputs, self._ask()]
        return outputs + self._store(ship, heads)

    def on_begin(self, begin: Begin) -> list[Output]:
        """The leader has trimmed what this replica lacks. Raises `CorruptRecord` if what it tells makes no log."""
        if begin.epoch < self.promised:
            return [Send(begin.leader, self._shipped(self.promised, matched=False))]
        if self.role != "following" or begin.epoch != self.epoch or begin.leader != self.leader:
            return []
        first, offset = begin.first, begin.first_offset
        if first <= self.end:
            return self._ack()
        if offset < self.end_offset:
            return self._reject()
        whole = Restored(self.promised, self.seat, begin.lineage, first, offset, first, offset, first=first)
        self.log = Outline(whole)
        self._dirty = True
        return [Restart(first), High(first, offset), *self._ack()]

    def on_epoch_end(self, told: EpochEnd, now: int) -> list[Output]:
        """The leader says where the greatest epoch it shares with us may end: cut there, and ask again or follow."""
        if self.role != "asking" or told.epoch != self.epoch or told.asked != self.log.last_epoch:
            return []
        if told.last_epoch > told.asked or told.end < 0:
            return self._reject()
        epoch, end = self.log.end_of(told.last_epoch)
        shared = epoch == told.last_epoch
        outputs = self._truncate(min(end, told.end) if shared else end)
        if self.diverged:
            return outputs
        if not shared and self.end:
            return [*outputs, self._ask()]
        self.role = "following"
        return outputs + self._ack()

    # ----------------------------------------------------------------------------------------------- both

    def trim(self, first: int) -> list[Output]:
        """Let go of the records below `first`, as far as they are committed; each replica does by itself."""
        first = min(first, self.high)
        if first <= self.log.first:
            return []
        self.log.first = first
        return [Trim(first)]

    def synced(self, end: int, now: int) -> list[Output]:
        """A commit is durable that covers every output so far and all records below `end`."""
        self._synced = min(end, self.end)
        self._dirty = False
        if self.leads:
            return self._advance()
        return self._ack() if self._owes_ack else []

    # -------------------------------------------------------------------------------------------- private

    def _check(self, seat: Seat) -> None:
        known = max(self.promised, self.seat.epoch if self.seat else 0)
        if seat.epoch < known:
            raise StaleEpoch(f"partition {self.partition}: epoch {seat.epoch} is over, {known} is promised")
        check_seat(seat, self.partition, self.broker, self.store)

    def _lead(self, seat: Seat, now: int) -> Append:
        self.role, self.epoch, self.leader = "leader", seat.epoch, self.broker
        self._followers = {broker: Progress(broker, now) for broker in seat.followers}
        placed = self._append(0)
        self._start = placed.index
        return Append(EPOCH_START, placed.index, placed.base_offset, placed.epoch)

    def _append(self, count: int) -> Placement:
        placed = Placement(self.end, self.end_offset, self.epoch)
        self.log.append(self.epoch, count)
        self._dirty = True
        return placed

    def _advance(self) -> list[Output]:
        """Commit what W voters hold, the leader included, once that reaches beyond the epoch start."""
        if self.seat is None:
            return []
        others = [follower.acked for follower in self._followers.values() if self._is_voter(follower)]
        held = [self._synced, *sorted(others, reverse=True)[: self.seat.write_quorum - 1]]
        if len(held) < self.seat.write_quorum:
            return []
        upto = min(held)
        if upto <= self._start or not self.log.commit(upto):
            return []
        return [High(self.high, self.high_offset)]

    def _promise(self, epoch: int) -> Promise:
        self.promised = epoch
        self._dirty = True
        return Promise(epoch)

    def _set_seat(self, seat: Seat) -> SetSeat:
        self.seat = seat
        self._dirty = True
        return SetSeat(seat)

    def _step_down(self, why: str) -> list[Output]:
        led = self.leads
        self.role, self.leader, self._owes_ack = "idle", "", False
        self._followers = {}
        return [Lost(f"partition {self.partition}: {why}")] if led else []

    def _follow(self, epoch: int, leader: str) -> None:
        """All records of `epoch` here came from its leader, so a log that ends in it, or is empty, fits already."""
        self.epoch, self.leader, self.diverged = epoch, leader, False
        self.role = "following" if self.log.last_epoch in (0, epoch) else "asking"

    def _ask(self) -> Send:
        return Send(self.leader, AskEpochEnd(self.partition, self.epoch, self.broker, self.log.last_epoch))

    def _shipped(self, epoch: int, matched: bool = True) -> Shipped:
        end = self._synced if matched else self.end
        return Shipped(self.partition, epoch, self.broker, self.store, end, matched)

    def _ack(self) -> list[Output]:
        """Ack now if everything is durable, else when it is."""
        self._owes_ack = self._dirty
        return [] if self._dirty else [Send(self.leader, self._shipped(self.epoch))]

    def _store(self, ship: Ship, heads: Sequence[tuple[int, int, int]]) -> list[Output]:
        first = ship.prev + 1
        if not 0 <= first <= self.end:
            return [Send(self.leader, self._shipped(self.epoch, matched=False))]
        skip = min(self.end - first, len(heads))
        known = [(ship.prev, ship.prev_epoch), *((first + at, heads[at][0]) for at in range(skip))]
        if any(self.log.epoch_at(index) != epoch for index, epoch in known):
            return self._diverge(first)
        fresh = heads[skip:]
        if not self.log.follows(fresh, self.epoch):
            return self._reject()
        outputs: list[Output] = []
        if fresh:
            outputs.append(Store(self.end, skip))
            self._dirty = True
            for epoch, _, count in fresh:
                self.log.append(epoch, count)
        if self.log.commit(min(ship.high, self.end)):
            outputs.append(High(self.high, self.high_offset))
        return outputs + self._ack()

    def _truncate(self, end: int) -> list[Output]:
        if end < self.high:
            return self._diverge(end)
        if end == self.end:
            return []
        self.log.truncate(end)
        self._synced = min(self._synced, end)
        self._dirty = True
        return [Truncate(self.end, self.end_offset)]

    def _diverge(self, end: int) -> list[Output]:
        self.diverged = True
        self.role, self._owes_ack = "idle", False
        return [Diverged(end, self.high)]

    def _reject(self) -> list[Output]:
        self.rejected += 1
        return []
