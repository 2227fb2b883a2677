"""The floor under the table: sockets and files in Signalbox's shape, with nothing of Signalbox in them.

    publisher -> leader -> two followers, and the consumer

Leader and followers write what a turn brought into a file and sync it; the leader ships before its own sync, acks what
two of the three have synced, and hands that on to the consumer, which decodes it. The files are written over and over,
as a broker's write-ahead log is, since a sync costs less in a file that does not grow. There is nothing else: no
partitions, sessions, checksums, ids that are remembered, groups, acks of consumers. So a figure of the table beside the
same one from here says what the rest costs, on this machine at this moment. The publisher is the process that measures.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

import msgspec
import zmq

from tests.bench._bare import COUNT, Consumed, Event, connected
from tests.bench.peers.peer import MS, beats

BATCH = 500
WINDOW = 16
"""Batches that are not acked yet."""
RATE = 5_000
WARM_S = 0.3
STALL_MS = 20_000
Found = dict[tuple[str, str], list[float]]
"""(measurement, figure) -> its values, a round each; named as the table's rows are."""


def made(count: int, size: int, due: int) -> list[Event]:
    """Events of `size` bytes of payload."""
    identity, data = os.urandom(16), b"x" * size
    return [Event(identity, due, "bench.step.done", f"agent/{at % 5}", f"case-{at}", data) for at in range(count)]


def line(process: "Popen[str]") -> str:
    """The next line that it says. Raises RuntimeError when it has ended."""
    said = process.stdout.readline() if process.stdout else ""
    if not said:
        raise RuntimeError(f"{process.args!r} ended")
    return said.strip()


class Chain:
    """The processes, and this one as their publisher, for as long as the block; with a consumer or without."""

    def __init__(self, folder: Path, *, consumed: bool) -> None:
        self._folder, self._consumed = folder, consumed
        self._up = ExitStack()
        self.processes: dict[str, Popen[str]] = {}
        self._sent = self._acked = 0

    def __enter__(self) -> "Chain":
        with ExitStack() as up:
            first, second = (self._started(up, name, "follower", str(self._folder / name)) for name in ("f1", "f2"))
            readers = [self._started(up, "consumer", "consumer")] if self._consumed else []
            url = self._started(up, "leader", "leader", str(self._folder / "leader"), first, second, *readers)
            self._socket = up.enter_context(connected(zmq.DEALER, url))
            self._up = up.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._up.close()

    def _started(self, up: ExitStack, name: str, *arguments: str) -> str:
        """One more process; where it listens."""
        command = [sys.executable, "-m", "tests.bench._bare", *arguments]
        process = self.processes[name] = up.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))
        up.callback(process.kill)
        return line(process)

    def publish(self, events: list[Event], window: int = WINDOW) -> None:
        """One batch; waits while as many as `window` are not acked. Raises TimeoutError after `STALL_MS`."""
        self._socket.send(msgspec.msgpack.encode(events))
        self._sent += 1
        self.settle(window - 1)

    def settle(self, unacked: int = 0) -> None:
        """Wait until no more than `unacked` batches are. Raises TimeoutError after `STALL_MS`."""
        while self._sent - self._acked > unacked:
            if not self._socket.poll(STALL_MS):
                raise TimeoutError(f"no ack for {STALL_MS} ms, {self._acked} of {self._sent} batches have theirs")
            (self._acked,) = COUNT.unpack(self._socket.recv())

    def flood(self, size: int, seconds: float) -> float:
        """Events acked a second, in batches of `BATCH`. They were made before; each batch is encoded when it goes."""
        events = made(BATCH, size, time.monotonic_ns())
        before, began = self._sent, time.monotonic()
        while time.monotonic() - began < seconds:
            self.publish(events)
        self.settle()
        return (self._sent - before) * BATCH / (time.monotonic() - began)

    def pace(self, seconds: float) -> None:
        """`RATE` events a second, a batch each millisecond, whatever became of those before."""
        total = max(1, int(RATE * seconds))
        for due, count in beats(RATE, total):
            self.publish(made(count, 128, due), total)
        self.settle()

    def consumed(self) -> Consumed:
        """What the consumer has had since it was last asked."""
        self.publish([])
        return msgspec.json.decode(line(self.processes["consumer"]), type=Consumed)


def measure(folder: Path, seconds: float) -> dict[tuple[str, str], float]:
    """One round, each part of it after a while to get warm."""
    found = {}
    with Chain(folder, consumed=False) as chain:
        for name, size in (("publish 128 B", 128), ("publish 1 KiB", 1024)):
            chain.flood(size, min(WARM_S, seconds))
            found[name, "rate"] = chain.flood(size, seconds)
    with Chain(folder, consumed=True) as chain:
        chain.flood(128, min(WARM_S, seconds))
        chain.consumed()
        began = time.monotonic_ns()
        chain.flood(128, seconds)
        had = chain.consumed()
        found["consume 128 B", "rate"] = had.count / (had.ended - began) * 1e9
        chain.pace(min(WARM_S, seconds))
        chain.consumed()
        chain.pace(seconds)
        had = chain.consumed()
        found["deliver at 5 k/s", "p50"], found["deliver at 5 k/s", "p99"] = had.p50 / MS, had.p99 / MS
    return found


def floor(rounds: int = 3, seconds: float = 2.5) -> Found:
    """Each figure of so many rounds; each of its parts takes `seconds`."""
    found: Found = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="signalbox-bare-") as folder:
            for key, value in measure(Path(folder), seconds).items():
                found.setdefault(key, []).append(value)
    return found


def run(report: Callable[..., None]) -> None:
    """Print the figures."""
    for (name, figure), values in floor().items():
        report(f"bare sockets and files, {name}, {figure}", values, "events/s" if figure == "rate" else "ms")
