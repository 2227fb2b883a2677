"""The keeper of the journal's copy, without a fleet: what it cannot go on with is said, and is no end of the plane."""

import asyncio
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from controlplane import limits
from controlplane.copying import Copying
from controlplane.elections import LED


class Leader:
    """Takes everything, and holds nothing."""

    async def append(self, *_: object) -> Any:
        return SimpleNamespace(base_offset=0)

    async def extent(self, *_: object) -> Any:
        return SimpleNamespace(first=0)


class Damaged:
    """A journal that cannot be read at first."""

    step = 0
    reach = SimpleNamespace(step=0, position=0)

    def __init__(self, copying: list[Copying]) -> None:
        self._copying = copying
        self.why: list[str] = []
        self.again = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def reading(self) -> Any:
        self.why.append(self._copying[0].why)
        if len(self.why) == 1:
            raise duckdb.IOException("block 7 does not have its checksum")
        self._loop.call_soon_threadsafe(self.again.set)
        return SimpleNamespace(close=lambda: None, holding=lambda step: None)


async def test_a_journal_that_cannot_be_read_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECORDER_RETRY_MS", 1)
    monkeypatch.setattr("controlplane.copying.copied_steps", lambda *_: [])
    led = SimpleNamespace(leader="b1", phase=LED, partition=3)
    monkeypatch.setattr("controlplane.copying.copy_of", lambda state: led)
    copying: list[Copying] = []
    journal, states = Damaged(copying), {"fleet": object()}
    copying.append(Copying(journal, states, lambda broker: Leader(), lambda fact: None))  # type: ignore[arg-type]
    task = asyncio.create_task(copying[0].run())
    seen = asyncio.create_task(journal.again.wait())
    async with asyncio.timeout(60):
        await asyncio.wait((task, seen), return_when=asyncio.FIRST_COMPLETED)
    assert not task.done() or task.exception() is None
    assert "block 7" in journal.why[1] and "signalbox doctor" in journal.why[1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
