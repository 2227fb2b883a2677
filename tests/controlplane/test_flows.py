"""Flows, ledger and registry: what is counted of the rows that come by."""

import pytest

from controlplane import flows
from controlplane.answers.rates import Rates
from controlplane.facts import Tick
from controlplane.fold import Heart
from controlplane.ledger import behind, lost
from controlplane.plane import folds
from controlplane.registry import present
from tests.controlplane.logs import NOW, SECOND, add, empty_rows
from tests.controlplane.made import Story


def totals(heart: Heart) -> dict[str, int]:
    return {str(key).replace("\0", ">"): flow.total for key, flow in heart.states["flows"].items("flow")}


def test_a_flow_is_a_source_and_a_type_and_internal_events_are_none() -> None:
    story = Story()
    for type, source in (("a.b", "x"), ("a.b", "x"), ("a.c", "x"), ("a.b", "y")):
        story.say(type, source=source)
    story.say("a.b", source="x", redriven=True)
    story.say("agent.lifecycle.joined", source="x")
    story.say("signalbox.deadletter", source="signalbox/b1")
    assert totals(story.heart) == {"x>a.b": 2, "x>a.c": 1, "y>a.b": 1}
    count = story.heart.states["ledger"].table("count")
    assert (count["events"], count["internal"]) == (4, 3)


def test_rates_come_from_the_seconds_in_which_events_were_appended() -> None:
    heart = Heart(folds())
    rows = empty_rows(2, 0)
    for second in range(100):
        for _ in range(3):
            add(rows, "a", appended=NOW + second * SECOND)
    heart.step(rows, NOW + 99 * SECOND)
    rates = Rates(heart.states["flows"], NOW + 99 * SECOND)
    assert rates.flow_rate(0) == 3.0
    assert rates.partition_count(2) == 30
    assert sum(rates.flow_recent[0]) == 300
    assert sum(rates.partition_recent[2]) == 300
    assert rates.partition_recent[2][-1] == 36
    later = Rates(heart.states["flows"], NOW + 200 * SECOND)
    assert later.flow_rate(0) == 0.0 and sum(later.flow_recent[0]) == 300


def test_old_seconds_are_forgotten_and_totals_are_not() -> None:
    story = Story()
    story.say("a")
    story.tell(Tick(), 301)
    assert not story.heart.states["flows"].table("second")
    assert totals(story.heart) == {"agent/a>a": 1}


def test_events_older_than_the_samples_count_in_totals_only() -> None:
    heart = Heart(folds())
    rows = empty_rows(0, 0)
    add(rows, "a", appended=NOW - 400 * SECOND)
    add(rows, "a", appended=NOW)
    heart.step(rows, NOW)
    assert totals(heart) == {"agent/a>a": 2}
    assert sum(Rates(heart.states["flows"], NOW).flow_recent[0]) == 1


def test_too_many_flows_are_counted_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "FLOWS_MAX", 3)
    heart = Heart(folds())
    rows = empty_rows(0, 0)
    for n in (0, 1, 2, 3, 4, 4, 0):
        add(rows, f"t{n}", "s")
    heart.step(rows, NOW)
    assert totals(heart) == {"s>t0": 2, "s>t1": 1, "s>t2": 1, "others>others": 3}
    assert sum(Rates(heart.states["flows"], NOW).flow_now.values()) == 7


def test_a_gap_in_offsets_is_a_loss_and_an_overlap_is_none() -> None:
    heart = Heart(folds())
    for first, size in ((0, 3), (5, 2), (6, 3)):
        rows = empty_rows(1, first)
        for _ in range(size):
            add(rows, "a")
        heart.step(rows, NOW)
    archive = heart.states["ledger"].get("partition", 1)
    assert (archive.next_offset, archive.missing, archive.again) == (9, 2, 1)
    assert lost(heart.states["ledger"]) == 2


def test_behind_is_what_leaders_have_and_the_journal_has_not() -> None:
    story = Story().begin(partitions=3)
    story.ends = {0: 50, 1: 20, 2: 0}
    for broker in ("b1", "b2", "b3"):
        story.sample(broker)
    assert behind(story.heart.states["ledger"]) == 70


def test_agents_come_and_go() -> None:
    story = Story()
    for source, said in (("a", "joined"), ("b", "joined"), ("a", "ready"), ("b", "left"), ("c", "failed")):
        story.say(f"agent.lifecycle.{said}", source=source, after=1)
    state = story.heart.states["registry"]
    assert {str(key): agent.state for key, agent in state.items("agent")} == {"a": "ready", "b": "left", "c": "failed"}
    assert present(state) == 1
    assert state.get("agent", "a").since - state.get("agent", "a").joined == 2 * SECOND
