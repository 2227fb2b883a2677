"""Sockets that can be cut: a TCP proxy in front of each broker, which everyone (other brokers too) reaches it through.

A broker advertises its proxy's address. Who a connection belongs to is read from its first message, the Hello, so a cut
can be between two brokers, between the plane and one broker, or between clients and one broker, in one direction or
both. Three ways to be cut, as networks have them:

- stall: bytes stand still and go on when it heals (a short outage: TCP sends again). Frames arrive late.
- swallow: the sender's bytes are taken and gone; when it heals the connection is reset (a firewall that forgot it).
- reset: the connection is reset at once, and so is every new one until it heals.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from bus import wire
from bus.errors import ProtocolError

CHUNK_BYTES = 64 * 1024
GREETING_BYTES = 64
SNIFFED_BYTES_MAX = 16 * 1024
How = Literal["stall", "swallow", "reset"]
Direction = Literal["both", "to", "from"]


class Greeting:
    """Finds the Hello in what the opener of a ZMTP 3 connection sends. Pure."""

    def __init__(self) -> None:
        self.who = ""
        self._seen = b""
        self._done = False

    def feed(self, data: bytes) -> None:
        """Look at the next bytes; `who` is then "client", "plane" or a broker's id, once it is known."""
        if self._done:
            return
        self._seen += data
        for frame in _messages(self._seen):
            with contextlib.suppress(ProtocolError):
                hello = wire.decode([frame])[0].message
                if isinstance(hello, wire.Hello):
                    self.who = hello.name if hello.role == "broker" else hello.role
            self._done = True
            return
        self._done = len(self._seen) > SNIFFED_BYTES_MAX


def _messages(stream: bytes) -> Iterator[bytes]:
    """The whole message frames of a ZMTP stream, commands left out."""
    at = GREETING_BYTES
    while len(stream) > at + 1:
        flags = stream[at]
        width = 8 if flags & 2 else 1
        if len(stream) < at + 1 + width:
            return
        length = int.from_bytes(stream[at + 1 : at + 1 + width], "big")
        begin = at + 1 + width
        at = begin + length
        if len(stream) >= at and not flags & 4:
            yield stream[begin:at]


class Cut:
    """One cut, until it is healed: of these peers ("" in `who`: of everybody) from one broker."""

    def __init__(self, who: frozenset[str], broker: str, how: How, direction: Direction) -> None:
        self.who = who
        self.broker = broker
        self.how = how
        self.direction = direction
        self.healed = asyncio.Event()

    def holds(self, broker: str, who: str, way: Direction) -> bool:
        """Whether it is in the way of bytes to or from a broker."""
        return broker == self.broker and (not self.who or who in self.who) and self.direction in ("both", way)


class Pipe:
    """One connection through a proxy."""

    def __init__(self, network: "Network", broker: str) -> None:
        self.broker = broker
        self.greeting = Greeting()
        self._network = network
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry both directions until either end goes."""
        self._writers.append(writer)
        try:
            port = self._network.port_of(self.broker)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self.abort()
            return
        self._writers.append(far_writer)
        ways = [
            asyncio.create_task(self._carry(reader, far_writer, "to")),
            asyncio.create_task(self._carry(far_reader, writer, "from")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if way == "to":
                    self.greeting.feed(data)
                while (cut := self._network.cut_of(self, way)) is not None:
                    if cut.how == "reset":
                        return
                    if cut.how == "swallow":
                        await self._swallow(reader, cut)
                        return
                    await cut.healed.wait()
                writer.write(data)
                await writer.drain()

    async def _swallow(self, reader: asyncio.StreamReader, cut: Cut) -> None:
        async def all_of_it() -> None:
            while await reader.read(CHUNK_BYTES):
                self._network.swallowed += 1

        taking = asyncio.create_task(all_of_it())
        await cut.healed.wait()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)

    def abort(self) -> None:
        """Reset both ends: nothing that waits is sent."""
        for writer in self._writers:
            writer.transport.abort()


class Network:
    """The proxies of a fleet's brokers, and what is cut now. `root` is the fleet's data directory."""

    def __init__(self, root: Path, brokers: list[str]) -> None:
        self.swallowed = 0
        self._root = root
        self._cuts: list[Cut] = []
        self._pipes: set[Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sockets = {broker: socket.create_server(("127.0.0.1", 0), backlog=256) for broker in brokers}
        self.urls = {
            broker: f"tcp://127.0.0.1:{listening.getsockname()[1]}" for broker, listening in self._sockets.items()
        }

    async def __aenter__(self) -> "Network":
        for broker, listening in self._sockets.items():
            self._servers.append(await asyncio.start_server(self._taker(broker), sock=listening))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        self.heal_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, who: frozenset[str], broker: str, how: How, direction: Direction = "both") -> Cut:
        """Cut peers ("client", "plane", brokers' ids; none named: everybody) from a broker."""
        made = Cut(who, broker, how, direction)
        self._cuts.append(made)
        if how == "reset":
            for pipe in list(self._pipes):
                if any(made.holds(pipe.broker, pipe.greeting.who, way) for way in ("to", "from")):
                    pipe.abort()
        return made

    def heal(self, cut: Cut) -> None:
        """It never was."""
        if cut in self._cuts:
            self._cuts.remove(cut)
        cut.healed.set()

    def heal_all(self) -> None:
        """Nothing is cut."""
        for cut in list(self._cuts):
            self.heal(cut)

    def cut_of(self, pipe: Pipe, way: Direction) -> Cut | None:
        """What is in the way now."""
        return next((cut for cut in self._cuts if cut.holds(pipe.broker, pipe.greeting.who, way)), None)

    def port_of(self, broker: str) -> int:
        """Where a broker listens behind its proxy, as it says itself. Raises OSError before it has."""
        try:
            told = json.loads((self._root / "brokers" / broker / "broker.json").read_text())
            return int(str(told["listens"]).rpartition(":")[2])
        except (ValueError, KeyError) as error:
            raise OSError(f"{broker} has not said where it listens") from error

    def _taker(self, broker: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        async def carry(pipe: Pipe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._pipes.add(pipe)
            try:
                await pipe.run(reader, writer)
            finally:
                self._pipes.discard(pipe)

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(carry(Pipe(self, broker), reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return take
