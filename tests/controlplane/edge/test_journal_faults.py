"""A journal whose process is killed, and one whose disk is full."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane import segments
from controlplane.facts import Rows
from controlplane.journal import Journal
from tests.controlplane.edge.examples import FOLLOWS

WRITER = """
import sys
from pathlib import Path
from controlplane.journal import Journal
from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, step_of, tick
journal = Journal(Path(sys.argv[1]), FOLLOWS)
while True:
    turn = []
    for partition in (0, 1, 2):
        offset = journal.offsets.get(partition, 0)
        count = 1 + (journal.step * 37 + partition) % 40
        arrival = arrived(simple(count, offset), partition, offset)
        turn.append(step_of(journal, arrival, turn[-1].step if turn else None, follow=2))
    journal.commit(turn)
    print(journal.position, flush=True)
"""
FILLER = """
import resource, signal, sys
from pathlib import Path
from controlplane.errors import DiskFull
from controlplane.journal import Journal
from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, step_of
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), FOLLOWS)
def put():
    offset = journal.offsets.get(0, 0)
    journal.commit([step_of(journal, arrived(simple(400, offset), 0, offset))])
put()
free = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size_bytes + 20_000, free))
refused = 0
for _ in range(3):
    try:
        put()
    except DiskFull as error:
        refused += 1
        print(error)
assert refused, "nothing was refused"
kept = journal.position
assert sum(1 for _ in journal.replay()) == journal.step
resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))
put()
assert journal.position == kept + 400, "it does not go on where it stood"
journal.close()
"""


CRAMPED = """
import resource, signal, sys
from pathlib import Path
from controlplane import segments
from controlplane.errors import DiskFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    segments.make_ready(Path(sys.argv[1]), 1)
except DiskFull as error:
    print(error)
else:
    with segments.duckdb.connect(":memory:") as db:
        segments.attach(db, segments.path_of(Path(sys.argv[1]), 1), "ready", read_only=True)
        print("ready", len(db.execute("select * from duckdb_tables() where database_name = 'ready'").fetchall()))
"""


def whole(journal: Journal) -> int:
    """Checks that steps, positions, events and offsets fit together without a gap; the number of steps."""
    position, offsets, steps, events = 0, {}, 0, 0
    for step in journal.replay():
        steps += 1
        assert (step.number, step.first) == (steps, position + 1)
        assert isinstance(step.input, Rows)
        rows = step.input
        assert rows.first_offset == offsets.get(rows.partition, 0)
        assert rows.ids == [f"e-{n}" for n in range(rows.first_offset, rows.first_offset + len(rows))]
        assert [entry.position for entry in step.derived] == [step.last - 1, step.last]
        assert len(step.intents) == 2
        offsets[rows.partition] = rows.first_offset + len(rows)
        events += len(rows)
        position = step.last
    assert (journal.position, journal.step, journal.offsets, journal.events) == (position, steps, offsets, events)
    return steps


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_leaves_whole_turns_and_all_that_were_committed(tmp_path: Path, seed: int) -> None:
    random_kill = random.Random(seed)
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(random_kill.randrange(1, 12)):
                said = int(writer.stdout.readline())
            # A few hundred microseconds of spinning put the kill anywhere in the next commit.
            for _ in range(random_kill.randrange(60_000)):
                pass
            writer.send_signal(signal.SIGKILL)
        journal = Journal(tmp_path, FOLLOWS)
        assert journal.position >= said
        assert whole(journal) % 3 == 0
        journal.close()


def test_a_full_disk_stops_the_journal_and_room_lets_it_go_on(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FILLER, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "no room for the journal" in ended.stdout


@pytest.mark.parametrize("bytes_max", [0, 4_096, 20_000, 100_000, 10_000_000])
def test_a_segment_is_made_ready_whole_or_not_at_all(tmp_path: Path, bytes_max: int) -> None:
    """With room for its write-ahead log and none for its tables, DuckDB leaves a file without any, and says nothing."""
    command = [sys.executable, "-c", CRAMPED, str(tmp_path), str(bytes_max)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("no room for the journal") or ended.stdout == "ready 7\n"
    assert (ended.stdout == "ready 7\n") == (bytes_max == 10_000_000)


def test_segments_are_named_and_ordered(tmp_path: Path) -> None:
    assert segments.newest(tmp_path) == tmp_path / "000001.duckdb"
    for number in (2, 10, 1):
        segments.path_of(tmp_path, number).touch()
    (tmp_path / "notes.duckdb").touch()
    assert [segments.number_of(path) for path in segments.listed(tmp_path)] == [1, 2, 10]
    assert segments.newest(tmp_path) == tmp_path / "000010.duckdb"
    assert segments.is_due(500_000) and not segments.is_due(499_999)
