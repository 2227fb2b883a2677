"""Watches: what is sent, to whom, how far; credit, filters, instants; and the full disk."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import batch, limits, wire
from bus.bitmap import rows_of
from bus.broker.reading import Reading
from bus.errors import CorruptRecord, StorageFull
from bus.event import Event
from bus.record import unseal
from bus.store import MemoryMedium
from bus.store.medium import Writes
from bus.topic import matches
from tests.bus.rig import Peer
from tests.bus.stage import BODY, CLAIM, Stage, staged

LARGE = 1 << 20


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


def publish(stage: Stage, peer: Peer, types: list[str]) -> int:
    """Publish one batch; its base offset."""
    body = batch.encode([Event(type=kind, source="s", id=f"{kind}-{number}") for number, kind in enumerate(types)])
    outcome = stage.publish(peer, wire.Section(0, b"", 0, len(types)), body)
    assert not outcome.code, outcome
    return outcome.base_offset


def rows(records: wire.Records, blobs: list[bytes]) -> list[tuple[int, str]]:
    """(offset, type) of everything a Records means."""
    found = []
    for blob, bits in zip(blobs, records.rows, strict=True):
        header, body = unseal(blob)
        columns = batch.decode(body)
        meant = rows_of(bits, header.count) if bits else range(header.count)
        found += [(header.base_offset + row, columns.types[columns.type_index[row]]) for row in meant]
    return found


def read(stage: Stage, peer: Peer, watch: wire.Watch) -> list[tuple[int, str]]:
    """Everything a watch gives until it stands at the high watermark."""
    peer.say(watch)
    found: list[tuple[int, str]] = []
    at = watch.offset
    while True:
        records, blobs = stage.hear(peer, wire.Records)
        assert records.subscription == watch.subscription
        assert records.first_offset == at or watch.time
        found += rows(records, blobs)
        at = records.next_offset
        if at >= records.high:
            return found
        peer.say(wire.Credit(watch.subscription, sum(map(len, blobs))))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batches=st.lists(st.lists(st.sampled_from(["a.b", "a.c", "b.b.c", "b"]), min_size=1, max_size=12), max_size=5),
    pattern=st.sampled_from([">", "a.*", "b.>", "b", "*.b", "nothing.>"]),
    start=st.integers(0, 40),
    credit=st.sampled_from([1, 700, LARGE]),
)
def test_a_watch_gives_exactly_what_matches_from_its_offset_on(
    batches: list[list[str]], pattern: str, start: int, credit: int
) -> None:
    with staged() as stage:
        peer = stage.peer()
        published = []
        for types in batches:
            base = publish(stage, peer, types)
            published += [(base + row, kind) for row, kind in enumerate(types)]
        wanted = [(at, kind) for at, kind in published if at >= start and matches(pattern, kind)]
        assert read(stage, peer, wire.Watch(7, 0, start, 0, pattern, False, credit)) == wanted


def test_reserved_types_come_only_when_asked_for(stage: Stage) -> None:
    publish(stage, stage.plane, ["signalbox.tick", "a.b"])
    peer = stage.peer()
    assert read(stage, peer, wire.Watch(1, 0, 0, 0, ">", False, LARGE)) == [(1, "a.b")]
    assert len(read(stage, peer, wire.Watch(2, 0, 0, 0, ">", True, LARGE))) == 2
    assert read(stage, peer, wire.Watch(3, 0, 0, 0, "signalbox.>", False, LARGE)) == [(0, "signalbox.tick")]


def quiet(stage: Stage, peer: Peer) -> bool:
    """Whether a peer has heard no Records by the answer to a request of its own."""
    stage.ask(peer, wire.Describe(1, []), wire.Described)
    return not [message for message, _ in peer.inbox if isinstance(message, wire.Records)]


def test_a_watch_follows_and_hears_nothing_of_what_it_filters(stage: Stage) -> None:
    peer, writer = stage.peer(), stage.peer()
    assert read(stage, peer, wire.Watch(1, 0, 0, 0, "x.>", False, LARGE)) == []
    publish(stage, writer, ["a.b", "a.b"])
    assert quiet(stage, peer)
    publish(stage, writer, ["a.b", "x.y"])
    told, blobs = stage.hear(peer, wire.Records)
    assert rows(told, blobs) == [(3, "x.y")]
    assert (told.first_offset, told.next_offset, told.high) == (0, 4, 4), "from where it was told to stand, no gap"
    peer.say(wire.Unwatch(1))
    publish(stage, writer, ["x.y"])
    assert quiet(stage, peer)


def test_a_watch_that_asked_hears_soon_what_was_passed(stage: Stage) -> None:
    peer, writer = stage.peer(), stage.peer()
    assert read(stage, peer, wire.Watch(1, 0, 0, 0, "x.>", False, LARGE, passes=True)) == []
    for base in (0, 2):
        publish(stage, writer, ["a.b", "a.b"])
        told, blobs = stage.hear(peer, wire.Records)
        assert (told.first_offset, told.next_offset, told.high, blobs) == (base, base + 2, base + 2, [])
    publish(stage, writer, ["x.y"])
    assert rows(*stage.hear(peer, wire.Records)) == [(4, "x.y")]


def test_the_slow_round_tells_every_watch_where_it_stands(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_PASSED_EVENTS_MAX", 3)
    peer, writer = stage.peer(), stage.peer()
    for number in range(30):
        assert read(stage, peer, wire.Watch(number, 0, 0, 0, "x.>", False, LARGE)) == []
    publish(stage, writer, ["a", "a"])
    for _ in range(5):
        assert quiet(stage, peer), "two events are too few to speak of"
    publish(stage, writer, ["a", "a"])
    told = {}
    for _ in range(30):
        records, _ = stage.hear(peer, wire.Records)
        told[records.subscription] = (records.first_offset, records.next_offset)
    assert told == dict.fromkeys(range(30), (0, 4)), "each of them once"
    assert quiet(stage, peer)


def test_what_is_not_matched_does_not_touch_a_sleeping_watch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, writer = stage.peer(), stage.peer()
    for number in range(200):
        read(stage, peer, wire.Watch(number, 0, 0, 0, f"other.{number}.>", False, LARGE))
    read(stage, peer, wire.Watch(200, 0, 0, 0, "a.>", False, LARGE))
    advanced = []
    real = Reading._advance
    monkeypatch.setattr(
        Reading, "_advance", lambda self, watch: advanced.append(watch.subscription) or real(self, watch)
    )
    for _ in range(5):
        publish(stage, writer, ["a.b"] * 3)
        stage.hear(peer, wire.Records)
    assert advanced == [200] * 5
    publish(stage, writer, ["other.7.x", "other.9.y", "a.b"])
    heard = {stage.hear(peer, wire.Records)[0].subscription for _ in range(3)}
    assert heard == {7, 9, 200}


def test_what_newcomers_missed_is_looked_through_once_for_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_NEWCOMERS_TURN_RECORDS_MAX", 7)
    peer, writer = stage.peer(), stage.peer()
    for number in range(30):
        publish(stage, writer, ["a", f"other.{number}.x"])
    looked = []
    real = batch.types_of
    monkeypatch.setattr("bus.broker.reading.types_of", lambda body: looked.append(0) or real(body))
    collected = []
    collect = Reading._collect
    monkeypatch.setattr(
        Reading, "_collect", lambda self, watch, *more: collected.append(watch.index) or collect(self, watch, *more)
    )
    for number in range(100):
        peer.say(wire.Watch(number, 0, number % 3, 0, f"other.{number}.>", False, LARGE))
    found: dict[int, list[tuple[int, str]]] = {}
    for _ in range(100):
        records, blobs = stage.hear(peer, wire.Records)
        assert (records.first_offset, records.next_offset) == (records.subscription % 3, 60)
        found[records.subscription] = rows(records, blobs)
    expected = {number: [(2 * number + 1, f"other.{number}.x")] for number in range(30)}
    assert found == {number: expected.get(number, []) for number in range(100)}
    assert len(looked) <= 30 * 2, "a pass over the log or two, not a hundred"
    assert len(collected) == 30
    publish(stage, writer, ["other.99.y", "a"])
    assert rows(*stage.hear(peer, wire.Records)) == [(60, "other.99.y")] and quiet(stage, peer)


def test_a_newcomer_that_leaves_or_is_far_behind_holds_up_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCH_NEWCOMER_RECORDS_MAX", 5)
    monkeypatch.setattr(limits, "WATCH_NEWCOMERS_TURN_RECORDS_MAX", 1)
    peer, writer = stage.peer(), stage.peer()
    for _ in range(10):
        publish(stage, writer, ["a"])
    for number, offset in enumerate((0, 6, 7, 8, 10)):
        peer.say(wire.Watch(number, 0, offset, 0, "b", False, LARGE))
    peer.say(wire.Credit(1, 5))
    peer.say(wire.Unwatch(2))
    publish(stage, writer, ["b"])
    found: dict[int, list[tuple[int, str]]] = {}
    while len(found) < 4:
        records, blobs = stage.hear(peer, wire.Records)
        if blobs:
            found[records.subscription] = rows(records, blobs)
    assert found == {number: [(10, "b")] for number in (0, 1, 3, 4)}
    assert not stage.broker.reading.busy


def test_a_sleeping_watch_without_credit_waits_at_what_it_matched(stage: Stage) -> None:
    peer, writer = stage.peer(), stage.peer()
    read(stage, peer, wire.Watch(1, 0, 0, 0, "x.>", False, 1))
    publish(stage, writer, ["x.1"])
    assert rows(*stage.hear(peer, wire.Records)) == [(0, "x.1")]
    publish(stage, writer, ["a"])
    publish(stage, writer, ["x.2"])
    publish(stage, writer, ["x.3"])
    assert quiet(stage, peer)
    peer.say(wire.Credit(1, LARGE))
    told, blobs = stage.hear(peer, wire.Records)
    assert rows(told, blobs) == [(2, "x.2"), (3, "x.3")] and told.first_offset == 1


def test_watches_wait_until_the_partition_can_be_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, writer = stage.peer(), stage.peer()
    with monkeypatch.context() as patch:
        patch.setattr(stage.broker.replication, "leads", lambda partition: False)
        peer.say(wire.Watch(1, 0, 0, 0, ">", False, LARGE))
        assert quiet(stage, peer)
    publish(stage, writer, ["a"])
    assert rows(*stage.hear(peer, wire.Records)) == [(0, "a")]


def test_a_record_that_cannot_be_looked_through_wakes_everyone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, writer = stage.peer(), stage.peer()
    read(stage, peer, wire.Watch(1, 0, 0, 0, "a", False, LARGE))
    read(stage, peer, wire.Watch(2, 0, 0, 0, "b", False, LARGE))

    def damaged(body: object) -> list[str]:
        raise CorruptRecord("its types cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr("bus.broker.reading.types_of", damaged)
        publish(stage, writer, ["a"])
        heard = [stage.hear(peer, wire.Records) for _ in range(2)]
    found = {records.subscription: rows(records, blobs) for records, blobs in heard}
    assert found == {1: [(0, "a")], 2: []}, "each reads for itself, and would hear what is wrong"


def test_a_watch_from_beyond_the_end_sleeps_until_it_is_reached(stage: Stage) -> None:
    peer, writer = stage.peer(), stage.peer()
    peer.say(wire.Watch(1, 0, 3, 0, ">", False, LARGE))
    assert stage.hear(peer, wire.Records)[0].next_offset == 3
    publish(stage, writer, ["a", "a"])
    assert quiet(stage, peer)
    publish(stage, writer, ["b", "c"])
    assert rows(*stage.hear(peer, wire.Records)) == [(3, "c")]


def test_without_credit_nothing_is_sent_but_where_the_watch_stands(stage: Stage) -> None:
    peer = stage.peer()
    publish(stage, peer, ["a.b"])
    peer.say(wire.Watch(1, 0, 0, 0, ">", False, 0))
    told, blobs = stage.hear(peer, wire.Records)
    assert (told.next_offset, told.high, blobs) == (0, 1, [])
    for nonsense in (0, -5):
        peer.say(wire.Credit(1, nonsense))
    peer.say(wire.Credit(99, 5))
    stage.ask(peer, wire.Describe(1, []), wire.Described)
    assert not [message for message, _ in peer.inbox if isinstance(message, wire.Records)]
    peer.say(wire.Credit(1, 1))
    told, blobs = stage.hear(peer, wire.Records)
    assert len(blobs) == 1, "one record at least, however little credit"
    assert not stage.broker.reading.busy


def test_an_instant_is_found_and_one_in_the_future_is_the_end(stage: Stage) -> None:
    peer = stage.peer()
    for kind in ("a", "b", "c"):
        publish(stage, peer, [kind])
    index = stage.store.index_of(0, 1)
    appended = stage.store.header(0, index).appended
    assert [kind for _, kind in read(stage, peer, wire.Watch(1, 0, 0, appended, ">", False, LARGE))] == ["b", "c"]
    assert read(stage, peer, wire.Watch(2, 0, 0, 1, ">", False, LARGE))[0] == (0, "a")
    assert read(stage, peer, wire.Watch(3, 0, 0, appended * 2, ">", False, LARGE)) == []


def test_watching_what_is_led_elsewhere_is_refused_and_lost_leadership_is_told(stage: Stage) -> None:
    peer = stage.peer()
    for partition, code in ((1, "NotLeader"), (5, "UnknownPartition")):
        fault = stage.ask(peer, wire.Watch(4, partition, 0, 0, ">", False, LARGE), wire.Fault)
        assert (fault.request, fault.code) == (4, code)
    assert stage.ask(peer, wire.Watch(5, 0, 0, 0, "a..b", False, LARGE), wire.Fault).code == "InvalidPattern"
    read(stage, peer, wire.Watch(6, 0, 0, 0, ">", False, LARGE))
    stage.ask(stage.plane, wire.Offer(9, *CLAIM, 0, 2), wire.Answered)
    fault = stage.hear(peer, wire.Fault)[0]
    assert (fault.request, fault.code) == (6, "NotLeader")


def test_nothing_is_read_before_the_epoch_start_is_committed(stage: Stage) -> None:
    stage.ask(stage.plane, wire.Offer(9, *CLAIM, 1, 2), wire.Answered)
    seat = wire.Seat(1, 2, "b1", ["b1", "b2"], 2)
    assert stage.ask(stage.plane, wire.Place(10, *CLAIM, seat), wire.Placed).accepted
    peer = stage.peer()
    peer.say(wire.Watch(1, 1, 0, 0, ">", False, LARGE))
    described = stage.ask(peer, wire.Describe(1, []), wire.Described)
    assert [extent.partition for extent in described.extents] == [0]
    assert not peer.inbox
    body = batch.encode([Event(type="a", source="s", id="1")])
    peer.say(wire.Publish(2, "leader", [wire.Section(1, b"", 0, 1)]), [body])
    outcome = stage.hear(peer, wire.Published)[0].outcomes[0]
    assert (outcome.code, outcome.replicas) == ("", 1), "a fresh leader takes appends; acks=leader is answered on fsync"
    assert stage.broker.replication.replicas[1].high == 0


def test_a_damaged_record_ends_the_watch_with_its_name(stage: Stage) -> None:
    peer = stage.peer()
    publish(stage, peer, ["a"])
    index = stage.store.index_of(0, 0)
    medium = stage.store._medium
    whole = medium.record(0, index)
    medium.commit(Writes(records=[(0, index, whole[:-1] + b"X")]))
    stage.store._tail.drop(0, 0)
    fault = stage.ask(peer, wire.Watch(3, 0, 0, 0, ">", False, LARGE), wire.Fault)
    assert (fault.request, fault.code) == (3, "CorruptRecord")


def test_a_full_store_steps_down_says_why_and_comes_back_with_room(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = stage.peer()
    publish(stage, peer, ["kept"])

    def refuse(medium: MemoryMedium, writes: Writes) -> None:
        raise StorageFull("the disk is full; make room")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryMedium, "commit", refuse)
        outcome = stage.publish(peer, wire.Section(0, b"p" * 16, 0, 3), BODY)
        assert outcome.code == "OutcomeUnknown", (
            "it may have reached followers: its producer repeats it at the next leader"
        )
        assert stage.hear(stage.plane, wire.Bye)[0].code == "closing"
        assert stage.publish(peer, wire.Section(0, b"p" * 16, 0, 3), BODY).code == "StorageFull"
        plane = stage.peer("plane")
        assert stage.ask(plane, wire.Claim(1, *CLAIM), wire.Fault).code == "StorageFull"
    assert [record.getMessage() for record in caplog.records if "stepping down" in record.getMessage()] == [
        "b1: stepping down from every partition; the disk is full; make room"
    ]
    stage.broker.look_at_room()
    assert stage.ask(plane, wire.Claim(2, *CLAIM), wire.Claimed).accepted
    assert stage.ask(plane, wire.Offer(3, *CLAIM, 0, 2), wire.Answered).end_offset == 1
    assert stage.ask(plane, wire.Place(4, *CLAIM, wire.Seat(0, 2, "b1", ["b1"], 1)), wire.Placed).accepted
    assert stage.publish(peer, wire.Section(0, b"p" * 16, 0, 3), BODY).base_offset == 1
    assert read(stage, peer, wire.Watch(1, 0, 0, 0, ">", False, LARGE))[0] == (0, "kept")


def test_under_the_reserve_publishers_are_refused_before_anything_breaks(stage: Stage) -> None:
    peer = stage.peer()
    stage.broker._reserve = 1 << 55
    stage.broker.look_at_room()
    outcome = stage.publish(peer, wire.Section(0, b"", 0, 3), BODY)
    assert outcome.code == "StorageFull" and "under its reserve" in outcome.message
    sampled = stage.ask(stage.plane, wire.Sample(8), wire.Sampled)
    assert sampled.refuses and 0 <= sampled.free_bytes < sampled.reserve_bytes
    assert stage.broker.replication.leads(0), "what is kept can still be read"
    stage.broker._reserve = 0
    stage.broker.look_at_room()
    assert not stage.ask(stage.plane, wire.Sample(9), wire.Sampled).refuses
    assert stage.publish(peer, wire.Section(0, b"", 0, 3), BODY).code == ""
