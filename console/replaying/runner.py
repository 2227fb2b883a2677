"""The run itself: pages of the slice in, each event stamped when it is due, out in the journal's order.

What is due at once goes out together and is waited for before the next, so that the order of a key holds whatever
fails, and all before the position that is said is done. The next page is asked for meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import bus
from console.failures import Failure
from console.limits import REFUSED_SAID_MAX, REPLAY_CHUNK_EVENTS
from console.output import say
from console.replaying.control import Control
from console.replaying.pacing import Pace
from console.replaying.plan import Order, Replayed
from console.replaying.sinks import Sink
from console.replaying.stamping import Stamp
from controlplane.questions import Recorded, SlicePage

Pages = Callable[[int], SlicePage]


class Runner:
    """Fills in what became of it: `published`, `duplicates`, `refused`, `reached`, `ended`, `error`.

    `pages(after)` is called in a thread of its own and may raise Failure; `on_progress(done)` after each chunk.
    """

    def __init__(self, order: Order, stamp: Stamp, pages: Pages, sink: Sink, result: Replayed) -> None:
        self._order = order
        self._stamp = stamp
        self._pages = pages
        self._sink = sink
        self.control = Control()
        self._pace = Pace(order.speed, "time" if result.clock == "time" else "appended")
        self.result = result

    @property
    def done(self) -> int:
        """Events that were handed over."""
        return self.result.published + self.result.duplicates + self.result.refused

    async def run(self, on_progress: Callable[[int], None]) -> None:
        """Until the end, or a stop. Errors of plane and fleet are the result's: it says how to go on."""
        result, after = self.result, max(0, self.result.first - 1)
        try:
            coming = self._ask(after)
            while not result.ended:
                page = await self.control.answer(coming)
                if page is None:
                    result.ended = "interrupted"
                    return
                if not page.done:
                    coming = self._ask(page.after)
                await self._play(page.rows, on_progress)
                if page.done and not result.ended:
                    result.ended = "done"
        except (Failure, bus.BusError) as error:
            result.ended, result.error = "failed", str(error)
        except asyncio.CancelledError:
            # Stopped a second time: no waiting for what was sent.
            result.ended = "interrupted"
            say("stopped at once: what was under way may or may not have arrived")

    def _ask(self, after: int) -> "asyncio.Future[SlicePage]":
        asked = asyncio.ensure_future(asyncio.to_thread(self._pages, after))
        # One that nobody waits for any more may fail in peace: the link is closed then.
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        return asked

    async def _play(self, rows: Sequence[Recorded], on_progress: Callable[[int], None]) -> None:
        control, chunk, positions = self.control, list[bus.Event](), list[int]()

        async def send() -> None:
            if chunk:
                self._tally(chunk, positions, await self._sink.send(chunk))
                on_progress(self.done)
                chunk.clear()
                positions.clear()

        for row in rows:
            if self._order.is_over(row, self.done + len(chunk)):
                await send()
                self.result.ended = self.result.ended or "stopped"
                return
            event = bus.from_json(row.event)
            due = self._pace.due(event, row)
            if len(chunk) >= REPLAY_CHUNK_EVENTS or not control.is_due(due):
                await send()
                if self.result.ended:
                    return
            if not await control.until(due):
                self.result.ended = "interrupted"
                return
            chunk.append(self._stamp(event, row, time.time_ns()))
            positions.append(row.position)
        await send()

    def _tally(self, events: Sequence[bus.Event], positions: Sequence[int], results: Sequence[object]) -> None:
        """Count, and end at the first event that the fleet could not take: all before it is done."""
        result = self.result
        for event, position, became in zip(events, positions, results, strict=True):
            if became == "published":
                result.published += 1
            elif became == "duplicate":
                result.duplicates += 1
            elif isinstance(became, bus.ClientError):
                result.refused += 1
                if result.refused <= REFUSED_SAID_MAX:
                    say(f"{event.id} of position {position}: {became}")
            elif not result.ended:
                result.ended, result.error = "failed", f"{type(became).__name__}: {became}"
            if not result.ended:
                result.reached = position
