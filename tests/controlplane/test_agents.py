"""Agents as operators see them: the list, one agent, the levers, what health and LATELY say."""

import time

import pytest

from bus.wire import GroupSample
from controlplane.answers import Extras, answer, plan_operation
from controlplane.answers.agentlevers import STILL_SERVES
from controlplane.facts import AgentQuarantined, AgentReleased, PublishEvent
from controlplane.fold import Heart
from controlplane.health import penalties
from controlplane.lately import lines_of, text_of
from controlplane.plane import folds
from controlplane.questions import (
    Agent,
    Agents,
    AskAgent,
    AskAgents,
    AskStatus,
    Need,
    Operate,
    Operated,
    Refusal,
    Status,
)
from tests.controlplane.agentwords import beat, join, mail, tell, word
from tests.controlplane.logs import NOW, SECOND, add, empty_rows
from tests.controlplane.made import Story


def ask(story: Story, **question) -> Agents:
    told = answer(AskAgents(**question), story.heart, story.now, Extras())
    assert isinstance(told, Agents), told
    return told


def show(story: Story, name: str) -> Agent:
    told = answer(AskAgent(name), story.heart, story.now, Extras())
    assert isinstance(told, Agent), told
    return told


def names(story: Story, **question) -> list[str]:
    return [row.agent for row in ask(story, **question).rows]


def needs(story: Story) -> dict[str, Need]:
    return {need.key: need for need in penalties(story.heart.states, story.now)}


@pytest.fixture
def story() -> Story:
    """Four agents: one is ready and loaded, one quarantined, one failed, one left."""
    made = Story()
    join(made, "agent/failed", "code", version="v41")
    made.wait(6)
    join(made, "agent/busy", "plan", "code", version="v40", locality="eu", address="tcp://h:1")
    join(made, "agent/held", "review", version="v41")
    join(made, "agent/gone", "plan")
    tell(made, "agent/gone", "left", {"incarnation": "i-1", "reason": "deploy"})
    made.tell(AgentQuarantined(["agent/held"], "op", "SyntaxError"))
    beat(made, "agent/busy", load=750, in_flight=6, queue=2, handled=10, failed=0)
    made.wait(1)
    beat(made, "agent/busy", load=800, in_flight=6, queue=2, handled=28, failed=2)
    return made


def test_the_list_is_worst_first_and_counts(story: Story) -> None:
    told = ask(story)
    assert [(row.agent, row.state, row.severity) for row in told.rows] == [
        ("agent/failed", "failed", "bad"), ("agent/held", "quarantined", "warn"), ("agent/busy", "ready", "ok"),
        ("agent/gone", "left", "ok"),
    ]  # fmt: skip
    assert (told.total, told.matched, told.live, told.out, told.left) == (4, 4, 1, 2, 1)
    busy = told.rows[2]
    assert (busy.load, busy.in_flight, busy.queue, busy.concurrency, busy.handled, busy.failed) == (0.8, 6, 2, 8, 28, 2)
    assert (busy.error_share, busy.phi, busy.seen) == (0.1, 0.0, story.now)
    held, failed = told.rows[1], told.rows[0]
    assert (held.why, held.mend) == ("quarantined by op: SyntaxError", "agent release held")
    assert failed.why.startswith("silent for 7s, 6 heartbeats were missed") and failed.phi == 3.0
    status = answer(AskStatus(), story.heart, story.now, Extras())
    assert isinstance(status, Status) and (status.counts.agents, status.counts.agents_out) == (2, 2)


def test_an_agent_that_answers_in_time_and_fails_is_not_well(story: Story) -> None:
    story.wait(1)
    beat(story, "agent/busy", load=800, in_flight=6, queue=2, handled=29, failed=30)
    busy = show(story, "busy").row
    assert (busy.severity, busy.mend) == ("warn", "dlq list")
    assert busy.why == "30 of its last 49 attempts failed: see what killed them"
    causes = show(story, "busy").why
    assert [link.text for link in causes[:2]] == [busy.why, "61.2% of what it handled lately failed"]
    assert not any("failures" in link.text for link in causes if link.ruled_out), "which is why, and not ruled out"
    assert [row.agent for row in ask(story).rows if row.severity == "warn"] == ["agent/held", "agent/busy"]
    made = Story()
    join(made, "agent/new", "plan")
    for failed in (0, 4):
        made.wait(1)
        beat(made, "agent/new", handled=0, failed=failed)
    assert show(made, "new").row.severity == "ok", "so few attempts say nothing"


def test_the_list_is_filtered_sorted_and_windowed(story: Story) -> None:
    assert names(story, state="live") == ["agent/busy"]
    assert names(story, state="out") == ["agent/failed", "agent/held"]
    assert names(story, state="left") == ["agent/gone"]
    assert names(story, match="V41", sort="name") == ["agent/failed", "agent/held"]
    assert names(story, match="rev") == ["agent/held"]
    assert names(story, capability="code", sort="name") == ["agent/busy", "agent/failed"]
    assert names(story, sort="load")[0] == names(story, sort="errors")[0] == "agent/busy"
    assert names(story, sort="seen")[0] == "agent/failed"
    assert names(story, sort="name", offset=1, limit=2) == ["agent/failed", "agent/gone"]
    for odd in ({"state": "odd"}, {"sort": "odd"}):
        told = answer(AskAgents(**odd), story.heart, story.now, Extras())
        assert isinstance(told, Refusal) and told.code == "usage" and "live" in told.hint


def test_one_agent_has_its_record_its_states_and_its_causes(story: Story) -> None:
    told = show(story, "failed")
    assert told == show(story, "agent/failed")
    assert [turn.state for turn in told.turns] == ["failed", "suspected", "ready", "joined"]
    assert all(turn.position for turn in told.turns)
    assert told.why[0].text.startswith("silent for 7s") and told.why[0].position == told.turns[0].position
    assert "it beats every 1s, suspected after 3, failed after 6" in told.why[1].text
    busy = show(story, "busy")
    assert (busy.alone_for, busy.address, busy.heartbeat_ms) == (["code", "plan"], "tcp://h:1", 1_000)
    assert any(link.ruled_out and link.text == "silence (it beats in time)" for link in busy.why)
    refusal = answer(AskAgent("nobody"), story.heart, story.now, Extras())
    assert refusal == Refusal("not_found", "there is no agent 'nobody'", "signalbox agent list")


def test_the_groups_it_serves_are_known_by_their_names() -> None:
    story = Story().begin(3)
    join(story, "agent/a", "plan")

    def group(name: str, late: int) -> GroupSample:
        oldest = story.now - late * SECOND if late else 0
        return GroupSample(name, 0, ">", 1, 0, 5 if late else 0, 0, 0, 0, 0, 0, oldest, {})

    found = [group("capability.plan", 0), group("inbox.a", 30), group("agent/a:order.>", 2), group("agent/b:x", 90)]
    story.sample("b1", found)
    told = show(story, "a")
    assert [(g.group, g.through) for g in told.groups] == [
        ("capability.plan", "capability plan"), ("inbox.a", "its inbox"), ("agent/a:order.>", "a pattern of its own")
    ]  # fmt: skip
    assert told.row.behind_ns == 30 * SECOND
    assert any("inbox.a is 30s behind" in link.text for link in told.why)
    join(story, "agent/z", "plan")
    assert names(story, sort="behind") == ["agent/a", "agent/z"]


def test_what_cannot_be_taken_is_told_with_the_list(story: Story) -> None:
    tell(story, "agent/odd", "joined", {"capabilities": 7})
    beat(story, "agent/stranger")
    told = ask(story).notes
    assert told[0].startswith("1 word of agents was malformed, the last 0s ago by agent/odd: joined: Expected `array`")
    assert told[1].startswith("1 word was of agents that are not known")


# ------------------------------------------------------------------------------------------------- levers


def plan(story: Story, verb: str, *targets: str, **more):
    return plan_operation(story.heart.states, Operate(verb, list(targets), **more), story.now)  # type: ignore[arg-type]


def test_a_quarantine_shows_its_set_and_whom_it_leaves_without_anybody(story: Story) -> None:
    decision, told = plan(story, "quarantine", "busy", "agent/failed", "held", dry_run=True)
    assert decision is None and isinstance(told, Operated)
    assert told.touched == ["agent/busy", "agent/failed"], "who is quarantined already is left out"
    assert told.notes == [
        "busy is ready, 6 events under way", "failed is failed", "nobody else has code: work that needs it waits",
        "nobody else has plan: work that needs it waits", STILL_SERVES,
    ]  # fmt: skip
    decision, _ = plan(story, "quarantine", "busy", by="op", reason="x", expected=["agent/busy"])
    assert decision == AgentQuarantined(["agent/busy"], "op", "x")
    _, changed = plan(story, "quarantine", "busy", expected=["agent/busy", "agent/failed"])
    assert isinstance(changed, Refusal) and changed.code == "changed"


def test_a_release_gives_back_exactly_who_is_held(story: Story) -> None:
    decision, told = plan(story, "release", "held", "busy", by="op")
    assert decision == AgentReleased(["agent/held"], "op", "") and isinstance(told, Operated)
    assert told.notes == ["held was quarantined for 1s by op: SyntaxError"]
    for verb, targets, code in (
        ("release", ["busy"], "usage"), ("quarantine", ["held"], "usage"), ("quarantine", ["nobody"], "not_found"),
        ("quarantine", [], "usage"),
    ):  # fmt: skip
        refused = plan(story, verb, *targets)[1]
        assert isinstance(refused, Refusal) and refused.code == code and refused.hint, (verb, targets)


def test_after_a_release_its_state_counts_from_there(story: Story) -> None:
    story.tell(AgentQuarantined(["agent/busy"], "op", "x"))
    story.now += SECOND
    story.tell(AgentReleased(["agent/busy"], "op", ""))
    row = show(story, "busy").row
    assert (row.state, row.since) == ("ready", story.now)


def test_who_failed_is_to_be_started_again(story: Story) -> None:
    failed = show(story, "failed")
    assert failed.mend == [] and failed.why[0].text.endswith("start it again")


def test_a_decision_about_too_many_at_once_is_refused() -> None:
    story = Story()
    rows = story.rows()
    for n in range(1_001):
        word(rows, f"agent/{n}", "joined", {"incarnation": "i"}, story.now)
    story.record(rows)
    refused = plan(story, "quarantine", *(f"agent/{n}" for n in range(1_001)))[1]
    assert isinstance(refused, Refusal) and "1,001 agents are more than 1,000" in refused.message


# ------------------------------------------------------------------------------------------------- health, lately


def test_health_names_who_is_out_and_the_command_that_mends() -> None:
    story = Story()
    for name in ("a", "b", "c", "d"):
        join(story, f"agent/{name}", heartbeat_ms=60_000)
    assert not any(key.startswith("agents") for key in needs(story))
    story.tell(AgentQuarantined(["agent/a"], "op", "errors"))
    need = needs(story)["agents quarantined"]
    assert (need.what, need.why, need.mend, need.points) == (
        "a is quarantined", "no work is dispatched to it: errors", "agent release a", 1
    )  # fmt: skip
    story.tell(AgentQuarantined(["agent/b"], "op"))
    assert needs(story)["agents quarantined"].mend == "agent release a b"
    story.tell(AgentReleased(["agent/a", "agent/b"], "op"))
    story.wait(180)
    need = needs(story)["agents suspected"]
    assert need.what == "4 agents are suspected" and need.mend == "agent list --state out"
    story.wait(180)
    need = needs(story)["agents failed"]
    assert need.what == "4 agents have failed" and need.why.startswith("a, b, c and others; silent")
    assert need.points == 3 and "agents suspected" not in needs(story)
    for name in ("a", "b", "c"):
        tell(story, f"agent/{name}", "left", {"incarnation": "i-1"})
    assert (needs(story)["agents failed"].what, needs(story)["agents failed"].mend) == ("d has failed", "agent show d")
    story.wait(3_601)
    assert "agents failed" not in needs(story), "that it failed long ago is in the list"


def test_health_says_that_a_name_is_used_twice_until_it_is_not() -> None:
    story = Story()
    join(story, "agent/a", incarnation="old")
    join(story, "agent/a", incarnation="new")
    beat(story, "agent/a", "old")
    assert "twin agent/a" not in needs(story), "one word may have been on its way"
    beat(story, "agent/a", "old")
    assert needs(story)["twin agent/a"].what == "a runs twice"
    for _ in range(31):
        beat(story, "agent/a", "new", after=1)
    assert "twin agent/a" not in needs(story)


def test_health_says_that_words_are_malformed_or_agents_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from controlplane import roll

    monkeypatch.setattr(roll, "AGENTS_MAX", 1)
    story = Story()
    join(story, "agent/a")
    join(story, "agent/b")
    tell(story, "agent/a", "heartbeat", 7)
    assert needs(story)["agents refused"].why == "1 agents are known already; agent/b and others get no work"
    assert needs(story)["agents malformed"].mend == f"event show @{story.heart.position}"


def test_lately_tells_of_agents() -> None:
    story = Story()
    for name in ("a", "b"):
        join(story, f"agent/{name}")
    story.tell(AgentQuarantined(["agent/a"], "op", "errors"))
    story.tell(AgentReleased(["agent/a", "agent/b"], "op"))
    story.wait(6)
    told = [text_of(line) for line in lines_of(story.heart.states["lately"], 10)]
    assert told == [
        "2 agents have failed",
        "2 agents are suspected",
        "2 agents are released by op",
        "a is quarantined by op",
    ]


# ------------------------------------------------------------------------------------------------- numbers


def test_ten_thousand_agents_are_asked_for_in_no_time() -> None:
    heart = Heart(folds())
    rows = empty_rows(0, 0)
    for n in range(10_000):
        data = {"incarnation": "i", "capabilities": ["plan", f"c{n % 100}"], "heartbeat_ms": 5_000, "version": "v1"}
        word(rows, f"agent/{n}", "joined", data, NOW)
    heart.step(rows, NOW)
    rows = empty_rows(0, 10_000)
    for n in range(10_000):
        word(rows, f"agent/{n}", "heartbeat", {"incarnation": "i", "load": n % 1_000, "handled": n}, NOW)
    heart.step(rows, NOW)
    for question in (AskAgents(), AskAgents(match="agent/99", sort="load"), AskAgents(sort="behind"), AskAgent("77")):
        spent = []
        for _ in range(5):
            before = time.process_time()
            told = answer(question, heart, NOW, Extras())
            spent.append(time.process_time() - before)
        assert isinstance(told, Agents | Agent)
        assert min(spent) < 0.05, f"{question}: {min(spent) * 1000:.0f} ms"


def test_mail_that_is_not_kept_is_told(story: Story) -> None:
    from controlplane.facts import IntentFailed

    mail(story, "busy")
    story.tell(IntentFailed(3, 0, "OpenGroup", "", "1,000 groups are defined already"))
    assert ask(story).notes == ["mail to some agents is not kept while they are away: 1,000 groups are defined already"]
    assert not [
        it for step in story.steps for _, _, it in step.intents if isinstance(it, PublishEvent) and b"dead" in it.event
    ]


def test_what_it_has_is_shown(story: Story) -> None:
    rows = story.rows()
    rows.followed[0] = b'{"specversion":"1.0","id":"w-1","type":"task.asked","source":"agent/asker","requires":"plan"}'
    add(rows, "task.asked", "agent/asker", "", "w-1", story.now)
    story.record(rows)
    (task,) = show(story, "busy").tasks
    assert (task.event, task.needs, task.state, task.attempt) == ("w-1", "plan", "out", 1)
    assert task.since == story.now < task.stuck_from
    assert show(story, "held").tasks == []
