"""The files of a journal: `journal/000001.parquet/`, ..., `000005.sealed.duckdb`, ..., `000007.duckdb`.

A journal is the sequence of its segments. Only the newest is written; at `SEGMENT_ROWS_MAX` rows the next one takes
over. All that a segment needs to know of its elders stands in it (`birth`, `floors`, and the names known so far), and
it comes with the first turn that is committed to it, in the same transaction: a file without it was only made ready.
So any suffix of the sequence can be opened alone, and a turn is in one segment, whole.

An elder is sealed (see `sealing`): the same rows, sorted by saga, in a file of another name. As long as both files are
there the sealed one counts. The name differs so that what was left of the old write-ahead log is never read into it.
Behind the newest `SEGMENTS_SEALED_MAX` sealed ones they are Parquet, a folder with a file for each table.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from controlplane import limits
from controlplane.arrivals import EVENT_COLUMNS
from controlplane.errors import CorruptJournal, DirectoryLocked, DiskFull, NoPermission, PlaneError

FORMAT = 2
"""Of the tables below."""
STORED_TABLES = ("names", "steps", "entries", "intents", "events")
ALL_TABLES = ("birth", "floors", *STORED_TABLES)
TABLES = f"""
create table birth (format UINTEGER, segment UINTEGER, position UBIGINT, step UBIGINT, recorded BIGINT,
                    digest BLOB, events UBIGINT);
create table floors (partition USMALLINT, next UBIGINT);
create table names (id UINTEGER, name VARCHAR);
create table steps (number UBIGINT, first UBIGINT, last UBIGINT, recorded BIGINT, partition USMALLINT,
                    first_offset UBIGINT, events UINTEGER, digest BLOB);
create table entries (position UBIGINT, recorded BIGINT, cause UBIGINT, kind VARCHAR, fact BLOB);
create table intents (cause UBIGINT, index UINTEGER, kind VARCHAR, intent BLOB);
create table events ({", ".join(f'"{name}" {sql}' for name, (sql, _) in EVENT_COLUMNS.items())});
"""
FROM_1 = """
create or replace table {alias}.birth as
    select 2::UINTEGER as format, segment, position, step, recorded, ''::BLOB as digest, 0::UBIGINT as events
    from {alias}.birth;
create table {alias}.floors (partition USMALLINT, next UBIGINT);
"""
"""What a segment of format 1 lacks; it was the only one of its journal."""
MEND = "See what can be made again, of its copy in the brokers: signalbox doctor --rebuild-journal --dry-run"
REACH = "reach.json"
"""In a journal's folder: the oldest segment that retention left."""
_NEVER = "1TB"
_NAME = re.compile(r"(\d{6})\.(duckdb|sealed\.duckdb|parquet)")
OPEN, SEALED, PARQUET = "duckdb", "sealed.duckdb", "parquet"
"""The forms of a segment, as its file's name ends; of two, the later one here counts."""


class Birth(NamedTuple):
    """Where a segment begins: after this position, step and so on. `floors`: partition -> next offset."""

    segment: int
    position: int
    step: int
    recorded: int
    digest: bytes
    events: int
    floors: Mapping[int, int]


def path_of(folder: Path, number: int, form: str = OPEN) -> Path:
    """The file, or folder, of segment `number`, counted from 1."""
    return folder / f"{number:06d}.{form}"


def number_of(path: Path) -> int:
    """The number in a segment's name; 0 for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def form_of(path: Path) -> str:
    """OPEN, SEALED or PARQUET, by a segment's name; "" for any other file."""
    match = _NAME.fullmatch(path.name)
    return match[2] if match else ""


def listed(folder: Path) -> list[Path]:
    """All segments, oldest first, each once: of several forms the last."""
    found: dict[int, Path] = {}
    for form in (OPEN, SEALED, PARQUET):
        found |= {number_of(path): path for path in folder.iterdir() if form_of(path) == form}
    return [found[number] for number in sorted(found)]


def quoted(path: Path) -> str:
    """A path as a text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def attach(db: Any, path: Path, alias: str, read_only: bool) -> None:
    """Open a segment, in whatever form, as `alias`. Raises duckdb.Error."""
    if form_of(path) != PARQUET:
        db.execute(f"attach {quoted(path)} as {alias} {'(read_only)' if read_only else ''}")
        return
    db.execute(f"create schema {alias}")
    for table in ALL_TABLES:
        attach_table(db, path, alias, table)


def attach_table(db: Any, path: Path, alias: str, table: str) -> None:
    """One table of a Parquet segment, in the schema `alias`. Raises duckdb.Error."""
    file = quoted(path / f"{table}.parquet")
    db.execute(f"create view {alias}.{table} as select * from read_parquet({file})")  # noqa: S608


def detach(db: Any, alias: str) -> None:
    """Let go of what was attached under this alias. Raises duckdb.Error."""
    db.execute(f"drop schema {alias} cascade" if alias.startswith(PARQUET) else f"detach {alias}")


def newest(folder: Path) -> Path:
    """The last segment, or the first of a new journal."""
    found = listed(folder)
    return found[-1] if found else path_of(folder, 1)


def missing(paths: Sequence[Path], oldest: int = 1) -> list[int]:
    """Numbers that are not there between `oldest` and the last."""
    numbers = {number_of(path) for path in paths}
    return [n for n in range(oldest, max(numbers, default=0)) if n not in numbers]


def oldest(folder: Path) -> int:
    """The number of the oldest segment that retention left; 1 where it took none. Raises CorruptJournal."""
    try:
        return int(json.loads((folder / REACH).read_bytes())["segment"])
    except FileNotFoundError:
        return 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptJournal(f"{folder / REACH}, which says where the journal begins: {error}. {MEND}") from error


def made_by(folder: Path) -> dict[str, int]:
    """The versions of the folds that made the first steps that retention left; {} where it took none, or none said."""
    oldest(folder)
    try:
        found: dict[str, int] = json.loads((folder / REACH).read_bytes()).get("versions", {})
    except FileNotFoundError:
        return {}
    return found


def named_by_rules(folder: Path) -> list[str]:
    """The patterns of types that content rules named where the journal begins, as far as retention took any of it."""
    oldest(folder)
    try:
        found: list[str] = json.loads((folder / REACH).read_bytes()).get("named", [])
    except FileNotFoundError:
        return []
    return found


def write_oldest(
    folder: Path, number: int, versions: Mapping[str, int] | None = None, named: Sequence[str] = ()
) -> None:
    """From here on no segment below this number is missed. `versions`: of the folds that made what follows; `named`:
    the patterns of types that content rules named there."""
    fresh = folder / f"{REACH}.new"
    known = {"segment": number, "versions": dict(versions or {}), "named": list(named)}
    fresh.write_text(json.dumps(known), encoding="utf-8")
    put_in_place(fresh, folder / REACH)


def kept(folder: Path) -> list[Path]:
    """Those listed that retention left: what a killed plane had no time to remove is none of them."""
    first = oldest(folder)
    return [path for path in listed(folder) if number_of(path) >= first]


def wal_of(path: Path) -> Path:
    """The write-ahead log of a segment's file."""
    return path.with_name(path.name + ".wal")


def remove(path: Path) -> None:
    """A segment's file and its log, or its folder."""
    if form_of(path) == PARQUET:
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    wal_of(path).unlink(missing_ok=True)


def bytes_of(path: Path) -> int:
    """What a segment takes on disk; what goes away meanwhile takes nothing."""
    total = 0
    for file in path.glob("*") if form_of(path) == PARQUET else (path, wal_of(path)):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def is_due(rows: int) -> bool:
    """Whether a segment of so many rows should be followed by the next."""
    return rows >= limits.SEGMENT_ROWS_MAX


def is_nearly_due(rows: int) -> bool:
    """Whether the next one should be made ready."""
    return rows >= limits.SEGMENT_ROWS_MAX * limits.SEGMENT_READY_PERCENT // 100


def make_ready(folder: Path, number: int) -> Path:
    """An empty segment, on disk under its name. Another thread's work: it takes tens of milliseconds."""
    path = path_of(folder, number)
    remove(path)
    temporary = folder / f"{number:06d}.new.duckdb"
    remove(temporary)
    try:
        with duckdb.connect(str(temporary), config=settings()) as db:
            db.execute("begin")
            db.execute(TABLES)
            db.execute("commit")
            # Or closing does it, and without room for that the file has no tables, and nobody is told.
            db.execute("checkpoint")
        put_in_place(temporary, path)
    except (duckdb.Error, OSError) as error:
        raise explained(error, path) from error
    return path


def put_in_place(temporary: Path, path: Path) -> None:
    """Make what was written durable, and give it its name."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settings(memory_mb: int = limits.JOURNAL_MEMORY_MB) -> dict[str, Any]:
    """DuckDB's, for whoever opens a segment."""
    found: dict[str, Any] = {
        "checkpoint_threshold": _NEVER,
        "memory_limit": f"{memory_mb}MB",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    if int(duckdb.__version__.split(".")[0]) >= 2:
        found["storage_compatibility_version"] = "v1.5.0"
    return found


def explained(error: Exception, path: Path) -> PlaneError:
    """What DuckDB or the operating system says of a segment, as one clear line."""
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
    return CorruptJournal(f"the journal {path} fails: {text}. {MEND}")
