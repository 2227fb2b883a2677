"""`event export --format`: what stands in each file, and that a broken export leaves none."""

import csv
import io
import xml.etree.ElementTree as ET
from base64 import b64decode
from pathlib import Path

import pytest
from pyarrow import parquet

from bus.event import Event
from console.sheets.parquet import SCHEMA
from controlplane.archive import Archive
from controlplane.journal import Journal
from controlplane.questions import SQL_SCHEMA, AskExport, Exported, Question, Refusal, Told
from tests.console.cli.conftest import telling
from tests.controlplane.edge.examples import FOLLOWS, arrived, step_of

AT = 1_772_366_400_123_456_789
NASTY = 'a "quoted" <order> & more\n\x01\u2028\ud7ff'
COLUMNS = next(table.columns for table in SQL_SCHEMA if table.name == "events")
XES = "{http://www.xes-standard.org/}"
EVENTS = [
    *(
        Event(
            id=f"e-{n}",
            type=f"order.{n // 2}",
            source="agent/shop",
            subject=f"order-{n % 2}",
            time=AT + n,
            data={"n": n},
        )
        for n in range(6)
    ),
    Event(id="nasty", type="order.x", source="agent/a&b", subject="order-1", correlationid="order-0", data=NASTY),
    Event(id="blob", type="scan", source="agent/x", data=b"\x00\xff", extensions={"importof": "log"}, priority="low"),
]


@pytest.fixture
def folder(fleet_of, tmp_path: Path):
    """A fleet whose archive holds EVENTS, three a page."""
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", FOLLOWS)
    journal.commit([step_of(journal, arrived(EVENTS))])
    archive = Archive(journal)

    def answer(question: Question) -> Told:
        assert isinstance(question, AskExport)
        asked = AskExport(after=question.after, pattern=question.pattern, limit=3, columns=question.columns)
        return Told(8, 8, archive.page(asked, 8))

    yield fleet_of(answer)
    journal.close()


def export(cli, folder: Path, kind: str, out: Path, *more: str) -> bytes:
    result = cli("event", "export", "--format", kind, "--out", str(out), "--data-dir", str(folder), *more)
    assert (result.code, result.out.split()[:3]) == (0, ["●", "exported", "7" if kind == "xes" else "8"]), result
    assert not list(out.parent.glob(".*.part"))
    return out.read_bytes()


def test_parquet_has_the_documented_columns(cli, folder: Path, tmp_path: Path) -> None:
    export(cli, folder, "parquet", tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.column_names == [column.name for column in COLUMNS]
    assert table.column("id").to_pylist() == [event.id for event in EVENTS]
    assert table.column("time_ns").to_pylist() == [*(AT + n for n in range(6)), None, None]
    assert table.column("bytes").to_pylist()[-1] == b"\x00\xff"
    assert table.column("saga").to_pylist()[-3:] == ["order-1", "order-0", None]


def test_csv_is_read_back(cli, folder: Path, tmp_path: Path) -> None:
    text = export(cli, folder, "csv", tmp_path / "out.csv").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert [row["id"] for row in rows] == [event.id for event in EVENTS]
    assert rows[0]["time"] == "2026-03-01T12:00:00.123456Z" and rows[0]["time_ns"] == str(AT)
    assert rows[6]["data"].encode() == EVENTS[6].payload
    assert b64decode(rows[7]["bytes"]) == b"\x00\xff"
    assert rows[7]["attributes"] == '{"priority":"low","importof":"log"}'


def test_xes_has_a_trace_per_saga(cli, folder: Path, tmp_path: Path) -> None:
    log = ET.fromstring(export(cli, folder, "xes", tmp_path / "out.xes"))  # noqa: S314
    assert log.tag == f"{XES}log" and log.get("xes.version") == "1849.2016"
    order = [child.tag.removeprefix(XES) for child in log]
    assert order == ["extension"] * 3 + ["global"] * 2 + ["classifier"] * 2 + ["trace"] * 2
    assert {each.get("prefix") for each in log.iter(f"{XES}extension")} == {"concept", "time", "org"}
    traces = {
        valued(trace)["concept:name"]: [valued(event) for event in trace.iter(f"{XES}event")]
        for trace in log.iter(f"{XES}trace")
    }
    assert {saga: [event["id"] for event in events] for saga, events in traces.items()} == {
        "order-0": ["e-0", "e-2", "e-4", "nasty"],
        "order-1": ["e-1", "e-3", "e-5"],
    }
    first, nasty = traces["order-0"][0], traces["order-0"][-1]
    assert (first["concept:name"], first["org:resource"]) == ("order.0", "agent/shop")
    assert (first["time:timestamp"], first["data"]) == ("2026-03-01T12:00:00.123456Z", '{"n":0}')
    assert nasty["org:resource"] == "agent/a&b" and nasty["data"].encode() == EVENTS[6].payload
    for scope in log.iter(f"{XES}global"):
        needed = set(valued(scope))
        elements = log.iter(f"{XES}{scope.get('scope')}")
        assert all(needed <= set(valued(element)) for element in elements)


def valued(element: ET.Element) -> dict[str, str]:
    """The attributes of a log's element."""
    kinds = {f"{XES}{kind}" for kind in ("string", "date", "int", "float", "boolean", "id")}
    return {str(child.get("key")): str(child.get("value")) for child in element if child.tag in kinds}


def test_what_is_left_out_is_said(cli, folder: Path, tmp_path: Path) -> None:
    result = cli("event", "export", "--format", "xes", "--out", str(tmp_path / "x"), "--data-dir", str(folder))
    assert "left out: 1 event that belongs to no saga" in result.err
    assert "exported 7 events" in result.out


@pytest.mark.parametrize("name", ["jsonl", "ndjson"])
def test_lines_are_as_they_were(cli, folder: Path, tmp_path: Path, name: str) -> None:
    assert len(export(cli, folder, name, tmp_path / "out.jsonl").splitlines()) == 8


def test_what_retention_let_go_of_is_said(cli, fleet_of) -> None:
    page = Exported(['{"id":"a"}'], 7, 7, 1, True, journal_from=1_204)
    result = cli("event", "export", "--data-dir", str(fleet_of(telling(page))))
    assert result.out == '{"id":"a"}\n' and "begins after position 1,204: retention" in result.err


@pytest.mark.parametrize("kind", ["parquet", "csv", "xes"])
def test_an_empty_archive_is_a_whole_file(cli, folder: Path, tmp_path: Path, kind: str) -> None:
    ask = ("event", "export", "--format", kind, "--type", "nothing.at.all", "--data-dir", str(folder))
    assert cli(*ask, "--out", str(tmp_path / "out")).code == 0
    data = (tmp_path / "out").read_bytes()
    assert data
    if kind == "xes":
        assert [child.tag for child in ET.fromstring(data)][-1] == f"{XES}classifier"  # noqa: S314
    if kind == "parquet":
        assert parquet.read_table(tmp_path / "out").num_rows == 0


@pytest.mark.parametrize("kind", ["parquet", "csv", "xes"])
def test_an_export_that_breaks_off_leaves_no_file(cli, fleet_of, tmp_path: Path, kind: str) -> None:
    folder = fleet_of(lambda question: Told(0, 0, Refusal("failed", "disk")))
    result = cli("event", "export", "--format", kind, "--out", str(tmp_path / "out"), "--data-dir", str(folder))
    assert (result.code, "disk" in result.err) == (1, True)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*.part"))
    result = cli("event", "export", "--format", kind, "--out", str(tmp_path / "no" / "out"), "--data-dir", str(folder))
    assert result.code == 1


def test_wrong_usage(cli, folder: Path) -> None:
    assert cli("event", "export", "--format", "pdf", "--data-dir", str(folder)).code == 2
    assert cli("event", "export", "--format", "parquet", "--data-dir", str(folder)).code == 2
