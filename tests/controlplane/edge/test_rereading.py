"""Long questions about the journal, asked of a real one: what if, diff, verify; with progress, and given up in time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus import batch
from bus.event import Event
from controlplane import facts
from controlplane.answering import Interrupted
from controlplane.archive import Archive
from controlplane.arrivals import Follows
from controlplane.asof import AsOf
from controlplane.clock import Clock
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.limits import SETTINGS_ASKED_MAX
from controlplane.pasts import Pasts
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from controlplane.questions import (
    AskDiff,
    AskVerify,
    AskWhatIf,
    Diff,
    Progress,
    Refusal,
    Told,
    Verified,
    WhatIf,
    decode_told,
    encode,
)
from controlplane.rereading import Rereading
from controlplane.turns import Turns

SECOND = 1_000_000_000
FOLLOWS = Follows(FOLLOWED_TYPES)


class Plane:
    """A journal of two minutes in which three sagas of four stop moving, and who reads it again."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_790_000_000 * SECOND
        clock = Clock(0, lambda: self.now, lambda: self.now)
        self.turns = Turns(Heart(folds()), Journal(folder, FOLLOWS), clock, FOLLOWS, lambda _intents: None)
        journal = self.turns.journal
        pasts = Pasts(journal.replay, lambda _position: Heart(folds()))
        as_of = AsOf(self.turns, Archive(journal), pasts, self.go_on, self.telling)
        self.rereading = Rereading(self.turns, as_of.moment, self.go_on, self.telling)
        self.ending = False
        self.read = 0

    async def live(self) -> None:
        for fact in (facts.PlaneStarted(1, "u"), facts.FoldVersions(versions()),
                     facts.SettingSet("sagas.stuck_after_ms", "30000")):  # fmt: skip
            self.turns.report(fact)
        await self.turns.turn()
        for n in range(4):
            events = [Event(id=f"e-{n}", type="step.a", source="agent/a", subject=f"saga-{n}")]
            header = batch.Header(batch.EVENTS, 0, 1, n, 1, self.now)
            self.turns.recorder.add(header, batch.encode(events))
        for second in range(120):
            self.now += SECOND
            if second == 40:
                events = [Event(id="end", type="saga.completed", source="agent/a", subject="saga-0")]
                header = batch.Header(batch.EVENTS, 0, 1, 4, 1, self.now)
                self.turns.recorder.add(header, batch.encode(events))
            await self.turns.turn()

    def go_on(self) -> None:
        self.read += 1
        if self.ending:
            raise Interrupted

    async def telling(
        self, work: Coroutine[Any, Any, Any], tell: Callable[[Any], None], told: Callable[[], Progress]
    ) -> Any:
        found = await work
        tell(told())
        return found

    def close(self) -> None:
        self.turns.close()
        self.turns.journal.close()


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(tmp_path)
    await made.live()
    yield made
    made.close()


def through_bytes(body: Any) -> Any:
    """An answer as a console gets it."""
    return decode_told(encode(Told(0, 0, body))).body


async def what_if(plane: Plane, settings: dict[str, str], **more: Any) -> Any:
    told: list[Any] = []
    body = await plane.rereading.what_if(AskWhatIf(settings, **more), told.append)
    assert all(isinstance(one, Progress) for one in told)
    return through_bytes(body)


async def test_a_longer_patience(plane: Plane) -> None:
    found = await what_if(plane, {"sagas.stuck_after": "60s"}, limit=50)
    assert isinstance(found, WhatIf)
    assert found.settings == {"sagas.stuck_after_ms": "60000"}
    (stuck,) = [kind for kind in found.kinds if kind.kind == "SagaStuck"]
    assert (stuck.gone, stuck.new, stuck.moved) == (1 + 3, 0, 3), "one that went on, and three that became bad"
    assert (found.was.sagas_stuck_bad, found.now.sagas_stuck_bad) == (3, 0)
    assert (found.was.sagas_stuck, found.now.sagas_stuck) == (3, 3)
    moved = [fact for fact in found.facts if fact.change == "moved"]
    assert [(fact.was, fact.now) for fact in moved] == [("threshold_ns 30000000000", "threshold_ns 60000000000")] * 3
    assert all(29 <= (fact.now_recorded - fact.recorded) / SECOND <= 31 for fact in moved)
    assert found.horizon is None and found.unasked is None
    assert {"lately"}.isdisjoint(table.fold for table in found.tables)
    assert any((c.table, c.field, c.was, c.now) == ("saga", "severity", "bad", "warn") for c in found.changes)
    assert (found.first, found.last) == (1, plane.turns.journal.position)


async def test_nothing_changed_is_the_same(plane: Plane) -> None:
    for settings in ({}, {"sagas.stuck_after": "30s"}):
        found = await what_if(plane, settings)
        assert found.facts == [] and found.horizon is None
        assert all((kind.gone, kind.new, kind.moved, kind.changed) == (0, 0, 0, 0) for kind in found.kinds)
    assert (await what_if(plane, {})).same
    assert found.same == (found.digest == plane.turns.heart.digest().hex())


async def test_what_is_wrong_is_refused_with_what_there_is(plane: Plane) -> None:
    refused = await what_if(plane, {"sagas.patience": "60s"})
    assert isinstance(refused, Refusal) and refused.code == "usage"
    assert "no setting 'sagas.patience'" in refused.message and "sagas.stuck_after=60s" in refused.hint
    many = await what_if(plane, {f"s{n}": "1" for n in range(SETTINGS_ASKED_MAX + 1)})
    assert isinstance(many, Refusal) and str(SETTINGS_ASKED_MAX) in many.message
    nowhere = await what_if(plane, {"sagas.stuck_after": "1s"}, position=10**9)
    assert isinstance(nowhere, Refusal) and nowhere.code == "not_found"


async def test_a_plane_that_ends_gives_it_up(plane: Plane) -> None:
    plane.ending = True
    plane.read = 0
    with pytest.raises(Interrupted):
        await plane.rereading.what_if(AskWhatIf({"sagas.stuck_after": "1s"}), lambda _body: None)
    with pytest.raises(Interrupted):
        await plane.rereading.diff(AskDiff(position_a=1, position_b=9), lambda _body: None)
    with pytest.raises(Interrupted):
        await plane.rereading.verify(AskVerify(), lambda _body: None)
    assert plane.read == 3, "at the first step"


async def test_turns_go_on_meanwhile(plane: Plane) -> None:
    before = plane.turns.journal.position
    asked = asyncio.create_task(what_if(plane, {"sagas.stuck_after": "60s"}))
    await asyncio.sleep(0)
    plane.now += SECOND
    await plane.turns.turn()
    found = await asked
    assert found.last == before < plane.turns.journal.position


async def test_diff_of_two_moments(plane: Plane) -> None:
    end = plane.turns.journal.position
    found = through_bytes(await plane.rereading.diff(AskDiff(position_a=8, position_b=end), lambda _body: None))
    assert isinstance(found, Diff) and not found.same
    assert (found.position_a, found.position_b) == (8, end)
    assert (found.counts_a.sagas_stuck, found.counts_b.sagas_stuck) == (0, 3)
    assert ("saga-0", "state", "open", "finished") in [(c.key, c.field, c.was, c.now) for c in found.changes]
    (saga,) = [table for table in found.tables if (table.fold, table.table) == ("sagas", "saga")]
    assert (saga.added, saga.removed, saga.changed) == (0, 0, 4)
    back = await plane.rereading.diff(AskDiff(position_a=end, position_b=8), lambda _body: None)
    assert isinstance(back, Diff) and (back.position_a, back.position_b) == (end, 8)
    assert ("saga-0", "state", "finished", "open") in [(c.key, c.field, c.was, c.now) for c in back.changes]
    same = await plane.rereading.diff(AskDiff(position_a=end, instant_b=plane.now), lambda _body: None)
    assert isinstance(same, Diff) and same.same and same.tables == [] and same.changes == []
    refused = await plane.rereading.diff(AskDiff(position_a=1), lambda _body: None)
    assert isinstance(refused, Refusal) and refused.code == "usage"
    beyond = await plane.rereading.diff(AskDiff(position_a=1, position_b=end + 1), lambda _body: None)
    assert isinstance(beyond, Refusal) and beyond.code == "not_found"


async def test_verify_says_where(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    good = through_bytes(await plane.rereading.verify(AskVerify(), lambda _body: None))
    assert isinstance(good, Verified) and good.same and good.where is None
    monkeypatch.setattr("controlplane.sagas.SAGA_REVIEW_MS", 1)
    bad = through_bytes(await plane.rereading.verify(AskVerify(), lambda _body: None))
    assert isinstance(bad, Verified) and not bad.same and bad.where is not None
    assert bad.where.what == "state"
    assert (bad.where.fold, bad.where.table, bad.where.key, bad.where.field) == ("sagas", "saga", "saga-1", "due")
    assert int(bad.where.was) - int(bad.where.now) == 31 * SECOND - 1_000_000, (
        "as the live plane has it, and as it is now"
    )
    assert bad.divergence == bad.where.text
    monkeypatch.undo()
    monkeypatch.setattr("controlplane.sagas.SagaStuck", lambda *fields: facts.SagaStuck(*fields[:2], 9, *fields[3:]))
    said = through_bytes(await plane.rereading.verify(AskVerify(), lambda _body: None))
    assert isinstance(said, Verified) and said.where is not None
    assert (said.where.what, said.where.fold, said.where.kind) == ("fact", "sagas", "SagaStuck")
    assert (said.where.field, said.where.was, said.where.now) == ("steps", "1", "9")


async def test_a_fact_that_was_tampered_with_is_named(plane: Plane) -> None:
    db = plane.turns.journal.cursor()
    position, body = db.execute("select position, fact from entries where kind = 'SagaStuck' order by 1").fetchone()
    forged = facts.encode_fact(msgspec.structs.replace(facts.decode_fact(body), severity="bad"))
    db.execute(f"update {db.segments[-1].alias}.entries set fact = ? where position = ?", [forged, position])  # noqa: S608
    found = through_bytes(await plane.rereading.verify(AskVerify(), lambda _body: None))
    assert isinstance(found, Verified) and not found.same and found.where is not None
    where = found.where
    assert (where.position, where.what, where.fold, where.kind, where.field) == (
        position, "fact", "sagas", "SagaStuck", "severity",
    )  # fmt: skip
    assert (where.was, where.now) == ("bad", "warn")
    assert found.divergence == f"position {position:,}: fold sagas: SagaStuck.severity was 'bad', now 'warn'"


async def test_an_event_that_was_tampered_with_is_found_where_it_was_taken_in(plane: Plane) -> None:
    db = plane.turns.journal.cursor()
    ((position,),) = db.execute("select position from events where id = 'e-2'").fetchall()
    db.execute(f"update {db.segments[-1].alias}.events set subject = 'saga-9' where position = ?", [position])  # noqa: S608
    found = through_bytes(await plane.rereading.verify(AskVerify(), lambda _body: None))
    assert isinstance(found, Verified) and found.where is not None
    assert found.where.what == "state" and found.where.position <= position
    assert (found.where.fold, found.where.table) == ("sagas", "saga")
    assert found.where.key in ("saga-2", "saga-9")
