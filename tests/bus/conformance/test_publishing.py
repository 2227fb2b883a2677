"""Publishing: receipts, what is refused and how, what is carried on."""

import asyncio

import pytest

import bus
from tests.bus.conformance.conftest import World

TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


async def test_a_receipt_says_where_it_stands_what_is_promised_and_how_it_finds_its_way(world: World) -> None:
    receipt = await world.publish(data={"n": 1})
    async for found in world.fleet.read(f"{world.name}.>", positions=True):
        assert (found.partition, found.offset, found.appended) == (receipt.partition, receipt.offset, receipt.appended)
        assert found.event.id == receipt.id and found.event.data == {"n": 1}
    assert receipt.replicas >= 1 and receipt.guarantee.startswith("quorum: ") and not receipt.duplicate
    assert receipt.routing == "topic"


async def test_what_needs_a_capability_says_that_it_waits_to_be_dispatched(world: World) -> None:
    sent = [world.event(requires=["translate", "legal"]), world.event(priority="high"), world.event()]
    said = [receipt.routing for receipt in await world.fleet.publish_many(sent)]
    assert said == ["dispatch: needs translate, legal; waits for the control plane's choice", "topic", "topic"]


async def test_events_of_a_key_share_a_partition_and_keep_their_order(world: World) -> None:
    sent = [world.event(subject=f"s{n % 7}", data=n) for n in range(500)]
    receipts = await world.fleet.publish_many(sent)
    homes: dict[str | None, set[int]] = {}
    offsets: dict[int, int] = {}
    for event, receipt in zip(sent, receipts, strict=True):
        homes.setdefault(event.subject, set()).add(receipt.partition)
        assert offsets.get(receipt.partition, -1) < receipt.offset
        offsets[receipt.partition] = receipt.offset
    assert all(len(partitions) == 1 for partitions in homes.values())
    by_key: dict[str | None, list[int]] = {}
    for event in await world.read():
        by_key.setdefault(event.subject, []).append(event.data)
    assert by_key == {f"s{k}": [n for n in range(500) if n % 7 == k] for k in range(7)}


async def test_an_id_that_was_given_stands_once(world: World) -> None:
    first = await world.publish(id=f"{world.name}-1", data="first")
    again = await world.publish(id=f"{world.name}-1", data="again")
    other = await world.publish(id=f"{world.name}-1", source="agent/other", data="other")
    assert again.duplicate and (again.partition, again.offset) == (first.partition, first.offset)
    assert not first.duplicate and not other.duplicate
    assert sorted(event.data for event in await world.read()) == ["first", "other"]


async def test_everything_that_is_wrong_is_said_at_once(world: World) -> None:
    bad = world.event(
        "a..b", subject="", correlationid="x\n", priority="urgent", extensions={"Big": 1, "fine": "y", "late": 1.5}
    )
    with pytest.raises(bus.InvalidEvent) as caught:
        await world.fleet.publish(bad)
    assert [name for name, _ in caught.value.errors] == ["type", "subject", "correlationid", "priority", "Big", "late"]
    assert caught.value.attribute == "type" and "wildcard" in caught.value.why
    assert all(f"{name}: {why}" in str(caught.value) for name, why in caught.value.errors)


async def test_one_wrong_thing_reads_as_ever(world: World) -> None:
    with pytest.raises(bus.InvalidEvent) as caught:
        await world.publish(subject="")
    assert caught.value.errors == (("subject", "must not be empty"),)
    assert str(caught.value) == "subject: must not be empty"


async def test_of_many_each_has_its_receipt_or_its_error(world: World) -> None:
    sent = [world.event(data=1), world.event("bad.>", subject=""), world.event(data=3)]
    with pytest.raises(bus.PublishError) as caught:
        await world.fleet.publish_many(sent)
    first, wrong, third = caught.value.results
    assert isinstance(first, bus.Receipt) and isinstance(third, bus.Receipt)
    assert isinstance(wrong, bus.InvalidEvent) and [name for name, _ in wrong.errors] == ["type", "subject"]
    assert [event.data for event in await world.read()] == [1, 3]


@pytest.mark.parametrize("said", [{"type": "signalbox.mine"}, {"source": "signalbox/plane"}])
async def test_what_is_the_planes_own_is_refused_in_the_brokers_words(world: World, said: dict[str, str]) -> None:
    event = bus.Event(**{"type": "a.b", "source": "agent/x", **said})
    with pytest.raises(bus.AccessDenied, match="control plane's own; use a type outside signalbox"):
        await world.fleet.publish(event)


@pytest.mark.parametrize(
    "attributes",
    [
        {"data": {"text": "grüße", "n": 1.5, "list": [None, True, {"a": []}]}},
        {"data": b"\x00\xff", "datacontenttype": "application/octet-stream"},
        {"data": None},
        {"data": "text", "extensions": {"flag": True, "number": -7, "word": "x y"}},
        {"data": 1, "time": 1_700_000_000_123_456_789, "traceparent": TRACE, "tracestate": "a=b"},
        {"data": 1, "partitionkey": "k", "correlationid": "c", "causationid": "e", "priority": "low", "deps": {0: 7}},
    ],
)
async def test_an_event_comes_back_as_it_was_sent(world: World, attributes: dict[str, object]) -> None:
    sent = world.event(id=f"{world.name}-x", **attributes)
    await world.fleet.publish(sent)
    assert await world.read() == [sent], "no time, key or anything else is added"


async def test_what_follows_from_an_event_says_so(world: World) -> None:
    cause = world.event("cause", id="cause-1", subject="order-7", traceparent=TRACE, tracestate="a=b")
    with bus.handling(cause):
        await world.publish("effect", data=1)
        await world.fleet.publish_many([world.event("effect", data=2, correlationid="own", causationid="own")])
        await asyncio.create_task(world.publish("effect", data=3))
    await world.publish("effect", data=4)
    found = {event.data: event for event in await world.read("effect")}
    for n in (1, 3):
        assert (found[n].correlationid, found[n].causationid) == ("order-7", "cause-1")
        assert (found[n].traceparent, found[n].tracestate) == (TRACE, "a=b")
    assert (found[2].correlationid, found[2].causationid, found[2].traceparent) == ("own", "own", TRACE)
    assert (found[4].correlationid, found[4].causationid, found[4].traceparent) == (None, None, None)


async def test_a_causal_client_says_what_it_had_seen(world: World) -> None:
    causal = await world.client(causal=True)
    receipt = await causal.publish(world.event("first"))
    await causal.publish(world.event("second"))
    first, second = await world.read("first"), await world.read("second")
    assert first[0].deps is None and second[0].deps == {receipt.partition: receipt.offset}


async def test_the_extents_tell_what_can_be_read(world: World) -> None:
    before = await world.fleet.describe()
    receipt = await world.publish()
    after = await world.fleet.describe()
    assert set(after) == set(range(4)) and after[receipt.partition].high >= receipt.offset + 1
    assert sum(extent.high for extent in after.values()) >= sum(extent.high for extent in before.values()) + 1


async def test_a_client_that_is_over_says_so(world: World) -> None:
    other = await world.client()
    await other.__aexit__(None, None, None)
    with pytest.raises(bus.ClientError, match="closed"):
        await other.publish(world.event())
