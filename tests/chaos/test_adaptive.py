"""A real adaptive fleet with rules: it moves a skewed load by itself, and each key keeps its home and its order."""

import asyncio
from pathlib import Path

import pytest

import bus
from bus.semantic import Rule, partitions_of_rule, placement
from controlplane.questions import AskPartitions, AskVerify, Partitions, Verified
from tests.chaos.live import LiveFleet, live_fleet, until

RULES = [Rule("vip/", "vip")]
PARTITIONS = 12
HOME = placement(PARTITIONS, RULES)
HOT = [key for key in (f"order-{n}" for n in range(200)) if HOME(key) % 3 == 0][:24]
"""Keys of partitions that the first broker is born to lead."""
OTHERS = [f"vip/{n}" for n in range(3)]
EACH_S = 0.6
MOVED_S = 150.0


def partitions(live: LiveFleet) -> Partitions:
    told = live.ask(AskPartitions())
    assert isinstance(told, Partitions), told
    return told


def is_even(live: LiveFleet) -> bool:
    """Whether a plan of its own is done, and it looks at an even load."""
    told = partitions(live)
    plan, seen = told.plan, told.partitioning
    assert seen is not None and seen.strategy == "adaptive"
    return plan is not None and plan.ended == "done" and plan.by == "adaptive" and not seen.skewed


@pytest.mark.long  # over a minute; tests/controlplane/test_adaptive.py has the machine without processes
async def test_a_skewed_load_is_moved_by_itself_and_keys_keep_their_order(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nprefix = "vip/"\ngroup = "vip"\n')
    options = ("--partitioning", "adaptive", "--partition-rules", str(rules))
    said = dict.fromkeys([*HOT, *OTHERS], 0)
    heard = dict.fromkeys(said, 0)
    homes: dict[str, set[int]] = {key: set() for key in said}
    over = asyncio.Event()

    async def publish(fleet: bus.Fleet) -> None:
        while not over.is_set():
            events = [bus.Event(type="load.step", source="s", subject=key, data=said[key]) for key in said]
            for event, receipt in zip(events, await fleet.publish_many(events), strict=True):
                homes[str(event.subject)].add(receipt.partition)
                said[str(event.subject)] += 1
            await asyncio.sleep(EACH_S)

    async def consume(fleet: bus.Fleet) -> None:
        async with fleet.subscribe("load.>", group="g", order="strict", start="earliest") as deliveries:
            async for delivery in deliveries:
                key, number = str(delivery.event.subject), int(delivery.event.data)
                # A move may deliver again what was delivered, and never leaves anything out.
                assert number <= heard[key], f"{key}: {number} came when {heard[key]} was next"
                heard[key] = max(heard[key], number + 1)
                await delivery.ack()

    with live_fleet(tmp_path / "fleet", *options) as live:
        await live.ready()
        before = {row.partition: row.leader for row in partitions(live).rows}
        async with bus.connect(data_dir=tmp_path / "fleet") as fleet:
            publishing, consuming = (asyncio.create_task(work(fleet)) for work in (publish, consume))
            await until("it is even by itself", lambda: asyncio.to_thread(is_even, live), within=MOVED_S)
            after = {row.partition: row.leader for row in partitions(live).rows}
            over.set()
            await publishing
            await until("all is delivered", lambda: heard == said or consuming.done(), within=MOVED_S)
            assert not consuming.done(), consuming.exception()
            consuming.cancel()
        assert before != after
        assert {key: {HOME(key)} for key in said} == homes, "a key has one home"
        assert homes["vip/0"] == homes["vip/1"] == set(partitions_of_rule(RULES[0], PARTITIONS))
        found = await asyncio.to_thread(live.exported)
        for key in said:
            numbers = [event["data"] for event in found if event["subject"] == key]
            assert numbers == list(range(said[key])), f"{key}: archived once each, in order"
        verified = live.ask(AskVerify(), timeout=60.0)
        assert isinstance(verified, Verified) and verified.same, verified
        assert live.end() == 0
