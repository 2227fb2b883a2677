"""The rows of the journal's table that need a fleet: three brokers, their plane, and who publishes, on the same cores.

What happened in which turn is asked of the journal itself, through `signalbox sql`'s own question: all that a turn took
has its instant (`recorded`), so from one instant to the next is what a turn took, commit included.
"""

import asyncio
import bisect
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import bus
from console.bench.failover import is_well
from controlplane.questions import AskSql, AskStatus, Redrive, SqlAnswer, Status
from tests.bench._journalrows import ROOT, Found, _looked, _share
from tests.bench._life import AT_WORK, Life
from tests.chaos.live import LiveFleet, until

MS = 1_000_000
CHUNK = 20_000
TRIES = 3
LOOK_S, TOLD_S = 0.25, 20.0
"""A plane has no event for "level": it is asked, and so seldom that the asking is no load on what is measured."""
BULK = 20_000
BESIDE = 50_000
LETTERS = 100
LETTER_S = 0.15
"""The pace of the redrives: each finds the turns of the bulk beside it, not those of the redrive before."""
KILLS = 5
STALL_NS = 100 * MS
WITHIN_S = 600
SQL_MS = 120_000


class Alive:
    """A fleet whose plane comes and goes; started when the first row asks for it."""

    def __init__(self, folder: Path, events: int, ingest_s: float, paced_s: float, say: Callable[[str], None]) -> None:
        self.life = Life(events)
        self.ingest_s, self.paced_s, self.say = ingest_s, paced_s, say
        self._fleet = LiveFleet(folder / "fleet")

    def fleet(self) -> LiveFleet:
        """With its plane, ready; another one, where a row that failed left none."""
        plane = self._fleet.plane
        if plane is None or plane.poll() is not None:
            self._fleet.start()
            asyncio.run(self._fleet.ready())
        return self._fleet

    def away(self) -> None:
        """The plane is killed, in the midst of nothing; its brokers go on."""
        self.fleet()
        self.well()
        asyncio.run(_publish(self.urls, Life(AT_WORK)))
        self.caught_up()
        self.fleet().kill_plane()

    def start(self) -> None:
        """Another plane, which may not be ready yet."""
        self._fleet.start()

    @property
    def pid(self) -> int:
        """Of the plane."""
        return self._fleet._plane().pid

    def well(self) -> None:
        """Wait until each partition is led and every replica in sync."""

        def look() -> bool:
            status = self.status()
            return is_well(status, len(status.partitions))

        asyncio.run(until("the fleet is well", look, WITHIN_S))

    def close(self) -> None:
        """Nothing is left, also on the disk."""
        if self._fleet.plane is not None:
            self._fleet.clean_up()
            shutil.rmtree(self._fleet.directory.root, ignore_errors=True)

    @property
    def urls(self) -> list[str]:
        """Of its brokers."""
        return [self._fleet.broker(name).url for name in self._fleet.directory.brokers()]

    def status(self) -> Status:
        """Raises NoAnswer."""
        found = self.fleet().ask(AskStatus())
        if not isinstance(found, Status):
            raise RuntimeError(f"the plane says {found}")
        return found

    def sql(self, query: str) -> list[list[Any]]:
        """Rows."""
        body = self.fleet().ask(AskSql(query, timeout_ms=SQL_MS), timeout=SQL_MS / 1000)
        if not isinstance(body, SqlAnswer):
            raise RuntimeError(f"the plane says {body}")
        return body.values()

    def leveled(self, within: float) -> bool:
        """Wait until the plane has all that its brokers have; whether it has within so many seconds."""
        due, told = time.monotonic() + within, time.monotonic()
        while not _is_level(status := self.status()):
            if time.monotonic() > due:
                return False
            if time.monotonic() > told + TOLD_S:
                told = time.monotonic()
                self.say(f"  {status.controlplane.behind:,} events behind, {status.counts.events:,} archived")
            time.sleep(LOOK_S)
        return True

    def caught_up(self) -> None:
        """Wait until the plane has all that its brokers have."""
        if not self.leveled(WITHIN_S):
            raise RuntimeError(f"the plane is still behind its brokers after {WITHIN_S} s")

    @contextmanager
    def paced(self, rate: int, seconds: float) -> "Iterator[Callable[[], dict[str, float]]]":
        """Bulk beside the block, begun before it; what it gives waits for its end and tells what became of it."""
        line = [sys.executable, "-m", "tests.bench._pacer", "bench.bulk", str(rate), str(seconds), *self.urls]
        child = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def told() -> dict[str, float]:
            said = child.stdout.read() if child.stdout is not None else ""
            if not said:
                raise RuntimeError(f"who was to publish {rate:,} events a second has failed; see above")
            found: dict[str, float] = json.loads(said)
            return found

        try:
            if child.stdout is None or not child.stdout.readline():
                raise RuntimeError(f"who was to publish {rate:,} events a second did not begin; see above")
            yield told
        finally:
            child.kill()
            child.wait()


def ingest(alive: Alive, found: Found) -> None:
    """A plane that comes back and finds all of it in its brokers' logs."""
    alive.away()
    alive.say(f"publishing {alive.life.events:,} events to the brokers alone")
    asyncio.run(_publish(alive.urls, alive.life))
    since = time.time_ns()
    alive.start()
    with _looked(alive.pid) as seen:
        asyncio.run(alive.fleet().ready())
        alive.say(f"the plane is back and takes them, for {alive.ingest_s:g} s at most")
        if not alive.leveled(alive.ingest_s):
            alive.say("it has not taken all of them in that time")
    # What was published before the plane went was archived before.
    taken = f"from events where source like 'agent/%' and recorded_ns > {since}"
    ((first, last, events),) = alive.sql(f"select min(recorded_ns), max(recorded_ns), count(*) {taken}")
    gaps = _gaps([row[0] for row in alive.sql(f"select distinct recorded_ns {taken} order by 1")])
    lags = alive.sql("select max((fact->>'$.events')::bigint) from facts where kind = 'RecorderLag'")
    found("ingest", "rate", [events * 1e9 / max(1, last - first)])
    found("ingest", "lasted", [(last - first) / 1e9])
    found("ingest", "stalls", [float(sum(gap > STALL_NS for gap in gaps))])
    found("ingest", "longest", [max(gaps) / MS])
    found("ingest", "lag", [float(lags[0][0] or 0)])
    found("ingest", "memory", [max(seen)])


async def _publish(urls: list[str], life: Life) -> None:
    """All events of a life, a chunk after the other; the next one is made while one is under way."""
    async with bus.connect(urls, name="bench") as fleet:
        sent: asyncio.Task[None] | None = None
        for start in range(0, life.events, CHUNK):
            made = [life.event(number) for number in range(start, min(start + CHUNK, life.events))]
            if sent is not None:
                await sent
            sent = asyncio.create_task(_acked(fleet, made))
            await asyncio.sleep(0)
        if sent is not None:
            await sent


async def _acked(fleet: bus.Fleet, events: list[bus.Event]) -> None:
    """Their ids are given, so that those which stand there are not appended again."""
    for attempt in range(TRIES):
        try:
            await fleet.publish_many(events)
            return
        except bus.PublishError:
            if attempt == TRIES - 1:
                raise


def beside(alive: Alive, found: Found) -> None:
    """Bulk with the plane away, then with a plane that archives it."""
    alive.away()
    with alive.paced(BESIDE, alive.paced_s) as told:
        alone = told()
    alive.caught_up()
    before, begun = alive.status().counts.events, time.monotonic()
    with alive.paced(BESIDE, alive.paced_s) as told:
        with_plane = told()
    at_end = alive.status().counts.events - before
    published = with_plane["published"] + BESIDE / 100
    alive.caught_up()
    found("beside", "published", [with_plane["rate"]])
    found("beside", "kept up", [at_end / published])
    found("beside", "archived", [published / (time.monotonic() - begun)])
    found("beside", "alone p99", [alone["p99_ms"]])
    found("beside", "p99", [with_plane["p99_ms"]])
    found("beside", "ratio", [with_plane["p99_ms"] / alone["p99_ms"]])


def effect(alive: Alive, found: Found) -> None:
    """Dead letters that are redriven one by one beside bulk: from the question to the event's place in its log."""
    alive.fleet()
    asyncio.run(_die(alive))
    asyncio.run(until("all have died", lambda: alive.status().counts.dead_letters >= LETTERS, WITHIN_S))
    letters = [row[0] for row in alive.sql("select id from dead_letters where state = 'waiting'")]
    asked: dict[str, int] = {}
    since = time.time_ns()
    with alive.paced(BULK, len(letters) * LETTER_S + 10) as told:
        for letter in letters:
            asked[letter] = time.time_ns()
            alive.fleet().ask(Redrive([letter], by="bench", reason="bench"))
            time.sleep(LETTER_S)
        bulk = told()
    alive.caught_up()
    rows = alive.sql(
        "select f.fact->>'$.targets[0]', e.appended_ns from facts f "
        "join events e on e.id = f.position::varchar || ':0' where f.kind = 'RedriveDecided'"
    )
    took = [(appended - asked[letter]) / MS for letter, appended in rows if letter in asked]
    if len(took) < len(letters):
        alive.say(f"only {len(took)} of {len(letters)} redriven events were found")
    ages = "quantile_cont((recorded_ns - appended_ns) / 1e6, [0.5, 0.99])"
    ((shares,),) = alive.sql(f"select {ages} from events where type = 'bench.bulk' and appended_ns > {since}")  # noqa: S608
    found("effect", "bulk", [bulk["rate"]])
    found("effect", "p50", [_share(took, 50)])
    found("effect", "p99", [_share(took, 99)])
    found("effect", "to the journal p50", [shares[0]])
    found("effect", "to the journal p99", [shares[1]])


async def _die(alive: Alive) -> None:
    """As many dead letters of one group."""
    async with bus.connect(alive.urls, name="bench") as fleet:
        events = [bus.Event(type="bench.dies", source="bench/effect", subject=f"dies-{n}") for n in range(LETTERS)]
        async with fleet.subscribe("bench.dies", group="bench-dies") as deliveries:
            await fleet.publish_many(events)
            died = 0
            async for delivery in deliveries:
                await delivery.terminate("for the bench")
                died += 1
                if died == LETTERS:
                    return


def elected(alive: Alive, found: Found) -> None:
    """Leaders killed while bulk is archived: what of the way to LeaderElected was the journal's."""
    alive.fleet()
    since = time.time_ns()
    killed: list[int] = []
    for _ in range(KILLS):
        alive.well()
        with alive.paced(BULK, 4.0) as told:
            victim = max(alive.status().brokers, key=lambda broker: len(broker.leads))
            killed.append(time.time_ns())
            alive.fleet().kill_broker(victim.id)
            told()
    alive.caught_up()
    facts = alive.sql(
        "select kind, recorded_ns from facts where kind in ('BrokerLost', 'LeaderElected') "  # noqa: S608
        f"and recorded_ns > {since} order by position"
    )
    turns = sorted(
        row[0]
        for row in alive.sql(
            f"select recorded_ns from events where recorded_ns > {since - 10 * STALL_NS} union "  # noqa: S608
            f"select recorded_ns from facts where recorded_ns > {since - 10 * STALL_NS}"
        )
    )
    lost = [recorded for kind, recorded in facts if kind == "BrokerLost"]
    for instant in killed:
        at = next((recorded for recorded in lost if recorded > instant), None)
        after = [] if at is None else [r for kind, r in facts if kind == "LeaderElected" and at <= r < at + 2_000 * MS]
        if at is None or not after:
            alive.say("one kill was followed by no election within two seconds")
            continue
        for led in sorted(set(after)):
            ended = _turn(turns, led)[1]
            found("elected", "dead to journaled", [(ended - instant) / MS])
            found(
                "elected", "the journal's share", [_covered(instant, ended, _turn(turns, at), _turn(turns, led)) / MS]
            )


def _turn(turns: list[int], instant: int) -> tuple[int, int]:
    """From the beginning of the turn before this one, which whoever came had to wait for, to this one's end."""
    place = bisect.bisect_left(turns, instant)
    return turns[max(0, place - 1)], turns[min(len(turns) - 1, place + 1)]


def _covered(first: int, last: int, one: tuple[int, int], other: tuple[int, int]) -> int:
    """How much of a time is in either of two intervals, the first of which begins first."""
    start = max(first, one[0])
    middle = max(start, min(last, one[1]))
    return middle - start + max(0, min(last, other[1]) - max(middle, other[0]))


def _gaps(instants: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(instants)] or [0]


def _is_level(status: Status) -> bool:
    return status.controlplane.behind == 0 and all(each.archived >= each.high for each in status.partitions)
