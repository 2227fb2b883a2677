"""A journal with something of everything, and a desk over it with a real worker."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus import batch
from bus.event import Event, from_json
from controlplane.arrivals import Follows
from controlplane.clock import Clock
from controlplane.facts import BrokerLost, SettingSet
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.questions import AskSql, Body, Refusal, SqlAnswer, Told
from controlplane.sql.desk import Desk
from controlplane.turns import Turns
from tests.controlplane.logs import NOW, SECOND
from tests.controlplane.made import dead_letter

ANSWER_S = 60


class Office:
    """A plane's turns and desk without the rest of a plane; `told` is what the desk said ahead of answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.heart = Heart(folds())
        follows = Follows(FOLLOWED_TYPES)
        self.journal = Journal(folder / "journal", follows)
        clock = Clock(0, lambda: self.now, lambda: self.now)
        self.turns = Turns(self.heart, self.journal, clock, follows, lambda intents: None)
        self.told: list[Body] = []
        self.ending = False
        self.desk = Desk(self.turns, folder / "sql", lambda refusal: Told(0, 0, refusal), self._go_on)
        self._offsets: dict[int, int] = {}

    def _go_on(self) -> None:
        if self.ending:
            raise RuntimeError("the plane ends")

    async def say(self, *events: Event, partition: int = 0) -> None:
        """Events are appended, recorded and committed."""
        self.now += SECOND
        offset = self._offsets.get(partition, 0)
        header = batch.Header(batch.EVENTS, partition, 1, offset, len(events), self.now)
        self.turns.recorder.add(header, batch.encode(list(events)))
        self._offsets[partition] = offset + len(events)
        await self.turns.turn()

    async def ask(self, sql: str, **options: Any) -> SqlAnswer | Refusal:
        async with asyncio.timeout(ANSWER_S):
            told = await self.desk.answer(AskSql(sql, **options), self.told.append)
        assert isinstance(told.body, SqlAnswer | Refusal)
        return told.body

    async def rows(self, sql: str, **options: Any) -> list[list[Any]]:
        body = await self.ask(sql, **options)
        assert isinstance(body, SqlAnswer), body
        return body.values()

    async def close(self) -> None:
        await asyncio.to_thread(self.desk.close)
        self.turns.close()
        self.journal.close()


def order(number: int, **more: Any) -> Event:
    """An event of one of five sagas."""
    return Event(
        id=f"e-{number}",
        type="order.created",
        source="agent/shop",
        subject=f"order-{number % 5}",
        data={"n": number},
        **more,
    )


async def fill(office: Office) -> None:
    """Thirteen events and a few facts."""
    office.turns.report(BrokerLost("b1", "it ended"))
    await office.say(*(order(n) for n in range(8)))
    await office.say(order(8, priority="high", time=NOW + 123_456_789, extensions={"importof": "log"}), partition=1)
    await office.say(Event(id="blob", type="order.scanned", source="agent/till", data=b"\x00\xff"), partition=1)
    office.turns.report(SettingSet("sagas.stuck_after_ms", "1000"))
    letters = [from_json(dead_letter(f"d-{n}", error=f"boom {n}")) for n in range(3)]
    await office.say(*letters, partition=2)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    (tmp_path / "journal").mkdir()
    made = Office(tmp_path)
    await fill(made)
    yield made
    await made.close()


def as_json(text: str) -> Any:
    return json.loads(text)
