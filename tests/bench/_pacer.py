"""Bulk at a fixed rate: `python -m tests.bench._pacer TYPE RATE SECONDS URL...`.

It says a line when it begins, and what became of it as a line of JSON at its end.

Open loop: every `BEAT_MS` a batch is due, whatever became of those before, and counts from then until all of it is
acked. It ends early with its standard input's end, as it must not outlive whoever measures.
"""

import asyncio
import json
import os
import sys
import threading
import time

import bus
from console.bench.made import made

BEAT_MS = 10
SIZE = 214


async def publish(type: str, rate: int, seconds: float, urls: list[str]) -> None:
    """All of it; latencies are of batches."""
    took: list[float] = []
    refused = 0
    batch = rate * BEAT_MS // 1000
    async with bus.connect(urls, name="pacer") as fleet:
        await fleet.publish_many(made(type, batch, SIZE, time.time_ns()))

        async def one(due: float, number: int) -> None:
            nonlocal refused
            try:
                await fleet.publish_many(made(type, batch, SIZE, time.time_ns(), number))
                took.append(time.monotonic() - due)
            except bus.BusError:
                refused += batch

        sys.stdout.write("begun\n")
        sys.stdout.flush()
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * 1000 / BEAT_MS)):
                due = begun + number * BEAT_MS / 1000
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(one(due, number))
        ended = time.monotonic()
    took.sort()
    told = {
        "published": batch * len(took),
        "refused": refused,
        "rate": batch * len(took) / (ended - begun),
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _end_with_who_measures() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_who_measures, daemon=True).start()
    asyncio.run(publish(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
    sys.stdout.flush()
    os._exit(0)
