"""The journal's table: every row measured, its target beside it, the one over the other. `make bench BENCH=journal`.

`SIGNALBOX_BENCH_EVENTS` says of how many events (10,000,000, which is what the targets are of; it takes 15 GB of disk
for a while). `python -m tests.bench.journal ROW ... [--events N]` measures some rows alone, `--json FILE` writes the
table down. Rows of a built journal (`_journalrows`) share one, which a plane's turns make without brokers; rows of a
live fleet (`_journallive`) share one fleet of three brokers. What could not be measured is said, and is no figure. A
target is held against what its row names: the median, a percentile, the worst.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from controlplane import segments
from tests.bench import _journallive as live
from tests.bench import _journalrows as rows

ONLY_IF_NAMED = True
EVENTS = int(os.environ.get("SIGNALBOX_BENCH_EVENTS", "10000000"))
INGEST_S = 300.0
PACED_S = 20.0
Quantile = Callable[[Sequence[float]], float]


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[min(len(values) - 1, len(values) * 95 // 100)]


class Line(NamedTuple):
    """One line of the table. `at_least`: more is better. `of`: the value of many."""

    row: str
    figure: str
    what: str
    unit: str
    goal: float | None = None
    at_least: bool = False
    of: Quantile = statistics.median


LINES = (
    Line("ingest", "rate", "archive ingest out of brokers' logs, sealing included", "events/s", 200_000, True),
    Line("ingest", "lasted", "  for so long", "s", 300, True),
    Line("ingest", "stalls", "  turns over 100 ms", "", 0),
    Line("ingest", "longest", "  the longest turn", "ms", 100),
    Line("ingest", "lag", "  the greatest lag that it told", "events"),
    Line("ingest", "memory", "  the plane's anonymous memory meanwhile, with its processes", "MB", 800, of=max),
    Line("beside", "published", "published beside it, at 50 k/s", "events/s", 50_000, True),
    Line("beside", "kept up", "  archived when the last one was acked, of what was published", "", 0.95, True),
    Line("beside", "alone p99", "  publish p99 without a plane, batches of 500", "ms"),
    Line("beside", "p99", "  with one that archives", "ms"),
    Line("beside", "ratio", "  the one over the other", "times", 2),
    Line("effect", "bulk", "bulk beside effects", "events/s", 20_000, True),
    Line("effect", "p50", "  redrive asked to its event appended, p50", "ms", 10),
    Line("effect", "p99", "  p99", "ms", 30),
    Line("effect", "to the journal p50", "  event appended to its turn, p50", "ms"),
    Line("effect", "to the journal p99", "  p99", "ms"),
    Line("elected", "dead to journaled", "leader SIGKILL to LeaderElected, beside bulk, worst", "ms", of=max),
    Line("elected", "the journal's share", "  the journal's share of it, worst", "ms", 50, of=max),
    Line("turns", "rate", "a plane's turns without brokers", "events/s", 200_000, True),
    Line("turns", "by processor", "  by processor time, all its threads", "events/s"),
    Line("turns", "stalls", "  turns over 100 ms", "", 0),
    Line("turns", "p50", "  commit of 4,800 events, p50", "ms"),
    Line("turns", "p99", "  p99", "ms"),
    Line("turns", "longest", "  the longest", "ms", 100),
    Line(
        "turns",
        "by its loop",
        "  by the plane's loop, stepping while it commits",
        "events/s",
        200_000,
        True,
    ),
    Line("turns", "by its loop, by processor", "  by processor time", "events/s"),
    Line("replay", "folds", "fold replay, all folds, by processor time", "entries/s", 250_000, True),
    Line("replay", "read too", "  with reading them out of the journal", "entries/s"),
    Line("replay", "read too, by processor", "  by processor time", "entries/s"),
    Line("restart", "to live", "restart, whole process", "s", 5, of=max),
    Line("restart", "by processor", "  by processor time", "s"),
    Line("instant", "took", "state at a random instant, p95", "s", 1.5, of=p95),
    Line("instant", "by processor", "  by processor time, p95", "s", of=p95),
    Line("instant", "took beside", "  next to it, p95", "s", 0.2, of=p95),
    Line("saga", "narrow", "one saga's events, as listed, p95", "ms", 20, of=p95),
    Line("saga", "whole", "  whole, p95", "ms", 30, of=p95),
    Line("types", "samples", "last 5 minutes by type, from flow samples, p95", "ms", 20, of=p95),
    Line("types", "events", "  from the events, p95", "ms", of=p95),
    Line("disk", "hot", "disk per event, 214 B payload: all that DuckDB has", "B", 115),
    Line("disk", segments.SEALED, "  sealed segments", "B"),
    Line("disk", segments.OPEN, "  the open one, in its write-ahead log", "B"),
    Line("disk", "parquet", "  Parquet", "B", 85, of=max),
    Line("memory", "greatest", "anonymous memory, one segment sealing", "MB", 800, of=max),
    Line("memory", "flat", "  its greatest in the second half over the first, a segment each", "times", 1.1),
    Line("memory", "open sagas", "  open sagas", ""),
    Line("runaway", "ratio", "runaway query: commit p99 beside it over alone", "times", 2),
    Line("runaway", "cancelled", "  cancelled within, worst", "s", 0.5, of=max),
    Line("runaway", "errors", "  ingest errors", "", 0),
)
OF_STATE: dict[str, Callable[[rows.State, rows.Found], None]] = {
    "turns": rows.turns,
    "replay": rows.replayed,
    "restart": rows.restarted,
    "instant": rows.looked_back,
    "saga": rows.one_saga,
    "types": rows.by_type,
    "disk": rows.disk,
    "memory": rows.memory,
    "runaway": rows.runaway,
}
OF_FLEET: dict[str, Callable[[live.Alive, rows.Found], None]] = {
    "ingest": live.ingest,
    "beside": live.beside,
    "effect": live.effect,
    "elected": live.elected,
}
"""Rows by name, in the order in which they run: `memory` adds to the journal, and comes after those that ask it."""


class Table:
    """What was found, and what could not be."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[float]] = {}
        self.failed: dict[str, str] = {}

    def add(self, row: str, figure: str, values: list[float]) -> None:
        """More values of a line."""
        self.found.setdefault((row, figure), []).extend(values)

    def lines(self) -> list[dict[str, object]]:
        """The lines that there are figures of."""
        made: list[dict[str, object]] = []
        for line in LINES:
            values = self.found.get((line.row, line.figure))
            if not values:
                continue
            value, goal = line.of(values), line.goal
            reached = None if goal is None else value >= goal if line.at_least else value <= goal
            made.append(
                {
                    "row": line.row,
                    "what": line.what.strip(),
                    "measured": value,
                    "unit": line.unit,
                    "target": goal,
                    "over_target": value / goal if goal else None,
                    "reached": reached,
                    "min": min(values),
                    "max": max(values),
                    "n": len(values),
                }
            )
        return made


def say(text: str) -> None:
    """How far it is."""
    print(text, file=sys.stderr, flush=True)


def measure(wanted: Sequence[str], events: int, ingest_s: float, paced_s: float) -> Table:
    """These rows. One that fails is said, and the next one runs."""
    table = Table()
    with tempfile.TemporaryDirectory(prefix="signalbox-journal-") as folder:
        alive = live.Alive(Path(folder), events, ingest_s, paced_s, say)
        try:
            for name in (name for name in OF_FLEET if name in wanted):
                _one(table, name, lambda name=name: OF_FLEET[name](alive, table.add))  # type: ignore[misc]
        finally:
            alive.close()
        state = rows.State(Path(folder), events, say)
        for name in (name for name in OF_STATE if name in wanted):
            _one(table, name, lambda name=name: OF_STATE[name](state, table.add))  # type: ignore[misc]
    return table


def _one(table: Table, name: str, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    say(f"{name}...")
    try:
        work()
    except Exception as error:
        traceback.print_exc()
        table.failed[name] = f"{type(error).__name__}: {error}"
    for line in table.lines():
        if line["row"] == name:
            say(f"  {line['what']}: {short(line['measured'])} {line['unit']}")
    say(f"{name}: {time.monotonic() - begun:.0f} s")


def short(value: object) -> str:
    """A figure as people read it."""
    number = float(str(value))
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"


def show(table: Table) -> None:
    """For people."""
    print(f"\n{'what':<66}{'measured':>12} {'':<10}{'to reach':>12}{'ratio':>8}  [least - greatest] n")
    for line in table.lines():
        target, over = line["target"], line["over_target"]
        goal = "" if target is None else f"{target:,g}"
        ratio = "" if over is None else f"{over:.2f}"
        verdict = {None: "", True: "reached", False: "MISSED"}[line["reached"]]  # type: ignore[index]
        span = f"[{short(line['min'])} - {short(line['max'])}] {line['n']}"
        value = f"{short(line['measured']):>12} {line['unit']:<10}{goal:>12}{ratio:>8}"
        print(f"{line['what']:<66}{value}  {verdict:<8}{span}")
    for name, why in table.failed.items():
        print(f"{name}: not measured: {why}")


def run(_report: Callable[..., None]) -> None:
    """All rows."""
    show(measure([*OF_FLEET, *OF_STATE], EVENTS, INGEST_S, PACED_S))


def _ended(_number: int, _frame: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Some rows, or all; 1 when one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.journal", description=__doc__)
    known = [*OF_FLEET, *OF_STATE]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or some of: {', '.join(known)}")
    parser.add_argument("--events", type=int, default=EVENTS, help="of the journal, and in the brokers' logs")
    parser.add_argument("--ingest-seconds", type=float, default=INGEST_S, help="of archiving, at most")
    parser.add_argument("--paced-seconds", type=float, default=PACED_S, help="of publishing beside it, each time")
    parser.add_argument("--json", type=Path, metavar="FILE")
    told = parser.parse_args(arguments)
    unknown = sorted(set(told.rows) - set(known))
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    # So that what was started ends, and what was written goes, also when somebody ends this.
    signal.signal(signal.SIGTERM, _ended)
    table = measure(told.rows or known, told.events, told.ingest_seconds, told.paced_seconds)
    show(table)
    if told.json is not None:
        told.json.write_text(json.dumps({"lines": table.lines(), "not_measured": table.failed}, indent=1) + "\n")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
