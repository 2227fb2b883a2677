"""Rules that come and go, in a real journal: what was seen whole then is seen whole wherever one begins to read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from bus import batch
from bus.event import Event
from bus.router import Rule, Rules
from controlplane import limits, segments
from controlplane.arrivals import Follows
from controlplane.clock import Clock
from controlplane.directory import Directory
from controlplane.facts import EventRouted, FoldVersions, PlaneStarted, RoutesSet, Rows
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.keeping import Keeping
from controlplane.named import Named
from controlplane.plane import FOLLOWED_TYPES, folds, versions
from controlplane.restoring import restore
from controlplane.timeline import as_of, verify
from controlplane.turns import Turns
from controlplane.whatif import what_if

FOLLOWS = Follows(FOLLOWED_TYPES)
SECOND = 1_000_000_000


class Plane:
    """Turns over a journal, without brokers."""

    def __init__(self, root: Path) -> None:
        self.directory = Directory(root)
        self.directory.journal.mkdir(parents=True, exist_ok=True)
        self.restored = restore(self.directory)
        self.journal = self.restored.journal
        self.now = max(1_790_000_000 * SECOND, self.journal.recorded)
        clock = Clock(0, lambda: self.now, lambda: self.now)
        self.turns = Turns(
            self.restored.heart, self.journal, clock, FOLLOWS, lambda _: None, self.restored.snapshots, None
        )
        self.end = self.journal.offsets.get(0, 0)

    async def begin(self) -> None:
        self.turns.report(PlaneStarted(1, "u"))
        self.turns.report(FoldVersions(versions()))
        await self.turns.turn()

    def rules(self, version: int, *rules: Rule) -> None:
        self.turns.report(RoutesSet(version, Rules(rules)))

    def publish(self, *types: str) -> None:
        events = [
            Event(id=f"e-{self.end + n}", type=type, source="agent/a", subject=f"s-{n}", data={"n": self.end + n})
            for n, type in enumerate(types)
        ]
        header = batch.Header(batch.EVENTS, 0, 1, self.end, len(events), self.now)
        self.turns.recorder.add(header, batch.encode(events))
        self.end += len(events)

    async def turn(self) -> None:
        self.now += SECOND
        await self.turns.turn()

    @property
    def state(self) -> Any:
        return self.turns.heart.states["dispatch"]

    def count_of(self, name: str) -> int:
        """A count of dispatch."""
        return int(self.state.get("count", name, 0))

    def close(self) -> None:
        self.turns.close()
        self.restored.close()


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(tmp_path / "data")
    await made.begin()
    yield made
    made.close()


ORDERS, INVOICES = (
    Rule("orders", "order.>", ("agent/x",), "data.n % 2 == 0"),
    Rule("invoices", "invoice.*", ("agent/y",)),
)
TYPES = ("order.created", "invoice.sent", "other", "order.paid")


async def live(plane: Plane, turns: int = 1) -> None:
    """Rules are added, changed and removed between events, and in the very turn in which events come."""
    for version, rules in enumerate([(), (ORDERS,), (ORDERS, INVOICES), (INVOICES,), ()], 1):
        plane.publish(*TYPES)
        plane.rules(version, *rules)
        await plane.turn()
        for _ in range(turns):
            plane.publish(*TYPES)
            await plane.turn()


def routed(journal: Journal) -> list[tuple[int, str]]:
    steps = list(journal.replay())
    found = (entry.fact for step in steps for entry in step.derived)
    return [(fact.version, fact.recipients[0]) for fact in found if isinstance(fact, EventRouted)]


async def test_the_journal_regenerates_itself_over_changes_of_rules(plane: Plane) -> None:
    await live(plane)
    assert {version for version, _ in routed(plane.journal)} == {2, 3, 4}
    assert plane.state.get("rules", "rules").version == 5
    assert verify(plane.journal.replay(), folds()).divergence == ""
    assert what_if(plane.journal.replay(), folds, {}).same
    heart = Heart(folds())
    for step in plane.journal.replay():
        heart.replay(step)
        assert heart.digest() == step.digest
    for step in list(plane.journal.replay())[::3]:
        assert as_of(plane.journal.replay(), folds(), position=step.last).digest() == step.digest


async def test_rules_hold_from_the_very_turn_on_and_no_longer(plane: Plane) -> None:
    plane.rules(1, ORDERS)
    plane.publish("order.created")
    await plane.turn()
    assert len(routed(plane.journal)) == 1
    plane.rules(2)
    plane.publish("order.created", "order.created")
    await plane.turn()
    assert len(routed(plane.journal)) == 1
    newest = [step.input for step in plane.journal.replay() if isinstance(step.input, Rows)][-1]
    assert len(newest.followed) == 2, "the stretch has rules in it, so it is read with them"


async def test_a_restart_goes_on_with_the_rules(plane: Plane, tmp_path: Path) -> None:
    await live(plane)
    plane.rules(6, INVOICES)
    await plane.turn()
    plane.close()
    again = Plane(tmp_path / "data")
    assert again.journal.named.newest == ("invoice.*",)
    again.publish(*TYPES)
    await again.turn()
    assert routed(again.journal)[-1] == (6, "agent/y")
    assert verify(again.journal.replay(), folds()).divergence == ""
    again.close()
    plane.turns.close()


async def test_what_retention_took_the_rules_of_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENT_ROWS_MAX", 60)
    plane = Plane(tmp_path / "data")
    await plane.begin()
    plane.rules(1, ORDERS)
    await plane.turn()
    for _ in range(40):
        plane.publish(*TYPES)
        await plane.turn()
        plane.journal.settle()
    keeping = Keeping(plane.directory.journal, plane.turns, plane.restored.snapshots, folds, 0, 1)
    running = asyncio.create_task(plane.turns.run())
    plane.state  # noqa: B018
    # Nobody carries the plane's mail here, and what was not carried stays: retention is told that it was.
    monkeypatch.setattr("controlplane.keeping.due_of", lambda state: [])
    assert await keeping.look()
    plane.turns.finish()
    await running
    reach = plane.journal.reach
    assert reach.position > 5 and segments.named_by_rules(plane.directory.journal) == ["order.>"]
    begin = plane.turns.beginning()
    verdict = verify(plane.journal.replay(after=begin.heart.steps), folds(), begin=begin.heart.copy)
    assert verdict.divergence == ""
    plane.close()
    again = Plane(tmp_path / "data")
    assert again.journal.named.newest == ("order.>",) and again.state.get("rules", "rules").version == 1
    before = again.state.get("count", "opened")
    again.publish("order.created", "order.created")
    await again.turn()
    assert again.state.get("count", "opened") > before
    begin = again.turns.beginning()
    verdict = verify(again.journal.replay(after=begin.heart.steps), folds(), begin=begin.heart.copy)
    assert verdict.divergence == ""
    again.close()


async def test_a_journal_that_is_read_only_knows_them_too(plane: Plane, tmp_path: Path) -> None:
    await live(plane)
    whole = [step.input for step in plane.journal.replay()]
    plane.close()
    copied = Journal(tmp_path / "data" / "journal", FOLLOWS, read_only=True)
    assert [step.input for step in copied.replay()] == whole
    copied.close()
    cast(Any, plane).close = lambda: None


def test_a_stretch_is_read_with_all_that_was_named_within_it() -> None:
    named = Named()
    assert named.within(1, 100) == [] and named.newest == ()
    named.add(0, [])
    named.add(10, ["a"])
    named.add(20, ["b", "c"])
    named.add(20, ["b", "c"])
    named.add(30, [])
    assert named.within(1, 9) == []
    assert named.within(1, 10) == ["a"] and named.within(11, 19) == ["a"]
    assert named.within(11, 20) == ["a", "b", "c"] and named.within(20, 25) == ["b", "c"]
    assert named.within(25, 99) == ["b", "c"] and named.within(30, 99) == [] and named.newest == ()
