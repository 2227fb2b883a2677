"""What is kept of the past: lines of LATELY, slots of history, slots of groups; bounded, and told as one when many."""

from itertools import pairwise

import pytest

from bus.wire import GroupSample
from controlplane import facts, groups, history, lately
from controlplane.facts import Tick
from controlplane.groups import SLOT_NS, SLOTS_KEPT
from controlplane.lately import lines_of, text_of
from controlplane.sketches import bucket_of, edges_of, merged, quantile
from tests.controlplane.logs import SECOND
from tests.controlplane.made import BROKERS, Story, bury


def texts(story: Story) -> list[str]:
    return [text_of(line) for line in lines_of(story.heart.states["lately"], 99)]


def test_many_of_a_kind_are_told_as_one_for_ten_seconds() -> None:
    story = Story().begin(partitions=12)
    assert texts(story) == [
        "12 partitions have new leaders",
        "3 brokers are up",
        "fleet founded: 3 brokers, 12 partitions",
        "plane started, epoch 1",
    ]
    story.tell(facts.BrokerStopped("b1"), 20)
    story.tell(facts.BrokerStopped("b2"), 9)
    story.tell(facts.BrokerStopped("b3"), 9)
    story.vote()
    assert [text for text in texts(story) if "stopped" in text] == ["b3 stopped", "2 brokers stopped"]


def test_lines_stand_in_the_order_of_the_times_that_they_show() -> None:
    story = Story().begin(partitions=1)
    story.now += 60 * SECOND
    for n in range(2):
        rows = story.rows()
        bury(rows, f"d{n}", story.now)
        story.record(rows)
        story.tell(facts.SettingSet("sagas.stuck_after_ms", f"{n}"), 3)
    lines = lines_of(story.heart.states["lately"], 99)
    assert [text_of(line) for line in lines[:3]] == [
        "sagas.stuck_after_ms set to 1",
        "sagas.stuck_after_ms set to 0",
        "2 dead letters",
    ]
    assert [line.at for line in lines] == sorted((line.at for line in lines), reverse=True)


def test_a_projection_that_broke_is_told() -> None:
    story = Story().begin(partitions=1)
    story.tell(facts.ProjectionQuarantined("sums", 1, 40, "e-1", "KeyError: 'n'"))
    assert texts(story)[0] == "projection sums stands still: KeyError: 'n'"


def test_each_broker_that_is_lost_has_its_own_line_and_repeated_restarts_too() -> None:
    story = Story().begin(partitions=1)
    for n in range(2):
        story.tell(facts.BrokerLost("b2", f"killed: {n}"), 1)
        story.wait(1)
    story.tell(facts.BrokerLost("b2", "killed: again"))
    said = texts(story)
    assert "b2 is down: killed: 0" in said and "b2 is down: killed: 1" in said
    assert said.count("b2 restart 2 is due") == 1


def test_dead_letters_and_decisions_are_told() -> None:
    story = Story().begin(partitions=1)
    rows = story.rows()
    for n in range(3):
        bury(rows, f"d{n}", story.now)
    story.record(rows)
    story.tell(facts.RedriveDecided(["d0", "d1"], "op1", "why"))
    story.tell(facts.PlaneResumed(4 * SECOND), 4)
    story.tell(facts.SettingSet("sagas.stuck_after_ms", "900"))
    assert texts(story)[:4] == [
        "sagas.stuck_after_ms set to 900",
        "the plane stood still for 4 s",
        "2 dead letters redriven by op1",
        "3 dead letters",
    ]


def test_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "LATELY_MAX", 5)
    story = Story()
    for n in range(12):
        story.tell(facts.BrokerLost(f"b{n}", "x"))
    assert texts(story) == [f"b{n} is down: x" for n in range(11, 6, -1)]
    assert len(story.heart.states["lately"].table("kind")) == 5


def test_history_keeps_volume_and_score_in_slots_for_six_hours() -> None:
    story = Story().begin(partitions=1)
    for broker in BROKERS:
        story.sample(broker, events_in=3)
    story.say("a")
    story.say("agent.lifecycle.joined")
    story.tell(Tick(), 1)
    state = story.heart.states["history"]
    slot = state.get("slot", story.now // SLOT_NS)
    assert (slot.events, slot.score, slot.open_sagas, slot.ack_p99_ns) == (1, 100, 1, 9_000_000)
    story.tell(facts.BrokerLost("b3", "x"))
    story.tell(Tick(), 1)
    slot = state.get("slot", story.now // SLOT_NS)
    assert (slot.score, slot.severity, slot.worst) == (91, "warn", "b3 is down")
    story.tell(Tick(), 6 * 3600 + 60)
    assert len(state.table("slot")) == 1
    runs = history.slots(state, story.now, 3, 2)
    assert [len(run) for run in runs] == [2, 2, 2] and runs[-1][-1] is not None and runs[0][0] is None


def test_groups_keep_five_minutes_of_slots() -> None:
    story = Story().begin(partitions=2)
    for _ in range(SLOTS_KEPT + 5):
        story.now += SLOT_NS
        story.sample("b1", [GroupSample("g", 0, ">", 1, 0, 7, 1, 4, 3, 1, 0, 0, {3: 2, 5: 1})])
        story.sample("b2", [GroupSample("g", 1, ">", 1, 0, 2, 0, 1, 1, 0, 0, 0, {3: 1})])
    state = story.heart.states["groups"]
    kept = groups.slots(state, "g", story.now)
    assert len(kept) == SLOTS_KEPT + 1 == len(state.table("slot"))
    figures = kept[-1][1]
    assert (figures.delivered, figures.acked, figures.failed, figures.waiting) == (5, 4, 1, 10)
    assert dict(figures.latency) == {3: 3, 5: 1}


def test_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUPS_MAX", 2)
    story = Story().begin(partitions=1)
    story.sample("b1", [GroupSample(f"g{n}", 0, ">", 1, 0, 0, 0, 0, 0, 0, 0, 0, {}) for n in range(4)])
    assert groups.names(story.heart.states["groups"]) == ["g0", "g1"]
    assert not story.heart.quarantined


@pytest.mark.parametrize("value", [-5, 0, 1, 15, 16, 17, 255, 256, 10**9, 10**18, 2**63])
def test_a_bucket_holds_its_values_and_is_narrow(value: int) -> None:
    low, high = edges_of(bucket_of(value))
    assert low <= max(value, 0) <= high
    assert high - low <= low // 8


def test_buckets_follow_on_one_another_without_a_hole() -> None:
    edges = [edges_of(bucket) for bucket in range(200)]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(edges))


def test_quantiles_of_a_sketch() -> None:
    sketch: dict[int, int] = {}
    for value in range(1, 1_001):
        sketch = merged(sketch, {bucket_of(value): 1})
    for permille, exact in ((500, 500), (950, 950), (1_000, 1_000)):
        found = quantile(sketch, permille)
        assert found is not None and exact <= found <= exact * 1.125
    assert quantile({}, 500) is None


def test_one_of_a_kind_is_told_as_one() -> None:
    said = [
        facts.RedriveDecided(["d1"], "", ""),
        facts.GroupsRemoved(["coder"], waiting=1),
        facts.AgentFailed("agent/a", "i", 30_000_000_000),
    ]
    assert [lately.tell(fact)[2] for fact in said] == [
        "1 dead letter redriven",
        "group coder removed: 1 event waited",
        "a has failed: silent for 30 s",
    ]
