"""An answer that goes out in parts: the agent's generator runs as far as its caller grants."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from bus import wire
from bus.client.calling import packed_payload
from bus.streams import Outflow


class Pouring:
    """One such answer, to request `request`. `send` says something to its caller."""

    def __init__(self, send: Callable[[wire.Message], bool], request: int, parts: int) -> None:
        self._send = send
        self._request = request
        self._flow = Outflow(parts)
        self._granted = asyncio.Event()

    def grant(self, parts: int) -> None:
        """The caller takes more."""
        self._flow.granted(parts)
        self._granted.set()

    async def pour(self, parts: AsyncGenerator[Any, None]) -> wire.Ended:
        """Send all parts; what is to be said at the end. Raises what the generator raises."""
        async with aclosing(parts):
            async for part in parts:
                packed = packed_payload(part)
                while not self._flow.may_send:
                    self._granted.clear()
                    await self._granted.wait()
                self._send(wire.Part(self._request, self._flow.sent(), packed))
        return wire.Ended(self._request, self._flow.parts)
