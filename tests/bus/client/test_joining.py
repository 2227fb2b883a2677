"""Joining a group that exists, without making it."""

import asyncio

import pytest

import bus
from bus.wire import GroupSettings
from tests.bus.client.fakebroker import FakeFleet
from tests.bus.client.fakegroup import GroupAt
from tests.bus.client.test_subscribing import events


async def test_a_group_that_is_nowhere_is_not_made(fake: FakeFleet) -> None:
    async with asyncio.timeout(20), bus.connect(fake.urls) as fleet:
        with pytest.raises(bus.NoSuchGroup, match="billing"):
            await fleet.subscribe("order.>", group="billing", create=False).__aenter__()
        assert fake.groups == {}
        async with fleet.subscribe("order.>", group="billing"):
            assert len(fake.groups) == len(fake.partitions)
        await fleet.publish_many(events(10))
        async with fleet.subscribe("order.>", group="billing", create=False) as again:
            assert await anext(again)


async def test_a_group_that_one_partition_has_is_made_on_the_others(fake: FakeFleet) -> None:
    async with asyncio.timeout(20), bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(50))
        with fake.lock:
            fake.groups[("billing", 2)] = GroupAt(GroupSettings("order.>", 0, 30_000, 5))
        ids = set()
        async with fleet.subscribe("order.>", group="billing", create=False) as mine:
            assert {partition for _, partition in fake.groups} == set(range(len(fake.partitions)))
            async for delivery in mine:
                ids.add(delivery.event.id)
                delivery.ack()
                if len(ids) == 50:
                    break


async def test_what_cannot_be_asked_is_no_answer(fake: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition without a leader may have the group: whoever asks is not told that it is nowhere."""
    monkeypatch.setattr("bus.limits.CONNECT_MS_MAX", 400)
    async with asyncio.timeout(20), bus.connect(fake.urls) as fleet:
        fake.move(["", "b1", "b2", "b3"])
        with pytest.raises(bus.BrokerUnavailable):
            await fleet.subscribe("order.>", group="billing", create=False).__aenter__()
        assert fake.groups == {}


async def test_a_subscription_is_widened(fake: FakeFleet) -> None:
    async with asyncio.timeout(20), bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(200))
        async with fleet.subscribe("order.>", group="g", start="earliest", in_flight=8) as mine:
            held = [await anext(mine) for _ in range(8)]
            mine.widen(4)  # never less
            mine.widen(64)
            held += [await anext(mine) for _ in range(48)]
            assert len({delivery.event.id for delivery in held}) == 56


async def test_a_subscription_to_which_nothing_comes_is_at_rest(fake: FakeFleet) -> None:
    async with asyncio.timeout(20), bus.connect(fake.urls) as fleet:
        mine = fleet.subscribe("order.>", group="g", ack_wait=0.4)

        async def rests() -> None:
            while mine._timer is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

        async with mine:
            await rests()
            await fleet.publish(events(1)[0])
            first = await anext(mine)
            assert mine._timer is not None, "an event that is out has a deadline"
            await first.ack()
            await rests()
