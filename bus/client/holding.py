"""A member of a group whose order spans partitions: what leaders deliver is held back here until its turn has come.

Of such a group one member works, at all partitions; the others are joined everywhere and stand by (`bus.groupactive`).
The hold-back itself is `bus.groupholdback`. An event that is held has no deadline and is no attempt that could fail:
when it is given out its leader is told that it has begun. What is held when its leader is lost, or when another member
takes over, is forgotten here and delivered again.

Held events keep their credit. By time there is a pool of its own for them, as all that arrives is held for the
lateness; at most `in_flight` are given out beside it. By cause they share `in_flight`, and the partition that something
waits for may always have one more (`bus.client.credit`), so that a cause comes however much is held for it.
"""

from collections.abc import AsyncIterator, Callable

from bus import limits, wire
from bus.client.cluster import Cluster
from bus.client.deliveries import Arrival, Delivery, DeliveryBatch
from bus.client.membership import Membership
from bus.client.subscribing import Subscription
from bus.client.transport import Timer
from bus.errors import ClientError
from bus.groupholdback import Arrived, WorkHold, hold_for


class OrderedSubscription(Subscription):
    """See the module, and `Ordered` for the counts. Made by `Fleet.subscribe`."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        settings: wire.GroupSettings,
        in_flight: int,
        name: str,
        saw: Callable[[int, int], None] | None = None,
    ) -> None:
        room = limits.HOLDBACK_EVENTS_MAX if settings.order == "timestamp" else 0
        super().__init__(cluster, group, settings, min(in_flight + room, limits.IN_FLIGHT_EVENTS_MAX), name, saw)
        self.since = cluster.clock.time_ns()
        self._in_flight = in_flight
        self._hold: WorkHold[Arrival] = hold_for(settings, cluster.partitions, self._now())
        self._releasing = False
        self._release_at: Timer | None = None

    def waiting(self) -> list[tuple[Delivery, int, int]]:
        """(delivery, partition, offset) of the first that waits in each partition for a cause, and one that is not
        settled yet. By cause only."""
        return [(Delivery(one, 0), partition, offset) for one, partition, offset in self._hold.waits()]

    def widen(self, in_flight: int) -> None:
        """Let so many be given out at once from now on, if these are more than before."""
        super().widen(in_flight)
        self._in_flight = max(self._in_flight, in_flight)

    def batches(self) -> AsyncIterator[DeliveryBatch]:
        """There are none: events are given out one by one, each in its turn. Raises ClientError."""
        raise ClientError(
            f"batches: group {self.group} has order={self.settings.order!r}, which gives out one event at a time; "
            "iterate over the subscription itself, or use a group with order='none' or 'strict'"
        )

    # ------------------------------------------------------------------------------------------ what comes

    def take(self, arrival: Arrival) -> None:
        """Deliveries came; each is held until its turn."""
        membership, now = arrival.membership, self._now()
        self._arrivals += 1
        for part in arrival.apart():
            offset, event = part.offset(0), part.events[0]
            membership.held[offset] = part
            at = part.appended if event.time is None else event.time
            self._hold.arrived(Arrived(membership.partition, offset, part.attempt(0), at, event.deps or {}, part), now)
        self._release_soon()

    def told(self, membership: Membership, progress: wire.Progress) -> None:
        """A leader says how far it is, and perhaps that another member works there now."""
        for one in self._hold.told(progress, self._now()):
            membership.end(one.out())
        self._release_soon()

    def forget(self, membership: Membership) -> None:
        """Its leader is lost: what was not handed out yet will be delivered again by the next one."""
        super().forget(membership)
        membership.unsay_begins()
        for one in self._hold.lost(membership.partition, self._now()):
            membership.end(one.out())
        self._release_soon()

    # ------------------------------------------------------------------------------------------ what goes

    def _now(self) -> int:
        return int(self._clock.time() * 1e9)

    def _release_soon(self) -> None:
        if not self._releasing and not self.closed:
            self._releasing = True
            self._loop.call_soon(self._release)

    def _release(self) -> None:
        """Give out what may go now, and see when to look again."""
        self._releasing = False
        if self._release_at is not None:
            self._release_at.cancel()
            self._release_at = None
        if self.closed:
            return
        hold, now = self._hold, self._now()
        given = sum(one.share.out for one in self._memberships) - len(hold)
        for one in hold.go(now, max(0, self._in_flight - given)):
            if one.left:
                one.membership.begin(one)
                super().take(one)
        for one, why in hold.refused():
            one.membership.settle(one, 0, wire.Settlement(one.offset(0), one.attempt(0), hold.verdict, 0, why))
        awaited = hold.awaited()
        for membership in self._memberships:
            membership.share.awaited = membership.partition in awaited
        if awaited:
            self.lend_soon()
        due = hold.due(now)
        if due is not None and due > now:
            self._release_at = self._clock.call_at(due / 1e9, self._release)

    def _flush(self) -> None:
        super()._flush()
        self._release_soon()  # what was settled makes room for others

    def _tick(self) -> None:
        super()._tick()
        self._release_soon()

    def _let_go(self) -> None:
        super()._let_go()
        if self._release_at is not None:
            self._release_at.cancel()
