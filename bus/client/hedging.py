"""A call that is made a second time when its answer is late: whichever answers first is taken, the other is stopped.

For calls that may be carried out twice without harm, and whose slowest few are what hurts: it is the caller who knows.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bus.errors import BusError, CallFailed

Attempt = Coroutine[Any, Any, Any]


async def first_of(first: Attempt, other: Callable[[], Attempt | None], after: float) -> tuple[Any, str]:
    """The first answer, and who gave it: `alone` (nobody else was asked), `first` or `second`.

    `other` makes the second attempt when there is no answer `after` seconds; None: there is nobody else. An attempt
    that is not answered leaves it to the other one; what the agent itself raised is an answer. Raises what the first
    raised when neither was answered. Who is still asked when this ends is told to stop.
    """
    tasks = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=after)
        more = None if tasks[0].done() else other()
        if more is None:
            return await tasks[0], "alone"
        tasks.append(asyncio.ensure_future(more))
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for place, task in enumerate(tasks):
                if task in done and _is_answered(task):
                    return task.result(), ("first", "second")[place]
        return tasks[0].result(), "first"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_answered(task: "asyncio.Future[Any]") -> bool:
    error = task.exception()
    return not isinstance(error, BusError) or isinstance(error, CallFailed)
