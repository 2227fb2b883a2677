"""One member of a group at one partition's leader: joining there, taking deliveries, settling them.

Settlements of one turn of the loop leave in one frame. When the leader is lost they are kept, and said again to the
next one after joining there: a new leader takes its members' word for what they hold.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bus import limits, wire
from bus.batch import decode, rows_of, unseal
from bus.client.cluster import Cluster, fault_error
from bus.client.connection import Connection, Lost
from bus.client.credit import Share
from bus.client.deliveries import OVER, SETTLED, Arrival, Settling, Verdicts
from bus.errors import ClientError, CorruptRecord, NoSuchGroup, OutcomeUnknown, ProtocolError

if TYPE_CHECKING:
    from bus.client.subscribing import Subscription


class Membership:
    """This member at one partition. `held`: offset -> what brought it, of deliveries that are out.

    `was_joined`: it was a member once; a group that is gone since then was removed, and so was one of an older
    `definition` than what is there: -1 while it was told none. `share` is its part of the
    subscription's credit. `pending`: settlements that no leader was asked to take, or that are to be said again; the
    last ones may still collect more. `absent`: the group is not there, and is not to be made.
    """

    def __init__(self, subscription: "Subscription", partition: int) -> None:
        self.subscription = subscription
        self.group = subscription.group
        self.partition = partition
        self.share = Share(partition)
        self.held: dict[int, Arrival] = {}
        self.link: Connection | None = None
        self.joined = self.was_joined = self.absent = False
        self.number = 0
        self.definition = -1
        self.retry_at = 0.0
        self.refused_by: Connection | None = None
        self.failures = 0
        self.pending: deque[Verdicts] = deque()
        self.asked: dict[int, Verdicts] = {}
        self._collecting: Verdicts | None = None
        self._freed = 0

    @property
    def settling(self) -> bool:
        """Whether settlements are still unanswered."""
        return bool(self.pending or self.asked)

    # ------------------------------------------------------------------------------------------- joining

    def attend(self, cluster: Cluster, now: float) -> None:
        """See that the partition's leader knows this member."""
        link = cluster.leader(self.partition)
        if link is None or link is self.link or (link is self.refused_by and self.retry_at > now):
            return
        if self.link is not None:
            self.link.send(wire.Leave(self.number))
            self.lose()
        number = self.number = next(cluster.numbers)
        one = self.subscription

        def heard(message: Any, blobs: list[bytes]) -> None:
            if self.number == number:
                self._heard(message, blobs)

        credit = one.pool.join(self.share)
        join = wire.Join(
            *(number, one.group, self.partition, one.member, one.settings, credit, self.holds(), one.since),
            create=one.create,
            again=self.was_joined,
            definition=self.definition,
        )
        if link.ask(number, join, (), heard):
            self.link = link

    def holds(self) -> dict[int, int]:
        """Offset -> attempt of what is worked on here, or settled without an answer: a new leader must not deal it."""
        said: dict[int, int] = {}
        for verdicts in self.pending:
            said |= verdicts.attempts()
        return said | {offset: arrival.attempt(arrival.place(offset)) for offset, arrival in self.held.items()}

    def lose(self) -> None:
        """The session with the leader is over: what was asked there will be said again elsewhere."""
        if self.link is not None:
            self.link.forget(self.number)
            for number in self.asked:
                self.link.forget(number)
        self.link = None
        self.joined = False
        self.number = 0
        self.pending.extendleft(reversed(self.asked.values()))
        self.asked.clear()
        self.subscription.pool.leave(self.share)
        self.subscription.forget(self)

    def _heard(self, message: Any, blobs: list[bytes]) -> None:
        if isinstance(message, wire.Deliver):
            self._deliver(message, blobs)
        elif isinstance(message, wire.Progress):
            self._told(message)
        elif isinstance(message, wire.Governed):
            self.subscription.current = message.settings
        elif isinstance(message, wire.Joined):
            self.joined = self.was_joined = True
            self.definition = max(self.definition, message.definition)
            self.subscription.current = message.settings or self.subscription.current
            self.failures = 0
            self.subscription.pool.joined(self.share)
            self.subscription.lend_soon()
            self.subscription.progressed()
            self.flush()
        elif isinstance(message, Lost):
            self.lose()
        elif isinstance(message, wire.Fault):
            self.refused_by = self.link
            self.lose()
            error = fault_error(message)
            if isinstance(error, NoSuchGroup):
                self.subscription.missed(self)
            elif isinstance(error, ClientError):
                self._give_up(error)
                self.subscription.fail(error)
            else:
                self.failures += 1
                wait = limits.REDIAL_MS_MIN / 1000 * 2 ** min(self.failures, 3)
                self.retry_at = self.subscription.again_in(wait)
        else:
            raise ProtocolError(f"{type(message).__name__} answers no Join")

    def _told(self, progress: wire.Progress) -> None:
        if progress.partition != self.partition or progress.floor < 0:
            raise ProtocolError(f"{progress} does not fit partition {self.partition}")
        self.subscription.told(self, progress)

    def _deliver(self, deliver: wire.Deliver, blobs: list[bytes]) -> None:
        if deliver.partition != self.partition or len(blobs) != 1:
            raise ProtocolError(f"Deliver of partition {deliver.partition} does not fit partition {self.partition}")
        header, body = unseal(blobs[0])
        rows = rows_of(deliver.rows, header.count)
        if header.partition != self.partition or not rows or not deliver.attempts.keys() <= set(rows):
            raise ProtocolError(f"Deliver of partition {self.partition} names rows that its record does not have")
        columns = decode(body)
        if columns.count != header.count:
            raise CorruptRecord(f"partition {self.partition}: a record of {header.count} events holds {columns.count}")
        arrival = Arrival(self, header, columns, rows, deliver.attempts)
        offsets = [header.base_offset + row for row in rows]
        if not self.held.keys().isdisjoint(offsets):
            self.end(self.held.keys() & offsets)
        self.held.update(dict.fromkeys(offsets, arrival))
        self.subscription.pool.delivered(self.share, len(rows))
        self.subscription.take(arrival)
        self.subscription.lend_soon()

    # ------------------------------------------------------------------------------------------ settling

    def end(self, offsets: Iterable[int]) -> None:
        """The time of what is held of these is over, though it was not settled: its credit may be used again."""
        for offset in offsets:
            arrival = self.held.pop(offset)
            arrival.ended[arrival.place(offset)] = OVER
            arrival.left -= 1
            self.subscription.pool.ended(self.share)

    def ack(self, arrival: Arrival, places: Sequence[int]) -> Settling:
        """Queue acks, to leave at the end of this turn; awaiting what it gives waits until they are durable."""
        verdicts = self._collect(len(places))
        if verdicts.error is None:
            ended, rows, base, attempts = arrival.ended, arrival.rows, arrival.base, arrival.attempts
            acks, held, out = verdicts.acks, self.held, 0
            for place in places:
                row = rows[place]
                if ended[place] == 0:
                    del held[base + row]
                    out += 1
                if ended[place] or row in attempts:
                    verdicts.items.append(wire.Settlement(base + row, arrival.attempt(place), "ack"))
                else:
                    acks.append(base + row)
                ended[place] = SETTLED
            arrival.left -= out
            self._freed += out
        return Settling(verdicts, arrival, places)

    def settle(self, arrival: Arrival, place: int, settlement: wire.Settlement) -> Settling:
        """Queue a settlement that is not an ack, like `ack`."""
        verdicts = self._collect(1)
        if verdicts.error is None:
            if not arrival.ended[place]:
                del self.held[settlement.offset]
                arrival.left -= 1
                self._freed += 1
            verdicts.items.append(settlement)
            arrival.ended[place] = SETTLED
        return Settling(verdicts, arrival, (place,))

    def begin(self, arrival: Arrival, place: int = 0) -> None:
        """An event was held back, and is given out now: tell the leader, whose clock for it starts then."""
        verdicts = self._collect(1)
        if verdicts.error is None:
            verdicts.items.append(wire.Settlement(arrival.offset(place), arrival.attempt(place), "begin"))

    def renew(self, arrival: Arrival, place: int) -> None:
        """An event is still worked on: the leader's clock for it starts again, and so does the one here."""
        if not arrival.ended[place]:
            self.begin(arrival, place)
            self.subscription.renewed(arrival)

    def unsay_begins(self) -> None:
        """The leader is lost: what was begun and not handed out is forgotten, and what was is told in `holds`."""
        for verdicts in self.pending:
            verdicts.items = [item for item in verdicts.items if item.verdict != "begin"]
        self.pending = deque(one for one in self.pending if one.acks or one.items or one is self._collecting)

    def flush(self) -> None:
        """Send the settlements that are queued."""
        self._collecting = None
        if self._freed:
            self.subscription.pool.ended(self.share, self._freed)
            self._freed = 0
        link = self.link
        if link is None or not self.joined:
            return
        while self.pending and link.lost is None:
            self._send(link, self.pending.popleft())

    def lend(self, more: int) -> None:
        """Tell the leader of more credit, or that it has less."""
        if self.link is not None:
            self.link.send(wire.Credit(self.number, more))

    def _collect(self, count: int) -> Verdicts:
        """The settlements of this turn, with room for `count` more."""
        collecting = self._collecting
        if collecting is not None and collecting.fits(count):
            return collecting
        subscription = self.subscription
        if subscription.closed or subscription.error is not None:
            refused = Verdicts(0.0)
            closed = ClientError("the subscription is closed: settle inside its `async with`")
            refused.end(None, subscription.error or closed)
            return refused
        self._collecting = Verdicts(subscription.now() + limits.SETTLE_MS_MAX / 1000)
        self.pending.append(self._collecting)
        subscription.flush_soon(self)
        return self._collecting

    def _send(self, link: Connection, verdicts: Verdicts) -> None:
        request = next(self.subscription.cluster.numbers)
        self.asked[request] = verdicts

        def answered(message: Any, _blobs: list[bytes]) -> None:
            link.forget(request)
            self._settled(request, message)

        settle = wire.Settle(request, self.number, self.partition, verdicts.items, verdicts.runs())
        if not link.ask(request, settle, (), answered):
            self._settled(request, Lost("closed", "the session is over"))

    def _settled(self, request: int, message: Any) -> None:
        verdicts = self.asked.pop(request, None)
        if verdicts is None:
            pass
        elif isinstance(message, wire.Settled):
            for item in verdicts.items:
                if item.verdict == "begin" and item.offset in message.stale:
                    self._taken_back(item)
            verdicts.end(message.stale)
        elif isinstance(message, wire.Fault) and isinstance(fault_error(message), ClientError):
            verdicts.end(None, fault_error(message))
        else:
            self.pending.appendleft(verdicts)
            if isinstance(message, wire.Fault):
                self.refused_by = self.link
                self.lose()
                self.retry_at = self.subscription.again_in(limits.REDIAL_MS_MIN / 1000)
        self.subscription.progressed()

    def _give_up(self, error: ClientError) -> None:
        """The leader refused this member for good: what it settled is nobody's to answer any more."""
        for verdicts in self.pending:
            verdicts.end(None, error)
        self.pending.clear()
        self._collecting = None

    def _taken_back(self, begin: wire.Settlement) -> None:
        """It was given out here when its leader had taken it back already."""
        arrival = self.held.get(begin.offset)
        if arrival is not None and arrival.attempt(arrival.place(begin.offset)) == begin.attempt:
            self.end([begin.offset])

    def expire(self, now: float) -> None:
        """Give up settlements that no leader has answered in time."""
        late: list[Verdicts] = []
        while self.pending and self.pending[0].deadline <= now:
            late.append(self.pending.popleft())
        for request in [request for request, verdicts in self.asked.items() if verdicts.deadline <= now]:
            late.append(self.asked.pop(request))
        for verdicts in late:
            unknown = "nobody answered the settlement; unless it took effect, the event comes again"
            verdicts.end(None, OutcomeUnknown(unknown))
            if verdicts is self._collecting:
                self._collecting = None
