"""The table of numbers to reach: measured, target, reached or missed. `make bench BENCH=table`.

Brokers alone, as other systems' servers are measured (`tests.bench.peers`), round after round; then the same beside a
control plane that archives every event meanwhile, which is what a user has; then failover through the real plane. A
target is held against the median of the rounds, failover's against the worst kill, memory's against the greatest look.
Machines differ, and from minute to minute: where bare sockets and files can do the same (`bare`, `calls.floor`, a round
before each of a fleet), a row says how many times their median it is. Of a rate, more is better; of a time, less.
10,000 subscriptions against 10 have a bench of their own (`subscriptions`).
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import bus
from console.bench.failover import Failover, Ledger
from console.bench.own import own_fleet
from console.fleetdir import Fleet
from console.link import Link
from tests.bench import bare, calls
from tests.bench.memory import watched
from tests.bench.peers.ours import Signalbox, Whole

ONLY_IF_NAMED = True
BARE_S = 2.0


class Target(NamedTuple):
    """One line of the table. `at_least`: more is better."""

    what: str
    figure: str
    unit: str
    goals: tuple[float, ...]
    at_least: bool
    of: Callable[[Sequence[float]], float] = statistics.median

    def verdict(self, value: float) -> str:
        """Each goal, and whether it is reached."""
        sign = "≥" if self.at_least else "≤"
        said = []
        for goal in self.goals:
            reached = value >= goal if self.at_least else value <= goal
            said.append(f"{sign} {goal:,g}: {'reached' if reached else 'MISSED'}")
        return ", ".join(said)


TARGETS = (
    Target("publish 128 B", "rate", "events/s", (300_000, 400_000), True),
    Target("publish 1 KiB", "rate", "events/s", (120_000,), True),
    Target("await publish, 256 tasks", "rate", "events/s", (60_000,), True),
    Target("consume 128 B", "rate", "events/s", (250_000,), True),
    Target("deliver at 5 k/s", "p50", "ms", (1.5,), False),
    Target("deliver at 5 k/s", "p99", "ms", (3.5,), False),
    Target("request, reply", "p50", "µs", (200,), False),
    Target("request, reply", "p99", "µs", (400,), False),
    Target("leader SIGKILL to acked writes again", "worst", "s", (1.0,), False, max),
    Target("broker's anonymous memory", "greatest", "MB", (150,), False, max),
)
Found = dict[tuple[str, str], list[float]]


class Figures:
    """What was measured, of brokers alone (`alone`) and beside an archiving plane (`whole`)."""

    def __init__(self) -> None:
        self.alone: Found = {}
        self.whole: Found = {}
        self.bare: Found = {}
        """What bare sockets and files did of it."""
        self.ledger: Ledger | None = None


def fleet_rounds(kind: type[Signalbox], found: Found, beside: Found, rounds: int, events: int, seconds: float) -> None:
    """All measurements on a fresh fleet for each round, memory watched; before each, what bare sockets do `beside`."""
    for number in range(rounds):
        for key, values in (bare.floor(1, BARE_S) | round_trips(calls.floor())).items():
            beside.setdefault(key, []).extend(values)
        with tempfile.TemporaryDirectory(prefix="signalbox-table-") as folder:
            peer = kind(Path(folder))
            try:
                peer.start()
                with watched(peer.pids) as memory:
                    for name, measure in peer.figures().items():
                        for figure, value in measure(events, seconds).items():
                            found.setdefault((name, figure), []).append(value)
                            say(f"  round {number + 1}, {kind.name}: {name}, {figure}: {value:,.2f}")
                found.setdefault(("broker's anonymous memory", "greatest"), []).append(max(memory.seen))
            finally:
                peer.close()


async def killed(kills: int, url: str, home: Fleet) -> Failover:
    """Leaders of a whole fleet, one after another."""
    with Link(url) as link:
        async with bus.connect(data_dir=home.data_dir) as fleet:
            work = Failover(home, link, kills, lambda _one, _total: lambda done: say(f"  kill {done} of {kills}"))
            await work.run(fleet)
            return work


def round_trips(took: Sequence[float]) -> Found:
    """The row's figures of sorted µs."""
    return {("request, reply", f"p{share}"): [took[len(took) * share // 100]] for share in (50, 99)}


def measure(rounds: int, events: int, seconds: float, kills: int) -> Figures:
    """Everything."""
    figures = Figures()
    fleet_rounds(Signalbox, figures.alone, figures.bare, rounds, events, seconds)
    fleet_rounds(Whole, figures.whole, figures.bare, rounds, events, seconds)
    if kills:
        with own_fleet(3) as (home, url):
            work = asyncio.run(killed(kills, url, home))
        key = ("leader SIGKILL to acked writes again", "worst")
        figures.whole[key] = [took / 1e9 for took in work.kills_ns]
        figures.ledger = work.ledger
    return figures


def rows(figures: Figures) -> list[dict[str, object]]:
    """The table."""
    made: list[dict[str, object]] = []
    for target in TARGETS:
        key = (target.what, target.figure)
        floor = statistics.median(figures.bare[key]) if key in figures.bare else None
        for where, found in (("brokers alone", figures.alone), ("archiving too", figures.whole)):
            values = found.get(key)
            if values:
                value = target.of(values)
                made.append(
                    {
                        "what": f"{target.what}, {target.figure}",
                        "fleet": where,
                        "measured": value,
                        "unit": target.unit,
                        "median": statistics.median(values),
                        "min": min(values),
                        "max": max(values),
                        "n": len(values),
                        "bare": floor,
                        "over_bare": None if floor is None else value / floor,
                        "target": target.verdict(value),
                    }
                )
    return made


def floors(found: Found) -> list[str]:
    """What bare sockets and files did: medians, with least and greatest where there were rounds."""
    said = []
    for target in TARGETS:
        values = found.get((target.what, target.figure))
        if values:
            decimals = 0 if target.unit == "events/s" else 2
            span = f" [{min(values):,.{decimals}f} - {max(values):,.{decimals}f}]" if len(values) > 1 else ""
            middle = f"{statistics.median(values):,.{decimals}f} {target.unit}"
            said.append(f"{target.what}, {target.figure} {middle}{span}")
    return said


def show(figures: Figures) -> None:
    """For people."""
    spans = "[least - median - greatest]"
    print(f"\n{'what':<44}{'fleet':<15}{'measured':>12} {'':<9}{spans:<36}{'n':>3} {'/ bare':>7}  target")
    for row in rows(figures):
        decimals = 0 if row["unit"] == "events/s" else 2
        span = " - ".join(f"{row[name]:,.{decimals}f}" for name in ("min", "median", "max"))
        value = f"{row['measured']:,.{decimals}f}"
        beginning = f"{row['what']:<44}{row['fleet']:<15}{value:>12} {row['unit']:<9}"
        over = "" if row["over_bare"] is None else f"{row['over_bare']:.2f}"
        print(f"{beginning}{f'[{span}]':<36}{row['n']:>3} {over:>7}  {row['target']}")
    print("\nbare sockets and files of the same shape:", *floors(figures.bare), sep="\n  ")
    if figures.ledger is not None:
        told = figures.ledger
        print(f"ledger of the kills: {told.acked:,} acked, {told.read:,} read, {told.lost} lost, {told.doubled} twice")
    print("10,000 subscriptions against 10: make bench BENCH=subscriptions")


def say(text: str) -> None:
    """How far it is."""
    print(text, file=sys.stderr, flush=True)


def run(_report: Callable[..., None]) -> None:
    """The usual sizes."""
    show(measure(5, 200_000, 10.0, 20))


def main(arguments: Sequence[str]) -> int:
    """Other sizes; 1 when an acked event was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.table", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the load of 5,000/s")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE")
    told = parser.parse_args(arguments)
    figures = measure(told.rounds, told.events, told.seconds, told.kills)
    show(figures)
    if told.json is not None:
        told.json.write_text(json.dumps(rows(figures), indent=1) + "\n")
    ledger = figures.ledger
    return 1 if ledger is not None and (ledger.lost or ledger.doubled) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
