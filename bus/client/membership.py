"""One member of a group at one partition's leader: joining there, taking deliveries, settling them.

Settlements of one turn of the loop leave in one frame. When the leader is lost they are kept, and said again to the
next one after joining there: a new leader takes its members' word for what they hold.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from bus import limits, wire
from bus.batch import decode, unseal
from bus.client.cluster import Cluster, fault_error
from bus.client.connection import Connection, Lost
from bus.client.credit import Share
from bus.client.deliveries import Delivery
from bus.errors import ClientError, CorruptRecord, OutcomeUnknown, ProtocolError, StaleDelivery

if TYPE_CHECKING:
    from bus.client.subscribing import Subscription

_Pending = tuple[wire.Settlement, "asyncio.Future[None]", float]


class Membership:
    """This member at one partition. `held`: deliveries that came and are not ended, by offset.

    `share` is its part of the subscription's credit.
    """

    def __init__(self, subscription: "Subscription", partition: int) -> None:
        self.subscription = subscription
        self.group = subscription.group
        self.partition = partition
        self.share = Share(partition)
        self.held: dict[int, Delivery] = {}
        self.link: Connection | None = None
        self.joined = False
        self.number = 0
        self.retry_at = 0.0
        self.refused_by: Connection | None = None
        self.failures = 0
        self.pending: deque[_Pending] = deque()
        self.asked: dict[int, list[_Pending]] = {}

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
        join = wire.Join(number, one.group, self.partition, one.member, one.settings, credit, self.holds(), one.since)
        if link.ask(number, join, (), heard):
            self.link = link

    def holds(self) -> dict[int, int]:
        """Offset -> attempt of what is worked on here, or settled without an answer: a new leader must not deal it."""
        unanswered = {item.offset: item.attempt for item, _, _ in self.pending}
        return unanswered | {offset: delivery.attempt for offset, delivery in self.held.items()}

    def lose(self) -> None:
        """The session with the leader is over: what was asked there will be said again elsewhere."""
        if self.link is not None:
            self.link.forget(self.number)
            for number in self.asked:
                self.link.forget(number)
        self.link = None
        self.joined = False
        self.number = 0
        for asked in reversed(self.asked.values()):
            self.pending.extendleft(reversed(asked))
        self.asked.clear()
        self.subscription.pool.leave(self.share)
        self.subscription.forget(self)

    def _heard(self, message: Any, blobs: list[bytes]) -> None:
        if isinstance(message, wire.Deliver):
            self._deliver(message, blobs)
        elif isinstance(message, wire.Progress):
            self._told(message)
        elif isinstance(message, wire.Joined):
            self.joined = True
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
            if isinstance(error, ClientError):
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
        if deliver.partition != self.partition or len(blobs) != 1 or len(deliver.rows) != len(deliver.attempts):
            raise ProtocolError(f"Deliver of partition {deliver.partition} does not fit partition {self.partition}")
        header, body = unseal(blobs[0])
        if header.partition != self.partition or any(not 0 <= row < header.count for row in deliver.rows):
            raise ProtocolError(f"Deliver of partition {self.partition} names rows that its record does not have")
        columns = decode(body)
        if columns.count != header.count:
            raise CorruptRecord(f"partition {self.partition}: a record of {header.count} events holds {columns.count}")
        events = columns.events(deliver.rows)
        self.subscription.pool.delivered(self.share, len(events))
        for event, row, attempt in zip(events, deliver.rows, deliver.attempts, strict=True):
            offset = header.base_offset + row
            older = self.held.get(offset)
            if older is not None:
                self.end(older)
            delivery = self.held[offset] = Delivery(event, attempt, offset, header.appended, self)
            self.subscription.take(delivery)
        self.subscription.lend_soon()

    # ------------------------------------------------------------------------------------------ settling

    def end(self, delivery: Delivery) -> None:
        """A delivery is over, one way or another: its credit may be used again."""
        if not delivery.ended:
            delivery.ended = True
            if self.held.get(delivery.offset) is delivery:
                del self.held[delivery.offset]
            self.subscription.pool.ended(self.share)

    def settle(self, delivery: Delivery, settlement: wire.Settlement) -> "asyncio.Future[None]":
        """Queue a settlement for the end of this turn; the future is done when it is durable."""
        future = self._queue(settlement)
        if not self.subscription.closed:
            self.end(delivery)
        return future

    def begin(self, delivery: Delivery) -> None:
        """It was held back, and is given out now: tell the leader, whose clock for it starts then."""
        self._queue(wire.Settlement(delivery.offset, delivery.attempt, "begin"))

    def unsay_begins(self) -> None:
        """The leader is lost: what was begun and not handed out is forgotten, and what was is told in `holds`."""
        self.pending = deque(one for one in self.pending if one[0].verdict != "begin")

    def _queue(self, settlement: wire.Settlement) -> "asyncio.Future[None]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(_seen)
        if self.subscription.closed:
            future.set_exception(ClientError("the subscription is closed: settle inside its `async with`"))
            return future
        self.pending.append((settlement, future, loop.time() + limits.SETTLE_MS_MAX / 1000))
        self.subscription.flush_soon(self)
        return future

    def flush(self) -> None:
        """Send the settlements that are queued."""
        link = self.link
        if link is None or not self.joined:
            return
        while self.pending and link.lost is None:
            items = [self.pending.popleft() for _ in range(min(len(self.pending), limits.SETTLE_ITEMS_MAX))]
            self._send(link, items)

    def lend(self, more: int) -> None:
        """Tell the leader of more credit, or that it has less."""
        if self.link is not None:
            self.link.send(wire.Credit(self.number, more))

    def _send(self, link: Connection, items: list[_Pending]) -> None:
        request = next(self.subscription.cluster.numbers)
        self.asked[request] = items

        def answered(message: Any, _blobs: list[bytes]) -> None:
            link.forget(request)
            self._settled(request, message)

        settle = wire.Settle(request, self.number, self.partition, [item for item, _, _ in items])
        if not link.ask(request, settle, (), answered):
            self._settled(request, Lost("closed", "the session is over"))

    def _settled(self, request: int, message: Any) -> None:
        items = self.asked.pop(request, [])
        if isinstance(message, wire.Settled):
            for item, future, _ in items:
                why = message.stale.get(item.offset)
                begun = self.held.get(item.offset) if item.verdict == "begin" and why is not None else None
                if begun is not None and begun.attempt == item.attempt:
                    self.end(begun)
                if future.done():
                    continue
                if why is None:
                    future.set_result(None)
                else:
                    future.set_exception(
                        StaleDelivery(
                            f"partition {self.partition}, offset {item.offset}, attempt {item.attempt}: {why}"
                        )
                    )
        elif isinstance(message, wire.Fault) and isinstance(fault_error(message), ClientError):
            for _, future, _ in items:
                if not future.done():
                    future.set_exception(fault_error(message))
        else:
            self.pending.extendleft(reversed(items))
            if isinstance(message, wire.Fault):
                self.refused_by = self.link
                self.lose()
                self.retry_at = self.subscription.again_in(limits.REDIAL_MS_MIN / 1000)
        self.subscription.progressed()

    def expire(self, now: float) -> None:
        """Give up settlements that no leader has answered in time."""
        late: list[_Pending] = []
        while self.pending and self.pending[0][2] <= now:
            late.append(self.pending.popleft())
        for request in [request for request, items in self.asked.items() if items[0][2] <= now]:
            late += self.asked.pop(request)
        for item, future, _ in late:
            if not future.done():
                future.set_exception(
                    OutcomeUnknown(
                        f"partition {self.partition}, offset {item.offset}: nobody answered the {item.verdict}; "
                        "unless it took effect, the event comes again"
                    )
                )


def _seen(future: "asyncio.Future[None]") -> None:
    """Who does not await a settlement has chosen not to hear of it: no warning about an exception nobody took."""
    if not future.cancelled():
        future.exception()
