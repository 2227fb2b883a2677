"""Segments take over from one another without a gap or a repeat, are sealed, and read as one journal."""

import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from controlplane import limits, sealing, segments
from controlplane.archive import Archive
from controlplane.errors import CorruptJournal
from controlplane.fold import Step
from controlplane.journal import Journal
from controlplane.questions import AskEvents, AskExport, Events
from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, step_of, tick
from tests.controlplane.edge.test_journal import exported, plain
from tests.controlplane.edge.test_journal_faults import WRITER as PLAIN_WRITER
from tests.controlplane.edge.test_journal_faults import whole

WRITER = f"from controlplane import limits\nlimits.SEGMENT_ROWS_MAX = 150\n{PLAIN_WRITER}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 100)


def fill(journal: Journal, turns: int, settle: bool = True) -> list[Step]:
    """Turns of two inputs and a tick; the next segment is always ready when it is due."""
    steps: list[Step] = []
    for _ in range(turns):
        kept = []
        for partition in (0, 5):
            offset = journal.offsets.get(partition, 0)
            arrival = arrived(simple(9, offset), partition, offset)
            kept.append(step_of(journal, arrival, kept[-1].step if kept else None, follow=1))
        journal.commit(kept)
        journal.commit([tick(journal)])
        steps += [*(each.step for each in kept)]
        if settle:
            journal.settle()
    return steps


@pytest.mark.usefixtures("small")
def test_many_segments_read_as_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    # A partition that is silent from then on.
    journal.commit([step_of(journal, arrived(simple(4), 7, 0))])
    fill(journal, 13)
    alike = [plain(step) for step in journal.replay()]
    lines, offsets = exported(journal), dict(journal.offsets)
    journal.settle()
    assert [path.name for path in segments.listed(tmp_path)] == [
        *("000001.sealed.duckdb", "000002.sealed.duckdb", "000003.duckdb")
    ]
    assert not segments.path_of(tmp_path, 1).exists() and not segments.wal_of(segments.path_of(tmp_path, 1)).exists()
    assert journal.sealed[0] == segments.listed(tmp_path)[:2]
    assert len(alike) == journal.step and len(lines) == journal.events == 13 * 18 + 4
    assert offsets == {0: 13 * 9, 5: 13 * 9, 7: 4}
    assert [plain(step) for step in journal.replay()] == alike
    for number in range(0, journal.step, 7):
        assert [plain(step) for step in journal.replay(after=number)] == alike[number:]
    journal.close()
    again = Journal(tmp_path, FOLLOWS)
    assert [plain(step) for step in again.replay()] == alike
    assert exported(again) == lines
    assert (again.offsets, again.position, again.events) == (offsets, journal.position, journal.events)
    for step in again.replay():
        assert again.journaled(step.number) == (step.last, step.digest)
        assert again.end_of_step(position=step.last) == (step.last, step.recorded)
        assert again.end_of_step(instant=step.recorded) == (step.last, step.recorded)
    assert again.end_of_step(position=0) == again.end_of_step(instant=1) == (0, 0)
    assert again.journaled(again.step + 1) is None
    again.close()


@pytest.mark.usefixtures("small")
def test_old_segments_become_parquet_and_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENTS_SEALED_MAX", 1)
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 22)
    alike, lines = [plain(step) for step in journal.replay()], exported(journal)
    assert [path.name for path in segments.listed(tmp_path)] == [
        *("000001.parquet", "000002.parquet", "000003.sealed.duckdb", "000004.sealed.duckdb", "000005.duckdb")
    ]
    assert not list(tmp_path.glob("00000[12]*.duckdb*"))
    assert len(lines) == journal.events
    assert [step.number for step in journal.replay()] == list(range(1, journal.step + 1))
    journal.close()
    again = Journal(tmp_path, FOLLOWS)
    again.settle()
    assert [plain(step) for step in again.replay()] == alike
    assert exported(again) == lines
    again.close()
    victim = segments.path_of(tmp_path, 2, segments.PARQUET) / "steps.parquet"
    victim.write_bytes(victim.read_bytes()[:-9])
    with pytest.raises(CorruptJournal, match="000002"):
        Journal(tmp_path, FOLLOWS)


@pytest.mark.usefixtures("small")
def test_questions_are_answered_across_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 13)
    archive = Archive(journal)
    told = archive.events(AskEvents(subject="order-3", limit=1000), now=0)
    assert isinstance(told, Events)
    assert told.total == len(told.rows) == sum(n % 5 == 3 for n in range(13 * 9)) * 2
    assert [row.position for row in told.rows] == sorted((row.position for row in told.rows), reverse=True)
    after, lines, done = 0, [], False
    while not done:
        page = archive.page(AskExport(after=after, limit=50), journal.position)
        lines += page.lines
        after, done = page.after, page.done
    assert len(lines) == journal.events
    assert len(archive.saga_steps("order-3", 1000, 0)) == told.total
    journal.close()


@pytest.mark.usefixtures("small")
def test_who_reads_keeps_what_is_replaced_meanwhile(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    db = journal.cursor()
    fill(journal, 6)
    journal.settle()
    assert segments.path_of(tmp_path, 1, segments.SEALED).exists()
    assert segments.path_of(tmp_path, 1).exists(), "it is read yet"
    assert db.execute("select count(*) from events").fetchall() == [(5 * 18,)]
    db.close()
    assert not segments.path_of(tmp_path, 1).exists()
    journal.close()


@pytest.mark.usefixtures("small")
def test_what_was_only_made_ready_is_no_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 4)
    journal.settle()
    assert segments.path_of(tmp_path, 2).exists()
    assert journal.path == segments.path_of(tmp_path, 1)
    journal.close()
    again = Journal(tmp_path, FOLLOWS)
    assert again.path == segments.path_of(tmp_path, 1)
    assert not segments.path_of(tmp_path, 2).exists()
    fill(again, 4)
    assert again.path == segments.path_of(tmp_path, 2)
    assert [step.number for step in again.replay()] == list(range(1, again.step + 1))
    again.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_kill_at_any_instant_of_a_rotation_loses_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(dice.randrange(1, 30)):
                said = int(writer.stdout.readline())
            for _ in range(dice.randrange(60_000)):
                pass
            writer.send_signal(signal.SIGKILL)
        journal = Journal(tmp_path, FOLLOWS)
        assert journal.position >= said
        assert whole(journal) % 3 == 0
        assert len(exported(journal)) == journal.events
        journal.close()
    assert len(segments.listed(tmp_path)) > 1


@pytest.mark.usefixtures("small")
def test_a_killed_sealing_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(sealer: sealing.Sealer, path: Path, form: str) -> None:
        work = path.parent / "sealing-1"
        work.mkdir(exist_ok=True)
        (work / "sealed.duckdb").write_bytes(b"half")

    with monkeypatch.context() as patched:
        patched.setattr(sealing.Sealer, "turn", killed)
        journal = Journal(tmp_path, FOLLOWS)
        fill(journal, 6)
        alike = [plain(step) for step in journal.replay()]
        journal.close()
    assert [path.name for path in segments.listed(tmp_path)] == ["000001.duckdb", "000002.duckdb"]
    again = Journal(tmp_path, FOLLOWS)
    assert [plain(step) for step in again.replay()] == alike
    again.settle()
    assert segments.listed(tmp_path)[0].name == "000001.sealed.duckdb"
    assert not list(tmp_path.glob("sealing-*"))
    assert [plain(step) for step in again.replay()] == alike
    again.close()


@pytest.mark.usefixtures("small")
def test_with_sealing_far_behind_the_newest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENTS_UNSEALED_MAX", 2)
    monkeypatch.setattr(sealing.Sealer, "turn", lambda *_: None)
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 30)
    assert journal.path == segments.path_of(tmp_path, 3)
    assert journal.rows > 2 * limits.SEGMENT_ROWS_MAX
    assert [step.number for step in journal.replay()] == list(range(1, journal.step + 1))
    journal.close()


@pytest.mark.parametrize("error", [None, OSError(11, "no process can be started"), duckdb.IOException("not attached")])
@pytest.mark.usefixtures("small")
def test_what_could_not_be_sealed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(limits, "SEALING_RETRY_MS", 10)
    turn, failures, sealed = sealing.Sealer.turn, [1, 2], threading.Event()

    def fails_at_first(sealer: sealing.Sealer, path: Path, form: str) -> Path | None:
        if failures:
            failures.pop()
            if error is not None:
                raise error
            return None
        sealed.set()
        return turn(sealer, path, form)

    monkeypatch.setattr(sealing.Sealer, "turn", fails_at_first)
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 6)
    assert sealed.wait(60)
    journal.settle()
    assert segments.path_of(tmp_path, 1, segments.SEALED).exists()
    journal.close()


def test_whoever_stops_sealing_waits_for_what_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is handed to a thread that is not there any more."""
    monkeypatch.setattr(limits, "SEALING_RETRY_MS", 1)
    begun, stopped, early = threading.Event(), threading.Event(), list[bool]()
    sealer = sealing.Sealer()

    def again() -> None:
        begun.set()
        early.append(stopped.wait(0.3))

    sealer.later(again)
    assert begun.wait(60)
    sealer.stop()
    stopped.set()
    assert early == [False]


def test_sealing_ends_with_whoever_started_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 1, settle=False)
    journal.close()
    source, target = segments.path_of(tmp_path, 1), segments.path_of(tmp_path, 1, segments.SEALED)
    command = [sys.executable, "-m", "controlplane.sealing", str(source), str(target)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=60)
    assert ended.returncode == sealing.ALONE or target.exists()
    assert source.exists()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("what", ["cut", "garbage", "gone", "older"])
def test_a_damaged_segment_is_said_plainly(tmp_path: Path, what: str) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 13)
    journal.close()
    victim = segments.path_of(tmp_path, 2, segments.SEALED)
    if what == "cut":
        victim.write_bytes(victim.read_bytes()[: 3 * 4096])
    elif what == "garbage":
        victim.write_bytes(b"nothing" * 4096)
    elif what == "gone":
        victim.unlink()
    else:
        with duckdb.connect(str(victim)) as db:
            db.execute("delete from steps where number > (select max(number) - 2 from steps)")
    with pytest.raises(CorruptJournal, match="000002"):
        Journal(tmp_path, FOLLOWS)


@pytest.mark.usefixtures("small")
def test_the_newest_file_gone_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 6)
    journal.settle()
    journal.close()
    segments.remove(segments.path_of(tmp_path, 2))
    again = Journal(tmp_path, FOLLOWS)
    fill(again, 1)
    assert [step.number for step in again.replay()] == list(range(1, again.step + 1))
    assert again.path == segments.path_of(tmp_path, 2)
    again.close()


@pytest.mark.usefixtures("small")
def test_a_copy_may_be_read_without_changing_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    journal = Journal(tmp_path / "a", FOLLOWS)
    fill(journal, 6, settle=False)
    journal.settle()
    alike = [plain(step) for step in journal.replay()]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    journal.close()
    before = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    copy = Journal(tmp_path / "b", FOLLOWS, read_only=True)
    assert [plain(step) for step in copy.replay()] == alike
    copy.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == before


def test_a_journal_of_format_1_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FOLLOWS)
    fill(journal, 3)
    alike = [plain(step) for step in journal.replay()]
    journal.close()
    with duckdb.connect(str(journal.path)) as db:
        db.execute(
            "create or replace table birth as select 1::uinteger as format, segment, position, step, recorded "
            "from birth"
        )
        db.execute("drop table floors")
    again = Journal(tmp_path, FOLLOWS)
    assert [plain(step) for step in again.replay()] == alike
    fill(again, 1)
    again.close()
    with duckdb.connect(str(journal.path)) as db:
        assert db.execute("select format, digest, events from birth").fetchall() == [(2, b"", 0)]
