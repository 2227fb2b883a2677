"""Frames in memory: openers dial a listener's address; what is sent is taken in the next turn of the loop, in order.

`moved` counts what was sent, and `stirred` is set by it: whoever waits for quiet looks there.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count

from bus.errors import FleetError

FromOpener = Callable[[bytes, list[bytes]], None]
FromListener = Callable[[list[bytes]], None]
_PORT_MAX = 65_535


class Exchange:
    """All listeners and lines of one fleet in memory. Addresses look like sockets' own, and nobody listens there."""

    def __init__(self) -> None:
        self.moved = 0
        self.stirred = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ports = count(1)
        self._identities = count(1)
        self._listeners: dict[str, FromOpener] = {}
        self._openers: dict[bytes, tuple[str, FromListener]] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._draining = False

    def listen(self, take: FromOpener) -> str:
        """A new address; `take(identity, parts)` gets what openers send there."""
        port = next(self._ports)
        if port > _PORT_MAX:
            raise FleetError(f"{_PORT_MAX} listeners were opened in one TestFleet; use another one for each test")
        url = f"tcp://127.0.0.1:{port}"
        self._listeners[url] = take
        return url

    def close(self, url: str) -> None:
        """Nobody listens there any more."""
        self._listeners.pop(url, None)

    def dial(self, url: str, take: FromListener) -> bytes | None:
        """An identity to send with, and `take(parts)` gets what the listener says; None: nobody listens there."""
        if url not in self._listeners:
            return None
        identity = b"m%d" % next(self._identities)
        self._openers[identity] = (url, take)
        return identity

    def hang_up(self, identity: bytes) -> None:
        """The opener takes nothing more."""
        self._openers.pop(identity, None)

    def say(self, identity: bytes, parts: list[bytes]) -> None:
        """An opener sends; what nobody listens for any more is lost, as with sockets."""
        url = self._openers[identity][0]

        def taken() -> None:
            take = self._listeners.get(url)
            if take is not None:
                take(identity, parts)

        self._post(taken)

    def answer(self, identity: bytes, parts: list[bytes]) -> bool:
        """A listener sends; False when its opener has hung up."""
        if identity not in self._openers:
            return False

        def taken() -> None:
            opener = self._openers.get(identity)
            if opener is not None:
                opener[1](parts)

        self._post(taken)
        return True

    def stir(self) -> None:
        """Something has moved."""
        self.moved += 1
        self.stirred.set()

    def _post(self, taken: Callable[[], None]) -> None:
        self.stir()
        self._queue.append(taken)
        if not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """What was sent by now; what that makes others send goes in the next turn."""
        self._draining = False
        for _ in range(len(self._queue)):
            self._queue.popleft()()
