"""A group is made without a member: what came before anybody joined is there for whoever joins later."""

import asyncio
import time
from pathlib import Path

import pytest

from bus.client import opening
from bus.client.fleet import connect
from bus.client.opening import open_group
from bus.errors import BrokerUnavailable, GroupConflict
from bus.event import Event
from tests.bus.rig import rig
from tests.bus.test_groups_fleet import elected, urls

pytestmark = pytest.mark.fleet
WAIT_S = 30


TERMS = {"group": "inbox.a", "ack_wait": opening.ACK_WAIT_MS / 1000, "max_deliver": opening.MAX_DELIVER}


def mail(first: int, count: int) -> list[Event]:
    numbers = range(first, first + count)
    return [Event(type="agent.inbox.a", source="tests", id=f"m{n}", subject=f"s{n}", data={}) for n in numbers]


async def test_mail_is_kept_from_where_the_group_was_opened(tmp_path: Path) -> None:
    with elected(tmp_path) as fleet:
        async with connect(urls(fleet)) as client:
            await client.publish_many(mail(0, 5))
            await asyncio.sleep(0.01)  # instants are what a group begins at: the next one is another
            start = time.time_ns()
            await client.publish_many(mail(5, 20))
            await open_group(client.cluster, "inbox.a", "agent.inbox.a", start)
            await client.publish_many(mail(25, 5))
            await open_group(client.cluster, "inbox.a", "agent.inbox.a", time.time_ns())
            got: dict[str, int] = {}
            async with asyncio.timeout(WAIT_S), client.subscribe("agent.inbox.a", **TERMS) as mine:
                async for delivery in mine:
                    got[delivery.event.id] = delivery.attempt
                    await delivery.ack()
                    if len(got) == 25:
                        break
            assert set(got) == {f"m{n}" for n in range(5, 30)}
            assert set(got.values()) == {1}, "whoever opened it was dealt nothing"
            with pytest.raises(GroupConflict):
                await open_group(client.cluster, "inbox.a", "agent.inbox.b", start)


def test_inboxes_are_opened_as_agents_join_them() -> None:
    agents = pytest.importorskip("bus.agents.inbox")
    assert (agents.ACK_WAIT_S * 1000, agents.DELIVER_ATTEMPTS) == (opening.ACK_WAIT_MS, opening.MAX_DELIVER)


async def test_a_partition_that_nobody_leads_is_named(tmp_path: Path) -> None:
    with rig(tmp_path) as fleet:
        for partition in range(1, fleet.partitions):
            fleet.elect(partition)
        async with connect(urls(fleet)) as client:
            with pytest.raises(BrokerUnavailable, match="partition 0 has no leader"):
                await open_group(client.cluster, "inbox.a", "agent.inbox.a", -1, within=0.5)
