"""Levers on brokers and partitions: what they would touch, what is in their way, and that they touch exactly that."""

import pytest

from controlplane.answers import Extras, answer, plan_operation
from controlplane.decisions import BrokerDrained, LossAccepted, RebalanceDecided, RestartDecided
from controlplane.facts import BrokerLost
from controlplane.questions import (
    AskBrokers,
    AskPartitions,
    AskStatus,
    Brokers,
    Operate,
    Operated,
    Partitions,
    Refusal,
    Status,
)
from controlplane.roster import partitions_of
from tests.controlplane.logs import add
from tests.controlplane.made import BROKERS, Story


def well(partitions: int = 6) -> Story:
    """Three brokers that lead two partitions each, all in sync."""
    story = Story().begin(partitions=partitions)
    for broker in BROKERS:
        story.sample(broker)
    return story


def plan(story: Story, verb: str, *targets: str, **more) -> tuple:
    return plan_operation(story.heart.states, Operate(verb, list(targets), **more), story.now)  # type: ignore[arg-type]


def touched(story: Story, verb: str, *targets: str, **more) -> Operated:
    decision, told = plan(story, verb, *targets, **more)
    assert isinstance(told, Operated), told
    assert (decision is None) == (told.dry_run or not told.touched)
    return told


def refused(story: Story, verb: str, *targets: str, **more) -> Refusal:
    decision, told = plan(story, verb, *targets, **more)
    assert decision is None and isinstance(told, Refusal) and told.message and told.hint
    return told


def brokers(story: Story) -> Brokers:
    told = answer(AskBrokers(), story.heart, story.now, Extras())
    assert isinstance(told, Brokers)
    return told


def partitions(story: Story) -> Partitions:
    told = answer(AskPartitions(), story.heart, story.now, Extras())
    assert isinstance(told, Partitions)
    return told


def leads(story: Story) -> dict[str, int]:
    return {row.id: len(row.leads) for row in brokers(story).rows}


def calm(story: Story, seconds: int) -> None:
    """Seconds pass in which every broker is well and votes."""
    for _ in range(seconds):
        story.wait(1)
        story.vote()
        for broker in BROKERS:
            story.sample(broker)


def test_a_drain_shows_what_it_moves_and_moves_exactly_that() -> None:
    story = well()
    told = touched(story, "drain", "b2", dry_run=True)
    assert [(move.partition, move.leader) for move in told.moves] == [(1, "b2"), (4, "b2")]
    assert not story.heart.states["fleet"].table("drained"), "a dry run changes nothing"
    decision, _ = plan(story, "drain", "b2", reason="disk", by="op", expected=told.touched)
    assert decision == BrokerDrained("b2", "op", "disk")
    story.tell(decision)
    calm(story, 6)
    led = {p.partition: p.leader for p in partitions_of(story.heart.states["fleet"])}
    assert {move.partition: move.to for move in told.moves} == {number: led[number] for number in (1, 4)}
    row = next(row for row in brokers(story).rows if row.id == "b2")
    assert (row.leads, row.home_of, row.drained, row.why) == ([], [], "drained by op: disk", "")
    status = answer(AskStatus(), story.heart, story.now, Extras())
    assert isinstance(status, Status)
    assert [(one.why, one.mend) for one in status.brokers] == [("", ""), ("drained by op: disk", ""), ("", "")]
    assert refused(story, "drain", "b2").code == "usage"
    story.tell(plan(story, "revive", "b2")[0])
    calm(story, 16)
    assert leads(story) == {"b1": 2, "b2": 2, "b3": 2}


def test_two_drains_end_with_the_third_replica_leading_everything_by_one_election_each() -> None:
    story = well()
    calm(story, 8)
    for broker in ("b1", "b2"):
        story.tell(plan(story, "drain", broker)[0])
        calm(story, 12)
    assert leads(story) == {"b1": 0, "b2": 0, "b3": 6}
    epochs = [p.epoch for p in partitions_of(story.heart.states["fleet"])]
    calm(story, 12)
    assert [p.epoch for p in partitions_of(story.heart.states["fleet"])] == epochs, "and then it is still"


def test_a_set_that_has_changed_is_refused() -> None:
    story = well()
    assert refused(story, "drain", "b2", expected=["p01 b2 → b1"]).code == "changed"


def test_a_drain_is_refused_where_nobody_else_could_lead() -> None:
    story = well()
    story.sample("b1", lags=("b2", "b3"))
    assert "p00, p03" in refused(story, "drain", "b1").message
    story = well()
    story.tell(BrokerDrained("b1"))
    story.tell(BrokerDrained("b2"))
    calm(story, 6)
    assert "no other replica" in refused(story, "drain", "b3").message


def test_a_restart_is_refused_where_the_quorum_would_be_lost() -> None:
    story = well()
    assert touched(story, "restart").touched == list(BROKERS)
    story.tell(BrokerLost("b3", "killed"))
    story.vote()
    for broker in ("b1", "b2"):
        story.sample(broker)
    assert "b3 is down" in refused(story, "restart", "b3").message
    assert "would lose the quorum" in refused(story, "restart", "b1").message
    assert next(row for row in brokers(story).rows if row.id == "b1").holds_up == [0, 1, 2, 3, 4, 5]


def test_one_restart_at_a_time_and_it_can_be_stopped() -> None:
    story = well()
    assert refused(story, "restart_stop").code == "not_found"
    story.tell(RestartDecided(["b1", "b2"]))
    assert "under way" in refused(story, "restart", "b3").message
    decision, told = plan(story, "restart_stop")
    assert told.touched == ["b1", "b2"]
    story.tell(decision)
    restart = brokers(story).restart
    assert restart is not None and restart.ended == "stopped"
    assert touched(story, "restart", "b3").touched == ["b3"]


def test_a_rebalance_follows_the_load_and_says_what_it_is_good_for() -> None:
    story = well()
    assert touched(story, "rebalance").notes == ["nothing to move: no move makes it better"]
    for partition in (0, 3):
        rows = story.rows(partition)
        for n in range(50):
            add(rows, "a.b", "agent/a", f"s-{n}", appended=story.now)
        story.record(rows)
    told = touched(story, "rebalance")
    goal = next(goal for goal in told.goals if "load" in goal.name)
    assert (goal.before, goal.after) == (3.0, 1.5)
    assert all(goal.before == goal.after == 0 for goal in told.goals if goal.hard)
    decision, _ = plan(story, "rebalance", expected=told.touched)
    assert isinstance(decision, RebalanceDecided)
    story.tell(decision)
    calm(story, 20)
    found = partitions(story).plan
    assert found is not None and (found.ended, found.made) == ("done", len(told.moves))
    led = {p.partition: p.leader for p in partitions_of(story.heart.states["fleet"])}
    assert led[0] != led[3]


def test_one_partition_is_sent_to_one_broker() -> None:
    story = well()
    told = touched(story, "rebalance", "p00", to="b3")
    assert [(move.partition, move.to) for move in told.moves] == [(0, "b3")]
    assert refused(story, "rebalance", "0", to="b9").code == "not_found"
    assert refused(story, "rebalance", "77", to="b3").code == "not_found"
    story.tell(BrokerDrained("b3"))
    assert "drained" in refused(story, "rebalance", "0", to="b3").message


def test_a_recovery_names_what_may_be_lost_and_is_refused_where_nothing_is() -> None:
    story = well()
    story.ends[0] = 40
    for broker in BROKERS:
        story.sample(broker)
    assert "nothing is lost" in refused(story, "recover", "0").message
    story.tell(BrokerLost("b1", "killed"))
    story.vote()
    story.tell(BrokerLost("b2", "killed"))
    decision, told = plan(story, "recover", "0", reason="gone")
    assert isinstance(decision, LossAccepted) and decision.missing == ["b1", "b2"]
    assert "b1, b2" in told.notes[1] and "offset 40" in decision.may_lose
    story.tell(decision)
    story.vote()
    assert partitions(story).rows[0].leader == "b3"
    story.tell(BrokerLost("b3", "killed"))
    assert refused(story, "recover", "1").code == "unavailable"


@pytest.mark.parametrize("verb", ["drain", "revive", "restart"])
def test_an_unknown_broker_is_named(verb: str) -> None:
    assert "'b9'" in refused(well(), verb, "b9").message


def test_one_that_is_asked_for_is_told_alone() -> None:
    story = well()
    told = answer(AskBrokers(broker="b2"), story.heart, story.now, Extras())
    assert isinstance(told, Brokers) and [row.id for row in told.rows] == ["b2"]
    one = answer(AskPartitions(partition=4), story.heart, story.now, Extras())
    assert isinstance(one, Partitions) and [row.partition for row in one.rows] == [4]
    for question in (AskBrokers(broker="b9"), AskPartitions(partition=99)):
        assert isinstance(answer(question, story.heart, story.now, Extras()), Refusal)
