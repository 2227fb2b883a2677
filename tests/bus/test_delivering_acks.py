"""Acks by runs at a broker, without sockets."""

import pytest

from bus import limits
from bus.errors import InsufficientReplicas, ProtocolError
from bus.record import GROUP
from bus.wire import Settle, Settled, Settlement
from tests.bus.groundtwin import Stage, event, said, session
from tests.bus.test_delivering import CAUSAL, ack, join, started


@pytest.mark.parametrize("acks", [[0], [0, 0], [1, -1], [-1, 1], [1, 1, 0, 1], [0, limits.SETTLE_ACKS_MAX + 1]])
def test_acks_that_are_no_runs_are_refused_whole(acks: list[int]) -> None:
    stage, peer = started(event(), event())
    with pytest.raises(ProtocolError, match="acks"):
        stage.tell(peer, Settle(1, 1, 0, [Settlement(0, 1, "ack")], acks))
    assert said(stage.turn(), Settled) == [] and stage.delivering.samples(0)[0].in_flight == 2


def test_acks_by_runs_settle_first_attempts_and_name_the_others() -> None:
    stage, peer = started(*[event() for _ in range(6)], credit=4)
    ack(stage, peer, 1, verdict="nack")
    stage.turn()
    stage.tell(peer, Settle(9, 1, 0, [Settlement(0, 1, "ack")], [0, 9]))
    (settled,) = said(stage.turn(), Settled)
    assert sorted(settled.stale) == [1, 4, 5, 6, 7, 8], "nacked, not delivered, not there"
    assert "over (nack)" in settled.stale[1] and stage.delivering.samples(0)[0].acked == 3


def test_what_began_and_is_acked_in_one_frame_is_settled() -> None:
    stage, peer = started()
    stage.tell(peer, join(2, "n", group="h", **CAUSAL))
    stage.publish(event(), event())
    stage.turn()
    begins = [Settlement(0, 1, "begin"), Settlement(1, 1, "begin")]
    stage.tell(peer, Settle(9, 2, 0, [*begins, Settlement(1, 1, "nack")], [0, 1]))
    (settled,) = said(stage.turn(), Settled)
    sample = next(one for one in stage.delivering.samples(0) if one.group == "h")
    assert settled.stale == {} and (sample.acked, sample.failed, sample.in_flight) == (1, 1, 1)


def groups_logged(stage: Stage) -> int:
    return sum(entry.header.kind == GROUP for entry in stage.ground.logs[0])


def test_acks_gather_while_a_record_of_groups_is_not_committed() -> None:
    stage, peer = started(*[event() for _ in range(9)])
    before = groups_logged(stage)
    ack(stage, peer, 0)
    stage.turn(commit=False)
    assert groups_logged(stage) == before + 1, "nothing is on its way: logged at once"
    for offset in (1, 2, 3):
        ack(stage, peer, offset)
        stage.turn(commit=False)
    assert groups_logged(stage) == before + 1
    due = stage.delivering.next_due(7)
    assert due is not None and 7 < due <= 7 + limits.GROUP_GATHER_MS * 1_000_000, "the loop does not spin meanwhile"
    stage.commit()
    assert len(said(stage.turn(commit=False), Settled)) == 0
    assert groups_logged(stage) == before + 2, "one record for the three"
    stage.commit()
    assert [answer.stale for answer in said(stage.ground.sent, Settled)] == [{}, {}, {}]


def test_acks_gather_for_so_long_and_no_longer() -> None:
    stage, peer = started(event(), event())
    ack(stage, peer, 0)
    stage.turn(commit=False)
    ack(stage, peer, 1)
    stage.turn(commit=False)
    before = groups_logged(stage)
    stage.turn(limits.GROUP_GATHER_MS / 1_000, commit=False)
    assert groups_logged(stage) == before + 1


def test_acks_do_not_gather_where_the_next_event_waits_for_them() -> None:
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(event(subject="k"), event(subject="l"))
    stage.tell(peer, join(order="strict"))
    stage.turn()
    before = groups_logged(stage)
    for offset in (0, 1):
        ack(stage, peer, offset)
        stage.turn(commit=False)
    assert groups_logged(stage) == before + 2


def test_settlements_that_wait_for_a_commit_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GROUP_SETTLES_WAITING_MAX", 2)
    stage, peer = started(event(), event(), event())
    stage.ground.refuse = True
    for offset in (0, 1):
        ack(stage, peer, offset)
        stage.turn()
    with pytest.raises(InsufficientReplicas, match="owes 2 answers at partition 0"):
        ack(stage, peer, 2)
    stage.ground.refuse = False
    assert len(said(stage.turn(1), Settled)) == 2
    ack(stage, peer, 2)
    assert len(said(stage.turn(), Settled)) == 1
