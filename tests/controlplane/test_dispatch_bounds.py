"""Dispatch under what agents and publishers say that is out of all proportion: nothing breaks, nothing is lost."""

import re
from base64 import b64decode
from typing import Any

import msgspec
import pytest

import bus
from bus.choice import FIGURE_MAX, standing
from bus.event import Event
from bus.router import Rule, Rules
from controlplane import dispatchhealth
from controlplane.assigning import gets_mail
from controlplane.deadletters import redriven_event
from controlplane.dispatchsettings import deadline_ns
from controlplane.facts import IntentFailed, SettingSet, TaskDispatched, encode_fact
from controlplane.inforce import counted_of
from controlplane.limits import (
    AGENT_QUEUE_MAX,
    CASCADE_FACTS_MAX,
    DISPATCHED_DEPTH_MAX,
    INPUT_EVENTS_MAX,
    TASK_DEADLINE_MS_MAX,
    TASKS_AT_ONCE_MAX,
    TASKS_MAX,
    TASKS_NAMED_AGENT_MAX,
    TASKS_NAMED_MAX,
)
from controlplane.state import KeyedState
from controlplane.tasks import Work
from controlplane.timeline import verify
from tests.controlplane.dispatching import ONLY, Agents, facts_of, some_folds, work
from tests.controlplane.test_dispatch import given_up


def test_no_figure_is_larger_than_can_be_written() -> None:
    found = standing(1 << 60, 1, 1 << 60, 0)
    assert found.score == found.load == found.expected_us == FIGURE_MAX


@pytest.mark.parametrize("figure", ["queue", "in_flight"])
def test_an_agent_that_says_a_huge_figure_is_only_busy(figure: str) -> None:
    fleet = Agents()
    fleet.joins("a", places=1)
    fleet.beats("a", **{figure: 1 << 53})
    fleet.asks("work")
    (fact,) = fleet.dispatched()
    assert fact.load == AGENT_QUEUE_MAX * 1_000
    assert encode_fact(fact)


def test_nobody_was_at_a_task_for_longer_than_it_had_it() -> None:
    fleet = Agents()
    fleet.joins("a")
    for _ in range(2):
        fleet.asks("work")
        (mail,) = fleet.taken()
        fleet.settles(mail, took_ms=(1 << 53) - 1, after_ms=200)
    assert [fact.expected_us for fact in fleet.dispatched()] == [1_000_000, 200_000]
    assert fleet.count("handled") == 2


def test_a_deadline_has_an_end_however_long_such_work_takes() -> None:
    state = KeyedState("dispatch")
    state.put("work", "work", Work(settled=1))
    assert deadline_ns(state, "work", FIGURE_MAX) == TASK_DEADLINE_MS_MAX * 1_000_000


def test_agents_that_restart_wear_no_task_out() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "2"))
    fleet.joins("a0")
    fleet.asks("work")
    for n in range(1, 6):
        fleet.joins(f"a{n}")
        fleet.leaves(f"a{n - 1}")
    assert fleet.letters == [] and fleet.dispatched()[-1].attempt == 6
    fleet.settles(fleet.taken()[-1], "failed")
    fleet.joins("b")
    assert fleet.letters == [], "the first that speaks against it"
    fleet.settles(fleet.taken()[-1], "failed")
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["attempts"]


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000", "\u2028"])
def test_only_the_space_separates_capabilities(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker of an older version, or another log, may have let such an event through."""
    monkeypatch.setattr("bus.attributes._SPACE", re.compile(" "))
    fleet = Agents()
    fleet.joins("a", can=["x", "y"])
    fleet.asks(space)
    fleet.asks(f"x{space}y")
    fleet.beats("a", after_ms=1_000)
    assert fleet.taken() == [] and sorted(task.needs for task in fleet.tasks().values()) == sorted(
        [space, f"x{space}y"]
    )


def test_mail_to_an_agent_that_is_away_takes_no_room_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.tasks.TASKS_MAX", 3)
    monkeypatch.setattr("controlplane.tasks.TASKS_NAMED_AGENT_MAX", 4)
    fleet = Agents(rules=Rules((Rule("r", "order.>", ("agent/away",)), Rule("s", "bill.>", ("agent/there",)))))
    fleet.joins("a")
    for n in range(6):
        fleet.say(work(n, type="order.created"))
    mail = fleet.taken()
    assert [one["type"] for one in mail] == ["agent.inbox.away"] * 6, "all of it is sent"
    assert fleet.count("named") == 4 and fleet.count("untracked") == 2
    fleet.say(work(7, type="bill.created"))
    assert fleet.count("named") == 5, "of each agent so much"
    for _ in range(3):
        fleet.asks("work")
    assert fleet.letters == [] and fleet.count("tasks") == 8
    fleet.settles(mail[5])
    assert fleet.count("late") == 1 and fleet.count("tasks") == 8
    for one in mail[:4]:
        fleet.settles(one)
    assert fleet.count("named") == 1 and fleet.state.table("named") == {"agent/there": 1}
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_what_one_input_opens_goes_out_in_turns() -> None:
    """2,000 events for 10 each are within all that is configured: dispatch takes them, and goes on."""
    fleet = Agents(rules=Rules((Rule("r", "order.>", tuple(f"agent/n{n}" for n in range(10))),)))
    step = fleet.say(*(work(n, type="order.created") for n in range(INPUT_EVENTS_MAX)))
    assert len(list(facts_of(step, TaskDispatched))) == TASKS_AT_ONCE_MAX
    fleet.wait(4)
    assert len(fleet.dispatched()) == fleet.count("out") == 10 * TASKS_NAMED_AGENT_MAX
    assert len(fleet.taken()) == 10 * INPUT_EVENTS_MAX and fleet.count("waiting") == 0 and not fleet.letters


@pytest.mark.parametrize("able", [True, False])
def test_so_does_work_that_somebody_can_do_and_the_end_of_what_nobody_can(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.taskfates.TASKS_AT_ONCE_MAX", 40)
    fleet = Agents(rules=Rules((Rule("r", "order.>", ("capability:x", "capability:y")),)))
    fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    if able:
        fleet.joins("a", "b", can=["x", "y"], places=256, heartbeat_ms=60_000)
    fleet.say(*(work(n, type="order.created") for n in range(50)))
    went = [len(fleet.dispatched()) + len(fleet.letters)]
    for _ in range(2):
        fleet.wait(1)
        went.append(len(fleet.dispatched()) + len(fleet.letters))
    assert went == [40, 80, 100] and fleet.count("waiting") == 0
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_all_tasks_may_come_back_and_go_out_again_in_one_step() -> None:
    assert CASCADE_FACTS_MAX >= 2 * (TASKS_MAX + TASKS_NAMED_MAX) + INPUT_EVENTS_MAX + TASKS_AT_ONCE_MAX


def test_who_can_have_no_inbox_gets_no_work() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    fleet.joins("a..b", "x*")
    fleet.say(Event(type="agent.lifecycle.joined", source="billing", id="j", data={"capabilities": ["work"]}))
    assert not gets_mail("agent/a..b") and not gets_mail("billing") and gets_mail("agent/x*")
    fleet.leaves("x*")
    fleet.asks("work")
    assert fleet.dispatched() == []
    fleet.wait(11)
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["no_capable"]


def unsent(fleet: Agents, mail: dict[str, Any]) -> None:
    cause, _, index = mail["id"].partition(":")
    fleet.tell(IntentFailed(int(cause), int(index), "PublishEvent", "", "too large"))


def test_work_whose_mail_no_broker_takes_is_given_to_another_at_once() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "2"))
    fleet.joins("a", "b")
    fleet.asks("work")
    (mail,) = fleet.taken()
    unsent(fleet, mail)
    (again,) = fleet.taken()
    assert again["type"] != mail["type"] and again["data"]["attempt"] == 2
    assert fleet.dispatched()[-1].reliability == 1_000, "it says nothing of the agent"
    unsent(fleet, mail)
    assert fleet.taken() == [], "of an attempt that is over"
    unsent(fleet, again)
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["attempts"]
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_nor_is_mail_by_name_forgotten_that_no_broker_takes() -> None:
    fleet = Agents(rules=Rules((Rule("r", "order.>", ("agent/away",)),)))
    fleet.tell(SettingSet("dispatch.attempts", "1"))
    fleet.say(work(1, type="order.created"))
    unsent(fleet, fleet.taken()[0])
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["attempts"] and fleet.tasks() == {}


def nested(levels: int, **more: Any) -> Event:
    """An event whose arrays stand so deep in each other, as a whole."""
    data = b"[" * (levels - 1) + b'"[[{"' + b"]" * (levels - 1)
    return work(levels, data=msgspec.Raw(data), **more)


@pytest.mark.parametrize("levels", [DISPATCHED_DEPTH_MAX + 1, 128, 129, 600])
def test_what_is_nested_too_deep_is_a_dead_letter_that_holds_its_data_as_bytes(levels: int) -> None:
    fleet = Agents()
    fleet.joins("a")
    event = nested(levels, requires=["work"])
    fleet.say(nested(DISPATCHED_DEPTH_MAX, requires=["work"]), event)
    assert [mail["data"]["event"]["id"] for mail in fleet.taken()] == [f"w-{DISPATCHED_DEPTH_MAX}"]
    (letter,) = fleet.letters
    assert letter["data"]["reason"] == "too_deep" and fleet.count("unfit") == 1
    kept = letter["data"]["event"]
    assert (kept["id"], kept["requires"], kept["subject"]) == (event.id, "work", event.subject)
    assert b64decode(kept["data_base64"]) == event.payload
    fleet.say(Event(id="l", type=letter["type"], source="signalbox/plane", data=letter["data"]))
    (known,) = fleet.heart.states["deadletters"].table("letter").values()
    redriven = bus.from_json(redriven_event(known))
    fleet.say(redriven)
    (mail,) = fleet.taken()
    assert b64decode(mail["data"]["event"]["data_base64"]) == event.payload
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_the_letters_of_what_is_just_not_too_deep_are_heard() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "1"))
    fleet.joins("a")
    fleet.say(nested(DISPATCHED_DEPTH_MAX, requires=["work"]))
    (mail,) = fleet.taken()
    fleet.say(given_up(mail, "max_deliver"))
    assert fleet.count("dead") == 1 and fleet.count("returned") == 0, "its inbox's letter is heard"
    (letter,) = fleet.letters
    fleet.say(Event(id="l", type=letter["type"], source="signalbox/plane", data=letter["data"]))
    assert len(fleet.heart.states["deadletters"].table("letter")) == 2


def test_rules_are_asked_of_what_is_nested_too_deep_by_its_attributes_alone() -> None:
    rules = Rules((Rule("large", "order.>", ("agent/a",), "data.n > 4"), Rule("all", "order.made", ("agent/b",))))
    fleet = Agents(rules=rules)
    fleet.say(nested(129, type="order.made"), nested(130, type="order.other"), nested(131))
    assert [(one["data"]["reason"], one["data"]["event"]["id"]) for one in fleet.letters] == [("too_deep", "w-129")]
    assert "nested" in counted_of(fleet.state, "large").why and fleet.taken() == []


def test_mail_by_name_says_until_when_it_is_asked_after_and_health_that_some_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controlplane.tasks.TASKS_NAMED_AGENT_MAX", 2)
    monkeypatch.setattr("controlplane.dispatchhealth.TASKS_NAMED_AGENT_MAX", 2)
    fleet = Agents(rules=Rules((Rule("r", "order.>", ("agent/away",)),)))
    fleet.joins("a")

    def wrong() -> list[str]:
        registry = fleet.heart.states["registry"]
        return [f"{need.what}; {need.why}" for need in dispatchhealth.needs(fleet.state, registry)]

    fleet.say(work(1, type="order.created"))
    assert wrong() == []
    fleet.say(work(2, type="order.created"), work(3, type="order.created"))
    fleet.asks("work")
    half_a_day = fleet.now + 12 * 3_600 * 1_000_000_000
    said = [mail["data"].get("settle_by", "as long as it takes") for mail in fleet.taken()]
    assert said == ["as long as it takes", half_a_day, half_a_day, 0]
    (need,) = wrong()
    assert need.startswith("2 mails wait for away; ") and " 1 mail was until now" in need


@pytest.mark.parametrize(
    ("attempts", "agents", "said"),
    [(1, "a", "tried 1 time, by 1 agent; boom"), (3, "a", "tried 3 times, by 1 agent; boom"),
     (3, "ab", "tried 3 times, by 2 agents; boom"), (20, "ab", "tried 20 times, the last 16 by 2 agents; boom")],
)  # fmt: skip
def test_its_dead_letter_tells_attempts_from_agents(attempts: int, agents: str, said: str) -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", str(attempts)))
    fleet.joins(*agents, heartbeat_ms=3_600_000)
    fleet.asks("work")
    for _ in range(attempts):
        fleet.settles(fleet.taken()[0], "failed", error="boom")
        fleet.wait(0 if fleet.letters or fleet.mail else 61)
    assert [letter["data"]["error"] for letter in fleet.letters] == [said]
