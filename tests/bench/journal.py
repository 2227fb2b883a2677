"""What the journal costs: ingest with sealing beside it, a restart, the state at a random instant, bytes an event.

`SIGNALBOX_BENCH_EVENTS` says how many events (1,000,000; the issue's figures are of 10,000,000). Without brokers: what
a plane's turns do with arrivals that are there already. Run only if named, as it takes minutes and a GB of disk.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from bus import batch
from bus.event import Event
from controlplane import segments
from controlplane.archive import Archive
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.directory import Directory
from controlplane.facts import FleetFounded, FoldVersions, PlaneStarted, Tick
from controlplane.journal import Kept
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from controlplane.restoring import Restored, restore
from controlplane.timeline import as_of

ONLY_IF_NAMED = True
EVENTS = int(os.environ.get("SIGNALBOX_BENCH_EVENTS", "1000000"))
PARTITIONS = 12
RECORD_EVENTS = 400
TURN_RECORDS = 12
MS = 1_000_000
LOOKS = 20
PAYLOAD = "x" * 190
Report = Callable[[str, Sequence[float], str, str], None]


def records() -> Iterator[tuple[batch.Header, bytes]]:
    """Records of all partitions in turn; a saga has ten events."""
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    number = 0
    types = ("order.created", "order.paid", "task.plan.requested", "task.plan.completed", "agent.status.updated")
    for turn in range(EVENTS // RECORD_EVENTS):
        partition = turn % PARTITIONS
        events = []
        for _ in range(RECORD_EVENTS):
            saga = f"order-{number // 10 * PARTITIONS + partition}"
            event = Event(type=types[number % 5], source=f"agent/{number % 50}", subject=saga, data={"n": PAYLOAD})
            event.id = f"{number:032x}"
            events.append(event)
            number += 1
        now = 1_790_000_000_000 * MS + turn * MS
        yield batch.Header(batch.EVENTS, partition, 1, offsets[partition], len(events), now), batch.encode(events)
        offsets[partition] += len(events)


def ingest(restored: Restored, report: Report) -> None:
    """All records, turn after turn, with what Turns does with them; decoding included, making them not."""
    heart, journal, snapshots = restored.heart, restored.journal, restored.snapshots
    follows, now = Follows(FOLLOWED_TYPES), 1_790_000_000_000 * MS
    for fact in (PlaneStarted(1, "u"), FoldVersions(versions()), FleetFounded("f", PARTITIONS, 4096, ["b1"])):
        journal.commit([Kept(heart.step(fact, now))])
    source = records()
    turns: list[float] = []
    commits: list[float] = []
    over: list[float] = []
    cpu = 0.0
    while some := list(islice(source, TURN_RECORDS)):
        used = time.process_time()
        begun = time.perf_counter()
        now += TURN_RECORDS * MS
        arrivals: list[Arrival] = [of_record(*record) for record in some]
        kept = [Kept(heart.step(arrival.rows(follows), now), arrival) for arrival in arrivals]
        kept.append(Kept(heart.step(Tick(), now)))
        stepped = time.perf_counter()
        path, busy = journal.path, time.thread_time()
        journal.commit(kept)
        if journal.path != path:
            over.append((time.thread_time() - busy) * 1e3)
        if snapshots.is_due(heart):
            snapshots.take(heart, journal.digest)
        ended = time.perf_counter()
        turns.append(ended - begun)
        commits.append((ended - stepped) * 1e3)
        cpu += time.process_time() - used
    report("ingest, folds, sealing and snapshots beside it", [journal.events / sum(turns)], "events/s", "no brokers")
    report("  by the processor time of the plane alone", [journal.events / cpu], "events/s", "all its threads")
    longest = sorted(commits)
    report("commit of a turn of 4,800 events", [longest[len(longest) // 2]], "ms", "median")
    report("  its 99th percentile", [longest[len(longest) * 99 // 100]], "ms", "")
    report("  the longest", [longest[-1]], "ms", "")
    if over:
        report("  that went over to another segment, processor time", over, "ms", "of the committing thread")
    sealed = time.perf_counter()
    journal.settle()
    snapshots.settle()
    report("until the last elder is sealed", [time.perf_counter() - sealed], "s", "")


def sizes(folder: Path, events: int, report: Report) -> None:
    """Bytes an event on disk."""
    for name, sealed in (("sealed", True), ("open, with its log", False)):
        paths = [path for path in segments.listed(folder) if (segments.form_of(path) != segments.OPEN) is sealed]
        total = sum(map(segments.bytes_of, paths))
        report(f"{name}: {len(paths)} segments", [total / 1e6], "MB", "")
        if sealed and paths:
            # All but the newest are sealed, each of about as many events.
            archived = events * len(paths) // len(segments.listed(folder))
            report("  an event there, about", [total / max(archived, 1)], "bytes", "214 B payload")
    snapshots = list((folder / "snapshots").iterdir())
    report(f"snapshots: {len(snapshots)}", [sum(path.stat().st_size for path in snapshots) / 1e6], "MB", "")


def look_back(restored: Restored, report: Report) -> None:
    """The state at random positions; one saga's events."""
    dice = random.Random(7)
    took: list[float] = []
    cpu: list[float] = []
    for _ in range(LOOKS):
        used = time.process_time()
        position = dice.randrange(1, restored.journal.position)
        begun = time.perf_counter()
        heart = restored.snapshots.nearest(position)
        as_of(restored.journal.replay(position, heart.steps), folds(), position, heart=heart)
        took.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    report("state at a random position", took, "s", "")
    report("  by processor time", cpu, "s", "")
    report("  its 95th percentile", [sorted(took)[len(took) * 95 // 100]], "s", "aim 1.5 in 10 M")
    archive = Archive(restored.journal)
    asked = []
    for _ in range(LOOKS):
        saga = f"order-{dice.randrange(EVENTS // 10) * PARTITIONS + dice.randrange(PARTITIONS)}"
        begun = time.perf_counter()
        archive.saga_steps(saga, 100, 0)
        asked.append((time.perf_counter() - begun) * 1e3)
    report("one saga's events", asked, "ms", "aim 30 in 10 M")


def run(report: Report) -> None:
    """One journal, written, ended without a farewell, begun again."""
    with TemporaryDirectory() as root:
        directory = Directory(Path(root))
        directory.journal.mkdir()
        first = restore(directory)
        ingest(first, report)
        events = first.journal.events
        # As after a kill: the newest segment is not checkpointed.
        first.snapshots.close()
        first.journal._let_go()
        sizes(directory.journal, events, report)
        begun, used = time.perf_counter(), time.process_time()
        again = restore(directory)
        report(f"restart with {again.journal.position:,} entries", [time.perf_counter() - begun], "s", "aim 5 in 10 M")
        report("  by processor time", [time.process_time() - used], "s", "")
        look_back(again, report)
        again.close()
