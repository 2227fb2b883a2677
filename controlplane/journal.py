"""The journal: steps in, one transaction a turn; steps out again, in order.

| table | a row is |
|---|---|
| `birth` | the segment itself: the position, step and instant before its first |
| `names` | a type or source, and the small id that stands for it in `events` |
| `steps` | one atomic step: its positions, its instant, the digest after it; for a batch also partition and offsets |
| `entries` | a fact, given (`cause` NULL) or derived, as MessagePack |
| `intents` | what a step wanted done, keyed cause and index |
| `events` | one archived event: see `arrivals.EVENT_COLUMNS` |

Exactly once: the events of a batch and the step that names its partition and offsets are one transaction, and where a
partition goes on is read from `steps`. So a turn is in the journal whole or not at all, whenever the process dies.

The open segment is never checkpointed while it is open, because a checkpoint holds up every commit: it grows in its
write-ahead log, and folds it in when the plane ends cleanly. There is no primary key; nobody else writes here.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from controlplane import limits, segments
from controlplane.arrivals import EVENT_COLUMNS, STORED, Arrival, Follows, of_archive
from controlplane.errors import CorruptJournal, DirectoryLocked, DiskFull, NoPermission, PlaneError
from controlplane.facts import Fact, Intent, Rows, decode_fact, decode_intent, encode_fact, encode_intent, kind_of
from controlplane.fold import Entry, Step

log = logging.getLogger("signalbox.journal")

FORMAT = 1
"""Of the tables below."""
_NEVER = "1TB"
_TABLES = f"""
create table birth (format UINTEGER, segment UINTEGER, position UBIGINT, step UBIGINT, recorded BIGINT);
create table names (id UINTEGER, name VARCHAR);
create table steps (number UBIGINT, first UBIGINT, last UBIGINT, recorded BIGINT, partition USMALLINT,
                    first_offset UBIGINT, events UINTEGER, digest BLOB);
create table entries (position UBIGINT, recorded BIGINT, cause UBIGINT, kind VARCHAR, fact BLOB);
create table intents (cause UBIGINT, index UINTEGER, kind VARCHAR, intent BLOB);
create table events ({", ".join(f'"{name}" {sql}' for name, (sql, _) in EVENT_COLUMNS.items())});
"""
_NAMES = pa.schema([("id", pa.uint32()), ("name", pa.string())])
_STEPS = pa.schema(
    [
        *(("number", pa.uint64()), ("first", pa.uint64()), ("last", pa.uint64()), ("recorded", pa.int64())),
        *(("partition", pa.uint16()), ("first_offset", pa.uint64()), ("events", pa.uint32()), ("digest", pa.binary())),
    ]
)
_ENTRIES = pa.schema(
    [
        *(("position", pa.uint64()), ("recorded", pa.int64()), ("cause", pa.uint64())),
        *(("kind", pa.string()), ("fact", pa.binary())),
    ]
)
_INTENTS = pa.schema([("cause", pa.uint64()), ("index", pa.uint32()), ("kind", pa.string()), ("intent", pa.binary())])


class Kept(NamedTuple):
    """A step to be committed, with the events of its Rows."""

    step: Step
    arrival: Arrival | None = None


class Journal:
    """The open segment of a journal; one thread at a time commits.

    `position`, `step`, `recorded` and `digest` are of the last committed step, `offsets[partition]` is the first offset
    that is not archived, `events` counts archived events.
    """

    def __init__(self, folder: Path, follows: Follows) -> None:
        """Open the newest segment, or make the first. Raises what `_explained` says, and CorruptJournal."""
        self.path = segments.newest(folder)
        self._follows = follows
        self._ids: dict[str, int] = {}
        self._names: list[str] = []
        self._names_kept = 0
        self.offsets: dict[int, int] = {}
        self.digest = b""
        try:
            self._db = duckdb.connect(str(self.path), config=_settings())
            if not self._all("select 1 from duckdb_tables() where table_name = 'birth'"):
                self._be_born(segments.number_of(self.path))
            self._recall()
        except duckdb.Error as error:
            raise _explained(error, self.path) from error

    def _be_born(self, segment: int) -> None:
        self._db.execute("begin")
        self._db.execute(_TABLES)
        self._db.execute("insert into birth values (?, ?, 0, 0, 0)", [FORMAT, segment])
        self._db.execute("commit")

    def _recall(self) -> None:
        ((made, position, step, recorded),) = self._all("select format, position, step, recorded from birth")
        if made != FORMAT:
            raise CorruptJournal(
                f"{self.path} is of format {made}, this version reads {FORMAT}: use the version that made it."
            )
        self._names = [name for _, name in self._all("select id, name from names order by id")]
        self._ids = {name: number for number, name in enumerate(self._names)}
        self._names_kept = len(self._names)
        last = self._all("select number, last, recorded, digest from steps order by number desc limit 1")
        self.step, self.position, self.recorded, self.digest = last[0] if last else (step, position, recorded, b"")
        nexts = "select partition, max(first_offset + events) from steps where partition is not null group by partition"
        self.offsets = {partition: int(offset) for partition, offset in self._all(nexts)}
        ((self.events,),) = self._all("select count(*) from events")

    # ------------------------------------------------------------------------------------------- in

    def commit(self, turn: Sequence[Kept]) -> None:
        """One turn's steps, whole or not at all. Raises DiskFull: nothing of it is kept, and it may be tried again."""
        tables = [kept.arrival.table(kept.step.first, kept.step.recorded, self._name) for kept in turn if kept.arrival]
        news = [(number, self._names[number]) for number in range(self._names_kept, len(self._names))]
        facts = [entry for kept in turn for entry in _entries(kept.step)]
        intents = [
            (cause, index, kind_of(it), encode_intent(it)) for kept in turn for cause, index, it in kept.step.intents
        ]
        try:
            self._db.execute("begin")
            self._insert("names", _table(_NAMES, news))
            self._insert("steps", _table(_STEPS, [_row(kept) for kept in turn]))
            self._insert("entries", _table(_ENTRIES, facts))
            self._insert("intents", _table(_INTENTS, intents))
            if tables:
                self._insert("events", pa.concat_tables(tables))
            self._db.execute("commit")
        except duckdb.Error as error:
            self._roll_back()
            raise _explained(error, self.path) from error
        self._names_kept = len(self._names)
        for kept in turn:
            if kept.arrival is not None:
                self.offsets[kept.arrival.partition] = kept.arrival.next_offset
                self.events += len(kept.arrival)
        last = turn[-1].step
        self.step, self.position, self.recorded, self.digest = last.number, last.last, last.recorded, last.digest

    def _name(self, text: str) -> int:
        number = self._ids.get(text)
        if number is None:
            number = self._ids[text] = len(self._names)
            self._names.append(text)
        return number

    def _insert(self, table: str, rows: "pa.Table") -> None:
        if rows.num_rows:
            self._db.register("arriving", rows)
            self._db.execute(f"insert into {table} select * from arriving")  # noqa: S608

    def _roll_back(self) -> None:
        try:
            self._db.execute("rollback")
        except duckdb.Error as error:
            # A commit that failed has ended its transaction by itself.
            log.debug("no transaction to roll back: %s", error)

    # ------------------------------------------------------------------------------------------- out

    def blocks(self, after: int = 0, up_to: int | None = None) -> Iterator[list[Step]]:
        """Steps with number > `after` and last position <= `up_to`, some at a time; intents and digests as recorded.

        Reads on a connection of its own, so it may run in another thread while commits go on; it sees what was
        committed when each block was fetched.
        """
        db = self._db.cursor()
        try:
            while heads := self._heads(db, after, self.position if up_to is None else up_to):
                yield self._steps(db, heads)
                after = heads[-1][0]
        finally:
            db.close()

    def replay(self, up_to: int | None = None, after: int = 0) -> Iterator[Step]:
        """All steps with number > `after` whose last position is <= `up_to`, in order."""
        for block in self.blocks(after, up_to):
            yield from block

    def journaled(self, number: int) -> tuple[int, bytes] | None:
        """The last position of a step and the digest after it; None if there is no such step."""
        with closing(self._db.cursor()) as db:
            rows = db.execute("select last, digest from steps where number = ?", [number]).fetchall()
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    def published(self) -> tuple[list[tuple[int, int, Intent]], list[Fact]]:
        """Every PublishEvent that was intended, in order, as (cause, index, intent); and every Carried."""
        with closing(self._db.cursor()) as db:
            said = db.execute(
                "select cause, index, intent from intents where kind = 'PublishEvent' order by cause, index"
            ).fetchall()
            carried = db.execute("select fact from entries where kind = 'Carried'").fetchall()
        return (
            [(cause, index, decode_intent(intent)) for cause, index, intent in said],
            [decode_fact(fact) for (fact,) in carried],
        )

    def _heads(self, db: Any, after: int, up_to: int) -> list[tuple[Any, ...]]:
        rows = db.execute(
            f"select number, first, last, recorded, partition, events, digest from steps "  # noqa: S608
            f"where number > ? and last <= ? order by number limit {limits.REPLAY_STEPS_MAX}",
            [after, up_to],
        ).fetchall()
        events = 0
        for count, row in enumerate(rows):
            events += row[5] or 0
            if events > limits.REPLAY_EVENTS_MAX and count:
                return list(rows[:count])
        return list(rows)

    def _steps(self, db: Any, heads: list[tuple[Any, ...]]) -> list[Step]:
        first, last = heads[0][1], heads[-1][2]
        within = f"between {first} and {last}"
        facts = db.execute(
            f"select position, cause, fact from entries where position {within} order by position"  # noqa: S608
        ).fetchall()
        wanted: list[tuple[int, int, Intent]] = [
            (cause, index, decode_intent(body))
            for cause, index, body in db.execute(
                f"select cause, index, intent from intents where cause {within} order by rowid"  # noqa: S608
            ).fetchall()
        ]
        stored = ", ".join(f'"{name}"' for name in STORED)
        events = fetch(db, f"select {stored} from events where position {within} order by position")  # noqa: S608
        steps, row, fact, intent = [], 0, 0, 0
        for number, start, end, recorded, partition, count, digest in heads:
            given: Fact | Rows
            if partition is None:
                given = decode_fact(facts[fact][2])
                fact += 1
            else:
                part = {name: column[row : row + count] for name, column in events.items()}
                given = of_archive(part, self._names).rows(self._follows)
                row += count
            derived = []
            while fact < len(facts) and facts[fact][0] <= end:
                position, cause, body = facts[fact]
                derived.append(Entry(position, recorded, cause, decode_fact(body)))
                fact += 1
            intents_before = intent
            while intent < len(wanted) and wanted[intent][0] <= end:
                intent += 1
            intents = wanted[intents_before:intent]
            steps.append(Step(number, start, end, recorded, given, derived, intents, digest))
        return steps

    # ------------------------------------------------------------------------------------------- the rest

    def cursor(self) -> Any:
        """A connection of its own for reading."""
        return self._db.cursor()

    def name(self, number: int) -> str:
        """The type or source behind a small id."""
        return self._names[number]

    @property
    def names(self) -> Sequence[str]:
        return self._names

    @property
    def size_bytes(self) -> int:
        """What the segment takes on disk."""
        found = (self.path, self.path.with_name(self.path.name + ".wal"))
        return sum(path.stat().st_size for path in found if path.exists())

    def close(self) -> None:
        """Fold the write-ahead log in and let go of the file; without room for that the log stays as it is."""
        try:
            self._db.close()
        except duckdb.Error as error:
            log.warning("%s was closed without a checkpoint: %s", self.path, error)

    def _all(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._db.execute(sql).fetchall())


def fetch(db: Any, sql: str, parameters: dict[str, Any] | None = None) -> dict[str, list[Any]]:
    """A query's columns as lists, by name."""
    table = db.sql(sql, params=parameters).to_arrow_table() if parameters else db.sql(sql).to_arrow_table()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _settings() -> dict[str, Any]:
    settings: dict[str, Any] = {
        "checkpoint_threshold": _NEVER,
        "memory_limit": f"{limits.JOURNAL_MEMORY_MB}MB",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    if int(duckdb.__version__.split(".")[0]) >= 2:
        settings["storage_compatibility_version"] = "v1.5.0"
    return settings


def _table(schema: "pa.Schema", rows: Sequence[tuple[Any, ...]]) -> "pa.Table":
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _row(kept: Kept) -> tuple[Any, ...]:
    step, given = kept.step, kept.step.input
    at = (given.partition, given.first_offset, len(given)) if isinstance(given, Rows) else (None, None, None)
    return (step.number, step.first, step.last, step.recorded, *at, step.digest)


def _entries(step: Step) -> Iterator[tuple[Any, ...]]:
    if not isinstance(step.input, Rows):
        yield step.first, step.recorded, None, kind_of(step.input), encode_fact(step.input)
    for entry in step.derived:
        if isinstance(entry.fact, Rows):
            raise TypeError("Rows cannot be derived")
        yield entry.position, entry.recorded, entry.cause, kind_of(entry.fact), encode_fact(entry.fact)


def _explained(error: Exception, path: Path) -> PlaneError:
    text = " ".join(str(error).split())
    if "Conflicting lock" in text or "Could not set lock" in text:
        return DirectoryLocked(f"{path} is open in another process: {text}. End that one first.")
    if "Permission denied" in text or "Read-only file system" in text:
        return NoPermission(
            f"cannot write {path}: {text}. Give this user the directory, or name another with --data-dir."
        )
    if any(
        sign in text for sign in ("No space left", "File too large", "Could not write", "Disk quota", "out of disk")
    ):
        return DiskFull(f"no room for the journal {path}: {text}. Free some space; it goes on by itself.")
    return CorruptJournal(f"the journal {path} fails: {text}. Keep a copy of it before doing anything else.")
