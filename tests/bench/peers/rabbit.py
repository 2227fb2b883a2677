"""RabbitMQ on one node: a quorum queue with publisher confirms (pika), and a stream (rstream).

Debian's start script is passed by: it changes the user and uses fixed places. The node gets a name, a cookie, ports and
a directory of its own, and a port mapper (epmd) that ends with it.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from console.bench.figures import Histogram
from console.bench.pace import Beat
from tests.bench.peers.peer import MEASURING_S, MS, WARM_S, Apart, Peer, age, free_port, server, spread, stamp, until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
WINDOW = 1_000
STREAM_WINDOW = 4_000
SLICE = 100
PREFETCH = 2_000
ACK_EACH = 500


class Node(Peer):
    """The server of both."""

    durable = "fsynced on the only one"

    @classmethod
    def absent(cls) -> str:
        if not SERVER.exists() or shutil.which("epmd") is None:
            return "rabbitmq-server is not installed: apt-get install rabbitmq-server"
        if find_spec("pika") is None or find_spec("rstream") is None:
            return "pika and rstream are not installed: run `make bench-peers`"
        return ""

    def start(self) -> None:
        self.port, self.stream_port, mapper = free_port(), free_port(), free_port()
        self.queues = 0
        log, here = self.folder / "log", str(self.folder)
        self.up.enter_context(server(["epmd", "-port", str(mapper), "-address", "127.0.0.1"], log))
        (self.folder / "plugins").write_text("[rabbitmq_stream].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nstream.listeners.tcp.1 = 127.0.0.1:{self.stream_port}\n"
            f"stream.advertised_host = 127.0.0.1\nstream.advertised_port = {self.stream_port}\n"
            "disk_free_limit.absolute = 1GB\n"
        )
        environment = os.environ | {
            "HOME": here,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": f"bench{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{here}/db",
            "RABBITMQ_LOG_BASE": f"{here}/logs",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} -setcookie bench -start_epmd false"
            ),
        }
        self.up.enter_context(server([str(SERVER)], log, environment))
        until("RabbitMQ opens a connection", lambda: opened(self.port), log)
        until("RabbitMQ opens a stream", lambda: asyncio.run(self.fresh_stream()), log)

    def name_one(self) -> str:
        """A name that is not used yet."""
        self.queues += 1
        return f"q{self.queues}"

    async def fresh_stream(self) -> str:
        """A fresh stream's name."""
        name = self.name_one()
        async with stream_producer(self.stream_port) as producer:
            await producer.create_stream(name)
        return name


class Quorum(Node):
    """A quorum queue."""

    name = "rabbitmq, quorum queue"

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: {"rate": self._publish(events, 128)},
            "publish 1 KiB": lambda events, _s: {"rate": self._publish(events, 1024)},
            "consume 128 B": lambda events, _s: {"rate": self._consume(events)},
            "deliver at 5 k/s": lambda _n, seconds: self._latency(5_000, seconds),
        }

    def _queue(self) -> str:
        name = self.name_one()
        line = opened(self.port)
        line.channel().queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        line.close()
        return name

    def _publish(self, count: int, size: int) -> float:
        began, ended = asyncio.run(confirmed(self.port, self._queue(), count, size))
        return count / ((ended - began) / 1e9)

    def _consume(self, count: int) -> float:
        queue = self._queue()
        with Apart(consuming, self.port, queue, count, ACK_EACH) as far:
            began, _ = asyncio.run(confirmed(self.port, queue, count, 128))
            return count / ((int(far.result()[0]) - began) / 1e9)

    def _latency(self, rate: int, seconds: float) -> dict[str, float]:
        queue, count = self._queue(), int(rate * (seconds + WARM_S))
        with Apart(consuming, self.port, queue, count, 1) as far:
            asyncio.run(confirmed(self.port, queue, count, 128, rate))
            return spread(Histogram(far.result()[1][rate * WARM_S :]), MS)


class Stream(Node):
    """A stream: no acks by consumers, and the server's confirm does not wait for a sync."""

    name = "rabbitmq, stream"
    durable = "written by the only one, no fsync"

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: {"rate": self._publish(events, 128)},
            "publish 1 KiB": lambda events, _s: {"rate": self._publish(events, 1024)},
            "consume 128 B": lambda events, _s: {"rate": self._consume(events)},
        }

    def _publish(self, count: int, size: int) -> float:
        began, ended = asyncio.run(self._many(asyncio.run(self.fresh_stream()), count, size))
        return count / ((ended - began) / 1e9)

    async def _many(self, stream: str, count: int, size: int) -> tuple[int, int]:
        async with stream_producer(self.stream_port) as producer:
            confirmed_so_far, more = [0], asyncio.Event()

            async def one(_status: Any) -> None:
                confirmed_so_far[0] += 1
                more.set()

            slice_ = [b"x" * size] * SLICE
            began, sent = time.monotonic_ns(), 0
            while confirmed_so_far[0] < count:
                if sent < count and sent - confirmed_so_far[0] < STREAM_WINDOW:
                    await producer.send_batch(stream, slice_[: count - sent], on_publish_confirm=one)
                    sent += min(SLICE, count - sent)
                else:
                    more.clear()
                    await asyncio.wait_for(more.wait(), MEASURING_S)
            return began, time.monotonic_ns()

    def _consume(self, count: int) -> float:
        stream = asyncio.run(self.fresh_stream())
        with Apart(streaming, self.stream_port, stream, count) as far:
            began, _ = asyncio.run(self._many(stream, count, 128))
            return count / ((int(far.result()) - began) / 1e9)


def parameters(port: int) -> Any:
    """Where the node is."""
    import pika

    return pika.ConnectionParameters("127.0.0.1", port)


def opened(port: int) -> Any:
    """A connection that blocks."""
    import pika

    return pika.BlockingConnection(parameters(port))


def stream_producer(port: int) -> Any:
    """To be entered."""
    from rstream import Producer

    return Producer(host="127.0.0.1", port=port, username="guest", password="guest")


async def confirmed(port: int, queue: str, count: int, size: int, rate: int = 0) -> tuple[int, int]:
    """Publish with confirms, `WINDOW` open at most or at a `rate`; when it began and when the last was confirmed."""
    import pika
    from pika.adapters.asyncio_connection import AsyncioConnection

    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Any] = loop.create_future()
    ended: asyncio.Future[int] = loop.create_future()
    durable = pika.BasicProperties(delivery_mode=2)
    body, sent, acked = b"x" * size, 0, 0

    def on_channel(channel: Any) -> None:
        channel.confirm_delivery(on_confirm, lambda _frame: ready.set_result(channel))

    def on_confirm(frame: Any) -> None:
        nonlocal acked
        acked = max(acked, frame.method.delivery_tag)
        if acked >= count and not ended.done():
            ended.set_result(time.monotonic_ns())
        elif not rate:
            pump()

    def pump() -> None:
        nonlocal sent
        while sent < count and sent - acked < WINDOW:
            ready.result().basic_publish("", queue, body, durable)
            sent += 1

    line = AsyncioConnection(
        parameters(port), on_open_callback=lambda it: it.channel(on_open_callback=on_channel), custom_ioloop=loop
    )
    channel = await asyncio.wait_for(ready, MEASURING_S)
    began = time.monotonic_ns()
    if rate:
        async with aclosing(Beat(rate, count).beats()) as beats:
            async for instant, due in beats:
                for _ in range(due):
                    channel.basic_publish("", queue, stamp(instant) + body[8:], durable)
    else:
        pump()
    finished = await asyncio.wait_for(ended, MEASURING_S)
    closed = asyncio.Event()
    line.add_on_close_callback(lambda *_: closed.set())
    line.close()
    await asyncio.wait_for(closed.wait(), MEASURING_S)
    return began, finished


def consuming(ready: Any, out: Any, port: int, queue: str, count: int, ack_each: int) -> None:
    """The other process: when the last of `count` came, and their ages; acked `ack_each` at a time."""
    line = opened(port)
    channel = line.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    ages: list[int] = []

    def one(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        ages.append(age(body))
        if not len(ages) % ack_each or len(ages) == count:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if len(ages) == count:
            channel.stop_consuming()

    channel.basic_consume(queue, one)
    ready.set()
    channel.start_consuming()
    out.put((time.monotonic_ns(), ages))
    line.close()


def streaming(ready: Any, out: Any, port: int, stream: str, count: int) -> None:
    """The other process: when the last of `count` messages of a stream came."""

    async def take() -> int:
        from rstream import Consumer, ConsumerOffsetSpecification, OffsetType

        consumer = Consumer(host="127.0.0.1", port=port, username="guest", password="guest")
        await consumer.start()
        got, done = 0, asyncio.Event()

        def one(_message: Any, _context: Any) -> None:
            nonlocal got
            got += 1
            if got == count:
                done.set()

        first = ConsumerOffsetSpecification(OffsetType.FIRST, None)
        await consumer.subscribe(stream, one, decoder=lambda body: body, offset_specification=first)
        ready.set()
        await done.wait()
        ended = time.monotonic_ns()
        await consumer.close()
        return ended

    out.put(asyncio.run(take()))
