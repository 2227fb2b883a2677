"""The heartbeats of all agents of a connection: one ticker, so that those of a thousand share a few batches.

Agents with the same interval beat at the same instants, wherever in it they joined. A beat that cannot be said in time
is let go of, as the next one says more.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from bus.agents.limits import BEATS_UNDER_WAY_MAX
from bus.errors import BusError
from bus.event import Event

if TYPE_CHECKING:
    from bus.client.fleet import Fleet

log = logging.getLogger("bus.agents")


def next_beat(now: float, began: float, every: float) -> float:
    """The first multiple of `every` after `began` that lies after `now`; all in seconds of one clock."""
    return began + (int((now - began) / every) + 1) * every


class Beating(Protocol):
    """Who beats: `beat()` makes its heartbeat. `every` in seconds; `due` on the loop's clock."""

    every: float
    due: float

    def beat(self) -> Event:
        """What it says of itself now."""


class Pulse:
    """See the module. `missed` counts beats that could not be said."""

    def __init__(self, fleet: "Fleet") -> None:
        self.missed = 0
        self._fleet = fleet
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._all: dict[Beating, None] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._saying: set[asyncio.Task[None]] = set()

    def add(self, one: Beating) -> None:
        """It beats from its next instant on."""
        one.due = next_beat(self._loop.time(), self._began, one.every)
        self._all[one] = None
        self._changed.set()
        if self._task is None:
            self._task = self._loop.create_task(self._tick())

    def remove(self, one: Beating) -> None:
        """It beats no more."""
        self._all.pop(one, None)

    async def close(self) -> None:
        """Nobody beats any more."""
        self._all.clear()
        tasks = [*self._saying, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tick(self) -> None:
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(min((one.due for one in self._all), default=None)):
                    await self._changed.wait()
            except TimeoutError:
                due = self._due()
                if due:
                    self._say(due)

    def _due(self) -> list[Beating]:
        now = self._loop.time()
        due = [one for one in self._all if one.due <= now]
        for one in due:
            one.due = next_beat(now, self._began, one.every)
        return due

    def _say(self, due: list[Beating]) -> None:
        """Beside what is still being said: that may wait for a partition which the others have nothing to do with."""
        if len(self._saying) >= BEATS_UNDER_WAY_MAX:
            self.missed += len(due)
            return
        task = self._loop.create_task(self._beat(due))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _beat(self, due: list[Beating]) -> None:
        events = [one.beat() for one in due]
        try:
            await self._fleet.publish_many(events, deadline=max(1.0, min(one.every for one in due)))
        except BusError as error:
            self.missed += len(events)
            log.warning("%d heartbeats were not said: %s", len(events), error)
