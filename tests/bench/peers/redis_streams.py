"""Redis Streams on one server: every append fsynced before its reply (`appendfsync always`), pipelines of 500."""

import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from console.bench.figures import Histogram
from tests.bench.peers.peer import MS, US, WARM_S, Apart, Peer, age, beats, free_port, server, spread, stamp, until

PIPELINE = 500
READ = 500
BLOCK_MS = 1_000
REQUESTS = 3_000
FIELD = b"d"


class Redis(Peer):
    """One server, no replica."""

    name = "redis, aof always"
    durable = "fsynced on the only one"

    @classmethod
    def absent(cls) -> str:
        if shutil.which("redis-server") is None:
            return "redis-server is not installed: apt-get install redis-server"
        if find_spec("redis") is None:
            return "redis-py is not installed: run `make bench-peers`"
        return ""

    def start(self) -> None:
        self.port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]
        self.up.enter_context(server(command, self.folder / "log"))
        until("Redis answers", lambda: connected(self.port).ping(), self.folder / "log")
        self.streams = 0

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        return {
            "publish 128 B": lambda events, _s: {"rate": self._publish(self._name(), events, 128)[1]},
            "publish 1 KiB": lambda events, _s: {"rate": self._publish(self._name(), events, 1024)[1]},
            "consume 128 B": lambda events, _s: {"rate": self._consume(events)},
            "deliver at 5 k/s": lambda _n, seconds: self._latency(5_000, seconds),
            "request, reply": lambda _n, _s: self._requests(),
        }

    def _name(self) -> str:
        self.streams += 1
        return f"s{self.streams}"

    def _publish(self, stream: str, count: int, size: int) -> tuple[int, float]:
        """When it began, and the rate up to the last reply."""
        client, body = connected(self.port), b"x" * size
        began = time.monotonic_ns()
        for _ in range(0, count, PIPELINE):
            pipeline = client.pipeline(transaction=False)
            for _ in range(PIPELINE):
                pipeline.xadd(stream, {FIELD: body})
            pipeline.execute()
        return began, count / ((time.monotonic_ns() - began) / 1e9)

    def _consume(self, count: int) -> float:
        stream, count = self._name(), count - count % PIPELINE
        with Apart(reading, self.port, stream, count) as far:
            began, _ = self._publish(stream, count, 128)
            return count / ((int(far.result()[0]) - began) / 1e9)

    def _latency(self, rate: int, seconds: float) -> dict[str, float]:
        stream, count, rest = self._name(), int(rate * (seconds + WARM_S)), b"x" * 120
        with Apart(reading, self.port, stream, count) as far:
            client = connected(self.port)
            for instant, due in beats(rate, count):
                pipeline = client.pipeline(transaction=False)
                for _ in range(due):
                    pipeline.xadd(stream, {FIELD: stamp(instant) + rest})
                pipeline.execute()
            return spread(Histogram(far.result()[1][rate * WARM_S :]), MS)

    def _requests(self) -> dict[str, float]:
        took, client = Histogram(), connected(self.port)
        with Apart(answering, self.port):
            for _ in range(REQUESTS):
                began = time.perf_counter_ns()
                client.lpush("request", b"x" * 128)
                client.blpop(["reply"], timeout=5)
                took.record(time.perf_counter_ns() - began)
        return spread(took, US)


def connected(port: int) -> Any:
    """A client."""
    import redis

    return redis.Redis(host="127.0.0.1", port=port)


def reading(ready: Any, out: Any, port: int, stream: str, count: int) -> None:
    """The other process: when the last of `count` came, and their ages. XREAD acks nothing."""
    client = connected(port)
    client.ping()
    last: Any = "0"
    ages: list[int] = []
    ready.set()
    while len(ages) < count:
        for _, entries in client.xread({stream: last}, count=READ, block=BLOCK_MS) or []:
            ages += [age(fields[FIELD]) for _, fields in entries]
            last = entries[-1][0]
    out.put((time.monotonic_ns(), ages))


def answering(ready: Any, _out: Any, port: int) -> None:
    """The other process: give back what was pushed, until it is ended."""
    client = connected(port)
    client.ping()
    ready.set()
    while True:
        got = client.blpop(["request"], timeout=1)
        if got is not None:
            client.lpush("reply", got[1])
