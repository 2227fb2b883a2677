"""A member that holds back, without sockets: what a leader hears of what is given out, and what is taken back."""

import asyncio
from itertools import count
from typing import Any

import pytest

from bus import batch, wire
from bus.bitmap import packed
from bus.client.deliveries import Delivery
from bus.client.holding import OrderedSubscription
from bus.client.transport import LoopClock
from bus.errors import ClientError
from bus.event import Event
from bus.record import EVENTS, Header, seal

CAUSAL = wire.GroupSettings("work.>", -1, 30_000, 3, "causal", lateness_ms=1_000, gap="wait")


class Link:
    """A session with the leader of the one partition; `heard`: what the member said."""

    def __init__(self) -> None:
        self.heard: list[wire.Message] = []
        self.callbacks: dict[int, Any] = {}
        self.lost = None

    def send(self, message: wire.Message) -> None:
        self.heard.append(message)

    def ask(self, number: int, message: wire.Message, blobs: Any, callback: Any) -> bool:
        self.heard.append(message)
        self.callbacks[number] = callback
        if isinstance(message, wire.Join):
            joined = wire.Joined(number, message.group, 0, 0)
            asyncio.get_running_loop().call_soon(callback, joined, [])
        return True

    def forget(self, number: int) -> None:
        self.callbacks.pop(number, None)

    @property
    def join(self) -> wire.Join:
        return next(one for one in self.heard if isinstance(one, wire.Join))

    @property
    def settles(self) -> list[wire.Settle]:
        return [one for one in self.heard if isinstance(one, wire.Settle)]

    def delivers(self, base: int, rows: list[int], attempts: dict[int, int] | None = None) -> None:
        """Rows of a record of 8 events at `base`; the last of them depends on the one before."""
        deps = [None] * 7 + [{0: base + 6}]
        events = [Event(type="work.asked", source="s", id=f"e{base + row}", deps=deps[row]) for row in range(8)]
        header = Header(EVENTS, 0, 1, base, 8, 0)
        record = seal(header, batch.encode(events))
        deliver = wire.Deliver(self.join.subscription, 0, packed(sum(1 << row for row in rows), 8), attempts or {})
        self.callbacks[self.join.subscription](deliver, [record])

    def progress(self, floor: int, active: bool = True) -> None:
        number = self.join.subscription
        self.callbacks[number](wire.Progress(number, 0, floor, True, active, active), [])

    def answers(self, settle: wire.Settle, stale: dict[int, str] | None = None) -> None:
        self.callbacks[settle.request](wire.Settled(settle.request, stale or {}), [])


class Cluster:
    """One partition, led from behind `link`."""

    def __init__(self) -> None:
        self.partitions = 1
        self.observers: set[Any] = set()
        self.numbers = count(1)
        self.closed = False
        self.clock = LoopClock()
        self.link = Link()

    def leader(self, partition: int) -> Link:
        return self.link


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


async def joined(cluster: Cluster) -> OrderedSubscription:
    mine = OrderedSubscription(cluster, "g", CAUSAL, 16, "m")  # type: ignore[arg-type]
    await mine.__aenter__()
    cluster.link.progress(0)
    return mine


async def close(mine: OrderedSubscription) -> None:
    mine._abandon()
    await mine.__aexit__(None, None, None)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def begun(settle: wire.Settle) -> list[tuple[int, int]]:
    return [(item.offset, item.attempt) for item in settle.items if item.verdict == "begin"]


async def test_the_leader_hears_what_is_given_out_and_an_effect_waits_for_its_cause(cluster: Cluster) -> None:
    mine, link = await joined(cluster), cluster.link
    link.delivers(8, [0, 6, 7], {6: 2})
    await turns()
    (settle,) = link.settles
    assert begun(settle) == [(8, 1), (14, 2)] and settle.acks == [] and mine.held == 1
    ((waits, partition, offset),) = mine.waiting()
    assert isinstance(waits, Delivery) and (waits.offset, partition, offset) == (15, 0, 14)
    got = [await anext(mine), await anext(mine)]
    assert [(one.offset, one.attempt, one.event.id) for one in got] == [(8, 1, "e8"), (14, 2, "e14")]
    acks = [one.ack() for one in got]
    await turns()
    assert link.settles[-1].acks == [8, 1]
    assert link.settles[-1].items == [wire.Settlement(14, 2, "ack")]
    for settle in link.settles:
        link.answers(settle)
    for ack in acks:
        await ack
    link.progress(15)
    assert (await anext(mine)).offset == 15 and mine.held == 0
    await close(mine)


async def test_what_the_leader_had_taken_back_is_not_given_out(cluster: Cluster) -> None:
    mine, link = await joined(cluster), cluster.link
    link.delivers(0, [0, 1, 2])
    await turns()
    (settle,) = link.settles
    assert begun(settle) == [(0, 1), (1, 1), (2, 1)]
    share = mine._memberships[0].share
    assert share.out == 3
    link.answers(settle, {1: "attempt 1 is over"})
    assert share.out == 2 and mine._memberships[0].holds() == {0: 1, 2: 1}
    assert [(await anext(mine)).offset for _ in range(2)] == [0, 2]
    await close(mine)


async def test_what_another_member_works_on_now_is_given_back(cluster: Cluster) -> None:
    mine, link = await joined(cluster), cluster.link
    link.delivers(0, [6, 7])
    await turns()
    assert mine.held == 1
    link.progress(0, active=False)
    assert mine.held == 0 and mine._memberships[0].share.out == 1
    assert mine._memberships[0].holds() == {6: 1}, "what was given out it keeps"
    await close(mine)


async def test_the_next_leader_hears_of_what_was_handed_out_alone(cluster: Cluster) -> None:
    mine, link = await joined(cluster), cluster.link
    link.delivers(0, [0, 1, 6, 7])
    await turns()
    taken, done = await anext(mine), await anext(mine)
    done.ack()
    await turns()
    assert len(link.settles) == 2
    cluster.link = following = Link()
    mine._attend()
    await turns()
    assert following.join.holds == {taken.offset: 1, done.offset: 1}, "not what waits for its turn, or to be taken"
    assert following.join.since == link.join.since > 0
    said = [item for settle in following.settles for item in settle.items]
    assert said == [] and [settle.acks for settle in following.settles] == [[1, 1]]
    assert mine.held == 0 and mine._memberships[0].share.out == 1
    await close(mine)


async def test_there_are_no_batches_of_what_is_held_back(cluster: Cluster) -> None:
    mine = await joined(cluster)
    with pytest.raises(ClientError, match="iterate over the subscription itself"):
        mine.batches()
    await close(mine)
