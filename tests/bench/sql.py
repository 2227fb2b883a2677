"""Commits of the journal beside a query that would never end, and how long it takes to be rid of it.

Turns of `EVENTS` events are committed at a steady pace, as a plane does it, first alone, then while the SQL worker runs
a query that takes all that it is given. Then such queries are cancelled, and one sees the next query answered.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from controlplane.questions import AskSql
from tests.controlplane.sql.conftest import Office, order

EVENTS = 500
TURNS = 300
PACE_S = 0.03
CANCELS = 10
RUNAWAY = "select count(*) from range(10000000) a, range(10000000) b where hash(a.range * b.range) % 7 = 3"
Report = Callable[[str, Sequence[float], str, str], None]


async def commits(office: Office, first: int) -> list[float]:
    """How long each turn took, ms."""
    took = []
    for turn in range(TURNS):
        events = [order(first + turn * EVENTS + n) for n in range(EVENTS)]
        begun = perf_counter()
        await office.say(*events)
        took.append((perf_counter() - begun) * 1e3)
        await asyncio.sleep(max(0.0, PACE_S - (perf_counter() - begun)))
    return took


def p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


async def runaway(office: Office) -> "asyncio.Task[object]":
    """One that is being run. Raises where it is refused before it runs, as when its worker does not start in time."""
    ask = AskSql(RUNAWAY, token="runaway", timeout_ms=600_000)
    task: asyncio.Task[object] = asyncio.create_task(office.desk.answer(ask, lambda body: None))
    while not any(query.doing == "running the query" for query in office.desk._queries.values()):
        if task.done():
            raise RuntimeError(f"the runaway query did not run: {task.result()}")
        await asyncio.sleep(0.01)
    return task


async def measured(report: Report, folder: Path) -> None:
    (folder / "journal").mkdir()
    office = Office(folder)
    try:
        await commits(office, 0)
        alone = await commits(office, TURNS * EVENTS)
        rows = office.journal.events
        begun = perf_counter()
        await office.rows("select count(*) from events")
        report(f"first query over {rows:,} events in the open segment", [(perf_counter() - begun) * 1e3], "ms", "")
        await office.say(order(1))
        begun = perf_counter()
        await office.rows("select count(*) from events")
        report("the next one, one event later", [(perf_counter() - begun) * 1e3], "ms", "")
        task = await runaway(office)
        beside = await commits(office, 2 * TURNS * EVENTS)
        office.desk.cancel("runaway")
        await task
        report(f"turn of {EVENTS} events, p99, alone", [p99(alone)], "ms", "")
        report(f"turn of {EVENTS} events, p99, beside a runaway query", [p99(beside)], "ms", "")
        report("  the one over the other", [p99(beside) / p99(alone)], "times", "aim up to 2")
        gone, again = [], []
        for _ in range(CANCELS):
            task = await runaway(office)
            begun = perf_counter()
            office.desk.cancel("runaway")
            await task
            gone.append((perf_counter() - begun) * 1e3)
            await office.desk.answer(AskSql("select 1"), lambda body: None)
            again.append((perf_counter() - begun) * 1e3)
        report("cancel to refusal", gone, "ms", "aim up to 500")
        report("cancel to the next query's answer", again, "ms", "a worker is started for it")
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await office.close()


def run(report: Report) -> None:
    """In a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measured(report, Path(folder)))
