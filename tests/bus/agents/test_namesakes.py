"""Two processes under one name: the elder notices, and is there again when the newer one has left."""

import asyncio

import pytest

import bus


async def test_the_elder_warns_once_and_joins_again_when_the_newer_has_left(caplog: pytest.LogCaptureFixture) -> None:
    elder, newer = bus.Agent("porter", capabilities=["carry"]), bus.Agent("porter")

    @elder.on("bag.new")
    async def carry(event: bus.Event, context: bus.Context) -> None: ...

    async def joined(count: int) -> list[str]:
        async with asyncio.timeout(20):
            while len(found := fleet.events("agent.lifecycle.ready")) < count:
                await fleet.advance(0)
        await fleet.advance(0)
        return [one.data["incarnation"] for one in found]

    async with bus.TestFleet() as fleet, fleet.connect() as other, elder.using(fleet):
        first = elder.life.incarnation
        await fleet.advance(0)
        assert not caplog.records and await joined(1) == [first]
        async with newer.using(other):
            second = newer.life.incarnation
            await joined(2)
            (warned,) = [one.getMessage() for one in caplog.records]
            assert warned.startswith(f"agent/porter: incarnation {second} has joined") and first in warned
        third = (await joined(3))[2]
        assert third == elder.life.incarnation and third not in (first, second)
        assert [one.getMessage() for one in caplog.records][1:] == [
            f"agent/porter: the other one has gone; this one joined again, as {third}"
        ]
        await fleet.publish(bus.Event(type="bag.new", requires=["carry"]))
        await fleet.settled()
    assert [one.data["incarnation"] for one in fleet.events("agent.lifecycle.left")] == [second, third]
