"""A following read that all agents of a connection share; it begins again when it breaks. Nothing of it is durable.

It begins a little before now, as clocks differ, so what it gives is remembered for a while and given once.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from bus.agents.limits import FEED_RETRY_MS_MAX, FEED_RETRY_MS_MIN
from bus.agents.seen import NEW, Seen, key_of
from bus.errors import BusError, ClientError

if TYPE_CHECKING:
    from bus.client.fleet import Fleet
    from bus.client.reading import Positioned

log = logging.getLogger("bus.agents")


class Heard:
    """One read, from when it is made until `close`. `hear` gets each event, and where it stands."""

    def __init__(self, fleet: "Fleet", pattern: str, back_ms: int, hear: "Callable[[Positioned], None]") -> None:
        self.pattern = pattern
        self._fleet = fleet
        self._back = f"-{back_ms}ms"
        self._hear = hear
        self._seen = Seen()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        wait_ms = FEED_RETRY_MS_MIN
        while True:
            try:
                async for found in self._fleet.read(self.pattern, start=self._back, follow=True, positions=True):
                    wait_ms = FEED_RETRY_MS_MIN
                    key = key_of(found.event)
                    if self._seen.begin(key) == NEW:
                        self._seen.end(key, done=True)
                        self._hear(found)
                return
            except ClientError as error:
                log.error("%s is not heard any more: %s", self.pattern, error)
                return
            except BusError as error:
                log.info("%s is not heard for a while: %s", self.pattern, error)
            await asyncio.sleep(wait_ms / 1000)
            wait_ms = min(2 * wait_ms, FEED_RETRY_MS_MAX)

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.wait([self._task])
