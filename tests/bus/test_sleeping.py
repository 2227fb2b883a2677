"""Groups that nothing concerns are not touched, and are none the worse for it: positions, logs, leaders, retention."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus import limits, wire
from bus.broker.ledgroup import LedGroup
from bus.groupstate import decode_deltas
from bus.record import GROUP, unseal
from bus.session import Session
from bus.topic import matches
from bus.wire import GroupSettings, Join, Settle, Settlement
from tests.bus.groundtwin import SECOND, Stage, delivered, event, numbers, session

SETTINGS = GroupSettings("order.>", -1, 30_000, 3)
PASSED = limits.GROUP_PASSED_EVENTS_MAX


def join(stage: Stage, group: str, pattern: str, credit: int = 10, **changed: Any) -> Session:
    peer = session()
    changed = {"pattern": pattern} | changed
    stage.tell(peer, Join(1, group, 0, "m", replace(SETTINGS, **changed), credit))
    return peer


def ack(stage: Stage, peer: Session, *offsets: int) -> None:
    stage.tell(peer, Settle(next(numbers), 1, 0, [Settlement(offset, 1, "ack") for offset in offsets]))


def standing(stage: Stage) -> dict[str, tuple[int, int, int]]:
    """(floor, waiting, in flight) of each group, as the samples say."""
    return {one.group: (one.floor, one.waiting, one.in_flight) for one in stage.delivering.samples(0)}


def logged(stage: Stage) -> list[tuple[str, int, list[str]]]:
    """(group, upto, also) of all deltas in the log."""
    entries = [entry for entry in stage.ground.logs[0] if entry.header.kind == GROUP]
    deltas = [delta for entry in entries for delta in decode_deltas(unseal(entry.record)[1])]
    return [(delta.group, delta.upto, delta.also) for delta in deltas]


def many(stage: Stage, groups: int) -> dict[str, Session]:
    """A leader with groups that match nothing that is published, all in."""
    stage.lead()
    peers = {f"g{number}": join(stage, f"g{number}", f"other.{number}.>") for number in range(groups)}
    stage.turn()
    stage.turn()
    return peers


def test_a_turn_touches_the_groups_that_match_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    many(stage, 300)
    peer = join(stage, "mine", "order.>")
    stage.turn()
    touched: list[str] = []
    for name in ("read", "deliver", "attach", "answer", "pass_trimmed"):
        real = getattr(LedGroup, name)
        monkeypatch.setattr(
            LedGroup,
            name,
            lambda self, *more, real=real: touched.append(self.group.name) or real(self, *more),
        )
    stage.turn()
    touched.clear()
    for offset in range(0, 12, 3):
        stage.publish(event("order.created"), event("bulk"), event("bulk"))
        assert [at for _, _, at, _ in delivered(stage.turn())] == [offset]
        ack(stage, peer, offset)
        stage.turn()
        stage.turn()
    assert set(touched) == {"mine"}
    touched.clear()
    stage.publish(event("bulk"), event("other.17.x"))
    stage.turn()
    assert set(touched) == {"g17"}
    touched.clear()
    stage.delivering.next_due(0)
    assert not touched
    assert standing(stage)["g5"] == (14, 0, 0) and standing(stage)["mine"] == (14, 0, 0)
    assert standing(stage)["g17"] == (13, 0, 1)


def test_that_sleeping_groups_advanced_is_logged_in_one_delta_for_all() -> None:
    stage = Stage()
    peers = many(stage, 50)
    stage.publish(event("other.7.x"))
    stage.turn()
    before = len(logged(stage))
    for _ in range(PASSED // 500 + 1):
        stage.publish(*[event("bulk")] * 500)
        stage.turn()
    for _ in range(3):
        stage.turn()
    deltas = logged(stage)[before:]
    assert [(group, len(also)) for group, _, also in deltas] == [("g7", 0), ("g0", 48)], "g7 has something in hand"
    assert all(upto > PASSED for _, upto, _ in deltas)
    stage.lose()
    follower = Stage(stage.ground)
    follower.commit()
    assert follower.delivering.snapshot(0) == stage.delivering.snapshot(0)
    follower.lead()
    follower.turn()
    assert standing(follower)["g3"][:2] == (stage.ground.high_offset(0), 0)
    assert standing(follower)["g7"] == (0, 1, 0), "nobody holds it there"
    assert peers


def test_a_refused_append_does_not_lose_that_groups_advanced() -> None:
    stage = Stage()
    many(stage, 5)
    before = len(logged(stage))
    stage.ground.refuse = True
    for _ in range(PASSED // 500 + 1):
        stage.publish(*[event("bulk")] * 500)
        stage.turn()
    stage.turn()
    assert len(logged(stage)) == before
    stage.ground.refuse = False
    stage.turn(1)
    assert [(group, len(also)) for group, _, also in logged(stage)[before:]] == [("g0", 4)]


def test_retention_takes_nothing_from_a_group_that_slept_through_it() -> None:
    stage = Stage()
    peers = many(stage, 3)
    for _ in range(4):
        stage.publish(event("bulk"), event("bulk"))
    stage.publish(event("other.1.x"), event("bulk"))
    stage.publish(event("bulk"))
    stage.turn()
    ack(stage, peers["g1"])
    stage.ground.first[0] = stage.ground.high[0] - 1
    stage.turn()
    assert [one.trimmed for one in stage.delivering.samples(0)] == [0, 0, 0]
    ack(stage, peers["g1"], 8)
    stage.turn()
    assert standing(stage) == dict.fromkeys(("g0", "g1", "g2"), (11, 0, 0))
    idle = join(stage, "idle", "bulk", credit=0)
    stage.turn()
    stage.publish(event("bulk"))
    stage.publish(event("order"))
    stage.turn()
    assert standing(stage)["idle"] == (10, 2, 0)
    stage.ground.first[0] = stage.ground.high[0] - 1
    stage.turn()
    assert {one.group: one.trimmed for one in stage.delivering.samples(0) if one.trimmed} == {"idle": 2}
    assert idle


def test_a_sleeping_group_wakes_for_its_deadlines_and_for_its_members() -> None:
    stage = Stage()
    peers = many(stage, 3)
    stage.publish(event("other.2.x"), event("bulk"))
    assert [at for _, _, at, _ in delivered(stage.turn())] == [0]
    stage.turn()
    assert stage.delivering.next_due(0) == 30 * SECOND
    for _ in range(3):
        stage.publish(event("bulk"))
        stage.turn(9)
    assert [(at, attempt) for _, _, at, attempt in delivered(stage.turn(4))] == [(0, 2)]
    stage.tell(peers["g2"], wire.Leave(1))
    stage.turn()
    assert stage.delivering.next_due(0) is None, "nobody holds it, nothing is due"
    again = join(stage, "g2", "other.2.>")
    assert [(to, at, attempt) for to, _, at, attempt in delivered(stage.turn())] == [(again, 0, 3)]


def test_a_group_whose_order_spans_partitions_is_visited_in_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.groupsettings.ORDERS", ("none", "strict", "spanning"))
    stage = Stage()
    many(stage, 3)
    join(stage, "spans", "other.x", order="spanning")
    stage.turn()
    stage.turn()
    visited: list[str] = []
    real = LedGroup.deliver
    monkeypatch.setattr(LedGroup, "deliver", lambda self, now: visited.append(self.group.name) or real(self, now))
    stage.turn()
    stage.publish(event("bulk"))
    stage.turn()
    assert visited == ["spans", "spans"] and standing(stage)["spans"] == (1, 0, 0)


def test_groups_of_a_new_leader_are_looked_after_together_and_late_ones_read_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "GROUP_PASSED_EVENTS_MAX", 100)
    stage = Stage()
    many(stage, 20)
    late = join(stage, "late", "bulk", credit=0)
    stage.turn()
    stage.turn()
    for number in range(60):
        stage.publish(*[event("bulk")] * 9, event(f"other.{number % 4}.x"))
        stage.turn()
    stage.turn()
    stage.lose()
    follower = Stage(stage.ground)
    follower.commit()
    follower.lead()
    reads: list[int] = []
    real = stage.ground.read
    monkeypatch.setattr(
        stage.ground, "read", lambda partition, offset, most: reads.append(offset) or real(partition, offset, most)
    )
    follower.turn()
    assert len(reads) < 10, "one look for all that sleep"
    at = standing(follower)
    assert [at[f"g{number}"][1] for number in range(4, 20)] == [0] * 16
    assert at["late"][:2] == (0, 540)
    again = join(follower, "late", "bulk", credit=1_000)
    follower.turn()
    assert len([1 for to, *_ in delivered(follower.turn(2)) if to is again]) == 540
    assert late


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.sampled_from([">", "a.*", "a.>", "b", "*.c", "nothing"]), min_size=1, max_size=5),
    steps=st.lists(
        st.lists(st.sampled_from(["a.b", "a.c", "b", "b.c", "d"]), min_size=1, max_size=6)
        | st.sampled_from(["lose", "credit", "turn"]),
        max_size=12,
    ),
    credit=st.integers(0, 3),
)
def test_every_group_is_given_what_it_matches_once_and_nothing_else(
    groups: list[str], steps: list[Any], credit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "GROUP_PASSED_EVENTS_MAX", 4)
        stage = Stage()
        stage.lead()
        peers = {join(stage, f"g{number}", pattern, credit): number for number, pattern in enumerate(groups)}
        types: list[str] = []
        got: dict[int, list[int]] = {number: [] for number in range(len(groups))}

        def take(sent: list) -> None:
            for to, _, at, _ in delivered(sent):
                got[peers[to]].append(at)
                ack(stage, to, at)

        for step in (*steps, "credit", "turn", "turn", "turn"):
            if isinstance(step, list):
                stage.publish(*[event(kind) for kind in step])
                types += step
            elif step == "credit":
                for peer in peers:
                    stage.tell(peer, wire.Credit(1, len(types) + 1))
            elif step == "lose":
                for _ in range(3):
                    take(stage.turn())
                stage.lose()
                follower = Stage(stage.ground)
                follower.commit()
                assert follower.delivering.snapshot(0) == stage.delivering.snapshot(0)
                stage = follower
                stage.lead()
                peers = {join(stage, f"g{number}", pattern, credit): number for number, pattern in enumerate(groups)}
                take(stage.turn(2))
            take(stage.turn())
        for number, pattern in enumerate(groups):
            meant = [at for at, kind in enumerate(types) if matches(pattern, kind)]
            assert got[number] == meant, f"{pattern} of {types}"
        end = len(types)
        assert standing(stage) == {f"g{number}": (end, 0, 0) for number in range(len(groups))}
