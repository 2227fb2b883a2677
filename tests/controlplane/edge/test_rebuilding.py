"""Damaged segments are found, and made again as they were; what nobody has any more is named."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane import bases, copied, limits, segments, statefile
from controlplane.arrivals import Arrival
from controlplane.brokerlogs import BrokerLogs
from controlplane.copied import MISSING, Chunk, CopiedStep
from controlplane.errors import CorruptJournal, NotRebuilt
from controlplane.journal import Journal
from controlplane.rebuilding import ASIDE, Rebuilding, Rebuilt
from controlplane.remaking import Missing
from controlplane.statefile import Header
from controlplane.stored import copied_steps
from tests.controlplane.edge.examples import FOLLOWS, arrived, simple, tick
from tests.controlplane.edge.test_journal import exported, plain
from tests.controlplane.edge.test_rotation import fill

FORMS = ("000001.parquet", "000002.parquet", "000003.sealed.duckdb", "000004.sealed.duckdb", "000005.duckdb")


class Logs:
    """Brokers' logs of a journal that `fill` made. `trimmed`: partition -> events below it are gone."""

    brokers = ("b1",)

    def __init__(self, steps: list[CopiedStep], size: int = 7) -> None:
        self.trimmed: dict[int, int] = {}
        self.steps = [Chunk(copied.FORMAT, 0, [])]
        self.steps += [Chunk(copied.FORMAT, 0, steps[at : at + size]) for at in range(0, len(steps), size)]

    def chunks(self, start: int = 0) -> Iterator[tuple[int, Chunk]]:
        yield from ((at, chunk) for at, chunk in enumerate(self.steps) if at >= start)

    def arrivals(self, partition: int, first: int, count: int) -> Iterator[Arrival | range]:
        there = max(first, min(first + count, self.trimmed.get(partition, 0)))
        if first < there:
            yield range(first, there)
        for at in range(there, first + count, 5):
            yield arrived(simple(min(5, first + count - at), at), partition, at)


class Whole:
    """A journal of segments in every form, as it was before anything happened to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        journal = Journal(folder, FOLLOWS)
        fill(journal, 22)
        with closing(journal.reading()) as db:
            self.rows: list[CopiedStep] = []
            while some := copied_steps(db, db.holding(len(self.rows) + 1), len(self.rows)):
                self.rows += some
        journal.close()
        self.steps, self.lines = read(folder)
        self.floors = [segment.birth for segment in journal._shelf.segments]

    def damaged(self, folder: Path, harm: Callable[[Path], object]) -> Path:
        shutil.copytree(self.folder, folder)
        harm(folder)
        return folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COPY_STEPS_MAX", 4)
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 100)
    monkeypatch.setattr(limits, "SEGMENTS_SEALED_MAX", 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SEGMENT_ROWS_MAX", 100)
        patch.setattr(limits, "SEGMENTS_SEALED_MAX", 1)
        made = Whole(tmp_path_factory.mktemp("whole"))
        assert tuple(path.name for path in segments.listed(made.folder)) == FORMS
        yield made


def read(folder: Path) -> tuple[list[Any], list[bytes]]:
    with closing(Journal(folder, FOLLOWS)) as journal:
        return [plain(step) for step in journal.replay()], exported(journal)


def rebuilt(folder: Path, logs: Logs, dry_run: bool = False) -> list[Rebuilt]:
    return Rebuilding(folder, cast(BrokerLogs, logs)).run(dry_run)


def files_of(segment: Path) -> list[Path]:
    return [path for path in (sorted(segment.iterdir()) if segment.is_dir() else [segment]) if path.suffix != ".json"]


def remove(path: Path) -> None:
    segments.remove(path)


def cut(path: Path, share: float = 0.6) -> None:
    for file in files_of(path):
        data = file.read_bytes()
        file.write_bytes(data[: int(len(data) * share)])


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x55
    path.write_bytes(data)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("harm", [remove, cut])
def test_a_segment_that_is_lost_or_cut_short_is_made_again(
    whole: Whole, tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: harm(folder / name))
    logs = Logs(whole.rows)
    if (harm, name) != (remove, FORMS[-1]):
        with pytest.raises(CorruptJournal, match="--rebuild-journal"):
            Journal(folder, FOLLOWS)
    planned = rebuilt(folder, logs, dry_run=True)
    assert [one.segment for one in planned] == [int(name[:6])]
    (one,) = rebuilt(folder, logs)
    assert (one.segment, one.missing, one.bare) == (int(name[:6]), [], [])
    assert (folder / ASIDE / name).exists() == (harm is cut)
    assert rebuilt(folder, logs) == []
    assert read(folder) == (whole.steps, whole.lines)


def trimmed(whole: Whole, folder: Path) -> tuple[Path, segments.Birth]:
    """The journal once retention has let go of its first two segments, and where it begins."""
    whole.damaged(folder, lambda _: None)
    birth = whole.floors[2]
    for name in FORMS[:2]:
        segments.remove(folder / name)
    segments.write_oldest(folder, 3)
    header = Header(birth.position, birth.step, birth.recorded, b"", birth.digest, {}, [])
    bases.path_of(folder, 3).write_bytes(b"".join(statefile.encode(header, {})))
    return folder, birth


@pytest.mark.parametrize("harm", [remove, cut])
def test_the_oldest_that_retention_left_is_made_again_from_where_its_base_says(
    whole: Whole, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    folder, birth = trimmed(whole, tmp_path / "journal")
    harm(folder / FORMS[2])
    (one,) = rebuilt(folder, Logs(whole.rows))
    assert (one.segment, one.first, one.missing, one.bare) == (3, birth.position + 1, [], [])
    assert rebuilt(folder, Logs(whole.rows)) == []
    with closing(Journal(folder, FOLLOWS)) as journal:
        assert journal.reach == birth
        assert [plain(step) for step in journal.replay(after=birth.step)] == whole.steps[birth.step :]


@pytest.mark.parametrize(
    ("harm", "skip", "said"),
    [
        (lambda folder: bases.path_of(folder, 3).unlink(), 0, r"told by .*000003\.base, which cannot be read"),
        (lambda folder: bases.path_of(folder, 3).write_bytes(b"x"), 0, "no snapshot of this version"),
        (lambda folder: segments.remove(folder / FORMS[3]), 0, "segment 4 is, too"),
        (lambda folder: None, 3, "it needs steps .* and the copy has steps"),
    ],
)
def test_the_oldest_that_retention_left_is_refused_where_something_is_missing(
    whole: Whole, tmp_path: Path, harm: Callable[[Path], object], skip: int, said: str
) -> None:
    folder, birth = trimmed(whole, tmp_path / "journal")
    segments.remove(folder / FORMS[2])
    harm(folder)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NotRebuilt, match=said) as refused:
        rebuilt(folder, Logs(whole.rows[birth.step + skip :] if skip else whole.rows))
    assert "Nothing was changed" in str(refused.value)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_flipped_bits_are_found_wherever_they_matter(whole: Whole, tmp_path: Path) -> None:
    dice = random.Random(4)
    logs, found = Logs(whole.rows), 0
    for turn in range(24):
        victim = dice.choice(files_of(whole.folder / FORMS[turn % 4]))
        folder = whole.damaged(tmp_path / "journal", lambda _: None)
        flip(folder / victim.relative_to(whole.folder), dice.randrange(1 << 30))
        again = rebuilt(folder, logs)
        found += len(again)
        assert not again or again[0].segment == turn % 4 + 1
        # In Parquet every bit is looked at; in DuckDB's file there is room that nothing stands in.
        assert again or ".duckdb" in victim.name
        assert read(folder) == (whole.steps, whole.lines), f"turn {turn}: {victim.name}"
        shutil.rmtree(folder)
    assert found > 12


def test_the_whole_journal_and_all_that_lies_side_by_side_is_made_again(whole: Whole, tmp_path: Path) -> None:
    logs = Logs(whole.rows)
    folder = whole.damaged(tmp_path / "some", lambda folder: [cut(folder / name, 0.3) for name in FORMS[1:4]])
    assert [one.segment for one in rebuilt(folder, logs)] == [2, 3, 4]
    assert read(folder) == (whole.steps, whole.lines)
    folder = tmp_path / "none"
    folder.mkdir()
    assert len(rebuilt(folder, logs)) >= 4
    assert read(folder) == (whole.steps, whole.lines)


def test_events_that_nobody_has_keep_their_positions_and_are_named(whole: Whole, tmp_path: Path) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: remove(folder / FORMS[1]))
    logs = Logs(whole.rows)
    begun = whole.floors[1].floors[5]
    logs.trimmed = {5: begun + 12}
    (one,) = rebuilt(folder, logs)
    assert [(each.partition, each.first, each.count) for each in one.missing] == [(5, begun, 9), (5, begun + 9, 3)]
    steps, lines = read(folder)
    assert len(lines) == len(whole.lines)
    changed = [at for at, line in enumerate(lines) if line != whole.lines[at]]
    assert len(changed) == 12 and all(MISSING.encode() in lines[at] for at in changed)
    with closing(Journal(folder, FOLLOWS)) as journal, closing(journal.cursor()) as db:
        rows = db.execute(
            "select position, partition, \"offset\" from events where id like 'p05:%' order by 1"
        ).fetchall()
    assert [row[1:] for row in rows] == [(5, begun + n) for n in range(12)]
    assert Missing(5, begun, 9, rows[0][0]) == one.missing[0]
    # So it is where nothing is left, and where the newest one goes with it.
    for number, victims in enumerate((FORMS, FORMS[1:])):
        folder = whole.damaged(
            tmp_path / f"{number}", lambda folder, gone=victims: [remove(folder / it) for it in gone]
        )
        rebuilt(folder, logs)
        steps, others = read(folder)
        gone = [at for at, line in enumerate(others) if line != whole.lines[at]]
        assert all(MISSING.encode() in others[at] for at in gone)
        assert len(gone) == (begun + 12 if victims == FORMS else 12)
    # The steps stand as they were.
    assert [step[:5] for step in steps] == [step[:5] for step in whole.steps]


def test_sound_tables_of_a_damaged_segment_are_taken_over(whole: Whole, tmp_path: Path) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: cut(folder / FORMS[0] / "events.parquet"))
    (one,) = rebuilt(folder, Logs(whole.rows[:0]))
    assert one.own and not one.missing
    assert read(folder) == (whole.steps, whole.lines)
    folder = whole.damaged(tmp_path / "facts", lambda folder: cut(folder / FORMS[0] / "entries.parquet"))
    with pytest.raises(NotRebuilt, match=r"000001\.parquet cannot be made again .*there is no copy"):
        rebuilt(folder, Logs([]))


def test_what_cannot_be_made_again_is_named_and_nothing_changes(whole: Whole, tmp_path: Path) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: [cut(folder / FORMS[1]), cut(folder / FORMS[3])])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    first = whole.floors[1].step + 4
    with pytest.raises(
        NotRebuilt, match=rf"000002\.parquet .*it needs steps \d+ to \d+, and the copy has steps {first} "
    ):
        rebuilt(folder, Logs(whole.rows[first - 1 :]))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_steps_that_were_not_copied_yet_are_gone_and_the_journal_goes_on_before_them(
    whole: Whole, tmp_path: Path
) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: cut(folder / FORMS[4], 0.2))
    upto = whole.floors[4].step
    (one,) = rebuilt(folder, Logs(whole.rows[:upto]))
    assert (one.steps, one.aside) == (0, f"{ASIDE}/{FORMS[4]}")
    with closing(Journal(folder, FOLLOWS)) as journal:
        assert journal.step == upto
        journal.commit([tick(journal)])
    steps, _ = read(folder)
    assert steps[:-1] == whole.steps[:upto]


def test_a_copy_of_another_life_mends_nothing(whole: Whole, tmp_path: Path) -> None:
    folder = whole.damaged(tmp_path / "journal", lambda folder: remove(folder / FORMS[4]))
    import msgspec

    other = [msgspec.structs.replace(step, digest=b"other") for step in whole.rows]
    with pytest.raises(NotRebuilt, match="another life"):
        rebuilt(folder, Logs(other))
