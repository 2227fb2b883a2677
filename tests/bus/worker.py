"""A member of a group whose order spans partitions, without sockets: the real hold-back, the real pool of credit.

It does what `bus.client.holding` does on an event loop; who drives it carries messages and decides what becomes of what
was given out.
"""

from bus import batch, wire
from bus.client.credit import CreditPool, Share
from bus.groupholdback import Arrived, WorkHold, hold_for

Place = tuple[int, int]
"""(partition, offset)."""


class Worker:
    """`held`: attempt of each event that was delivered and is not over; `given`: those of them that were given out.

    `quiet`: nothing came since the last look at who wants credit.
    """

    def __init__(self, settings: wire.GroupSettings, partitions: int, in_flight: int, now: int) -> None:
        self.hold: WorkHold[tuple[Place, int]] = hold_for(settings, partitions, now)
        room = 1_000 if settings.order == "timestamp" else 0
        self.in_flight = in_flight
        self.pool = CreditPool(in_flight + room, partitions)
        self.shares = [Share(partition) for partition in range(partitions)]
        self.quiet = True
        self.held: dict[Place, int] = {}
        self.given: dict[Place, int] = {}
        self.deps: dict[Place, dict[int, int]] = {}
        self.times: dict[Place, int] = {}

    def joins(self, partition: int) -> int:
        """The credit to join with."""
        return self.pool.join(self.shares[partition])

    def joined(self, partition: int) -> None:
        self.pool.joined(self.shares[partition])

    def holds(self, partition: int) -> dict[int, int]:
        """What the next leader is told."""
        return {offset: attempt for (one, offset), attempt in self.given.items() if one == partition}

    def delivered(self, partition: int, deliver: wire.Deliver, blobs: list[bytes], now: int) -> None:
        header, body = batch.unseal(blobs[0])
        rows = batch.rows_of(deliver.rows, header.count)
        self.pool.delivered(self.shares[partition], len(rows))
        self.quiet = False
        for event, row in zip(batch.decode(body).events(rows), rows, strict=True):
            place, attempt = (partition, header.base_offset + row), deliver.attempts.get(row, 1)
            self.over(place)
            self.held[place] = attempt
            self.deps[place] = dict(event.deps or {})
            self.times[place] = header.appended if event.time is None else event.time
            one = Arrived(*place, attempt, self.times[place], self.deps[place], (place, attempt))
            self.hold.arrived(one, now)

    def told(self, partition: int, progress: wire.Progress, now: int) -> None:
        for place, _ in self.hold.told(progress, now):
            assert progress.partition == partition == place[0]
            self.over(place)

    def lost(self, partition: int, now: int) -> None:
        """The session with a leader is over."""
        for place, _ in self.hold.lost(partition, now):
            self.over(place)
        self.pool.leave(self.shares[partition])

    def go(self, now: int) -> tuple[list[Place], list[Place]]:
        """What is given out now, and what is to be terminated."""
        going = self.hold.go(now, max(0, self.in_flight - len(self.given)))
        given = [place for place, attempt in going if self.held.get(place) == attempt]
        self.given |= {place: self.held[place] for place in given}
        refused = [place for (place, attempt), _ in self.hold.refused() if self.held.get(place) == attempt]
        awaited = self.hold.awaited()
        for share in self.shares:
            share.awaited = share.partition in awaited
        return given, refused

    def over(self, place: Place) -> int:
        """It is settled, or not ours any more; gives its attempt."""
        self.given.pop(place, None)
        attempt = self.held.pop(place, 0)
        if attempt:
            self.pool.ended(self.shares[place[0]])
        return attempt

    def lends(self) -> list[tuple[int, int]]:
        """(partition, credit) to tell the leaders."""
        lent = [*self.pool.lend(small=self.quiet), *self.pool.reclaim(self.shares)]
        self.quiet = True
        return [(share.partition, more) for share, more in lent]
