"""A delivery: one event in the hands of one member, to be settled once.

Settling goes out at once; awaiting it waits until it is durable.
"""

import asyncio
from typing import TYPE_CHECKING

from bus import limits, wire
from bus.errors import ClientError
from bus.event import Event

if TYPE_CHECKING:
    from bus.client.membership import Membership


class Delivery:
    """An event that a group's member is to work on.

    `attempt` counts from 1; `partition`, `offset` and `appended` (the leader's clock, ns) say where the event stands.
    It comes again, perhaps to another member, unless it is settled within `ack_wait`.
    """

    __slots__ = ("_membership", "appended", "attempt", "ended", "event", "group", "offset", "partition")

    def __init__(self, event: Event, attempt: int, offset: int, appended: int, membership: "Membership") -> None:
        self.event = event
        self.attempt = attempt
        self.group = membership.group
        self.partition = membership.partition
        self.offset = offset
        self.appended = appended
        self.ended = False
        self._membership = membership

    def ack(self) -> "asyncio.Future[None]":
        """It is done. Awaiting it waits until that is durable; raises StaleDelivery if another attempt has begun."""
        return self._settle(wire.Settlement(self.offset, self.attempt, "ack"))

    def nack(self, delay: float = 0.0, error: str = "") -> "asyncio.Future[None]":
        """It failed: deliver it again after `delay` seconds. `error` says why, and is kept for its dead letter."""
        if not 0 <= delay <= limits.GROUP_DELAY_MS_MAX / 1000:
            raise ClientError(f"delay={delay}: it is in seconds, 0 to {limits.GROUP_DELAY_MS_MAX // 1000}")
        return self._settle(wire.Settlement(self.offset, self.attempt, "nack", int(delay * 1000), error))

    def terminate(self, reason: str = "") -> "asyncio.Future[None]":
        """It can never succeed: make it a dead letter now, with this reason."""
        return self._settle(wire.Settlement(self.offset, self.attempt, "terminate", 0, reason))

    def over(self) -> None:
        """Its time is up: it counts as out no longer."""
        self._membership.end(self)

    def _settle(self, settlement: wire.Settlement) -> "asyncio.Future[None]":
        return self._membership.settle(self, settlement)

    def __repr__(self) -> str:
        return f"Delivery({self.event!r}, attempt {self.attempt}, partition {self.partition}, offset {self.offset})"
