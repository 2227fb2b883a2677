"""What a broker knows after a restart: producer windows and replicas, from notes and the headers since."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits, wire
from bus.broker.kept import AppliedNote, ClaimNote, ReplicaNote, kept
from bus.broker.loop import Broker
from bus.errors import CorruptRecord
from bus.store import MemoryMedium, Platter, Store
from tests.bus.stage import BODY, PARTITIONS, Stage, staged

PRODUCER = b"p" * 16


def publish(stage: Stage, sequence: int) -> wire.Outcome:
    return stage.publish(stage.peers[0], wire.Section(0, PRODUCER, sequence, 3), BODY)


@settings(max_examples=12, deadline=None)
@given(every=st.integers(1, 6), counts=st.lists(st.integers(0, 7), min_size=1, max_size=3), clean=st.booleans())
def test_producer_windows_are_the_same_after_a_restart_wherever_the_last_note_stands(
    every: int, counts: list[int], clean: bool
) -> None:
    platter = Platter()
    first: list[wire.Outcome] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "APPLIED_RECORDS_MAX", every)
        for epoch, count in enumerate(counts, start=1):
            with staged(platter, epoch) as stage:
                for _ in range(count):
                    first.append(publish(stage, len(first)))
                crashed = copy.deepcopy(platter)
            platter = platter if clean else crashed  # a crash keeps what was committed before the farewell
        with staged(platter, len(counts) + 1) as stage:
            assert [publish(stage, sequence) for sequence in range(len(first))] == first
            assert publish(stage, len(first)).base_offset == 3 * len(first)


def test_the_notes_are_written_every_so_many_records_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "APPLIED_RECORDS_MAX", 4)
    platter = Platter()
    with staged(platter) as stage:
        for sequence in range(4):
            publish(stage, sequence)
        noted = kept(stage.store, "applied/0", AppliedNote)
        assert noted is not None and noted.upto == 4  # the epoch's start and three batches
    after = Store(MemoryMedium(platter), PARTITIONS, "store")
    last = kept(after, "applied/0", AppliedNote)
    replica = kept(after, "replica/0", ReplicaNote)
    assert last is not None and replica is not None
    assert (last.upto, replica.high, replica.high_offset) == (5, 5, 12)


def test_a_damaged_note_keeps_the_broker_from_starting() -> None:
    platter = Platter()
    with staged(platter):
        pass
    platter.values["replica/0"] = b"\xc1"
    with pytest.raises(CorruptRecord, match="'replica/0' cannot be read"), staged(platter, 2):
        pass


def test_the_claim_and_the_topology_outlive_a_restart() -> None:
    platter = Platter()
    with staged(platter) as stage:
        newer = stage.peer("plane")
        assert stage.ask(newer, wire.Claim(1, 7, "seven"), wire.Claimed).accepted
        told = wire.Topology(3, "rig", 4096, [wire.Node("b1", stage.url, "store")], [])
        newer.say(wire.Spread(7, "seven", told))
        stage.hear(newer, wire.Topology)
    store = Store(MemoryMedium(platter), PARTITIONS, "other")
    broker = Broker(stage.broker.config, store)
    try:
        assert (broker.control.claim, broker.control.topology) == (ClaimNote(7, "seven"), told)
        assert store.id == "store"
        assert not broker.replication.leads(0), "a broker that starts leads nothing"
    finally:
        broker.close("the test is over")


def test_a_watermark_that_is_written_down_is_behind_but_never_below_what_was_trimmed() -> None:
    platter = Platter()
    with staged(platter) as stage:
        for sequence in range(9):
            publish(stage, sequence)
        noted = kept(stage.store, "replica/0", ReplicaNote)
        assert noted is not None and noted.high < 5 < stage.broker.replication.replicas[0].high, "behind, on purpose"
        stage.broker.applied.note(0, lazy=True)  # retention trims nothing that is not in what is written down
        stage.broker.replication.trim(0, 5)
        stage.broker.turn()
        noted = kept(stage.store, "replica/0", ReplicaNote)
        assert noted is not None and noted.high >= 5
        crashed = copy.deepcopy(platter)
    with staged(crashed, 2) as stage:
        assert stage.store.first(0) == 5
        assert publish(stage, 9).base_offset == 27
