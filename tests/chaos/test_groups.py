"""A group that an operator changes and removes in a real fleet, while leaders and the plane are killed."""

import asyncio
from pathlib import Path

import pytest

import bus
from controlplane.questions import AskGroups, Groups, Operate, Operated, Refusal
from tests.chaos.live import LiveFleet, live_fleet, numbered, until

pytestmark = pytest.mark.fleet


def groups(live: LiveFleet, name: str = "") -> Groups | None:
    told = live.ask(AskGroups(name))
    assert isinstance(told, Groups | Refusal), told
    return told if isinstance(told, Groups) else None


def order(live: LiveFleet, verb: str, *targets: str, **more: object) -> Operated:
    told = live.ask(Operate(verb, list(targets), by="test", **more))  # type: ignore[arg-type]
    assert isinstance(told, Operated), told
    return told


def is_settled(live: LiveFleet) -> bool:
    told = groups(live)
    return told is not None and not told.changing


async def test_settings_and_removal_hold_whoever_is_killed(tmp_path: Path) -> None:
    with live_fleet(tmp_path) as live:
        await live.ready()
        async with bus.connect(data_dir=tmp_path) as fleet:
            await fleet.publish_many(numbered(200))
            ended = asyncio.Event()

            async def member() -> None:
                with pytest.raises(bus.GroupRemoved, match="subscribing again makes a new one"):
                    async with fleet.subscribe("load.>", group="old", start="earliest", ack_wait=30) as deliveries:
                        async for delivery in deliveries:
                            if delivery.event.data["n"] % 2:
                                await delivery.ack()
                ended.set()

            task = asyncio.create_task(member())
            await until("the group is known", lambda: (found := groups(live, "old")) and found.rows[0].settings)

            # Settings, with a leader killed as they are decided.
            order(live, "update_group", "old", changes={"ack_wait_ms": 60_000})
            live.kill_broker("b2")
            await until("all partitions have them", lambda: is_settled(live))
            await until(
                "brokers say so",
                lambda: (found := groups(live, "old")) and found.rows[0].settings.ack_wait_ms == 60_000,  # type: ignore[union-attr]
            )
            async with fleet.subscribe("load.>", group="old", ack_wait=30) as other:
                assert other.current.ack_wait_ms == 60_000, "no conflict, and told what holds"
            await live.ready()

            # Removal: a leader and the plane die in the midst of it.
            dry = order(live, "remove_group", "old", dry_run=True)
            assert (dry.touched == ["old"] and "members" in dry.notes[0]) or "member" in dry.notes[0]
            order(live, "remove_group", "old", expected=["old"])
            live.kill_broker("b1")
            live.kill_plane()
            live.start()
            await live.ready()
            await until("it is removed everywhere", lambda: is_settled(live))
            await asyncio.wait_for(ended.wait(), 30)
            await task
            assert groups(live, "old") is None

            # A later subscribe makes a new one, and it is the newest leaders who know of no other.
            async with fleet.subscribe("load.>", group="old", start="earliest", ack_wait=5) as deliveries:
                assert deliveries.current.ack_wait_ms == 5_000
                seen = set()
                async with asyncio.timeout(60):
                    async for delivery in deliveries:
                        assert delivery.attempt == 1
                        seen.add(delivery.event.data["n"])
                        await delivery.ack()
                        if len(seen) == 200:
                            break
            await until("it is listed again", lambda: groups(live, "old"))
