"""What groups wait for: events that match and that nobody has read; whatever else passes by is no backlog of theirs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits, wire
from bus.broker.meant import Meant
from bus.session import Session
from bus.topic import matches
from bus.wire import GroupSample, GroupSettings, Join, Settle, Settlement
from tests.bus.groundtwin import SECOND, Stage, delivered, event, numbers, session

ORDERS = ("none", "strict", "timestamp", "causal")


def join(stage: Stage, group: str, pattern: str, credit: int = 10, order: str = "none") -> Session:
    peer = session()
    late, gap = ("deliver" if order == "timestamp" else ""), ("wait" if order == "causal" else "")
    settings = GroupSettings(pattern, -1, 30_000, 3, order=order, late=late, gap=gap)
    stage.tell(peer, Join(1, group, 0, "m", settings, credit))
    return peer


def sampled(stage: Stage) -> dict[str, GroupSample]:
    return {one.group: one for one in stage.delivering.samples(0)}


def of_each_order(credit: int = 10) -> tuple[Stage, dict[str, Session]]:
    stage = Stage()
    stage.lead()
    peers = {order: join(stage, order, "job.>", credit, order) for order in ORDERS}
    stage.turn()
    stage.turn()
    return stage, peers


def succeeded(stage: Stage) -> Stage:
    """The next leader, from what is committed."""
    stage.turn()
    stage.lose()
    follower = Stage(stage.ground)
    follower.commit()
    follower.lead()
    follower.turn()
    return follower


def test_a_group_that_nobody_is_in_waits_for_nothing_that_it_does_not_match() -> None:
    stage, peers = of_each_order()
    stage.publish(event("job.a"), event("job.b"))
    for _ in range(3):
        for to, _, at, _ in delivered(stage.turn()):
            stage.tell(to, Settle(next(numbers), 1, 0, [Settlement(at, 1, "ack")]))
    for peer in peers.values():
        stage.tell(peer, wire.Leave(1))
    for _ in range(5):
        stage.publish(event("agent.call.request"))
        stage.turn()
    found = sampled(stage)
    assert {order: (one.floor, one.waiting, one.oldest) for order, one in found.items()} == dict.fromkeys(
        ORDERS, (7, 0, 0)
    )
    follower = succeeded(stage)
    for _ in range(6):
        follower.publish(*[event("agent.call.request")] * 500)
    follower.turn()
    assert {order: (one.waiting, one.oldest) for order, one in sampled(follower).items()} == dict.fromkeys(
        ORDERS, (0, 0)
    )


def test_what_matches_and_nobody_reads_waits_from_when_it_was_appended() -> None:
    stage, peers = of_each_order()
    for peer in peers.values():
        stage.tell(peer, wire.Leave(1))
    stage.publish(*[event("agent.call.request")] * 40)
    stage.turn()
    stage.turn(500)
    stage.publish(event("bulk"), event("job.a"), event("bulk"))
    at = stage.ground.clock
    stage.turn()
    stage.turn(90)
    stage.publish(event("bulk"), event("job.b"), *[event("bulk")] * 100)
    stage.turn()
    for place in range(4):
        found = sampled(stage)
        assert {order: (one.waiting, one.oldest) for order, one in found.items()} == dict.fromkeys(ORDERS, (2, at))
        assert {order: one.floor for order, one in found.items()} == dict.fromkeys(ORDERS, 41)
        if place == 1:
            stage = succeeded(stage)
    again = join(stage, "none", "job.>", credit=1)
    stage.turn()
    assert [at for to, _, at, _ in delivered(stage.turn(2)) if to is again] == [41]
    stage.tell(again, Settle(next(numbers), 1, 0, [Settlement(41, 1, "ack")]))
    stage.turn()
    assert (sampled(stage)["none"].waiting, sampled(stage)["none"].oldest) == (1, at + 90 * SECOND)


def test_a_group_without_credit_or_room_counts_what_it_has_not_read_and_loses_no_count_by_reading() -> None:
    stage = Stage()
    stage.lead()
    peer = join(stage, "g", "job.>", credit=0)
    stage.turn()
    stage.turn()
    for _ in range(10):
        stage.publish(event("bulk"), event("job.a"), event("bulk"), event("job.b"))
    stage.turn()
    assert sampled(stage)["g"].waiting == 20
    for left in (17, 14, 11):
        stage.tell(peer, wire.Credit(1, 3))
        sent = delivered(stage.turn())
        stage.tell(peer, Settle(next(numbers), 1, 0, [Settlement(at, 1, "ack") for _, _, at, _ in sent]))
        stage.turn()
        sample = sampled(stage)["g"]
        assert sample.waiting + sample.in_flight == left
    stage.ground.first[0] = len(stage.ground.logs[0])
    stage.turn()
    assert (sampled(stage)["g"].waiting, sampled(stage)["g"].in_flight) == (0, 0)


def test_out_is_what_members_hold_and_what_is_read_and_with_nobody_waits() -> None:
    stage = Stage()
    stage.lead()
    peers = {order: join(stage, order, "job.>", 10, order) for order in ("none", "strict")}
    stage.turn()
    stage.publish(*[event("job.a", subject=f"key{number % 3}") for number in range(9)], event("bulk"))
    sent = delivered(stage.turn())
    assert {name: [at for to, _, at, _ in sent if to is peer] for name, peer in peers.items()} == {
        "none": list(range(9)),
        "strict": [0, 1, 2],
    }

    def figures() -> dict[str, tuple[int, int]]:
        return {name: (one.waiting, one.in_flight) for name, one in sampled(stage).items()}

    assert figures() == {"none": (0, 9), "strict": (6, 3)}
    for peer in peers.values():
        stage.tell(peer, Settle(next(numbers), 1, 0, [Settlement(0, 1, "nack", 60_000)]))
    stage.turn()
    assert figures() == {"none": (1, 8), "strict": (7, 2)}, "what is put off is with nobody"
    stage.tell(peers["none"], wire.Leave(1))
    stage.delivering.on_session_end(peers["strict"])
    assert figures() == {"none": (9, 0), "strict": (9, 0)}
    stage.turn(100)
    stage = succeeded(stage)
    for _ in range(3):
        stage.turn(400)
        assert figures() == {"none": (9, 0), "strict": (9, 0)}
    join(stage, "none", "job.>", 4)
    stage.turn()
    stage.turn()
    assert figures() == {"none": (5, 4), "strict": (9, 0)}


def test_a_damaged_log_breaks_the_groups_that_look_at_it_and_does_not_keep_the_samples_back() -> None:
    stage, _ = of_each_order(credit=0)
    stage.publish(event("job.a"), event("bulk"))
    stage.turn()
    stage.ground.damaged = True
    for _ in range(2):
        assert {order: one.waiting for order, one in sampled(stage).items()} == dict.fromkeys(ORDERS, 2)
    stage.ground.damaged = False
    stage.turn()
    assert {order: one.waiting for order, one in sampled(stage).items()} == dict.fromkeys(ORDERS, 2)


def test_looks_go_on_where_the_last_one_ended_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, _ = of_each_order(credit=0)
    for _ in range(50):
        stage.publish(*[event("bulk")] * 20)
    stage.publish(event("job.a"))
    stage.turn()
    monkeypatch.setattr(limits, "GROUP_SAMPLE_READ_BYTES_MIN", 1)
    monkeypatch.setattr(limits, "GROUP_SAMPLE_READ_BYTES_MAX", 4_000)
    monkeypatch.setattr(limits, "GROUP_READ_BYTES", 4_000)
    looked: list[str] = []
    real = Meant.rows
    monkeypatch.setattr(Meant, "rows", lambda self, entry: looked.append(self._group) or real(self, entry))
    samples = 0
    while any(one.waiting == 0 for one in sampled(stage).values()):
        samples += 1
        assert samples < 500
    assert samples > 5 and len(looked) <= 4 * (50 + 10)
    assert {order: one.waiting for order, one in sampled(stage).items()} == dict.fromkeys(ORDERS, 1)
    looked.clear()
    sampled(stage)
    assert looked == [], "nothing is new"


@settings(max_examples=60, deadline=None)
@given(
    patterns=st.lists(st.sampled_from([">", "a.*", "b", "*.c", "nothing"]), min_size=4, max_size=4),
    steps=st.lists(
        st.lists(st.sampled_from(["a.b", "a.c", "b", "b.c", "d"]), min_size=1, max_size=6)
        | st.sampled_from(["lose", "leave", "join", "sample", "turn"])
        | st.integers(1, 3),
        max_size=16,
    ),
)
def test_what_waits_and_what_is_out_is_what_matches_and_is_not_settled(patterns: list[str], steps: list[Any]) -> None:
    stage = Stage()
    stage.lead()
    peers: dict[str, Session] = {}
    types: list[str] = []
    settled: dict[str, set[int]] = {order: set() for order in ORDERS}

    def enter() -> None:
        for order, pattern in zip(ORDERS, patterns, strict=True):
            peers[order] = join(stage, order, pattern, 0, order)

    def turn(seconds: float = 0) -> None:
        for to, _, at, attempt in delivered(stage.turn(seconds)):
            order = next(order for order, peer in peers.items() if peer is to)
            stage.tell(to, Settle(next(numbers), 1, 0, [Settlement(at, attempt, "ack")]))
            settled[order].add(at)

    def check() -> None:
        found = sampled(stage)
        for order, pattern in zip(ORDERS, patterns, strict=True):
            due = {at for at, kind in enumerate(types) if matches(pattern, kind)} - settled[order]
            assert found[order].waiting + found[order].in_flight == len(due), f"{order} of {types}"
            assert bool(found[order].oldest) == bool(due)
            assert found[order].in_flight == 0 or peers, "nobody is there to hold it"

    enter()
    turn()
    turn()
    for step in (*steps, "turn", "turn"):
        if isinstance(step, list):
            stage.publish(*[event(kind) for kind in step])
            types += step
        elif isinstance(step, int):
            for peer in peers.values():
                stage.tell(peer, wire.Credit(1, step))
        elif step == "lose":
            turn()
            turn()
            turn()
            stage = succeeded(stage)
            peers.clear()
        elif step == "leave":
            for peer in peers.values():
                stage.tell(peer, wire.Leave(1))
            peers.clear()
        elif step == "join" and not peers:
            enter()
            turn(2)
        elif step == "sample":
            sampled(stage)
        turn()
        check()
