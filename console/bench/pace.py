"""A beat for open-loop load. asyncio's own timers round up to whole milliseconds; a thread's sleep does not."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

BEAT_NS = 1_000_000


class Beat:
    """`beats()` gives, at each beat, the instant it was due and how many events are due at it.

    A beat that was missed because the loop was busy still comes, late, with the instant that it was due.
    """

    def __init__(self, rate: int, total: int) -> None:
        self.rate, self.total = rate, total
        self.late_ns = 0
        """The longest that the loop was behind its schedule."""

    async def beats(self) -> AsyncGenerator[tuple[int, int], None]:
        """Until `total` events were due. To be closed (`aclosing`), which ends its thread."""
        async with _ticking() as (began, tick):
            sent = number = 0
            while sent < self.total:
                number += 1
                instant = began + number * BEAT_NS
                while time.monotonic_ns() < instant:
                    tick.clear()
                    await tick.wait()
                self.late_ns = max(self.late_ns, time.monotonic_ns() - instant)
                upto = min(self.total, self.rate * number * BEAT_NS // 1_000_000_000)
                if upto > sent:
                    yield instant, upto - sent
                    sent = upto


@asynccontextmanager
async def _ticking() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """When the first beat's millisecond began, and an event that is set at each beat."""
    loop = asyncio.get_running_loop()
    tick, over = asyncio.Event(), threading.Event()
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    began = time.monotonic_ns()

    def ring() -> None:
        number = 0
        while not over.is_set():
            number += 1
            left = began + number * BEAT_NS - time.monotonic_ns()
            if left > 0:
                time.sleep(left / 1e9)
                os.eventfd_write(bell, 1)
            # A beat that is over already rings with the next one: the loop reads the clock, not the bell.

    def heard() -> None:
        os.eventfd_read(bell)
        tick.set()

    loop.add_reader(bell, heard)
    thread = threading.Thread(target=ring, name="beat", daemon=True)
    thread.start()
    try:
        yield began, tick
    finally:
        over.set()
        thread.join()
        loop.remove_reader(bell)
        os.close(bell)
