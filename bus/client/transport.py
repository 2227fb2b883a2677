"""What a client reaches others by, and the clock it waits by: ZeroMQ's sockets here, a twin in memory in `bus.testing`.

The clock is for what has to do with deliveries and instants: when they are due, what `start="-5m"` means. How long a
client itself waits for an answer goes by the loop.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

import zmq

from bus.client.connection import Connection, Greeting, Owner
from bus.client.listening import Listener
from bus.session import Session


class Timer(Protocol):
    """Something that is due."""

    def cancel(self) -> None:
        """It is not due any more. Idempotent."""


class Clock(Protocol):
    """Seconds that never go back, and wall time."""

    def time(self) -> float:
        """Seconds since some moment."""

    def time_ns(self) -> int:
        """Wall clock, ns since 1970."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call it in `delay` seconds."""

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call it at `when`, of `time`."""


class Transport(Protocol):
    """Opens sessions with others, and lets others open some. Used by one client, in one event loop."""

    @property
    def clock(self) -> Clock:
        """See the module."""

    def connect(self, url: str, greeting: Greeting, owner: Owner, session: int) -> Connection:
        """Begin a session with whoever listens there; `owner` hears how it goes. Raises zmq.ZMQError for no address."""

    def listen(
        self, fleet: str, name: str, heard: Callable[[Session, Any], None], ended: Callable[[Session], None]
    ) -> Listener:
        """Listen at an address of its own (`url`). Raises FleetError."""

    async def close(self) -> None:
        """Let go of everything, after the last frames have left."""


class LoopClock:
    """The event loop's clock, and the machine's."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.time = loop.time
        self.time_ns = time.time_ns
        self.call_later = loop.call_later
        self.call_at = loop.call_at


class Sockets:
    """ZeroMQ."""

    def __init__(self) -> None:
        self.clock: Clock = LoopClock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def connect(self, url: str, greeting: Greeting, owner: Owner, session: int) -> Connection:
        """See `Transport`."""
        return Connection(self._context, url, greeting, owner, session)

    def listen(
        self, fleet: str, name: str, heard: Callable[[Session, Any], None], ended: Callable[[Session], None]
    ) -> Listener:
        """See `Transport`."""
        return Listener(self._context, fleet, name, heard, ended)

    async def close(self) -> None:
        """See `Transport`; at most `CLOSE_LINGER_MS`."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._context.term))
