"""Storms over real processes: `python -m tests.chaos --seed 7`, or `--seeds 20 --seconds 60`. Exit 1 at a violation."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.storm import RATE, SECONDS_SHORT, say, storm


def main() -> int:
    """The exit code of one run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults on a real fleet under load.")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--seconds", type=float, default=SECONDS_SHORT, help="of faults, in each")
    parser.add_argument("--rate", type=int, default=RATE, help="events a second")
    parser.add_argument("--sessions", action="store_true", help="also faults that outlast every session")
    parser.add_argument("--keep", type=Path, help="an empty directory where the fleets' data and logs stay")
    given = parser.parse_args()
    failed = []
    for seed in range(given.seed, given.seed + given.seeds):
        with tempfile.TemporaryDirectory(prefix="storm-") as passing:
            root = (given.keep or Path(passing)) / str(seed)
            report = asyncio.run(storm(seed, root, given.seconds, given.rate, given.sessions))
        say(report)
        if report.found:
            failed.append(seed)
    if failed:
        sys.stdout.write(f"violations in seeds {failed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
