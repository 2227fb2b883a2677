"""An adaptive fleet by itself: skewed load goes to where there is room, once; then it stays still, and says why.

The plane's folds, three brokers that are well and vote, and a load by a clock of its own. Every step is replayed by a
second heart, which must agree.
"""

from itertools import pairwise
from zlib import crc32

import pytest

from bus.partitioner import partition_of_slot
from bus.semantic import ADAPTIVE
from controlplane import adaptive
from controlplane.answers import Extras, answer, plan_operation
from controlplane.decisions import (
    BrokerDrained,
    BrokerRevived,
    PlannedMove,
    RebalanceDecided,
    RebalanceEnded,
    RebalanceForgone,
    RebalanceStopped,
    StrategyChosen,
)
from controlplane.facts import BrokerLost, LeaderElected
from controlplane.fold import Heart
from controlplane.limits import (
    ADAPTIVE_EVEN,
    ADAPTIVE_LOOK_MS,
    ADAPTIVE_MOVES_MAX,
    ADAPTIVE_REST_MS,
    ADAPTIVE_SKEWED_MS_MIN,
    ADAPTIVE_TOLD_MS_MIN,
)
from controlplane.plane import folds
from controlplane.questions import AskHealth, AskPartitions, Health, Operate, Operated, Partitions, Refusal
from controlplane.roster import partitions_of
from tests.controlplane.logs import add
from tests.controlplane.made import BROKERS, Story

SLOTS, PARTITIONS = 4_096, 12
EVERY = 5


def skewed_by(salt: int, keys: int = 100) -> dict[int, int]:
    """Events a second by partition: few keys say much and many little, placed by a salted hash."""
    loads = dict.fromkeys(range(PARTITIONS), 1)
    for n in range(1, keys + 1):
        loads[partition_of_slot(crc32(f"agent/{n}".encode(), salt) % SLOTS, PARTITIONS)] += 20 // (n + 2)
    return loads


HOT = dict.fromkeys(range(PARTITIONS), 1) | {0: 20, 3: 20}
"""b1 is the home of partitions 0 and 3."""


class Fleet:
    """A story under load. `twin` replays what it says."""

    def __init__(self, strategy: str = ADAPTIVE) -> None:
        self._seconds = 0
        self.story = Story().begin(partitions=PARTITIONS)
        self.story.tell(StrategyChosen(strategy))
        self.samples()

    def samples(self) -> None:
        for broker in BROKERS:
            self.story.sample(broker)

    def run(self, seconds: int, load: dict[int, int]) -> None:
        """A second is a tick and votes; every `EVERY` of them samples, and the load's events all at once."""
        for _ in range(seconds):
            self.story.wait(1)
            self.story.vote()
            self._seconds += 1
            if self._seconds % EVERY == 0:
                self.samples()
                for partition, count in load.items():
                    self._record(partition, count * EVERY)

    def _record(self, partition: int, count: int) -> None:
        rows = self.story.rows(partition)
        for _ in range(count):
            add(rows, "a.b", "agent/a", "s", "e", appended=self.story.now)
        if count:
            self.story.record(rows)

    def said(self, kind: type) -> list:
        """All facts of a kind so far, with when they were said in seconds."""
        found = []
        for step in self.story.steps:
            facts = [step.input, *(entry.fact for entry in step.derived)]
            found += [(step.recorded // 10**9, fact) for fact in facts if isinstance(fact, kind)]
        return found

    @property
    def watch(self) -> adaptive.Watch:
        return adaptive.watch_of(self.story.heart.states["adaptive"])

    def held(self) -> str:
        """Why nothing moves, as `partition list` says it."""
        told = answer(AskPartitions(), self.story.heart, self.story.now, Extras())
        assert isinstance(told, Partitions) and told.partitioning is not None
        return told.partitioning.held

    def pull(self, verb: str) -> Operated:
        decision, told = plan_operation(self.story.heart.states, Operate(verb, by="op"), self.story.now)  # type: ignore[arg-type]
        assert isinstance(told, Operated) and decision is not None, told
        self.story.tell(decision)
        return told

    def agrees(self) -> None:
        """A heart that only replays is in the same state."""
        twin = Heart(folds())
        for step in self.story.steps:
            twin.replay(step)
        assert twin.digest() == self.story.heart.digest()


@pytest.mark.parametrize("salt", [1, 3])
def test_it_brings_a_skewed_load_below_the_threshold_and_then_stays_still(salt: int) -> None:
    fleet = Fleet()
    load = skewed_by(salt)
    fleet.run(120, load)
    plans = fleet.said(RebalanceDecided)
    assert all(len(plan.moves) <= ADAPTIVE_MOVES_MAX and plan.by == ADAPTIVE for _, plan in plans)
    assert len(plans) <= 1, "one plan does"
    elected = len(fleet.said(LeaderElected))
    fleet.run(ADAPTIVE_REST_MS // 1_000 + 60, load)
    assert fleet.said(RebalanceDecided) == plans, "what is even is left alone"
    assert len(fleet.said(LeaderElected)) == elected
    if plans:
        assert fleet.watch.share < ADAPTIVE_EVEN, fleet.held()
    fleet.agrees()


def test_a_plan_says_why() -> None:
    fleet = Fleet()
    fleet.run(80, HOT)
    assert [plan.reason for _, plan in fleet.said(RebalanceDecided)] == ["b1 led 2.52 × the mean; 1.20 after that"]


def test_load_that_comes_and_goes_moves_nothing_and_what_wanders_moves_once_a_cool_down() -> None:
    fleet = Fleet()
    for _ in range(3):
        fleet.run(ADAPTIVE_SKEWED_MS_MIN // 2_000, HOT)
        fleet.run(130, dict.fromkeys(range(PARTITIONS), 20))
    assert fleet.said(RebalanceDecided) == []
    fleet = Fleet()
    for hot in (0, 1, 2, 0, 1):
        fleet.run(45, dict.fromkeys(range(PARTITIONS), 4) | {hot: 60, hot + 3: 60})
    at = [when for when, _ in fleet.said(RebalanceDecided)]
    rest = ADAPTIVE_REST_MS // 1_000
    assert at and all(later - earlier >= rest for earlier, later in pairwise(at)), at


def test_one_key_that_is_too_much_for_any_broker_moves_nothing_again_and_again() -> None:
    fleet = Fleet()
    giant = dict.fromkeys(range(PARTITIONS), 0) | {0: 60}
    fleet.run(400, giant)
    plans, elected = fleet.said(RebalanceDecided), len(fleet.said(LeaderElected))
    fleet.run(200, giant)
    assert fleet.said(RebalanceDecided) == plans and len(plans) <= 1
    assert len(fleet.said(LeaderElected)) == elected
    forgone = [when for when, _ in fleet.said(RebalanceForgone)]
    assert forgone and len(forgone) <= 800_000 // ADAPTIVE_REST_MS + 1
    assert "no move is worth it" in fleet.held()
    told = answer(AskHealth(), fleet.story.heart, fleet.story.now, Extras())
    assert isinstance(told, Health)
    need = next(need for need in told.penalties if need.key == "skew")
    assert need.points == 1 and "× the mean load" in need.what and "no move is worth it" in need.why
    assert fleet.story.now - need.since > ADAPTIVE_TOLD_MS_MIN * 10**6


def test_nothing_moves_while_paused_drained_unwell_or_by_another_strategy() -> None:
    fleet = Fleet()
    fleet.pull("rebalance_pause")
    fleet.run(80, HOT)
    assert (fleet.held(), fleet.said(RebalanceDecided)) == ("paused by op", [])
    fleet.pull("rebalance_resume")
    fleet.story.tell(BrokerDrained("b2"))
    fleet.run(20, HOT)
    assert "b2 is drained" in fleet.held() and fleet.said(RebalanceDecided) == []
    fleet.story.tell(BrokerRevived("b2"))
    fleet.story.tell(BrokerLost("b3", "killed"))
    fleet.run(ADAPTIVE_LOOK_MS // 1_000 + EVERY, HOT)
    assert "not all is well: b3 is" in fleet.held() and fleet.said(RebalanceDecided) == []

    by_hash = Fleet("hash")
    by_hash.run(80, HOT)
    assert "partitioning is hash" in by_hash.held() and by_hash.said(RebalanceDecided) == []
    for verb in ("rebalance_pause", "rebalance_resume"):
        decision, told = plan_operation(by_hash.story.heart.states, Operate(verb), by_hash.story.now)  # type: ignore[arg-type]
        assert decision is None and isinstance(told, Refusal) and "adaptive" in told.hint


def test_a_pause_gives_up_a_plan_of_its_own_and_a_stop_makes_it_rest() -> None:
    fleet = Fleet()
    while not fleet.said(RebalanceDecided):
        fleet.run(1, HOT)
    assert fleet.pull("rebalance_pause").touched == [
        f"p{m.partition:02d}" for m in fleet.said(RebalanceDecided)[0][1].moves
    ]
    led = {p.partition: p.leader for p in partitions_of(fleet.story.heart.states["fleet"])}
    fleet.run(40, HOT)
    assert led == {p.partition: p.leader for p in partitions_of(fleet.story.heart.states["fleet"])}
    assert fleet.said(RebalanceEnded) == []

    fleet = Fleet()
    while not fleet.said(RebalanceDecided):
        fleet.run(1, HOT)
    fleet.pull("rebalance_stop")
    at = fleet.story.now // 10**9
    while len(fleet.said(RebalanceDecided)) < 2:
        fleet.run(1, HOT)
    assert fleet.said(RebalanceDecided)[1][0] - at >= ADAPTIVE_REST_MS // 1_000


def test_an_operators_plan_goes_first_and_is_not_given_up() -> None:
    fleet = Fleet()
    fleet.run(20, HOT)
    fleet.story.tell(BrokerLost("b3", "killed"))  # so that the plan waits
    fleet.story.tell(RebalanceDecided([PlannedMove(1, ["b3", "b2", "b1"])], "op"))
    fleet.run(620, HOT)
    assert fleet.said(RebalanceStopped) == []
    assert all(plan.by == "op" for _, plan in fleet.said(RebalanceDecided))
