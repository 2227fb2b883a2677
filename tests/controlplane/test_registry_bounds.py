"""Agents: malformed words, a thousand capabilities, ten thousand agents and one more."""

import pytest

from controlplane import limits, registry, roll
from controlplane.agents import READY, Inbox
from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentSuspected,
    Tick,
)
from controlplane.fold import Entry, Heart
from controlplane.plane import folds
from controlplane.registry import able_agents, agent_of, out_of
from tests.controlplane.agentwords import agent, facts, join, mail, opened, state_of, tell, turns, word
from tests.controlplane.logs import NOW, SECOND, empty_rows
from tests.controlplane.made import Story

MS = 1_000_000


# ------------------------------------------------------------------------------------------------- bounds


def test_a_thousand_capabilities_are_cut_and_said() -> None:
    story = Story()
    join(story, "agent/a", *(f"c{n:04d}" for n in range(1_000)), "with space", "", "x" * 201)
    found = agent(story)
    assert (len(found.capabilities), found.cut) == (256, 1_003 - 256)
    assert able_agents(state_of(story), "c0000") == 1
    assert state_of(story).get("amiss", "capabilities").source == "agent/a"


def test_the_seats_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "AGENT_SEATS_MAX", 3)
    story = Story()
    join(story, "agent/a", "c1", "c2")
    join(story, "agent/b", "c1", "c2")
    assert (agent(story, "agent/b").capabilities, agent(story, "agent/b").cut) == (["c1"], 1)
    tell(story, "agent/a", "joined", {"incarnation": "i-1", "capabilities": ["c1"]})
    join(story, "agent/c", "c1", "c2")
    assert agent(story, "agent/c").capabilities == ["c1"]


def test_joins_beyond_the_roll_are_counted_and_who_left_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "AGENTS_MAX", 4)
    story = Story()
    for n in range(4):
        join(story, f"agent/{n}", "plan")
    join(story, "agent/4", "plan")
    join(story, "agent/4", "plan")
    state = state_of(story)
    assert len(state.table("agent")) == 4 and able_agents(state, "plan") == 4
    assert (state.get("amiss", "refused").count, state.get("amiss", "refused").source) == (2, "agent/4")
    assert state.get("amiss", "unknown").count == 2, "and their further words"
    tell(story, "agent/0", "left", {"incarnation": "i-1"})
    story.tell(AgentQuarantined(["agent/0"]))
    join(story, "agent/5", "plan")
    assert agent_of(state, "agent/5") is None, "one that is quarantined is not forgotten"
    tell(story, "agent/1", "left", {"incarnation": "i-1"})
    join(story, "agent/5", "plan")
    assert agent_of(state, "agent/1") is None and agent(story, "agent/5").state == READY
    assert state.get("count", "forgotten") == 1 and not state.get("turns", "agent/1")
    assert state.get("count", "seats") == 4


def test_malformed_words_are_counted_and_change_nothing() -> None:
    story = Story()
    join(story, "agent/a", "plan")
    before = agent(story)
    for data in ({"incarnation": "i-1", "load": "high"}, {"incarnation": "i-1", "load": -5}, 7, {"queue": 1.5},
                 {"handled": 1 << 60}):  # fmt: skip
        tell(story, "agent/a", "heartbeat", data)
    tell(story, "agent/b", "joined", {"capabilities": "plan"})
    rows = story.rows()
    word(rows, "agent/a", "heartbeat", {}, story.now)
    rows.followed[0] = b'{"data": \xff'
    story.record(rows)
    assert agent(story) == before and agent_of(state_of(story), "agent/b") is None
    odd = state_of(story).get("amiss", "malformed")
    assert odd.count == 7 and odd.source == "agent/a" and odd.position == story.heart.position
    rows = story.rows()
    word(rows, "agent/a", "joined", {}, story.now)
    rows.followed.clear()
    story.record(rows)
    odd = state_of(story).get("amiss", "malformed")
    assert agent(story) == before and odd.count == 8 and "nested" in odd.why


def test_an_agents_states_are_kept_up_to_a_bound() -> None:
    story = Story()
    for n in range(50):
        join(story, incarnation=f"i-{n}")
    assert len(turns(story)) == limits.AGENT_TURNS_MAX


def test_inboxes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "INBOXES_MAX", 1)
    story = Story()
    mail(story, "a")
    mail(story, "b")
    assert dict(state_of(story).items("inbox")) == {"a": Inbox(story.now - 5 * SECOND)}
    assert state_of(story).get("amiss", "inboxes").source == "b"


def test_names_that_nobody_joined_under_make_room_for_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "INBOXES_MAX", 3)
    story = Story()
    state = state_of(story)
    for name in ("junk-2", "junk-1", "later"):
        mail(story, name)
        story.wait(1)
    for name in ("a", "b", "c", "d"):
        join(story, f"agent/{name}")
    join(story, "agent/later")
    assert state.get("count", "nobodys") == 2
    assert [len(opened([mail(story, name)])) for name in ("a", "more-junk", "b", "c")] == [1, 0, 1, 0]
    assert sorted(state.table("inbox")) == ["a", "b", "later"], "who joined is never forgotten"
    odd = state.get("amiss", "inboxes")
    assert (odd.count, odd.source, state.get("count", "nobodys")) == (4, "c", 0)


def test_ten_thousand_agents_cost_what_one_costs() -> None:
    """A join, a heartbeat and a leave touch the same places in a crowd as alone."""

    def touched(crowd: int) -> list[int]:
        heart = Heart(folds())
        rows = empty_rows(0, 0)
        for n in range(crowd):
            data = {"incarnation": "i", "capabilities": ["plan"], "heartbeat_ms": 5_000}
            word(rows, f"agent/{n}", "joined", data, NOW)
        heart.step(rows, NOW)
        state, counts = heart.states["registry"], []
        fold = heart.folds["registry"]
        for offset, (name, data) in enumerate((("joined", {"incarnation": "i", "capabilities": ["plan"]}),
                                               ("heartbeat", {"incarnation": "i", "load": 1}),
                                               ("left", {"incarnation": "i"}))):  # fmt: skip
            rows = empty_rows(0, crowd + offset)
            word(rows, "agent/new", name, data, NOW)
            fold.evolve(state, Entry(heart.position + 1, NOW, None, rows), {})
            counts.append(len(state.touched))
            state.settle()
        return counts

    assert touched(9_000) == touched(3)


def test_when_all_fail_at_once_all_are_told() -> None:
    story = Story()
    rows = story.rows()
    for n in range(5_000):
        word(rows, f"agent/{n}", "joined", {"incarnation": "i", "heartbeat_ms": 1_000}, story.now)
    story.record(rows)
    steps = story.wait(8)
    assert len(facts(steps, AgentSuspected)) == len(facts(steps, AgentFailed)) == 5_000
    assert out_of(state_of(story)) == 5_000
    story.tell(Tick())
