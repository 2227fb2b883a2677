"""Round trips of `fleet.call`, 128 bytes there and back, one after the other, between two processes.

Beside it, in the same run: the same bytes between a bare ZeroMQ DEALER and ROUTER that do nothing else, which is what
this machine can do at the moment; and calls whose handler is reached from 16 tasks at once. Every call leaves its trace
event, as always.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zmq

import bus
from tests.bus.rig import rig

CALLS = 5_000
WARM = 200
TASKS = 16
RUNS = 3
PAYLOAD = "x" * 126  # with two bytes of MessagePack, 128


@contextmanager
def callee(argument: str) -> Iterator[str]:
    """The other process; gives its first line."""
    command = [sys.executable, "-m", "tests.bench._callee", argument]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("no stdout")
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=20)


def floor() -> list[float]:
    """Microseconds of round trips between bare sockets."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    took = []
    with callee("bare") as url, context, context.socket(zmq.DEALER) as socket:
        socket.connect(url)
        body = b"x" * 128
        for _ in range(CALLS):
            began = time.perf_counter_ns()
            socket.send(body)
            socket.recv()
            took.append((time.perf_counter_ns() - began) / 1_000)
        socket.send(b"end")
    return sorted(took)


async def sequential(fleet: bus.Fleet, calls: int) -> list[float]:
    """Microseconds of calls, one after the other."""
    took = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        await fleet.call("agent/echo", PAYLOAD)
        took.append((time.perf_counter_ns() - began) / 1_000)
    return sorted(took)


async def measure(url: str, report: Callable[..., None]) -> None:
    """Latency, then throughput."""
    async with bus.connect(url, name="caller") as fleet:
        await sequential(fleet, WARM)
        runs = [await sequential(fleet, CALLS) for _ in range(RUNS)]
        for share in (0.5, 0.99):
            values = [took[int(len(took) * share)] for took in runs]
            report(f"call, 128 B, {CALLS:,} in sequence, p{share * 100:.0f}", values, "µs")
        rates = []
        for _ in range(RUNS):
            began = time.monotonic()
            await asyncio.gather(*(sequential(fleet, CALLS // TASKS) for _ in range(TASKS)))
            rates.append(CALLS / (time.monotonic() - began))
        report(f"calls from {TASKS} tasks", rates, "calls/s")


def run(report: Callable[..., None]) -> None:
    """Print the figures."""
    took = floor()
    report("bare DEALER and ROUTER, 128 B", took, "µs", f"p99 {took[int(len(took) * 0.99)]:.1f} µs")
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder), partitions=1, brokers=1) as fleet:
        fleet.elect(0)
        url = fleet.processes["b1"].url
        with callee(url):
            asyncio.run(measure(url, report))
