"""What operators change of groups, at a broker without sockets: settings, removals, and whoever comes meanwhile."""

import pytest
from msgspec.structs import replace

from bus import wire
from bus.errors import Busy, ClientError, GroupConflict, GroupRemoved, NotLeader
from bus.groupsettings import CHANGEABLE, changed, check_same
from bus.groupstate import decode_deltas
from bus.record import GROUP, unseal
from bus.session import Session
from bus.wire import (
    ChangeGroup,
    Fault,
    Governed,
    GroupChanged,
    GroupSettings,
    Join,
    Joined,
    Settle,
    Settled,
    Settlement,
)
from tests.bus.groundtwin import SECOND, GroundTwin, Stage, delivered, event, numbers, said, session

SETTINGS = GroupSettings("order.>", -1, 30_000, 5)


def join(
    peer: Session, stage: Stage, member: str = "m", again: bool = False, definition: int = -1, **other: int
) -> None:
    settings = replace(SETTINGS, **other)
    stage.tell(peer, Join(1, "g", 0, member, settings, 10, again=again, definition=definition))


def ack(stage: Stage, peer: Session, *offsets: int) -> int:
    request = next(numbers)
    stage.tell(peer, Settle(request, 1, 0, [Settlement(offset, 1, "ack") for offset in offsets]))
    return request


def change(stage: Stage, plane: Session, group: str = "g", **changes: int) -> None:
    stage.tell(plane, ChangeGroup(next(numbers), 1, "plane", 0, group, changes))


def remove(stage: Stage, plane: Session, group: str = "g", decision: int = 0) -> None:
    stage.tell(plane, ChangeGroup(next(numbers), 1, "plane", 0, group, decision=decision))


def begun() -> tuple[Stage, Session, Session]:
    """A stage with three events out with one member; and the plane."""
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(event(), event(), event())
    join(peer, stage)
    assert len(delivered(stage.turn())) == 3
    return stage, peer, session()


def to(stage: Stage, peer: Session, kind: type) -> list:
    return [message for who, message, _ in stage.ground.sent if who is peer and isinstance(message, kind)]


def follower_of(stage: Stage) -> Stage:
    """Another broker, with the same log, that leads now."""
    ground = GroundTwin("b2")
    ground.logs = [list(log) for log in stage.ground.logs]
    ground.clock = stage.ground.clock + 2 * SECOND
    other = Stage(ground)
    other.commit()
    other.lead()
    return other


# ------------------------------------------------------------------------------------------------ settings


def test_new_settings_reach_members_and_the_plane_when_they_are_committed() -> None:
    stage, peer, plane = begun()
    change(stage, plane, ack_wait_ms=60_000)
    stage.turn(commit=False)
    assert to(stage, peer, Governed) == [] == to(stage, plane, GroupChanged)
    stage.commit()
    told = changed("g", SETTINGS, {"ack_wait_ms": 60_000})
    assert to(stage, peer, Governed) == [Governed(1, 0, told)] and told.governed == ("ack_wait_ms",)
    assert [one.was_there for one in to(stage, plane, GroupChanged)] == [True]


def test_a_member_comes_with_what_its_program_says_and_is_told_what_holds() -> None:
    stage, _, plane = begun()
    change(stage, plane, ack_wait_ms=60_000, max_deliver=2)
    stage.turn()
    old, new = session(), session()
    join(old, stage, "old")
    join(new, stage, "new", ack_wait_ms=60_000, max_deliver=2)
    settings = changed("g", SETTINGS, {"ack_wait_ms": 60_000, "max_deliver": 2})
    for peer in (old, new):
        assert [one.settings for one in to(stage, peer, Joined)] == [settings]
    with pytest.raises(GroupConflict, match="group g has pattern=") as conflict:
        stage.tell(session(), Join(1, "g", 0, "x", replace(SETTINGS, pattern="other"), 1))
    assert conflict.value.field == "pattern"


def test_what_members_say_of_governing_counts_for_nothing() -> None:
    stage, peer = Stage(), session()
    stage.lead()
    stage.tell(peer, Join(1, "g", 0, "m", replace(SETTINGS, governed=("ack_wait_ms",)), 1))
    stage.turn()
    with pytest.raises(GroupConflict, match="signalbox group update"):
        join(session(), stage, "n", ack_wait_ms=1)


def test_new_settings_outlive_the_leader() -> None:
    stage, _, plane = begun()
    change(stage, plane, ack_wait_ms=60_000)
    stage.turn()
    other, late = follower_of(stage), session()
    join(late, other)
    assert to(other, late, Joined)[0].settings.ack_wait_ms == 60_000
    assert other.delivering.snapshot(0) == stage.delivering.snapshot(0)


def test_a_plane_whose_leader_is_deposed_is_told_so() -> None:
    stage, _, plane = begun()
    change(stage, plane, max_deliver=9)
    stage.turn(commit=False)
    stage.lose()
    assert [fault.code for fault in to(stage, plane, Fault)] == ["NotLeader"]
    with pytest.raises(NotLeader):
        change(stage, plane, max_deliver=9)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"order": 1}, "order: of group g ack_wait, max_deliver may be changed; for another order, make another group"),
        ({"ack_wait_ms": 0}, "ack_wait: 0 ms; 1 to"),
        ({"max_deliver": 1_000}, "max_deliver: 1000; 1 to 100 are possible"),
    ],
)
def test_what_cannot_be_is_refused_and_named(changes: dict[str, int], why: str) -> None:
    stage, _, plane = begun()
    with pytest.raises(ClientError, match=why):
        change(stage, plane, **changes)


def test_only_what_an_operator_set_is_governed() -> None:
    governed = changed("g", SETTINGS, {"ack_wait_ms": 5})
    again = changed("g", governed, {"max_deliver": 9})
    assert (governed.governed, again.governed) == (("ack_wait_ms",), CHANGEABLE)
    check_same("g", governed, SETTINGS)
    with pytest.raises(GroupConflict, match="max_deliver"):
        check_same("g", governed, replace(SETTINGS, max_deliver=1))


# ------------------------------------------------------------------------------------------------ removal


def test_a_group_is_gone_when_its_removal_is_committed_and_everyone_hears() -> None:
    stage, peer, plane = begun()
    remove(stage, plane)
    request = ack(stage, peer, 0)
    stage.turn(commit=False)
    assert stage.ground.sent == []
    stage.commit()
    faults = to(stage, peer, Fault)
    assert {fault.request for fault in faults} == {request, 1} and {fault.code for fault in faults} == {"GroupRemoved"}
    assert [one.was_there for one in to(stage, plane, GroupChanged)] == [True]
    assert not stage.delivering.knows(peer, 1) and stage.delivering.samples(0) == []
    stage.publish(event())
    assert delivered(stage.turn(40)) == [] and stage.delivering.next_due(0) is None


def test_what_was_settled_before_is_answered_as_ever() -> None:
    stage, peer, plane = begun()
    ack(stage, peer, 0)
    stage.turn(commit=False)
    remove(stage, plane)
    stage.turn()
    assert [answer.stale for answer in to(stage, peer, Settled)] == [{}]


def test_who_comes_meanwhile_waits_and_who_was_there_makes_no_new_one() -> None:
    stage, peer, plane = begun()
    remove(stage, plane)
    stage.turn(commit=False)
    with pytest.raises(Busy, match="is being removed"):
        join(session(), stage, "new")
    stage.commit()
    with pytest.raises(GroupRemoved, match="subscribing again makes a new one"):
        join(peer, stage, again=True)
    fresh = session()
    join(fresh, stage, "new")
    stage.turn()
    assert [one.floor for one in said(stage.ground.sent, Joined)] == [0]
    assert len(delivered(stage.ground.sent) or delivered(stage.turn())) == 3, "it begins where it is told to"


def test_followers_agree_and_the_next_leader_has_no_such_group() -> None:
    stage, _, plane = begun()
    remove(stage, plane)
    stage.turn()
    other = follower_of(stage)
    assert other.delivering.snapshot(0) == stage.delivering.snapshot(0)
    with pytest.raises(GroupRemoved):
        join(session(), other, again=True)
    remove(other, plane)
    assert [one.was_there for one in to(other, plane, GroupChanged)] == [False]


def test_a_removal_that_is_not_committed_when_its_leader_is_deposed_has_not_been() -> None:
    stage, peer, plane = begun()
    remove(stage, plane)
    stage.turn(commit=False)
    stage.lose()
    assert [fault.code for fault in to(stage, plane, Fault)] == ["NotLeader"]
    assert [fault.code for fault in to(stage, peer, Fault)] == ["NotLeader"]
    stage.ground.logs[0].pop()
    other, late = follower_of(stage), session()
    join(late, other, again=True)
    assert to(other, late, Joined)


def test_a_removal_waits_for_replicas_and_comes_once() -> None:
    stage, _, plane = begun()
    stage.ground.refuse = True
    remove(stage, plane)
    remove(stage, plane)
    stage.turn()
    assert to(stage, plane, GroupChanged) == [] and stage.delivering.next_due(0) is not None
    stage.ground.refuse = False
    stage.turn(1)
    assert len(to(stage, plane, GroupChanged)) == 2
    entries = [entry for entry in stage.ground.logs[0] if entry.header.kind == GROUP]
    deltas = [delta for entry in entries for delta in decode_deltas(unseal(entry.record)[1])]
    assert [delta.removed for delta in deltas].count(True) == 1


def test_a_group_that_nobody_but_its_leader_knows_of_is_gone_at_once() -> None:
    stage, peer, plane = Stage(), session(), session()
    stage.lead()
    join(peer, stage)
    remove(stage, plane)
    assert [fault.code for fault in to(stage, peer, Fault)] == ["GroupRemoved"] and to(stage, plane, GroupChanged)
    stage.turn()
    assert stage.ground.logs[0] == []


def test_a_group_that_is_broken_can_be_removed() -> None:
    stage, peer, plane = begun()
    stage.publish(event())
    stage.ground.damaged = True
    stage.turn()
    assert [fault.code for fault in to(stage, peer, Fault)] == ["CorruptRecord"]
    remove(stage, plane)
    stage.turn()
    assert to(stage, plane, GroupChanged)
    stage.ground.damaged = False
    join(peer, stage)
    stage.turn()
    assert to(stage, peer, Joined)


def test_others_of_the_partition_sleep_and_advance_as_if_nothing_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.limits.GROUP_PASSED_EVENTS_MAX", 2)
    stage, _, plane = begun()
    for name in ("h", "i"):
        stage.tell(session(), Join(1, name, 0, "m", replace(SETTINGS, pattern=f"{name}.>"), 10))
    stage.turn()
    stage.turn()
    remove(stage, plane, "h")
    for _ in range(4):
        stage.publish(event("bulk"), event("bulk"))
        stage.turn()
    assert sorted(sample.group for sample in stage.delivering.samples(0)) == ["g", "i"]
    assert follower_of(stage).delivering.snapshot(0) == stage.delivering.snapshot(0)


def test_a_group_that_is_not_there_is_not() -> None:
    stage, _, plane = begun()
    remove(stage, plane, "nobody")
    change(stage, plane, "nobody", max_deliver=3)
    assert [one.was_there for one in to(stage, plane, GroupChanged)] == [False, False]
    assert wire.GroupChanged in {type(message) for _, message, _ in stage.ground.sent}
