"""A plane's memory of a journal in a process of its own: `python -m tests.bench._plane ROOT EVENTS [--more N]`.

It restores the journal in ROOT, says so in a line of JSON, takes N more events of a life of EVENTS, saying how far it
is, and ends when its standard input does. Of the bench it holds the events of a turn and 17 MB of words.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from controlplane.directory import Directory
from controlplane.restoring import restore
from tests.bench._life import Life, leave, take


def say(**told: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """One life after another one's end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench._plane", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("events", type=int)
    parser.add_argument("--more", type=int, default=0)
    given = parser.parse_args()
    begun = time.perf_counter()
    restored = restore(Directory(given.root))
    open_sagas = restored.heart.states["sagas"].get("count", "open", 0)
    say(restored=time.perf_counter() - begun, cpu=time.process_time(), entries=restored.journal.position,
        sagas=open_sagas, segments=len(restored.journal.sealed[0]))  # fmt: skip
    life = Life(given.events)
    if given.more:
        taken = take(restored, life.records(life.events, given.more), lambda done: None)
        restored.journal.settle()
        say(taken=taken.events, segments=len(restored.journal.sealed[0]))
    sys.stdin.read()
    leave(restored)


if __name__ == "__main__":
    main()
