"""A broker's store at its steady state: commits on a full window under retention, in spans of ten seconds.

`python -m tests.bench.steady --minutes 3` commits turns of records for twelve partitions, as many and as large as told,
as fast as the disk lets it. Each turn appends to some partitions, and trims in bounded slices what lies beyond the
window. A line per span: commits a second, the process's own time per turn and p50 and p99 of a commit in ms, MiB a
second, the file's size. At the end: the last spans' p99 against that of the first span on a full window, which is to
stay within twice. In a folder in memory the processor's part stands alone.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bus.record import EVENTS, Header, seal
from bus.store import Store, open_store

PARTITIONS = 12
SPAN_S = 10.0
MIB = 1 << 20


class Settings(argparse.Namespace):
    """What is run: sizes in bytes; `mix`: sizes vary from an eighth of `record` up to it."""

    minutes: float
    window: int
    store: int
    record: int
    records: int
    mix: bool
    folder: Path | None


def turn(store: Store, settings: Settings, dice: random.Random, body: bytes) -> int:
    """One turn's appends, trims and commit; the bytes appended."""
    room = settings.window // PARTITIONS
    wrote = 0
    for _ in range(settings.records):
        partition = dice.randrange(PARTITIONS)
        mark = store.mark(partition)
        size = dice.randrange(settings.record // 8, settings.record) if settings.mix else settings.record
        header = Header(EVENTS, partition, 1, mark.end_offset, 10, time.time_ns())
        record = seal(header, body[:size])
        store.append(partition, header, record)
        wrote += len(record)
    for partition in range(PARTITIONS):
        excess = store.size(partition) - room
        if excess > 0:
            first = upto = store.first(partition)
            for size in store.sizes(partition, first, first + 4 * settings.records):
                if excess <= 0:
                    break
                excess -= size
                upto += 1
            store.trim(partition, upto)
    return wrote


def measure(settings: Settings, folder: Path, say: Callable[[str], None]) -> list[float]:
    """The p99 of each span once the window is full, ms."""
    store = open_store(folder, PARTITIONS, settings.store)
    dice = random.Random(1)
    body = dice.randbytes(settings.record)
    began = time.monotonic()
    tails: list[float] = []
    full = False
    while time.monotonic() - began < settings.minutes * 60:
        took: list[float] = []
        wrote = 0
        cpu = time.process_time()
        since = time.monotonic()
        full = full or any(store.first(partition) for partition in range(PARTITIONS))
        while time.monotonic() - since < SPAN_S:
            wrote += turn(store, settings, dice, body)
            at = time.perf_counter()
            store.commit()
            took.append((time.perf_counter() - at) * 1000)
        took.sort()
        spent = time.monotonic() - since
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        if full:
            tails.append(p99)
        own = (time.process_time() - cpu) * 1000 / len(took)
        say(
            f"{time.monotonic() - began:6.0f} s {'full' if full else 'fill'} {len(took) / spent:8.1f} commits/s  "
            f"cpu {own:5.2f}  p50 {p50:6.2f}  p99 {p99:7.2f}  max {took[-1]:7.2f} ms  "
            f"{wrote / MIB / spent:7.1f} MiB/s  file {store.bytes_used() / MIB:7.0f} MiB"
        )
    store.close()
    return tails


def main(arguments: list[str]) -> int:
    """Run it as told; 1 when the last spans' p99 is over twice the first one's."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.steady", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--window", type=int, default=512 * MIB)
    parser.add_argument("--store", type=int, default=1024 * MIB)
    parser.add_argument("--record", type=int, default=16 * 1024)
    parser.add_argument("--records", type=int, default=8)
    parser.add_argument("--mix", action="store_true")
    parser.add_argument("--folder", type=Path)
    settings = parser.parse_args(arguments, namespace=Settings())
    folder = settings.folder or Path(tempfile.mkdtemp())
    try:
        tails = measure(settings, folder, lambda line: print(line, flush=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(tails) < 2:
        print("the window was not full for two spans; run it longer")
        return 1
    last = sorted(tails[-3:])[len(tails[-3:]) // 2]
    print(f"p99 of the last spans {last:.2f} ms, of the first full one {tails[0]:.2f} ms: {last / tails[0]:.2f} times")
    return 0 if last <= 2 * tails[0] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
