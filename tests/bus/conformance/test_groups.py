"""Groups: who gets what, what becomes of it, and when it comes again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import bus
from tests.bus.conformance.conftest import SECONDS, World

ACK_WAIT = 60.0


async def take(deliveries: Any, count: int) -> list[bus.Delivery]:
    """So many deliveries."""
    async with asyncio.timeout(SECONDS):
        return [await anext(deliveries) for _ in range(count)]


async def nothing_for(world: World, deliveries: bus.Subscription) -> None:
    """Nothing is there for a member: what is published behind its back comes first."""
    marker = await world.publish("marker")
    (delivery,) = await take(deliveries, 1)
    assert delivery.event.id == marker.id
    await delivery.ack()


@pytest.fixture
async def members(world: World) -> AsyncIterator[bus.Subscription]:
    async with world.fleet.subscribe(f"{world.name}.>", group=world.name, ack_wait=ACK_WAIT, max_deliver=3) as one:
        yield one


async def test_what_is_acked_does_not_come_again(world: World, members: bus.Subscription) -> None:
    receipts = await world.fleet.publish_many([world.event(data=n) for n in range(50)])
    taken = await take(members, 50)
    assert {(one.partition, one.offset) for one in taken} == {(one.partition, one.offset) for one in receipts}
    assert all(one.attempt == 1 and one.group == world.name and one.appended > 0 for one in taken)
    for delivery in taken:
        await delivery.ack()
    await nothing_for(world, members)


async def test_a_batch_is_acked_together(world: World, members: bus.Subscription) -> None:
    await world.fleet.publish_many([world.event(subject="one", data=n) for n in range(30)])
    found: list[int] = []
    async with asyncio.timeout(SECONDS):
        async for batch in members.batches():
            found += [event.data for event in batch.events]
            assert len(batch) == len(batch.events) and batch.group == world.name
            await batch.ack()
            if len(found) == 30:
                break
    assert found == list(range(30))
    await nothing_for(world, members)


async def test_a_nack_brings_it_back_after_its_delay_with_the_next_attempt(
    world: World, members: bus.Subscription
) -> None:
    await world.publish(data=1)
    (delivery,) = await take(members, 1)
    await delivery.nack(delay=0.5, error="not yet")
    (again,) = await world.after(0.5, take(members, 1))
    assert (again.attempt, again.event.data) == (2, 1)
    with pytest.raises(bus.StaleDelivery, match="attempt 1"):
        await delivery.ack()
    await again.ack()
    await again.ack()  # said twice is said once


async def test_without_an_ack_it_comes_again_when_its_time_is_over(world: World) -> None:
    async with world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-slow", ack_wait=0.5) as deliveries:
        await world.publish(data=1)
        (delivery,) = await take(deliveries, 1)
        (again,) = await world.after(0.5, take(deliveries, 1))
        assert again.attempt == 2
        with pytest.raises(bus.StaleDelivery):
            await delivery.ack()


async def test_after_its_last_attempt_it_is_a_dead_letter(world: World, members: bus.Subscription) -> None:
    receipt = await world.publish(subject="order-1", data={"n": 1})
    for attempt in (1, 2, 3):
        (delivery,) = await take(members, 1)
        assert delivery.attempt == attempt
        await delivery.nack(error=f"broken {attempt}")
    (letter,) = await world.letters(world.name, 1)
    said = letter.data
    assert (said["reason"], said["error"], said["offset"]) == ("max_deliver", "broken 3", receipt.offset)
    assert [(one["attempt"], one["error"]) for one in said["attempts"]] == [(n, f"broken {n}") for n in (1, 2, 3)]
    assert bus.from_object(said["event"]) == delivery.event and letter.causationid == delivery.event.id
    assert letter.subject == "order-1"
    await nothing_for(world, members)


async def test_what_is_terminated_is_a_dead_letter_at_once(world: World, members: bus.Subscription) -> None:
    await world.publish()
    (delivery,) = await take(members, 1)
    await delivery.terminate("no such order")
    (letter,) = await world.letters(world.name, 1)
    assert (letter.data["reason"], letter.data["error"]) == ("terminated", "no such order")
    await nothing_for(world, members)


async def test_what_has_expired_is_not_delivered(world: World, members: bus.Subscription) -> None:
    await world.publish(data="old", expirytime=1_700_000_000_000_000_000)
    (letter,) = await world.letters(world.name, 1)
    assert letter.data["reason"] == "expired"
    await nothing_for(world, members)


async def test_members_share_and_what_a_leaving_one_holds_goes_to_another(
    world: World, members: bus.Subscription
) -> None:
    other = await world.client()
    async with other.subscribe(f"{world.name}.>", group=world.name, ack_wait=ACK_WAIT, max_deliver=3) as second:
        await world.fleet.publish_many([world.event(subject=f"s{n}", data=n) for n in range(40)])
        held = await take(second, 1)
        got = {one.event.data for one in held}
        assert got
    found: set[int] = set()
    while len(found) < 40:
        (delivery,) = await take(members, 1)
        found.add(delivery.event.data)
        await delivery.ack()
    assert found == set(range(40)), "nothing is lost"


async def test_groups_do_not_share(world: World, members: bus.Subscription) -> None:
    async with world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-2") as others:
        await world.publish(data=1)
        (one,), (two,) = await take(members, 1), await take(others, 1)
        assert one.event == two.event and (one.group, two.group) == (world.name, f"{world.name}-2")


async def test_of_a_key_one_is_out_at_a_time(world: World) -> None:
    name = f"{world.name}-strict"
    async with world.fleet.subscribe(f"{world.name}.>", group=name, order="strict") as deliveries:
        await world.fleet.publish_many([world.event(subject=key, data=n) for n in range(3) for key in ("a", "b")])
        first = {one.event.subject: one for one in await take(deliveries, 2)}
        assert {key: one.event.data for key, one in first.items()} == {"a": 0, "b": 0}
        await first["a"].ack()
        (second,) = await take(deliveries, 1)
        assert (second.event.subject, second.event.data) == ("a", 1), "and nothing of b, whose first is out"
        await second.nack()
        (again,) = await take(deliveries, 1)
        assert (again.event.subject, again.event.data, again.attempt) == ("a", 1, 2)


async def test_a_group_with_time_order_gives_out_by_time(world: World) -> None:
    name, begin = f"{world.name}-time", 1_700_000_000_000_000_000
    async with world.fleet.subscribe(f"{world.name}.>", group=name, order="timestamp", lateness=0.3) as deliveries:
        await world.fleet.publish_many([world.event(subject=f"s{n}", time=begin + n, data=n) for n in (3, 1, 2)])
        coming = await world.after(0.4, take(deliveries, 3))
        assert [one.event.data for one in coming] == [1, 2, 3]


async def test_no_more_are_out_than_in_flight_allows(world: World) -> None:
    async with world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-few", in_flight=4) as deliveries:
        await world.fleet.publish_many([world.event(subject="one", data=n) for n in range(20)])
        found = []
        while len(found) < 20:
            (delivery,) = await take(deliveries, 1)
            found.append(delivery.event.data)
            await delivery.ack()
        assert found == list(range(20))


async def test_a_group_begins_now_or_at_the_beginning(world: World) -> None:
    await world.publish(data="before")
    if isinstance(world.fleet, bus.TestFleet):
        await world.fleet.advance(0.001)  # an instant later, as it is on any other clock
    async with (
        world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-late") as late,
        world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-all", start="earliest") as everything,
    ):
        await world.publish(data="after")
        assert [one.event.data for one in await take(late, 1)] == ["after"]
        assert {one.event.data for one in await take(everything, 2)} == {"before", "after"}


async def test_a_group_goes_on_where_it_stands(world: World) -> None:
    name = f"{world.name}-again"
    async with world.fleet.subscribe(f"{world.name}.>", group=name) as deliveries:
        await world.publish(data=1)
        await (await take(deliveries, 1))[0].ack()
    await world.publish(data=2)
    async with world.fleet.subscribe(f"{world.name}.>", group=name) as deliveries:
        assert [one.event.data for one in await take(deliveries, 1)] == [2]


async def test_a_member_with_other_settings_is_refused(world: World, members: bus.Subscription) -> None:
    with pytest.raises(bus.GroupConflict, match="max_deliver") as caught:
        async with world.fleet.subscribe(f"{world.name}.>", group=world.name, ack_wait=ACK_WAIT, max_deliver=4):
            pass
    assert caught.value.field == "max_deliver"


async def test_what_is_redriven_is_for_one_group(world: World, members: bus.Subscription) -> None:
    plane = await world.plane()
    async with world.fleet.subscribe(f"{world.name}.>", group=f"{world.name}-2") as others:
        await plane.publish(world.event(data="again", extensions={"redriveto": world.name}))
        assert [one.event.data for one in await take(members, 1)] == ["again"]
        await nothing_for(world, others)


async def test_nobody_but_the_plane_aims_an_event_at_one_group(world: World, members: bus.Subscription) -> None:
    """However many it comes with, and whatever the extension says."""
    first = await world.publish(data="once", id=f"{world.name}-1")
    (delivery,) = await take(members, 1)
    await delivery.ack()
    aimed = [delivery.event.replace(extensions={"redriveto": to}) for to in (world.name, "", 7)]
    for event in aimed:
        with pytest.raises(bus.AccessDenied, match=r"redriveto is the control plane's own.*signalbox dlq redrive"):
            await world.fleet.publish(event)
    with pytest.raises(bus.PublishError) as caught:
        await world.fleet.publish_many([*aimed, world.event(data="fine", extensions={"redriveof": first.id})])
    assert [type(result) for result in caught.value.results] == [bus.AccessDenied] * 3 + [bus.Receipt]
    assert [one.event.data for one in await take(members, 1)] == ["fine"]
    assert [event.data for event in await world.read()] == ["once", "fine"]
