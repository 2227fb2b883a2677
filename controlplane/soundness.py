"""Whether segments hold together: each table is read whole, its rows must add up, and where it ends the next begins.

DuckDB checks its blocks as it reads them; Parquet has no checksums of its own, so what a segment's files must have is
written beside them (`sealing`). A table that is found damaged says nothing about the others of its segment.
"""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from bus.words import many
from controlplane import segments
from controlplane.errors import CorruptJournal
from controlplane.segments import Birth
from controlplane.shelf import Shelf, alias_of

CHECKS = "checks.json"
"""In a segment's folder of Parquet: file -> checksum."""


class Looked(msgspec.Struct):
    """What was found in one segment. `unsound`: table -> why; `birth` and `end` are None where that cannot be told.

    `alias` is "" when it cannot even be opened. `end` is where the next segment has to begin.
    """

    number: int
    path: Path
    alias: str = ""
    birth: Birth | None = None
    end: Birth | None = None
    unsound: dict[str, str] = {}
    is_empty: bool = False
    """It was made ready, and no turn came to it."""

    @property
    def is_sound(self) -> bool:
        return not self.unsound

    @property
    def why(self) -> str:
        """What is wrong with it, in words."""
        tables: dict[str, list[str]] = {}
        for table, why in self.unsound.items():
            tables.setdefault(why, []).append(table)
        told = {why: "" if "" in of or len(of) > 2 else f"{' and '.join(of)}: " for why, of in tables.items()}
        return "; ".join(f"{of}{why}" for why, of in told.items())


def checksum(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        found = blake2b(digest_size=16)
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def write_checks(folder: Path) -> None:
    """Beside the files of a Parquet segment, what they are."""
    checks = {path.name: checksum(path) for path in sorted(folder.glob("*.parquet"))}
    (folder / CHECKS).write_text(json.dumps(checks), encoding="utf-8")
    segments.sync(folder / CHECKS)


def look(shelf: Shelf, path: Path) -> Looked:
    """One segment, read whole. Nothing is changed."""
    looked = Looked(segments.number_of(path), path)
    try:
        alias = _attach(shelf, path, looked.unsound)
    except duckdb.Error as error:
        looked.unsound = dict.fromkeys(segments.ALL_TABLES, _said(error))
        return looked
    looked.alias = alias
    try:
        looked.is_empty = segments.form_of(path) == segments.OPEN and not shelf.born(alias)
    except duckdb.Error as error:
        looked.unsound["birth"] = _said(error)
    if looked.is_empty:
        return looked
    for table in segments.ALL_TABLES:
        if table not in looked.unsound and (why := _unreadable(shelf.db, alias, table)):
            looked.unsound[table] = why
    if "birth" not in looked.unsound and "floors" not in looked.unsound:
        try:
            looked.birth = shelf.birth_of(alias, path)
        except (CorruptJournal, duckdb.Error) as error:
            looked.unsound["birth"] = _said(error)
    _add_up(shelf.db, looked)
    return looked


def _attach(shelf: Shelf, path: Path, unsound: dict[str, str]) -> str:
    if segments.form_of(path) != segments.PARQUET:
        return shelf.attach(path, read_only=True)
    unsound |= _unsound_files(path)
    alias = alias_of(path)
    shelf.db.execute(f"create schema {alias}")
    for table in segments.ALL_TABLES:
        try:
            segments.attach_table(shelf.db, path, alias, table)
        except duckdb.Error as error:
            unsound.setdefault(table, _said(error))
    return alias


def _unsound_files(folder: Path) -> dict[str, str]:
    try:
        checks = json.loads((folder / CHECKS).read_bytes())
    except FileNotFoundError:
        return {}  # it was made before there were any
    except (OSError, ValueError) as error:
        return dict.fromkeys(segments.ALL_TABLES, f"{CHECKS} cannot be read: {error}")
    found = {}
    for table in segments.ALL_TABLES:
        file = folder / f"{table}.parquet"
        if not file.exists():
            found[table] = f"{file.name} is missing"
        elif checksum(file) != checks.get(file.name):
            found[table] = f"{file.name} does not have its checksum"
    return found


def _unreadable(db: Any, alias: str, table: str) -> str:
    try:
        db.execute(f"select count(*), bit_xor(hash(t)) from {alias}.{table} as t").fetchall()  # noqa: S608
    except duckdb.Error as error:
        return _said(error)
    return ""


def _add_up(db: Any, looked: Looked) -> None:
    """Steps follow on one another, and events and facts are as many as they have positions; where it ends."""
    birth, alias = looked.birth, looked.alias
    if birth is None or "steps" in looked.unsound:
        return
    ((count, least, greatest, first, last, events, holes),) = db.execute(
        "select count(*), min(number), max(number), min(first), max(last), coalesce(sum(events), 0), "  # noqa: S608
        "coalesce(sum(case when first <> due then 1 else 0 end), 0) from "
        f"(select *, coalesce(lag(last) over (order by number), {birth.position}) + 1 as due from {alias}.steps)"
    ).fetchall()
    if not count:
        looked.unsound["steps"] = "it has none"
        return
    if (least, greatest - least + 1, first, holes) != (birth.step + 1, count, birth.position + 1, 0):
        looked.unsound["steps"] = f"{many(count, 'step')} from {least} to {greatest}: not what follows on {birth.step}"
        return
    if "events" not in looked.unsound and _count(db, alias, "events") != events:
        looked.unsound["events"] = f"{many(_count(db, alias, 'events'), 'event')}, its steps have {events}"
    facts = last - birth.position - events
    if "entries" not in looked.unsound and _count(db, alias, "entries") != facts:
        looked.unsound["entries"] = f"{many(_count(db, alias, 'entries'), 'fact')}, its steps have {facts}"
    looked.end = end_of(db, alias, birth)


def end_of(db: Any, alias: str, birth: Birth) -> Birth:
    """Where the segment after this one has to begin. Raises duckdb.Error."""
    ((step, position, recorded, digest),) = db.execute(
        f"select number, last, recorded, digest from {alias}.steps order by number desc limit 1"  # noqa: S608
    ).fetchall()
    nexts = db.execute(
        f"select partition, max(first_offset + events) from {alias}.steps "  # noqa: S608
        "where partition is not null group by partition"
    ).fetchall()
    ((events,),) = db.execute(f"select coalesce(sum(events), 0) from {alias}.steps").fetchall()  # noqa: S608
    floors = dict(birth.floors) | {partition: int(offset) for partition, offset in nexts}
    return Birth(birth.segment + 1, position, step, recorded, bytes(digest), birth.events + int(events), floors)


def _count(db: Any, alias: str, table: str) -> int:
    ((count,),) = db.execute(f"select count(*) from {alias}.{table}").fetchall()  # noqa: S608
    return int(count)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
