"""A restart reads the newest usable snapshot and the tail; what is damaged or foreign is passed over."""

import logging
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane import limits
from controlplane.facts import Tick
from controlplane.fold import Heart
from controlplane.health import Health
from controlplane.plane import folds
from controlplane.snapshots import Snapshots
from controlplane.timeline import as_of
from tests.controlplane.edge.brokerless import Lived

LIVER = """
import sys
from pathlib import Path
from controlplane import limits
from tests.controlplane.edge.brokerless import Lived
limits.SNAPSHOT_STEPS_MAX = 4
lived = Lived(Path(sys.argv[1]))
while True:
    lived.turn(20, 2)
    print(lived.journal.position, flush=True)
"""


@pytest.fixture
def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lived:
    """Ten turns with a snapshot after each of the first eight; closed."""
    monkeypatch.setattr(limits, "SNAPSHOT_CHAIN_MAX", 4)
    lived = Lived(tmp_path / "data")
    for n in range(10):
        lived.turn()
        if n < 8:
            lived.snapshot()
    lived.close()
    return lived


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "data/journal/snapshots").iterdir())


def replayed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the steps that hearts replay from here on."""
    found: list[int] = []
    real = Heart.replay

    def replay(heart: Heart, step: object) -> None:
        found.append(step.number)  # type: ignore[attr-defined]
        real(heart, step)  # type: ignore[arg-type]

    monkeypatch.setattr(Heart, "replay", replay)
    return found


def same(again: Lived, before: Lived) -> None:
    assert again.heart.digest() == before.heart.digest() == again.journal.digest
    assert (again.heart.position, again.heart.steps) == (before.heart.position, before.heart.steps)
    assert again.heart.next_deadline() == before.heart.next_deadline()


def test_a_restart_replays_only_the_tail(lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(files(tmp_path)) == 8
    numbers = replayed(monkeypatch)
    again = Lived(tmp_path / "data")
    same(again, lived)
    assert numbers == list(range(lived.heart.steps - 3, lived.heart.steps + 1)), "two turns of two steps"
    # What is written next is built on what was there, and holds the tail too.
    again.turn()
    again.snapshot()
    newest = again.snapshots.nearest()
    assert newest.digest() == again.heart.digest()
    again.close()


def test_a_damaged_one_is_passed_over_and_said(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    newest, before = files(tmp_path)[-1], files(tmp_path)[-2]
    newest.write_bytes(newest.read_bytes()[:-40])
    before.write_bytes(b"")
    numbers = replayed(monkeypatch)
    again = Lived(tmp_path / "data")
    same(again, lived)
    assert len(numbers) == 8
    assert {each.args[0] for each in caplog.records if "passed over" in each.msg and each.args} == {newest, before}  # type: ignore[index]
    assert not newest.exists()
    again.close()


def test_without_any_usable_one_all_is_read_again(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in files(tmp_path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    numbers = replayed(monkeypatch)
    again = Lived(tmp_path / "data")
    same(again, lived)
    assert len(numbers) == lived.heart.steps
    again.close()


def test_other_folds_read_all_again_and_leave_snapshots_of_their_own(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Health, "version", Health.version + 1)
    monkeypatch.setattr(limits, "SNAPSHOT_STEPS_MAX", 5)
    numbers = replayed(monkeypatch)
    again = Lived(tmp_path / "data")
    assert len(numbers) == lived.heart.steps
    assert again.heart.digest() == lived.heart.digest()
    again.close()
    numbers.clear()
    once_more = Lived(tmp_path / "data")
    assert len(numbers) < 20
    once_more.close()


def test_what_is_folded_again_leaves_those_of_other_folds(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in files(tmp_path)}
    header = lived.snapshots._known[3].header
    monkeypatch.setattr(Health, "version", Health.version + 1)
    again = Snapshots(tmp_path / "data/journal/snapshots", folds, lambda step: None)
    again._write(header, {}, None)
    assert len(files(tmp_path)) == len(before) + 1
    assert all(path.read_bytes() == was for path, was in before.items())
    again.close()


def test_one_of_a_name_without_versions_is_read(lived: Lived, tmp_path: Path) -> None:
    position = lived.snapshots._known[-1].header.position
    for path in files(tmp_path):
        path.rename(path.with_name(f"{path.name.partition('-')[0]}.snapshot"))
    again = Lived(tmp_path / "data")
    assert again.snapshots.nearest().position == position > 0
    again.close()


def test_an_old_backup_is_not_given_the_snapshots_of_what_came_later(lived: Lived, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    again = Lived(tmp_path / "data")
    for _ in range(4):
        again.turn(7)
        again.snapshot()
    again.close()
    for name in ("snapshots",):
        shutil.copytree(tmp_path / "data/journal" / name, tmp_path / "backup/journal" / name, dirs_exist_ok=True)
    old = Lived(tmp_path / "backup")
    same(old, lived)
    for _ in range(4):
        old.turn(7)
    old.tell(Tick())
    assert old.snapshots.nearest().position <= lived.heart.position
    old.close()


def test_a_look_back_begins_at_the_nearest(lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = Lived(tmp_path / "data")
    steps = again.steps()
    numbers = replayed(monkeypatch)
    for step in steps:
        for kind in ({"position": step.last}, {"instant": step.recorded}):
            numbers.clear()
            heart = again.snapshots.nearest(**kind)  # type: ignore[arg-type]
            heart = as_of(again.journal.replay(after=heart.steps), folds(), **kind, heart=heart)  # type: ignore[arg-type]
            known = [each for each in steps if each.last <= heart.position][-1]
            assert heart.digest() == known.digest
            assert heart.position >= step.last
            assert len(numbers) <= 8
    assert again.snapshots.nearest(position=1).position == 0
    again.close()


def test_old_chains_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SNAPSHOT_CHAIN_MAX", 2)
    monkeypatch.setattr(limits, "SNAPSHOTS_KEPT_MAX", 12)
    lived = Lived(tmp_path / "data")
    for _ in range(30):
        lived.turn(5)
        lived.snapshot()
    kept = files(tmp_path)
    assert 6 <= len(kept) <= 12
    for path in kept:
        position = int(path.stem.partition("-")[0])
        assert lived.snapshots.nearest(position=position).position == position
    lived.close()


def test_one_that_cannot_be_written_is_said_and_the_next_is_whole(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = Lived(tmp_path / "data")
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    again.turn()
    again.snapshot()
    assert "No space left" in caplog.text
    monkeypatch.setattr(Path, "replace", real)
    again.turn()
    again.snapshot()
    assert again.snapshots.nearest().digest() == again.heart.digest()
    assert not list(tmp_path.rglob("*.new"))
    again.close()


def test_one_that_has_no_form_is_no_end_of_the_plane(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = Lived(tmp_path / "data")
    monkeypatch.setattr("controlplane.statefile.encode", lambda *_: (_ for _ in ()).throw(TypeError("of no form")))
    for _ in range(2):
        again.turn()
        again.snapshots.take(again.heart, again.journal.digest)
        again.snapshots.settle()
    assert "of no form" in caplog.text
    again.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_instant_leaves_usable_ones(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    dice = random.Random(seed)
    for _ in range(3):
        command = [sys.executable, "-c", LIVER, str(tmp_path / "data")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as liver:
            assert liver.stdout is not None
            for _ in range(dice.randrange(3, 25)):
                said = int(liver.stdout.readline())
            for _ in range(dice.randrange(60_000)):
                pass
            liver.send_signal(signal.SIGKILL)
        again = Lived(tmp_path / "data")
        assert again.journal.position >= said
        assert again.heart.digest() == again.journal.digest
        assert as_of(again.journal.replay(), folds()).digest() == again.heart.digest()
        again.close()
    assert "passed over" not in caplog.text
