"""The segments of a journal that are open, in one DuckDB: the newest to be written, its elders to be read.

Each is attached under an alias of its own, which no other file ever gets. Whoever reads takes a `Reading`, which keeps
the segments that were there when it began until it is closed: what has been replaced meanwhile is let go of then.

To see all segments as one takes a view over each of their tables, and to make one costs as much as a small question. So
a few connections are kept with their views for the next who read; when the segments become others they are let go of.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from controlplane import limits, segments
from controlplane.errors import CorruptJournal
from controlplane.segments import Birth

log = logging.getLogger("signalbox.journal")


def alias_of(path: Path) -> str:
    """Under which a file is open; no other ever gets it."""
    return f"{segments.form_of(path).replace('.', '_')}_{segments.number_of(path)}"


class Segment(msgspec.Struct, frozen=True):
    """One that is attached. `birth`: where it begins."""

    number: int
    path: Path
    alias: str
    birth: Birth

    @property
    def is_sealed(self) -> bool:
        """Whether it is never written again, and sorted by saga; Parquet is."""
        return segments.form_of(self.path) != segments.OPEN

    @property
    def as_inserted(self) -> str:
        """What has its rows come in the order in which they were inserted; Parquet is read in it."""
        return "" if segments.form_of(self.path) == segments.PARQUET else "order by rowid"


class Line(NamedTuple):
    """A connection, and the tables of which it has a view across all segments."""

    db: Any
    across: set[str]


class Reading:
    """A connection for reading, one thread's. Close it."""

    def __init__(
        self, line: Line, given: tuple[Segment, ...], release: Callable[[Line, tuple[Segment, ...]], None]
    ) -> None:
        self._line = line
        self._release = release
        self.segments = given

    def holding(self, step: int) -> Segment:
        """The segment that has this step, or would have it: the first for a step before all."""
        fitting = [each for each in self.segments if each.birth.step < step]
        return fitting[-1] if fitting else self.segments[0]

    def across(self, *tables: str) -> "Reading":
        """From here on these tables are those of all segments together; the newest one's names are those of all."""
        db, across = self._line
        if "names" not in across:
            db.execute(f"create temp view names as from {self.segments[-1].alias}.names")
            across.add("names")
        for table in tables:
            if table not in across:
                parts = " union all ".join(f"select * from {each.alias}.{table}" for each in self.segments)  # noqa: S608
                db.execute(f"create temp view {table} as {parts}")
                across.add(table)
        return self

    def execute(self, sql: str, parameters: Any = None) -> Any:
        """As DuckDB's."""
        return self._line.db.execute(sql, parameters)

    def sql(self, sql: str, params: Any = None) -> Any:
        """As DuckDB's."""
        return self._line.db.sql(sql, params=params)

    def close(self) -> None:
        """Let go of the segments; more than once is fine."""
        given, self.segments = self.segments, ()
        if given:
            self._release(self._line, given)


class Shelf:
    """All segments by number; `db` is the connection that writes."""

    def __init__(self) -> None:
        self.db = duckdb.connect(":memory:", config=segments.settings())
        # The newest is checkpointed on purpose when a journal is closed, and nothing else ever.
        self.db.execute("pragma disable_checkpoint_on_shutdown")
        self.segments: tuple[Segment, ...] = ()
        self._lock = threading.Lock()
        self._is_open = True
        self._read: Counter[str] = Counter()
        self._idle: list[Line] = []
        """Nobody's; their views are of the segments that are there now."""
        self._leaving: dict[str, Callable[[], None]] = {}

    @property
    def newest(self) -> Segment:
        return self.segments[-1]

    def attach(self, path: Path, read_only: bool) -> str:
        """The alias under which a file is open from here on. Any thread may."""
        alias = alias_of(path)
        with self.db.cursor() as db:
            segments.attach(db, path, alias, read_only)
        return alias

    def born(self, alias: str) -> bool:
        """Whether a segment's birth is in it; else it was only made ready, or is empty."""
        with self.db.cursor() as db:
            found = db.execute(
                "select 1 from duckdb_tables() where database_name = ? and table_name = 'birth'", [alias]
            ).fetchall()
            return bool(found) and bool(db.execute(f"select 1 from {alias}.birth").fetchall())  # noqa: S608

    def found(self, alias: str, birth: Birth) -> None:
        """The first segment of a journal, born at once."""
        self.db.execute(f"use {alias}")
        self.db.execute("begin")
        self.db.execute(segments.TABLES)
        self.insert_birth(alias, birth)
        self.db.execute("commit")
        self.db.execute("use memory")

    def insert_birth(self, alias: str, birth: Birth) -> None:
        """Part of the transaction of a segment's first turn."""
        row = [segments.FORMAT, *birth[:6]]
        self.db.execute(f"insert into {alias}.birth values (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        for partition, offset in birth.floors.items():
            self.db.execute(f"insert into {alias}.floors values (?, ?)", [partition, offset])  # noqa: S608

    def migrate(self, alias: str) -> None:
        """A segment of an older format becomes one of this."""
        ((made,),) = self.db.execute(f"select format from {alias}.birth").fetchall()  # noqa: S608
        if made == 1:
            self.db.execute("begin")
            self.db.execute(segments.FROM_1.format(alias=alias))
            self.db.execute("commit")

    def birth_of(self, alias: str, path: Path) -> Birth:
        """Raises CorruptJournal for a segment of a form that this version does not know."""
        with self.db.cursor() as db:
            rows = db.execute(f"select * from {alias}.birth").fetchall()  # noqa: S608
            if len(rows) != 1 or rows[0][0] not in (1, segments.FORMAT):
                made = rows[0][0] if rows else "unknown"
                raise CorruptJournal(
                    f"{path} is of format {made}, this version reads {segments.FORMAT}: use the version that made it."
                )
            if rows[0][0] == 1:
                _, segment, position, step, recorded = rows[0]
                return Birth(segment, position, step, recorded, b"", 0, {})
            floors = db.execute(f"select partition, next from {alias}.floors").fetchall()  # noqa: S608
        _, segment, position, step, recorded, digest, events = rows[0]
        return Birth(segment, position, step, recorded, bytes(digest), events, dict(floors))

    def add(self, path: Path, alias: str, birth: Birth | None = None) -> Segment:
        """One more at the end; `birth` as it will be committed, or as it stands in the file."""
        birth = birth or self.birth_of(alias, path)
        segment = Segment(segments.number_of(path), path, alias, birth)
        with self._lock:
            self.segments = (*self.segments, segment)
            self._drop_idle()
        return segment

    def replace(self, old: Segment, path: Path, alias: str, then: Callable[[], None]) -> None:
        """Another file of the same rows; `then` is called when nobody reads the old one any more."""
        new = Segment(old.number, path, alias, old.birth)
        with self._lock:
            self.segments = tuple(new if each is old else each for each in self.segments)
            self._leaving[old.alias] = then
            self._drop_idle()
        self._let_go(old.alias)

    def drop(self, old: Segment, then: Callable[[], None]) -> None:
        """This one is no part of the journal any more; `then` is called when nobody reads it any more."""
        with self._lock:
            self.segments = tuple(each for each in self.segments if each is not old)
            self._leaving[old.alias] = then
            self._drop_idle()
        self._let_go(old.alias)

    # --------------------------------------------------------------------------------------- readers

    def reading(self) -> Reading:
        """A connection for reading all that is there now."""
        with self._lock:
            given = self.segments
            self._read.update(each.alias for each in given)
            line = self._idle.pop() if self._idle else None
        return Reading(line or Line(self.db.cursor(), set()), given, self._release)

    def _release(self, line: Line, given: tuple[Segment, ...]) -> None:
        is_sound = _is_sound(line)
        with self._lock:
            self._read.subtract(each.alias for each in given)
            is_current = self._is_open and given is self.segments
            is_kept = is_sound and is_current and len(self._idle) < limits.READINGS_KEPT_MAX
            if is_kept:
                self._idle.append(line)
        if not is_kept:
            line.db.close()
        for each in given:
            self._let_go(each.alias)

    def _drop_idle(self) -> None:
        """The lock is held: nobody takes one of them while the segments become others."""
        for line in self._idle:
            line.db.close()
        self._idle.clear()

    def _let_go(self, alias: str) -> None:
        with self._lock:
            if self._read[alias] > 0 or alias not in self._leaving:
                return
            then = self._leaving.pop(alias)
        try:
            with self.db.cursor() as db:
                segments.detach(db, alias)
            then()
        except (duckdb.Error, OSError) as error:
            log.warning("%s stays, though nobody needs it: %s", alias, error)

    def close(self) -> None:
        """Let go of all files, as they are."""
        with self._lock:
            self._is_open = False
            self._drop_idle()
        self.db.close()


def _is_sound(line: Line) -> bool:
    """Whether the next one can use it; a result that was not taken to its end is closed."""
    try:
        line.db.execute("select 1").fetchall()
    except duckdb.Error:
        return False
    return True
