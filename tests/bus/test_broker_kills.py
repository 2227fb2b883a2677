"""Every broker is killed in turn while the public client publishes without pause; then the log is read back whole."""

import asyncio
import random
from pathlib import Path

import pytest

import bus
from tests.bus.rig import Rig, rig

pytestmark = pytest.mark.fleet
PARTITIONS = 3
SLICE = 300


def kill_and_mend(fleet: Rig, victim: str, wait: float, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """Kill a broker once publishing goes on, elect others, bring it back."""
    passed = asyncio.run_coroutine_threadsafe(asyncio.wait_for(stop.wait(), wait), loop)
    with pytest.raises(TimeoutError):
        passed.result()  # the pause before the kill; nobody sets the event
    fleet.kill(victim)
    for partition, seat in list(fleet.seats.items()):
        if seat.leader == victim:
            fleet.elect(partition)
    fleet.start(victim)
    fleet.spread()


@pytest.mark.parametrize("rounds", [1, pytest.param(8, marks=pytest.mark.long)])
async def test_nothing_acked_is_lost_or_doubled_while_brokers_are_killed(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    with rig(tmp_path, partitions=PARTITIONS) as fleet:
        names = sorted(fleet.processes)
        for partition in range(PARTITIONS):
            fleet.elect(partition, replicas=names, prefer=names[partition])
        urls = ",".join(process.url for process in fleet.processes.values())
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        acked: list[tuple[str, bus.Receipt]] = []
        async with bus.connect(urls) as client:
            kills = asyncio.create_task(kill_all(fleet, names * rounds, dice, stop, loop))
            while not kills.done():
                events = [
                    bus.Event(type="k.e", source="s", subject=f"case-{n % 40}", data=len(acked) + n)
                    for n in range(SLICE)
                ]
                receipts = await client.publish_many(events)
                acked += [(receipt.id, receipt) for receipt in receipts]
            await kills
            read = [positioned async for positioned in client.read(positions=True)]
        found = {(one.partition, one.offset): one.event for one in read}
        assert len(found) == len(read), "each offset is read once"
        assert sorted(event.id for event in found.values()) == sorted(identity for identity, _ in acked)
        assert all(found[receipt.partition, receipt.offset].id == identity for identity, receipt in acked)
        for case in range(40):
            numbers = [one.event.data for one in read if one.event.subject == f"case-{case}"]
            assert numbers == sorted(numbers), "order within a key is kept through every failover"


async def kill_all(
    fleet: Rig, victims: list[str], dice: random.Random, stop: asyncio.Event, loop: asyncio.AbstractEventLoop
) -> None:
    for victim in victims:
        await asyncio.to_thread(kill_and_mend, fleet, victim, dice.uniform(0.05, 0.4), stop, loop)
