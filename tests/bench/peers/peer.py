"""What every peer offers to be measured by, and how its servers and its other process are started and ended."""

import multiprocessing
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from console.bench.figures import Histogram

STARTING_S = 60.0
ENDING_S = 20.0
MEASURING_S = 180.0
WARM_S = 1
"""The first second of a paced load is not counted: connections and caches. (Signalbox's own measure warms up, too.)"""
BEAT_S = 0.001
INSTANT_BYTES = 8


class Peer:
    """One system in one setting. A figure that it has not is left as it is here, and is no row of its own.

    `part`: its share of the events of a round, where it would take too long for all.
    """

    name: ClassVar[str]
    durable: ClassVar[str]
    part: ClassVar[float] = 1.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up = ExitStack()

    @classmethod
    def absent(cls) -> str:
        """Why it cannot be measured here, and what would help; empty if it can."""
        return ""

    def start(self) -> None:
        """Start its servers, and wait until they answer."""
        raise LookupError(f"{self.name} has no servers")

    def close(self) -> None:
        """End them."""
        self.up.close()

    def figures(self) -> dict[str, Callable[[int, float], dict[str, float]]]:
        """Measurement -> what does it, given (events, seconds), and returns figures by name."""
        return {}


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


@contextmanager
def server(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server process, and whatever it starts, for as long as the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(what: str, look: Callable[[], Any], log: Path) -> Any:
    """The first answer of `look` that is true and raises no error. Raises TimeoutError with the end of the log."""
    due = time.monotonic() + STARTING_S
    pause = threading.Event()
    while True:
        try:
            found = look()
        except Exception as error:  # each client has errors of its own for "not yet"
            found, why = None, f"{type(error).__name__}: {error}"
        else:
            why = f"it said {found!r}"
        if found:
            return found
        if time.monotonic() > due:
            tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
            raise TimeoutError(f"{what}: not within {STARTING_S:g} s; {why}\n{tail}")
        pause.wait(0.1)


class Apart:
    """The other process: `work(ready, out, *arguments)` sets `ready` when it listens and puts its result into `out`."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._out = context.Event(), context.Queue()
        self._process = context.Process(target=work, args=(self._ready, self._out, *arguments), daemon=True)

    def __enter__(self) -> "Apart":
        self._process.start()
        if not self._ready.wait(STARTING_S):
            self.__exit__()
            raise TimeoutError(f"the other process did not get ready within {STARTING_S:g} s")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(ENDING_S)

    def result(self) -> Any:
        """What it put; waits for it."""
        return self._out.get(timeout=MEASURING_S)


def stamp(instant: int) -> bytes:
    """When an event was due, as the beginning of its payload."""
    return instant.to_bytes(INSTANT_BYTES, "little")


def age(payload: bytes) -> int:
    """Nanoseconds since it was due."""
    return time.monotonic_ns() - int.from_bytes(payload[:INSTANT_BYTES], "little")


def beats(rate: int, total: int) -> Iterator[tuple[int, int]]:
    """`console.bench.pace.Beat` for clients that block: the instant that something was due, and how many were.

    It sleeps because the pace is what is measured against: an event is due at an instant, whatever came of the last.
    """
    began = time.monotonic_ns()
    sent = number = 0
    while sent < total:
        number += 1
        instant = began + int(number * BEAT_S * 1e9)
        left = instant - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
        upto = min(total, int(rate * number * BEAT_S))
        if upto > sent:
            yield instant, upto - sent
            sent = upto


def spread(took: Histogram, unit_ns: float) -> dict[str, float]:
    """p50 and p99."""
    return {name: (took.quantile(share) or 0) / unit_ns for name, share in (("p50", 0.5), ("p99", 0.99))}


MS, US = 1e6, 1e3
