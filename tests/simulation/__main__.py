"""`python -m tests.simulation --seed N [-v]`: one seed again, with all that happened; or many, with a summary."""

import argparse
import sys
import time
from collections import Counter

from .broker import Parts
from .bugs import BUGS
from .plane import Plane
from .swarm import run, weather


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the (first) seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds from there")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this bug")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what happens")
    options = parser.parse_args(arguments)
    parts, plane = BUGS[options.bug][:2] if options.bug else (Parts, Plane)
    failed = 0
    total: Counter[str] = Counter()
    began = time.perf_counter()
    for seed in range(options.seed, options.seed + options.seeds):
        if options.verbose:
            print(weather(seed))
        verdict = run(seed, parts, plane, options.verbose)
        total.update(verdict.figures)
        if verdict.violation:
            failed += 1
            print(f"seed {seed}: {verdict.violation}")
    took = time.perf_counter() - began
    print(f"{options.seeds} seeds, {failed} failed, {took:.1f} s: {dict(sorted(total.items()))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
