"""The readers of `subscriptions.py`: `python -m tests.bench._subscribers COUNT URL...` until its stdin ends.

COUNT subscriptions, each at every partition, nine of ten of them watches and the others groups of one member; of each
kind MATCHING / 2 match `bench.order.placed`, the others nothing that is published. They go out as frames, over sessions
enough: events are not decoded here, credit and acks are given back at once.
"""

import asyncio
import sys
from itertools import count
from typing import Any

import bus
from bus import wire
from bus.batch import header_of
from bus.client.connection import Connection

MATCHING = 10
WATCHES_PER_SESSION = 3_000
CREDIT_BYTES = 1 << 20
CREDIT_EVENTS = 256
numbers = count(1)


class Waiting:
    """How many answers are due until all subscriptions are in."""

    def __init__(self) -> None:
        self.due = 0
        self.done = asyncio.Event()

    def answered(self) -> None:
        self.due -= 1
        if self.due == 0:
            self.done.set()


def watch(link: Connection, partition: int, pattern: str, waiting: Waiting) -> None:
    """One watch from now on."""
    number = next(numbers)
    began = False

    def heard(message: Any, blobs: list[bytes]) -> None:
        nonlocal began
        if not isinstance(message, wire.Records):
            raise SystemExit(f"a watch was answered by {message}")
        if not began:
            began = True
            waiting.answered()
        if blobs:
            link.send(wire.Credit(number, sum(map(len, blobs))))

    waiting.due += 1
    link.ask(number, wire.Watch(number, partition, 0, 0, pattern, False, CREDIT_BYTES), (), heard)


def join(link: Connection, partition: int, pattern: str, group: str, waiting: Waiting) -> None:
    """One membership, acking whatever comes."""
    number = next(numbers)

    def heard(message: Any, blobs: list[bytes]) -> None:
        if isinstance(message, wire.Joined):
            waiting.answered()
            return
        if not isinstance(message, wire.Deliver):
            raise SystemExit(f"a member was answered by {message}")
        base = header_of(blobs[0]).base_offset
        items = [
            wire.Settlement(base + row, attempt, "ack")
            for row, attempt in zip(message.rows, message.attempts, strict=True)
        ]
        request = next(numbers)
        link.ask(request, wire.Settle(request, number, partition, items), (), lambda *_: link.forget(request))
        link.send(wire.Credit(number, len(items)))

    waiting.due += 1
    settings = wire.GroupSettings(pattern, -1, 30_000, 5)
    link.ask(number, wire.Join(number, group, partition, "m", settings, CREDIT_EVENTS), (), heard)


def pattern_of(number: int, subscriptions: int) -> str:
    """The first and the last ones match."""
    if number < MATCHING // 2 or number >= subscriptions - MATCHING // 2:
        return "bench.order.*"
    return (f"bench.*.item{number}.>", f"fleet.{number}.*", f"bench.step{number % 10}.failed{number}")[number % 3]


async def subscribe(subscriptions: int, urls: list[str]) -> None:
    """All of them, and stay."""
    waiting = Waiting()
    fleet: bus.Fleet | None = None
    kept: list[bus.Fleet] = []
    taken = 0
    for number in range(subscriptions):
        if fleet is None or taken >= WATCHES_PER_SESSION:
            fleet = bus.connect(urls, name=f"subscriber-{number}")
            kept.append(await fleet.__aenter__())
            await fleet.cluster.describe(range(fleet.cluster.partitions), 30.0)
            taken = 0
        for partition in range(fleet.cluster.partitions):
            link = fleet.cluster.leader(partition)
            if link is None:
                raise SystemExit(f"partition {partition} has no leader")
            pattern = pattern_of(number, subscriptions)
            if 10 * number < 9 * subscriptions and (subscriptions > MATCHING or number < MATCHING // 2):
                watch(link, partition, pattern, waiting)
            else:
                join(link, partition, pattern, f"g{number}", waiting)
        taken += 4
        await asyncio.sleep(0)
    await waiting.done.wait()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for one in kept:
        await one.__aexit__(None, None, None)


if __name__ == "__main__":
    asyncio.run(subscribe(int(sys.argv[1]), sys.argv[2:]))
