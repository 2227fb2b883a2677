"""Lines of keys, and who is picked among their heads: as properties, and at a broker's stage."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import limits
from bus.companion import Companion
from bus.event import Event
from bus.keys import Lines, Ready, is_redriven, key_of, tag_of
from bus.partitioner import key_hash
from bus.session import Session
from bus.wire import GroupSettings, Join, Settle, Settlement
from tests.bus.groundtwin import Stage, delivered, event, numbers, session

STRICT = GroupSettings("order.>", -1, 30_000, 2, "strict")
RANKS = ["high", None, "low"]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["high", "medium", "low", None]), st.booleans())
def test_a_tag_says_what_it_was_made_of(key: int, priority: str | None, redriven: bool) -> None:
    tag = tag_of(key, priority, redriven)
    assert (key_of(tag), is_redriven(tag)) == (key, redriven)
    assert tag_of(key, "medium", redriven) == tag_of(key, None, redriven)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(RANKS), max_size=60), st.integers(1, 9))
def test_urgent_ones_overtake_and_nobody_starves(ranks: list[str | None], most: int) -> None:
    ready = Ready()
    left = set(range(len(ranks)))
    for offset, rank in enumerate(ranks):
        ready.push(offset, tag_of(0, rank, False))
    order: list[int] = []
    while picked := ready.pick(most, left.__contains__):
        assert len(picked) <= most
        left -= set(picked)
        order += picked
    assert sorted(order) == list(range(len(ranks)))
    for rank in RANKS:
        same = [offset for offset in order if ranks[offset] == rank]
        assert same == sorted(same), "among equals the first comes first"
    for at, offset in enumerate(order):
        waiting = order[at:]
        if offset != min(waiting):
            assert RANKS.index(ranks[offset]) == min(RANKS.index(ranks[one]) for one in waiting), "the most urgent one"
    for at in range(len(order) - limits.GROUP_OLDEST_TURN):
        mixed = {ranks[offset] for offset in order[at + limits.GROUP_OLDEST_TURN - 1 :]}
        if len(mixed) > 1:
            window = range(at, at + limits.GROUP_OLDEST_TURN)
            assert any(order[one] == min(order[one:]) for one in window), "the oldest has its turn"


def test_urgent_ones_overtake_within_the_look_ahead_only() -> None:
    ready = Ready()
    for offset, rank in (
        (0, "low"),
        (limits.GROUP_LOOKAHEAD_EVENTS, "high"),
        (limits.GROUP_LOOKAHEAD_EVENTS + 1, "high"),
    ):
        ready.push(offset, tag_of(0, rank, False))
    alive = {0, limits.GROUP_LOOKAHEAD_EVENTS, limits.GROUP_LOOKAHEAD_EVENTS + 1}
    assert ready.pick(3, alive.__contains__) == [limits.GROUP_LOOKAHEAD_EVENTS, 0, limits.GROUP_LOOKAHEAD_EVENTS + 1]


def test_a_line_goes_on_when_the_settlement_is_committed() -> None:
    lines, tag, other = Lines(), tag_of(7, None, False), tag_of(8, None, False)
    assert [lines.add(0, tag), lines.add(1, tag), lines.add(2, other)] == [True, False, True]
    lines.settled(0, tag)
    assert lines.committed(100) == [], "settled, not in the log"
    lines.logged(5)
    assert lines.committed(5) == [], "in the log, not committed"
    assert lines.committed(6) == [1]
    lines.settled(1, other)
    lines.logged(6)
    assert lines.committed(7) == [] and lines.add(3, other), "an empty line begins anew"


def keyed(key: str, **attributes: object) -> Event:
    return event("order.created", subject=key, **attributes)


def started(*events: Event, credit: int = 10, park: bool = False) -> tuple[Stage, Session, list[tuple[int, int]]]:
    stage, peer = Stage(), session()
    stage.lead()
    stage.publish(*events)
    stage.tell(peer, Join(1, "g", 0, "m", replace(STRICT, park=park), credit))
    return stage, peer, turned(stage)


def turned(stage: Stage, seconds: float = 0) -> list[tuple[int, int]]:
    """(offset, attempt) of what a turn delivers."""
    return [(offset, attempt) for _, _, offset, attempt in delivered(stage.turn(seconds))]


def settle(stage: Stage, peer: Session, offset: int, verdict: str = "ack", attempt: int = 1, delay: int = 0) -> None:
    stage.tell(peer, Settle(next(numbers), 1, 0, [Settlement(offset, attempt, verdict, delay, "no")]))


def test_one_event_of_a_key_is_out_at_a_time() -> None:
    stage, peer, first = started(keyed("a"), keyed("b"), keyed("a"), keyed("b"))
    assert first == [(0, 1), (1, 1)]
    settle(stage, peer, 0)
    stage.turn(commit=False)
    assert delivered(stage.ground.sent) == [], "the ack is not committed"
    assert turned(stage) == [(2, 1)], "b waits for its own ack, a does not"
    settle(stage, peer, 1, "nack", delay=5_000)
    assert turned(stage, 4) == []
    assert turned(stage, 2) == [(1, 2)]
    settle(stage, peer, 1, attempt=2)
    settle(stage, peer, 2)
    assert turned(stage) == [(3, 1)]


def test_ack_wait_delays_its_key_alone() -> None:
    stage, peer, first = started(keyed("a"), keyed("a"), keyed("b"), keyed("b"))
    assert first == [(0, 1), (2, 1)]
    settle(stage, peer, 2)
    assert turned(stage) == [(3, 1)]
    assert turned(stage, 31) == [(0, 2), (3, 2)]


def test_urgent_keys_go_first_and_no_event_overtakes_its_own_key() -> None:
    events = [keyed("a", priority="low"), keyed("b"), keyed("a", priority="high"), keyed("c", priority="high")]
    _, _, first = started(*events, credit=2)
    assert first == [(3, 1), (1, 1)]


def test_after_a_dead_letter_the_key_goes_on() -> None:
    stage, peer, first = started(keyed("a"), keyed("a"))
    settle(stage, peer, 0, "terminate")
    assert first == [(0, 1)] and turned(stage) == [(1, 1)]


def test_a_parked_key_waits_for_its_redrive() -> None:
    stage, peer, first = started(keyed("a"), keyed("b"), keyed("a"), park=True)
    assert first == [(0, 1), (1, 1)]
    settle(stage, peer, 0, "terminate")
    stage.turn()
    assert turned(stage) == [], "the next of the key has died too"
    state = Companion.restore(stage.delivering.snapshot(0)).groups["g"]
    assert (state.buried, state.parked) == ([0, 2], [key_of(tag_of(key_hash("a"), None, False))])
    stage.lose()
    stage.lead()
    again = session()
    stage.tell(again, Join(1, "g", 0, "m", state.settings, 10))
    stage.publish(keyed("a"), keyed("a", extensions={"redriveto": "g"}), keyed("c"))
    end = stage.ground.high_offset(0)
    stage.turn(2)
    out = turned(stage)
    assert {offset for offset, _ in out} <= {1, end + 1, end + 2} and (end, 1) not in out
    stage.turn()
    stage.turn()
    settle(stage, again, end + 1)
    stage.turn()
    stage.publish(keyed("a"))
    sent = turned(stage)
    assert len(sent) == 1, "the key goes on"
    state = Companion.restore(stage.delivering.snapshot(0)).groups["g"]
    assert state.buried == [0, 2, end] and state.parked == []
    letters = [stage.ground.logs[0][index] for index in range(len(stage.ground.logs[0]))]
    assert sum(b'"reason":"parked"' in entry.record for entry in letters) == 2
