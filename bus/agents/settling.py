"""What becomes of a delivery, by how its handler ended. Pure.

| it ended | its event is of the handler's own group | of one that agents share | dispatched, by the inbox |
|---|---|---|---|
| well | acked | acked | settled `handled`, acked |
| by an error or its time-out | nacked; the broker counts | nacked | nacked |
| so the last time | | terminated | settled `failed`, acked |
| so, and the plane does not listen any more | | | terminated |
| the payload does not fit | terminated | terminated | settled `refused`, acked |
| the agent left meanwhile | nothing: it is another's at once | nothing | nothing |

A group that agents of many makes share (an inbox, a capability) has settings that none of them chose, so each handler's
own `max_deliver` is kept here. Attempts that ended with their process count: an event that ends whoever takes it is
given up before it is tried once more.
"""

from typing import NamedTuple

from bus.agents.limits import ERROR_CHARS_MAX, RETRY_MS_MAX, RETRY_MS_MIN
from bus.attributes import legible, text_of

WELL, FAILED, UNFIT, LEFT = "well", "failed", "unfit", "left"
"""How a handler ended."""
OWN, SHARED, DISPATCHED = "own", "shared", "dispatched"
"""Where its event came from."""
ACK, NACK, TERMINATE, NOTHING = "ack", "nack", "terminate", "nothing"
"""What is said of the delivery."""


class Verdict(NamedTuple):
    """`how`: one of ACK, NACK, TERMINATE, NOTHING; `delay` of a nack in seconds; `settled`: the outcome that the plane
    is told, "" for none."""

    how: str
    delay: float = 0.0
    settled: str = ""


def verdict(ended: str, origin: str, attempt: int, max_deliver: int, heard: bool = True) -> Verdict:
    """What becomes of a delivery whose handler `ended` so. `attempt` counts from 1; `heard`: the plane listens to what
    is said of its task, so that what went wrong is its to decide."""
    if origin == DISPATCHED and not heard and ended in (FAILED, UNFIT):
        origin = SHARED
    if ended == LEFT:
        return Verdict(NOTHING)
    if ended == WELL:
        return Verdict(ACK, settled="handled" if origin == DISPATCHED else "")
    if ended == UNFIT:
        return Verdict(ACK, settled="refused") if origin == DISPATCHED else Verdict(TERMINATE)
    if attempt >= max_deliver and origin == DISPATCHED:
        return Verdict(ACK, settled="failed")
    if attempt >= max_deliver and origin == SHARED:
        return Verdict(TERMINATE)
    return Verdict(NACK, rest_seconds(attempt))


def is_spent(origin: str, attempt: int, max_deliver: int) -> bool:
    """Whether an event has had all its attempts before this one, none of which came to an end here."""
    return origin != OWN and attempt > max_deliver


def rest_seconds(attempt: int) -> float:
    """How long an event rests after its attempt of this number failed: doubling, within RETRY_MS_MIN and _MAX."""
    return min(RETRY_MS_MIN << min(max(attempt, 1) - 1, 32), RETRY_MS_MAX) / 1000


def told(error: BaseException) -> str:
    """An exception in one line, for a nack and its dead letter."""
    text, name = text_of(error), type(error).__name__
    return legible(f"{name}: {text}" if text else name, ERROR_CHARS_MAX)
