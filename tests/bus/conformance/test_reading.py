"""Reading: patterns, where it starts, following, positions."""

import asyncio

import pytest

import bus
from tests.bus.conformance.conftest import SECONDS, World


async def test_a_pattern_picks_types(world: World) -> None:
    for kind in ("a", "a.b", "a.b.c", "d"):
        await world.publish(kind)
    kinds = {
        pattern: sorted(event.type.removeprefix(f"{world.name}.") for event in await world.read(pattern))
        for pattern in ("a", "*", "a.*", "a.>", ">")
    }
    assert kinds == {
        "a": ["a"],
        "*": ["a", "d"],
        "a.*": ["a.b"],
        "a.>": ["a.b", "a.b.c"],
        ">": ["a", "a.b", "a.b.c", "d"],
    }


async def test_a_read_starts_at_a_cursor_and_ends_at_what_is_committed(world: World) -> None:
    receipts = [await world.publish(subject="one", data=n) for n in range(5)]
    cursor = {extent.partition: extent.high for extent in (await world.fleet.describe()).values()}
    cursor[receipts[0].partition] = receipts[2].offset
    found = [found async for found in world.fleet.read(f"{world.name}.>", start=cursor, positions=True)]
    assert [(one.event.data, one.offset) for one in found] == [(n, receipts[n].offset) for n in (2, 3, 4)]


async def test_a_read_starts_some_time_back(world: World) -> None:
    await world.publish(data=1)
    assert [event.data for event in await world.read(start="-1h")] == [1]
    if isinstance(world.fleet, bus.TestFleet):
        await world.fleet.advance(7_200)
        await world.publish(data=2)
        assert [event.data for event in await world.read(start="-1h")] == [2]


async def test_a_reader_follows_from_now_on(world: World) -> None:
    await world.publish(data="before")
    reading = world.fleet.read(f"{world.name}.>", start="now", follow=True)
    coming = asyncio.ensure_future(anext(reading))
    other = await world.client()
    async with asyncio.timeout(SECONDS):
        while not coming.done():  # until it follows: what comes before that is not for it
            await other.publish(world.event(data="after"))
            await asyncio.wait([coming], timeout=0.05)
    assert (await coming).data == "after"
    await reading.aclose()


async def test_the_planes_own_is_read_by_who_asks_for_it(world: World) -> None:
    async with world.fleet.subscribe(f"{world.name}.>", group=world.name) as deliveries:
        await world.publish()
        await (await anext(deliveries)).terminate("no use")
    await world.letters(world.name, 1)
    assert not [event async for event in world.fleet.read() if event.type == "signalbox.deadletter"]
    assert [event async for event in world.fleet.read(internal=True) if event.type == "signalbox.deadletter"]


async def test_an_ordered_read_goes_by_the_publishers_time(world: World) -> None:
    times = [5, 1, 4, 2, 3]
    for at in times:
        await world.publish(subject=f"s{at}", time=1_700_000_000_000_000_000 + at, data=at)
    found = [event.data async for event in world.fleet.read(f"{world.name}.>", order="timestamp", lateness=1.0)]
    assert found == [1, 2, 3, 4, 5]


async def test_what_is_no_pattern_is_refused(world: World) -> None:
    with pytest.raises(bus.InvalidPattern):
        world.fleet.read("a..b")
    with pytest.raises(bus.UnknownPartition, match="99"):
        await anext(world.fleet.read(start={99: 0}))
    with pytest.raises(bus.ClientError, match="start="):
        world.fleet.read(start="yesterday")
