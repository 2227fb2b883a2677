"""What the control plane says of ballots or leases: one following read for a whole fleet connection.

It begins at the high watermarks of the moment it was first wanted, before anything is asked, so no answer is missed.
After a failure it goes on where it stood. Of the plane's words only those of source `signalbox/plane` count, which
brokers let nobody else say.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

import msgspec

from bus import coordinationlimits as limits
from bus.client.packing import Receipt
from bus.errors import BusError, ClientError
from bus.event import Event
from bus.limits import PUBLISH_MS_MAX

if TYPE_CHECKING:
    from bus.client.fleet import Fleet

log = logging.getLogger("signalbox.coordination")

PLANE_SOURCE = "signalbox/plane"
PUBLISH_SECONDS = PUBLISH_MS_MAX / 1000
SILENT_SECONDS = limits.PLANE_SILENT_MS_MAX / 1000
NOBODY_ANSWERS = "the control plane does not answer: `signalbox status` says how it fares"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> int:
    """Ns of a clock that is never set, and goes on while this process, or its machine, sleeps."""
    return time.clock_gettime_ns(_CLOCK)


class Feed:
    """Follows `pattern`; `heard` gets each event whose source is the plane or whose type is in `others`.

    `ended` is called, once, when it can follow no more, as the fleet was closed. Use: `await feed.open()`, then ask.
    """

    def __init__(
        self,
        fleet: "Fleet",
        pattern: str,
        others: frozenset[str],
        heard: Callable[[Event], None],
        ended: Callable[[BusError], None],
    ) -> None:
        self._fleet = fleet
        self._pattern = pattern
        self._others = others
        self._heard = heard
        self._ended = ended
        self._cursor: dict[int, int] = {}
        self._opening: asyncio.Lock | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See that it follows. Raises ClientError outside `async with`, BrokerUnavailable."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._following is None or self._following.done():
                self._cursor = {partition: extent.high for partition, extent in (await self._fleet.describe()).items()}
                self._following = asyncio.create_task(self._follow())

    async def tell(
        self, type: str, data: msgspec.Struct, key: str, source: str, deadline: float = PUBLISH_SECONDS, id: str = ""
    ) -> Receipt:
        """Publish one event about a ballot or a resource, which is its `key`. `id`: of the event, one is made for "".

        In a context of its own: whatever is being handled meanwhile, this is no step of its saga.
        """
        event = Event(type=type, source=source, id=id, data=msgspec.Raw(msgspec.json.encode(data)), partitionkey=key)
        publishing = self._fleet.publish(event, deadline=max(0.0, deadline))
        return await asyncio.create_task(publishing, context=Context())

    def aside(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something that nobody waits for; what the bus says against it is logged."""

        async def done() -> None:
            try:
                await work
            except BusError as error:
                log.warning("%s", error)

        task = asyncio.create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self) -> None:
        while True:
            try:
                reading = self._fleet.read(self._pattern, start=dict(self._cursor), follow=True, positions=True)
                async for found in reading:
                    self._cursor[found.partition] = found.offset + 1
                    if found.event.source == PLANE_SOURCE or found.event.type in self._others:
                        self._give(found.event)
            except ClientError as error:
                self._ended(error)
                return
            except BusError as error:
                log.warning("following %s goes on where it stands: %s", self._pattern, error)
                await asyncio.sleep(limits.COORDINATION_RETRY_MS / 1000)

    def _give(self, event: Event) -> None:
        try:
            self._heard(event)
        except msgspec.DecodeError as error:
            log.warning("event %s of type %s cannot be read: %s", event.id, event.type, error)
