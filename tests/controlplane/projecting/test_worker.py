"""The worker without a process: any split gives the same state, and code is only what it says it is."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.event import Event
from bus.topic import matches
from controlplane import limits
from controlplane.errors import ProjectionRefused
from controlplane.journal import Journal
from controlplane.projecting import Projection, code, frames
from controlplane.projecting.feeding import condition
from controlplane.projecting.place import NOWHERE, Place, cleared, seen
from controlplane.projecting.worker import Worker, taken
from controlplane.sql.tail import pieces
from tests.controlplane.edge.examples import FOLLOWS, arrived, step_of
from tests.controlplane.projecting.conftest import SUMS

TYPES = ("order.created", "order.paid", "task.done", "agent.lifecycle.joined", "signalbox.deadletter")
PATTERNS = (">", "order.>", "*.done", "agent.lifecycle.>", "nothing.at.all")
KEEPS = """
from controlplane.projecting import Projection

class Keeps(Projection):
    def evolve(self, state, event):
        state[event.id] = [event.position, event.partition, event.offset, event.appended, event.recorded, event.type,
                           event.data]
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    cleared(tmp_path / "place")
    return Place(tmp_path / "place")


def put(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def opened(folder: Path, text: str, cls: str, pattern: str = "") -> Worker:
    cleared(folder / "place")
    worker = Worker(Place(folder / "place"))
    answer = worker.take(frames.Open(f"{put(folder, text)}:{cls}", pattern))
    assert isinstance(answer, frames.Opened)
    return worker


def work(worker: Worker, frame: frames.AnyFrame) -> tuple[frames.AnyFrame, int]:
    """Until nothing is left of it: the last answer, and how many slices it took."""
    slices, answer = 1, worker.take(frame)
    while isinstance(answer, frames.Reached) and answer.more:
        slices, answer = slices + 1, worker.take(frames.Go())
    return answer, slices


def held(worker: Worker) -> list[dict[str, Any]]:
    answer = worker.take(frames.AskRows(10_000, 10_000_000))
    assert isinstance(answer, frames.Rows), answer
    rows = msgspec.msgpack.decode(answer.rows)
    return [dict(zip(answer.columns, row, strict=True)) for row in rows]


batches = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.sampled_from(TYPES), min_size=1, max_size=6), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=settings().max_examples * 2 // 5)  # each opens two journals
@given(batches, st.sampled_from(PATTERNS), st.integers(1, 5), st.sampled_from([0, 60_000]), st.data())
def test_any_split_gives_what_one_by_one_gives(
    made: list[tuple[int, list[str], int]], pattern: str, rows_max: int, slice_ms: int, data: st.DataObject
) -> None:
    """Events in batches with facts between, cut into pieces of any length, done in slices; or all of it from sealed."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(limits, "SQL_FEED_ROWS_MAX", rows_max)
        patch.setattr(limits, "PROJECTION_SLICE_MS", slice_ms)
        (folder / "journal").mkdir()
        journal = Journal(folder / "journal", FOLLOWS)
        expected = _fill(journal, made, pattern)
        worker = opened(folder, KEEPS, "Keeps", pattern)
        last = journal.position
        cuts = sorted({*data.draw(st.lists(st.integers(0, last), max_size=4)), last})
        position, known = 0, 0
        for cut in cuts:
            with closing(journal.cursor()) as db:
                for rows, reached in pieces(db, "events", position, cut, condition(pattern, journal.names)):
                    position = reached
                    if rows:
                        names = list(journal.names[known:])
                        answer, _ = work(worker, frames.Evolve(known, names, rows, reached))
                        known += len(names)
                        assert isinstance(answer, frames.Reached) and answer.position == reached
        journal.close()
        assert held(worker) == expected
        again = opened(folder, KEEPS, "Keeps", pattern)
        answer, _ = work(again, frames.Sealed([str(folder / "journal" / "000001.duckdb")], last))
        assert isinstance(answer, frames.Reached) and answer.position == last
        assert held(again) == expected


def _fill(journal: Journal, made: list[tuple[int, list[str], int]], pattern: str) -> list[dict[str, Any]]:
    """What the journal holds then, and what the projection should make of it."""
    offsets: dict[int, int] = defaultdict(int)
    number, expected = 0, []
    for partition, types, facts in made:
        events = [
            Event(id=f"e-{number + n}", type=name, source="a", data={"n": number + n}) for n, name in enumerate(types)
        ]
        kept = step_of(journal, arrived(events, partition, offsets[partition], 7 + number), follow=facts)
        journal.commit([kept])
        for row, event in enumerate(events):
            internal = event.type.startswith(("agent.lifecycle.", "signalbox."))
            if matches(pattern, event.type) and (not internal or pattern.startswith("agent.lifecycle.")):
                value = [
                    *(kept.step.first + row, partition, offsets[partition] + row, 7 + number, kept.step.recorded),
                    *(event.type, event.data),
                ]
                expected.append({"key": event.id, "value": value})
        offsets[partition] += len(events)
        number += len(events)
    return expected


def test_it_is_done_in_slices_and_may_be_asked_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROJECTION_SLICE_MS", 0)
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", FOLLOWS)
    _fill(journal, [(0, ["order.created"] * 5, 0)], ">")
    journal.close()
    worker = opened(tmp_path, SUMS, "Sums")
    answer = worker.take(frames.Sealed([str(tmp_path / "journal" / "000001.duckdb")], 5))
    assert answer == frames.Reached(1, 1000, 1, True)
    assert held(worker)[0]["events"] == 1
    assert work(worker, frames.Go())[1] == 5
    assert held(worker)[0] == {"key": None, "events": 5, "total": 10, "last": 5}


def test_a_search_that_finds_nothing_is_done_in_slices_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a worker that looks through a long journal for a rare type is taken for one that hangs."""
    monkeypatch.setattr(limits, "PROJECTION_SLICE_MS", 0)
    monkeypatch.setattr(limits, "SQL_FEED_ROWS_MAX", 1)
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", FOLLOWS)
    _fill(journal, [(0, ["order.created"] * 6, 0)], ">")
    journal.close()
    worker = opened(tmp_path, SUMS, "Sums", "nothing.at.all")
    sealed = frames.Sealed([str(tmp_path / "journal" / "000001.duckdb")], 6)
    assert worker.take(sealed) == frames.Reached(1, 0, 0, True)
    assert work(worker, frames.Go()) == (frames.Reached(6, 0, 0, False), 3)


def test_a_segment_that_is_gone_is_said(tmp_path: Path) -> None:
    worker = opened(tmp_path, SUMS, "Sums")
    answer = worker.take(frames.Sealed([str(tmp_path / "000007.sealed.duckdb")], 5))
    assert isinstance(answer, frames.Missing) and "000007" in answer.why


def test_what_it_raises_names_the_event_and_its_place_is_left(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal", FOLLOWS)
    _fill(journal, [(0, ["order.created"] * 3, 0)], ">")
    journal.close()
    text = SUMS.replace("one = ", "if event.data['n'] == 1: raise SystemExit('no\\n more')\n        one = ")
    worker = opened(tmp_path, text, "Sums")
    answer = worker.take(frames.Sealed([str(tmp_path / "journal" / "000001.duckdb")], 3))
    assert answer == frames.Failed(2, "e-1 (order.created)", "SystemExit: no more")
    assert seen(tmp_path / "place") == 2
    worker.take(frames.AskRows(1, 1))
    assert seen(tmp_path / "place") == NOWHERE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine: pass", "is no controlplane.projecting.Projection"),
        ("Mine = 3", "is no controlplane.projecting.Projection"),
        ("", "has no Mine"),
        ("raise SystemExit(3)", "does not load: SystemExit: 3"),
        ("import nothing_of_this_name", "does not load: ModuleNotFoundError"),
        ("def (", "does not load: SyntaxError"),
        ("from controlplane.projecting import Projection\nclass Mine(Projection): pattern = 'a..b'", "not a pattern"),
        (
            "from controlplane.projecting import Projection\nclass Mine(Projection):\n def __init__(self, x): pass",
            "made",
        ),
    ],
)
def test_what_is_no_projection_is_refused(tmp_path: Path, place: Place, text: str, said: str) -> None:
    with pytest.raises(ProjectionRefused, match=said):
        Worker(place).take(frames.Open(f"{put(tmp_path, text)}:Mine"))


@pytest.mark.parametrize("target", ["", "x", ":C", "m:", "m:c.d", "/nothing/there.py:C", "no.such.module:C"])
def test_what_names_no_class_is_refused(target: str) -> None:
    with pytest.raises(ProjectionRefused):
        code.load(target)


def test_a_module_is_found_as_the_plane_finds_it_and_says_which_file_it_is() -> None:
    loaded = code.load("controlplane.projecting.projection:Projection")
    assert loaded.kind is Projection
    assert loaded.file.endswith("controlplane/projecting/projection.py") and loaded.sha256 == code.identity(loaded.file)


def test_other_code_than_was_registered_is_refused(tmp_path: Path, place: Place) -> None:
    path = put(tmp_path, SUMS)
    first = Worker(place).take(frames.Open(f"{path}:Sums"))
    assert isinstance(first, frames.Opened) and first.pattern == "order.>"
    assert Worker(place).take(frames.Open(f"{path}:Sums", "a.>", first.sha256)) == frames.Opened(
        str(path), first.sha256, "a.>"
    )
    put(tmp_path, SUMS + "\n# other\n")
    with pytest.raises(ProjectionRefused, match="is not what it was"):
        Worker(place).take(frames.Open(f"{path}:Sums", "", first.sha256))


def test_only_what_nobody_else_may_write_is_loaded(tmp_path: Path) -> None:
    path = put(tmp_path, SUMS)
    code.distrust(path)
    path.chmod(0o646)
    with pytest.raises(ProjectionRefused, match="others may write"):
        code.load(f"{path}:Sums")
    path.chmod(0o600)
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    inside = put(folder, SUMS)
    with pytest.raises(ProjectionRefused, match=f"others may write {folder}"):
        code.load(f"{inside}:Sums")
    folder.chmod(0o1777)  # as /tmp: others may add files there, and neither replace nor remove this one
    code.distrust(inside)
    link = tmp_path / "link.py"
    link.symlink_to(inside)
    assert code.load(f"{link}:Sums").file == str(inside)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_what_belongs_to_somebody_else_is_not_loaded(tmp_path: Path) -> None:
    path = put(tmp_path, SUMS)
    os.chown(path, 65_534, -1)
    with pytest.raises(ProjectionRefused, match="belongs to another user"):
        code.load(f"{path}:Sums")


def test_a_file_of_any_length_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROJECTION_CODE_BYTES_MAX", 10)
    with pytest.raises(ProjectionRefused, match="larger than 10 bytes"):
        code.load(f"{put(tmp_path, SUMS)}:Sums")


def test_loading_a_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    code.load(f"{put(tmp_path, SUMS)}:Sums")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_rows_are_what_plain_values_are_and_as_many_as_fit() -> None:
    def given() -> Iterator[dict[Any, Any]]:
        yield {"a": 1, 2: "x"}
        yield {"b": None}
        yield {"a": 3}

    found = taken(given(), 2, 1_000)
    assert (found.columns, found.count, found.cut) == (["a", "2", "b"], 2, "more than 2 rows")
    assert msgspec.msgpack.decode(found.rows) == [[1, "x", None], [None, None, None]]
    assert taken(given(), 10, 6).cut == "more than 6 bytes"
    assert taken([], 10, 10).count == 0
    with pytest.raises(TypeError, match="row 2"):
        taken([{"a": 1}, 3], 10, 1_000)
    with pytest.raises(TypeError):
        taken([{"a": object()}], 10, 1_000)


def test_what_a_key_holds_is_a_row(tmp_path: Path) -> None:
    rows = Projection().rows({"a": 1, "b": {"x": 2}})
    assert list(rows) == [{"key": "a", "value": 1}, {"key": "b", "x": 2}]
    worker = opened(tmp_path, SUMS + "\n    def rows(self, state):\n        return 1 / 0\n", "Sums")
    assert worker.take(frames.AskRows(1, 1)) == frames.Refused("its rows() raises ZeroDivisionError: division by zero")
