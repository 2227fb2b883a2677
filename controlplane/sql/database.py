"""The worker's DuckDB: the journal's rows as documented views, and one SELECT over them at a time.

`raw` holds what is fed (the open segment's events and entries, names, the folds' state); each sealed segment is
attached read-only as `s1`, `s2` ... Events are the union of them. Everything is attached and set before access to files
is turned off and the configuration locked; from then on only memory and the spill folder are left.

What the journal keeps as MessagePack stands as JSON here. DuckDB cannot read it, so it is turned over once, when a
query first needs it: facts on their way into `raw.entries`, rare attributes by their distinct blobs into `raw.extras`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from controlplane import limits, segments
from controlplane.arrivals import EVENT_COLUMNS
from controlplane.errors import SqlRefused
from controlplane.questions import At, SqlAnswer, SqlColumn
from controlplane.segments import PARQUET, form_of
from controlplane.sql.columns import FED_ENTRIES, FED_EVENTS, TYPES, as_attributes, as_facts, of_events, selected
from controlplane.sql.state import COLUMNS
from controlplane.sql.statement import ATTRIBUTES, caret, tables_of
from controlplane.sql.values import plain

_ENTRY_TYPES = ("UBIGINT", "BIGINT", "UBIGINT", "VARCHAR", "VARCHAR")
_ROWS_HEADER = 0xDD
"""MessagePack's array of up to 2^32 items."""


class Database:
    """Raises SqlRefused for whatever a query does not get, in DuckDB's words."""

    def __init__(self, sealed: Sequence[str] = (), spill: str = "") -> None:
        self._db = duckdb.connect(":memory:", config=_settings(spill))
        self._sources: list[str] = []
        self._sealed_facts = False
        self._up_to: int | None = None
        self._turned = 0
        """Rare attributes are in `raw.extras` up to this position."""
        for number, path in enumerate(sealed, 1):
            try:
                self._attach(f"s{number}", path)
            except duckdb.Error as error:
                raise SqlRefused(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        folders = [segments.quoted(Path(path)) for path in sealed if form_of(Path(path)) == PARQUET]
        self._sources.append("raw")
        self._make_tables()
        self._make_views()
        for setting in (
            "timezone = 'UTC'",
            "errors_as_json = true",
            "enable_progress_bar = false",
            # As a setting of the connection it would not hold for a folder that is named beside it.
            f"max_temp_directory_size = '{limits.SQL_SPILL_MB}MB'",
            *([f"allowed_directories = [{', '.join(folders)}]"] if folders else []),
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self._db.execute(f"set {setting}")

    def _attach(self, source: str, path: str) -> None:
        """A segment under a name; one that was only made ready has nothing to read."""
        segments.attach(self._db, Path(path), source, read_only=True)
        if form_of(Path(path)) != PARQUET:
            has = "select 1 from duckdb_tables() where database_name = ? and table_name = 'events'"
            if not self._db.execute(has, [source]).fetchall():
                return
        self._sources.append(source)

    def _make_tables(self) -> None:
        events = ", ".join(f'"{name}" {EVENT_COLUMNS[name][0]}' for name in FED_EVENTS)
        entries = ", ".join(f"{name} {kind}" for name, kind in zip(FED_ENTRIES, _ENTRY_TYPES, strict=True))
        self._db.execute("create schema raw")
        self._db.execute("create table raw.names (id UINTEGER, name VARCHAR)")
        self._db.execute("create table raw.extras (blob BLOB, json VARCHAR)")
        self._db.execute(f"create table raw.events ({events})")
        self._db.execute(f"create table raw.entries ({entries})")
        for table, names in COLUMNS.items():
            columns = ", ".join(f'"{name}" {_stored(TYPES[table][name])}' for name in names)
            self._db.execute(f"create table raw.{table} ({columns})")

    def _make_views(self) -> None:
        self._make_views_of_journal()
        for table in COLUMNS:
            self._view(table, selected(table, {name: f'"{name}"' for name in COLUMNS[table]}), f"raw.{table}")

    def _make_views_of_journal(self) -> None:
        within = "" if self._up_to is None else f" where position <= {self._up_to}"
        events = f"select * from ({_united('events', FED_EVENTS, self._sources)}){within}"  # noqa: S608
        joined = f"({events}) e join raw.names t on t.id = e.type join raw.names s on s.id = e.source"
        self._view("events", of_events("x.json"), f"{joined} left join raw.extras x on x.blob = e.extras")
        facts = {name: name for name in TYPES["facts"]} | {"recorded_ns": "recorded"}
        self._view("facts", selected("facts", facts), f"raw.entries{within}")

    def _view(self, view: str, columns: str, source: str) -> None:
        self._db.execute(f"create or replace view {view} as select {columns} from {source}")  # noqa: S608

    def see(self, up_to: int | None) -> None:
        """From here on `events` and `facts` end at this position; None: where the journal does."""
        if up_to != self._up_to:
            self._up_to = up_to
            self._make_views_of_journal()

    # ------------------------------------------------------------------------------------------ what is fed

    def add_names(self, first: int, names: Sequence[str]) -> None:
        """Types and sources from the small id `first` on."""
        self._insert("names", pa.table({"id": range(first, first + len(names)), "name": list(names)}))

    def take_names(self) -> None:
        """Those of the attached segments, whose small ids mean the same in all of them."""
        for source in self._sources[:-1]:
            known = "select id from raw.names"
            self._db.execute(f"insert into raw.names from {source}.names where id not in ({known})")

    def end(self, at: At | None = None) -> tuple[int, int]:
        """Position and instant of the last step in the attached segments, or of the last one by a moment."""
        if not self._sources[:-1]:
            return 0, 0
        each = _united("steps", ("last", "recorded"), self._sources[:-1])
        within = "true"
        if at is not None:
            within = f"recorded <= {at.instant}" if at.position is None else f"last <= {at.position}"
        found = f"select max(last), max(recorded) from ({each}) where {within}"  # noqa: S608
        ((position, recorded),) = self._db.execute(found).fetchall()
        return position or 0, recorded or 0

    def begin(self) -> int:
        """The position after which the attached segments begin."""
        if not self._sources[:-1]:
            return 0
        each = _united("birth", ("position",), self._sources[:-1])
        ((position,),) = self._db.execute(f"select min(position) from ({each})").fetchall()  # noqa: S608
        return position or 0

    def feed(self, table: str, stream: bytes) -> None:
        """Rows of `events` or `entries` as an Arrow IPC stream."""
        rows = pa.ipc.open_stream(stream).read_all()
        self._insert(table, _with_json(rows) if table == "entries" else rows)

    def prepare(self, tables: Sequence[str]) -> None:
        """Turn over what a query needs as JSON, as `check` told."""
        if "facts" in tables and not self._sealed_facts:
            for source in self._sources[:-1]:
                for batch in self._read(f"select {', '.join(FED_ENTRIES)} from {source}.entries"):  # noqa: S608
                    self._insert("entries", _with_json(pa.Table.from_batches([batch])))
            self._sealed_facts = True
        if ATTRIBUTES in tables:
            self._turn_attributes()

    def _turn_attributes(self) -> None:
        within = f"where position > {self._turned} and extras is not null"
        each = " union ".join(f"select extras from {source}.events {within}" for source in self._sources)  # noqa: S608
        known = "select blob from raw.extras"
        for batch in self._read(f"select distinct extras from ({each}) where extras not in ({known})"):  # noqa: S608
            texts = [as_attributes(blob) for blob in batch.column(0).to_pylist()]
            self._insert("extras", pa.table({"blob": batch.column(0), "json": pa.array(texts, pa.string())}))
        lasts = " union all ".join(f"select max(position) from {source}.events" for source in self._sources)  # noqa: S608
        ((last,),) = self._db.execute(f"select max(#1) from ({lasts})").fetchall()  # noqa: S608
        self._turned = last or 0

    def _read(self, sql: str) -> Iterator[Any]:
        """Batches of what is read beside inserts."""
        cursor = self._db.cursor()
        try:
            yield from cursor.sql(sql).to_arrow_reader(limits.SQL_BATCH_ROWS)
        finally:
            cursor.close()

    def replace(self, table: str, columns: dict[str, list[Any]]) -> None:
        """All rows of a table of state."""
        self._db.execute(f"delete from raw.{table}")  # noqa: S608
        self._insert(table, pa.table({name: pa.array(column) for name, column in columns.items()}))

    def _insert(self, table: str, rows: Any) -> None:
        if rows.num_rows:
            names = ", ".join(f'"{name}"' for name in rows.column_names)
            self._db.register("arriving", rows)
            self._db.execute(f"insert into raw.{table} ({names}) select {names} from arriving")  # noqa: S608
            self._db.unregister("arriving")

    def close(self) -> None:
        """Let go of the files."""
        self._db.close()

    # ------------------------------------------------------------------------------------------ what is asked

    def check(self, sql: str) -> list[str]:
        """The documented tables that a query reads. Raises SqlRefused for anything but one SELECT over them."""
        self._statement(sql)
        try:
            ((tree,),) = self._db.execute("select json_serialize_sql(?)", [sql]).fetchall()
        except duckdb.Error as error:
            raise SqlRefused(_explained(error, sql)) from error
        try:
            parsed = msgspec.json.decode(tree)
        except RecursionError as error:
            raise SqlRefused("it is nested too deeply") from error
        return tables_of(parsed, sql, TYPES)

    def _statement(self, sql: str) -> Any:
        """The one statement of a query."""
        try:
            statements = self._db.extract_statements(sql)
        except duckdb.Error as error:
            raise SqlRefused(_explained(error, sql)) from error
        if len(statements) != 1:
            raise SqlRefused(f"one SELECT at a time, not {len(statements)} statements")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise SqlRefused("only SELECT is possible here: the journal is read, never written")
        return statements[0]

    def run(self, sql: str, rows_max: int, bytes_max: int) -> SqlAnswer:
        """The answer to a query that `check` let through, as much of it as is allowed."""
        begun = perf_counter_ns()
        statement = self._statement(sql)
        try:
            self._db.execute("begin transaction read only")
            try:
                relation = _readable(self._db.sql(statement))
                named = zip(_single(relation.columns), relation.types, strict=True)
                columns = [SqlColumn(name, str(kind)) for name, kind in named]
                count, rows, cut = _taken(relation.to_arrow_reader(limits.SQL_BATCH_ROWS), rows_max, bytes_max)
            finally:
                with suppress(duckdb.TransactionException):  # it has ended the transaction by itself
                    self._db.execute("rollback")
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise SqlRefused(_explained(self._placed(error, sql), sql)) from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise SqlRefused(_explained(error, sql)) from error
        except MemoryError as error:
            raise SqlRefused(f"Out of Memory Error: the SQL worker has {limits.SQL_PROCESS_MEMORY_MB} MB") from error
        return SqlAnswer(columns, msgspec.Raw(rows), count, cut, perf_counter_ns() - begun)

    def _placed(self, error: Exception, sql: str) -> Exception:
        """The same error with its place, which DuckDB tells on another road only; it fails there before it runs."""
        try:
            self._db.execute("begin transaction read only")
            self._db.execute(sql)
        except duckdb.Error as placed:
            return placed
        finally:
            with suppress(duckdb.TransactionException):
                self._db.execute("rollback")
        return error


def _united(table: str, columns: Sequence[str], sources: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return " union all ".join(f"select {names} from {source}.{table}" for source in sources)  # noqa: S608


def _settings(spill: str) -> dict[str, Any]:
    return {
        "memory_limit": f"{limits.SQL_MEMORY_MB}MB",
        "threads": str(max(1, min(limits.SQL_THREADS_MAX, (os.cpu_count() or 2) // 2))),
        "temp_directory": spill,
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
    }


def _stored(kind: str) -> str:
    return "BIGINT" if kind.startswith("TIMESTAMP") else "VARCHAR" if kind == "JSON" else kind


def _readable(relation: Any) -> Any:
    """The same with what Arrow has only as DuckDB's own bytes cast to text."""
    odd = [str(kind) in ("BIT", "BIGNUM") for kind in relation.types]
    if not any(odd):
        return relation
    names = [name.replace('"', '""') for name in relation.columns]
    cast = (f'#{at}::VARCHAR as "{name}"' if odd[at - 1] else f"#{at}" for at, name in enumerate(names, 1))
    return relation.project(", ".join(cast))


def _explained(error: Exception, sql: str) -> str:
    """DuckDB's words, and where in the query."""
    kind, colon, told = str(error).partition(": ")
    try:
        found = msgspec.json.decode(told, type=_Told)
    except msgspec.DecodeError:
        return str(error)
    message = f"{kind}{colon}{found.exception_message}"
    return message + caret(sql, int(found.position)) if found.position.isdigit() else message


class _Told(msgspec.Struct):
    """What DuckDB says of an error under `errors_as_json`."""

    exception_message: str
    position: str = ""


def _single(names: Sequence[str]) -> list[str]:
    """Names of columns, the second of one name with `_1` after it: a row is an object to some readers."""
    seen: dict[str, int] = {}
    single = []
    for name in names:
        fresh = name
        while fresh in seen:
            seen[name] += 1
            fresh = f"{name}_{seen[name]}"
        seen[fresh] = 0
        single.append(fresh)
    return single


def _taken(reader: Any, rows_max: int, bytes_max: int) -> tuple[int, bytes, str]:
    """As many rows as fit: their number, they themselves, and why there are more."""
    encode = msgspec.msgpack.Encoder().encode
    rows: list[bytes] = []
    size, cut = 0, ""
    for batch in reader:
        for row in zip(*map(plain, batch.columns), strict=True):
            encoded = encode(row)
            size += len(encoded)
            if len(rows) >= rows_max:
                cut = f"more than {rows_max:,} rows"
            elif size > bytes_max:
                cut = f"more than {bytes_max:,} bytes"
            if cut:
                break
            rows.append(encoded)
        if cut:
            break
    return len(rows), bytes([_ROWS_HEADER]) + len(rows).to_bytes(4, "big") + b"".join(rows), cut


def _with_json(entries: Any) -> Any:
    """Entries with their facts as JSON."""
    place = entries.column_names.index("fact")
    facts = as_facts(entries.column(place).to_pylist())
    return entries.set_column(place, "fact", pa.array(facts, pa.string()))
