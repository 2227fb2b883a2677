"""A plane's own loop over records that are at hand, without brokers: one turn is stepped while another is committed."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from bus import batch
from controlplane.clock import Clock
from controlplane.directory import Directory
from controlplane.facts import FleetFounded, FoldVersions, PlaneStarted
from controlplane.plane import versions
from controlplane.restoring import restore
from controlplane.turns import Turns
from tests.bench._life import FOLLOWS, PARTITIONS, TURN_RECORDS, Life

Record = tuple[batch.Header, bytes]


class Looped(NamedTuple):
    """How many events, and what they cost, s: of wall, and of all threads' processor."""

    events: int
    wall: float
    cpu: float


def looped(root: Path, life: Life) -> Looped:
    """All events of a life into a new journal; making their records is not counted."""
    offsets: dict[int, int] = {}
    return asyncio.run(_looped(root, _records(life, offsets), offsets))


def _records(life: Life, offsets: dict[int, int]) -> list[Record]:
    now, made = time.time_ns(), list[Record]()
    for partition, events in life.records():
        first = offsets.get(partition, 0)
        offsets[partition] = first + len(events)
        made.append((batch.Header(batch.EVENTS, partition, 1, first, len(events), now), batch.encode(events)))
    return made


async def _looped(root: Path, records: list[Record], offsets: dict[int, int]) -> Looped:
    directory = Directory(root)
    directory.journal.mkdir(parents=True)
    restored = restore(directory)
    turns = Turns(restored.heart, restored.journal, Clock(0), FOLLOWS, lambda intents: None, restored.snapshots)
    try:
        for fact in (PlaneStarted(1, "u"), FoldVersions(versions()), FleetFounded("f", PARTITIONS, 4096, ["b1"])):
            turns.report(fact)
        await turns.turn()
        running = asyncio.create_task(turns.run())
        begun, used = time.perf_counter(), time.process_time()
        await asyncio.gather(turns.recorder.follow(_some(records)), turns.reached(offsets))
        found = Looped(sum(offsets.values()), time.perf_counter() - begun, time.process_time() - used)
        turns.finish()
        await running
        return found
    finally:
        turns.close()
        restored.close()


async def _some(records: list[Record]) -> AsyncIterator[list[Record]]:
    """As they come from brokers, some at a time."""
    for at in range(0, len(records), TURN_RECORDS):
        yield records[at : at + TURN_RECORDS]
        await asyncio.sleep(0)
