"""The keeper of the journal's copy, without a fleet: what it cannot go on with is said, and is no end of the plane."""

import asyncio
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from bus.errors import BrokerUnavailable, BusError
from bus.event import Event
from controlplane import copied, limits
from controlplane.copied import Chunk, CopiedStep
from controlplane.copying import Copying
from controlplane.elections import LED


class Leader:
    """Takes everything, and holds nothing."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.errors: list[BusError] = []
        """Raised in turn by whoever asks where the copy begins."""

    async def append(self, partition: int, producer: bytes, sequence: int, events: list[Event]) -> Any:
        self.chunks.append(copied.decode(b"".join(event.payload for event in events)))
        return SimpleNamespace(base_offset=0)

    async def extent(self, *_: object) -> Any:
        if self.errors:
            raise self.errors.pop()
        return SimpleNamespace(first=0)


class Damaged:
    """A journal that cannot be read at first."""

    step = 3
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
        if self._copying[0].behind:
            return SimpleNamespace(close=lambda: None, holding=lambda step: None)
        self._loop.call_soon_threadsafe(self.again.set)
        return SimpleNamespace(close=lambda: None, holding=lambda step: None)


async def test_what_it_cannot_go_on_with_is_said_and_tried_again_from_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RECORDER_RETRY_MS", 1)
    leader, steps = Leader(), [CopiedStep(n, n, n, 0, None, None, None, b"") for n in (1, 2, 3)]
    leader.errors = [BrokerUnavailable("it is gone")] * 3
    encode = copied.encode

    def narrow(steps: list[CopiedStep], anew: int = 0) -> bytes:
        if len(steps) > 1:
            raise ValueError("too many")
        return encode(steps, anew)

    monkeypatch.setattr(copied, "encode", narrow)
    monkeypatch.setattr(limits, "COPY_MS", 1)
    monkeypatch.setattr("controlplane.copying.copied_steps", lambda db, segment, after: steps[after:])
    led = SimpleNamespace(leader="b1", phase=LED, partition=3)
    monkeypatch.setattr("controlplane.copying.copy_of", lambda state: led)
    copying: list[Copying] = []
    journal, states = Damaged(copying), {"fleet": object()}
    copying.append(Copying(journal, states, lambda broker: leader, lambda fact: None))  # type: ignore[arg-type]
    task = asyncio.create_task(copying[0].run())
    seen = asyncio.create_task(journal.again.wait())
    async with asyncio.timeout(60):
        await asyncio.wait((task, seen), return_when=asyncio.FIRST_COMPLETED)
    assert not task.done() or task.exception() is None
    opened, *followed = [[step.number for step in chunk.steps] for chunk in leader.chunks]
    assert opened == [] and followed == [[1], [2], [3]], "opened once, and what is too much for a chunk in several"
    assert "block 7" in journal.why[1] and "signalbox doctor" in journal.why[1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
