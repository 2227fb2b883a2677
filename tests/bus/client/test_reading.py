"""Reading through the public API: each event once, in order within its partition, from where it was asked to start."""

import asyncio
import time

import pytest

import bus
from bus import limits, wire
from bus.client.connection import Lost
from bus.client.following import RecordFollower, behind, reached
from tests.bus.client.fakebroker import FakeFleet


def event(number: int, type: str = "order.created") -> bus.Event:
    return bus.Event(type=type, source="agent/shop", id=f"e{number}", subject=f"s{number % 17}", data=number)


async def read(fleet: bus.Fleet, *pattern: str, **options: object) -> list[str]:
    return [one.id async for one in fleet.read(*pattern, **options)]  # type: ignore[call-overload]


async def first(count: int, fleet: bus.Fleet, **options: object) -> list[bus.Event]:
    found = []
    async with asyncio.timeout(10):
        async for one in fleet.read(follow=True, **options):  # type: ignore[call-overload]
            found.append(one)
            if len(found) == count:
                break
    return found


async def heard(fleet: bus.Fleet, version: int) -> None:
    """Until the client knows that topology."""
    cluster = fleet._cluster
    assert cluster is not None
    async with asyncio.timeout(10):
        while cluster.topology is None or cluster.topology.version < version:
            await cluster.change(asyncio.get_running_loop().time() + 10)


def watches(fake: FakeFleet) -> int:
    with fake.lock:
        return sum(len(broker.watches) for broker in fake.brokers)


async def test_everything_is_read_once_in_order(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        receipts = await fleet.publish_many([event(number) for number in range(3_000)])
        places = {(one.partition, one.offset): one.id for one in receipts}
        seen: dict[int, int] = {}
        async for found in fleet.read(positions=True):
            assert places.pop((found.partition, found.offset)) == found.event.id
            assert found.offset > seen.get(found.partition, -1) and found.appended > 0
            seen[found.partition] = found.offset
        assert not places


async def test_a_pattern_filters(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        kinds = ["order.created", "order.paid", "ship.sent"]
        await fleet.publish_many([event(number, kinds[number % 3]) for number in range(300)])
        assert len(await read(fleet, "order.*")) == 200
        assert len(await read(fleet, "*.sent")) == 100
        assert await read(fleet, "nothing.>") == []
        with pytest.raises(bus.InvalidPattern):
            fleet.read("a..b")


async def test_starts(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(100)])
        cursor = {number: extent.high for number, extent in (await fleet.describe()).items()}
        between = time.time_ns()
        await fleet.publish_many([event(number) for number in range(100, 200)])
        later = {f"e{number}" for number in range(100, 200)}
        assert set(await read(fleet, start=cursor)) == later
        assert set(await read(fleet, start=bus.format_time(between))) == later
        assert len(await read(fleet, start="-1h")) == 200
        assert await read(fleet, start="now") == []
        middle = {number: offset + 3 for number, offset in cursor.items()}
        assert len(await read(fleet, start=middle)) == 100 - 3 * len(cursor)
        for wrong in ("yesterday", "-5", "-5x", {"a": 1}, {0: -1}, 5):
            with pytest.raises(bus.ClientError, match="start"):
                fleet.read(start=wrong)  # type: ignore[arg-type]


async def test_follow_goes_on_and_stops_watching_when_left(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(1))
        following = asyncio.create_task(first(3, fleet))
        await fleet.publish(event(2))
        await fleet.publish(event(3))
        assert [one.id for one in await following] == ["e1", "e2", "e3"] or len(following.result()) == 3
        deadline = time.monotonic() + 5
        while watches(fake) and time.monotonic() < deadline:
            await fleet.describe()
        assert watches(fake) == 0


@pytest.mark.parametrize("fault", ["corrupt", "cut"])
async def test_a_broken_stream_is_taken_up_where_it_stood(fake: FakeFleet, fault: str) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(2_000)])
        fake.faults += [(fault, "")] * 3
        found = await read(fleet)
        assert len(found) == 2_000 and len(set(found)) == 2_000
        assert not fake.faults


async def test_a_read_that_loses_a_leader_for_good_names_the_partition(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WATCH_CREDIT_BYTES", 4_000)
    monkeypatch.setattr(limits, "READ_STALL_MS_MAX", 300)
    async with bus.connect(fake.urls) as fleet:
        for start in range(0, 2_000, 100):
            await fleet.publish_many([event(number) for number in range(start, start + 100)])
        reading = fleet.read()
        await anext(reading)
        fake.move([fake.leaders[0], fake.leaders[1], "", fake.leaders[3]])
        # On a machine that stands still for longer than the stall, any partition may stall: only a reader that has
        # heard of the loss can name it.
        await heard(fleet, fake.version)
        with pytest.raises(
            bus.BrokerUnavailable, match=r"partition 2 stands at offset \d+ of \d+.*no leader.*read again"
        ):
            async with asyncio.timeout(10):
                async for _ in reading:
                    pass


async def test_a_stalled_read_names_the_lost_partition_before_one_that_cannot_be_reached(
    fake: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WATCH_CREDIT_BYTES", 4_000)
    monkeypatch.setattr(limits, "READ_STALL_MS_MAX", 300)
    async with bus.connect(fake.urls) as fleet:
        for start in range(0, 2_000, 100):
            await fleet.publish_many([event(number) for number in range(start, start + 100)])
        reading = fleet.read()
        await anext(reading)
        fake.move([fake.leaders[0], fake.leaders[1], fake.leaders[2], ""])
        await heard(fleet, fake.version)
        fake.kill(1)
        with pytest.raises(bus.BrokerUnavailable, match=r"partition 3 stands at offset \d+ of \d+.*no leader"):
            async with asyncio.timeout(10):
                async for _ in reading:
                    pass


async def test_a_read_whose_leader_comes_back_in_time_goes_on(fake: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_CREDIT_BYTES", 4_000)
    monkeypatch.setattr(limits, "READ_STALL_MS_MAX", 5_000)
    async with bus.connect(fake.urls) as fleet:
        for start in range(0, 1_000, 100):
            await fleet.publish_many([event(number) for number in range(start, start + 100)])
        reading = fleet.read()
        found = {(await anext(reading)).id}
        leaders = list(fake.leaders)
        fake.move(["", *leaders[1:]])
        fake.move(["b3", *leaders[1:]])
        found |= {one.id async for one in reading}
        assert len(found) == 1_000


async def test_a_record_that_stays_corrupt_is_told(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(1))
        fake.faults += [("corrupt", "")] * 1_000
        with pytest.raises(bus.CorruptRecord):
            await read(fleet)


async def test_a_reader_follows_its_leader(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(100)])
        following = asyncio.create_task(first(300, fleet))
        fake.move(["b3", "b3", "b1", "b1"])
        await fleet.publish_many([event(number) for number in range(100, 200)])
        fake.kill(1)
        fake.move(["b1", "b3", "b1", "b3"])
        await fleet.publish_many([event(number) for number in range(200, 300)])
        assert {one.id for one in await following} == {f"e{number}" for number in range(300)}


async def test_a_slow_reader_holds_no_more_than_its_credit(fake: FakeFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_CREDIT_BYTES", 20_000)
    async with bus.connect(fake.urls) as fleet:
        for start in range(0, 5_000, 100):
            await fleet.publish_many([event(number) for number in range(start, start + 100)])
        reading = fleet.read()
        found = {(await anext(reading)).id}
        await fleet.describe()
        with fake.lock:
            offsets = sum(one.offset for broker in fake.brokers for one in broker.watches.values())
        assert offsets < 4_000, "brokers hold the rest back"
        found |= {one.id async for one in reading}
        assert len(found) == 5_000


async def test_a_follower_gives_every_record_once(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(4_000)])
        extents = await fleet.describe()
        cursor: dict[int, int] = {}
        ids: list[int] = []
        fake.faults += [("cut", ""), ("corrupt", "")]
        while not reached(cursor, extents):
            async with RecordFollower(fleet, cursor, credit_bytes=50_000) as follower:
                for header, body in await follower.take(700):
                    assert header.base_offset == cursor.get(header.partition, 0)
                    assert body
                    cursor[header.partition] = header.base_offset + header.count
                    ids.append(header.count)
                assert follower.cursor == {number: cursor.get(number, 0) for number in range(4)}
        assert sum(ids) == 4_000 and behind(cursor, extents) == 0


async def test_a_follower_starts_in_the_middle_of_a_record(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        await fleet.publish_many([event(number) for number in range(100)])
        high = (await fleet.describe())[2].high
        async with RecordFollower(fleet, {0: 10**6, 1: 10**6, 2: 5, 3: 10**6}) as follower:
            ((header, body),) = await follower.take()
        assert (header.base_offset, header.count) == (5, high - 5)
        assert len(bus.from_json(b'{"specversion":"1.0","id":"a","source":"b","type":"c"}').id) == 1 and body


async def test_reading_ends_when_the_fleet_closes(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        following = asyncio.create_task(first(1, fleet))
        await fleet.describe()
    with pytest.raises(bus.ClientError, match="closed"):
        await following


async def test_a_reader_that_fails_over_what_came_costs_others_of_its_session_no_more_than_a_new_one(
    fake: FakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []

    def fail(message: object, _blobs: list[bytes]) -> None:
        told.append(message)
        if not isinstance(message, Lost):
            raise KeyError("a reader's own fault")

    async with bus.connect(fake.urls) as fleet:
        await fleet.publish(event(1))
        link = fleet.cluster.leader(0)
        assert link is not None
        number = next(fleet.cluster.numbers)
        link.ask(number, wire.Describe(number, [0]), (), fail)
        async with asyncio.timeout(limits.SESSION_SILENT_MS_MAX / 3000):
            while link.lost is None:
                await fleet.cluster.change(asyncio.get_running_loop().time() + 1)
            assert len(await read(fleet)) == 1
    assert link.lost.code == "failed" and "KeyError" in link.lost.why and "a reader's own fault" in caplog.text
    assert isinstance(told[-1], Lost)
