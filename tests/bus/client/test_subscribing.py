"""Groups through the public API: the work is shared, settled once, and comes again when it was not."""

import asyncio

import pytest

import bus
from bus import limits as bus_limits
from tests.bus.client.fakebroker import FakeFleet


def events(count: int, start: int = 0) -> list[bus.Event]:
    return [
        bus.Event(type="order.created", source="agent/shop", id=f"e{number}", subject=f"s{number % 17}", data=number)
        for number in range(start, start + count)
    ]


async def test_all_are_delivered_and_acks_are_durable(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(500))
        ids = set()
        async with fleet.subscribe("order.>", group="billing", start="earliest") as deliveries:
            async for delivery in deliveries:
                assert (delivery.attempt, delivery.group) == (1, "billing") and delivery.appended > 0
                await delivery.ack()
                ids.add(delivery.event.id)
                if len(ids) == 500:
                    break
        assert len(fake.settled("billing")) == 500


async def test_members_share_the_work(fake: FakeFleet) -> None:
    async def work(fleet: bus.Fleet, done: list[str], enough: asyncio.Event) -> None:
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=8) as deliveries:
            async for delivery in deliveries:
                await delivery.ack()
                done.append(delivery.event.id)
                if len(done) == 400:
                    enough.set()

    async with bus.connect(fake.urls) as fleet, asyncio.TaskGroup() as tasks:
        done: list[str] = []
        enough = asyncio.Event()
        members = [tasks.create_task(work(fleet, done, enough)) for _ in range(3)]
        await fleet.publish_many(events(400))
        async with asyncio.timeout(20):
            await enough.wait()
        for member in members:
            member.cancel()
    assert len(done) == len(set(done)) == 400


async def test_acks_that_are_not_awaited_are_flushed_on_leaving(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(300))
        count = 0
        async with fleet.subscribe("order.>", group="billing", start="earliest") as deliveries:
            async for delivery in deliveries:
                delivery.ack()
                count += 1
                if count == 300:
                    break
        assert len(fake.settled("billing")) == 300
    frames = [one for broker in fake.brokers for one in broker.heard if type(one).__name__ == "Settle"]
    assert len(frames) < 100, "settlements share frames"


async def test_batches_are_acked_together_or_one_by_one(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(300))
        seen: dict[str, int] = {}
        async with fleet.subscribe("order.>", group="billing", start="earliest") as deliveries:
            first = await anext(deliveries)
            seen[first.event.id] = first.attempt
            async for batch in deliveries.batches():
                assert len(batch) == len(batch.events) > 0 and batch.group == "billing" and batch.appended > 0
                for delivery, event in zip(batch, batch.events, strict=True):
                    assert (delivery.event, delivery.partition, delivery.appended) == (
                        event,
                        batch.partition,
                        batch.appended,
                    )
                    seen[event.id] = delivery.attempt
                    if delivery.event.data % 7 == 0 and delivery.attempt == 1:
                        delivery.nack(error="once more")
                await batch.ack()
                if len(seen) == 300 and sum(seen.values()) == 300 + 43 - (first.event.data % 7 == 0):
                    break
            await first.ack()
        assert set(fake.settled("billing").values()) == {"ack"} and len(fake.settled("billing")) == 300


@pytest.mark.parametrize("how", ["size", "none", "partition", "attempts"])
async def test_a_delivery_that_does_not_fit_ends_the_session_and_loses_nothing(fake: FakeFleet, how: str) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(40))
        fake.faults.append(("misfit", how))
        ids = set()
        async with asyncio.timeout(20), fleet.subscribe("order.>", group="g", start="earliest") as deliveries:
            async for delivery in deliveries:
                delivery.ack()
                ids.add(delivery.event.id)
                if len(ids) == 40:
                    break
        assert not fake.faults


async def test_a_batch_says_which_of_its_acks_were_stale(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(events(1)[0])
        async with fleet.subscribe("order.>", group="billing", start="earliest", ack_wait=0.1) as deliveries:
            batch = await anext(deliveries.batches())
            offset = next(iter(batch)).offset
            with fake.lock:
                fake.groups["billing", batch.partition].attempts[offset] = 2
            await asyncio.sleep(0.5)
            with pytest.raises(bus.StaleDelivery, match=f"offset {offset}, attempt 1"):
                await batch.ack()
            await batch.ack()
        with pytest.raises(bus.ClientError, match="closed"):
            await next(iter(batch)).nack()


async def test_iterating_lets_others_run_though_more_is_at_hand(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(2_000))
        beats, done = 0, False

        async def beat() -> None:
            nonlocal beats
            while not done:
                beats += 1
                await asyncio.sleep(0)

        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=4_000) as deliveries:
            await asyncio.sleep(1.0)
            task = asyncio.create_task(beat())
            for _ in range(2_000):
                await anext(deliveries)
            done = True
            await task
        assert beats >= 2_000 // bus_limits.ITERATE_EVENTS_MAX - 1


async def test_a_nack_comes_again_and_an_old_ack_is_stale(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(events(1)[0])
        async with fleet.subscribe("order.>", group="billing", start="earliest") as deliveries:
            first = await anext(deliveries)
            await first.nack(delay=0.0, error="no paper")
            second = await anext(deliveries)
            assert (second.event.id, second.attempt) == (first.event.id, 2)
            with pytest.raises(bus.StaleDelivery, match="attempt 1"):
                await first.ack()
            await second.terminate("no use")
            with pytest.raises(bus.ClientError, match="delay"):
                second.nack(delay=-1)
        assert list(fake.settled("billing").values()) == ["terminate"]


async def test_other_settings_are_a_conflict_that_names_the_field(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        async with fleet.subscribe("order.>", group="billing"):
            with pytest.raises(bus.GroupConflict) as conflict:
                async with fleet.subscribe("order.*", group="billing"):
                    pass
        assert conflict.value.field == "pattern"


async def test_a_moved_leader_is_joined_and_settled_again(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(200))
        ids: set[str] = set()
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=16) as deliveries:
            async with asyncio.timeout(20):
                async for delivery in deliveries:
                    if len(ids) >= 50 and fake.version == 1:
                        fake.move(["b3", "b1", "b2", "b2"])
                    if len(ids) >= 120 and fake.version == 2:
                        fake.kill(0)
                        fake.move(["b3", "b3", "b2", "b2"])
                    delivery.ack()
                    ids.add(delivery.event.id)
                    if len(ids) == 200:
                        break
        assert len(ids) == 200


async def test_a_member_that_comes_again_says_which_group_it_was_in(fake: FakeFleet) -> None:
    def said() -> set[tuple[int, bool, int]]:
        joins = [one.join for group in fake.groups.values() for one in group.members.values()]
        return {(join.partition, join.again, join.definition) for join in joins}

    async with (
        bus.connect(fake.urls) as fleet,
        fleet.subscribe("order.>", group="billing", start="earliest") as deliveries,
        asyncio.timeout(20),
    ):
        assert said() == {(at, False, -1) for at in range(4)}
        fake.move(["b3", "b1", "b2", "b2"])
        await fleet.publish_many(events(200))
        for _ in range(200):
            (await anext(deliveries)).ack()
        assert {(at, True, 40 + at) for at in range(3)} <= said()


async def test_what_is_worked_on_is_told_to_the_next_leader(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(40))
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=20) as deliveries:
            async with asyncio.timeout(20):
                held = [await anext(deliveries) for _ in range(12)]
                done = held.pop()
                await done.ack()
                fake.move(["b3", "b1", "b2", "b2"])
                rest = []
                for _ in range(28):
                    rest.append(await anext(deliveries))
                    await rest[-1].ack()
                for delivery in held:
                    await delivery.ack()
        assert {one.attempt for one in held} == {1}
        assert not {one.event.id for one in rest} & {one.event.id for one in [done, *held]}
        assert len(fake.settled("billing")) == 40
    joins = [one for broker in fake.brokers for one in broker.heard if type(one).__name__ == "Join"]
    told = [(one.partition, offset, attempt) for one in joins for offset, attempt in one.holds.items()]
    assert {(one.partition, one.offset, 1) for one in held} <= set(told)


async def test_one_hot_partition_is_lent_what_the_others_leave(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event.replace(partitionkey="one") for event in events(400)])
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=64) as deliveries:
            async with asyncio.timeout(20):
                held = [await anext(deliveries) for _ in range(50)]
                assert len({one.partition for one in held}) == 1
                for delivery in held:
                    await delivery.ack()


async def test_in_flight_bounds_what_is_out(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(200))
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=8) as deliveries:
            held = [await anext(deliveries) for _ in range(8)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(deliveries)
            await held[0].ack()
            async with asyncio.timeout(5):
                await anext(deliveries)


async def test_a_delivery_past_its_ack_wait_gives_its_credit_back(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(events(40))
        async with fleet.subscribe("order.>", group="g", start="earliest", in_flight=4, ack_wait=0.1) as deliveries:
            async with asyncio.timeout(10):
                for _ in range(12):
                    await anext(deliveries)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"order": "backwards"}, {"park": True}, {"in_flight": 0}, {"start": {0: 5}}, {"start": "soon"}),
        *({"ack_wait": wrong} for wrong in (0, 1e300, float("inf"), float("nan"))),
        *({"max_deliver": wrong} for wrong in (0, 10**30)),
        *({"order": "causal", "lateness": wrong} for wrong in (-1, float("inf"), float("nan"))),
        *(
            {"order": "causal", "gap": "jump"},
            {"order": "timestamp", "late": "drop"},
            {"order": "causal", "park": True},
        ),
    ],
)
async def test_what_is_not_possible_is_said_at_once(fake: FakeFleet, wrong: dict[str, object]) -> None:
    async with bus.connect(fake.urls) as fleet:
        with pytest.raises(bus.ClientError):
            fleet.subscribe("order.>", group="billing", **wrong)  # type: ignore[arg-type]


async def test_iteration_ends_when_the_fleet_closes(fake: FakeFleet) -> None:
    async def consume(fleet: bus.Fleet, joined: asyncio.Event) -> int:
        count = 0
        async with fleet.subscribe("order.>", group="billing") as deliveries:
            joined.set()
            async for _ in deliveries:
                count += 1
        return count

    async with bus.connect(fake.urls) as fleet:
        joined = asyncio.Event()
        task = asyncio.create_task(consume(fleet, joined))
        await joined.wait()
    async with asyncio.timeout(5):
        assert await task == 0
