"""What tests of agents on fake brokers share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

import bus
from tests.bus.client.fakebroker import FakeFleet

WAIT_S = 20


class Request(msgspec.Struct):
    """A payload."""

    goal: str
    steps: int = 1


@asynccontextmanager
async def connected(fake: FakeFleet) -> AsyncIterator[bus.Fleet]:
    async with asyncio.timeout(WAIT_S), bus.connect(fake.urls, name="agent/tester") as fleet:
        yield fleet


async def until(said: Any, look: Any) -> Any:
    """The first true answer of `look`; fails with the test's own time-out, naming what was waited for."""
    while not (found := look()):  # noqa: ASYNC110  # brokers in other threads set no event of this loop
        await asyncio.sleep(0.005)
    return found


async def read(fleet: bus.Fleet, pattern: str) -> list[bus.Event]:
    return [event async for event in fleet.read(pattern)]


def noting(seen: list[Any]) -> Any:
    async def note(event: bus.Event, context: bus.Context) -> None:
        seen.append((event.id, context.attempt))

    return note
