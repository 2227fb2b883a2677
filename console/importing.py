"""`event import`: logs into the fleet, in batches, until everything is acked."""

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bus
from console.fleetdir import Fleet
from console.limits import REJECTS_SAID_MAX
from console.logfile import STDIN, Rejects, check_logs, events, lines, stem
from console.measure import many
from console.output import say
from console.progress import Progress

# Parsing makes no cycles, and walking what was parsed so far over and over costs a third of the time.
_GC_THRESHOLD = 200_000


@dataclass
class Imported:
    """What became of an import, all logs together; counts are events, `rejected` bad lines and refused events.

    `imported` are acked; `duplicates` of those stood in the fleet already, and were not appended again.
    """

    imported: int = 0
    duplicates: int = 0
    rejected: int = 0
    seconds: float = 0.0
    rejects: list[str] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)


def connect(fleet: Fleet) -> "bus.Fleet":
    """The bus of the fleet that is meant."""
    return bus.connect(fleet.url) if fleet.url else bus.connect(data_dir=fleet.data_dir)


def run(fleet: Fleet, logs: list[str], name: str, rejects: Path | None, acks: str) -> Imported:
    """Import logs one after another. Raises BusError when no fleet answers, Failure for files that cannot be used."""
    before = gc.get_threshold()
    gc.set_threshold(_GC_THRESHOLD, *before[1:])
    try:
        return asyncio.run(_run(fleet, logs, name, rejects, acks))
    finally:
        gc.set_threshold(*before)


async def _run(fleet: Fleet, logs: list[str], name: str, rejects: Path | None, acks: str) -> Imported:
    result = Imported()
    given = Rejects(rejects) if rejects is not None else None
    async with connect(fleet) as client:
        check_logs(logs, rejects)
        for log in logs:
            bad = given or Rejects(None)
            before = bad.count
            progress = Progress(f"import {stem(log)}")
            try:
                receipts = await _import(client, log, name or stem(log), bad, acks, progress)
            finally:
                progress.close()
                if bad is not given:
                    bad.close()
            count, duplicates = len(receipts), sum(receipt.duplicate for receipt in receipts)
            result.imported += count
            result.duplicates += duplicates
            result.rejected += bad.count - before
            result.seconds += progress.seconds
            rejected = bad.count - before
            result.logs.append({"log": log, "imported": count, "duplicates": duplicates, "rejected": rejected})
            if bad.count and bad.path is not None and str(bad.path) not in result.rejects:
                result.rejects.append(str(bad.path))
    if given is not None:
        given.close()
    return result


async def _import(
    client: "bus.Fleet", log: str, name: str, bad: Rejects, acks: str, progress: Progress
) -> list["bus.Receipt"]:
    """One log; the receipts of its events."""
    numbers: list[int] = []

    def source() -> Iterator["bus.Event"]:
        yield from events(log, bad, importof=name, numbers=numbers)

    try:
        return await client.publish_many(source(), acks=acks, on_progress=lambda done, _taken: progress.advance(done))
    except asyncio.CancelledError:
        say(
            f"stopped: {many(progress.done, 'event')} of {log} acked, the rest may or may not be; "
            "import it again, what is there already is not appended twice"
        )
        raise
    except bus.PublishError as error:
        refused = {
            numbers[place]: result for place, result in enumerate(error.results) if isinstance(result, bus.BusError)
        }
        _give_back(log, refused, bad)
        return [result for result in error.results if isinstance(result, bus.Receipt)]


def _give_back(log: str, refused: dict[int, "bus.BusError"], bad: Rejects) -> None:
    """Events that the fleet did not take go to the rejects too, by reading the log once more where that is possible."""
    if log == STDIN:
        bad.count += len(refused)
        for number, error in list(refused.items())[:REJECTS_SAID_MAX]:
            say(f"{log}:{number}: {error}")
        return
    for number, line in lines(log, Rejects(Path("/dev/null"))):
        if number in refused:
            bad.add(log, number, str(refused[number]), line)
