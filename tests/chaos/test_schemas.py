"""Schemas in a whole fleet: the plane tells whoever publishes, over restarts, and holds up nobody while it is away."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest

import bus
from tests.chaos.live import live_fleet, until

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(120)]
SMALL = ("--brokers", "1", "--partitions", "3")


def order(data: object) -> bus.Event:
    return bus.Event(type="order.created", source="agent/shop", data=data)


async def refused(live_root: Path) -> bool:
    """Whether a client that comes now is refused a payload that does not fit."""
    async with bus.connect(data_dir=live_root) as fleet:
        try:
            await fleet.publish(order({"order": "x"}))
        except bus.InvalidEvent as error:
            assert error.attribute == "data" and error.why.startswith("order: ")
            return True
    return False


async def test_the_plane_tells_the_schemas_and_nobody_waits_for_it_while_it_is_away(tmp_path: Path) -> None:
    with live_fleet(tmp_path, *SMALL) as live:
        await live.ready()
        async with bus.connect(data_dir=tmp_path) as fleet:
            schema = await fleet.schemas.register("order.created", {"properties": {"order": {"type": "integer"}}})
            await fleet.publish(order({"order": 1}))
        await until("the plane tells it", lambda: refused(tmp_path))
        live.kill_plane()
        began = monotonic()
        async with bus.connect(data_dir=tmp_path) as fleet:
            await fleet.publish(order({"order": "unchecked"}))
            assert await fleet.schemas.get("order.created") == schema, "read from the log"
            with pytest.raises(bus.InvalidEvent):
                await fleet.publish(order({"order": "checked"}))
        assert monotonic() - began < 10
        live.start()
        await live.ready()
        await until("the next plane tells it, too", lambda: refused(tmp_path))
        async with bus.connect(data_dir=tmp_path) as fleet:
            assert [one.type for one in await fleet.schemas.list()] == ["order.created"]
        assert await asyncio.to_thread(live.end) == 0
