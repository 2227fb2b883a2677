"""Answers as of a position: the whole Board, the inbox, a saga's WHY, flows with their groups, and the past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.wire import GroupSample
from bus.words import many
from controlplane import facts, limits, questions
from controlplane.answers import Extras, answer, not_yet, past
from controlplane.answers.lag import Listening
from controlplane.answers.words import age
from controlplane.facts import Tick
from controlplane.groups import SLOT_NS
from controlplane.history import Slot
from controlplane.limits import HISTORY_SLOTS_MAX
from controlplane.plane import folds
from controlplane.questions import AskAt, AskBoard, AskFlows, AskSaga, AskSagas, AskStatus, AskTimeline, SagaStep
from controlplane.timeline import as_of
from tests.controlplane.logs import NOW, SECOND
from tests.controlplane.made import BROKERS, MS, Story, bury


def group(
    name: str, story: Story, behind: int = 0, waiting: int = 0, failed: int = 0, pattern: str = ">"
) -> GroupSample:
    oldest = story.now - behind * SECOND if behind else 0
    return GroupSample(name, 0, pattern, 2, 5, waiting, 1, 10 + failed, 10, failed, 0, oldest, {3: 9, 12: 1})


@pytest.fixture(scope="module")
def night() -> Story:
    """Something of everything: a broker down, one that lags, a late group, a stuck saga, new dead letters."""
    story = Story().begin(partitions=12)
    for n in range(limits.SAGA_SAMPLES_MIN + 2):
        story.say("task.plan", f"usual-{n}", "agent/planner")
        story.say("agent.termination", f"usual-{n}", "agent/planner", after=0.2)
    story.say("agent.lifecycle.joined", source="agent/planner")
    story.say("task.plan", "late-1", "agent/planner")
    for _ in range(30):
        for broker in BROKERS:
            story.sample(broker, [group("coder", story, 41, 90, pattern="task.>")] if broker == "b1" else [])
        story.wait(1)
    rows = story.rows()
    bury(rows, "d1", story.now, error="SyntaxError: line 3")
    story.record(rows)
    story.tell(facts.BrokerLost("b3", "killed: 137"))
    story.vote()
    story.sample("b1", [group("coder", story, 41, 120, pattern="task.>")], lags=("b2",))
    story.tell(Tick(), 1)
    return story


def board(story: Story, bars: int = 100) -> questions.Board:
    told = answer(AskBoard(bars), story.heart, story.now, Extras(pid=7, data_dir="/x"))
    assert isinstance(told, questions.Board)
    return told


def test_an_adopted_broker_is_up_since_its_process_began() -> None:
    story = Story().begin(partitions=1)
    began, here = story.now - 90 * SECOND, ("b1", 100, "store-b1", "tcp://b1", True, [])
    for fact, since in (
        (facts.BrokerStarted(*here, began), began),
        (facts.BrokerLost("b1", "killed: 137"), None),
        (facts.BrokerStarted(*here), None),
    ):
        story.tell(fact, 5)
        assert board(story).status.brokers[0].since == (since or story.now), fact


def test_the_board_names_everything(night: Story) -> None:
    told = board(night)
    assert questions.decode_told(questions.encode(questions.Told(1, 2, told))).body == told
    assert {need.key for need in told.needs} >= {"broker b3", "group coder", "sagas", "deadletters"}
    assert all(need.why and need.mend for need in told.needs)
    assert told.status.counts.score == max(0, 100 - sum(need.points for need in told.needs))
    assert [len(vital.recent) for vital in (told.published, told.delivered, told.ack_p99_ms, told.worst_lag_s)] == [
        8
    ] * 4
    assert told.ack_p99_ms.value == 9.0
    assert told.worst_lag_s.value is not None and 41 <= told.worst_lag_s.value <= 43
    assert told.worst_lag_s.severity == "warn"
    assert told.delivered.value is not None and told.delivered.value > 1
    assert told.open_sagas.value == 1 and told.open_sagas.severity == "bad"
    assert told.lost == 0
    assert [row.saga for row in told.sagas] == ["late-1"]
    assert [row.id for row in told.dead] == ["g-01"]
    texts = [line.text for line in told.lately]
    assert "b3 is down: killed: 137" in texts and "1 dead letter" in texts
    assert told.score_recent[-1] == told.status.counts.score
    assert told.status.controlplane.pid == 7 and told.status.controlplane.position == night.heart.position


def test_every_row_that_is_not_green_says_why_and_what_mends_it(night: Story) -> None:
    told = board(night)
    broken = {broker.id: broker for broker in told.status.brokers}
    assert (broken["b3"].state, broken["b3"].mend, broken["b3"].restarts) == ("starting", "doctor", 1)
    assert broken["b3"].why == "restart 1 under way after: killed: 137"
    assert broken["b2"].state == "slow" and "not in sync" in broken["b2"].why
    assert broken["b1"].state == "up" and not broken["b1"].why
    for partition in told.status.partitions:
        assert partition.severity == "ok" or (partition.why and partition.mend)
    for row in told.flows:
        assert row.severity == "ok" or (row.why and row.mend)
    assert all(row.why for row in told.sagas)


def test_partitions_show_each_replica_and_whether_they_refuse(night: Story) -> None:
    told = board(night).status
    assert [p.partition for p in told.partitions] == list(range(12))
    states = {r.broker: r.state for r in told.partitions[0].replicas}
    assert states == {"b1": "leader", "b2": "lagging", "b3": "off"}
    refusing = told.partitions[0]
    assert refusing.severity == "bad" and "needs 2" in refusing.why
    assert refusing.slowest_group == "coder"
    assert refusing.behind_ns is not None and refusing.behind_ns > 41 * SECOND
    assert sum(len(broker.leads) for broker in told.brokers) == 12


def test_bars_reach_back_to_the_beginning_and_flag_incidents(night: Story) -> None:
    bars = board(night, bars=10).timeline
    assert len(bars) == 10
    assert sum(bar.events for bar in bars) == night.heart.states["ledger"].get("count", "events")
    assert [bar.at for bar in bars] == sorted(bar.at for bar in bars)
    assert bars[-1].severity == "bad" and any(bar.incident for bar in bars)
    assert bars[0].severity == "unknown" and bars[0].events == 0


def timeline(story: Story, bars: int) -> questions.Timeline:
    told = answer(AskTimeline(bars), story.heart, story.now, Extras())
    assert isinstance(told, questions.Timeline)
    return told


def test_the_time_bar_holds_all_volume_on_a_grid_of_its_own(night: Story) -> None:
    told = timeline(night, 10)
    events = night.heart.states["ledger"].get("count", "events")
    assert questions.decode_told(questions.encode(questions.Told(1, 2, told))).body == told
    assert len(told.bars) == 10 and sum(bar.events for bar in told.bars) == events
    assert [bar.at % told.step_ns for bar in told.bars] == [0] * 10
    assert told.bars[-1].at <= night.now < told.bars[-1].at + told.step_ns
    assert told.bars[-1].severity == "bad" and told.bars[0].severity == "unknown"
    assert told.score == board(night).status.counts.score and told.health == "CRITICAL"
    assert {need.key for need in told.needs} >= {"broker b3", "group coder"}


def test_an_incident_stands_where_another_trouble_becomes_the_worst(night: Story) -> None:
    told = timeline(night, 50)
    ats = [incident.at for incident in told.incidents]
    assert ats == sorted(set(ats)) and told.bars[0].at <= ats[0] and ats[-1] <= night.now
    assert told.incidents[-1].what == night.heart.states["history"].get("slot", night.now // SLOT_NS).worst
    assert told.incidents[-1].severity == "bad"


@given(st.integers(1, HISTORY_SLOTS_MAX), st.integers(12, 300), st.integers(0, 10**6))
def test_bars_cover_what_is_known_and_no_more_are_asked_for(known: int, bars: int, slot: int) -> None:
    story = Story()
    history = story.heart.states["history"]
    last = NOW // SLOT_NS + slot
    history.put("slot", last - known + 1, Slot(events=1, score=100))
    history.put("slot", last, Slot(events=1, score=100))
    told = answer(AskTimeline(bars), story.heart, last * SLOT_NS + 7, Extras())
    assert isinstance(told, questions.Timeline) and 1 <= len(told.bars) <= bars
    assert sum(bar.events for bar in told.bars) == min(known, 2)
    assert told.bars[-1].at + told.step_ns > last * SLOT_NS + 7


def test_a_fleet_that_has_just_begun_has_a_board_too() -> None:
    for story in (Story(), Story().begin(partitions=1)):
        told = board(story)
        assert told.status.counts.health == "UNKNOWN" and told.status.counts.score is None
        assert told.worst_lag_s.value is None and told.ack_p99_ms.value is None
        assert told.needs == []


def test_the_share_of_a_broker_is_that_of_the_partitions_it_leads() -> None:
    story = Story().begin(partitions=3)
    story.say("a", after=1)
    status = answer(AskStatus(), story.heart, story.now, Extras())
    assert isinstance(status, questions.Status)
    assert [broker.share for broker in status.brokers] == [1.0, 0.0, 0.0]
    assert (status.partitions[0].busiest, status.partitions[0].busiest_share, status.partitions[0].rate) == (
        "a",
        1.0,
        0.1,
    )


def test_a_broker_that_started_anew_or_is_down_shows_nothing_of_what_it_did_before() -> None:
    story = Story().begin(partitions=3)
    for broker in BROKERS:
        story.sample(broker)

    def rates() -> list[tuple[float, float, int, int]]:
        status = answer(AskStatus(), story.heart, story.now, Extras())
        assert isinstance(status, questions.Status)
        return [(one.in_rate, one.out_rate, one.memory_bytes, one.fsync_p99_ns) for one in status.brokers]

    busy, nothing = rates()[0], (0.0, 0.0, 0, 0)
    assert min(busy) > 0
    story.tell(facts.BrokerLost("b1", "killed: 9"), 1)
    assert rates()[0] == nothing
    story.tell(facts.BrokerStarted("b1", 101, "store-b1", "tcp://b1"), 1)
    assert rates()[0] == nothing
    story.now += 2 * SECOND
    story.sample("b1")
    # Its counters are those of the two seconds since it came up, not of the time since its last life's sample.
    assert rates()[0][:2] == (5.0, 10.0)
    # Another plane adopts b2: what the last one heard of it is of the time before.
    story.tell(facts.PlaneStarted(2, "v", "0"), 1)
    story.tell(facts.BrokerStarted("b2", 100, "store-b2", "tcp://b2", True), 1)
    assert rates()[1] == nothing
    story.sample("b2")
    assert rates()[1][2:] == busy[2:]


def test_a_fleet_whose_brokers_all_started_anew_does_not_know_its_health() -> None:
    story = Story().begin(partitions=3)
    for broker in BROKERS:
        story.sample(broker)
    assert board(story).status.counts.health == "OK"
    for broker in BROKERS:
        story.tell(facts.BrokerStarted(broker, 101, f"store-{broker}", "tcp://x"), 1)
    assert board(story).status.counts.health == "UNKNOWN"
    story.sample("b1")
    assert board(story).status.counts.health != "UNKNOWN"


def test_flows_are_shown_with_the_groups_that_listen(night: Story) -> None:
    told = answer(AskFlows(), night.heart, night.now, Extras())
    assert isinstance(told, questions.Flows)
    rows = {(row.type, row.group): row for row in told.rows}
    assert set(rows) == {("task.plan", "coder"), ("agent.termination", "")}
    late = rows["task.plan", "coder"]
    assert (late.severity, late.waiting, late.ledger) == ("warn", 121, "1 dead")
    assert late.error_share == 0.0 and late.p50_ns == 8_000 and late.p99_ns == 4_096_000
    assert told.rows[0] is late, "worst first"
    assert rows["agent.termination", ""].error_share is None
    matched = answer(AskFlows(match="TERMIN"), night.heart, night.now, Extras())
    assert isinstance(matched, questions.Flows)
    assert (matched.total, matched.matched) == (2, 1)


def test_backlogs_have_a_trend_and_an_end() -> None:
    for waits, trend, eta in (
        ([100, 200, 400], "growing", -1),
        ([400, 400, 400], "steady", -1),
        ([900, 600, 300], "draining", 15 * SECOND),
        ([9, 5, 3], "steady", None),
    ):
        story = Story().begin(partitions=1)
        for waiting in waits:
            story.now += 15 * SECOND
            story.sample("b1", [GroupSample("g", 0, ">", 1, 0, waiting, 0, 0, 0, 0, 0, story.now, {})])
        lag = Listening(story.heart.states["groups"], story.now).groups["g"]
        assert (lag.trend, lag.eta_ns) == (trend, eta)


def test_a_group_that_fails_is_worse_than_one_that_is_late() -> None:
    story = Story().begin(partitions=1)
    story.say("exec.failed")
    story.sample("b1", [group("all-fail", story, failed=90, pattern="exec.*")])
    rows = story.rows()
    bury(rows, "d1", story.now, group="all-fail")
    story.record(rows)
    told = answer(AskFlows(), story.heart, story.now, Extras())
    assert isinstance(told, questions.Flows)
    assert (told.rows[0].severity, told.rows[0].mend) == ("bad", "dlq show g-01")
    assert told.rows[0].why == "90% of its deliveries fail: 90 failures of 100"


def test_the_inbox_has_the_worst_first_and_can_be_asked_for_each_state(night: Story) -> None:
    def asked(state: str, **more: int) -> questions.Sagas:
        told = answer(AskSagas(state, **more), night.heart, night.now, Extras())
        assert isinstance(told, questions.Sagas)
        return told

    assert [row.saga for row in asked("open").rows] == ["late-1"]
    assert [row.saga for row in asked("stuck").rows] == ["late-1"]
    assert asked("finished").matched == limits.SAGA_SAMPLES_MIN + 2
    assert asked("all", limit=3).matched == limits.SAGA_SAMPLES_MIN + 3
    assert len(asked("all", limit=3, offset=1).rows) == 3
    assert asked("failed").rows == []
    row = asked("open").rows[0]
    assert row.severity == "bad" and row.ratio is not None and row.ratio > 3 and row.typical_ns
    assert row.why.startswith("nothing for ") and f"{row.ratio:.1f} × its step's p95, " in row.why


def test_a_saga_tells_why_it_stands_where_it_stands(night: Story) -> None:
    saga = night.heart.states["sagas"].get("saga", "late-1")
    step = SagaStep(saga.position, "e", "task.plan", "agent/planner", saga.last, 0, saga.partition, saga.offset)
    told = answer(AskSaga("late-1"), night.heart, night.now, Extras(steps=[step]))
    assert isinstance(told, questions.Saga)
    assert told.steps == [step] and not step.failed
    texts = [link.text for link in told.why]
    assert texts[0] == "nothing since task.plan by agent/planner"
    assert any(text.startswith("p00 refuses publishes") for text in texts)
    assert any("coder, which listens to it:" in text for text in texts)
    assert any(link.ruled_out for link in told.why)
    assert told.mend and all(link.depth <= 1 for link in told.why)
    nobody = answer(AskSaga("nobody"), night.heart, night.now, Extras())
    assert isinstance(nobody, questions.Refusal) and nobody.code == "not_found" and nobody.hint


def test_a_finished_sagas_last_step_has_no_duration(night: Story) -> None:
    state = night.heart.states["sagas"]
    name, saga = next((name, saga) for name, saga in state.items("saga") if saga.state == "finished")
    step = SagaStep(saga.position, "e", saga.step, saga.source, saga.last - 5, 0, saga.partition, saga.offset)
    told = answer(AskSaga(name), night.heart, night.now, Extras(steps=[step]))
    assert isinstance(told, questions.Saga) and told.row.state == "finished"
    assert told.steps[0].took_ns == 0


def test_a_stuck_saga_names_the_groups_that_should_go_on_and_no_bare_list(night: Story) -> None:
    told = answer(AskSaga("late-1"), night.heart, night.now, Extras(steps=[]))
    assert isinstance(told, questions.Saga)
    assert "group show coder" in told.mend and not any(line.startswith("flow list") for line in told.mend)


def test_a_saga_whose_event_died_says_so_and_offers_the_redrive() -> None:
    story = Story().begin(partitions=1)
    story.say("exec.failed", "s-1")
    rows = story.rows()
    bury(rows, "d1", story.now, error="Traceback\nSyntaxError: no", offset=0)
    story.record(rows)
    step = SagaStep(1, "e", "exec.failed", "agent/a", story.now, 0, 0, 0)
    told = answer(AskSaga("s-1"), story.heart, story.now, Extras(steps=[step]))
    assert isinstance(told, questions.Saga)
    assert told.steps[0].failed
    assert any(link.text == "coder could not handle one of its events: SyntaxError: no" for link in told.why)
    assert told.mend == ["dlq redrive d1"]


def test_the_past_is_what_the_present_was() -> None:
    story = Story().begin(partitions=3)
    seen = []
    for n in range(40):
        story.act(10 + n % 5, n)
        story.act(n % 10, n)
        seen.append((story.heart.position, past(story.heart)))
    for position, told in seen[::5]:
        assert past(as_of(story.steps, folds(), position=position)) == told


def test_what_the_state_cannot_answer_is_refused(night: Story) -> None:
    for question in (AskAt(position=1), questions.AskVerify(), questions.Redrive(["g-01"])):
        told = answer(question, night.heart, night.now, Extras())
        assert isinstance(told, questions.Refusal) and told.code == "usage"


def test_a_moment_that_has_not_been_is_refused(night: Story) -> None:
    end, now = night.heart.position, night.now
    for has_been in (AskAt(position=end), AskAt(position=0), AskAt(instant=now), AskAt(instant=now + 2 * SECOND)):
        assert not_yet(has_been, end, now) is None
    told = not_yet(AskAt(position=end + 1), end, now)
    assert told is not None and told.code == "not_found" and "does not exist yet" in told.message
    told = not_yet(AskAt(instant=now + 3_840 * SECOND), end, now)
    assert told is not None and told.code == "usage" and "1h04m in the future" in told.message


def test_words() -> None:
    ages = (0, 300 * MS, 4 * SECOND, 41 * SECOND, 252 * SECOND, 3_840 * SECOND, 266_400 * SECOND)
    assert [age(ns) for ns in ages] == ["0s", "0.3s", "4s", "41s", "4m12s", "1h04m", "3d02h"]
    assert (many(1, "event"), many(1_200, "event")) == ("1 event", "1,200 events")
