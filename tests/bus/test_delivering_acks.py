"""Acks by runs at a broker, without sockets."""

import pytest

from bus import limits
from bus.errors import ProtocolError
from bus.wire import Settle, Settled, Settlement
from tests.bus.groundtwin import event, said
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
