"""What an agent gives to be called: a function, the name and capability it is reached under, and for how long.

The work behind it is in `switchboard.py`.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from bus import wire
from bus.call import check_name
from bus.errors import ClientError, InvalidCall

if TYPE_CHECKING:
    from bus.client.switchboard import Switchboard


class CallContext:
    """What an answering function knows of its call beside the payload.

    `caller` is what the caller's client calls itself, `target` and `capability` what was called. `traceparent` and
    `tracestate` are carried on by calls made from within the function, by themselves.
    """

    __slots__ = ("_due", "caller", "capability", "target", "traceparent", "tracestate")

    def __init__(self, caller: str, call: wire.Call) -> None:
        self.caller = caller
        self.target = call.target
        self.capability = call.capability
        self.traceparent = call.traceparent
        self.tracestate = call.tracestate
        self._due = time.monotonic() + call.timeout_ms / 1000

    @property
    def remaining(self) -> float:
        """Seconds until the caller stops waiting and the function is cancelled; never below 0."""
        return max(0.0, self._due - time.monotonic())


Answer = Callable[[Any, CallContext], Awaitable[Any] | AsyncGenerator[Any, None]]
"""`async def answer(payload, context)`: what it returns is the answer; if it is a generator, each of what it yields is
a part of one."""


class Desk(NamedTuple):
    """One function, and under what it is reached."""

    name: str
    capability: str
    answer: Answer
    running_max: int

    @property
    def place(self) -> str:
        return f"{self.name} ({self.capability})" if self.capability else self.name


class Answering:
    """One function that answers calls, in `async with`. `url` is where it is called."""

    def __init__(self, board: Callable[[], "Switchboard"], desk: Desk, within: float) -> None:
        self._make = board
        self._desk = desk
        self._within = within
        self._board: Switchboard | None = None

    @property
    def url(self) -> str:
        """Where it is called. Raises ClientError outside `async with`."""
        if self._board is None:
            raise ClientError("not answering yet: use it in `async with fleet.answers(...)`")
        return self._board.url

    async def __aenter__(self) -> "Answering":
        board = self._make()
        await board.open(self._desk, self._within)
        self._board = board
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            await self._board.shut(self._desk)


def desk(name: str, answer: Answer, capability: str, in_flight: int) -> Desk:
    """A function and under what it is reached, checked. Raises InvalidCall."""
    check_name("name", name)
    if capability:
        check_name("capability", capability)
    if not callable(answer):
        raise InvalidCall(f"{answer!r} cannot be called: give `async def answer(payload, context)`")
    if in_flight < 1:
        raise InvalidCall(f"in_flight={in_flight}: it counts calls worked on at once, from 1")
    return Desk(name, capability, answer, in_flight)
