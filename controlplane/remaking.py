"""One segment of a journal, made again in a file of its own, of steps as the copy has them.

Its events come from where they are: the damaged segment itself, if that table of it is sound, else brokers' logs. One
that nobody has any more keeps its position: a placeholder of type `signalbox.journal.missing` stands there, and says
by its id where the event was.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from bus.attributes import ABSENT
from controlplane import limits, segments, stored
from controlplane.arrivals import Arrival
from controlplane.copied import MISSING, CopiedStep
from controlplane.segments import Birth

SOURCE = "signalbox/journal"
Events = Callable[[int, int, int], Iterable[Arrival | range]]
"""Gives the events of (partition, first offset, count), in order; a range of offsets where nobody has them."""


class Missing(msgspec.Struct):
    """Events that nobody has any more: their positions stay, from `position` on, and hold placeholders."""

    partition: int
    first: int
    count: int
    position: int


class Remade(msgspec.Struct):
    """What came of it. `end`: where the next segment begins; `bare`: steps whose facts the copy does not have."""

    end: Birth
    missing: list[Missing] = []
    bare: list[int] = []


class Remaking:
    """Fills one new file. `rows`: of `events` and `entries`, so far; `marked`: whether placeholders are among them."""

    def __init__(self, path: Path, birth: Birth, names: list[str], marks: int | None, events: Events | None) -> None:
        """`names` are those known so far, and grow. `marks`: where the ids of the two names of placeholders begin, in a
        segment that later ones have more names than; None: they are names like others. `events` None: they are put in
        as they are.
        """
        self._db: Any = duckdb.connect(str(path), config=segments.settings(limits.SEALING_MEMORY_MB))
        self._birth = birth
        self._names = stored.Names(names)
        self._marks = {} if marks is None else {MISSING: marks, SOURCE: marks + 1}
        self.marked = False
        self._events = events
        self._db.execute(segments.TABLES)
        self.rows = 0
        self.made = Remade(birth._replace(segment=birth.segment + 1))

    def put(self, steps: Iterable[CopiedStep], rows_max: int | None = None) -> None:
        """Steps that follow, all of them, or until there are so many rows."""
        for some in _some(steps):
            self._db.execute("begin")
            for table, rows in stored.rows_of_copied(some).items():
                self.insert(table, rows)
            for step in some:
                self._put(step)
            self._db.execute("commit")
            if rows_max is not None and self.rows >= rows_max:
                return

    def _put(self, step: CopiedStep) -> None:
        end, floors, events = self.made.end, dict(self.made.end.floors), step.events or 0
        if not step.whole:
            self.made.bare.append(step.number)
        if step.partition is not None and step.first_offset is not None:
            floors[step.partition] = step.first_offset + events
            if self._events is not None:
                self._put_events(step, step.partition, step.first_offset, events)
        self.rows += step.last - step.first + 1
        self.made.end = Birth(
            end.segment, step.last, step.number, step.recorded, step.digest, end.events + events, floors
        )

    def _put_events(self, step: CopiedStep, partition: int, first: int, count: int) -> None:
        position = step.first
        for piece in self._events(partition, first, count) if self._events is not None else ():
            name: Callable[[str], int] = self._names.id_of
            if isinstance(piece, range):
                self.made.missing.append(Missing(partition, piece.start, len(piece), position))
                piece, self.marked = placeholders(partition, piece, step.recorded), bool(self._marks)
                name = self._marks.__getitem__ if self._marks else self._names.id_of
            self.insert("events", piece.table(position, step.recorded, name))
            position += len(piece)

    def insert(self, table: str, rows: "pa.Table") -> None:
        """Rows as they are."""
        if rows.num_rows:
            self._db.register("arriving", rows)
            self._db.execute(f"insert into {table} select * from arriving")  # noqa: S608

    def finish(self) -> Remade:
        """Its birth, its floors and all names; durable and closed."""
        birth = self._birth
        names = dict(enumerate(self._names.texts))
        if self.marked:
            names |= {number: name for name, number in self._marks.items()}
        self.insert("names", stored.names_table(list(names.items())))
        self._db.execute("insert into birth values (?, ?, ?, ?, ?, ?, ?)", [segments.FORMAT, *birth[:6]])
        for partition, offset in birth.floors.items():
            self._db.execute("insert into floors values (?, ?)", [partition, offset])
        self._db.execute("checkpoint")
        self.close()
        return self.made

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def placeholders(partition: int, offsets: range, recorded: int) -> Arrival:
    """What stands for events that are gone."""
    count = len(offsets)
    return Arrival(
        partition=partition,
        first_offset=offsets.start,
        appended=[recorded] * count,
        types=[MISSING] * count,
        sources=[SOURCE] * count,
        ids=[f"p{partition:02d}:{offset}" for offset in offsets],
        times=[None] * count,
        subjects=[None] * count,
        correlations=[None] * count,
        causations=[None] * count,
        traces=[None] * count,
        extras=[None] * count,
        kinds=[ABSENT] * count,
        payloads=[b""] * count,
    )


def _some(steps: Iterable[CopiedStep]) -> Iterator[list[CopiedStep]]:
    """So many at once that they and their events fit into memory."""
    some: list[CopiedStep] = []
    events = 0
    for step in steps:
        some.append(step)
        events += step.events or 0
        if len(some) >= limits.COPY_STEPS_MAX or events >= limits.REPLAY_EVENTS_MAX:
            yield some
            some, events = [], 0
    if some:
        yield some
