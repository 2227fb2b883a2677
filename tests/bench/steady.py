"""A broker's store at its steady state: commits on a full window under retention, in spans of ten seconds.

`python -m tests.bench.steady --minutes 3` commits turns of records for twelve partitions, as many and as large as told,
as fast as the disk lets it. Each turn appends to some partitions, and trims in bounded slices what lies beyond the
window. A line per span: commits a second, the process's own time per turn and p50 and p99 of a commit in ms, MiB a
second, the file's size. Beside each commit a *control* writes as many bytes to a file that never grows, and syncs it:
what others do to the disk and the processors meanwhile slows both. At the end: the last spans' p99 against that of the
first span on a full window, as it is and as multiples of the control's; the latter is to stay within twice. In a
folder in memory the processor's part stands alone.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bus.record import EVENTS, Header, seal
from bus.store import Store, open_store

PARTITIONS = 12
SPAN_S = 10.0
CONTROL_BYTES = 64 * 1024 * 1024
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


class Control:
    """A file of fixed size, written round and round."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(bytes(size))
        os.fsync(self._file.fileno())
        self._size = size
        self._at = 0

    def write(self, body: bytes) -> float:
        """The ms it took."""
        if self._at + len(body) > self._size:
            self._at = 0
        began = time.perf_counter()
        os.pwrite(self._file.fileno(), body, self._at)
        os.fdatasync(self._file.fileno())
        self._at += len(body)
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        self._file.close()


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def measure(settings: Settings, folder: Path, say: Callable[[str], None]) -> list[tuple[float, float]]:
    """The p99 of each span once the window is full, ms; of commits, and of the control."""
    store = open_store(folder, PARTITIONS, settings.store)
    dice = random.Random(1)
    body = dice.randbytes(settings.record)
    began = time.monotonic()
    control = Control(folder / "control", CONTROL_BYTES)
    tails: list[tuple[float, float]] = []
    full = False
    while time.monotonic() - began < settings.minutes * 60:
        took: list[float] = []
        beside: list[float] = []
        wrote = 0
        cpu = time.process_time()
        since = time.monotonic()
        full = full or any(store.first(partition) for partition in range(PARTITIONS))
        while time.monotonic() - since < SPAN_S:
            fresh = turn(store, settings, dice, body)
            wrote += fresh
            at = time.perf_counter()
            store.commit()
            took.append((time.perf_counter() - at) * 1000)
            beside.append(control.write(bytes(fresh)))
        took.sort()
        spent = time.monotonic() - since
        if full:
            tails.append((p99(took), p99(beside)))
        own = (time.process_time() - cpu) * 1000 / len(took)
        say(
            f"{time.monotonic() - began:6.0f} s {'full' if full else 'fill'} {len(took) / spent:8.1f} commits/s  "
            f"cpu {own:5.2f}  p50 {took[len(took) // 2]:6.2f}  p99 {p99(took):7.2f} (control {p99(beside):7.2f}) ms  "
            f"{wrote / MIB / spent:7.1f} MiB/s  file {store.bytes_used() / MIB:7.0f} MiB"
        )
    store.close()
    control.close()
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
    last = [statistics.median(kind) for kind in zip(*tails[-3:], strict=True)]
    grown = (last[0] / last[1]) / (tails[0][0] / tails[0][1])
    first = tails[0]
    print(f"p99 of the last spans {last[0]:.2f} ms, of the first {first[0]:.2f} ms: {last[0] / first[0]:.2f} times")
    print(
        f"as multiples of the control: {last[0] / last[1]:.2f} and {tails[0][0] / tails[0][1]:.2f}: {grown:.2f} times"
    )
    return 0 if grown <= 2 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
