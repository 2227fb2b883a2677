"""`python -m tests.bench.peers`: every peer that is here, round after round; medians, and ratios to Signalbox."""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers import nats, ours, rabbit, redis_streams
from tests.bench.peers.peer import Peer

PEERS: tuple[type[Peer], ...] = (
    ours.Signalbox,
    ours.Whole,
    nats.Raw,
    nats.Nats,
    nats.RawSynced,
    nats.Synced,
    redis_streams.Redis,
    rabbit.Quorum,
    rabbit.Stream,
)
UNITS = {"deliver at 5 k/s": "ms", "request, reply": "µs"}
Found = dict[tuple[str, str], dict[str, list[float]]]
"""(measurement, figure) -> peer -> its value in each round."""


def turn(kind: type[Peer], found: Found, events: int, seconds: float, wanted: Sequence[str]) -> None:
    """One peer's turn in one round."""
    with tempfile.TemporaryDirectory(prefix="signalbox-peers-") as folder:
        peer = kind(Path(folder))
        try:
            peer.start()
            for name, measure in peer.figures().items():
                if wanted and not any(word in name for word in wanted):
                    continue
                began = time.monotonic()
                told = measure(max(1_000, int(events * kind.part)), seconds)
                for figure, value in told.items():
                    found.setdefault((name, figure), {}).setdefault(kind.name, []).append(value)
                said = ", ".join(f"{figure} {value:,.2f}" for figure, value in told.items())
                print(f"  {kind.name}: {name}: {said}  ({time.monotonic() - began:.1f} s)", file=sys.stderr, flush=True)
        finally:
            peer.close()


def table(found: Found) -> list[dict[str, object]]:
    """A row for each figure of each peer: median, least, greatest, and Signalbox's median over its own."""
    rows: list[dict[str, object]] = []
    for (name, figure), by_peer in found.items():
        base = statistics.median(by_peer[ours.Signalbox.name]) if ours.Signalbox.name in by_peer else None
        for kind in PEERS:
            values = by_peer.get(kind.name)
            if values is None:
                continue
            middle = statistics.median(values)
            rows.append(
                {
                    "measurement": name,
                    "figure": figure,
                    "unit": UNITS.get(name, "events/s"),
                    "peer": kind.name,
                    "durable": kind.durable,
                    "median": middle,
                    "min": min(values),
                    "max": max(values),
                    "rounds": len(values),
                    "signalbox_over_peer": None if base is None or not middle else base / middle,
                }
            )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """The table, for people. Of rates more is better, of times less."""
    head = ""
    for row in rows:
        title = f"{row['measurement']}, {row['figure']}, {row['unit']}"
        if title != head:
            head = title
            print(f"\n{title:<44}{'median':>12}  {'[least - greatest]':<26}{'signalbox / it':>14}  its ack is")
        decimals = 0 if row["unit"] == "events/s" else 2
        span = f"[{row['min']:,.{decimals}f} - {row['max']:,.{decimals}f}]"
        ratio = row["signalbox_over_peer"]
        said = "–" if ratio is None else f"{ratio:.2f}"
        print(f"  {row['peer']:<42}{row['median']:>12,.{decimals}f}  {span:<26}{said:>14}  {row['durable']}")


def best(rows: list[dict[str, object]]) -> list[str]:
    """How Signalbox stands to the best of the others, whatever that one's ack is worth; of rates the greatest is."""
    said = []
    for key in dict.fromkeys((row["measurement"], row["figure"], row["unit"]) for row in rows):
        here = [row for row in rows if (row["measurement"], row["figure"], row["unit"]) == key]
        others = [row for row in here if not str(row["peer"]).startswith("signalbox")]
        if others and others[0]["signalbox_over_peer"] is not None:
            pick = max if key[2] == "events/s" else min
            other = pick(others, key=lambda row: row["median"])  # type: ignore[arg-type, return-value]
            said.append(f"{key[0]}, {key[1]}: {other['signalbox_over_peer']:.2f} times {other['peer']}")
    return said


def main(arguments: Sequence[str]) -> int:
    """0 when all that were wanted were measured, 1 when one was not installed or failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=100_000, help="of a round's run; synced NATS gets a tenth")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the load of 5,000/s")
    parser.add_argument("--peer", action="append", default=[], metavar="WORD", help="only peers whose name has it")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="only measurements that have it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the rows, as JSON")
    told = parser.parse_args(arguments)
    chosen = [kind for kind in PEERS if not told.peer or any(word in kind.name for word in told.peer)]
    absent = {kind: kind.absent() for kind in chosen}
    missing = [f"{kind.name} is not measured: {why}" for kind, why in absent.items() if why]
    found: Found = {}
    for number in range(told.rounds):
        print(f"round {number + 1} of {told.rounds}", file=sys.stderr, flush=True)
        for kind in chosen:
            if not absent[kind]:
                turn(kind, found, told.events, told.seconds, told.only)
    rows = table(found)
    show(rows)
    print("\nSignalbox beside the best of the others (of times, below 1 is better):")
    print("\n".join([*(f"  {line}" for line in best(rows)), "", *missing]))
    if told.json is not None:
        told.json.write_text(json.dumps({"rows": rows, "not_measured": missing}, indent=1) + "\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
