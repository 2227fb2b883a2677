"""A client of a fleet in memory: as `Fleet`, but for what such a fleet cannot promise or has not."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from bus.client.fleet import PUBLISH_SECONDS, Fleet
from bus.client.packing import Receipt
from bus.errors import ClientError
from bus.event import Event

if TYPE_CHECKING:
    from bus.client.ballots import Ballots
    from bus.client.leases import Leases

GUARANTEE = "in memory, of a fleet for tests"


class MemoryFleet(Fleet):
    """See the module. Its receipts say that nothing is durable; ballots and leases are refused at once."""

    async def publish(self, event: Event, acks: str = "quorum", deadline: float = PUBLISH_SECONDS) -> Receipt:
        """See `Fleet.publish`."""
        return _told(await super().publish(event, acks, deadline), acks)

    async def publish_many(
        self,
        events: Iterable[Event],
        acks: str = "quorum",
        on_progress: Callable[[int, int], None] | None = None,
        deadline: float = PUBLISH_SECONDS,
    ) -> list[Receipt]:
        """See `Fleet.publish_many`."""
        return [_told(one, acks) for one in await super().publish_many(events, acks, on_progress, deadline)]

    @cached_property
    def ballots(self) -> "Ballots":
        """Raises ClientError, unless a test has set a fake."""
        raise _has_none("ballots")

    @cached_property
    def leases(self) -> "Leases":
        """Raises ClientError, unless a test has set a fake."""
        raise _has_none("leases")


def _told(receipt: Receipt, acks: str) -> Receipt:
    return msgspec.structs.replace(receipt, guarantee=f"{acks}: {GUARANTEE}")


def _has_none(what: str) -> ClientError:
    return ClientError(
        f"a TestFleet has no {what}: there is no control plane to decide. Set a fake, `fleet.{what} = …`, or test "
        "against a fleet: `signalbox up`, and `bus.connect()`"
    )
