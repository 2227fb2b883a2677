"""Groups on real broker processes, through the real client: members and leaders that are killed, dead letters."""

import asyncio
import contextlib
import sys
from collections import Counter
from pathlib import Path

import pytest

from bus import wire
from bus.client.deliveries import Delivery
from bus.client.fleet import Fleet, connect
from bus.errors import GroupConflict, GroupRemoved, NoSuchGroup, StaleDelivery
from bus.event import Event
from bus.limits import GROUP_REPORT_MS
from tests.bus.rig import Rig, rig

pytestmark = pytest.mark.fleet
WAIT_S = 30

HOLDER = """
import asyncio, sys
from bus.client.fleet import connect

async def hold():
    async with connect(sys.argv[1]) as fleet:
        async with fleet.subscribe("work.>", group="g", start="earliest", ack_wait=1.0) as mine:
            async for delivery in mine:
                print(delivery.event.id, flush=True)

asyncio.run(hold())
"""


def urls(fleet: Rig) -> list[str]:
    return [process.url for process in fleet.processes.values()]


def work(count: int, first: int = 0) -> list[Event]:
    return [
        Event(type="work.asked", source="tests", id=f"e{number}", subject=f"s{number}", data={"n": number})
        for number in range(first, first + count)
    ]


@contextlib.contextmanager
def elected(root: Path, **more: int) -> "contextlib.Generator[Rig]":
    with rig(root, **more) as fleet:
        for partition in range(fleet.partitions):
            fleet.elect(partition)
        yield fleet


async def test_what_a_killed_member_held_comes_back(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client:
            await client.publish_many(work(20))
            command = [sys.executable, "-c", HOLDER, urls(fleet)[0]]
            holder = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            try:
                assert holder.stdout is not None
                async with asyncio.timeout(WAIT_S):
                    held = {(await holder.stdout.readline()).decode().strip() for _ in range(20)}
            finally:
                holder.kill()
                await holder.communicate()
            assert held == {f"e{number}" for number in range(20)}
            got: dict[str, int] = {}
            async with asyncio.timeout(WAIT_S):
                async with client.subscribe("work.>", group="g", start="earliest", ack_wait=1.0) as mine:
                    async for delivery in mine:
                        got[delivery.event.id] = delivery.attempt
                        await delivery.ack()
                        if len(got) == 20:
                            break
            assert set(got) == held and min(got.values()) >= 2


async def test_a_member_that_leaves_hands_its_events_to_others_at_once(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client, connect(urls(fleet)) as other:
            await client.publish_many(work(6))
            async with client.subscribe("work.>", group="g", start="earliest", ack_wait=600.0) as first:
                async with asyncio.timeout(WAIT_S):
                    held = [await anext(first) for _ in range(6)]
            async with asyncio.timeout(WAIT_S):
                async with other.subscribe("work.>", group="g", ack_wait=600.0) as second:
                    again = [await anext(second) for _ in range(6)]
                    for delivery in again:
                        await delivery.ack()
            assert {one.event.id for one in again} == {one.event.id for one in held}
            with pytest.raises(GroupConflict) as caught:
                async with other.subscribe("work.>", group="g", ack_wait=5.0):
                    pass
            assert caught.value.field == "ack_wait"


async def test_exhausted_and_terminated_events_are_dead_letters_of_their_partition(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client:
            receipts = {receipt.id: receipt for receipt in await client.publish_many(work(3))}
            async with asyncio.timeout(WAIT_S):
                async with client.subscribe("work.>", group="g", start="earliest", max_deliver=2) as mine:
                    settled = 0
                    while settled < 4:
                        delivery = await anext(mine)
                        if delivery.event.id == "e0":
                            await delivery.nack(error=f"failed {delivery.attempt}")
                        elif delivery.event.id == "e1":
                            await delivery.terminate("no use")
                        else:
                            await delivery.ack()
                        settled += 1
            letters = {}
            async with asyncio.timeout(WAIT_S):
                async for place in client.read("signalbox.deadletter", start="earliest", positions=True):
                    letters[place.event.data["event"]["id"]] = place
            assert set(letters) == {"e0", "e1"}
            for name, place in letters.items():
                told = place.event.data
                assert (place.partition, told["partition"]) == (receipts[name].partition,) * 2
                assert told["offset"] == receipts[name].offset and told["group"] == "g"
                assert told["event"]["data"] == {"n": int(name[1:])}
            died = letters["e0"].event
            assert (died.data["reason"], died.data["error"]) == ("max_deliver", "failed 2")
            assert [one["error"] for one in died.data["attempts"]] == ["failed 1", "failed 2"]
            assert (letters["e1"].event.data["reason"], died.subject) == ("terminated", "s0")


async def acking(client: Fleet, acked: Counter[str], enough: int) -> None:
    """A member that acks whatever comes until `enough` different events are acked for good."""

    async def settle(delivery: Delivery) -> None:
        try:
            await delivery.ack()
        except StaleDelivery:
            return
        acked[delivery.event.id] += 1

    subscription = client.subscribe("work.>", group="g", start="earliest", ack_wait=2.0)
    async with subscription as mine, asyncio.TaskGroup() as tasks:
        while len(acked) < enough:
            try:
                async with asyncio.timeout(0.2):
                    delivery = await anext(mine)
            except TimeoutError:
                continue
            tasks.create_task(settle(delivery))


async def test_a_group_goes_on_when_its_leaders_are_killed(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client, connect(urls(fleet)) as second:
            acked: Counter[str] = Counter()
            async with asyncio.timeout(2 * WAIT_S), asyncio.TaskGroup() as tasks:
                for member in (client, second):
                    tasks.create_task(acking(member, acked, 600))
                await client.publish_many(work(200))
                for turn in range(1, 3):
                    victim = fleet.seats[0].leader
                    await asyncio.to_thread(fleet.kill, victim)
                    for partition in range(fleet.partitions):
                        if fleet.seats[partition].leader == victim:
                            await asyncio.to_thread(fleet.elect, partition)
                    await asyncio.to_thread(fleet.start, victim)
                    for partition in range(fleet.partitions):
                        await asyncio.to_thread(fleet.elect, partition)
                    await client.publish_many(work(200, 200 * turn))
            assert set(acked) == {f"e{number}" for number in range(600)}
            async with client.subscribe("work.>", group="g", ack_wait=2.0) as mine:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3 * GROUP_REPORT_MS / 1_000):
                        raise AssertionError(f"settled, and delivered again: {await anext(mine)}")


async def test_a_removal_that_is_carried_again_spares_the_group_made_anew(tmp_path: Path) -> None:
    """Carried twice, with a new group and a new leader between; as by a plane that was killed before it noted it."""
    with elected(tmp_path) as fleet:

        def remove(decision: int) -> list[bool]:
            told = []
            for partition, seat in fleet.seats.items():
                plane = fleet.planes[seat.leader]
                change = wire.ChangeGroup(plane.number(), *fleet.claim, partition, "g", None, decision)
                told.append(plane.ask(change, wire.GroupChanged).was_there)
            return told

        async with connect(urls(fleet)) as client, asyncio.timeout(3 * WAIT_S):
            await client.publish_many(work(20))
            async with client.subscribe("work.>", group="g", start="earliest", ack_wait=60.0) as old:
                for _ in range(20):
                    await (await anext(old)).ack()
                assert await asyncio.to_thread(remove, 40) == [True, True]
                with pytest.raises(GroupRemoved):
                    await anext(old)
            async with client.subscribe("work.>", group="g", start="earliest", ack_wait=60.0) as new:
                held = [await anext(new) for _ in range(20)]
                assert {delivery.event.id for delivery in held} == {f"e{number}" for number in range(20)}
                victim = fleet.seats[0].leader
                await asyncio.to_thread(fleet.kill, victim)
                for partition in range(fleet.partitions):
                    if fleet.seats[partition].leader == victim:
                        await asyncio.to_thread(fleet.elect, partition)
                assert await asyncio.to_thread(remove, 40) == [False, False]
                await client.publish_many(work(20, 20))
                for delivery in [*held, *[await anext(new) for _ in range(20)]]:
                    await delivery.ack()
                assert await asyncio.to_thread(remove, 41) == [True, True]
                with pytest.raises(GroupRemoved):
                    await anext(new)


async def test_work_that_outlasts_a_failover_is_not_given_to_anyone_else(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client, connect(urls(fleet)) as second:
            await client.publish_many(work(20))
            async with (
                asyncio.timeout(2 * WAIT_S),
                client.subscribe("work.>", group="g", start="earliest", ack_wait=60.0) as mine,
            ):
                held = [await anext(mine) for _ in range(20)]
                async with second.subscribe("work.>", group="g", start="earliest", ack_wait=60.0) as other:
                    victim = fleet.seats[held[0].partition].leader
                    await asyncio.to_thread(fleet.kill, victim)
                    for partition in range(fleet.partitions):
                        if fleet.seats[partition].leader == victim:
                            await asyncio.to_thread(fleet.elect, partition)
                    for anyone in (mine, other):
                        with pytest.raises(TimeoutError):
                            async with asyncio.timeout(1.2 * GROUP_REPORT_MS / 1_000):
                                raise AssertionError(f"held, and delivered again: {await anext(anyone)}")
                    for delivery in held:
                        await delivery.ack()
                    assert {delivery.attempt for delivery in held} == {1}


async def test_a_group_outlives_the_whole_fleet(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client:
            await client.publish_many(work(40))
            async with asyncio.timeout(WAIT_S):
                async with client.subscribe("work.>", group="g", start="earliest", ack_wait=60.0) as mine:
                    for _ in range(40):
                        delivery = await anext(mine)
                        if int(delivery.event.id[1:]) % 4:
                            await delivery.ack()
                        else:
                            await delivery.nack(error="later")
                            break_at = delivery
        for name in sorted(fleet.processes):
            fleet.kill(name)
        for name in ("b1", "b2", "b3"):
            fleet.start(name)
        for partition in range(fleet.partitions):
            fleet.elect(partition)
        async with connect(urls(fleet)) as client:
            async with asyncio.timeout(WAIT_S):
                async with client.subscribe("work.>", group="g", ack_wait=60.0) as mine:
                    left = {}
                    while len(left) < 10:
                        delivery = await anext(mine)
                        left[delivery.event.id] = delivery.attempt
                        await delivery.ack()
        assert set(left) == {f"e{number}" for number in range(0, 40, 4)}
        assert break_at.event.id in left and min(left.values()) >= 2


async def test_a_group_is_joined_without_being_made(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with asyncio.timeout(WAIT_S), connect(urls(fleet)) as client:
            for _ in range(2):  # asking has not made it
                with pytest.raises(NoSuchGroup):
                    await client.subscribe("work.>", group="g", create=False).__aenter__()
            async with client.subscribe("work.>", group="g"):
                pass
            await client.publish_many(work(10))
            async with client.subscribe("work.>", group="g", create=False) as mine:
                assert {(await anext(mine)).event.id for _ in range(10)} == {f"e{number}" for number in range(10)}


async def test_what_is_renewed_stays_with_its_member(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with (
            asyncio.timeout(WAIT_S),
            connect(urls(fleet)) as client,
            connect(urls(fleet)) as second,
            client.subscribe("work.>", group="g", ack_wait=0.6) as mine,
        ):
            await client.publish_many(work(1))
            held = await anext(mine)
            async with second.subscribe("work.>", group="g", ack_wait=0.6) as others:
                coming = asyncio.ensure_future(anext(others))
                for _ in range(10):
                    held.renew()
                    assert not (await asyncio.wait([coming], timeout=0.15))[0], "it is still worked on"
                again = await coming  # nobody renews it any more
                assert (again.event.id, again.attempt) == ("e0", 2)
                held.renew()
                with pytest.raises(StaleDelivery):
                    await held.ack()
                await again.ack()
