"""Reading by time and by cause, through the public API; and the loop behind it with arrivals in a given order."""

import asyncio
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bus
from bus import batch, limits
from bus.client.ordering import InCause, InTime, Loop, Positioned
from bus.client.watching import Chunk, Piece, Tap
from bus.clock import merge
from tests.bus.client.fakebroker import FakeFleet

LATENESS_NS = 10**9


def event(number: int, time: int | None = None, key: int | None = None, **more: Any) -> bus.Event:
    subject = f"s{number % 17 if key is None else key}"
    return bus.Event(type="order.created", source="agent/shop", id=f"e{number}", subject=subject, time=time, **more)


class Script:
    """Watches that bring chunks in a given order; every tap of them stands where its last chunk has brought it."""

    def __init__(self, partitions: int, arrivals: list[tuple[int, int, list[bus.Event]]]) -> None:
        self.taps = {partition: Tap(partition, 0) for partition in range(partitions)}
        self.chunks: deque[Chunk] = deque()
        self.taken: list[Chunk] = []
        for partition, base, events in arrivals:
            header = batch.Header(batch.EVENTS, partition, 1, base, len(events), 1)
            piece = Piece(header, batch.encode(events), b"", base)
            self.chunks.append(Chunk(self.taps[partition], [piece], base + len(events), 100))
            self.taps[partition].high = max(self.taps[partition].high, base + len(events))

    async def next(self, within: float | None = None) -> Chunk | None:
        if not self.chunks:
            return None
        chunk = self.chunks.popleft()
        chunk.tap.offset = chunk.next_offset
        return chunk

    def done(self, chunk: Chunk) -> None:
        self.taken.append(chunk)


async def played(script: Script, hold: InTime | InCause) -> list[Positioned]:
    return [found async for found in Loop(script, hold, LATENESS_NS).events()]  # type: ignore[arg-type]


async def test_arrivals_c_b_a_are_given_as_a_b_c() -> None:
    arrivals = [
        (2, 0, [event(3, deps={1: 0, 0: 0})]),
        (1, 0, [event(2, deps={0: 0})]),
        (0, 0, [event(1)]),
    ]
    script, hold = Script(3, arrivals), InCause({}, LATENESS_NS)
    assert [found.event.id for found in await played(script, hold)] == ["e1", "e2", "e3"]
    assert (hold.prevented, hold.gaps, len(hold), len(script.taken)) == (2, 0, 0, 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), max_size=8), min_size=3, max_size=3), st.randoms(use_true_random=False))
def test_history_is_merged_by_time_whichever_partition_arrives_first(lines: list[list[int]], dice: Any) -> None:
    chunks = {
        partition: [(partition, base, [event(0, time)]) for base, time in enumerate(sorted(line))]
        for partition, line in enumerate(lines)
    }
    arrivals = []
    while any(chunks.values()):
        arrivals.append(chunks[dice.choice([one for one in chunks if chunks[one]])].pop(0))
    hold = InTime(0)
    found = asyncio.run(played(Script(3, arrivals), hold))
    assert [one.event.time for one in found] == sorted(time for line in lines for time in line)
    assert hold.late == 0


async def test_a_partition_that_is_ahead_waits_at_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDBACK_EVENTS_MAX", 4)
    ahead = [(0, base, [event(base, deps={1: 0})]) for base in range(6)]
    script = Script(2, [*ahead, (1, 0, [event(9)])])
    granted = []
    loop = Loop(script, InCause({}, LATENESS_NS), LATENESS_NS)  # type: ignore[arg-type]
    async for _found in loop.events():
        granted.append(len(script.taken))
    assert granted[0] <= 3 and len(script.taken) == 7, "two of a share, and the one that released them"


async def test_by_time_through_a_fleet(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        times = [number * 1_000 + (7 * number) % 500 for number in range(400)]
        await fleet.publish_many([event(number, time) for number, time in enumerate(times)])
        reading = fleet.read(order="timestamp", lateness=0.001)
        assert [one.time async for one in reading] == times and reading.late == 0 and reading.held == 0


@pytest.mark.parametrize(("policy", "ids"), [("deliver", ["e1", "e3", "e2"]), ("drop", ["e1", "e2"])])
async def test_a_late_one_is_counted_and_given_by_policy(policy: str, ids: list[str]) -> None:
    arrivals = [(0, 0, [event(1, 100)]), (0, 1, [event(2, 200)]), (0, 2, [event(3, 5)])]
    hold = InTime(0, policy)
    assert [found.event.id for found in await played(Script(1, arrivals), hold)] == ids
    assert hold.late == 1


async def test_what_is_held_goes_after_the_lateness_though_nothing_else_comes(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        async with asyncio.timeout(10):
            reading = fleet.read(follow=True, order="timestamp", lateness=0.05)
            await fleet.publish_many([event(1, 1_000), event(2, 900), event(3, 950)])
            assert [(await anext(reading)).id for _ in range(3)] == ["e2", "e3", "e1"]
            await reading.aclose()


async def test_a_causal_fleet_says_what_it_knew(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls, causal=True) as one, bus.connect(fake.urls, causal=True) as two:
        first = await one.publish(event(1, key=1))
        second = await one.publish(event(2, key=2))
        async for found in two.read(positions=True):
            if found.event.id == "e1":
                assert found.event.deps is None
            else:
                assert found.event.deps == {first.partition: first.offset}
        receipts = await two.publish_many([event(3, key=3, deps={11: 4}), event(4, key=4)])
        after = {place.id: place async for place in one.read()}
        known = {first.partition: first.offset, second.partition: second.offset}
        assert after["e3"].deps == merge(known, {11: 4}) and after["e4"].deps == known
        last = await two.publish(event(5, key=5))
        reading = one.read(order="causal", positions=True, gap="skip", lateness=0.0)
        found = [place async for place in reading]
        ids = [place.event.id for place in found]
        assert ids[:2] == ["e1", "e2"] and ids[-1] == "e5" and found[-1].offset == last.offset
        assert set(ids) == {f"e{number}" for number in range(1, 6)}
        assert {receipts[0].partition, receipts[1].partition} <= set(found[-1].event.deps or {})
        with pytest.raises(bus.ClientError, match="quorum"):
            await one.publish(event(6), acks="leader")


async def test_a_delivery_is_known_too(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls, causal=True) as fleet, bus.connect(fake.urls) as other:
        receipt = await other.publish(event(1, key=1))
        async with fleet.subscribe("order.>", group="billing", start="earliest") as deliveries:
            delivery = await anext(deliveries)
            await fleet.publish(event(2, key=2))
            await delivery.ack()
        found = {one.id: one.deps async for one in other.read()}
        assert found == {"e1": None, "e2": {receipt.partition: receipt.offset}}


@pytest.mark.parametrize(("gap", "ids"), [("wait", ["e1"]), ("skip", ["e1", "e2"]), ("dead-letter", ["e1"])])
async def test_a_gap_is_visible(fake: FakeFleet, gap: str, ids: list[str]) -> None:
    async with bus.connect(fake.urls) as fleet:
        receipt = await fleet.publish(event(1, key=1))
        other = 1 - min(receipt.partition, 1)
        await fleet.publish(event(2, key=1, deps={other: 1_000}))
        reading = fleet.read(order="causal", gap=gap)
        assert [one.id async for one in reading] == ids
        assert (reading.gaps, reading.prevented, reading.late) == (1, 0, 0)
        assert reading.skipped == (gap == "skip") and reading.held == (gap == "wait")
        assert [place.event.id for place in reading.aside] == (["e2"] if gap == "dead-letter" else [])
        assert [(place.event.id, *on) for place, *on in reading.waiting()] == (
            [("e2", other, 1_000)] if gap == "wait" else []
        )


async def test_no_such_order(fake: FakeFleet) -> None:
    async with bus.connect(fake.urls) as fleet:
        for wrong in ({"order": "strict"}, {"late": "never"}, {"gap": "jump"}, {"lateness": -1.0}):
            with pytest.raises(bus.ClientError, match=next(iter(wrong))):
                fleet.read(**wrong)  # type: ignore[call-overload]
        with pytest.raises(bus.ClientError, match="order"):
            fleet.subscribe("a", group="g", order="backwards")
