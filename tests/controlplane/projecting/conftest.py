"""A plane without brokers: its turns, and all that answers questions, with real workers for projections and SQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bus import batch
from bus.event import Event
from controlplane.answering import Answering
from controlplane.arrivals import Follows
from controlplane.clock import Clock
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.questions import (
    AskProjection,
    AskProjections,
    At,
    Body,
    Project,
    Projected,
    ProjectionRow,
    ProjectionRows,
    Projections,
    Question,
    Refusal,
    Told,
)
from controlplane.turns import Turns

WITHIN_S = 90
SUMS = """
from controlplane.projecting import Projection


class Sums(Projection):
    pattern = "order.>"

    def evolve(self, state, event):
        one = state.get(event.subject, {"events": 0, "total": 0, "last": 0})
        state[event.subject] = {
            "events": one["events"] + 1, "total": one["total"] + event.data["n"], "last": event.position
        }
"""


class Room:
    """One life of such a plane on a folder. `told` is what was said ahead of answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = folder / "code"
        self.code.mkdir(exist_ok=True)
        (folder / "journal").mkdir(exist_ok=True)
        follows = Follows(FOLLOWED_TYPES)
        self.heart = Heart(folds())
        self.journal = Journal(folder / "journal", follows)
        for step in self.journal.replay():
            self.heart.replay(step)
        self.turns = Turns(self.heart, self.journal, Clock(self.journal.recorded), follows, lambda intents: None)
        nobody: Any = None
        self.answering = Answering(self.turns, nobody, nobody, str(folder), print)
        self.told: list[Body] = []
        self._tasks = [
            asyncio.create_task(work) for work in (self.turns.run(), self.answering.projections.runners.run())
        ]

    async def say(self, *events: Event, partition: int = 0) -> dict[int, int]:
        """Events are appended and recorded; where the last one stands, as a receipt names it."""
        offset = max(self.turns.recorder.cursor.get(partition, 0), self.journal.offsets.get(partition, 0))
        header = batch.Header(batch.EVENTS, partition, 1, offset, len(events), self.turns.clock.now())
        self.turns.recorder.add(header, batch.encode(list(events)))
        await self.turns.reached({partition: offset + len(events)})
        return {partition: offset + len(events) - 1}

    async def ask(self, question: Question, at: At | None = None) -> Told:
        async with asyncio.timeout(WITHIN_S):
            return await self.answering.answer(question, self.told.append, at)

    async def file(self, text: str, cls: str, name: str = "mine.py") -> str:
        """Code in a file; what names the class in it."""
        path = self.code / name
        await asyncio.to_thread(path.write_text, text)
        return f"{path}:{cls}"

    async def pull(self, verb: Any, name: str, **more: Any) -> Body:
        return (await self.ask(Project(verb, name, **more))).body

    async def add(self, name: str, target: str, kind: str = "class", **more: Any) -> Projected:
        body = await self.pull("add", name, kind=kind, target=target, **more)
        assert isinstance(body, Projected), body
        return body

    async def rows(self, name: str, **more: Any) -> tuple[list[dict[str, Any]], Told]:
        """What it holds, by columns, and the answer around it."""
        more.setdefault("timeout_ms", WITHIN_S * 1000)
        told = await self.ask(AskProjection(name, **more))
        assert isinstance(told.body, ProjectionRows), told.body
        return [dict(zip(told.body.columns, row, strict=True)) for row in told.body.values()], told

    async def refused(self, name: str, **more: Any) -> Refusal:
        more.setdefault("timeout_ms", WITHIN_S * 1000)
        body = (await self.ask(AskProjection(name, **more))).body
        assert isinstance(body, Refusal), body
        return body

    async def row(self, name: str) -> ProjectionRow:
        body = (await self.ask(AskProjections(name))).body
        assert isinstance(body, Projections), body
        return body.rows[0]

    async def until(self, name: str, there: Callable[[ProjectionRow], bool]) -> ProjectionRow:
        """Looked at after each turn."""
        async with asyncio.timeout(WITHIN_S):
            while not there(row := await self.row(name)):
                await self.turns.beyond(self.journal.position)
        return row

    def pid(self, name: str) -> int:
        """Of its process."""
        return self.answering.projections.runners._live[name].runner.pid

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.answering.close)
        self.turns.close()
        self.journal.close()


def order(number: int, **more: Any) -> Event:
    """An event of one of five subjects."""
    subject = f"s-{number % 5}"
    return Event(id=f"e-{number}", type="order.created", source="shop", subject=subject, data={"n": number}, **more)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    made = Room(tmp_path)
    yield made
    await made.close()
