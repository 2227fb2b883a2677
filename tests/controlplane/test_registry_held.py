"""Agents: two under one name, quarantine, what agents are told, and mail that waits for them."""

import pytest

from controlplane import roll
from controlplane.agents import JOINED, LEFT, QUARANTINED, READY
from controlplane.answers import agents as answers
from controlplane.facts import (
    AgentQuarantined,
    AgentReleased,
    GroupOpened,
    IntentFailed,
    OpenGroup,
    PlaneStarted,
)
from controlplane.questions import Agent as AgentDetail
from controlplane.questions import AskAgent
from controlplane.registry import able_agents, nth_able, out_of
from tests.controlplane.agentwords import agent, beat, join, mail, opened, said, state_of, tell, turns
from tests.controlplane.logs import SECOND
from tests.controlplane.made import Story

MS = 1_000_000


# ------------------------------------------------------------------------------------------------- rivals


def test_of_two_incarnations_the_newer_wins_and_the_older_ones_words_are_counted() -> None:
    story = Story()
    join(story, "agent/a", "plan", incarnation="old")
    join(story, "agent/a", "code", incarnation="new")
    beat(story, incarnation="old", load=900)
    tell(story, "agent/a", "left", {"incarnation": "other"})
    beat(story, incarnation="old", load=900)
    found = agent(story)
    assert (found.incarnation, found.load, found.capabilities) == ("new", 0, ["code"])
    assert found.rival is not None and (found.rival.incarnation, found.rival.words) == ("old", 2)
    assert list(state_of(story).table("rivals")) == ["agent/a"]
    tell(story, "agent/a", "joined", {"incarnation": "old", "capabilities": ["plan"]})
    assert agent(story).incarnation == "new", "the older one does not win by joining again"
    tell(story, "agent/a", "left", {"incarnation": "old"})
    assert agent(story).rival is None and agent(story).state == READY
    assert not state_of(story).table("rivals")


def test_an_older_one_may_join_again_when_the_newer_has_gone() -> None:
    story = Story()
    join(story, incarnation="old")
    join(story, incarnation="new")
    tell(story, "agent/a", "left", {"incarnation": "new"})
    join(story, "agent/a", "plan", incarnation="old")
    assert (agent(story).incarnation, agent(story).state, agent(story).capabilities) == ("old", READY, ["plan"])


def test_an_agent_that_was_stopped_and_replaced_is_not_heard_again() -> None:
    story = Story()
    join(story, "agent/a", "plan", incarnation="old")
    story.wait(10)
    join(story, "agent/a", "plan", incarnation="new")
    beat(story, incarnation="old")
    assert (agent(story).incarnation, agent(story).state) == ("new", READY)
    assert agent(story).rival is not None and agent(story).rival.words == 1


# ------------------------------------------------------------------------------------------------- quarantine


def test_a_quarantine_holds_through_restarts_until_released() -> None:
    story = Story()
    join(story, "agent/a", "plan")
    story.tell(AgentQuarantined(["agent/a", "agent/nobody"], "op", "errors"))
    assert (agent(story).shown, agent(story).by, agent(story).reason) == (QUARANTINED, "op", "errors")
    assert not able_agents(state_of(story), "plan") and out_of(state_of(story)) == 1
    tell(story, "agent/a", "left", {"incarnation": "i-1"})
    join(story, "agent/a", "plan", incarnation="i-2")
    assert agent(story).shown == QUARANTINED and not able_agents(state_of(story), "plan")
    story.tell(AgentReleased(["agent/a"], "op"))
    assert agent(story).shown == READY and able_agents(state_of(story), "plan") == 1
    assert (agent(story).quarantined, agent(story).by, agent(story).reason) == (0, "", "")
    assert turns(story) == [JOINED, READY, QUARANTINED, LEFT, QUARANTINED, READY]
    told = [turn.why for turn in state_of(story).get("turns", "agent/a")]
    assert told[2] == "by op: errors" and told[-1] == "released by op"


# ------------------------------------------------------------------------------------------------- telling


def test_agents_are_told_of_changes_once_a_second_and_not_of_heartbeats() -> None:
    story = Story()
    for n in range(3):
        join(story, f"agent/{n}")
    steps = story.wait(1)
    assert said(steps, "signalbox.agents.changed") == [
        {"changes": [[f"agent/{n}", READY] for n in range(3)], "more": 0, "inboxes": []}
    ]
    for _ in range(10):
        for n in range(3):
            beat(story, f"agent/{n}")
        assert not said(story.wait(0.5), "signalbox.agents.changed")
    tell(story, "agent/1", "left", {"incarnation": "i-1"})
    assert said(story.wait(2), "signalbox.agents.changed") == [
        {"changes": [["agent/1", LEFT]], "more": 0, "inboxes": []}
    ]


def test_what_does_not_fit_into_one_telling_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "AGENTS_TOLD_MAX", 2)
    story = Story()
    for n in range(5):
        join(story, f"agent/{n}")
        mail(story, str(n))
        story.tell(GroupOpened(f"inbox.{n}"))
    first, second, third = said(story.wait(3), "signalbox.agents.changed")
    assert (len(first["changes"]), first["more"], first["inboxes"]) == (2, 3, ["0", "1"])
    assert (second["changes"], second["inboxes"], third["inboxes"]) == ([], ["2", "3"], ["4"])


# ------------------------------------------------------------------------------------------------- inboxes


def test_who_has_no_inbox_is_known_and_gets_no_work() -> None:
    """What is for `bob` would go to the inbox of `agent/bob`; nothing can be published to that of `agent/a..b`."""
    story = Story()
    for source in ("bob", "agent/a..b", "agent/", "agent/a.*", "agent/bob"):
        join(story, source, "plan")
        assert agent(story, source).state == READY
    assert able_agents(state_of(story), "plan") == 1 and nth_able(state_of(story), "plan", 0) == "agent/bob"
    tell(story, "bob", "left", {"incarnation": "i-1"})
    join(story, "bob", "plan", "code", incarnation="i-2")
    assert (able_agents(state_of(story), "plan"), able_agents(state_of(story), "code")) == (1, 0)
    world = story.heart.states
    for source, told in (("bob", True), ("agent/bob", False), ("agent/a..b", True)):
        shown = answers.agent(world, AskAgent(source), story.now)
        assert isinstance(shown, AgentDetail)
        assert any("is given no work" in link.text for link in shown.why) is told


def test_the_first_mail_to_an_agent_that_is_known_opens_its_inbox_from_there_on() -> None:
    story = Story()
    join(story)
    step = mail(story, "a")
    assert opened([step]) == [OpenGroup("inbox.a", "agent.inbox.a", story.now - 5 * SECOND)]
    assert not opened([mail(story, "a"), *story.wait(2)]), "it is asked for once"
    story.tell(GroupOpened("inbox.a"))
    story.tell(GroupOpened("inbox.a"))
    assert [told["inboxes"] for told in said(story.wait(2), "signalbox.agents.changed")] == [["a"]]
    join(story, incarnation="i-2")
    assert [told["inboxes"] for told in said(story.wait(2), "signalbox.agents.changed")] == [["a"]], "who joins is told"


def test_mail_to_a_name_that_was_never_there_waits_until_it_joins() -> None:
    story = Story()
    assert not opened([mail(story, "a")])
    start = story.now - 5 * SECOND
    story.wait(60)
    step = join(story)
    assert not opened([step]), "ready says nothing of it"
    assert opened(story.steps) == [OpenGroup("inbox.a", "agent.inbox.a", start)]


def test_an_inbox_that_was_not_seen_open_is_asked_for_again_by_the_next_plane() -> None:
    story = Story()
    join(story, "agent/a")
    join(story, "agent/b")
    for name in ("a", "b", "never"):
        mail(story, name)
    story.tell(GroupOpened("inbox.b"))
    assert [it.group for it in opened([story.tell(PlaneStarted(2, "v"))])] == ["inbox.a"]
    story.tell(IntentFailed(3, 0, "OpenGroup", "", "1,000 groups are defined already"))
    assert state_of(story).get("amiss", "inboxes").why == "1,000 groups are defined already"
