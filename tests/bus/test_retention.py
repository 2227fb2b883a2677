"""Retention: what may go and what may not, who is told, and how a follower that lacks it begins anew."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import batch, limits, wire
from bus.broker.loop import Broker
from bus.config import BrokerConfig
from bus.event import Event
from bus.group import Group
from bus.groupstate import GroupState
from bus.record import EVENTS, Header, seal
from bus.store import MemoryMedium, Platter, Store
from bus.wire import GroupSettings, Settlement
from tests.bus.groupmodel import deliveries
from tests.bus.rig import Rig, publish, rig, until
from tests.bus.stage import CLAIM, Stage, staged

SECOND = 1_000_000_000
SETTINGS = GroupSettings("a.>", -1, 1_000, 3)


def body(count: int = 3, size: int = 10) -> bytes:
    return batch.encode([Event(type="a.b", source="s", id=f"e{n}", data="x" * size) for n in range(count)])


def put(store: Store, count: int, size: int = 10, appended: int = 0) -> None:
    mark = store.mark(0)
    header = Header(EVENTS, 0, 1, mark.end_offset, count, max(appended, mark.appended))
    store.append(0, header, seal(header, bytes(size)))


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 4)),
            st.tuples(st.just("trim"), st.integers(0, 12)),
            st.tuples(st.just("cut"), st.integers(0, 12)),
            st.tuples(st.sampled_from(["commit", "rollback", "reopen"]), st.just(0)),
        ),
        max_size=40,
    )
)
def test_a_trimmed_store_is_its_records_from_the_first_on_however_it_is_opened(steps: list[tuple[str, int]]) -> None:
    platter = Platter()
    store = Store(MemoryMedium(platter), 1, "id", cache_bytes_max=200)
    model: list[tuple[int, int]] = []  # (base offset, count) by index from 0
    first, durable = 0, (0, list(model))
    for verb, value in steps:
        match verb:
            case "put":
                model.append((store.mark(0).end_offset, value))
                put(store, value)
            case "trim":
                first = max(first, min(value, len(durable[1]), len(model)))
                store.trim(0, first)
            case "cut":
                del model[max(value, first) :]
                store.truncate(0, value)
                if len(model) < len(durable[1]):
                    durable = durable[0], durable[1][: len(model)]
                    store.commit()
                    durable = first, list(model)
            case "commit":
                store.commit()
                durable = first, list(model)
            case _:
                store.rollback()
                if verb == "reopen":
                    store = Store(MemoryMedium(platter), 1, "id", cache_bytes_max=200)
                first, model = durable[0], list(durable[1])
        end = len(model)
        assert (store.first(0), store.mark(0).end) == (first, end)
        held = store.span(0, first, end, 1 << 20)
        assert [(entry.header.base_offset, entry.header.count) for entry in held] == model[first:]
        assert store.size(0) == sum(len(entry.record) for entry in held)
        before = model[first - 1] if first else (0, 0)
        assert store.first_offset(0) == sum(before)
        assert store.index_of(0, 0) == (first if first < end else end)


class Keeping:
    """A stage whose broker has retention, and a clock that can be moved."""

    def __init__(self, stage: Stage, **retention: int) -> None:
        self.stage = stage
        config = BrokerConfig(directory=Path("unused"), id="b1", fleet="f", partitions=2, **retention)
        broker: Broker = stage.broker
        retention_of = type(broker.retention)(config, stage.store, broker.replication, broker.applied)
        retention_of.soon = broker.retention.soon
        broker.retention = retention_of
        broker.control.on_archived = retention_of.keep
        self.client = stage.peer()

    def publish(self, times: int, size: int = 1_000) -> None:
        for _ in range(times):
            outcome = self.stage.publish(self.client, wire.Section(0, b"", 0, 3), body(3, size))
            assert not outcome.code

    def archive(self, offset: int) -> None:
        self.stage.plane.say(wire.Keep(*CLAIM, {0: offset}))
        self.look()

    def look(self) -> None:
        for _ in range(4):
            self.stage.broker.retention._looked = None
            self.stage.broker.turn()

    @property
    def first_offset(self) -> int:
        return self.stage.store.first_offset(0)


def test_nothing_goes_before_the_plane_has_it_and_then_only_what_is_too_much() -> None:
    with staged() as stage:
        keeping = Keeping(stage, retention_bytes=limits.RETENTION_BYTES_MIN)
        keeping.publish(60)
        keeping.look()
        assert keeping.first_offset == 0 and stage.store.size(0) > limits.RETENTION_BYTES_MIN
        keeping.archive(30)
        assert keeping.first_offset == 30
        keeping.archive(180)
        assert stage.store.size(0) <= limits.RETENTION_BYTES_MIN < stage.store.size(0) + 5_000
        extent = stage.ask(keeping.client, wire.Describe(99, [0]), wire.Described).extents[0]
        assert extent.first == keeping.first_offset > 30


def test_what_is_too_old_goes_and_a_restart_goes_on_from_there() -> None:
    platter = Platter()
    with staged(platter) as stage:
        keeping = Keeping(stage, retention_seconds=1)
        keeping.publish(5)
        keeping.archive(15)
        assert keeping.first_offset == 0
        due = time.monotonic() + 20
        while keeping.first_offset < 15 and time.monotonic() < due:
            keeping.look()
        assert keeping.first_offset == 15
    with staged(platter, epoch=2) as stage:
        keeping = Keeping(stage)
        assert keeping.first_offset == 15
        keeping.publish(1)
        stage.plane.say(wire.Watch(7, 0, 0, 0, ">", False, 1 << 20))
        records, blobs = stage.hear(stage.plane, wire.Records)
        assert (records.first_offset, records.next_offset, len(blobs)) == (15, 18, 1)


def test_only_the_plane_that_is_obeyed_may_let_go() -> None:
    with staged() as stage:
        client = stage.peer()
        client.say(wire.Keep(*CLAIM, {0: 1}))
        assert stage.hear(client, wire.Fault)[0].code == "AccessDenied"
        stage.plane.say(wire.Keep(99, "another", {0: 1}))
        assert stage.hear(stage.plane, wire.Fault)[0].code == "StaleEpoch"


def fed(count: int) -> Group:
    group = Group(GroupState("g", SETTINGS, 0), 0, fresh=True)
    group.join("m", 3, 0)
    group.feed(0, count, (1 << count) - 1, 0, 0)
    return group


def test_a_group_passes_what_was_trimmed_and_counts_it_but_keeps_what_members_hold() -> None:
    group = fed(6)
    assert [offset for _, offset, _ in deliveries(group, 0)] == [0, 1, 2]
    group.trimmed(10, 0)  # three were ready, four unread
    assert (group.cursor, group.floor) == (10, 0)
    assert group.settle("m", [Settlement(0, 1, "ack"), Settlement(1, 1, "nack", 0)], 0) == {}
    group.trimmed(10, 0)  # what comes back cannot be sent again
    assert "trimmed" in group.settle("m", [Settlement(1, 1, "ack")], 0)[1]
    assert group.feed(10, 5, (1 << 5) - 1, 0, 0) == 15
    sample = group.sample(0, 20 - group.cursor, soon=18)
    assert (sample.trimmed, sample.acked, sample.waiting, sample.in_flight, sample.endangered) == (8, 1, 10, 1, 3)


@given(st.integers(0, 12), st.integers(0, 20), st.integers(0, 4))
def test_the_durable_state_of_a_group_follows_over_the_gap(read: int, first: int, acked: int) -> None:
    state = GroupState("g", SETTINGS, 0)
    group = fed(read)
    delta = group.delta()
    assert delta is not None
    state.apply(delta)
    group.logged()
    out = [offset for _, offset, _ in deliveries(group, 0)]
    group.settle("m", [Settlement(offset, 1, "ack") for offset in out[:acked]], 0)
    group.trimmed(first, 0)
    delta = group.delta()
    if delta is not None:
        state.apply(delta)
        group.logged()
    assert state == group.state()
    assert state.upto == max(read, first)
    assert all(offset >= first or offset in out[acked:] for offset in state.open)


def elect(fleet: Rig, name: str) -> None:
    fleet.elect(0, replicas=["b1", "b2", "b3"], prefer=name)


@pytest.fixture
def first_of(tmp_path: Path) -> Callable[[Rig, str], int]:
    def ask(fleet: Rig, name: str) -> int:
        peer = fleet.client(name)
        try:
            extents = peer.ask(wire.Describe(peer.number(), [0]), wire.Described).extents
        finally:
            peer.close()
        return extents[0].first if extents else -1

    return ask


def test_a_new_disk_begins_where_the_leader_does_and_then_leads(
    tmp_path: Path, first_of: Callable[[Rig, str], int]
) -> None:
    options = ("--retention-bytes", str(limits.RETENTION_BYTES_MIN))
    with rig(tmp_path, partitions=1, options=options) as fleet:
        elect(fleet, "b1")
        leader = fleet.seats[0].leader
        other = next(name for name in ("b2", "b3") if name != leader)
        fleet.kill(other)
        producer = b"p" * 16
        peer = fleet.client(leader)
        for sequence in range(60):
            assert not publish(peer, 0, body(3, 1_000), 3, producer=producer, sequence=sequence).code

        def trimmed() -> bool:
            for plane in fleet.planes.values():
                plane.say(wire.Keep(*fleet.claim, {0: 150}))
            return first_of(fleet, leader) > 0

        until(trimmed)
        for path in (tmp_path / other / "store.lmdb").iterdir():
            path.unlink()
        fleet.start(other)
        fleet.spread()
        plane = fleet.planes[leader]

        def caught_up() -> bool:
            sampled = plane.ask(wire.Sample(plane.number()), wire.Sampled)
            return other in sampled.replicas[0].newcomers

        until(caught_up)
        fleet.elect(0)  # the seat names the new store: it has a vote
        fleet.kill(leader)
        third = next(name for name in fleet.processes if name != other)
        fleet.elect(0, prefer=other)
        assert third in fleet.processes
        peer = fleet.client(fleet.seats[0].leader)
        again = publish(peer, 0, body(3, 1_000), 3, producer=producer, sequence=59)
        assert (again.code, again.base_offset) == ("", 177)
        assert publish(peer, 0, body(3, 1_000), 3, producer=producer, sequence=60).base_offset == 180
