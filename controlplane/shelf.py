"""The segments of a journal that are open, in one DuckDB: the newest to be written, its elders to be read.

Each is attached under an alias of its own, which no other file ever gets. Whoever reads takes a `Reading`, which keeps
the segments that were there when it began until it is closed: what has been replaced meanwhile is let go of then.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from controlplane import segments
from controlplane.errors import CorruptJournal
from controlplane.segments import Birth

log = logging.getLogger("signalbox.journal")


class Segment(msgspec.Struct, frozen=True):
    """One that is attached. `birth`: where it begins."""

    number: int
    path: Path
    alias: str
    is_sealed: bool
    birth: Birth


class Reading:
    """A connection for reading, one thread's. Close it."""

    def __init__(self, db: Any, given: tuple[Segment, ...], release: Callable[[tuple[Segment, ...]], None]) -> None:
        self._db = db
        self._release = release
        self.segments = given

    def holding(self, step: int) -> Segment:
        """The segment that has this step, or would have it: the first for a step before all."""
        fitting = [each for each in self.segments if each.birth.step < step]
        return fitting[-1] if fitting else self.segments[0]

    def across(self, *tables: str) -> "Reading":
        """From here on these tables are those of all segments together."""
        for table in tables:
            parts = " union all ".join(f"select * from {each.alias}.{table}" for each in self.segments)  # noqa: S608
            self._db.execute(f"create or replace temp view {table} as {parts}")
        return self

    def execute(self, sql: str, parameters: Any = None) -> Any:
        """As DuckDB's."""
        return self._db.execute(sql, parameters)

    def sql(self, sql: str, params: Any = None) -> Any:
        """As DuckDB's."""
        return self._db.sql(sql, params=params)

    def close(self) -> None:
        """Let go of the segments; more than once is fine."""
        given, self.segments = self.segments, ()
        if given:
            self._db.close()
            self._release(given)


class Shelf:
    """All segments by number; `db` is the connection that writes."""

    def __init__(self) -> None:
        self.db = duckdb.connect(":memory:", config=segments.settings())
        # The newest is checkpointed on purpose when a journal is closed, and nothing else ever.
        self.db.execute("pragma disable_checkpoint_on_shutdown")
        self.segments: tuple[Segment, ...] = ()
        self._lock = threading.Lock()
        self._read: Counter[str] = Counter()
        self._leaving: dict[str, Callable[[], None]] = {}

    @property
    def newest(self) -> Segment:
        return self.segments[-1]

    def attach(self, path: Path, read_only: bool) -> str:
        """The alias under which a file is open from here on. Any thread may."""
        alias = f"{'sealed' if segments.is_sealed(path) else 'open'}_{segments.number_of(path)}"
        options = "(read_only)" if read_only else ""
        with self.db.cursor() as db:
            quoted = str(path).replace("'", "''")
            db.execute(f"attach '{quoted}' as {alias} {options}")
        return alias

    def born(self, alias: str) -> bool:
        """Whether a segment's birth is in it; else it was only made ready, or is empty."""
        with self.db.cursor() as db:
            found = db.execute(
                "select 1 from duckdb_tables() where database_name = ? and table_name = 'birth'", [alias]
            ).fetchall()
            return bool(found) and bool(db.execute(f"select 1 from {alias}.birth").fetchall())  # noqa: S608

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
        segment = Segment(segments.number_of(path), path, alias, segments.is_sealed(path), birth)
        with self._lock:
            self.segments = (*self.segments, segment)
        return segment

    def replace(self, old: Segment, path: Path, alias: str, then: Callable[[], None]) -> None:
        """Another file of the same rows; `then` is called when nobody reads the old one any more."""
        new = Segment(old.number, path, alias, segments.is_sealed(path), old.birth)
        with self._lock:
            self.segments = tuple(new if each is old else each for each in self.segments)
            self._leaving[old.alias] = then
        self._let_go(old.alias)

    # --------------------------------------------------------------------------------------- readers

    def reading(self) -> Reading:
        """A connection for reading all that is there now."""
        with self._lock:
            given = self.segments
            self._read.update(each.alias for each in given)
        return Reading(self.db.cursor(), given, self._release)

    def _release(self, given: tuple[Segment, ...]) -> None:
        with self._lock:
            self._read.subtract(each.alias for each in given)
        for each in given:
            self._let_go(each.alias)

    def _let_go(self, alias: str) -> None:
        with self._lock:
            if self._read[alias] > 0 or alias not in self._leaving:
                return
            then = self._leaving.pop(alias)
        try:
            with self.db.cursor() as db:
                db.execute(f"detach {alias}")
            then()
        except (duckdb.Error, OSError) as error:
            log.warning("%s stays, though another took its place: %s", alias, error)

    def close(self) -> None:
        """Let go of all files, as they are."""
        self.db.close()
