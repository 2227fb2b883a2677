"""Folds that do what no fold may, one each, and a journal made with one of them; see `test_planted`.

`python -m tests.controlplane.planted NAME` prints the digest after each step, so that another process, with another
hash seed, another clock and another disk, may compare.
"""

import sys

import msgspec

from controlplane.facts import Rows, Tick
from controlplane.fold import Entry, Fold, Heart, KeyedState, Step, World
from tests.controlplane.logs import add
from tests.controlplane.made import Story

NOTE_VARIABLE = "SIGNALBOX_TEST_NOTE"


class Seen(msgspec.Struct, frozen=True):
    """What the planted folds keep under the key "all"."""

    rows: int = 0
    odd: object = 0


class Planted(Fold):
    """Counts rows, which is fine, and keeps something `odd` of them, which each one below gets in a way of its own."""

    name = "planted"
    follows = (Rows,)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        rows = entry.fact
        if isinstance(rows, Rows):
            seen: Seen = state.get("seen", "all") or Seen()
            state.put("seen", "all", Seen(seen.rows + len(rows), self.odd(rows, seen)))

    def odd(self, rows: Rows, seen: Seen) -> object:
        return 0


class Innocent(Planted):
    """What the others could have done."""

    def odd(self, rows: Rows, seen: Seen) -> object:
        return max([str(seen.odd), *sorted(set(rows.types))])


class Clock(Planted):
    def odd(self, rows: Rows, seen: Seen) -> object:
        import time

        return time.time_ns()


class Order(Planted):
    def odd(self, rows: Rows, seen: Seen) -> object:
        types = set(rows.types)
        return list(types)


class Rounding(Planted):
    def odd(self, rows: Rows, seen: Seen) -> object:
        return (seen.odd or 0) + sum(size / 10 for size in rows.sizes)  # type: ignore[operator]


class Hashing(Planted):
    def odd(self, rows: Rows, seen: Seen) -> object:
        return hash(rows.types[0]) % 1_000_000


class Disk(Planted):
    def odd(self, rows: Rows, seen: Seen) -> object:
        import os
        from pathlib import Path

        return Path(os.environ["SIGNALBOX_TEST_NOTE"]).read_text(encoding="utf-8")


class Memory(Fold):
    """Keeps what it saw on itself: a second reading in the same process begins with what the first left there."""

    name = "planted"
    follows = (Rows,)
    rows = 0

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        self.rows += 1
        state.put("seen", "all", Seen(self.rows))


ALL: dict[str, type[Fold]] = {one.__name__: one for one in (Innocent, Clock, Order, Rounding, Hashing, Disk, Memory)}


def batch(sizes: list[int]) -> Rows:
    """Rows of as many types as there are sizes, from partition 0."""
    rows = Story().rows()
    for n, size in enumerate(sizes):
        add(rows, f"step.{'abcdefgh'[n]}", saga=f"s-{n}")
        rows.sizes[-1] = size
    return rows


def lived(fold: Fold) -> list[Step]:
    """A little journal: ticks, and batches of eight types."""
    story = Story(Heart([fold]))
    for _ in range(3):
        story.tell(Tick(), 1)
        story.tell(batch([1, 2, 3, 4, 5, 6, 7, 8]), 1)
    return story.steps


def main() -> None:
    """The digests of a life with the fold that is named."""
    for step in lived(ALL[sys.argv[1]]()):
        print(step.digest.hex())


if __name__ == "__main__":
    main()
