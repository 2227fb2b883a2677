"""A journal that retention has trimmed: it goes on, begins with its base, says what is gone, and survives any kill."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane import bases, keeping, limits, segments
from controlplane.answering import Answering
from controlplane.clock import Clock
from controlplane.errors import BeforeJournal, CorruptJournal
from controlplane.facts import JournalTrimmed
from controlplane.fleet import Fleet
from controlplane.fold import Heart
from controlplane.health import Health
from controlplane.journal import Journal
from controlplane.keeping import Keeping
from controlplane.lately import Lately, lines_of
from controlplane.plane import folds
from controlplane.questions import (
    AskAt,
    AskDiff,
    AskExport,
    AskSql,
    AskStatus,
    AskVerify,
    AskWhatIf,
    At,
    Body,
    Exported,
    Past,
    Question,
    Refusal,
    SqlAnswer,
    Status,
    Verified,
    WhatIf,
)
from controlplane.sql.files import Files
from controlplane.timeline import as_of
from controlplane.turns import Turns
from tests.controlplane.edge.brokerless import FOLLOWS, Lived

TURNS = 30


def _make_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limits, "SEGMENT_ROWS_MAX", 150)
    patch.setattr(limits, "SEGMENTS_SEALED_MAX", 2)
    patch.setattr(limits, "SNAPSHOT_CHAIN_MAX", 3)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    _make_small(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal of several segments, two in Parquet, and snapshots."""
    root = tmp_path_factory.mktemp("made") / "data"
    with pytest.MonkeyPatch.context() as patch:
        _make_small(patch)
        lived = Lived(root)
        for n in range(TURNS):
            lived.turn()
            lived.journal.settle()
            if n % 4 == 3:
                lived.snapshot()
        lived.close()
    forms = [segments.form_of(path) for path in segments.listed(root / "journal")]
    assert forms[:2] == [segments.PARQUET] * 2 and len(forms) >= 5
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "data"))


class Plane:
    """A plane on such a journal, without brokers; its turns run."""

    def __init__(self, root: Path) -> None:
        self.lived = Lived(root)
        self.journal, self.snapshots = self.lived.journal, self.lived.snapshots
        self.lived.now += 1
        clock = Clock(self.journal.recorded)
        self.turns = Turns(
            self.lived.heart, self.journal, clock, FOLLOWS, lambda intents: None, self.snapshots,
            self.lived.restored.refold,
        )  # fmt: skip
        self.answering = Answering(
            self.turns, cast(Any, None), cast(Any, None), str(root / "plane"), lambda reason: None
        )
        self.answering.look_through(cast(Any, object()))
        self.keeping = Keeping(root / "journal", self.turns, self.snapshots, folds, 0, 1)

    async def ask(self, question: Question, at: At | None = None) -> Body:
        return (await self.answering.answer(question, lambda body: None, at)).body

    def close(self) -> None:
        self.answering.close()
        self.turns.close()
        self.lived.close()


@asynccontextmanager
async def plane_on(root: Path) -> AsyncIterator[Plane]:
    plane = Plane(root)
    running = asyncio.create_task(plane.turns.run())
    try:
        yield plane
    finally:
        plane.turns.finish()
        await running
        plane.close()


def digests(root: Path) -> dict[int, bytes]:
    """What the journal, whole, gives after each step, by position."""
    journal = Journal(root / "journal", FOLLOWS)
    heart, found = Heart(folds()), {}
    for step in journal.replay():
        heart.replay(step)
        found[heart.position] = heart.digest()
    journal.close()
    return found


async def trimmed(root: Path) -> int:
    """Have all go that may; the position that the journal begins after."""
    async with plane_on(root) as plane:
        assert await plane.keeping.look()
        while await plane.keeping.look():  # the fact of it may have gone into a segment of its own
            pass
        return plane.journal.reach.position


async def test_the_oldest_segments_go_and_what_is_left_is_the_same(root: Path) -> None:
    before = digests(root)
    paths = segments.listed(root / "journal")
    async with plane_on(root) as plane:
        size = plane.journal.size_bytes
        assert await plane.keeping.look()
        reach, gone = plane.journal.reach, len(paths) - limits.SEGMENTS_LEFT_MIN
        assert gone > 2 and reach.segment == gone + 1
        assert segments.number_of(segments.listed(root / "journal")[0]) == gone + 1
        assert plane.journal.size_bytes < size and reach.position > 0
        await plane.turns.settled()
        assert "retention by bytes let go of" in lines_of(plane.turns.heart.states["lately"], 1)[0].text
        facts = [step.input for step in plane.journal.replay(after=reach.step)]
        (fact,) = [fact for fact in facts if isinstance(fact, JournalTrimmed)]
        assert (fact.up_to, fact.segments, fact.events, fact.by) == (
            reach.position, gone, reach.events, "bytes"
        )  # fmt: skip
        with pytest.raises(BeforeJournal):
            next(plane.journal.replay())
        # Each state that can be asked for yet is the one that the whole journal gave, the first included.
        for position in [at for at in before if at >= reach.position][::3]:
            there = plane.snapshots.nearest(position)
            steps = plane.journal.replay(position, there.steps)
            assert as_of(steps, (), position=position, heart=there).digest() == before[position]
        status = await plane.ask(AskStatus())
        assert isinstance(status, Status) and status.controlplane.journal_from == reach.position
        assert status.controlplane.journal_why == ""


async def test_what_was_before_is_refused_and_the_rest_is_verified(root: Path) -> None:
    begins = await trimmed(root)
    async with plane_on(root) as plane:
        reach = plane.journal.reach
        for ask, at in (
            (AskStatus(), At(position=begins - 1)),
            (AskStatus(), At(instant=reach.recorded - 1)),
            (AskExport(), At(position=1)),
            (AskAt(position=begins - 1), None),
            (AskDiff(position_a=1, position_b=begins + 40), None),
            (AskWhatIf({"sagas.stuck_after": "1s"}, position=begins), None),
            (AskWhatIf({"sagas.stuck_after": "1s"}, instant=reach.recorded - 1), None),
        ):
            said = await plane.ask(ask, at)
            assert isinstance(said, Refusal) and said.code == "not_found", ask
            assert f"begins after position {begins:,} (20" in said.message
        there = await plane.ask(AskAt(position=begins))
        assert isinstance(there, Past) and there.position == begins
        verdict = await plane.ask(AskVerify())
        assert isinstance(verdict, Verified)
        assert verdict.same and verdict.divergence == "" and verdict.older == 0
        assert verdict.journal_from == begins and verdict.entries <= plane.journal.position - begins
        otherwise = await plane.ask(AskWhatIf({}))
        assert isinstance(otherwise, WhatIf) and otherwise.same and otherwise.first == begins + 1
        page = await plane.ask(AskExport(limit=10, up_to=plane.journal.position))
        assert isinstance(page, Exported) and page.lines and page.journal_from == begins
        then = await plane.ask(AskExport(), At(position=plane.journal.position))
        assert isinstance(then, Exported) and then.journal_from == begins


async def test_sql_says_where_events_and_facts_begin(root: Path, tmp_path: Path) -> None:
    begins = await trimmed(root)
    async with plane_on(root) as plane:
        for sql, said in (("select count(*) from events", begins), ("select count(*) from flows", 0)):
            told = await plane.ask(AskSql(sql))
            assert isinstance(told, SqlAnswer) and told.journal_from == said
    files = Files([str(root)], str(tmp_path / "spill"))
    told = files.answer(AskSql("select count(*) from facts"), lambda work: None).body
    assert isinstance(told, SqlAnswer) and told.journal_from == begins


async def test_a_start_without_snapshots_begins_with_the_base(root: Path) -> None:
    begins = await trimmed(root)
    for path in (root / "journal/snapshots").iterdir():
        path.unlink()
    async with plane_on(root) as plane:
        assert plane.turns.heart.digest() == plane.journal.digest
        verdict = await plane.ask(AskVerify())
        assert isinstance(verdict, Verified) and verdict.same and verdict.journal_from == begins


async def test_without_snapshots_and_base_it_does_not_start_and_says_why(root: Path) -> None:
    await trimmed(root)
    (base,) = (root / "journal").glob("*.base")
    base.write_bytes(base.read_bytes()[:-9])
    Lived(root).close()  # a snapshot is there yet
    for path in (root / "journal/snapshots").iterdir():
        path.unlink()
    with pytest.raises(CorruptJournal, match=r"the state there, cannot be used: .*backup"):
        Lived(root)


async def test_a_fold_that_changed_goes_on_with_what_its_elder_left(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = await trimmed(root)
    elder = Lived(root)
    live = {name: state.digest for name, state in elder.heart.states.items()}
    elder.close()
    monkeypatch.setattr(Health, "version", Health.version + 1)
    async with plane_on(root) as plane:
        assert {name: state.digest for name, state in plane.turns.heart.states.items()} == live
        status = await plane.ask(AskStatus())
        assert isinstance(status, Status)
        assert "health" in status.controlplane.journal_why and f"{begins + 1:,}" in status.controlplane.journal_why
        verdict = await plane.ask(AskVerify())
        assert isinstance(verdict, Verified) and verdict.same and verdict.older > 0


async def test_a_fold_that_cannot_read_its_elder_has_nothing_and_a_vital_one_refuses(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begins = await trimmed(root)
    with monkeypatch.context() as patched:
        patched.setattr(Lately, "version", Lately.version + 1)
        patched.setattr(Lately, "tables", dict.fromkeys(Lately.tables, bytes))
        beginning = Lived(root)
        try:
            heart = beginning.snapshots.beginning().heart
            assert not len(heart.states["lately"]) and len(heart.states["flows"])
            assert f"lately: nothing of what was before position {begins + 1}" in caplog.text
        finally:
            beginning.close()
    monkeypatch.setattr(Fleet, "version", Fleet.version + 1)
    monkeypatch.setattr(Fleet, "tables", dict.fromkeys(Fleet.tables, bytes))
    with pytest.raises(CorruptJournal, match="fold fleet cannot take it"):
        Lived(root)


class Killed(BaseException):
    """The plane's process ended here."""


def _nothing(*_given: object) -> None:
    raise Killed


KILLS: dict[str, tuple[object, str]] = {
    "before the base": (bases, "write"),
    "before the fact": (Turns, "decide"),
    "before reach.json": (segments, "write_oldest"),
    "before files go": (Journal, "drop"),
    "before one file goes": (segments, "remove"),
}


@pytest.mark.parametrize("when", KILLS)
async def test_a_kill_at_any_stage_is_made_good_by_the_next_start(
    root: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(root)
    with monkeypatch.context() as patched:
        patched.setattr(limits, "SEGMENT_ROWS_MAX", 10_000)  # no segment but those that are there
        plane = Plane(root)
        running = asyncio.create_task(plane.turns.run())
        patched.setattr(*KILLS[when], _nothing)
        with pytest.raises(Killed):
            await plane.keeping.look()
        patched.undo()
        plane.turns.finish()
        await running
        plane.close()
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 10_000)
    async with plane_on(root) as again:
        is_over = when in ("before files go", "before one file goes")
        assert bool(again.journal.reach.position) == is_over
        left = [segments.number_of(path) for path in segments.listed(root / "journal")]
        assert (min(left) == again.journal.reach.segment) and (min(left) > 1) == is_over
        assert await again.keeping.look() != is_over
        reach = again.journal.reach.position
        assert again.snapshots.beginning().heart.digest() == before[reach]
        assert [path.name for path in (root / "journal").glob("*.base*")] == [f"{again.journal.reach.segment:06d}.base"]
        verdict = await again.ask(AskVerify())
        assert isinstance(verdict, Verified) and verdict.same and verdict.journal_from == reach


async def test_nothing_goes_while_an_intent_waits_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plane_on(root) as plane:
        monkeypatch.setattr(keeping, "due_of", lambda state: [3])
        assert not await plane.keeping.look()
        assert plane.journal.reach.position == 0
        monkeypatch.setattr(keeping, "due_of", lambda state: [])
        assert await plane.keeping.look()


async def test_who_reads_keeps_what_is_let_go_of(root: Path) -> None:
    async with plane_on(root) as plane:
        db = plane.journal.cursor()
        ((events,),) = db.execute("select count(*) from events").fetchall()
        assert await plane.keeping.look()
        assert db.execute("select count(*) from events").fetchall() == [(events,)]
        assert segments.number_of(segments.listed(root / "journal")[0]) == 1, "it is read yet"
        db.close()
        assert segments.number_of(segments.listed(root / "journal")[0]) == plane.journal.reach.segment > 1


async def test_a_trimmed_journal_is_trimmed_again(root: Path) -> None:
    first = await trimmed(root)
    lived = Lived(root)
    for _ in range(TURNS):
        lived.turn()
        lived.journal.settle()
    lived.close()
    assert await trimmed(root) > first
    (reach,) = [json.loads((root / "journal" / segments.REACH).read_bytes())]
    assert reach["versions"] == {fold.name: fold.version for fold in folds()}
    async with plane_on(root) as plane:
        verdict = await plane.ask(AskVerify())
        assert isinstance(verdict, Verified) and verdict.same
