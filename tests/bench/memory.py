"""Anonymous memory of each broker (RssAnon of /proc/PID/status: mapped log pages aside) under a steady load.

`make bench BENCH=memory` looks for a minute; `python -m tests.bench.memory --minutes 60` for as long as one likes, and
exits 1 if the last quarter's median is more than a tenth above the second quarter's, or the greatest above 150 MB.
The load is a paced publisher and a group that acks each event, on a whole fleet whose plane archives and whose brokers
trim, so that the disk does not end it.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from console.bench.own import own_fleet
from console.bench.plan import Plan
from console.fleetdir import Fleet, brokers_of
from console.planeprocess import Retention
from tests.bench.peers.ours import measured, urls_of

ONLY_IF_NAMED = True
LOOK_S = 0.5
MB = 1_000_000
TARGET_MB = 150
GROWTH_MAX = 1.1
RETENTION = Retention(bytes=32 * 1024 * 1024)


def anonymous(pid: int) -> float:
    """A process's, in MB. Raises OSError when it is gone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / MB
    raise OSError(f"/proc/{pid}/status names no RssAnon")


class Memory:
    """Looks at processes from a thread of its own: `seen` has, at each look, the greatest of them."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.seen: list[float] = []
        self._pids = pids
        self._over = threading.Event()

    def look(self) -> None:
        """Until `stop`."""
        while not self._over.wait(LOOK_S):
            self.seen.append(max(anonymous(pid) for pid in self._pids))

    def stop(self) -> None:
        """No more looks."""
        self._over.set()


@contextmanager
def watched(pids: Sequence[int]) -> Iterator[Memory]:
    """Looked at during the block."""
    memory = Memory(pids)
    thread = threading.Thread(target=memory.look, name="memory")
    thread.start()
    try:
        yield memory
    finally:
        memory.stop()
        thread.join()


def pids_of(home: Fleet) -> list[int]:
    """Of a fleet's brokers."""
    return [int(record["pid"]) for record in brokers_of(home)]


def quarters(seen: Sequence[float]) -> float:
    """The last quarter's median over that of the second: 1 is flat. The first quarter is warming up."""
    size = len(seen) // 4
    return statistics.median(seen[-size:]) / statistics.median(seen[size : 2 * size])


def measure(minutes: float, rate: int, say: Callable[[str], None] = lambda _line: None) -> list[float]:
    """The greatest broker's MB at each look."""
    with own_fleet(3, RETENTION) as (home, _):
        urls = asyncio.run(urls_of(home))
        until = time.monotonic() + minutes * 60
        with watched(pids_of(home)) as memory:
            while (left := until - time.monotonic()) > 1:
                asyncio.run(measured(urls, "latency", Plan(rate=rate, seconds=min(60.0, left))))
                say(f"{memory.seen[-1]:8.1f} MB now, {max(memory.seen):8.1f} MB at most")
        return memory.seen


def run(report: Callable[..., None]) -> None:
    """A minute of it."""
    seen = measure(1.0, 5_000)
    report("the greatest broker's anonymous memory, 5 k/s", seen, "MB", f"target {TARGET_MB} at most")


def main(arguments: Sequence[str]) -> int:
    """As long as told."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    told = parser.parse_args(arguments)
    seen = measure(told.minutes, told.rate, lambda line: print(line, flush=True))
    grown = quarters(seen)
    print(f"median {statistics.median(seen):.1f} MB, greatest {max(seen):.1f} MB; last quarter over second {grown:.2f}")
    return 0 if grown <= GROWTH_MAX and max(seen) <= TARGET_MB else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
