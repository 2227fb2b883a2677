"""Sagas: steps and ends, what is usual, and who is stuck since when."""

import pytest

from controlplane import limits, sagas
from controlplane.facts import SagaStuck, SettingSet, Tick
from controlplane.fold import Heart
from controlplane.plane import folds
from controlplane.sagas import Saga, judge, usual, valid_setting
from tests.controlplane.logs import NOW, SECOND, add, empty_rows
from tests.controlplane.made import Story


def saga_of(story: Story, key: str) -> Saga:
    found = story.heart.states["sagas"].get("saga", key)
    assert isinstance(found, Saga)
    return found


def counts(story: Story) -> dict[str, int]:
    return {str(key): count for key, count in sorted(story.heart.states["sagas"].items("count"))}


def learned(step: str = "step.a", gap: float = 0.1, times: int = limits.SAGA_SAMPLES_MIN) -> Story:
    """A story in which `step` is usually followed after `gap` seconds."""
    story = Story().begin(partitions=1)
    for n in range(times):
        story.say(step, f"usual-{n}")
        story.say("saga.completed", f"usual-{n}", after=gap)
    return story


def test_a_step_is_the_last_type_and_internal_events_are_none() -> None:
    story = Story()
    story.say("task.request", source="agent/a")
    story.say("agent.message", source="agent/b", after=1)
    story.say("agent.lifecycle.joined")
    story.say("exec.failed", redriven=True)
    saga = saga_of(story, "s-1")
    assert (saga.step, saga.source, saga.steps, saga.state) == ("agent.message", "agent/b", 2, "open")
    assert saga.last - saga.started == SECOND
    assert (saga.offset, saga.partition, saga.position) == (1, 0, 2)


@pytest.mark.parametrize(
    ("type", "state"),
    [
        ("agent.termination", "finished"),
        ("saga.completed", "finished"),
        ("saga.failed", "failed"),
        ("workflow.pay.completed", "finished"),
        ("workflow.pay.failed", "failed"),
        ("workflow.pay.eu.failed", "open"),
        ("exec.failed", "open"),
        ("A_DECLINED.complete", "open"),
    ],
)
def test_end_types_finish_a_saga_and_failed_ones_fail_it(type: str, state: str) -> None:
    story = Story()
    story.say("task.request")
    story.say(type)
    assert saga_of(story, "s-1").state == state
    assert counts(story) == {state: 1}


def test_what_comes_after_the_end_is_a_step_and_reopens_nothing() -> None:
    story = Story()
    for type in ("task.request", "saga.failed", "task.request", "saga.completed"):
        story.say(type)
    assert (saga_of(story, "s-1").state, saga_of(story, "s-1").steps) == ("failed", 4)


def test_end_types_can_be_set() -> None:
    story = Story()
    story.tell(SettingSet(sagas.END_TYPES_SETTING, "order.*.done,order.failed"))
    story.say("order.eu.done", "s-1")
    story.say("order.failed", "s-2")
    story.say("saga.completed", "s-3")
    assert [saga_of(story, key).state for key in ("s-1", "s-2", "s-3")] == ["finished", "failed", "open"]


def test_nothing_is_stuck_before_enough_was_seen() -> None:
    story = learned(times=limits.SAGA_SAMPLES_MIN - 1)
    story.say("step.a", "waits")
    story.wait(300)
    assert saga_of(story, "waits").severity == "ok"
    assert usual(story.heart.states["sagas"], "", "step.a") == (None, None)


def test_stuck_warns_past_the_95th_percentile_and_is_bad_past_three_times_that() -> None:
    story = learned(gap=10.0)
    median, p95 = usual(story.heart.states["sagas"], "", "step.a")
    assert median is not None and p95 is not None
    assert 10 * SECOND <= p95 <= 11.25 * SECOND
    begun = story.now
    story.say("step.a", "waits")
    stuck = [(e.fact, e.recorded - begun) for step in story.wait(60) for e in step.derived]
    facts = [(fact.saga, fact.severity, age) for fact, age in stuck if isinstance(fact, SagaStuck)]
    assert facts == [("waits", "warn", p95 + 1), ("waits", "bad", 3 * p95 + 1)]
    assert counts(story)["bad"] == 1
    story.say("saga.completed", "waits")
    assert "bad" not in counts(story) and saga_of(story, "waits").severity == "ok"


def test_a_live_saga_is_not_stuck_within_the_floor() -> None:
    story = learned(gap=0.001)
    story.say("step.a", "waits")
    story.wait(limits.SAGA_FLOOR_MS / 1000 - 0.1)
    assert saga_of(story, "waits").severity == "ok"
    story.wait(0.2)
    assert saga_of(story, "waits").severity == "bad"


def test_a_set_threshold_replaces_what_was_learned_and_has_no_floor() -> None:
    story = Story()
    story.say("step.a", "waits")
    story.tell(SettingSet(sagas.STUCK_AFTER, "1000"))
    story.wait(1.1)
    assert saga_of(story, "waits").severity == "warn"
    story.wait(2)
    assert saga_of(story, "waits").severity == "bad"
    story.tell(SettingSet(sagas.STUCK_AFTER, "60000"))
    story.tell(Tick(), 0.1)
    assert saga_of(story, "waits").severity == "ok"
    assert counts(story) == {"open": 1}


def test_settings_are_checked() -> None:
    assert valid_setting(sagas.STUCK_AFTER, "1500") == ""
    assert valid_setting(sagas.STUCK_AFTER, "-1")
    assert valid_setting(sagas.STUCK_AFTER, "soon")
    assert valid_setting(sagas.END_TYPES_SETTING, "a,,b")
    assert valid_setting("flows.anything", "x") == ""


def test_an_imported_saga_is_judged_at_its_logs_end_and_sets_no_timer() -> None:
    heart = Heart(folds())
    rows = empty_rows(0, 0)
    for n in range(limits.SAGA_SAMPLES_MIN):
        add(rows, "a", saga=f"s-{n}", importof="log", time=f"2020-01-01T00:{n:02d}:00.000Z")
        add(rows, "b", saga=f"s-{n}", importof="log", time=f"2020-01-01T00:{n:02d}:10.000Z")
    add(rows, "a", saga="late", importof="log", time="2020-01-01T01:00:00.000Z")
    add(rows, "b", saga="other", importof="log", time="2020-01-01T01:00:20.000Z")
    heart.step(rows, NOW)
    state = heart.states["sagas"]
    found = judge(state, state.get("saga", "late"), NOW + 10**18)
    assert (found.severity, found.waiting_ns) == ("warn", 20 * SECOND)
    more = empty_rows(0, len(rows))
    add(more, "b", saga="other", importof="log", time="2020-01-01T01:05:00.000Z")
    heart.step(more, NOW)
    assert judge(state, state.get("saga", "late"), NOW).severity == "bad"
    assert heart.next_deadline() is None


def test_one_live_event_makes_an_imported_saga_live() -> None:
    heart = Heart(folds())
    rows = empty_rows(0, 0)
    add(rows, "a", saga="s", importof="log", time="2020-01-01T00:00:00.000Z")
    add(rows, "b", saga="s")
    add(rows, "c", saga="s", importof="log", time="2020-01-01T00:00:09.000Z")
    heart.step(rows, NOW)
    saga = heart.states["sagas"].get("saga", "s")
    assert (saga.importof, saga.last) == ("", NOW)
    assert heart.next_deadline() is not None
    assert heart.states["sagas"].get("gap", "\0a") is None, "a gap between two clocks is no gap"


def test_too_many_sagas_are_forgotten_finished_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas, "SAGAS_MAX", 10)
    monkeypatch.setattr(sagas, "SAGAS_FORGOTTEN_AT_ONCE", 4)
    story = Story()
    for n in range(10):
        story.say("saga.completed" if n % 2 else "task.request", f"s-{n}")
    for n in range(10, 13):
        story.say("task.request", f"s-{n}")
    assert counts(story) == {"finished": 1, "forgotten": 4, "open": 8}
    assert {key for key, _ in story.heart.states["sagas"].items("saga")} == {
        "s-0", "s-2", "s-4", "s-6", "s-8", "s-9", "s-10", "s-11", "s-12"
    }  # fmt: skip
