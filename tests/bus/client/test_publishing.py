"""Publishing through the public API against scripted brokers: what is acked is appended, once, whatever goes wrong."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

import bus
from bus import batch, limits
from tests.bus.client.fakebroker import FakeFleet
from tests.bus.rig import until


def event(number: int, subject: str | None = None) -> bus.Event:
    return bus.Event(
        type="order.created", source="agent/shop", id=f"e{number}", subject=subject or f"s{number % 17}", data=number
    )


def stored(fake: FakeFleet) -> dict[tuple[int, int], str]:
    """(partition, offset) -> event id, as the brokers hold it."""
    found = {}
    with fake.lock:
        for partition in fake.partitions:
            for header, record in partition.records:
                _, body = batch.unseal(record)
                for row, id in enumerate(batch.decode(body).ids):
                    found[partition.number, header.base_offset + row] = id
    return found


async def move(fake: FakeFleet, fleet: bus.Fleet, *leaders: str) -> None:
    """Give the partitions other leaders, and wait until the client has heard of it."""
    fake.move(list(leaders))
    deadline = asyncio.get_running_loop().time() + 10
    while fleet.topology.version < fake.version:
        assert await fleet.cluster.change(deadline)


def check(fake: FakeFleet, receipts: list[bus.Receipt]) -> None:
    """Every receipt names the place where its event stands, and no event stands twice."""
    held = stored(fake)
    assert [held[one.partition, one.offset] for one in receipts] == [one.id for one in receipts]
    assert max(Counter(held.values()).values()) == 1


async def test_a_receipt_says_where_the_event_stands(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        receipt = await fleet.publish(event(1))
        assert (receipt.id, receipt.offset, receipt.replicas) == ("e1", 0, 2)
        assert "quorum" in receipt.guarantee
        check(fake, [receipt])


async def test_id_and_source_are_filled_in(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls, name="agent/me") as fleet:
        mine = bus.Event(type="a.b")
        receipt = await fleet.publish(mine)
        assert mine.id == "" and len(receipt.id) == 36
        assert [one.source async for one in fleet.read()] == ["agent/me"]


async def test_concurrent_publishes_share_batches(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        receipts = await asyncio.gather(*(fleet.publish(event(number)) for number in range(200)))
        check(fake, receipts)
    frames = [one for broker in fake.brokers for one in broker.heard if type(one).__name__ == "Publish"]
    assert len(frames) <= len(fake.brokers), "one frame for each broker"
    assert sum(len(frame.sections) for frame in frames) == 4


async def test_events_of_one_key_keep_their_order(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        receipts = await fleet.publish_many([event(number, "one") for number in range(3_000)])
        assert [one.offset for one in receipts] == list(range(3_000))


async def test_progress_counts_up_to_all(fake: FakeFleet) -> None:
    told: list[tuple[int, int]] = []
    async with bus.connect(fake.urls) as fleet:
        receipts = await fleet.publish_many(map(event, range(2_500)), on_progress=lambda *one: told.append(one))
    check(fake, receipts)
    assert told[-1] == (2_500, 2_500) and told == sorted(told)


async def test_a_bad_event_spoils_only_itself(fake: FakeFleet) -> None:
    events = [event(number) for number in range(20)]
    events[7] = bus.Event(type="order..created", source="agent/shop")
    events[11] = bus.Event(type="signalbox.tick", source="agent/shop")
    events[13] = event(13).replace(data=b"x" * (limits.EVENT_BYTES_MAX + 1))
    async with bus.connect(fake.urls) as fleet:
        with pytest.raises(bus.PublishError, match="3 of 20 events were not published") as failed:
            await fleet.publish_many(events)
        with pytest.raises(bus.InvalidEvent, match="type"):
            await fleet.publish(events[7])
    results = failed.value.results
    kinds = {number: type(one) for number, one in enumerate(results) if not isinstance(one, bus.Receipt)}
    assert kinds == {7: bus.InvalidEvent, 11: bus.AccessDenied, 13: bus.EventTooLarge}
    check(fake, [one for one in results if isinstance(one, bus.Receipt)])


async def test_calls_that_come_while_a_batch_is_out_share_the_next(fake: FakeFleet) -> None:
    async def task(fleet: bus.Fleet, name: int) -> list[bus.Receipt]:
        return [await fleet.publish(event(100 * name + number, "one")) for number in range(10)]

    async with bus.connect(fake.urls) as fleet:
        made = await asyncio.gather(*(task(fleet, name) for name in range(20)))
        check(fake, [receipt for some in made for receipt in some])
        sizes = [header.count for one in fake.partitions for header, _ in one.records]
    assert sum(sizes) == 200 and len(sizes) <= 40


async def test_more_calls_than_gather_do_not_wait_for_an_answer(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PUBLISH_GATHER_EVENTS", 5)
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0, "one"))
        fake.faults.append(("mute", ""))
        first = asyncio.create_task(fleet.publish(event(1, "one")))
        await asyncio.to_thread(until, lambda: not fake.faults)
        more = [asyncio.create_task(fleet.publish(event(number, "one"))) for number in range(2, 7)]
        await asyncio.to_thread(until, lambda: len(stored(fake)) == 7)
        assert not first.done()
        for task in (first, *more):
            task.cancel()


async def test_a_broker_is_not_busy_with_calls_that_have_expired(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PUBLISH_GATHER_MS", 60_000)
    monkeypatch.setattr(limits, "PUBLISH_GATHER_FRAMES", 1)
    monkeypatch.setattr(limits, "SESSION_SILENT_MS_MAX", 3_600_000)
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0, "one"))
        fake.faults.append(("mute", ""))
        with pytest.raises(bus.OutcomeUnknown):
            await fleet.publish(event(1, "one"), deadline=0.1)
        more = asyncio.create_task(fleet.publish(event(2, "one")))
        await asyncio.to_thread(until, lambda: len(stored(fake)) == 3)
        more.cancel()


async def test_large_events_are_cut_into_batches_that_fit(fake: FakeFleet) -> None:
    data = b"x" * 300_000
    async with bus.connect(fake.urls) as fleet:
        check(fake, await fleet.publish_many([event(number, "one").replace(data=data) for number in range(40)]))
    assert all(len(record) < limits.BATCH_BYTES_MAX + 1_000 for one in fake.partitions for _, record in one.records)


@pytest.mark.parametrize(
    "fault",
    [
        *("lose", "twice", "garbage", "gap", "refuse NotLeader", "refuse InsufficientReplicas", "refuse OutOfSequence"),
        *("liar 0 501 7 7", "liar 499 2 7 7", "liar 0 1 -1 7", "liar 0 1 7 0", "liar -1 1 7 7", "liar 0 0 7 7"),
    ],
)
async def test_one_fault_is_survived_without_loss_or_repetition(fake: FakeFleet, fault: str) -> None:
    kind, _, argument = fault.partition(" ")
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(100)])
        fake.faults += [(kind, argument)] * 3
        receipts = await fleet.publish_many([event(number) for number in range(100, 5_000)])
        assert len(receipts) == 4_900
        check(fake, receipts)
        assert not fake.faults


async def test_an_id_that_the_client_made_is_no_duplicate_whatever_a_broker_says(fake: FakeFleet) -> None:
    made = [event(number).replace(id="") for number in range(40)]
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many(made)
        fake.faults.append(("liar", "0 1 7 7"))
        receipts = await fleet.publish_many(made[:2])
        assert not any(receipt.duplicate for receipt in receipts) and not fake.faults
        assert len(stored(fake)) == 42


async def test_a_duplicate_stands_where_the_broker_says_it_stands(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        fake.faults += [("liar", "1 2 70 9")]
        receipts = await fleet.publish_many([event(number, "one") for number in range(4)])
        where = [(receipt.offset, receipt.duplicate) for receipt in receipts]
    assert where == [(0, False), (70, True), (71, True), (1, False)]
    assert [receipts[2].appended, receipts[1].replicas] == [9, 2]


async def test_a_section_says_which_ids_were_given(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        mixed = [event(number, "one").replace(id=f"e{number}" if number % 3 == 1 else "") for number in range(10)]
        await fleet.publish_many(mixed)
        await asyncio.gather(*(fleet.publish(one) for one in mixed))
        await fleet.publish_many([one.replace(id="") for one in mixed])
        large = [event(number, "one").replace(data=b"x" * 900_000) for number in range(6)]
        await fleet.publish_many([large[0].replace(id=""), *large[1:]])
    heard = [one for broker in fake.brokers for one in broker.heard if type(one).__name__ == "Publish"]
    sections = [section for publish in heard for section in publish.sections]
    bits = [batch.rows_of(section.given, section.count) if section.given else [] for section in sections]
    assert bits[:3] == [[1, 4, 7], [1, 4, 7], []]
    assert [len(rows) for rows in bits[3:]] == [section.count - (at == 0) for at, section in enumerate(sections[3:])]
    assert len(bits) > 4 and bits[3][0] == 1, "it was cut, and each part has its own rows"


async def test_a_silent_broker_is_left_and_the_batch_sent_again(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_PING_MS", 40)
    monkeypatch.setattr(limits, "SESSION_SILENT_MS_MAX", 150)
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0))
        fake.faults.append(("mute", ""))
        check(fake, await fleet.publish_many([event(number) for number in range(1, 50)]))


async def test_a_dead_leaders_batches_go_to_the_next(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(50)])
        fake.kill(0)
        waiting = asyncio.create_task(fleet.publish_many([event(number) for number in range(50, 2_000)]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        fake.move(["b2", "b2", "b3", "b3"])
        check(fake, await waiting)


async def test_a_partition_without_a_leader_is_an_error_at_the_deadline(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await move(fake, fleet, "", "", "", "")
        with pytest.raises(bus.BrokerUnavailable, match="no leader answered"):
            await fleet.publish(event(1), deadline=0.3)
        fake.move(["b1", "b2", "b3", "b1"])
        check(fake, [await fleet.publish(event(2))])


async def test_what_was_refused_to_the_end_says_why_and_the_next_goes_on(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        fake.faults += [("refuse", "InsufficientReplicas")] * 1_000
        with pytest.raises(bus.InsufficientReplicas):
            await fleet.publish(event(1), deadline=0.2)
        fake.faults.clear()
        check(fake, [await fleet.publish(event(2))])


async def test_a_full_store_is_told_at_once(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        fake.faults.append(("refuse", "StorageFull"))
        with pytest.raises(bus.StorageFull):
            await fleet.publish(event(1))
        check(fake, [await fleet.publish(event(2))])


async def test_only_an_unanswered_batch_is_of_unknown_outcome(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0))
        fake.faults += [("lose", "")] * 1_000
        with pytest.raises(bus.OutcomeUnknown, match="look before"):
            await fleet.publish(event(1, "s0"), deadline=0.3)
        fake.faults.clear()
        check(fake, [await fleet.publish(event(2, "s0"))])


async def test_a_cancelled_call_leaves_nothing_behind(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await move(fake, fleet, "", "", "", "")
        call = asyncio.create_task(fleet.publish_many([event(number) for number in range(3_000)]))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        fake.move(["b1", "b2", "b3", "b1"])
        check(fake, [await fleet.publish(event(5_000))])
        assert "e1" not in stored(fake).values()


async def test_a_progress_callback_that_raises_ends_the_call(fake: FakeFleet) -> None:
    def fail(done: int, taken: int) -> None:
        raise RuntimeError("no more")

    async with bus.connect(fake.urls) as fleet:
        with pytest.raises(RuntimeError, match="no more"):
            await fleet.publish_many([event(number) for number in range(3_000)], on_progress=fail)


async def test_closing_fails_what_waits(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await move(fake, fleet, "", "", "", "")
        waiting = asyncio.create_task(fleet.publish(event(1)))
        await asyncio.sleep(0.05)
    with pytest.raises(bus.BrokerUnavailable, match="closed"):
        await waiting
    with pytest.raises(bus.ClientError, match="closed"):
        await fleet.publish(event(2))


async def test_closing_ends_a_call_that_is_still_being_fed(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0))
        call = asyncio.create_task(fleet.publish_many(event(number, "k") for number in range(1, 20_000)))
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        with pytest.raises((bus.PublishError, bus.ClientError)):
            await call


async def test_deadlines_of_calls_that_share_nothing_do_not_add_up(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(0))
        await move(fake, fleet, "", "")
        loop, took = asyncio.get_running_loop(), []

        async def one(deadline: float) -> None:
            began = loop.time()
            with pytest.raises(bus.FleetError):
                await fleet.publish(event(1, "k"), deadline=deadline)
            took.append(loop.time() - began)

        await asyncio.gather(*(one(0.4 + number / 1000) for number in range(6)))
        assert max(took) < 1.2, "each waits for its own deadline, and a sweep or two"


async def test_the_buffer_is_bounded(fake: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUBLISH_BUFFER_BYTES_MAX", 200_000)
    taken = 0

    def events() -> Iterator[bus.Event]:
        nonlocal taken
        for number in range(40_000):
            taken = number
            yield event(number)

    async with bus.connect(fake.urls) as fleet:
        await move(fake, fleet, "", "", "", "")
        call = asyncio.create_task(fleet.publish_many(events()))
        await asyncio.sleep(0.3)
        assert taken < 10_000, "the rest waits outside"
        fake.move(["b1", "b2", "b3", "b1"])
        check(fake, await call)


async def test_a_plane_may_say_reserved_names_and_others_may_not(fake: FakeFleet) -> None:
    from bus.client.operator import plane_fleet

    mine = bus.Event(type="signalbox.tick", source="signalbox/plane", id="1:0")
    async with plane_fleet(fake.urls, 1, "u", topology=fake.topology) as fleet:
        check(fake, [await fleet.publish(mine)])
    fake.plane_epoch = 9
    async with plane_fleet(fake.urls, 1, "u", topology=fake.topology) as fleet:
        with pytest.raises(bus.BusError):
            await fleet.publish(mine, deadline=0.3)
        with pytest.raises(bus.AccessDenied, match="plane epoch 9"):
            await fleet.publish(mine)
