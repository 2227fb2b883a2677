"""Sessions over an `Exchange`: the client's connection and listener without their sockets, and what makes them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bus.client.connection import Connection, Greeting, Owner
from bus.client.listening import Listener
from bus.session import Session, State
from bus.testing.clock import HandClock
from bus.testing.exchange import Exchange


class MemoryConnection(Connection):
    """See `Connection`. It never falls silent, and is lost only when either side says so."""

    def __init__(self, exchange: Exchange, url: str, greeting: Greeting, owner: Owner, session: int) -> None:
        self.url = url
        self.owner = owner
        self.session = Session(session, now=time.monotonic_ns())
        self.routes = {}
        self.strays = 0
        self.lost = None
        self.obeyed = True
        self._loop = asyncio.get_running_loop()
        self._dismissed = False
        self._born = time.monotonic_ns()
        self._exchange = exchange
        self._identity = exchange.dial(url, self._taken)
        if self._identity is None:
            self._lose("refused", f"nothing answers at {url}")
        else:
            self._greet(greeting)

    def _taken(self, parts: list[bytes]) -> None:
        if self.lost is None:
            self._take(parts)

    def _transmit(self, frames: list[bytes]) -> bool:
        if self._identity is not None:
            self._exchange.say(self._identity, frames)
        return True

    def _farewell(self, code: str, reason: str) -> None:
        if self.session.state in (State.GREETING, State.OPEN):
            self._transmit(self.session.bye(code, reason))

    def _release(self) -> None:
        if self._identity is not None:
            self._exchange.hang_up(self._identity)
            self._identity = None


class MemoryListener(Listener):
    """See `Listener`."""

    def __init__(
        self,
        exchange: Exchange,
        fleet: str,
        name: str,
        heard: Callable[[Session, Any], None],
        ended: Callable[[Session], None],
    ) -> None:
        self._begin(fleet, name, heard, ended)
        self.url = exchange.listen(self._take)
        self._exchange = exchange
        self._is_over = False

    @property
    def _closed(self) -> bool:
        return self._is_over

    def _write(self, identity: bytes, frames: list[bytes]) -> bool:
        return self._exchange.answer(identity, frames)

    def _look(self) -> None:
        """Nothing waits unseen here."""

    def close(self) -> None:
        """Say Bye to all, and listen no more. Idempotent."""
        if not self._is_over:
            self._is_over = True
            self._dismiss()
            self._exchange.close(self.url)


class MemoryTransport:
    """See `bus.client.transport.Transport`."""

    def __init__(self, exchange: Exchange, clock: HandClock) -> None:
        self.clock = clock
        self._exchange = exchange

    def connect(self, url: str, greeting: Greeting, owner: Owner, session: int) -> Connection:
        """See `Transport`."""
        return MemoryConnection(self._exchange, url, greeting, owner, session)

    def listen(
        self, fleet: str, name: str, heard: Callable[[Session, Any], None], ended: Callable[[Session], None]
    ) -> Listener:
        """See `Transport`."""
        return MemoryListener(self._exchange, fleet, name, heard, ended)

    async def close(self) -> None:
        """There is nothing to let go of."""
