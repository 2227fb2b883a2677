"""Three broker processes, a scripted plane, the public API, and kills: what is acked is there, and once."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bus
from bus.client.following import RecordFollower, reached
from bus.client.operator import Operator, plane_fleet
from tests.bus.rig import Rig, rig

pytestmark = pytest.mark.fleet
PARTITIONS = 4


@pytest.fixture
def fleet_rig(tmp_path: Path) -> Iterator[Rig]:
    with rig(tmp_path, partitions=PARTITIONS) as made:
        names = sorted(made.processes)
        for partition in range(PARTITIONS):
            made.elect(partition, replicas=names, prefer=names[partition % 3])
        yield made


def urls(made: Rig) -> list[str]:
    return [process.url for process in made.processes.values()]


def event(number: int) -> bus.Event:
    return bus.Event(
        type="order.created", source="agent/shop", id=f"e{number}", subject=f"s{number % 101}", data={"number": number}
    )


def lose(made: Rig, name: str) -> None:
    """kill -9 a broker and give what it led to the others."""
    led = [partition for partition, seat in made.seats.items() if seat.leader == name]
    made.kill(name)
    for partition in led:
        made.elect(partition)


def regain(made: Rig, name: str) -> None:
    """Start a broker again, as a follower of everything."""
    made.start(name)
    for partition, seat in list(made.seats.items()):
        made.elect(partition, prefer=seat.leader)


class Trip:
    """Runs something in a thread once a progress callback has counted far enough."""

    def __init__(self, at: int, then: Callable[[], None]) -> None:
        self.at, self.then = at, then
        self.task: asyncio.Future[None] | None = None

    def __call__(self, done: int, taken: int) -> None:
        if done >= self.at and self.task is None:
            self.task = asyncio.ensure_future(asyncio.to_thread(self.then))


async def test_published_events_are_read_back_whole(fleet_rig: Rig) -> None:
    async with bus.connect(urls(fleet_rig)) as fleet:
        events = [event(number) for number in range(5_000)]
        receipts = await fleet.publish_many(events)
        places = {(one.partition, one.offset): sent for one, sent in zip(receipts, events, strict=True)}
        async for found in fleet.read(positions=True):
            assert places.pop((found.partition, found.offset)) == found.event
        assert not places
        extents = await fleet.describe()
        assert sum(extent.high for extent in extents.values()) == 5_000


async def test_a_killed_leader_loses_nothing_that_was_acked(fleet_rig: Rig) -> None:
    async with bus.connect(urls(fleet_rig)) as fleet:
        kill = Trip(8_000, lambda: lose(fleet_rig, "b1"))
        receipts = await fleet.publish_many([event(number) for number in range(40_000)], on_progress=kill)
        assert kill.task is not None
        await kill.task
        acked = {(one.partition, one.offset): one.id for one in receipts}
        assert len(acked) == 40_000
        read = [(one.partition, one.offset, one.event.id) async for one in fleet.read(positions=True)]
        assert len(read) == 40_000, "nothing twice, nothing missing"
        assert {(partition, offset): id for partition, offset, id in read} == acked
        await asyncio.to_thread(regain, fleet_rig, "b1")
        assert len(await fleet.publish_many([event(number) for number in range(40_000, 41_000)])) == 1_000


async def test_a_follower_outlives_leaders_and_gives_each_offset_once(fleet_rig: Rig) -> None:
    async def follow(fleet: bus.Fleet, taken: dict[int, int], wanted: int) -> None:
        async with RecordFollower(fleet, {}) as follower:
            async for records in follower:
                for header, _ in records:
                    assert header.base_offset == taken.get(header.partition, 0), "contiguous"
                    taken[header.partition] = header.base_offset + header.count
                if sum(taken.values()) >= wanted:
                    return

    async with bus.connect(urls(fleet_rig)) as fleet, bus.connect(urls(fleet_rig)) as other:
        taken: dict[int, int] = {}
        following = asyncio.create_task(follow(other, taken, 21_000))
        kill = Trip(3_000, lambda: lose(fleet_rig, "b2"))
        await fleet.publish_many([event(number) for number in range(20_000)], on_progress=kill)
        assert kill.task is not None
        await kill.task
        await asyncio.to_thread(regain, fleet_rig, "b2")
        await fleet.publish_many([event(number) for number in range(20_000, 21_000)])
        async with asyncio.timeout(30):
            await following
        assert reached(taken, await fleet.describe()) and sum(taken.values()) == 21_000


async def test_a_stopped_leader_is_passed_over(fleet_rig: Rig) -> None:
    """SIGSTOP: its sessions stay open and it says nothing. The new topology is enough to go on."""
    async with bus.connect(urls(fleet_rig)) as fleet:
        await fleet.publish_many([event(number) for number in range(500)])
        stopped = fleet_rig.processes["b1"]
        os.kill(stopped.process.pid, signal.SIGSTOP)
        sending = asyncio.create_task(fleet.publish_many([event(number) for number in range(500, 3_000)]))

        def depose() -> None:
            fleet_rig.planes.pop("b1").close()
            for partition, seat in list(fleet_rig.seats.items()):
                if seat.leader == "b1":
                    fleet_rig.elect(partition)

        await asyncio.to_thread(depose)
        async with asyncio.timeout(30):
            await sending
        os.kill(stopped.process.pid, signal.SIGCONT)
        ids = [one.id async for one in fleet.read()]
        assert len(ids) == len(set(ids)) == 3_000


async def test_a_group_survives_its_leaders(fleet_rig: Rig) -> None:
    async def work(fleet: bus.Fleet, acked: set[str], wanted: int) -> None:
        async with fleet.subscribe("order.>", group="billing", start="earliest", in_flight=64) as deliveries:
            async for delivery in deliveries:
                try:
                    await delivery.ack()
                except bus.StaleDelivery:
                    continue
                acked.add(delivery.event.id)
                if len(acked) >= wanted:
                    return

    async with bus.connect(urls(fleet_rig)) as fleet, bus.connect(urls(fleet_rig)) as other:
        acked: set[str] = set()
        members = [asyncio.create_task(work(other, acked, 1_500)) for _ in range(4)]
        await fleet.publish_many([event(number) for number in range(1_000)])
        await asyncio.to_thread(lose, fleet_rig, "b3")
        await fleet.publish_many([event(number) for number in range(1_000, 1_500)])
        async with asyncio.timeout(60):
            await asyncio.wait(members, return_when=asyncio.FIRST_COMPLETED)
        for member in members:
            member.cancel()
        await asyncio.gather(*members, return_exceptions=True)
        assert acked == {f"e{number}" for number in range(1_500)}


async def test_a_plane_controls_brokers_and_publishes_its_own_names(fleet_rig: Rig) -> None:
    async with Operator() as operator:
        sessions = [await operator.open(url) for url in urls(fleet_rig)]
        assert {session.id for session in sessions} == {"b1", "b2", "b3"}
        claims = [await session.claim(*fleet_rig.claim) for session in sessions]
        assert all(claimed.accepted for claimed in claims)
        sampled = await sessions[0].sample()
        assert sampled.broker == sessions[0].id and len(sampled.replicas) == PARTITIONS + 1  # the journal's copy
        async with plane_fleet(urls(fleet_rig), *fleet_rig.claim, topology=sessions[0].topology) as fleet:
            await fleet.publish(bus.Event(type="signalbox.note", source="signalbox/plane", id="5:0", subject="x"))
            assert [one.id async for one in fleet.read()] == []
            assert [one.id async for one in fleet.read(internal=True)] == ["5:0"]
        sessions[2].halt(*fleet_rig.claim, "test")
        assert (await asyncio.wait_for(sessions[2].closed, 10)).code in ("closing", "disconnected")
