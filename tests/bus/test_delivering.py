"""Groups at a broker, without sockets: sessions, the log, commits, dead letters, changes of leadership."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import batch, limits, wire
from bus.errors import BusError, ClientError, GroupConflict, NotLeader, UnknownPartition
from bus.event import Event, to_json
from bus.record import EVENTS, GROUP
from bus.session import Session
from bus.wire import Fault, GroupSettings, Join, Joined, Leave, Settle, Settled, Settlement
from tests.bus.groundtwin import SECOND, Stage, delivered, event, numbers, said, session

SETTINGS = GroupSettings("order.>", -1, 30_000, 3)
CAUSAL = {"order": "causal", "gap": "wait", "lateness_ms": 1_000}


def join(subscription: int = 1, member: str = "m", credit: int = 10, group: str = "g", **changed: object) -> Join:
    settings = replace(SETTINGS, **changed)
    return Join(subscription, group, 0, member, settings, credit)


def started(*events: Event, member: str = "m", credit: int = 10) -> tuple[Stage, Session]:
    """A stage with one member that has been delivered to."""
    stage, peer = Stage(), session()
    stage.lead()
    if events:
        stage.publish(*events)
    stage.tell(peer, join(member=member, credit=credit))
    stage.turn()
    return stage, peer


def ack(stage: Stage, peer: Session, *offsets: int, attempt: int = 1, verdict: str = "ack", error: str = "") -> None:
    items = [Settlement(offset, attempt, verdict, 0, error) for offset in offsets]
    stage.tell(peer, Settle(next(numbers), 1, 0, items))


def test_a_group_begins_when_its_definition_is_committed() -> None:
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(event(), event())
    stage.tell(peer, join())
    assert stage.turn(commit=False) == [], "appended, not committed"
    stage.commit()
    assert said(stage.ground.sent, Joined) == [Joined(1, "g", 0, 0)]
    assert [(at, attempt) for _, _, at, attempt in delivered(stage.turn())] == [(0, 1), (1, 1)]
    other = session()
    stage.tell(other, join(member="n"))
    assert said(stage.ground.sent, Joined)[-1] == Joined(1, "g", 0, 0), "the second member comes in at once"
    assert stage.delivering.members() == 2
    assert stage.delivering.knows(other, 1) and not stage.delivering.knows(other, 2)


def test_a_settlement_is_answered_when_its_record_is_committed() -> None:
    stage, peer = started(event(), event(), event())
    ack(stage, peer, 0, 1)
    ack(stage, peer, 7)
    assert said(stage.turn(commit=False), Settled) == []
    assert stage.ground.logs[0][-1].header.kind == GROUP
    stage.commit()
    answers = said(stage.ground.sent, Settled)
    assert [list(answer.stale) for answer in answers] == [[], [7]]
    assert stage.delivering.snapshot(0) != Stage().delivering.snapshot(0)


def test_a_turn_in_which_nothing_happens_appends_nothing() -> None:
    stage, peer = started(event())
    ack(stage, peer, 0)
    stage.turn()
    end = len(stage.ground.logs[0])
    for _ in range(5):
        stage.turn(1)
    assert len(stage.ground.logs[0]) == end
    assert stage.delivering.next_due(5) is None


def test_a_repeated_settle_waits_for_the_commit_of_the_first() -> None:
    stage, peer = started(event())
    ack(stage, peer, 0)
    stage.turn(commit=False)
    ack(stage, peer, 0)
    assert said(stage.turn(commit=False), Settled) == []
    stage.commit()
    assert [answer.stale for answer in said(stage.ground.sent, Settled)] == [{}, {}]


def test_only_what_is_meant_for_the_group_is_delivered() -> None:
    stage, peer = started(
        event("order.created"),
        event("invoice.sent"),
        event("order.created", extensions={"redriveto": "g"}),
        event("order.created", extensions={"redriveto": "h"}),
        event("signalbox.order.x"),
        event("order.line.added", data={"note": "redriveto expirytime"}),
    )
    assert stage.ground.sent and [at for _, _, at, _ in delivered(stage.ground.sent)] == [0, 2, 5]
    ack(stage, peer, 0, 2, 5)
    stage.turn()
    assert stage.delivering.samples(0)[0].floor == 6


def test_reserved_types_are_for_those_who_name_them() -> None:
    letter = {"group": "g", "reason": "terminated"}
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(
        event("signalbox.fleet.changed"),
        event("signalbox.deadletter", data=letter),
        event("signalbox.deadletter", data=letter | {"group": "h"}),
        event("signalbox.deadletter", data=b"\xff"),
    )
    stage.tell(peer, join(pattern="signalbox.>"))
    stage.turn()
    offsets = [at for _, _, at, _ in delivered(stage.ground.sent)]
    assert offsets == [0, 2, 3], "never a group's own dead letters: they would breed"


def test_exhausted_attempts_make_a_dead_letter_in_the_same_record() -> None:
    original = event(subject="order-42", correlationid="saga-1", data={"price": 1.10, "big": 12345678901234567890})
    stage, peer = started(event("other"), original)
    for attempt in (1, 2, 3):
        ack(stage, peer, 1, attempt=attempt, verdict="nack", error=f"try {attempt}")
        stage.turn(2, commit=attempt < 3)
    assert said(stage.ground.sent, Settled) == [], "the letter is not committed yet"
    entry = stage.ground.logs[0][-1]
    assert entry.header.kind == EVENTS and entry.header.companion and entry.header.count == 1
    stage.commit()
    assert said(stage.ground.sent, Settled)[0].stale == {}
    letter = batch.decode(batch.unseal(entry.record)[1]).event(0)
    assert (letter.type, letter.source) == ("signalbox.deadletter", "signalbox/b1")
    assert (letter.subject, letter.correlationid, letter.causationid) == ("order-42", "saga-1", original.id)
    told = letter.data
    assert (told["group"], told["reason"], told["error"]) == ("g", "max_deliver", "try 3")
    assert (told["partition"], told["offset"], told["appended"]) == (0, 1, 1_000 * SECOND)
    assert [(one["attempt"], one["member"], one["error"]) for one in told["attempts"]] == [
        (1, "m", "try 1"),
        (2, "m", "try 2"),
        (3, "m", "try 3"),
    ]
    assert [one["took_ms"] for one in told["attempts"]] == [0, 0, 0]
    assert b'"event":' + to_json(original) in letter.payload, "to the digit"
    sample = stage.delivering.samples(0)[0]
    assert (sample.dead, sample.in_flight, sample.failed) == (1, 0, 3)


@pytest.mark.parametrize(
    ("verdict", "reason"), [("terminate", "terminated"), ("late", "late"), ("gap", "gap"), ("", "expired")]
)
def test_termination_and_expiry_make_dead_letters_too(verdict: str, reason: str) -> None:
    expires = None if verdict else 1_010 * SECOND
    stage, peer = started(event(expirytime=expires), credit=1 if verdict else 0)
    if verdict:
        ack(stage, peer, 0, verdict=verdict, error="hopeless")
    else:
        stage.ground.clock += 20 * SECOND
        stage.tell(peer, wire.Credit(1, 5))
        stage.turn()
    stage.turn()
    letter = batch.decode(batch.unseal(stage.ground.logs[0][-1].record)[1]).event(0)
    assert letter.type == "signalbox.deadletter" and letter.data["reason"] == reason
    assert letter.data["error"] == ("hopeless" if verdict else "expired at 1970-01-01T00:16:50.000Z")
    assert delivered(stage.turn(60)) == []


def test_a_payload_that_is_no_json_gets_a_letter_all_the_same() -> None:
    broken = event()
    broken.kind, broken.payload = 1, b"{not json"
    stage, peer = started(broken)
    ack(stage, peer, 0, verdict="terminate")
    stage.turn()
    letter = batch.decode(batch.unseal(stage.ground.logs[0][-1].record)[1]).event(0)
    assert letter.data["event"]["id"] == broken.id and letter.data["event"]["data_base64"]


def test_refused_appends_are_tried_again_and_answer_nobody_before() -> None:
    stage, peer = started(event(), event(), event())
    stage.ground.refuse = True
    ack(stage, peer, 0)
    ack(stage, peer, 1, verdict="terminate", error="no")
    end = len(stage.ground.logs[0])
    assert said(stage.turn(), Settled) == []
    due = stage.delivering.next_due(77)
    assert due is not None and 77 < due <= 77 + limits.GROUP_RETRY_MS * 1_000_000
    stage.ground.refuse = False
    assert said(stage.turn(), Settled) == [] and len(stage.ground.logs[0]) == end, "not before the next try is due"
    assert len(said(stage.turn(1), Settled)) == 2
    letters = [entry for entry in stage.ground.logs[0][end:] if entry.header.kind == EVENTS]
    assert len(letters) == 1
    assert delivered(stage.turn(60))[0][2:] == (2, 2), "the third is redelivered after ack_wait, the others never"


def test_many_deaths_take_some_turns_and_lose_nothing() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_TURN_DEAD_MAX", 2)
        stage, peer = started(*[event() for _ in range(5)])
        ack(stage, peer, *range(5), verdict="terminate")
        turns = 0
        while not said(stage.turn(), Settled):
            assert stage.delivering.next_due(3) == 3
            turns += 1
    assert turns == 2
    assert sum(entry.header.count for entry in stage.ground.logs[0]) == 10


def test_a_session_that_ends_returns_its_events_at_once_and_a_deaf_peer_stops_nobody() -> None:
    stage, peer = started(event(), event())
    other = session()
    stage.tell(other, join(member="n"))
    stage.ground.deaf.add(peer)
    stage.delivering.on_session_end(peer)
    assert [(to, at, attempt) for to, _, at, attempt in delivered(stage.turn())] == [(other, 0, 2), (other, 1, 2)]
    stage.tell(other, Leave(1))
    assert stage.delivering.members() == 0
    assert delivered(stage.turn()) == []
    third = session()
    stage.tell(third, join(member="o"))
    assert [(at, attempt) for _, _, at, attempt in delivered(stage.turn())] == [(0, 3), (1, 3)]


def test_the_same_member_on_a_new_session_keeps_what_it_holds() -> None:
    stage, peer = started(event(), event())
    again = session()
    stage.tell(again, join(subscription=9))
    stage.delivering.on_session_end(peer)
    assert delivered(stage.turn()) == []
    stage.tell(again, Settle(5, 9, 0, [Settlement(0, 1, "ack"), Settlement(1, 1, "nack")]))
    sent = stage.turn()
    assert said(sent, Settled) == [Settled(5, {})]
    assert delivered(sent)[0][0] is again
    with pytest.raises(NotLeader):
        ack(stage, peer, 0)


def test_who_comes_with_what_cannot_be_is_told() -> None:
    stage, peer = started(event())
    cases: list[tuple[type[BusError], Join]] = [
        (GroupConflict, join(2, "n", ack_wait_ms=1)),
        (ClientError, join(2, "n", order="strict")),
        (ClientError, join(2, "")),
        (ClientError, join(2, "n", start=-2)),
        (ClientError, replace(join(2, "n"), since=-1)),
        (ClientError, replace(join(2, "n"), since=2**63)),
        (ClientError, join(2, "n", order="causal")),
        (GroupConflict, join(2, "n", **CAUSAL)),
        (UnknownPartition, replace(join(2, "n"), partition=99)),
        (UnknownPartition, replace(join(2, "n"), partition=-1)),
        (NotLeader, replace(join(2, "n"), partition=1)),
    ]
    for error, message in cases:
        with pytest.raises(error):
            stage.tell(session(), message)
    assert stage.delivering.members() == 1
    with pytest.raises(NotLeader):
        stage.tell(peer, Settle(1, 5, 0, []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_MEMBERS_MAX", 1)
        patch.setattr(limits, "GROUPS_PER_PARTITION_MAX", 1)
        patch.setattr(limits, "SETTLE_ITEMS_MAX", 1)
        for asked in (join(2, "n"), join(2, "n", group="h"), Settle(1, 1, 0, [Settlement(0, 1, "ack")] * 2)):
            with pytest.raises(BusError):
                stage.tell(peer, asked)


def test_a_new_group_starts_at_its_instant() -> None:
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(event())
    stage.ground.clock += 10 * SECOND
    stage.publish(event())
    stage.turn()
    stage.tell(peer, join(start=1_005 * SECOND))
    stage.turn()
    late = session()
    stage.tell(late, join(group="late", start=2_000 * SECOND))
    stage.turn()
    stage.publish(event())
    stage.turn()
    got = {(to is late, at) for to, _, at, _ in delivered(stage.turn() + stage.ground.sent)}
    assert got <= {(False, 1), (False, 2), (True, 2)}
    assert {sample.group: sample.in_flight for sample in stage.delivering.samples(0)} == {"g": 2, "late": 1}


def test_the_next_leader_goes_on_and_skips_nothing() -> None:
    stage, peer = started(*[event() for _ in range(6)])
    ack(stage, peer, 0, 1)
    ack(stage, peer, 2, verdict="nack", error="busy")
    stage.turn()
    follower = Stage(stage.ground)
    follower.commit()
    assert follower.delivering.snapshot(0) == stage.delivering.snapshot(0)
    ack(stage, peer, 3)
    stage.turn(commit=False)
    stage.ground.logs[0].pop()
    stage.lose()
    assert said(stage.ground.sent, Fault)[-1].code == "NotLeader" and stage.delivering.members() == 0

    follower.lead()
    assert delivered(follower.turn()) == []
    again = session()
    follower.tell(again, replace(join(), holds={4: 1, 5: 1}))
    follower.tell(again, Settle(1, 1, 0, [Settlement(3, 1, "ack"), Settlement(0, 1, "ack")]))
    sent = follower.turn()
    assert said(sent, Settled) == [Settled(1, {})] and delivered(sent) == []
    due = follower.delivering.next_due(0)
    assert due == limits.GROUP_REPORT_MS * 1_000_000
    assert [(at, attempt) for _, _, at, attempt in delivered(follower.turn(1))] == [(2, 2)]
    follower.tell(again, Settle(2, 1, 0, [Settlement(4, 1, "ack"), Settlement(5, 1, "ack"), Settlement(2, 2, "ack")]))
    assert said(follower.turn(), Settled) == [Settled(2, {})]
    assert follower.delivering.samples(0)[0].in_flight == 0


def test_members_of_a_new_leader_speak_of_events_it_has_not_read() -> None:
    stage, _ = started(*[event() for _ in range(3)])
    stage.lose()
    follower = Stage(stage.ground)
    follower.commit()
    follower.lead()
    again = session()
    follower.tell(again, join(credit=0))
    follower.tell(again, Settle(1, 1, 0, [Settlement(1, 1, "ack")]))
    assert said(follower.turn(), Settled) == [Settled(1, {})]
    follower.tell(again, wire.Credit(1, 5))
    assert [at for _, _, at, _ in delivered(follower.turn(2))] == [0, 2]


def test_a_damaged_log_stops_the_group_and_says_so() -> None:
    stage, _ = started(event())
    stage.publish(event())
    stage.ground.damaged = True
    faults = said(stage.turn(), Fault)
    assert [fault.code for fault in faults] == ["CorruptRecord"] and "g" in faults[0].message
    assert said(stage.turn(60), Fault) == []
    with pytest.raises(BusError):
        stage.tell(session(), join())


def test_a_backlog_is_read_in_turns() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_TURN_READ_BYTES_MAX", 1_000)
        stage, _ = started(credit=400)
        for _ in range(20):
            stage.publish(*[event() for _ in range(10)])
        got = []
        for _ in range(60):
            got += [at for _, _, at, _ in delivered(stage.turn())]
            if stage.delivering.next_due(9) != 9:
                break
        assert got == list(range(200))


NUMBER = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 3)
TEXT = st.sampled_from(["g", "m", "", "order.>", ">", "none", "begin", "ack", "nack", "terminate"]) | st.text(
    max_size=8
)
ITEMS = st.lists(st.builds(Settlement, NUMBER, NUMBER, TEXT, NUMBER, TEXT), max_size=4)
RULES = st.builds(GroupSettings, TEXT, NUMBER, NUMBER, NUMBER, TEXT)
ANYTHING = st.one_of(
    st.builds(Join, NUMBER, TEXT, NUMBER, TEXT, RULES, NUMBER, st.dictionaries(NUMBER, NUMBER, max_size=3)),
    st.builds(Join, st.just(1), st.just("g"), st.just(0), TEXT, st.just(SETTINGS), NUMBER),
    st.builds(Settle, NUMBER, NUMBER, NUMBER, ITEMS),
    st.builds(Settle, st.just(1), st.just(1), st.just(0), ITEMS),
    st.builds(Settle, NUMBER, st.just(1), st.just(0), ITEMS, st.lists(NUMBER, max_size=6)),
    st.builds(wire.Credit, NUMBER, NUMBER),
    st.builds(Leave, NUMBER),
    st.builds(wire.Ping, NUMBER),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ANYTHING, st.booleans()), max_size=12))
def test_nonsense_is_refused_or_harmless(messages: list[tuple[wire.Message, bool]]) -> None:
    stage, peer = started(event(), event(), event())
    other = session()
    for message, mine in messages:
        try:
            stage.tell(peer if mine else other, message)
        except BusError:
            pass
        stage.turn(0.1)
    stage.delivering.on_session_end(peer)
    stage.delivering.on_session_end(other)
    assert stage.delivering.members() == 0
    fresh = Stage(stage.ground)
    fresh.commit()
    assert fresh.delivering.snapshot(0) == stage.delivering.snapshot(0)
