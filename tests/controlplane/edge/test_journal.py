"""What goes into the journal comes out again: events, steps, offsets; and a turn is whole or absent."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.event import Event, to_json
from controlplane.arrivals import STORED, of_archive
from controlplane.errors import CorruptJournal, DirectoryLocked, NoPermission
from controlplane.facts import encode_fact, encode_intent
from controlplane.fold import Step
from controlplane.journal import Journal, Kept, fetch
from tests.controlplane.edge.examples import FOLLOWS, arrived, events, simple, step_of, tick


def exported(journal: Journal) -> list[bytes]:
    stored = ", ".join(f'"{name}"' for name in STORED)
    columns = fetch(journal.cursor(), f"select {stored} from events order by position")  # noqa: S608
    arrival = of_archive(columns, journal.names)
    return [to_json(arrival.event(row)) for row in range(len(arrival))]


def plain(step: Step) -> object:
    """A step as comparable values: facts and intents as their bytes."""
    return (
        *(step.number, step.first, step.last, step.recorded, step.digest),
        msgspec.to_builtins(step.input),
        [(entry.position, entry.cause, encode_fact(entry.fact)) for entry in step.derived],
        [(cause, index, encode_intent(intent)) for cause, index, intent in step.intents],
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(events, min_size=1, max_size=8))
def test_any_event_comes_out_as_it_was_published(published: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), FOLLOWS)
        journal.commit([step_of(journal, arrived(published))])
        assert exported(journal) == [to_json(event) for event in published]
        journal.close()
        journal = Journal(Path(folder), FOLLOWS)
        assert exported(journal) == [to_json(event) for event in published]
        journal.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.lists(events, min_size=1, max_size=4), st.integers(0, 3)), min_size=1, max_size=6)
)
def test_steps_are_replayed_as_they_were_committed(inputs: list[tuple[list[Event] | None, int]]) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), FOLLOWS)
        committed: list[Step] = []
        offset = 0
        turn: list[Kept] = []
        for published, follow in inputs:
            before = turn[-1].step if turn else None
            if published is None:
                turn.append(step_of(journal, tick(journal).step.input, before, follow))  # type: ignore[arg-type]
            else:
                turn.append(step_of(journal, arrived(published, partition=3, first_offset=offset), before, follow))
                offset += len(published)
            if follow % 2:
                journal.commit(turn)
                committed += [kept.step for kept in turn]
                turn = []
        if turn:
            journal.commit(turn)
            committed += [kept.step for kept in turn]
        assert [plain(step) for step in journal.replay()] == [plain(step) for step in committed]
        assert journal.offsets.get(3, 0) == offset
        last = committed[-1]
        assert [plain(step) for step in journal.replay(last.last - 1)] == [plain(step) for step in committed[:-1]]
        journal.close()
        again = Journal(Path(folder), FOLLOWS)
        assert (again.position, again.step, again.recorded) == (last.last, last.number, last.recorded)
        assert [plain(step) for step in again.replay()] == [plain(step) for step in committed]
        assert again.offsets.get(3, 0) == offset
        again.close()


def test_large_stretches_are_fetched_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.limits.REPLAY_EVENTS_MAX", 70)
    monkeypatch.setattr("controlplane.limits.REPLAY_STEPS_MAX", 4)
    journal = Journal(tmp_path, FOLLOWS)
    for n in range(9):
        journal.commit(
            [
                step_of(journal, arrived(simple(30, 30 * n), first_offset=30 * n)),
            ]
        )
        journal.commit([tick(journal)])
    blocks = list(journal.blocks())
    assert [step.number for block in blocks for step in block] == list(range(1, 19))
    assert all(len(block) <= 4 for block in blocks)
    assert journal.events == 270
    journal.close()


def test_a_payload_that_only_claims_to_be_json_is_kept_as_bytes(tmp_path: Path) -> None:
    event = Event(id="1", type="a", source="s", data="x")
    event.payload = b'"\xff"'
    journal = Journal(tmp_path, FOLLOWS)
    journal.commit([step_of(journal, arrived([event]))])
    assert b'"data_base64":"Iv8i"' in exported(journal)[0]
    journal.close()


def test_a_second_process_is_told_who_is_in_the_way(tmp_path: Path) -> None:
    import subprocess
    import sys

    journal = Journal(tmp_path, FOLLOWS)
    code = (
        "import sys; from pathlib import Path; from controlplane.journal import Journal\n"
        "from controlplane.arrivals import Follows; from controlplane.errors import DirectoryLocked\n"
        "try: Journal(Path(sys.argv[1]), Follows([]))\n"
        "except DirectoryLocked as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert "is open in another process" in ended.stdout
    journal.close()


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "000001.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptJournal, match=r"000001\.duckdb"):
        Journal(tmp_path, FOLLOWS)


def test_no_permission_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    def refuse(*_: object, **__: object) -> None:
        raise duckdb.IOException('Cannot open file "x": Permission denied')

    monkeypatch.setattr("controlplane.shelf.Shelf.attach", refuse)
    with pytest.raises(NoPermission, match="another with --data-dir"):
        Journal(tmp_path, FOLLOWS)


def test_errors_of_the_machine_are_not_blamed_on_the_journal() -> None:
    from controlplane.segments import explained

    assert isinstance(explained(Exception("IO Error: Could not set lock on file"), Path("x")), DirectoryLocked)
