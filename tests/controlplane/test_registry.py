"""Agents: the states that words and silence lead to, against a plain model."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane import roll
from controlplane.agents import FAILED, JOINED, LEFT, LIVE, QUARANTINED, READY, SUSPECTED
from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentReleased,
    AgentSuspected,
    BrokerLost,
    PlaneResumed,
    PlaneStarted,
    RecorderLag,
    Rows,
)
from controlplane.fold import Heart
from controlplane.plane import folds
from controlplane.registry import able_agents, is_able, load_of, nth_able, out_of, present
from controlplane.timeline import verify
from tests.controlplane.agentwords import BEAT_MS, agent, beat, facts, join, opened, said, state_of, tell, turns, word
from tests.controlplane.logs import NOW, SECOND, add, empty_rows
from tests.controlplane.made import BROKERS, Story
from tests.controlplane.test_properties import by_fold, through_bytes

MS = 1_000_000


# ------------------------------------------------------------------------------------------------- words


def test_an_agent_joins_works_and_leaves() -> None:
    story = Story()
    tell(story, "agent/a", "joined", {
        "incarnation": "i-1", "capabilities": ["plan", "code", "plan"], "version": "v41", "address": "tcp://x:1",
        "locality": "eu", "preferences": {"lang": "de"}, "concurrency": 8, "heartbeat_ms": 5_000,
    })  # fmt: skip
    found = agent(story)
    assert (found.state, found.capabilities, found.version, found.address) == (
        JOINED,
        ["code", "plan"],
        "v41",
        "tcp://x:1",
    )
    assert (found.locality, found.preferences, found.concurrency, found.heartbeat_ms) == (
        "eu",
        {"lang": "de"},
        8,
        5_000,
    )
    assert (found.joined, found.since, found.heard, found.cut) == (story.now, story.now, story.now, 0)
    assert able_agents(state_of(story), "plan") == 1 and nth_able(state_of(story), "code", 0) == "agent/a"
    tell(story, "agent/a", "ready", {"incarnation": "i-1"}, after=1)
    tell(story, "agent/a", "heartbeat", {"incarnation": "i-1", "load": 500, "queue": 2, "in_flight": 4, "handled": 9,
                                         "failed": 1}, after=1)  # fmt: skip
    found = agent(story)
    assert (found.state, found.load, found.queue, found.in_flight, found.handled, found.failed) == (
        READY,
        500,
        2,
        4,
        9,
        1,
    )
    assert load_of(state_of(story), "agent/a") == 500 and load_of(state_of(story), "agent/nobody") == 0
    assert (found.since, found.heard) == (story.now - SECOND, story.now)
    tell(story, "agent/a", "left", {"incarnation": "i-1", "reason": "deploy"}, after=1)
    assert (agent(story).state, agent(story).why, agent(story).load) == (LEFT, "deploy", 0)
    assert not is_able(state_of(story), "agent/a", "plan") and present(state_of(story)) == 0
    beat(story)
    assert agent(story).state == LEFT, "a late heartbeat does not bring it back"
    assert turns(story) == [JOINED, READY, LEFT]


def test_bare_events_of_others_logs_make_agents_that_are_never_suspected() -> None:
    story = Story()
    for source, what in (
        ("a", "joined"),
        ("b", "joined"),
        ("a", "ready"),
        ("b", "left"),
        ("c", "failed"),
        ("b", "ready"),
    ):
        story.say(f"agent.lifecycle.{what}", source=source)
    assert {source: agent(story, source).state for source in "abc"} == {"a": READY, "b": READY, "c": FAILED}
    steps = story.wait(3_600)
    assert not facts(steps, AgentSuspected) and present(state_of(story)) == 2
    assert not state_of(story).table("able")


def test_imported_words_are_history_and_never_touch_who_lives() -> None:
    story = Story()
    join(story, "agent/a", "plan")
    rows = story.rows()
    for source in ("agent/a", "agent/old"):
        word(
            rows,
            source,
            "joined",
            {"incarnation": "x", "capabilities": ["plan"], "heartbeat_ms": 100},
            story.now,
            importof="log",
        )
        word(rows, source, "left", {"incarnation": "x"}, story.now, importof="log")
        word(rows, source, "ready", {"incarnation": "x"}, story.now, importof="log")
    story.record(rows)
    assert (agent(story).state, agent(story).incarnation) == (READY, "i-1")
    old = agent(story, "agent/old")
    assert (old.state, old.importof, old.capabilities, old.due) == (READY, "log", ["plan"], 0)
    assert able_agents(state_of(story), "plan") == 1
    beat(story, "agent/old", "x")
    assert agent(story, "agent/old").importof == "log", "a heartbeat alone does not make it live"
    join(story, "agent/old", "plan")
    assert not agent(story, "agent/old").importof and able_agents(state_of(story), "plan") == 2


def test_what_the_plane_says_itself_is_no_agent() -> None:
    story = Story()
    join(story)
    tell(story, "signalbox/plane", "suspected", {"agent": "agent/a", "incarnation": "i-1", "silent_ms": 3})
    assert list(state_of(story).table("agent")) == ["agent/a"] and agent(story).state == READY
    assert not state_of(story).table("amiss")


@pytest.mark.parametrize("step", [-7_200 * SECOND, 7_200 * SECOND])
def test_a_brokers_clock_that_steps_changes_no_state(step: int) -> None:
    story = Story()
    join(story)
    for _ in range(5):
        story.wait(1)
        rows = story.rows()
        word(rows, "agent/a", "heartbeat", {"incarnation": "i-1", "load": 7}, story.now + step)
        story.record(rows)
    assert (agent(story).state, agent(story).heard, agent(story).load) == (READY, story.now, 7)
    rows = story.rows()
    add(rows, "agent.inbox.a", "agent/sender", appended=story.now + step)
    start = opened([story.record(rows)])[0].start
    assert start == min(story.now, story.now + step) - 5 * SECOND
    story.wait(6)
    assert turns(story) == [JOINED, READY, SUSPECTED, FAILED]


def test_a_word_that_is_delivered_again_to_one_group_is_no_news() -> None:
    story = Story()
    join(story)
    rows = story.rows()
    word(rows, "agent/a", "left", {"incarnation": "i-1"}, story.now, redriven=True)
    story.record(rows)
    assert agent(story).state == READY


# ------------------------------------------------------------------------------------------------- silence


def test_three_missed_heartbeats_suspect_and_six_fail_and_a_word_brings_it_back() -> None:
    story = Story()
    join(story, "agent/a", "plan")
    heard = story.now
    steps = story.wait(2.999)
    assert agent(story).state == READY
    steps = story.wait(0.001)
    assert agent(story).state == SUSPECTED and not is_able(state_of(story), "agent/a", "plan")
    assert facts(steps, AgentSuspected) == [AgentSuspected("agent/a", "i-1", 3 * SECOND)]
    told = {"agent": "agent/a", "incarnation": "i-1", "silent_ms": 3_000}
    assert said(steps, "agent.lifecycle.suspected") == [told]
    steps = story.wait(3)
    assert agent(story).state == FAILED and agent(story).heard == heard
    assert facts(steps, AgentFailed) == [AgentFailed("agent/a", "i-1", 6 * SECOND)]
    assert said(steps, "agent.lifecycle.failed") == [told | {"silent_ms": 6_000}]
    assert not facts(story.wait(60), AgentFailed), "it is said once"
    beat(story)
    assert agent(story).state == READY and is_able(state_of(story), "agent/a", "plan")
    assert turns(story) == [JOINED, READY, SUSPECTED, FAILED, READY]


@pytest.mark.parametrize("pause", [PlaneResumed(600 * SECOND), PlaneStarted(2, "v", gap_ns=600 * SECOND)])
def test_a_pause_of_the_plane_suspects_nobody(pause: PlaneResumed | PlaneStarted) -> None:
    story = Story()
    join(story)
    story.wait(2.5)
    story.now += 600 * SECOND
    story.tell(pause)
    story.wait(1.9)
    assert agent(story).state == READY, "two heartbeats are awaited at least"
    story.wait(0.2)
    assert agent(story).state == SUSPECTED
    beat(story)
    story.now += 600 * SECOND
    story.tell(pause)
    story.wait(2.9)
    assert agent(story).state == READY, "and no fewer than were left"


def test_while_the_recorder_is_behind_nobody_is_suspected() -> None:
    story = Story()
    join(story)
    story.tell(RecorderLag(50_000, 30 * SECOND))
    story.wait(60)
    assert agent(story).state == READY
    story.tell(RecorderLag(0, 0))
    story.wait(2)
    assert agent(story).state == SUSPECTED


def test_who_speaks_through_a_partition_without_a_leader_is_not_suspected() -> None:
    story = Story().begin(partitions=3)
    join(story, "agent/a", partition=0)
    join(story, "agent/b", partition=1)
    first, second = (story.heart.states["fleet"].get("partition", number).leader for number in (0, 1))
    assert first != second
    for broker in BROKERS:
        if broker != second:
            story.tell(BrokerLost(broker, "killed: 9"))
    story.wait(5)
    assert agent(story, "agent/a").state == READY
    assert agent(story, "agent/b").state == SUSPECTED


actions = st.lists(
    st.tuples(
        st.sampled_from(["join", "ready", "beat", "left", "wait", "pause", "quarantine", "release"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=50,
)


class Model:
    """One agent, by brute force: how long it may still be silent, in heartbeats of a second."""

    def __init__(self) -> None:
        self.state = ""
        self.incarnation = ""
        self.patience = 0
        self.held = False

    def hear(self, state: str) -> None:
        if self.state and self.state != LEFT:
            self.state, self.patience = state or (READY if self.state in (SUSPECTED, FAILED) else self.state), 3

    def tick(self) -> None:
        if self.state in (*LIVE, SUSPECTED):
            self.patience -= 1
            if self.patience == 0:
                self.state, self.patience = (FAILED, 0) if self.state == SUSPECTED else (SUSPECTED, 3)

    @property
    def shown(self) -> str:
        return QUARANTINED if self.held and self.state not in (FAILED, LEFT) else self.state


@settings(max_examples=150, deadline=None)
@given(actions)
def test_states_and_index_are_what_a_plain_model_says(things: list[tuple[str, int, int]]) -> None:
    story, models = Story(), {f"agent/{n}": Model() for n in range(3)}
    for verb, n, argument in things:
        source = f"agent/{n}"
        model = models[source]
        incarnation = f"i-{argument % 2}"
        if verb == "join":
            known = state_of(story).get("agent", source)
            old = known is not None and known.rival is not None and known.rival.incarnation == incarnation
            old = old and model.state not in (FAILED, LEFT)
            same = model.incarnation == incarnation and model.state not in ("", LEFT)
            tell(
                story,
                source,
                "joined",
                {"incarnation": incarnation, "capabilities": [f"c{argument}"], "heartbeat_ms": BEAT_MS},
            )
            if not old:
                model.state = READY if same and model.state == READY else JOINED
                model.incarnation, model.patience = incarnation, 3
        elif verb in ("ready", "beat", "left"):
            name = "heartbeat" if verb == "beat" else verb
            tell(story, source, name, {"incarnation": incarnation})
            if incarnation == model.incarnation:
                model.hear({"ready": READY, "left": LEFT, "beat": ""}[verb])
        elif verb == "wait":
            for _ in range(argument):
                story.wait(1)
                for each in models.values():
                    each.tick()
        elif verb == "pause":
            story.now += 100 * SECOND
            story.tell(PlaneResumed(100 * SECOND))
            for each in models.values():
                if each.state in (*LIVE, SUSPECTED):
                    each.patience = max(each.patience, 2)
        elif model.state:
            decided = AgentQuarantined if verb == "quarantine" else AgentReleased
            story.tell(decided([source], "op", "why"))
            model.held = verb == "quarantine"
        agree(story, models)


def agree(story: Story, models: dict[str, Model]) -> None:
    state = state_of(story)
    known = {source: model for source, model in models.items() if model.state}
    assert {source: agent(story, source).shown for source in known} == {s: m.shown for s, m in known.items()}
    able: dict[str, set[str]] = {}
    for source, model in known.items():
        if model.state in LIVE and not model.held:
            for capability in agent(story, source).capabilities:
                able.setdefault(capability, set()).add(source)
    found = {str(name): {nth_able(state, str(name), i) for i in range(n)} for name, n in state.items("ables")}
    assert found == able
    assert present(state) == sum(model.shown not in (FAILED, LEFT) for model in known.values())
    assert out_of(state) == sum(model.shown in (SUSPECTED, FAILED, QUARANTINED) for model in known.values())


@st.composite
def spoken(draw: st.DrawFn) -> Rows:
    """Rows in which agents say anything at all."""
    rows = empty_rows(3, 0)
    bodies = st.sampled_from([
        None, [], 7, {"incarnation": 3}, {"incarnation": "i-1", "load": -1},
        {"incarnation": "i-1", "load": 250, "handled": 4},
        {"incarnation": "i-2", "capabilities": ["plan", "a b", "", "\x00", "plan"], "heartbeat_ms": 1},
        {"incarnation": "i-1", "capabilities": [f"c{n}" for n in range(300)], "heartbeat_ms": 10**15},
        {"incarnation": "i-1", "capabilities": ["code"], "heartbeat_ms": 1_000, "preferences": {"a": "b"}},
    ])  # fmt: skip
    for _ in range(draw(st.integers(1, 25))):
        source = draw(st.sampled_from(["agent/a", "agent/b", "signalbox/plane", "x" * 600]))
        if draw(st.integers(0, 4)) == 0:
            add(rows, draw(st.sampled_from(["agent.inbox.a", "agent.inbox.z", "agent.inbox.a.b"])), source)
            continue
        name = draw(st.sampled_from(["joined", "ready", "heartbeat", "left", "failed", "suspected", "odd", "left.x"]))
        word(rows, source, name, draw(bodies), NOW, importof=draw(st.sampled_from(["", "", "", "log"])))
    return rows


@settings(max_examples=100, deadline=None)
@given(spoken(), st.lists(st.integers(0, 25), max_size=4))
def test_whatever_agents_say_breaks_nothing_however_it_is_cut(rows: Rows, cuts: list[int]) -> None:
    whole, pieces = Heart(folds()), Heart(folds())
    whole.step(rows, NOW)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, stop in pairwise(edges):
        pieces.step(rows.part(start, stop), NOW)
    assert not whole.quarantined and not pieces.quarantined
    assert by_fold(pieces) == by_fold(whole)
    state = whole.states["registry"]
    assert state.recomputed_digest() == state.digest
    by_state: dict[str, int] = {}
    for _, one in state.items("agent"):
        by_state[one.shown] = by_state.get(one.shown, 0) + 1
    counted = {name: count for name, count in state.items("count") if name in roll.STATES and count}
    assert counted == by_state
    assert state.get("count", "seats", 0) == sum(len(one.capabilities) for _, one in state.items("agent"))


@settings(max_examples=40, deadline=None)
@given(st.lists(spoken(), min_size=1, max_size=4), st.integers(0, 20))
def test_a_life_with_agents_verifies_and_replays(batches: list[Rows], seconds: int) -> None:
    story = Story().begin(partitions=4)
    for rows in batches:
        rows.first_offset = story.ends.get(3, 0)
        story.record(rows)
        story.wait(seconds)
        story.tell(AgentQuarantined(["agent/a"], "op", "x"))
    assert not story.heart.quarantined
    verdict = verify([through_bytes(step) for step in story.steps], folds())
    assert (verdict.divergence, verdict.digest) == ("", story.heart.digest().hex())
