"""`--at` from the command line to the journal and back: exports in every format, SQL, and every reading verb."""

import csv
import io
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import parquet

from controlplane import limits
from tests.controlplane.edge.asked import Asked
from tests.controlplane.edge.asked import asked as plane

XES = "{http://www.xes-standard.org/}"
READING = [
    ["status"],
    ["flow", "list"],
    ["group", "list"],
    ["saga", "list"],
    ["saga", "show", "wwa-001"],
    ["dlq", "list"],
    ["health", "show"],
    ["event", "search"],
    ["event", "export"],
    ["broker", "list"],
    ["partition", "list"],
    ["sql", "select count(*) from sagas"],
]


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr(limits, "SQL_START_MS_MAX", 120_000)
    async with plane(tmp_path) as made:
        yield made


def by_then(asked: Asked, position: int, condition: str = "true") -> list[str]:
    """Ids of what was archived by a position and is not internal, in order."""
    with closing(asked.life.journal.cursor()) as db:
        rows = db.execute(
            f"select id from events where position <= {position} and not internal and {condition} order by position"  # noqa: S608
        ).fetchall()
    return [str(id) for (id,) in rows]


async def test_an_export_of_then_in_every_format_is_what_was_archived_then(asked: Asked, tmp_path: Path) -> None:
    journal = asked.life.journal
    middle, _ = journal.end_of_step(position=journal.position // 2)
    then = by_then(asked, middle)
    assert 0 < len(then) < len(by_then(asked, journal.position))
    files = {}
    for kind in ("jsonl", "csv", "parquet", "xes"):
        files[kind] = tmp_path / f"out.{kind}"
        words = ("event", "export", "--format", kind, "--out", str(files[kind]), "--at", f"{middle:,}")
        done = await asked.run(*words)
        assert done.returncode == 0, done.stderr
        assert f"exported {len(then):,} ".encode() in done.stdout
    assert [json.loads(line)["id"] for line in files["jsonl"].read_text().splitlines()] == then
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text(), newline="")))
    assert [row["id"] for row in rows] == then and max(int(row["position"]) for row in rows) <= middle
    assert parquet.read_table(files["parquet"]).column("id").to_pylist() == then
    log = ET.parse(files["xes"])  # noqa: S314
    traced = [child.get("value") for child in log.iter(f"{XES}string") if child.get("key") == "id"]
    assert sorted(map(str, traced)) == sorted(by_then(asked, middle, "coalesce(correlation, subject, '') <> ''"))


async def test_an_export_of_before_the_first_entry_is_empty(asked: Asked, tmp_path: Path) -> None:
    for kind in ("jsonl", "csv", "parquet", "xes"):
        out = tmp_path / f"none.{kind}"
        done = await asked.run("event", "export", "--format", kind, "--out", str(out), "--at", "0")
        assert done.returncode == 0, done.stderr
        assert b"exported 0 " in done.stdout and out.exists()


async def test_sql_says_of_when_it_is(asked: Asked) -> None:
    end = asked.life.journal.position
    middle, recorded = asked.life.journal.end_of_step(position=end // 2)
    query = "select count(*) as n, max(position) <= 0 as none from facts"
    shown = await asked.run("sql", query, "--at", str(middle))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.decode().splitlines()[0].endswith(f"position {middle:,}")
    record = json.loads((await asked.run("sql", query, "--at", str(middle), "-o", "json")).stdout)
    assert (record["position"], record["recorded"]) == (middle, recorded)
    now = json.loads((await asked.run("sql", query, "-o", "json")).stdout)
    assert now["position"] == end and now["rows"][0]["n"] > record["rows"][0]["n"] > 0
    missing = await asked.run("sql", query, "--at", str(middle), "--file", str(asked.folder / "nowhere"))
    assert missing.returncode == 4 and b"there is no journal" in missing.stderr
    shutil.copytree(asked.folder / "journal", asked.folder / "copy")
    for text in (query, "select saga, state, steps from sagas order by saga"):
        live = json.loads((await asked.run("sql", text, "--at", str(middle), "-o", "json")).stdout)
        copied = await asked.run("sql", text, "--at", str(middle), "--file", str(asked.folder / "copy"), "-o", "json")
        assert copied.returncode == 0, copied.stderr
        again = json.loads(copied.stdout)
        assert again["rows"] == live["rows"] and (again["position"], again["recorded"]) == (middle, recorded)


async def test_every_reading_verb_answers_at_the_beginning_and_refuses_what_is_not_yet(asked: Asked) -> None:
    end = asked.life.journal.position
    for words in READING:
        refused = await asked.run(*words, "--at", str(end + 1))
        assert refused.returncode == 4, words
        said = f"position {end + 1:,} does not exist yet: the journal ends at {end:,}"
        assert said in refused.stderr.decode() and not refused.stdout
    for words in READING:
        begun = await asked.run(*words, "--at", "0")
        if words[:2] == ["saga", "show"]:
            assert begun.returncode == 4 and b"wwa-001" in begun.stderr
            continue
        assert begun.returncode == 0, (words, begun.stderr)
        if words != ["event", "export"]:
            assert begun.stdout.startswith(b"as of before the first entry: nothing was there yet"), words
