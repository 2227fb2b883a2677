"""Order on real broker processes: a strict group that loses a leader, and causes before effects."""

import asyncio
from pathlib import Path

import pytest

from bus.client.fleet import Fleet, connect
from bus.errors import StaleDelivery
from bus.event import Event
from tests.bus.rig import Rig
from tests.bus.test_groups_fleet import WAIT_S, elected, urls

pytestmark = pytest.mark.fleet
KEYS, EACH = 6, 12


class Watcher:
    """Sees every delivery of a strict group. `acked`: what was acked durably, by key, in order."""

    def __init__(self) -> None:
        self.acked: dict[str, list[int]] = {}
        self.wrong: list[str] = []
        self.half = asyncio.Event()
        self.whole = asyncio.Event()

    def delivers(self, key: str, number: int) -> None:
        done = self.acked.setdefault(key, [])
        if number > len(done):
            self.wrong.append(f"{key}: {number} came after {done} only")

    def acks(self, key: str, number: int) -> None:
        if number not in self.acked[key]:
            self.acked[key].append(number)
        count = sum(map(len, self.acked.values()))
        if count >= KEYS * EACH // 2:
            self.half.set()
        if count == KEYS * EACH:
            self.whole.set()


def lose_a_leader(fleet: Rig) -> None:
    victim = fleet.seats[0].leader
    fleet.kill(victim)
    for partition, seat in list(fleet.seats.items()):
        if seat.leader == victim:
            fleet.elect(partition)


async def member(fleet: Fleet, watcher: Watcher) -> None:
    async with fleet.subscribe("work.>", group="g", order="strict", start="earliest", ack_wait=5.0) as mine:
        async for delivery in mine:
            key, number = str(delivery.event.subject), delivery.event.data["n"]
            watcher.delivers(key, number)
            if delivery.attempt == 1 and number % 5 == 3:
                delivery.nack(0.02, "once more")
                continue
            # Noted before it is awaited: the next one may come to another member before the answer comes here.
            settled = delivery.ack()
            watcher.acks(key, number)
            try:
                await settled
            except StaleDelivery:
                continue


async def test_strict_order_on_three_brokers(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        watcher = Watcher()
        async with connect(urls(fleet)) as one, connect(urls(fleet)) as two:
            await one.publish_many(
                Event(type="work.asked", source="tests", id=f"e{key}.{n}", subject=f"k{key}", data={"n": n})
                for n in range(EACH)
                for key in range(KEYS)
            )
            tasks = [asyncio.create_task(member(client, watcher)) for client in (one, two, two)]
            try:
                async with asyncio.timeout(WAIT_S):
                    await watcher.half.wait()
                    await asyncio.to_thread(lose_a_leader, fleet)
                    await watcher.whole.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        assert not watcher.wrong, watcher.wrong
        assert watcher.acked == {f"k{key}": list(range(EACH)) for key in range(KEYS)}


async def test_effects_follow_their_causes_over_all_partitions(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as asker, connect(urls(fleet), causal=True) as answerer:

            async def answer() -> None:
                async for asked in answerer.read("asked", follow=True):
                    number = asked.data["n"]
                    await answerer.publish(Event(type="answered", subject=f"a{number}", data={"n": number}))

            answering = asyncio.create_task(answer())
            try:
                async with asyncio.timeout(WAIT_S):
                    seen: set[tuple[str, int]] = set()
                    for number in range(30):
                        await asker.publish(Event(type="asked", subject=f"q{number}", data={"n": number}))
                    reading = asker.read(order="causal", follow=True)
                    async for found in reading:
                        number = found.data["n"]
                        assert found.type == "asked" or ("asked", number) in seen
                        assert found.type == "answered" or number == 0 or ("asked", number - 1) in seen
                        seen.add((found.type, number))
                        if len(seen) == 60:
                            break
                    assert reading.gaps == 0 and reading.held == 0
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)


async def test_a_cause_that_the_pattern_leaves_out_holds_up_nothing(tmp_path: Path) -> None:
    """The reader's watches sleep by then: they have to say that they passed it."""
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as writer, connect(urls(fleet)) as reader:
            reading = reader.read("answered", order="causal", follow=True)
            async with asyncio.timeout(WAIT_S):
                for number in range(20):
                    await writer.publish(Event(type="asked", subject=f"q{number}", data={"n": number}))
                    await writer.publish(Event(type="answered", subject=f"a{number}", data={"n": number}))
                    assert (await anext(reading)).data["n"] == number
            assert reading.gaps == 0 and reading.held == 0
            await reading.aclose()
