"""The worker's database, without a process: the documented schema, values kept right, and what is refused."""

import os
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from controlplane import limits
from controlplane.errors import SqlRefused
from controlplane.questions import SQL_SCHEMA
from controlplane.sql.database import Database
from controlplane.sql.statement import FUNCTIONS_REFUSED

OUT = Path(tempfile.gettempdir()) / f"signalbox-escape-{os.getpid()}"
"""What an escape would make."""
ESCAPES = (
    "select * from read_csv('/etc/passwd')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_parquet('/etc/passwd')",
    "select * from parquet_metadata('/etc/passwd')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from glob('/*')",
    "select * from '/etc/passwd'",
    "select * from 'OUT.csv'",
    'from "/etc/passwd"',
    "select (select count(*) from read_text('/etc/passwd'))",
    "select * from events where exists (select 1 from read_text('/etc/passwd'))",
    'select * from (with "/etc/passwd" as (select 1) from "/etc/passwd"), \'/etc/passwd\'',
    "select getenv('HOME')",
    "select current_setting('temp_directory')",
    "select getvariable('x')",
    "select * from duckdb_settings()",
    "select * from duckdb_secrets()",
    "select * from pragma_database_list",
    "select * from duckdb_databases()",
    "select * from raw.events",
    "select * from memory.raw.names",
    "select * from query('attach ''OUT''')",
    "select * from query_table('raw.names')",
    "select json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "show databases",
    "attach 'OUT.duckdb' as x",
    "detach memory",
    "use raw",
    "copy events to 'OUT.csv'",
    "copy (select 1) to 'OUT.csv'",
    "copy raw.names from '/etc/passwd'",
    "export database 'OUT'",
    "import database 'OUT'",
    "pragma database_list",
    "pragma enable_profiling",
    "call pragma_version()",
    "call checkpoint()",
    "install httpfs",
    "load httpfs",
    "load 'OUT.so'",
    "set memory_limit = '100GB'",
    "set enable_external_access = true",
    "reset lock_configuration",
    "create table x (a int)",
    "create macro x() as 1",
    "drop view events",
    "insert into raw.names values (1, 'x')",
    "delete from raw.events",
    "update raw.names set name = 'x'",
    "with x as (insert into raw.names values (1, 'x') returning *) select * from x",
    "with x as (delete from raw.names returning *) select * from x",
    "begin",
    "commit",
    "commit; drop table raw.events",
    "select 1; commit",
    "select 1; select 2",
    "select 1 /* ; */; drop table raw.events --",
    "rollback",
    "checkpoint",
    "vacuum",
    "explain analyze insert into raw.names values (1, 'x')",
    "prepare x as select 1",
    "execute x",
    "select $1",
    "select ?",
    "",
    "--",
    ";",
    "selec 1",
    "\0",
)
KELVIN = "\N{KELVIN SIGN}"
"""Its lower case in Python is an ASCII k, and in DuckDB itself."""
ESCAPES += (
    # A CTE's name is known where the CTE is, and nowhere else: there it means a file, or a view of the catalogue.
    'with "/etc/passwd" as (select * from "/etc/passwd") select * from "/etc/passwd"',
    "with duckdb_databases as (from duckdb_databases) from duckdb_databases",
    "with recursive sqlite_master as (from sqlite_master) from sqlite_master",
    "with recursive duckdb_tables as (from duckdb_tables union all from duckdb_tables where false) from duckdb_tables",
    "with duckdb_tables as (select 1) select * from main.duckdb_tables",
    "with duckdb_tables as (select 1) select * from memory.main.duckdb_tables",
    "with a as (from duckdb_views), duckdb_views as (select 1) from a",
    "select * from (with duckdb_views as (select 1) from duckdb_views) a, duckdb_views",
    f'with "duc{KELVIN}db_tables" as (select 1) select * from duckdb_tables',  # noqa: S608
    "with x as (copy (select 1) to 'OUT.csv') select * from x",
    # Where else a query may stand in a query.
    "table raw.names",
    "select (table raw.names)",
    "select 1 order by (select count(*) from raw.names)",
    "select 1 limit (select count(*) from raw.names)",
    "select 1 offset (select count(*) from raw.names)",
    "select 1 qualify row_number() over (order by (select count(*) from raw.names)) = 1",
    "select list_transform([1], lambda x: (select count(*) from raw.names))",
    "select [n for n in (select list(name) from raw.names)]",
    "select unnest((select list(content) from read_text('/etc/passwd')))",
    "from unnest((select list(content) from read_text('/etc/passwd')))",
    "from range((select count(*) from raw.names)::int)",
    "select * from events, lateral (select * from duckdb_columns)",
    "select * from events positional join raw.names",
    "select * from (pivot raw.names on name in ('x'))",
    "unpivot raw.names on columns(*)",
    "values ((select count(*) from raw.names))",
    "select count(*) filter (exists (from raw.names))",
    # What tells of the process, the plan or the catalogue, or looks up a name in a text.
    "select json_serialize_plan('from raw.names')",
    "select 'temp_directory'.current_setting()",
    "select system.main.current_setting('temp_directory')",
    "select try(getenv('HOME'))",
    "select pg_get_viewdef(1)",
    "select get_block_size('memory')",
    "from histogram_values('raw.names', name)",
    "from 'https://example.org/x.csv'",
    "from 's3://x/y.parquet'",
    "from read_duckdb('OUT.duckdb')",
    "from sql_auto_complete('sel')",
    "from information_schema.tables",
    "from pg_catalog.pg_tables",
    "from duckdb_functions()",
    "from enable_logging()",
    "describe '/etc/passwd'",
    "summarize '/etc/passwd'",
    "show '/etc/passwd'",
    "from (show all tables)",
    "describe",
    # Ends of statements that do not look like one.
    "select 1\0; drop view events",
    "select 1 -- \r\n; drop view events",
    "select 1;\N{NO-BREAK SPACE}drop view events",
    "select 1\N{GREEK QUESTION MARK} drop view events",
    "select E'\\''; drop view events; --'",
    "select $a$ $b$; $a$; drop view events",
    "set variable x = 1; select 1",
    "execute immediate 'select 1'",
    "merge into raw.names using events on true when matched then delete",
)
NAMED = [sql.replace("OUT", str(OUT)) for sql in ESCAPES]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    spill = tmp_path_factory.mktemp("spill")
    database = Database(spill=str(spill))
    database.add_names(0, ["order.created", "agent/shop"])
    return database


def rows(database: Database, sql: str, rows_max: int = 100) -> list[list[Any]]:
    database.check(sql)
    return database.run(sql, rows_max, 1_000_000).values()


HARMLESS = frozenset(
    {"current_connection_id", "current_query", "current_query_id", "current_transaction_id", "error", "random", "stats"}
    | {"gen_random_uuid", "setseed", "uuid", "uuidv4", "uuidv7", "vector_type"}
)
"""Functions that give something else each time, or only fail; they neither change nor tell anything."""


def test_no_function_that_does_something_or_reads_the_catalogue_is_let_through(database: Database) -> None:
    """A newer DuckDB may have more of them; then this fails, and somebody looks at them."""
    functions = "select distinct function_name from duckdb_functions() where function_type in ('scalar', 'macro') and "
    acts = "(has_side_effects or stability = 'VOLATILE')"
    reads = "regexp_matches(macro_definition, '(?i)select .* from ')"
    found = database._db.execute(f"{functions} ({acts} or {reads})").fetchall()
    assert {name for (name,) in found} - HARMLESS <= FUNCTIONS_REFUSED


@pytest.mark.parametrize("table", SQL_SCHEMA, ids=lambda table: table.name)
def test_the_views_are_as_documented(database: Database, table: Any) -> None:
    told = rows(database, f"describe {table.name}")
    assert [(name, kind) for name, kind, *_ in told] == [(column.name, column.type) for column in table.columns]


@pytest.mark.parametrize("sql", NAMED, ids=ESCAPES)
def test_what_is_no_select_over_the_documented_tables_is_refused(database: Database, sql: str) -> None:
    with pytest.raises(SqlRefused):
        database.check(sql)


@pytest.mark.parametrize("sql", NAMED, ids=ESCAPES)
def test_what_gets_past_the_first_wall_meets_the_others(database: Database, sql: str) -> None:
    """The query is run without being checked: reading files, leaving and writing must fail all the same."""
    try:
        answer = database.run(sql, 10, 1_000)
    except SqlRefused:
        pass
    else:
        assert b"root:" not in bytes(answer.rows)
    assert not list(OUT.parent.glob(OUT.name + "*"))
    assert rows(database, "show tables") == [[table.name] for table in sorted(SQL_SCHEMA)]
    assert database._db.execute("select count(*) from raw.names").fetchall() == [(2,)]
    with pytest.raises(duckdb.PermissionException):
        database._db.execute("from read_text('/etc/passwd')")
    with pytest.raises(duckdb.InvalidInputException):
        database._db.execute("set memory_limit = '100GB'")


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("select count(*) from events", ["events"]),
        ("select * from events", ["events", "events.attributes"]),
        ("select e from events e", ["events", "events.attributes"]),
        ("select position from events natural join facts", ["events", "events.attributes", "facts"]),
        ("select attributes->>'$.priority' from events", ["events", "events.attributes"]),
        ("with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select * from r", []),
        ("with a as (select 1 as n), b as (from a) select * from a, b, (with c as (from b) from c)", []),
        ("with a as materialized (from flows) from a union all from a", ["flows"]),
        ("with recursive a(n) as (select 1 union all (with b as (from a) select n + 1 from b where n < 3)) from a", []),
        ("with events as (select 1 as position) select position from Events", ["events"]),
        ("select * from main.flows f, range(3) union all select * from flows, unnest([1, 2])", ["flows"]),
        ("summarize sagas", ["sagas"]),
        ("show tables", []),
        ("values (1), (2)", []),
        ("from dead_letters select id where position > (select max(position) from facts)", ["dead_letters", "facts"]),
        ('select "a;b" from (select 1 as "a;b") -- ; drop', []),
    ],
)
def test_what_a_query_reads(database: Database, sql: str, tables: list[str]) -> None:
    assert database.check(sql) == tables
    database.run(sql, 10, 1_000_000)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615::ubigint", 2**64 - 1),
        ("170141183460469231731687303715884105727", str(2**127 - 1)),
        ("-170141183460469231731687303715884105727", str(1 - 2**127)),
        ("sum(1)", 1),
        ("1.10::decimal(10, 2)", "1.10"),
        ("timestamp_ns '2026-03-01 12:00:00.123456789'", "2026-03-01T12:00:00.123456789"),
        ("timestamptz '2026-03-01 12:00:00+02'", "2026-03-01T10:00:00.000000Z"),
        ("date '2026-03-01'", "2026-03-01"),
        ("date '99999-01-01'", "35804357"),
        ("time '12:00:00.5'", "12:00:00.500000"),
        ("interval '1 month 2 days 3.5 seconds'", "P1M2DT3.5S"),
        ("interval '-1 seconds'", "PT-1S"),
        ("'\\x00\\xff'::blob", b"\x00\xff"),
        ("[1, null]", [1, None]),
        ("[[1.5::decimal(3, 1)], null]", [["1.5"], None]),
        ("{'a': 1, 'at': date '2026-03-01'}", {"a": 1, "at": "2026-03-01"}),
        ("map {1: 'x'}", {"1": "x"}),
        ("'b'::enum('a', 'b')", "b"),
        ("'101'::bit", "101"),
        ("union_value(k := 1)", 1),
        ("uuid 'c0ffee00-0000-0000-0000-000000000000'", "c0ffee00-0000-0000-0000-000000000000"),
        ("null", None),
        ("true", True),
        ("0.1::double", 0.1),
    ],
)
def test_values_are_kept_right(database: Database, sql: str, value: Any) -> None:
    assert rows(database, f"select {sql}") == [[value]]
    assert not isinstance(rows(database, f"select {sql}")[0][0], Decimal)


def test_errors_show_the_place(database: Database) -> None:
    for sql, place in (
        ("select position\nfrom event", "LINE 2: from event\n             ^"),
        ("select nothing from events", "LINE 1: select nothing from events\n               ^"),
        ("select '…', events from facts where kin = 1", "^"),
        ("selec 1", "LINE 1: selec 1\n        ^"),
    ):
        with pytest.raises(SqlRefused, match=r"\w") as refused:
            rows(database, sql)
        assert place in str(refused.value)


def test_an_answer_is_cut_and_says_so(database: Database) -> None:
    answer = database.run("select * from range(1000000000)", 10, 1_000_000)
    assert (answer.count, answer.cut) == (10, "more than 10 rows")
    answer = database.run("select repeat('x', 1000) from range(1000000000)", 1_000_000, 10_000)
    assert (answer.count, answer.cut) == (9, "more than 10,000 bytes")
    assert database.run("select * from range(10)", 10, 1_000).cut == ""
    assert [column.name for column in database.run("select 1 as a, 2 as a, 3 as a_1", 1, 99).columns] == [
        "a",
        "a_1",
        "a_1_1",
    ]


def test_what_does_not_fit_into_memory_spills_and_is_refused_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "SQL_MEMORY_MB", 60)
    monkeypatch.setattr(limits, "SQL_SPILL_MB", 1)
    database = Database(spill=str(tmp_path))
    with pytest.raises(SqlRefused, match="Out of Memory"):
        rows(
            database, "from (select range, repeat('x', 200) || range as b from range(1000000) order by b) offset 999999"
        )
