"""A plane whose folds have changed: it begins with what it has, answers what it can, and gets the rest in a turn."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane import limits
from controlplane.answering import Answering
from controlplane.clock import Clock
from controlplane.directory import Directory
from controlplane.errors import CorruptJournal
from controlplane.facts import FoldsRebuilt, FoldVersions, PlaneStarted, Tick
from controlplane.fleet import Fleet
from controlplane.flows import Flows
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.lately import Lately
from controlplane.plane import folds, versions
from controlplane.questions import (
    AskAt,
    AskBoard,
    AskDiff,
    AskEvents,
    AskFlows,
    AskHealth,
    AskSagas,
    AskSql,
    AskStatus,
    At,
    Board,
    Body,
    Diff,
    Events,
    Operate,
    Past,
    Project,
    Question,
    Redrive,
    Refusal,
    Status,
    Told,
)
from controlplane.questions import (
    Flows as FlowRows,
)
from controlplane.questions import (
    Health as HealthBody,
)
from controlplane.questions import (
    Sagas as SagaRows,
)
from controlplane.restoring import Restored, restore
from controlplane.sagas import Sagas
from controlplane.timeline import as_of, verify
from controlplane.turns import Turns
from tests.controlplane.edge.brokerless import FOLLOWS, MS, Lived

TURNS = 24
LATE_S = 60.0


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plane's directory after some turns; its last snapshot is two turns old. Whatever changes is folded again."""
    monkeypatch.setattr(limits, "REFOLD_FIRST_ENTRIES_MAX", 0)
    lived = Lived(tmp_path / "data")
    for n in range(TURNS):
        lived.turn(inputs=2)
        if n in (5, TURNS - 3):
            lived.snapshot()
    lived.close()
    return tmp_path / "data"


class Plane:
    """A plane without brokers: what `restore` gives, turns, answers."""

    def __init__(self, root: Path) -> None:
        self.restored: Restored = restore(Directory(root))
        self.heart, self.journal = self.restored.heart, self.restored.journal
        self.refold = self.restored.refold
        self.now = self.journal.recorded
        self.older = self.journal.position
        clock = Clock(0, lambda: self.now, lambda: self.now)
        self.turns = Turns(
            self.heart, self.journal, clock, FOLLOWS, lambda _: None, self.restored.snapshots, self.refold
        )
        self.answering = Answering(self.turns, cast(Any, None), cast(Any, None), str(root), lambda _: None)
        self.answering.look_through(cast(Any, object()))
        self.said: list[Body] = []

    async def begin(self) -> "Plane":
        self.turns.report(PlaneStarted(2, "v", rebuilding=self.heart.lacking))
        self.turns.report(FoldVersions(versions()))
        return await self.turn()

    async def turn(self) -> "Plane":
        self.now += 1_000 * MS
        await self.turns.turn()
        return self

    async def rebuilt(self) -> "Plane":
        """Folded again, and taken over with the next turn."""
        assert self.refold is not None
        self.refold.start()
        assert await asyncio.to_thread(self.refold.near.wait, LATE_S)
        return await self.turn()

    async def ask(self, question: Question, at: At | None = None) -> Told:
        return await self.answering.answer(question, self.said.append, at)

    def close(self) -> None:
        self.answering.close()
        self.turns.close()
        self.restored.close()


@pytest.fixture
async def planes(data: Path) -> AsyncIterator[list[Plane]]:
    made: list[Plane] = []
    yield made
    for plane in made:
        plane.close()


async def started(planes: list[Plane], data: Path) -> Plane:
    planes.append(Plane(data))
    return await planes[-1].begin()


def end(planes: list[Plane]) -> None:
    planes.pop().close()


def verified(journal: Journal, older: int) -> None:
    """Byte for byte, but for what the older folds made; and evolved, the digest is the journaled one at each step."""
    verdict = verify(journal.replay(), folds(), again=journal.replay)
    assert (verdict.divergence, verdict.older) == ("", older)
    heart = Heart(folds())
    for step in journal.replay():
        heart.replay(step)
        assert step.last <= older or heart.digest() == step.digest


async def test_it_begins_without_what_has_changed_and_gets_it_in_a_turn(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sagas, "version", Sagas.version + 1)
    plane = Plane(data)
    planes.append(plane)
    assert plane.heart.position == plane.journal.position
    assert plane.heart.lacking == ["sagas", "health", "history"]
    unchanged = {name: state.digest for name, state in as_of(plane.journal.replay(), folds()).states.items()}
    assert {name: state.digest for name, state in plane.heart.states.items()} == {
        name: digest for name, digest in unchanged.items() if name not in plane.heart.lacking
    }
    await plane.begin()
    await plane.turn()
    assert plane.heart.rebuilding == ["sagas", "health", "history"]
    await plane.rebuilt()
    assert not plane.heart.rebuilding and plane.turns.refold is None
    assert plane.heart.digest() == plane.journal.digest
    (step,) = [step for step in plane.journal.replay() if isinstance(step.input, FoldsRebuilt)]
    assert step.input == FoldsRebuilt(["sagas", "health", "history"])
    await plane.turn()
    verified(plane.journal, plane.older)


async def test_what_it_cannot_know_it_does_not_say(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await (await started(planes, data)).ask(AskStatus())
    end(planes)
    monkeypatch.setattr(Sagas, "version", Sagas.version + 1)
    plane = await started(planes, data)
    told = await plane.ask(AskStatus())
    assert isinstance(told.body, Status) and isinstance(known.body, Status)
    assert told.rebuilding and not known.rebuilding
    assert told.body.controlplane.rebuilding == ["sagas", "health", "history"]
    assert told.body.controlplane.why == f"sagas, health, history are folded again: 0 of {told.position:,} entries"
    counts, whole = told.body.counts, known.body.counts
    assert (counts.events, counts.flows, counts.agents) == (whole.events, whole.flows, whole.agents)
    assert whole.sagas_finished and whole.events
    assert (counts.sagas_open, counts.sagas_stuck, counts.sagas_finished, counts.score) == (None, None, None, None)
    assert counts.health == "UNKNOWN"
    for question in (AskSagas(), AskBoard(), AskHealth(), AskSql("select * from sagas")):
        refused = await plane.ask(question)
        assert isinstance(refused.body, Refusal) and refused.rebuilding, question
        assert refused.body.code == "unavailable"
        assert "folded again: 0 of" in refused.body.message
    for answered, kind in ((AskFlows(), FlowRows), (AskEvents(), Events)):
        assert isinstance((await plane.ask(answered)).body, kind)
    await plane.rebuilt()
    for answered, kind in ((AskSagas(), SagaRows), (AskBoard(), Board), (AskHealth(), HealthBody)):
        told = await plane.ask(answered)
        assert isinstance(told.body, kind) and not told.rebuilding
    again = await plane.ask(AskStatus())
    assert isinstance(again.body, Status)
    assert again.body.counts.sagas_finished == whole.sagas_finished
    assert again.body.controlplane.rebuilding == [] and again.body.controlplane.why == ""


async def test_a_status_is_answered_whatever_is_missing(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in folds():
        if not fold.vital:
            monkeypatch.setattr(type(fold), "version", fold.version + 1)
    plane = await started(planes, data)
    assert plane.heart.lacking == [fold.name for fold in folds() if not fold.vital]
    told = await plane.ask(AskStatus())
    assert isinstance(told.body, Status)
    assert told.body.counts.brokers == 1 and told.body.partitions
    assert [told.body.counts.events, told.body.controlplane.behind, told.body.partitioning] == [None, None, None]
    assert all(part.recent == [] and part.archived == 0 for part in told.body.partitions)
    await plane.rebuilt()
    await plane.turn()
    verified(plane.journal, plane.older)


async def test_a_lever_that_needs_it_is_refused_and_changes_nothing(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flows, "version", Flows.version + 1)
    plane = await started(planes, data)
    before = plane.journal.position
    refused = (await plane.ask(Operate("rebalance", [], dry_run=False))).body
    assert isinstance(refused, Refusal) and "this needs the fold" in refused.message
    assert plane.journal.position == before and not plane.turns._facts


@pytest.mark.parametrize(
    "lever", [Redrive(["g-1"]), Operate("rebalance"), Project("remove", "sums")], ids=lambda lever: type(lever).__name__
)
async def test_a_plane_that_ends_takes_no_lever(data: Path, planes: list[Plane], lever: Question) -> None:
    plane = await started(planes, data)
    plane.answering.stopping = True
    refused = (await plane.ask(lever)).body
    assert isinstance(refused, Refusal) and refused.message == "the control plane is ending"


async def test_the_past_is_answered_as_it_was_answered_then(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sagas, "version", Sagas.version + 1)
    plane = await started(planes, data)
    meanwhile = plane.journal.position
    before = At(position=meanwhile - 3)
    assert isinstance((await plane.ask(AskSagas(), before)).body, SagaRows)
    await plane.rebuilt()
    assert isinstance((await plane.ask(AskSagas(), before)).body, SagaRows)
    refused = (await plane.ask(AskSagas(), At(position=meanwhile))).body
    assert isinstance(refused, Refusal) and "sagas, which was being folded again then" in refused.message
    digest = next(step.digest for step in plane.journal.replay() if step.last == meanwhile)
    past = (await plane.ask(AskAt(position=meanwhile))).body
    assert isinstance(past, Past) and past.digest == digest.hex() and past.counts.sagas_open is None
    found = (await plane.ask(AskDiff(position_a=meanwhile, position_b=plane.journal.position))).body
    assert isinstance(found, Diff) and "sagas" not in {table.fold for table in found.tables}


async def test_a_plane_that_dies_meanwhile_begins_again_and_goes_on_where_it_was(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lately, "version", Lately.version + 1)
    monkeypatch.setattr(limits, "SNAPSHOT_STEPS_MAX", 10)
    plane = await started(planes, data)
    older = plane.older
    refold = plane.refold
    assert refold is not None
    for _ in range(30):
        await asyncio.to_thread(next, _steps(refold))
    plane.restored.snapshots.settle()
    end(planes)
    plane = Plane(data)
    planes.append(plane)
    assert plane.heart.lacking == ["lately"]
    assert plane.refold is not None and plane.refold.progress[0] > 0, "a snapshot was taken on the way"
    await plane.begin()
    await plane.rebuilt()
    await plane.turn()
    assert sum(isinstance(step.input, PlaneStarted) for step in plane.journal.replay()) == 3
    verified(plane.journal, older)


def _steps(refold: Any) -> Any:
    from controlplane.refolding import catch_up

    return catch_up(refold._heart, refold._journal, refold._snapshots)


async def test_afterwards_snapshots_are_of_the_new_folds_alone(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lately, "version", Lately.version + 1)
    plane = await started(planes, data)
    snapshots = plane.restored.snapshots
    assert not snapshots.is_due(plane.heart) and len(list((data / "journal/snapshots").iterdir())) == 2
    await plane.rebuilt()
    assert list((data / "journal/snapshots").iterdir()) == []
    monkeypatch.setattr(limits, "SNAPSHOT_STEPS_MAX", 1)
    await plane.turn()
    snapshots.settle()
    assert snapshots.nearest().digest() == plane.heart.digest()
    end(planes)
    plane = Plane(data)
    planes.append(plane)
    assert plane.refold is None and not plane.heart.rebuilding
    assert plane.heart.digest() == plane.journal.digest


async def test_what_the_plane_cannot_act_without_it_waits_for(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fleet, "version", Fleet.version + 1)
    plane = Plane(data)
    planes.append(plane)
    assert plane.refold is None and not plane.heart.rebuilding
    assert plane.heart.digest() == plane.journal.digest


async def test_little_is_folded_again_at_once(data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFOLD_FIRST_ENTRIES_MAX", 1_000_000)
    monkeypatch.setattr(Sagas, "version", Sagas.version + 1)
    planes.append(Plane(data))
    assert planes[0].refold is None and not planes[0].heart.rebuilding


async def test_a_journal_that_cannot_be_read_leaves_it_missing_and_says_why(
    data: Path, planes: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lately, "version", Lately.version + 1)
    plane = await started(planes, data)
    refold = plane.refold
    assert refold is not None

    def broken(*_: object) -> Any:
        raise CorruptJournal("segment 1 is torn")

    monkeypatch.setattr(plane.journal, "replay", broken)
    monkeypatch.setattr(limits, "REFOLD_NEAR_ENTRIES_MAX", 0)
    refold.start()
    await asyncio.to_thread(refold._thread.join, LATE_S)
    await plane.turn()
    told = await plane.ask(AskStatus())
    assert isinstance(told.body, Status)
    assert told.body.controlplane.why == "lately cannot be folded again: CorruptJournal: segment 1 is torn"
    plane.turns.report(Tick())
    await plane.turn()
    assert plane.heart.rebuilding == ["lately"]
