"""The hold-back of a group's member against brute force: what is given out, when, and that all of it is in the end."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.groupactive import Active, Floors, active_of
from bus.groupholdback import Arrived, CausalWork, TimedWork, hold_for
from bus.groupplain import Sheet
from bus.groupstate import Open
from bus.groupwork import Member, Work
from bus.wire import GroupSettings, Progress
from tests.bus.test_holdback import LOG, PARTITIONS, Log

Place = tuple[int, int]
DICE = st.randoms(use_true_random=False)
PATIENCE = 10


class Leaders:
    """Every partition's leader, as simple as can be: it delivers in any order, and takes back what was nacked."""

    def __init__(self, events: list[tuple[int, int, dict[int, int], bool]], hold: CausalWork[Place]) -> None:
        self.hold = hold
        self.deps = {(partition, offset): deps for partition, offset, deps, _ in events}
        self.ends = [sum(one[0] == partition for one in events) for partition in range(PARTITIONS)]
        self.ready = [(partition, offset) for partition, offset, _, matches in events if matches]
        self.unsettled = set(self.ready)
        self.attempts = dict.fromkeys(self.ready, 0)
        self.held: set[Place] = set()
        self.given: set[Place] = set()
        self.settled: list[Place] = []
        self.early: list[Place] = []
        self.now = 0

    def floor(self, partition: int) -> int:
        end = self.ends[partition] if partition < PARTITIONS else 0
        return min((at for one, at in self.unsettled if one == partition), default=end)

    def deliver(self, place: Place) -> None:
        self.ready.remove(place)
        self.held.add(place)
        self.attempts[place] += 1
        self.hold.arrived(Arrived(*place, self.attempts[place], 0, self.deps[place], place), self.now)

    def tell(self, partition: int, active: bool = True) -> None:
        floor = self.floor(partition)
        self.back(self.hold.told(Progress(1, partition, floor, floor < self.ends[partition], active, True), self.now))

    def lose(self, partition: int) -> None:
        self.back(self.hold.lost(partition, self.now))

    def back(self, places: list[Place]) -> None:
        self.held.difference_update(places)
        self.ready += places

    def go(self) -> None:
        for place in self.hold.go(self.now, 1_000):
            missing = [one for one, at in self.deps[place].items() if self.floor(one) <= at]
            if missing:
                self.early.append(place)
            self.held.remove(place)
            self.given.add(place)
        for place, why in self.hold.refused():
            assert "a gap" in why
            self.held.remove(place)
            self.settle(place)

    def settle(self, place: Place) -> None:
        self.given.discard(place)
        self.unsettled.remove(place)
        self.settled.append(place)

    def nack(self, place: Place) -> None:
        self.given.remove(place)
        self.ready.append(place)

    def drain(self) -> None:
        """From now on everything works."""
        for _ in range(3 * len(self.deps) + 3):
            for place in list(self.ready):
                self.deliver(place)
            for partition in range(PARTITIONS):
                self.tell(partition)
            self.now += PATIENCE + 1
            self.go()
            for place in list(self.given):
                self.settle(place)


def storm(leaders: Leaders, dice: Any) -> None:
    """Arrivals in any order, nacks, leaders lost, takeovers, in between what was given out is settled."""
    for _ in range(dice.randrange(120)):
        match dice.choice(["deliver"] * 6 + ["tell"] * 3 + ["settle"] * 4 + ["nack", "lose", "stand by"]):
            case "deliver" if leaders.ready:
                leaders.deliver(dice.choice(leaders.ready))
            case "settle" if leaders.given:
                leaders.settle(dice.choice(sorted(leaders.given)))
            case "nack" if leaders.given:
                leaders.nack(dice.choice(sorted(leaders.given)))
            case "tell":
                leaders.tell(dice.randrange(PARTITIONS))
            case "lose":
                leaders.lose(dice.randrange(PARTITIONS))
            case "stand by":
                leaders.tell(dice.randrange(PARTITIONS), active=False)
        leaders.go()


@settings(max_examples=300, deadline=None)
@given(LOG, DICE)
def test_an_effect_waits_until_its_causes_are_settled_whatever_happens(log: Log, dice: Any) -> None:
    leaders = Leaders(log.events, CausalWork(PATIENCE, "wait", PARTITIONS))
    storm(leaders, dice)
    leaders.drain()
    assert not leaders.early and not leaders.unsettled
    assert (len(leaders.hold), leaders.hold.gaps, leaders.hold.awaited(), leaders.hold.due(leaders.now)) == (
        *(0, 0),
        *(set(), None),
    )
    when = {place: number for number, place in enumerate(leaders.settled)}
    for place, number in when.items():
        causes = [(one, at) for one, offset in leaders.deps[place].items() for at in range(offset + 1)]
        assert all(when[cause] < number for cause in causes if cause in when), "a linear extension"


FORGED = st.lists(
    st.tuples(st.integers(0, 2), st.dictionaries(st.integers(0, 4), st.integers(-1, 9), max_size=4), st.just(True)),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(FORGED, st.sampled_from(["skip", "dead-letter"]), DICE)
def test_no_deps_however_false_stop_a_group(draws: list[Any], policy: str, dice: Any) -> None:
    ends = [0] * PARTITIONS
    events = []
    for partition, deps, matches in draws:
        events.append((partition, ends[partition], deps, matches))
        ends[partition] += 1
    leaders = Leaders(events, CausalWork(PATIENCE, policy, PARTITIONS))
    storm(leaders, dice)
    leaders.drain()
    assert not leaders.unsettled and len(leaders.hold) == 0
    assert leaders.hold.gaps >= leaders.hold.skipped + leaders.hold.dead
    assert len(leaders.early) <= leaders.hold.skipped


def test_arrivals_c_b_a_are_given_out_as_each_is_settled() -> None:
    events = [(0, 0, {}, True), (1, 0, {0: 0}, True), (2, 0, {1: 0}, True)]
    leaders = Leaders(events, CausalWork(PATIENCE, "wait", PARTITIONS))
    order = []
    for place in [(2, 0), (1, 0), (0, 0)]:
        leaders.deliver(place)
        leaders.go()
    assert leaders.hold.waits() == [((2, 0), 1, 0), ((1, 0), 0, 0)] and leaders.hold.awaited() == {0, 1}
    while leaders.given:
        (place,) = leaders.given
        order.append(place)
        leaders.nack(place)
        leaders.deliver(place)
        leaders.go()
        assert leaders.given == {place}, "nacked, and nothing else goes before it is over"
        leaders.settle(place)
        leaders.tell(place[0])
        leaders.go()
    assert order == [(0, 0), (1, 0), (2, 0)]
    assert (len(leaders.hold), leaders.hold.prevented, leaders.hold.gaps) == (0, 2, 0)


def test_a_gap_needs_a_leader_that_says_so() -> None:
    leaders = Leaders([(0, 0, {1: 5}, True)], CausalWork(PATIENCE, "skip", PARTITIONS))
    leaders.deliver((0, 0))
    leaders.tell(0)
    leaders.now = 100
    leaders.go()
    assert not leaders.given and leaders.hold.due(100) is None, "nobody speaks for partition 1"
    leaders.tell(1)
    leaders.go()
    assert leaders.given == {(0, 0)} and (leaders.hold.gaps, leaders.hold.skipped) == (1, 1)


# ------------------------------------------------------------------------------------------------ by time


def timed(policy: str = "deliver") -> TimedWork[str]:
    hold: Any = hold_for(GroupSettings(">", -1, 1, 1, "timestamp", lateness_ms=0, late=policy), 2, 0)
    for partition in range(2):
        hold.told(Progress(1, partition, 0, False, True, False), 0)
    return hold


def at(partition: int, offset: int, time: int, attempt: int = 1) -> Arrived[str]:
    return Arrived(partition, offset, attempt, time, {}, f"{time}#{attempt}")


@pytest.mark.parametrize(("policy", "given_out", "refused"), [("deliver", ["5#1"], []), ("dead-letter", [], ["5#1"])])
def test_a_late_one_goes_by_policy_and_one_that_comes_again_is_not_late(
    policy: str, given_out: list[str], refused: list[str]
) -> None:
    hold = timed(policy)
    hold.arrived(at(0, 0, 10), 1)
    hold.arrived(at(1, 0, 7), 1)
    assert hold.go(2, 9) == ["7#1", "10#1"]
    hold.arrived(at(1, 1, 5), 3)
    assert (hold.go(4, 9), [item for item, _ in hold.refused()], hold.late) == (given_out, refused, 1)
    hold.arrived(at(1, 0, 7, attempt=2), 5)
    assert (hold.go(5, 9), hold.refused(), hold.late) == (["7#2"], [], 1)
    assert len(hold) == 0 and hold.due(5) is None


def test_who_has_more_is_waited_for_and_so_is_who_has_not_spoken_for_the_lateness() -> None:
    hold: Any = TimedWork(PATIENCE, "deliver", 2, 0)
    hold.arrived(at(0, 0, 3), 0)
    hold.told(Progress(1, 0, 0, True, True, False), 0)
    assert hold.go(PATIENCE, 9) == [] and hold.due(PATIENCE) == PATIENCE + 1
    assert hold.go(PATIENCE + 1, 9) == ["3#1"], "partition 1 has been dark for too long"
    hold.told(Progress(1, 1, 0, True, True, True), 20)
    hold.arrived(at(0, 1, 9), 20)
    hold.arrived(at(1, 0, 4), 20)
    assert hold.go(100, 9) == [] and hold.awaited() == {1} and hold.due(100) is None
    hold.told(Progress(1, 1, 0, True, True, False), 101)
    assert hold.go(102, 1) == ["4#1"] and hold.go(102, 1) == ["9#1"]


def test_what_is_taken_back_comes_again_in_its_place() -> None:
    hold = timed()
    for offset in range(3):
        hold.arrived(at(0, offset, offset), 1)
    hold.arrived(at(0, 1, 1, attempt=2), 1)
    assert len(hold) == 3
    assert hold.told(Progress(1, 0, 0, True, False, False), 1) == ["0#1", "2#1", "1#2"] or len(hold) == 0
    hold.arrived(at(1, 0, 1), 2)
    assert sorted(hold.lost(1, 2)) == ["1#1"] and len(hold) == 0


# ------------------------------------------------------------------------------------------------ at the leader


def test_the_first_that_came_works_and_what_it_held_back_goes_to_the_next() -> None:
    members: dict[str, Member] = {}
    sheet = Sheet(0, 3, 0, 0b111)
    works = {offset: Work(offset, Open(0), sheet) for offset in range(3)}
    moved: list[tuple[int, str]] = []
    active = Active(members, works, lambda work, phase: moved.append((work.offset, phase)))
    for name, since in (("late", 9), ("b", 5), ("a", 5)):
        members[name] = Member(name, 1)
        members[name].since, members[name].credit = since, 1
    assert active.takers() == [members["a"]]
    members["a"].held = dict.fromkeys(works)
    works[1].timer = 77
    members["a"].lapsed = True
    assert active.takers() == [members["b"]] and moved == [(0, "ready"), (2, "ready")], "what it has begun it keeps"
    members["b"].credit = 0
    assert active.takers() == [], "it has no credit, and nobody steps in for it"
    members["b"].lapsed = members["late"].lapsed = True
    assert active_of(members.values()) is members["a"], "all have lapsed: better than nobody"
    assert active_of([]) is None


def test_a_floor_is_settled_and_committed() -> None:
    floors = Floors()
    floors.settled(3, 0)
    assert floors.floor(9) == 3
    floors.logged(7)
    floors.settled(5, 0)
    assert floors.floor(9) == 3
    floors.committed(8)
    assert floors.floor(9) == 5
    floors.logged(8)
    floors.leap()
    floors.committed(9)
    assert floors.floor(20) == 5 and floors.leaping, "what was passed as gone counts when that is committed"
    floors.logged(9)
    assert floors.floor(20) == 5
    floors.committed(10)
    assert floors.floor(20) == 20 and not floors.leaping
