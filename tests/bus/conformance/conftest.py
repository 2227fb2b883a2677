"""`world`: a fleet of either kind, told apart by nothing but how time passes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Any, TypeVar

import pytest

import bus
from bus.client.operator import plane_fleet
from tests.bus.rig import Rig, rig

PARTITIONS = 4
SECONDS = 30.0
T = TypeVar("T")


class World:
    """`fleet` is connected; types that begin with `name` are this test's own."""

    def __init__(self, fleet: bus.Fleet, rig: Rig | None, stack: AsyncExitStack) -> None:
        self.fleet = fleet
        self.name = f"t{secrets.token_hex(6)}"
        self._rig = rig
        self._stack = stack

    async def client(self, name: str = "", causal: bool = False) -> bus.Fleet:
        """A further client of the same fleet."""
        if self._rig is None:
            assert isinstance(self.fleet, bus.TestFleet)
            made = self.fleet.connect(name or "other", causal)
        else:
            made = bus.connect(urls(self._rig), name=name or None, causal=causal)
        return await self._stack.enter_async_context(made)

    async def plane(self) -> bus.Fleet:
        """A client that may say what only the plane says."""
        if self._rig is None:
            assert isinstance(self.fleet, bus.TestFleet)
            url, transport = self.fleet._broker.url, self.fleet._transport_in_memory
            made = bus.Fleet(lambda: [url], name="plane", claim=(1, "memory"), transport=transport)
        else:
            made = plane_fleet(urls(self._rig), *self._rig.claim)
        return await self._stack.enter_async_context(made)

    def event(self, type: str = "thing", **attributes: Any) -> bus.Event:
        """An event of a type of this test's own."""
        return bus.Event(type=f"{self.name}.{type}", source=attributes.pop("source", "agent/tester"), **attributes)

    async def publish(self, type: str = "thing", **attributes: Any) -> bus.Receipt:
        """Publish such an event."""
        return await self.fleet.publish(self.event(type, **attributes))

    async def after(self, seconds: float, coming: Coroutine[Any, Any, T]) -> T:
        """What comes when so much time has passed."""
        if isinstance(self.fleet, bus.TestFleet):
            task = asyncio.ensure_future(coming)
            await self.fleet.advance(seconds)
        else:
            task = asyncio.ensure_future(coming)
        async with asyncio.timeout(SECONDS):
            return await task

    async def read(self, pattern: str = ">", **how: Any) -> list[bus.Event]:
        """All events of this test's own that match."""
        return [event async for event in self.fleet.read(f"{self.name}.{pattern}", **how)]

    async def letters(self, group: str, count: int) -> list[bus.Event]:
        """The first dead letters of a group."""
        found: list[bus.Event] = []
        async with asyncio.timeout(SECONDS), aclosing(self.fleet.read("signalbox.deadletter", follow=True)) as letters:
            while len(found) < count:
                letter = await anext(letters)
                if letter.data["group"] == group:
                    found.append(letter)
        return found


def urls(made: Rig) -> list[str]:
    return [process.url for process in made.processes.values()]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two brokers and a scripted plane, for all tests here."""
    with rig(tmp_path_factory.mktemp("conformance"), partitions=PARTITIONS, brokers=2) as made:
        names = sorted(made.processes)
        for partition in range(PARTITIONS):
            made.elect(partition, replicas=names, prefer=names[partition % len(names)])
        yield made


@pytest.fixture(params=["memory", pytest.param("brokers", marks=pytest.mark.fleet)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """See the module."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield World(await stack.enter_async_context(bus.TestFleet(partitions=PARTITIONS)), None, stack)
        else:
            made: Rig = request.getfixturevalue("real")
            yield World(await stack.enter_async_context(bus.connect(urls(made))), made, stack)
