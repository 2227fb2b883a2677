"""The trace of calls: one event for each call, `agent.call.completed` or `agent.call.failed`, published best effort.

No call waits for it: what is known of a call is queued when it is over, and published with others a little later.
What finds no room, or no fleet that takes it, is counted, and nobody is told.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from bus import limits
from bus.errors import BusError, PublishError
from bus.event import Event

COMPLETED = "agent.call.completed"
FAILED = "agent.call.failed"
log = logging.getLogger("bus.client")


class CallTrace(NamedTuple):
    """What is told of one call. `error` is "" or the name of the error it failed with; `ended` is ns since 1970.

    `more` is what only some calls have: `hedge` (`after_ms`, and which attempt `won`: alone, first, second, or "" for
    none), or `stream` (how many `parts` were taken, and whether those were the `whole` of it).
    """

    target: str
    capability: str
    traceparent: str
    tracestate: str
    took_us: int
    ended: int
    error: str = ""
    why: str = ""
    more: dict[str, Any] | None = None

    def event(self, source: str) -> Event:
        """The event that tells it. It has no subject: that would be a saga, and one for every agent ever called."""
        data: dict[str, Any] = {"target": self.target, "took_us": self.took_us}
        if self.capability:
            data["capability"] = self.capability
        if self.error:
            data |= {"error": self.error, "why": self.why}
        if self.more:
            data |= self.more
        return Event(
            type=FAILED if self.error else COMPLETED,
            source=source,
            time=self.ended,
            data=data,
            traceparent=self.traceparent,
            tracestate=self.tracestate or None,
            priority="low",
        )


class CallTraces:
    """The queue. `dropped` counts traces that found no room in it, `lost` those that the fleet did not take."""

    def __init__(self, publish: Callable[[Iterable[Event], str, float, None], Awaitable[Any]], source: str) -> None:
        self.dropped = 0
        self.lost = 0
        self._publish = publish
        self._source = source
        self._queue: deque[CallTrace] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, trace: CallTrace) -> None:
        """Queue the trace of a call that is over."""
        if len(self._queue) >= limits.CALL_TRACES_MAX:
            self.dropped += 1
            return
        self._queue.append(trace)
        if self._timer is None and self._task is None:
            self._timer = asyncio.get_running_loop().call_later(limits.CALL_TRACE_LINGER_MS / 1000, self._begin)

    async def close(self) -> None:
        """Publish what is queued, for a short while at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.CALL_TRACE_CLOSE_MS / 1000
        while self._timer is not None or self._task is not None:
            if self._timer is not None:
                self._timer.cancel()
                self._begin()
            if self._task is not None:
                _, late = await asyncio.wait([self._task], timeout=deadline - loop.time())
                for task in late:
                    task.cancel()
                    await asyncio.wait([task])
                    return

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        taken, self._queue = self._queue, deque()
        try:
            events = [trace.event(self._source) for trace in taken]
            await self._publish(events, "leader", limits.CALL_TRACE_MS_MAX / 1000, None)
        except PublishError as error:
            self.lost += sum(isinstance(result, BusError) for result in error.results)
        except BusError as error:
            self.lost += len(taken)
            log.info("the traces of %d calls were not published: %s", len(taken), error)
        finally:
            self._task = None
        if self._queue:
            self._timer = asyncio.get_running_loop().call_later(limits.CALL_TRACE_LINGER_MS / 1000, self._begin)
