"""What the journal's measurements are of: events of sagas that stay open, and a journal that has them.

`RATE` events a second by the plane's clock: `SAGAS` sagas, `AT_WORK` of them at a time, each with as many events as
there are for it, none of which ends it. An event's payload is 214 bytes of JSON whose words are drawn at random, so
that it compresses like text. The journal is what a plane's turns leave, without brokers: arrivals that are there
already, in time that passes as it would. It ends without a farewell, as after a kill.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from bus import batch
from bus.event import Event
from controlplane.arrivals import Arrival, Follows, of_record
from controlplane.directory import Directory
from controlplane.facts import FleetFounded, FoldVersions, PlaneStarted, Tick
from controlplane.journal import Kept
from controlplane.plane import FOLLOWED_TYPES, versions
from controlplane.restoring import Restored, restore

SAGAS = 100_000
AT_WORK = 1_000
PARTITIONS = 12
RECORD_EVENTS = 400
TURN_RECORDS = 12
TURN_EVENTS = RECORD_EVENTS * TURN_RECORDS
RATE = 8_000
"""Events a second, by the plane's clock."""
BEGUN = 1_790_000_000_000_000_000
PAYLOAD_BYTES = 214
TYPES = ("order.created", "order.paid", "task.plan.requested", "task.plan.completed", "agent.status.updated")
FOLLOWS = Follows(FOLLOWED_TYPES)
_TEXTS = 65_536
_SYLLABLES = ("ba", "con", "de", "er", "fi", "gra", "ho", "ing", "jo", "ka", "lum", "ment", "no", "or", "pra", "qui")


class Life:
    """The events by number."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.sagas = min(SAGAS, max(AT_WORK, events // 10 // AT_WORK * AT_WORK))
        self.each = max(1, events // self.sagas)
        """Events of a saga."""

    def saga(self, number: int) -> int:
        """Which one an event belongs to; after the last one's last event they all go on."""
        return (number // (AT_WORK * self.each) * AT_WORK + number % AT_WORK) % self.sagas

    def event(self, number: int) -> Event:
        """One event."""
        text = _texts()[number * 40_503 % _TEXTS]
        event = Event(
            type=TYPES[number % 5],
            source=f"agent/{number % 50}",
            subject=f"order-{self.saga(number)}",
            data={"task": "summarise", "n": number, "text": text[: PAYLOAD_BYTES - 35 - len(str(number))]},
        )
        event.id = f"0192f3a0-{number >> 16:04x}-7{number & 0xFFF:03x}-{number * 0x9E3779B97F4A7C15 % (1 << 64):016x}"
        return event

    def records(self, first: int = 0, count: int | None = None) -> Iterator[tuple[int, list[Event]]]:
        """(partition, events) of records, as brokers would hold them: a saga has a partition."""
        waiting: dict[int, list[Event]] = {partition: [] for partition in range(PARTITIONS)}
        for number in range(first, first + (self.events if count is None else count)):
            partition = self.saga(number) % PARTITIONS
            waiting[partition].append(self.event(number))
            if len(waiting[partition]) == RECORD_EVENTS:
                yield partition, waiting[partition]
                waiting[partition] = []


@lru_cache(maxsize=1)
def _texts() -> list[str]:
    dice = random.Random(4)
    words = ["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 4))) for _ in range(2_000)]
    return [" ".join(dice.choices(words, k=60))[:PAYLOAD_BYTES] for _ in range(_TEXTS)]


class Turned:
    """What turns cost: seconds of each, and of its commit; `cpu`: of the whole process; `over_ms`: going over."""

    def __init__(self) -> None:
        self.events = 0
        self.turns: list[float] = []
        self.commits: list[float] = []
        self.over_ms: list[float] = []
        self.cpu = 0.0


def take(restored: Restored, records: Iterable[tuple[int, list[Event]]], say: Callable[[int], None]) -> Turned:
    """Turn after turn what Turns does with arrivals; making the events is not counted."""
    heart, journal, snapshots = restored.heart, restored.journal, restored.snapshots
    now, offsets, source, found = max(BEGUN, heart.recorded), dict(journal.offsets), iter(records), Turned()
    while some := list(islice(source, TURN_RECORDS)):
        now += TURN_EVENTS * 1_000_000_000 // RATE
        given = [_record(partition, made, offsets, now) for partition, made in some]
        used, begun = time.process_time(), time.perf_counter()
        arrivals: list[Arrival] = [of_record(*record) for record in given]
        kept = [Kept(heart.step(arrival.rows(FOLLOWS), now), arrival) for arrival in arrivals]
        kept.append(Kept(heart.step(Tick(), now)))
        stepped = time.perf_counter()
        path, busy = journal.path, time.thread_time()
        journal.commit(kept)
        if journal.path != path:
            found.over_ms.append((time.thread_time() - busy) * 1e3)
        if snapshots.is_due(heart):
            snapshots.take(heart, journal.digest)
        ended = time.perf_counter()
        found.turns.append(ended - begun)
        found.commits.append(ended - stepped)
        found.cpu += time.process_time() - used
        found.events += sum(map(len, arrivals))
        say(found.events)
    return found


def _record(partition: int, events: list[Event], offsets: dict[int, int], now: int) -> tuple[batch.Header, bytes]:
    first = offsets.get(partition, 0)
    offsets[partition] = first + len(events)
    return batch.Header(batch.EVENTS, partition, 1, first, len(events), now), batch.encode(events)


def build(root: Path, life: Life, say: Callable[[int], None]) -> Turned:
    """A journal of the whole life in a new directory, sealed but for its newest segment, which is as after a kill."""
    directory = Directory(root)
    directory.journal.mkdir(parents=True)
    restored = restore(directory)
    for fact in (PlaneStarted(1, "u"), FoldVersions(versions()), FleetFounded("f", PARTITIONS, 4096, ["b1"])):
        restored.journal.commit([Kept(restored.heart.step(fact, BEGUN))])
    found = take(restored, life.records(), say)
    restored.journal.settle()
    restored.snapshots.settle()
    leave(restored)
    return found


def leave(restored: Restored) -> None:
    """As a kill would: nothing is checkpointed."""
    restored.snapshots.close()
    restored.journal._let_go()
