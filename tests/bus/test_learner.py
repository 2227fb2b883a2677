"""A learner at its leader, and as itself: it gets what replicas get, and nothing waits for it or is helped by it."""

import pytest

from bus import limits, outputs
from bus.errors import InsufficientReplicas, StaleEpoch
from bus.lineage import Restored
from bus.replica import Replica
from bus.wire import Seat, Ship, Shipped

from .replicas import MS

STORES = ["a1", "b1", "c1"]
LATER = (limits.REPLICA_LAG_MS_MAX + 1) * MS


def seat(epoch: int = 1, leader: str = "a", learners: str = "d", stores: list[str] | None = None) -> Seat:
    return Seat(0, epoch, leader, ["a", "b", "c"], 2, STORES if stores is None else stores, list(learners))


def led(stores: list[str] | None = None) -> Replica:
    """`a` leads epoch 1 with `d` as a learner; its epoch start is record 0, fsynced."""
    machine = Replica(0, "a", Restored(), "a1")
    machine.offer(1)
    machine.place(seat(stores=stores), 0)
    machine.synced(machine.end, 0)
    return machine


def ack(broker: str, end: int) -> Shipped:
    return Shipped(0, 1, broker, f"{broker}1", end)


@pytest.mark.parametrize("stores", [STORES, []])
def test_what_a_learner_holds_is_not_committed_by_it(stores: list[str]) -> None:
    machine = led(stores)
    machine.append(3, 0)
    machine.synced(2, 0)
    assert machine.on_shipped(ack("d", 2), 0) == [] and machine.high == 0
    assert machine.follower_end() == {"b": 0, "c": 0, "d": 2}
    assert machine.on_shipped(ack("c", 2), 0) == [outputs.High(2, 3)]


def test_a_learner_is_shipped_to_and_named_once_it_holds_what_is_committed() -> None:
    machine = led()
    machine.append(3, 0)
    machine.synced(2, 0)
    assert {out.broker for out in machine.pump(0) if isinstance(out, outputs.ShipTo)} == {"b", "c", "d"}
    machine.on_shipped(ack("d", 1), 0)
    machine.on_shipped(ack("b", 2), 0)
    assert machine.readable and machine.newcomers() == {}
    machine.on_shipped(ack("d", 2), 0)
    assert machine.newcomers() == {"d": "d1"}


def test_a_learner_keeps_no_leader_in_business_and_takes_nobody_out_of_it() -> None:
    machine = led()
    machine.on_shipped(ack("d", 1), LATER)
    with pytest.raises(InsufficientReplicas):
        machine.append(1, LATER)
    machine.on_shipped(ack("b", 1), LATER)
    assert machine.append(1, LATER).index == 1, "with b there is a quorum, whether d is there or not"
    # Nor one that never spoke: a new leader hopes for its replicas for a while, not for its learners.
    fresh = led([])
    fresh._followers["b"].heard = fresh._followers["c"].heard = -LATER
    with pytest.raises(InsufficientReplicas):
        fresh.append(1, 0)


def test_a_learner_follows_and_never_leads() -> None:
    machine = Replica(0, "d", Restored(), "d1")
    machine.place(seat(), 0)
    assert (machine.role, machine.leader, machine.promised) == ("following", "a", 1)
    told = machine.on_ship(Ship(0, 1, "a", -1, 0, 0), [(1, 0, 0), (1, 0, 3)], 0)
    assert told == [outputs.Store(0, 0)]
    assert machine.synced(2, 0) == [outputs.Send("a", Shipped(0, 1, "d", "d1", 2))]
    machine.offer(2)
    with pytest.raises(StaleEpoch):
        machine.place(seat(2, "d"), 0)
    assert not machine.leads


def test_who_is_neither_a_replica_nor_a_learner_any_more_follows_nobody() -> None:
    machine = Replica(0, "d", Restored(), "d1")
    machine.place(seat(), 0)
    machine.place(seat(2, "b", learners=""), 0)
    assert (machine.role, machine.leader, machine.promised) == ("idle", "", 2)
