"""Events with ids of their publishers' own, published again under new producers: at one broker, and through kills."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import bus
from bus import batch, limits, wire
from bus.record import unseal
from bus.repeats import Repeated
from bus.store import Platter
from tests.bus.rig import Rig, rig, until
from tests.bus.stage import BODY, Stage

ALL = b"\7"


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def section(producer: bytes, sequence: int = 0, given: bytes = ALL, count: int = 3) -> wire.Section:
    return wire.Section(0, producer.ljust(16, b"-"), sequence, count, given)


def body_of(*ids: str) -> bytes:
    return batch.encode([bus.Event(type="a.b", source="s", id=id, data=id) for id in ids])


def ids_at(stage: Stage) -> list[str]:
    entries = stage.store.span(0, 0, stage.store.mark(0).end, 1 << 30)
    return [id for entry in entries if entry.header.count for id in batch.decode(unseal(entry.record)[1]).ids]


def test_a_batch_under_a_new_producer_is_answered_with_where_it_stands(stage: Stage) -> None:
    first = stage.publish(stage.peer(), section(b"one"), BODY)
    again = stage.publish(stage.peer(), section(b"two"), BODY)
    assert first.repeats == [] and again.repeats == [Repeated(0, 3, first.base_offset, first.appended)]
    assert stage.store.mark(0).end_offset == 3
    assert stage.publish(stage.peer(), section(b"two"), BODY) == again, "a retry has the same answer"
    more = stage.publish(stage.peer(), section(b"two", 1), body_of("id-1", "new", "new"))
    assert more.repeats == [
        Repeated(0, 1, 1, first.appended),
        Repeated(2, 1, more.base_offset, more.appended),
    ]
    assert ids_at(stage) == ["id-0", "id-1", "id-2", "new"]


def test_ids_that_a_client_made_are_neither_checked_nor_remembered(stage: Stage) -> None:
    for producer in (b"one", b"two"):
        assert stage.publish(stage.peer(), section(producer, given=b""), BODY).repeats == []
    assert stage.store.mark(0).end_offset == 6 and not any(map(len, stage.broker.applied.given))
    mixed = stage.publish(stage.peer(), section(b"three", given=b"\2"), BODY)
    again = stage.publish(stage.peer(), section(b"four", given=b"\3"), BODY)
    assert mixed.repeats == [] and again.repeats == [Repeated(1, 1, 7, mixed.appended)]
    assert stage.store.mark(0).end_offset == 11


def test_a_restarted_broker_remembers_and_gives_a_retry_the_same_answer() -> None:
    platter = Platter()
    stage = Stage(platter)
    first = stage.publish(stage.peer(), section(b"one"), BODY)
    again = stage.publish(stage.peer(), section(b"two"), BODY)
    stage.close()
    stage = Stage(platter, epoch=2)
    assert stage.publish(stage.peer(), section(b"two"), BODY) == again
    third = stage.publish(stage.peer(), section(b"three"), body_of("id-2", "id-3", "id-0"))
    assert third.repeats == [
        Repeated(0, 1, first.base_offset + 2, first.appended),
        Repeated(2, 1, first.base_offset, first.appended),
    ]
    assert ids_at(stage) == ["id-0", "id-1", "id-2", "id-3"]
    stage.close()


def test_a_retry_after_its_record_was_trimmed_is_of_unknown_outcome(stage: Stage) -> None:
    stage.publish(stage.peer(), section(b"one"), BODY)
    stage.publish(stage.peer(), section(b"two"), BODY)
    stage.publish(stage.peer(), section(b"three"), body_of("id-3", "id-4", "id-5"))
    stage.broker.replication.trim(0, stage.store.mark(0).end)
    stage.broker.turn()
    outcome = stage.publish(stage.peer(), section(b"two"), BODY)
    assert outcome.code == "OutcomeUnknown" and "trimmed" in outcome.message
    known = stage.publish(stage.peer(), section(b"four"), BODY)
    assert [run.offset for run in known.repeats] == [0], "the window outlives the records"


def test_the_companion_of_a_cut_record_keeps_no_marks(stage: Stage) -> None:
    from bus.broker.cutting import Cutter

    ids = [f"x{n}" for n in range(100)]
    bits = ((1 << 100) - 1).to_bytes(13, "little")
    stage.publish(stage.peer(), section(b"one", given=bits, count=100), body_of(*ids))
    entry = stage.store.entry(0, stage.store.mark(0).end - 1)
    assert len(entry.header.given) == 13 + 1_600
    (piece,) = Cutter().cut(entry, 1 << 7)
    header, _ = unseal(piece.record)
    assert (header.count, header.given, header.repeats, piece.bits) == (1, b"", [], 1)


# ------------------------------------------------------------------------------------------------ real processes


def mine(count: int) -> list[bus.Event]:
    return [bus.Event(type="i.e", source="shop", id=f"order {n}", subject=f"s{n % 40}", data=n) for n in range(count)]


def elect_all(fleet: Rig) -> None:
    names = sorted(fleet.processes)
    for partition in range(fleet.partitions):
        fleet.elect(partition, replicas=names, prefer=names[partition % len(names)])


@pytest.mark.fleet
async def test_what_a_new_client_publishes_again_after_a_kill_stands_where_it_stood(tmp_path: Path) -> None:
    with rig(tmp_path, partitions=3) as fleet:
        await asyncio.to_thread(elect_all, fleet)
        urls = ",".join(process.url for process in fleet.processes.values())
        events = mine(2_000)
        async with bus.connect(urls) as client:
            first = await client.publish_many(events)
        assert not any(receipt.duplicate for receipt in first)
        victim = fleet.seats[0].leader
        await asyncio.to_thread(fleet.kill, victim)
        for partition, seat in list(fleet.seats.items()):
            if seat.leader == victim:
                await asyncio.to_thread(fleet.elect, partition)
        async with bus.connect(urls) as client:
            again = await client.publish_many([*events, *mine(2_010)[2_000:]])
            one = await client.publish(events[7])
            made = await client.publish(bus.Event(type="i.e", source="shop", subject="s7"))
            read = [positioned async for positioned in client.read(positions=True)]
        assert [receipt.duplicate for receipt in again] == [True] * 2_000 + [False] * 10
        where = [(receipt.partition, receipt.offset, receipt.appended, receipt.id) for receipt in first]
        assert [(receipt.partition, receipt.offset, receipt.appended, receipt.id) for receipt in again[:2_000]] == where
        assert one.duplicate and (one.partition, one.offset) == where[7][:2] and not made.duplicate
        assert len(read) == 2_011 and len({positioned.event.id for positioned in read}) == 2_011
        found = {(positioned.partition, positioned.offset): positioned.event.id for positioned in read}
        assert all(found[receipt.partition, receipt.offset] == receipt.id for receipt in again)


@pytest.mark.fleet
async def test_a_follower_that_begins_anew_knows_the_ids_when_it_leads(tmp_path: Path) -> None:
    options = ("--retention-bytes", str(limits.RETENTION_BYTES_MIN))
    with rig(tmp_path, partitions=1, options=options) as fleet:
        await asyncio.to_thread(fleet.elect, 0, None, "b1")
        urls = ",".join(process.url for process in fleet.processes.values())
        await asyncio.to_thread(fleet.kill, "b3")
        events = [event.replace(data="x" * 2_000) for event in mine(500)]
        async with bus.connect(urls) as client:
            first = [await client.publish_many(events[at : at + 20]) for at in range(0, len(events), 20)]
        whole = [receipt for part in first for receipt in part]

        def trimmed() -> bool:
            for plane in fleet.planes.values():
                plane.say(wire.Keep(*fleet.claim, {0: len(events)}))
            peer = fleet.client("b1")
            extents = peer.ask(wire.Describe(peer.number(), [0]), wire.Described).extents
            peer.close()
            return extents[0].first > 0

        await asyncio.to_thread(until, trimmed)
        await asyncio.to_thread(fleet.start, "b3")
        await asyncio.to_thread(until, lambda: "it is to begin at" in fleet.processes["b1"].log.read_text())

        def caught_up() -> bool:
            sampled = [plane.ask(wire.Sample(plane.number()), wire.Sampled) for plane in fleet.planes.values()]
            return len({(sample.replicas[0].end, sample.replicas[0].high) for sample in sampled}) == 1

        await asyncio.to_thread(until, caught_up)
        await asyncio.to_thread(fleet.elect, 0, None, "b3")
        assert fleet.seats[0].leader == "b3"
        async with bus.connect(urls) as client:
            again = await client.publish_many(events)
        assert all(receipt.duplicate for receipt in again)
        assert [receipt.offset for receipt in again] == [receipt.offset for receipt in whole]
