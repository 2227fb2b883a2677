"""Control of brokers: verbs and their answers, and what is said when a broker does not answer."""

import asyncio
import subprocess
import sys

import pytest

import bus
from bus import wire
from bus.client.operator import Operator
from tests.bus.client.fakebroker import FakeFleet

FLOOD_MESSAGES = 500
"""Fewer than a socket queues, so that the end of the connection is seen while all of them wait to be read."""
READER = """
import asyncio, sys
from bus.client.operator import Operator

async def main():
    async with Operator() as operator:
        session = await operator.open(sys.argv[1])
        print("open", flush=True)
        connection = session._connection
        assert connection._monitor.poll(10_000)  # nothing is read before the broker is gone
        asyncio.get_running_loop().call_soon(connection._ended)  # as that took the edge
        lost = await session.closed
        print(lost.code, connection.strays)

asyncio.run(main())
"""


async def test_the_verbs_of_a_plane(fake: FakeFleet) -> None:
    async with Operator() as operator:
        session = await operator.open(fake.urls[0])
        assert (session.id, session.store, session.welcome.fleet) == ("b1", "store", "fake")
        assert session.topology is not None
        assert (await session.claim(3, "u")).accepted
        answered = await session.offer(3, "u", 2, 9)
        assert (answered.partition, answered.epoch, answered.end_offset) == (2, 9, 5)
        assert (await session.place(3, "u", wire.Seat(2, 9, "b1", ["b1"], 1))).epoch == 9
        with pytest.raises(bus.AccessDenied, match="claim first"):
            await session.sample()
        fake.version = 7
        assert session.spread(3, "u", fake.topology)
        session.halt(3, "u", "done")
        lost = await asyncio.wait_for(session.closed, 5)
        assert (lost.code, session.topology.version) == ("closing", 7)
        with pytest.raises(bus.BrokerUnavailable):
            await session.claim(3, "u")


async def test_a_newer_planes_broker_refuses(fake: FakeFleet) -> None:
    fake.plane_epoch = 8
    async with Operator() as operator:
        session = await operator.open(fake.urls[1])
        claimed = await session.claim(3, "u")
        assert (claimed.accepted, claimed.plane_epoch) == (False, 8)


async def test_nobody_there(fake: FakeFleet) -> None:
    url = fake.urls[2]
    fake.kill(2)
    async with Operator() as operator:
        with pytest.raises(bus.BrokerUnavailable, match="nothing answers"):
            await operator.open(url)


async def test_a_death_is_noticed_at_once(fake: FakeFleet) -> None:
    async with Operator() as operator:
        session = await operator.open(fake.urls[0])
        asking = asyncio.create_task(session.claim(3, "u"))
        await asking
        fake.kill(0)
        lost = await asyncio.wait_for(session.closed, 2)
        assert lost.code == "disconnected"


async def test_silence_is_an_error_in_time(fake: FakeFleet) -> None:
    async with Operator() as operator:
        session = await operator.open(fake.urls[0])
        with fake.lock:
            fake.brokers[0].muted |= {one.id for one in fake.brokers[0].sessions}
        with pytest.raises(bus.BrokerUnavailable, match="did not answer Claim"):
            await session.claim(3, "u", within=0.1)


def test_a_flood_from_a_broker_that_dies_is_read_whole(fake: FakeFleet) -> None:
    """ZeroMQ must not take a connection's end for its own order to drop what waits: in the middle of a message of
    several parts it aborts the process, and it drops the others. In a process of its own, for that reason."""
    broker = fake.brokers[0]

    def flood() -> None:
        for session in list(broker.sessions):
            for _ in range(FLOOD_MESSAGES):
                broker.send(session, wire.Records(99, 0, 0, 0, 0, []), [b"x" * 300] * 5)

    reader = subprocess.Popen(
        [sys.executable, "-c", READER, fake.urls[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout is not None and reader.stdout.readline() == "open\n"
        with fake.lock:
            broker.commands += [flood, broker.halted.set]
        said, error = reader.communicate(timeout=30)
    finally:
        reader.kill()
    assert (reader.returncode, said, error) == (0, f"disconnected {FLOOD_MESSAGES}\n", "")
