"""A group whose order spans partitions, at one partition's leader: who works, what each member is told, deadlines."""

from msgspec.structs import replace

from bus.wire import Progress, Settle, Settled, Settlement
from tests.bus.groundtwin import Stage, delivered, event, said, session
from tests.bus.test_delivering import CAUSAL, join


def test_one_member_works_and_each_is_told_how_far_the_partition_is() -> None:
    stage, first, second = Stage(), session(), session()
    stage.lead()
    stage.publish(event(), event("invoice.sent"), event())
    for peer, name, since in ((second, "n", 9), (first, "m", 5)):
        stage.tell(peer, replace(join(member=name, **CAUSAL), since=since))
    sent = stage.turn()
    assert [(to, at) for to, _, at, _ in delivered(sent)] == [(first, 0), (first, 2)]
    told = {to: message for to, message, _ in sent if isinstance(message, Progress)}
    assert told == {first: Progress(1, 0, 0, True, True, False), second: Progress(1, 0, 0, True, False, False)}
    stage.tell(first, Settle(1, 1, 0, [Settlement(0, 1, "begin"), Settlement(0, 1, "ack")]))
    assert said(stage.turn(commit=False), Progress) == [], "settled, not committed"
    stage.commit()
    assert {progress.floor for progress in said(stage.turn(), Progress)} == {2}
    assert delivered(stage.turn(600)) == [], "what is held back has no deadline"
    stage.delivering.on_session_end(first)
    assert [(to, at, attempt) for to, _, at, attempt in delivered(stage.turn())] == [(second, 2, 2)]
    stage.tell(second, Settle(2, 1, 0, [Settlement(2, 2, "begin")]))
    stage.tell(second, Settle(3, 1, 0, [Settlement(2, 1, "begin"), Settlement(7, 1, "begin")]))
    assert [list(answer.stale) for answer in said(stage.turn(), Settled)] == [[], [2, 7]]
    assert delivered(stage.turn(29)) == [] and delivered(stage.turn(2))[0][2:] == (2, 3), "it had begun"
    (open_,) = stage.delivering._companions[0].groups["g"].open.values()
    assert open_.spared == 1, "the attempt of the one that never began it does not count"
