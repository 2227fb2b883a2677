"""The replica machine where a simulation says too little: refusals one by one, hostile words, windows, followers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits, outputs, wire
from bus.errors import BusError, InsufficientReplicas, NotLeader, StaleEpoch
from bus.lineage import Restored
from bus.replica import Replica
from bus.wire import AskEpochEnd, EpochEnd, Seat, Ship, Shipped

from .replicas import MS, Rig


def seat(epoch: int, leader: str, replicas: str = "abc", quorum: int = 2, stores: list[str] | None = None) -> Seat:
    return Seat(0, epoch, leader, list(replicas), quorum, stores or [])


def leader_of(replicas: str = "abc", quorum: int = 2, stores: list[str] | None = None) -> Replica:
    """`a` leads epoch 1; its epoch start is record 0, fsynced."""
    machine = Replica(0, "a", Restored(), "a1")
    machine.offer(1)
    machine.synced(0, 0)
    machine.place(seat(1, "a", replicas, quorum, stores), 0)
    machine.synced(machine.end, 0)
    return machine


def ack(broker: str, end: int, store: str = "", epoch: int = 1, matched: bool = True) -> Shipped:
    return Shipped(0, epoch, broker, store, end, matched)


@pytest.mark.parametrize(
    "wrong",
    [
        seat(1, "a", "aab"),
        seat(1, "d"),
        seat(1, "a", quorum=1),
        seat(1, "a", quorum=4),
        seat(1, "a", quorum=0),
        seat(0, "a"),
        Seat(1, 1, "a", ["a", "b", "c"], 2),
        seat(1, "a", stores=["other", "", ""]),
        seat(2, "a"),
        Seat(0, 1, "a", ["a", "b", "c"], 2, [], ["c"]),
        Seat(0, 1, "a", ["a", "b", "c"], 2, [], ["d", "d"]),
        Seat(0, 1, "d", ["a", "b", "c"], 2, [], ["d"]),
    ],
)
def test_a_seat_that_cannot_be_taken_is_refused_and_changes_nothing(wrong: Seat) -> None:
    machine = Replica(0, "a", Restored(), "a1")
    machine.offer(1)
    before = (machine.role, machine.promised, machine.seat, machine.end)
    with pytest.raises(StaleEpoch):
        machine.place(wrong, 0)
    assert (machine.role, machine.promised, machine.seat, machine.end) == before


def test_a_place_may_be_repeated_and_not_contradicted() -> None:
    machine = leader_of()
    assert machine.place(seat(1, "a"), 0) == []
    with pytest.raises(StaleEpoch):
        machine.place(seat(1, "a", "ab"), 0)
    with pytest.raises(StaleEpoch):
        machine.place(seat(1, "b"), 0)
    assert machine.leads and machine.end == 1


def test_a_leader_that_stepped_down_does_not_take_the_same_epoch_again() -> None:
    machine = leader_of()
    assert [type(output) for output in machine.on_shipped(ack("b", 0, epoch=2, matched=False), 0)] == [outputs.Lost]
    with pytest.raises(StaleEpoch):
        machine.place(seat(1, "a"), 0)
    with pytest.raises(NotLeader):
        machine.append(1, 0)


def test_nobody_leads_is_a_seat_too() -> None:
    machine = leader_of()
    kinds = [type(output) for output in machine.place(seat(2, ""), 0)]
    assert kinds == [outputs.Lost, outputs.SetSeat, outputs.Promise]
    assert machine.role == "idle"


def test_one_replica_commits_by_itself() -> None:
    machine = Replica(0, "a", Restored(), "a1")
    machine.offer(1)
    machine.place(seat(1, "a", "a", 1), 0)
    assert not machine.readable
    assert machine.synced(1, 0) == [outputs.High(1, 0)]
    machine.append(4, 0)
    assert machine.synced(2, 0) == [outputs.High(2, 4)]


def test_followers_do_not_commit_what_the_leader_has_not_fsynced() -> None:
    machine = leader_of()
    machine.append(3, 0)
    assert machine.on_shipped(ack("b", 2), 0) == [outputs.High(1, 0)]
    assert machine.on_shipped(ack("c", 2), 0) == []
    assert machine.synced(2, 0) == [outputs.High(2, 3)]


def test_one_follower_counts_once_however_often_it_acks() -> None:
    machine = leader_of("abcde", 3)
    for _ in range(5):
        assert machine.on_shipped(ack("b", 1), 0) == []
    assert machine.on_shipped(ack("c", 1), 0) == [outputs.High(1, 0)]


def test_acks_of_strangers_of_other_epochs_and_beyond_the_end_count_for_nothing() -> None:
    machine = leader_of()
    for wrong in (ack("d", 1), ack("a", 1), ack("b", 9), ack("b", -1), ack("b", 1, epoch=0)):
        assert machine.on_shipped(wrong, 0) == []
    assert machine.high == 0
    assert machine.rejected == 4  # an older epoch is not wrong, only late


def test_a_replaced_store_has_no_vote_and_a_late_ack_of_the_old_one_neither() -> None:
    machine = leader_of(stores=["a1", "b1", "c1"])
    machine.append(1, 0)
    machine.on_shipped(ack("b", 0, "b2"), 0)
    assert machine.on_shipped(ack("b", 2, "b1"), 0) == []
    machine.synced(2, 0)
    assert machine.on_shipped(ack("b", 2, "b2"), 0) == []
    assert machine.high == 0 and machine.newcomers() == {}
    assert machine.on_shipped(ack("c", 2, "c1"), 0) == [outputs.High(2, 1)]
    assert machine.newcomers() == {"b": "b2"}


def test_only_voters_keep_a_leader_in_business() -> None:
    machine = leader_of(stores=["a1", "b1", "c1"])
    later = (limits.REPLICA_LAG_MS_MAX + 1) * MS
    machine.on_shipped(ack("b", 1, "b2"), later)
    with pytest.raises(InsufficientReplicas):
        machine.append(1, later)
    assert (machine.refused, machine.end) == (1, 1)
    machine.on_shipped(ack("c", 1, "c1"), later)
    assert machine.append(1, later).index == 1
    assert machine.follower_lag(later) == {"b": 0, "c": 0}


def test_what_is_uncommitted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNCOMMITTED_RECORDS_MAX", 3)
    machine = leader_of()
    machine.append(1, 0)
    machine.append(1, 0)
    with pytest.raises(InsufficientReplicas, match="uncommitted"):
        machine.append(1, 0)
    machine.on_shipped(ack("b", 1), 0)
    assert machine.append(1, 0).index == 3


def test_what_is_in_flight_is_bounded_in_records_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHIP_RECORDS_MAX", 4)
    monkeypatch.setattr(limits, "SHIP_WINDOW_RECORDS_MAX", 6)
    monkeypatch.setattr(limits, "SHIP_WINDOW_BYTES_MAX", 1_000)
    machine = leader_of("ab", 2)
    for _ in range(20):
        machine.append(1, 0)
    machine.pump(0)
    machine.on_shipped(ack("b", 1), 0)

    def shipped(size_bytes: int) -> tuple[int, int]:
        out = machine.pump(0)
        if not out:
            return -1, -1
        assert isinstance(out[0], outputs.ShipTo)
        machine.shipped_upto("b", out[0].upto, size_bytes)
        return out[0].first, out[0].upto

    assert [shipped(10), shipped(10), shipped(10)] == [(1, 5), (5, 7), (-1, -1)]
    machine.on_shipped(ack("b", 7), 0)
    assert [shipped(1_000), shipped(10)] == [(7, 11), (-1, -1)]
    machine.on_shipped(ack("b", 11), 0)
    assert shipped(10) == (11, 15)


def test_a_ship_that_was_cut_goes_on_where_it_was_cut() -> None:
    machine = leader_of("ab", 2)
    for _ in range(5):
        machine.append(1, 0)
    machine.pump(0)
    machine.on_shipped(ack("b", 1), 0)
    (first,) = machine.pump(0)
    machine.shipped_upto("b", 3, 100)
    (second,) = machine.pump(0)
    assert isinstance(first, outputs.ShipTo) and isinstance(second, outputs.ShipTo)
    assert (first.first, first.upto, second.first, second.upto, second.prev) == (1, 6, 3, 6, 2)


@pytest.mark.parametrize("records", [1, 700])
def test_a_follower_catches_up_from_any_distance(records: int) -> None:
    rig = Rig()
    for line in ("brokers a b c", "offer a,b,c 1", "sync a,b,c", "place a,b,c 1 a", "exchange a b c", "crash c"):
        rig.run(line)
    for _ in range(records):
        rig.run("append a 2")
    rig.run("exchange a b")
    rig.run("start c")
    rig.now += 300 * MS
    assert rig.run("exchange a b c") == []
    rig.now += 300 * MS
    assert rig.run("exchange a b c") == []
    assert rig.sites["c"].heads == rig.sites["a"].heads
    assert rig.sites["c"].replica.high == records + 1


def test_a_leader_that_lacks_what_is_committed_here_is_not_followed() -> None:
    restored = Restored(promised=1, lineage=[(1, 0)], end=3, end_offset=3, high=3, high_offset=3)
    machine = Replica(0, "b", restored, "b1")
    assert machine.on_ship(Ship(0, 2, "a", 1, 2, 0), [], 0)[-1] == outputs.Send("a", AskEpochEnd(0, 2, "b", 1))
    assert machine.on_epoch_end(EpochEnd(0, 2, 1, 1, 1), 0) == [outputs.Diverged(1, 3)]
    assert machine.on_ship(Ship(0, 2, "a", 0, 1, 0), [], 0) == []
    assert (machine.end, machine.high, machine.rejected) == (3, 3, 1)
    # The next epoch may have a leader that holds it.
    asked = machine.on_ship(Ship(0, 3, "c", 3, 3, 0), [], 0)
    assert asked[-1] == outputs.Send("c", AskEpochEnd(0, 3, "b", 1))
    assert machine.on_epoch_end(EpochEnd(0, 3, 1, 3, 1), 0) == []  # its ack waits for the promise to be durable
    assert machine.synced(3, 0) == [outputs.Send("c", Shipped(0, 3, "b", "b1", 3))]


def test_answers_to_questions_that_were_not_asked_cut_nothing() -> None:
    restored = Restored(promised=1, lineage=[(1, 0)], end=3, end_offset=3, tail=[1, 1, 1])
    machine = Replica(0, "b", restored, "b1")
    machine.on_ship(Ship(0, 2, "a", 9, 2, 0), [], 0)
    for late in (EpochEnd(0, 1, 1, 1, 1), EpochEnd(0, 2, 0, 0, 7), EpochEnd(0, 2, 5, 9, 1), EpochEnd(0, 2, 1, -1, 1)):
        assert machine.on_epoch_end(late, 0) == []
    assert (machine.end, machine.role, machine.rejected) == (3, "asking", 2)
    assert machine.on_epoch_end(EpochEnd(0, 2, 1, 2, 1), 0) == [outputs.Truncate(2, 2)]


NAMES = st.sampled_from(["a", "b", "c", "d", ""])
SMALL = st.integers(-2, 9)
HEADS = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=3)
WORDS = st.one_of(
    st.tuples(st.builds(Ship, st.just(0), SMALL, NAMES, SMALL, SMALL, SMALL), HEADS),
    st.tuples(st.builds(Shipped, st.just(0), SMALL, NAMES, NAMES, SMALL, st.booleans()), st.just([])),
    st.tuples(st.builds(AskEpochEnd, st.just(0), SMALL, NAMES, SMALL), st.just([])),
    st.tuples(st.builds(EpochEnd, st.just(0), SMALL, SMALL, SMALL, SMALL), st.just([])),
    st.tuples(st.builds(Seat, st.just(0), SMALL, NAMES, st.lists(NAMES, max_size=3), SMALL), st.just([])),
    st.tuples(st.integers(-2, 9), st.just([])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=30))
def test_no_word_of_a_peer_breaks_the_machine(words: list[tuple[object, list[tuple[int, int, int]]]]) -> None:
    rig = Rig()
    rig.run("brokers a b c")
    site = rig.sites["a"]
    for at, (word, heads) in enumerate(words):
        high, promised = site.replica.high, site.replica.promised
        try:
            match word:
                case int():
                    out = site.replica.offer(word)
                case Seat():
                    out = site.replica.place(word, at)
                case _:
                    out = rig.receive(site.replica, word, heads)
        except BusError:
            out = []  # a refusal, by name
        out = [*out, *site.replica.pump(at * 100 * MS)]
        rig.carry(site, [one for one in out if not isinstance(one, outputs.ShipTo | outputs.Send)], heads)
        assert len(site.heads) == site.replica.end
        assert site.replica.high >= high and site.replica.promised >= promised
        site.commit()
        site.replica.synced(site.replica.end, at)
        site.commit()
        Replica(0, "a", site.durable, "a1")


def test_votes_are_by_broker_and_store() -> None:
    named = wire.Seat(0, 1, "a", ["a", "b", "c"], 2, ["a1", ""])
    assert [named.votes(*who) for who in (("a", "a1"), ("a", "a2"), ("b", "any"), ("c", "any"), ("d", "a1"))] == [
        True,
        False,
        True,
        True,
        False,
    ]
