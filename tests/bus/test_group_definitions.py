"""Which group of a name it is: removals that are carried again, and members that missed one, at a broker without
sockets."""

import msgspec
import pytest

from bus.companion import Companion
from bus.errors import Busy, CorruptRecord, GroupRemoved
from bus.groupstate import Delta, GroupState, encode_deltas
from bus.session import Session
from bus.wire import Fault, GroupChanged, Joined
from tests.bus.groundtwin import Stage, delivered, session
from tests.bus.test_group_changes import SETTINGS, begun, follower_of, join, remove, to


def told(stage: Stage, peer: Session) -> int:
    """The definition that a member was told last."""
    return int(to(stage, peer, Joined)[-1].definition)


def remade(decision: int = 40) -> tuple[Stage, Session, Session]:
    """A group is removed and made anew; its member, and the plane."""
    stage, _, plane = begun()
    remove(stage, plane, decision=decision)
    stage.turn()
    assert [one.was_there for one in to(stage, plane, GroupChanged)] == [True]
    fresh = session()
    join(fresh, stage, "new")
    stage.turn()
    assert told(stage, fresh) == decision
    return stage, fresh, plane


def test_a_removal_that_is_carried_again_leaves_alone_what_was_made_since() -> None:
    stage, fresh, plane = remade()
    for other in (stage, follower_of(stage)):
        other.ground.sent.clear()
        remove(other, plane, decision=40)
        assert [one.was_there for one in to(other, plane, GroupChanged)] == [False]
        other.turn()
        join(session(), other, "late")
        assert told(other, other.ground.sent[-1][0]) == 40, "it is there"
    assert to(stage, fresh, Fault) == []
    remove(stage, plane, decision=41)
    stage.turn()
    assert [fault.code for fault in to(stage, fresh, Fault)] == ["GroupRemoved"], "a later decision is another"
    assert follower_of(stage).delivering.snapshot(0) == stage.delivering.snapshot(0)


def test_a_member_that_missed_the_removal_does_not_come_to_the_group_made_anew() -> None:
    stage, fresh, _ = remade()
    for other in (stage, follower_of(stage)):
        with pytest.raises(GroupRemoved, match="another one made"):
            join(session(), other, again=True, definition=0)
        join(fresh, other, "new", again=True, definition=40)
        assert told(other, fresh) == 40
        join(session(), other, again=True)  # of an earlier release, which says none


def test_a_removal_where_there_is_no_group_is_known_to_the_next_leader() -> None:
    stage, plane, peer = Stage(), session(), session()
    stage.lead()
    remove(stage, plane, decision=40)
    remove(stage, plane, "h", decision=39)
    stage.turn(commit=False)
    assert to(stage, plane, GroupChanged) == [] and stage.delivering.samples(0) == []
    stage.commit()
    assert [one.was_there for one in to(stage, plane, GroupChanged)] == [False, False]
    assert len(stage.ground.logs[0]) == 1, "the greater decision says it of both"
    other = follower_of(stage)
    join(peer, other)
    other.turn()
    assert told(other, peer) == 40
    remove(other, plane, decision=40)
    other.turn()
    assert to(other, peer, Fault) == []
    assert len(other.ground.logs[0]) == 2, "what is known is not logged again"


def test_a_group_that_comes_while_its_removal_is_noted_stays() -> None:
    stage, plane, peer = Stage(), session(), session()
    stage.lead()
    stage.ground.refuse = True
    remove(stage, plane, decision=40)
    stage.turn()
    assert stage.delivering.next_due(0) is not None, "it is tried again"
    join(peer, stage)
    stage.ground.refuse = False
    stage.turn(1)
    assert told(stage, peer) == 40 and to(stage, plane, GroupChanged)
    assert delivered(stage.turn()) == [] and to(stage, peer, Fault) == []


def test_a_group_that_only_its_leader_knew_is_gone_and_the_decision_is_logged() -> None:
    stage, peer, plane = Stage(), session(), session()
    stage.lead()
    join(peer, stage)
    remove(stage, plane, decision=40)
    assert [fault.code for fault in to(stage, peer, Fault)] == ["GroupRemoved"]
    assert to(stage, plane, GroupChanged) == []
    stage.turn()
    assert to(stage, plane, GroupChanged) and stage.delivering.samples(0) == []
    join(peer, stage)
    stage.turn()
    assert told(stage, peer) == 40


def test_a_plane_whose_leader_is_deposed_before_a_decision_is_committed_asks_the_next_one() -> None:
    stage, plane, peer = Stage(), session(), session()
    stage.lead()
    remove(stage, plane, decision=40)
    stage.turn(commit=False)
    stage.lose()
    assert [fault.code for fault in to(stage, plane, Fault)] == ["NotLeader"]
    stage.ground.logs[0].pop()
    other = follower_of(stage)
    join(peer, other)
    other.turn()
    assert told(other, peer) == 0


def test_removals_that_wait_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.limits.GROUP_REMOVALS_WAITING_MAX", 2)
    stage, plane = Stage(), session()
    stage.lead()
    remove(stage, plane, decision=40)
    remove(stage, plane, decision=40)
    with pytest.raises(Busy, match="2 removals of groups wait"):
        remove(stage, plane, decision=40)
    stage.turn()
    assert len(to(stage, plane, GroupChanged)) == 2


def test_what_was_written_before_there_were_numbers_is_read() -> None:
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(GroupState("g", SETTINGS, 5).kept()))[:-1]
    snapshot = msgspec.msgpack.encode((7, [kept]))
    companion = Companion.restore(snapshot)
    assert (companion.applied, companion.decided, companion.groups["g"].definition) == (7, 0, 0)
    delta = msgspec.msgpack.decode(encode_deltas([Delta("g", 9, removed=True)]))[0][:-1]
    assert companion.apply(7, msgspec.msgpack.encode([delta])) == ["g"] and not companion.groups
    with pytest.raises(CorruptRecord, match="not defined, and removed"):
        companion.apply(8, msgspec.msgpack.encode([delta]))
    assert companion.apply(8, encode_deltas([Delta("g", 9, removed=True, number=40)])) == []
    assert Companion.restore(companion.snapshot()).decided == 40
