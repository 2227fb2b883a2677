"""Groups in an order that spans partitions, on real broker processes: members and leaders that are killed."""

import asyncio
from pathlib import Path

import pytest

from bus.client.fleet import Fleet, connect
from bus.event import Event
from tests.bus.test_groups_fleet import WAIT_S, elected, urls
from tests.bus.test_order_fleet import lose_a_leader

pytestmark = pytest.mark.fleet


async def test_effects_follow_their_causes_in_a_group(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet), causal=True) as one:
            for n in range(40):
                await one.publish(Event(type="work.asked", source="t", id=f"e{n}", subject=f"k{n}", data={"n": n}))
            got = []
            async with one.subscribe("work.>", group="g", order="causal", start="earliest") as mine:
                async def look():
                    await asyncio.sleep(3)
                    print(got, mine.waiting(), mine._hold._progress, mine._hold._floors, mine._hold._blocked, mine._hold._queues)
                t = asyncio.create_task(look())
                async with asyncio.timeout(5):
                    async for delivery in mine:
                        got.append(delivery.event.data["n"])
                        delivery.ack()
                        if len(got) == 40:
                            break
                assert got == list(range(40))
                print(mine.prevented, mine.held)
