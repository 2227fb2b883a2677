"""The rows of the journal's table that need no brokers: of a journal that `_life` built."""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from controlplane import sealing, segments
from controlplane.answers.rates import Rates
from controlplane.archive import Archive
from controlplane.arrivals import SAGA, name_hash
from controlplane.directory import Directory
from controlplane.fold import Heart, Step
from controlplane.limits import SEGMENT_ROWS_MAX
from controlplane.pasts import Pasts
from controlplane.plane import folds
from controlplane.restoring import Restored, restore
from tests.bench import sql
from tests.bench._life import TURN_EVENTS, Life, Turned, build, leave
from tests.bench._loop import looped
from tests.bench.memory import anonymous

ROOT = Path(__file__).resolve().parents[2]
LOOKS = 40
LOOKUPS = 60
FOLDED_EVENTS = 400_000
LOOPED_EVENTS = 400_000
MEMORY_LOOK_S = 0.1
CHILD_S = 600
FIVE_MINUTES = 300 * 1_000_000_000
Found = Callable[[str, str, list[float]], None]
"""(row, figure, values)."""


class State:
    """The journal that the rows are of; built when the first of them asks for it."""

    def __init__(self, root: Path, events: int, say: Callable[[str], None]) -> None:
        self.life = Life(events)
        self._root = root / "built"
        self._say = say
        self._built: Turned | None = None

    def built(self) -> Turned:
        """What it cost."""
        if self._built is None:
            self._say(f"building a journal of {self.life.events:,} events of {self.life.sagas:,} sagas")
            begun, step = time.monotonic(), max(TURN_EVENTS, self.life.events // 10)

            def far(done: int) -> None:
                if done // step != (done - TURN_EVENTS) // step:
                    self._say(f"  {done:,} events after {time.monotonic() - begun:.0f} s")

            self._built = build(self._root, self.life, far)
        return self._built

    @property
    def directory(self) -> Directory:
        """Where it is."""
        self.built()
        return Directory(self._root)

    @contextmanager
    def restored(self) -> Iterator[Restored]:
        """As a plane that has just started; left as by a kill."""
        restored = restore(self.directory)
        try:
            yield restored
        finally:
            leave(restored)


def turns(state: State, found: Found) -> None:
    """The turns that built it."""
    built = state.built()
    found("turns", "rate", [built.events / sum(built.turns)])
    found("turns", "by processor", [built.events / built.cpu])
    found("turns", "stalls", [float(sum(turn > 0.1 for turn in built.turns))])
    found("turns", "p50", [_share(built.commits, 50) * 1e3])
    found("turns", "p99", [_share(built.commits, 99) * 1e3])
    found("turns", "longest", [max(built.commits) * 1e3])
    with tempfile.TemporaryDirectory(dir=state.directory.root) as place:
        loop = looped(Path(place) / "looped", Life(min(state.life.events, LOOPED_EVENTS)))
    found("turns", "by its loop", [loop.events / loop.wall])
    found("turns", "by its loop, by processor", [loop.events / loop.cpu])


def replayed(state: State, found: Found) -> None:
    """All folds over steps at hand; the same with reading them out of sealed segments."""
    steps: list[Step] = []
    with state.restored() as restored:
        for step in restored.journal.replay():
            steps.append(step)
            if step.last >= FOLDED_EVENTS:
                break
        entries = steps[-1].last
        found(
            "replay",
            "folds",
            [entries / cost for cost in (_cpu(lambda: _take(Heart(folds()), steps)) for _ in range(3))],
        )
        first = restored.snapshots.nearest(restored.journal.position // 2)
        begun, used, position = time.perf_counter(), time.process_time(), first.position
        for step in restored.journal.replay(after=first.steps, up_to=position + FOLDED_EVENTS):
            first.replay(step)
        found("replay", "read too", [(first.position - position) / (time.perf_counter() - begun)])
        found("replay", "read too, by processor", [(first.position - position) / (time.process_time() - used)])


def _take(heart: Heart, steps: list[Step]) -> None:
    for step in steps:
        heart.replay(step)


def _cpu(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def restarted(state: State, found: Found) -> None:
    """A process that begins, until it is where the journal ends."""
    for _ in range(3):
        begun = time.perf_counter()
        with _plane(state) as (_, first, _lines):
            found("restart", "to live", [time.perf_counter() - begun])
            found("restart", "by processor", [first["cpu"]])


def looked_back(state: State, found: Found) -> None:
    """The state at random instants, and next to each."""
    dice = random.Random(7)
    with state.restored() as restored:
        journal = restored.journal
        span = (journal.end_of_step(position=4)[1], journal.recorded)
        at = [journal.end_of_step(instant=dice.randrange(*span))[0] for _ in range(LOOKS)]
        beside = [journal.end_of_step(position=max(4, place - dice.randrange(1, 5_000)))[0] for place in at]

        async def look() -> None:
            for place, next_to in zip(at, beside, strict=True):
                pasts = Pasts(journal.replay, restored.snapshots.nearest)
                for figure, there in (("took", place), ("took beside", next_to)):
                    used, begun = time.process_time(), time.perf_counter()
                    await pasts.at(there, lambda reached: None)
                    found("instant", figure, [time.perf_counter() - begun])
                    if figure == "took":
                        found("instant", "by processor", [time.process_time() - used])

        asyncio.run(look())


def one_saga(state: State, found: Found) -> None:
    """All events of random sagas: the rows that a screen shows, then whole with their payloads."""
    dice = random.Random(8)
    sagas = [f"order-{dice.randrange(state.life.sagas)}" for _ in range(LOOKUPS)]
    with state.restored() as restored:
        archive = Archive(restored.journal)
        for saga in sagas[:5]:
            archive.saga_steps(saga, 1_000, 0)
        for saga in sagas:
            begun = time.perf_counter()
            archive.saga_steps(saga, 1_000, 0)
            found("saga", "narrow", [(time.perf_counter() - begun) * 1e3])
            begun = time.perf_counter()
            with closing(restored.journal.cursor()) as db:
                known = {"hash": name_hash(saga), "saga": saga}
                archive._lines(db, f"saga_hash = $hash and {SAGA} = $saga order by position", known)
            found("saga", "whole", [(time.perf_counter() - begun) * 1e3])


def by_type(state: State, found: Found) -> None:
    """How many events of each type in the last five minutes: from the folds' samples, and from the events."""
    with state.restored() as restored:
        heart, journal = restored.heart, restored.journal
        for _ in range(LOOKUPS):
            begun = time.perf_counter()
            recent = Rates(heart.states["flows"], heart.recorded).flow_recent
            counts: Counter[str] = Counter()
            for key, flow in heart.states["flows"].items("flow"):
                counts[str(key).partition("\0")[2]] += sum(recent.get(flow.number, ()))
            found("types", "samples", [(time.perf_counter() - begun) * 1e3])
        for _ in range(LOOKUPS // 4):
            begun = time.perf_counter()
            with closing(journal.cursor()) as db:
                since = heart.recorded - FIVE_MINUTES
                db.execute("select type, count(*) from events where recorded > ? group by type", [since]).fetchall()
            found("types", "events", [(time.perf_counter() - begun) * 1e3])


def disk(state: State, found: Found) -> None:
    """Bytes an event: of DuckDB's files together, and of sealed ones and the open one's log; one of them as Parquet."""
    held: dict[str, list[tuple[int, int]]] = {segments.OPEN: [], segments.SEALED: []}
    with state.restored() as restored:
        for each in restored.journal._shelf.segments:
            rows = restored.journal._forms._count(each.alias, "events")
            held[segments.form_of(each.path)].append((segments.bytes_of(each.path), rows))
        sealed = restored.journal.sealed[0]
    together = [sum(column) for column in zip(*held[segments.OPEN], *held[segments.SEALED], strict=True)]
    found("disk", "hot", [together[0] / together[1]])
    for form, parts in held.items():
        found("disk", form, [size / rows for size, rows in parts if rows])
    if not sealed:
        return
    rows = held[segments.SEALED][len(sealed) - 1][1]
    with tempfile.TemporaryDirectory(dir=state.directory.root) as place:
        target = segments.path_of(Path(place), segments.number_of(sealed[-1]), segments.PARQUET)
        sealing.write_parquet(sealed[-1], target, Path(place) / "work")
        found("disk", "parquet", [segments.bytes_of(target) / rows])


def memory(state: State, found: Found) -> None:
    """A process that has restored it and goes on, until two more segments have been sealed."""
    more = 2 * SEGMENT_ROWS_MAX + 4 * TURN_EVENTS
    with _plane(state, "--more", str(more)) as (child, first, lines), _looked(child.pid) as seen:
        found("memory", "open sagas", [float(first["sagas"])])
        told = json.loads(next(lines))
        if told["segments"] < first["segments"] + 2:
            raise RuntimeError("no two segments were sealed while memory was looked at")
    # It rises and falls with the open segment, so greatest is held against greatest.
    half = len(seen) // 2
    found("memory", "greatest", [max(seen)])
    found("memory", "flat", [max(seen[half:]) / max(seen[:half])])


def runaway(state: State, found: Found) -> None:
    """A user's query that never ends beside commits."""
    names = {
        f"turn of {sql.EVENTS} events, p99, alone": ("alone", 1.0),
        f"turn of {sql.EVENTS} events, p99, beside a runaway query": ("beside", 1.0),
        "  the one over the other": ("ratio", 1.0),
        "cancel to refusal": ("cancelled", 1e-3),
    }

    def report(name: str, values: Any, _unit: str, _note: str = "") -> None:
        if name in names:
            figure, unit = names[name]
            found("runaway", figure, [value * unit for value in values])

    sql.run(report)
    # A turn that fails raises, and ends this bench.
    found("runaway", "errors", [0.0])


# ------------------------------------------------------------------------------------------------------- measuring


@contextmanager
def _plane(state: State, *options: str) -> "Iterator[tuple[subprocess.Popen[str], dict[str, Any], Iterator[str]]]":
    """`_plane` as a process, once it has said its first line."""
    command = [sys.executable, "-m", "tests.bench._plane", str(state.directory.root), str(state.life.events), *options]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if child.stdout is None or child.stdin is None:
        raise RuntimeError("a process without its pipes")
    try:
        yield child, json.loads(child.stdout.readline()), iter(child.stdout)
        child.stdin.close()
        child.wait(CHILD_S)
    finally:
        child.kill()
        child.wait()


@contextmanager
def _looked(pid: int) -> Iterator[list[float]]:
    """Anonymous memory of a process and all that it started, MB, looked at during the block."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(MEMORY_LOOK_S):
            total = 0.0
            for each in [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]:
                try:
                    total += anonymous(each)
                except OSError:
                    continue
            seen.append(total)

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _share(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
