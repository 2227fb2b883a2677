"""Kills of a control plane at the instants that hurt: `python -m tests.chaos.planekills --seed 7`, or `--seeds 10`.

One broker, segments and snapshots made small, and a publisher that never stops. Each kill waits until something is
under way (a commit, a segment that takes over, one that is sealed or turned into Parquet, a snapshot, a start), and
then some milliseconds more, as the seed says. In the end positions have neither gap nor duplicate, every acked event
is archived exactly once, and the journal verifies. Exit 1 at a violation.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import bus
from controlplane import segments
from controlplane.arrivals import Follows
from controlplane.errors import PlaneError
from controlplane.facts import Rows
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import AskVerify, Verified
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

LIMITS = {
    "SEGMENT_ROWS_MAX": 1_500,
    "SEGMENTS_SEALED_MAX": 1,
    "SNAPSHOT_ENTRIES_MAX": 1_000,
    "SNAPSHOT_CHAIN_MAX": 4,
}
ODD = [f"--limit={name}={value}" for name, value in LIMITS.items()]
FLEET = ("--brokers", "1", "--partitions", "4")
BATCH = 100
RATE = 800
"""Events a second: a segment every two seconds, so that something is always under way, and sealing comes after."""
KILLS = 5
WITHIN_S = 45.0
"""How long a kill waits for its moment; after that it comes all the same, and is told as missed."""
DELAYS_S = {"commit": 0.5, "rotation": 0.05, "sealing": 0.5, "parquet": 0.3, "snapshot": 0.01, "start": 1.5}
"""What is waited for, and how long after it has begun the kill may come."""
VERIFY_S = 120.0


class Kill(NamedTuple):
    """One kill, `delay` seconds into its `moment`."""

    moment: str
    delay: float

    def __str__(self) -> str:
        return f"{self.moment} + {self.delay * 1000:.0f} ms"


class Report(NamedTuple):
    """What came of one seed. `missed`: moments that did not come in time."""

    seed: int
    kills: list[Kill]
    missed: list[str]
    acked: int
    entries: int
    forms: dict[str, int]
    found: list[str]

    def __str__(self) -> str:
        kills = "; ".join(map(str, self.kills))
        missed = f", missed: {', '.join(self.missed)}" if self.missed else ""
        found = "".join(f"  VIOLATION: {each}\n" for each in self.found)
        return (
            f"seed {self.seed}: killed at {kills}{missed}\n  {self.acked:,} acked, {self.entries:,} entries, "
            f"segments {self.forms}\n{found}  again: python -m tests.chaos.planekills --seed {self.seed} "
            f"--kills {len(self.kills)}"
        )


def schedule(seed: int, kills: int) -> list[Kill]:
    """The kills of a seed, each moment once before any comes twice. Pure."""
    dice = random.Random(seed)
    moments: list[str] = []
    while len(moments) < kills:
        moments += dice.sample(sorted(DELAYS_S), len(DELAYS_S))
    return [Kill(moment, dice.uniform(0.0, DELAYS_S[moment])) for moment in moments[:kills]]


def begun(moment: str, journal: Path) -> Callable[[], bool]:
    """Whether a moment has come since this was made, by what lies in the journal's folder."""
    before = {path.name for path in journal.glob("*.duckdb")}
    if moment == "rotation":
        return lambda: not {path.name for path in journal.glob("*.duckdb")} <= before
    patterns = {"sealing": "sealing-*/copy.duckdb", "parquet": "sealing-*/parquet", "snapshot": "snapshots/*.new"}
    if moment in patterns:
        return lambda: any(True for _ in journal.glob(patterns[moment]))
    return lambda: True


def wait_for(moment: Callable[[], bool]) -> bool:
    """Look again and again, without a pause worth the name: some moments last for milliseconds.

    The plane is not to know that it is watched: what lies in its folder is all that tells, and a folder has no event
    that comes before the moment is over.
    """
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        if moment():
            return True
        time.sleep(0.0005)
    return False


class Publisher:
    """Publishes numbered events until it is told to stop. The outcome of each is in `acked` or in `unknown`."""

    def __init__(self) -> None:
        self.acked: set[str] = set()
        self.unknown: set[str] = set()
        self.stopping = False

    async def run(self, root: Path) -> None:
        """At `RATE`, whatever the control plane does."""
        loop = asyncio.get_running_loop()
        async with bus.connect(data_dir=root) as fleet:
            due, first = loop.time(), 0
            while not self.stopping:
                events = numbered(BATCH, first)
                first += BATCH
                try:
                    results = list(await fleet.publish_many(events, deadline=30.0))
                except bus.PublishError as error:
                    results = list(error.results)  # type: ignore[arg-type]
                for event, result in zip(events, results, strict=True):
                    (self.acked if isinstance(result, bus.Receipt) else self.unknown).add(event.id)
                due = max(due + BATCH / RATE, loop.time())
                await asyncio.sleep(due - loop.time())


async def kill(live: LiveFleet, wanted: Kill) -> bool:
    """Kill the plane and start another, until that one answers; whether the moment had come."""
    if wanted.moment == "start":
        live.kill_plane()
        live.said()
        live.start()
        came = True
    else:
        came = await asyncio.to_thread(wait_for, begun(wanted.moment, live.directory.journal))
    await asyncio.sleep(wanted.delay)
    live.kill_plane()
    live.said()
    live.start()
    await live.ready()
    return came


async def run(seed: int, root: Path, kills: int = KILLS) -> Report:
    """One seed in an empty directory."""
    planned, missed, found = schedule(seed, kills), list[str](), list[str]()
    with live_fleet(root, *FLEET, odd=ODD) as live:
        await live.ready()
        publisher = Publisher()
        publishing = asyncio.create_task(publisher.run(root))
        try:
            await until("there is a second segment", lambda: (live.directory.journal / "000002.duckdb").exists())
            for one in planned:
                before = live.status()
                if not await kill(live, one):
                    missed.append(one.moment)
                after = live.status()
                if before and after and after.controlplane.position < before.controlplane.position:
                    found.append(f"after the kill at {one} the journal ended before what was told")
        finally:
            publisher.stopping = True
            await publishing
        archive = Counter(event["id"] for event in await asyncio.to_thread(live.exported))
        verified = await asyncio.to_thread(live.ask, AskVerify(), VERIFY_S)
        if not isinstance(verified, Verified) or not verified.same:
            found.append(f"the journal does not verify: {verified}")
        if live.end() != 0:
            found.append("the plane did not end well")
    found += archived(archive, publisher) + await asyncio.to_thread(dense, live.directory.journal)
    found += [line for line in live.directory.log.read_text().splitlines() if " ERROR " in line or "differs" in line]
    forms = Counter(segments.form_of(path) for path in segments.listed(live.directory.journal))
    entries = verified.entries if isinstance(verified, Verified) else 0
    return Report(seed, planned, missed, len(publisher.acked), entries, dict(forms), found)


def archived(archive: Counter[str], publisher: Publisher) -> list[str]:
    """What is wrong with an archive, by what publishers were told."""
    sent = publisher.acked | publisher.unknown
    lost = [id for id in publisher.acked if id not in archive]
    twice = [id for id, times in archive.items() if times > 1]
    strange = [id for id in archive if id not in sent]
    found = [] if publisher.acked else ["nothing was acked"]
    for what, which in (("acked and not archived", lost), ("archived more than once", twice), ("not sent", strange)):
        found += [f"{len(which)} events {what}: {', '.join(which[:5])}"] if which else []
    return found


def dense(folder: Path) -> list[str]:
    """What is wrong with the positions and offsets of a journal that nobody has open, from where it begins on."""
    try:
        journal = Journal(folder, Follows(FOLLOWED_TYPES), read_only=True)
    except PlaneError as error:
        return [f"the journal does not open: {error}"]
    reach, found = journal.reach, list[str]()
    position, number, offsets = reach.position, reach.step, dict(reach.floors)
    try:
        for step in journal.replay(after=reach.step):
            rows = step.input if isinstance(step.input, Rows) else None
            size = max(1, len(rows)) if rows is not None else 1
            places = [entry.position for entry in step.derived]
            if (step.number, step.first) != (number + 1, position + 1):
                found.append(f"step {step.number} at {step.first} follows step {number}, which ends at {position}")
            if places != list(range(step.first + size, step.last + 1)):
                found.append(f"step {step.number}: its facts stand at {places}")
            if rows is not None:
                if rows.first_offset != offsets.get(rows.partition, 0):
                    found.append(f"p{rows.partition}: {rows.first_offset} after {offsets.get(rows.partition, 0)}")
                offsets[rows.partition] = rows.first_offset + len(rows)
            number, position = step.number, step.last
        with closing(journal.cursor()) as db:
            ((events, distinct),) = db.execute("select count(*), count(distinct position) from events").fetchall()
    finally:
        journal.close()
    by_offsets = sum(offsets.values()) - sum(reach.floors.values())
    if not events == distinct == by_offsets == journal.events - reach.events:
        found.append(f"{events} events at {distinct} positions, {by_offsets} by their offsets")
    return found


def main() -> int:
    """The exit code of all seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.planekills", description="Kills of a control plane.")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--kills", type=int, default=KILLS, help="in each")
    parser.add_argument("--keep", type=Path, help="an empty directory where the fleets' data and logs stay")
    given = parser.parse_args()
    failed = []
    for seed in range(given.seed, given.seed + given.seeds):
        with tempfile.TemporaryDirectory(prefix="kills-") as passing:
            report = asyncio.run(run(seed, (given.keep or Path(passing)) / str(seed), given.kills))
        sys.stdout.write(f"{report}\n")
        sys.stdout.flush()
        if report.found:
            failed.append(seed)
    if failed:
        sys.stdout.write(f"violations in seeds {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
