"""Dispatch: tasks go to agents that can do them and live, come back, wait, and end; by rules and by needs."""

from typing import Any

import pytest

from controlplane.facts import (
    AgentQuarantined,
    AgentReleased,
    PlaneResumed,
    SettingSet,
    TaskDispatched,
    TaskReturned,
)
from tests.controlplane.dispatching import (
    SECOND,
    Agents,
    facts_of,
    lifecycle,
    settled,
    work,
)


def test_an_event_goes_to_one_who_can_do_it() -> None:
    fleet = Agents()
    fleet.joins("a", can=["translate"])
    fleet.joins("b", can=["other"])
    id = fleet.asks("translate", subject="case-7", priority="high")
    (mail,) = fleet.taken()
    assert mail["type"] == "agent.inbox.a" and mail["source"] == "signalbox/plane"
    assert mail["dispatched"] is True and mail["partitionkey"] == "agent/a" and "subject" not in mail
    assert mail["causationid"] == id and mail["priority"] == "high"
    data = mail["data"]
    assert data["event"]["id"] == id and data["event"]["requires"] == "translate" and data["attempt"] == 1
    assert data["decision"]["among"] == 1 and data["decision"]["requires"] == ["translate"]
    fleet.settles(mail)
    assert fleet.tasks() == {} and fleet.count("handled") == 1 and not fleet.letters


def test_all_that_it_needs_one_agent_must_have() -> None:
    fleet = Agents()
    fleet.joins("a", can=["read"])
    fleet.joins("b", can=["write"])
    fleet.joins("c", can=["read", "write"])
    for _ in range(4):
        fleet.asks("write", "read")
    assert [mail["type"] for mail in fleet.taken()] == ["agent.inbox.c"] * 4


def test_nobody_gets_more_than_it_has_places_and_the_rest_waits_in_order() -> None:
    fleet = Agents()
    fleet.joins("a", places=2)
    for priority in ("medium", "low", "medium", "high", "low"):
        fleet.asks("work", priority=priority)
    first = fleet.taken()
    assert [mail["data"]["event"]["id"] for mail in first] == ["w-1", "w-2"]
    assert (fleet.count("waiting"), fleet.count("out")) == (3, 2)
    order = []
    todo = first
    while todo:
        fleet.settles(todo.pop(0))
        todo += (came := fleet.taken())
        order += [mail["data"]["event"]["id"] for mail in came]
    assert order == ["w-4", "w-3", "w-5"], "high, medium, low"
    assert fleet.tasks() == {} and fleet.count("handled") == 5


def test_what_has_waited_long_goes_before_what_is_more_urgent() -> None:
    fleet = Agents()
    fleet.joins("a", places=1)
    for priority in ("medium", "low"):
        fleet.asks("work", priority=priority)
    fleet.beats("a", after_ms=3_000)
    for _ in range(30):
        fleet.beats("a", after_ms=4_000)
    fleet.asks("work", priority="medium")
    (mail,) = fleet.taken()
    fleet.settles(mail)
    assert fleet.taken()[0]["data"]["event"]["priority"] == "low"


def test_work_that_nobody_can_do_waits_until_somebody_joins() -> None:
    fleet = Agents()
    fleet.asks("translate")
    fleet.asks("translate")
    assert fleet.taken() == [] and fleet.count("waiting") == 2
    step = fleet.joins("a", can=["translate"])
    assert len(list(facts_of(step, TaskDispatched))) == 2, "at once, without a tick"


@pytest.mark.parametrize("by", ["setting", "event"])
def test_it_is_a_dead_letter_where_that_is_said(by: str) -> None:
    fleet = Agents()
    if by == "setting":
        fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    fleet.asks("translate", **({"nocapable": "dead-letter"} if by == "event" else {}))
    (letter,) = fleet.letters
    assert letter["data"]["group"] == "dispatch" and letter["data"]["reason"] == "no_capable"
    assert "translate" in letter["data"]["error"] and fleet.tasks() == {}


def test_it_is_said_to_others_where_that_is_said() -> None:
    fleet = Agents()
    id = fleet.asks("translate", nocapable="escalate")
    (said,) = fleet.escalated
    assert said["data"]["requires"] == ["translate"] and said["data"]["event"] == id
    assert fleet.count("waiting") == 1
    fleet.joins("a", can=["translate"])
    assert len(fleet.taken()) == 1


def test_a_policy_that_is_none_is_said_where_the_fleets_holds_in_its_place() -> None:
    """A client of an older version, or of another make, may publish such an event."""
    fleet = Agents()
    for policy in ("dead-letter", "escalate"):
        fleet.tell(SettingSet("dispatch.no_capable", policy))
        fleet.asks("translate", nocapable="deadletter")
    fleet.asks("translate", nocapable=True)
    fleet.asks("translate")
    told = [letter["data"]["error"] for letter in fleet.letters] + [one["data"]["why"] for one in fleet.escalated]
    said = "nobody can do translate; its nocapable, {}, is none of wait, dead-letter, escalate, "
    said += "so the fleet's policy holds"
    odd = said.format("'deadletter'")
    assert told == [odd, odd, said.format("'True'"), "nobody can do translate"]


def test_what_waited_for_the_last_who_could_is_judged_when_that_one_goes() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    fleet.joins("a", places=1)
    fleet.asks("work")
    fleet.asks("work")
    fleet.leaves("a")
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["no_capable"] * 2


# ------------------------------------------------------------------------------------------------- who is gone


def _suspected(fleet: Agents) -> None:
    for _ in range(6):
        fleet.beats("b", after_ms=3_000)


def _failed(fleet: Agents) -> None:
    for _ in range(12):
        fleet.beats("b", after_ms=3_000)


def _left(fleet: Agents) -> None:
    fleet.leaves("a")


def _quarantined(fleet: Agents) -> None:
    fleet.tell(AgentQuarantined(["agent/a"]))


def _unable(fleet: Agents) -> None:
    fleet.joins("a", can=["other"])


@pytest.mark.parametrize("gone", [_suspected, _failed, _left, _quarantined, _unable])
def test_what_an_agent_has_that_is_gone_another_does(gone: Any) -> None:
    fleet = Agents()
    fleet.joins("a", can=["work"], places=9)
    for _ in range(3):
        fleet.asks("work")
    assert {mail["type"] for mail in fleet.taken()} == {"agent.inbox.a"}
    fleet.joins("b", can=["work"], places=9)
    gone(fleet)
    again = fleet.taken()
    assert [mail["type"] for mail in again] == ["agent.inbox.b"] * 3
    assert [mail["data"]["attempt"] for mail in again] == [2, 2, 2]
    assert fleet.count("returned") == 3
    fleet.asks("work")
    assert fleet.taken()[0]["type"] == "agent.inbox.b"


@pytest.mark.parametrize("settles_last", [True, False])
def test_what_it_has_comes_back_though_it_settles_something_beside_leaving(settles_last: bool) -> None:
    """In one batch: a word that was repeated may stand after the last one."""
    fleet = Agents()
    fleet.joins("a", places=9)
    for _ in range(2):
        fleet.asks("work")
    mail, other = fleet.taken()
    fleet.joins("b")
    said = [lifecycle("a", "left", {"incarnation": "a-1", "reason": "done"}), settled(mail)]
    fleet.say(*(said if settles_last else said[::-1]))
    (again,) = fleet.taken()
    assert again["type"] == "agent.inbox.b" and again["data"]["task"] == other["data"]["task"]


def test_a_word_about_an_earlier_attempt_changes_nothing() -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.asks("work")
    (old,) = fleet.taken()
    fleet.joins("b")
    fleet.leaves("a")
    (new,) = fleet.taken()
    fleet.settles(old)
    assert len(fleet.tasks()) == 1 and fleet.count("late") == 1
    fleet.say(settled(new, by="agent/stranger"))
    assert len(fleet.tasks()) == 1, "only who has it can settle it"
    fleet.settles(new)
    assert fleet.tasks() == {}


def test_nor_does_one_of_the_same_agents_about_an_earlier_attempt() -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.asks("work")
    (old,) = fleet.taken()
    fleet.settles(old, "failed")
    fleet.wait(2)
    (new,) = fleet.taken()
    assert (new["type"], new["data"]["attempt"]) == ("agent.inbox.a", 2)
    fleet.settles(old)
    assert len(fleet.tasks()) == 1 and fleet.count("handled") == 0
    fleet.settles(new)
    assert fleet.tasks() == {}


def test_released_agents_come_for_what_waits() -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.tell(AgentQuarantined(["agent/a"]))
    fleet.asks("work")
    assert fleet.taken() == []
    fleet.tell(AgentReleased(["agent/a"]))
    assert len(fleet.taken()) == 1


def test_who_has_had_it_for_far_too_long_loses_it() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.deadline_ms", "20000"))
    fleet.joins("a")
    fleet.asks("work")
    (old,) = fleet.taken()
    fleet.joins("b")
    for _ in range(5):
        fleet.beats("a", "b", after_ms=4_500)
    (new,) = fleet.taken()
    assert new["type"] == "agent.inbox.b" and new["data"]["attempt"] == 2
    (fact,) = [fact for step in fleet.steps for fact in facts_of(step, TaskReturned)]
    assert (fact.agent, fact.why) == ("agent/a", "stuck")
    fleet.settles(old)
    assert len(fleet.tasks()) == 1


def test_time_in_which_the_plane_stood_still_is_not_the_agents() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.deadline_ms", "20000"))
    fleet.joins("a", "b")
    fleet.asks("work")
    fleet.tell(PlaneResumed(60 * SECOND), after_ms=60_000)
    assert len(fleet.taken()) == 1
    for _ in range(3):
        fleet.beats("a", "b", after_ms=4_500)
    assert fleet.taken() == []
    for _ in range(2):
        fleet.beats("a", "b", after_ms=4_500)
    assert len(fleet.taken()) == 1


# ------------------------------------------------------------------------------------------------- what goes wrong


def test_who_failed_is_not_asked_again_as_long_as_there_is_another() -> None:
    fleet = Agents()
    fleet.joins("a", "b", "c")
    fleet.asks("work")
    tried = []
    for _ in range(3):
        (mail,) = fleet.taken()
        tried.append(mail["type"])
        fleet.settles(mail, "failed", error="boom")
    assert len(set(tried)) == 3
    assert fleet.taken() == [], "all had it: it rests"
    fleet.wait(5)
    (mail,) = fleet.taken()
    assert mail["data"]["attempt"] == 4


def test_after_so_many_attempts_it_is_a_dead_letter_that_tells_of_them() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "2"))
    fleet.joins("a", "b")
    id = fleet.asks("work", subject="case-1")
    for _ in range(2):
        fleet.settles(fleet.taken()[0], "failed", took_ms=30, error="boom")
    (letter,) = fleet.letters
    data = letter["data"]
    assert (data["group"], data["reason"], data["event"]["id"]) == ("dispatch", "attempts", id)
    assert [(one["attempt"], one["error"]) for one in data["attempts"]] == [(1, "boom"), (2, "boom")]
    assert {one["member"] for one in data["attempts"]} == {"agent/a", "agent/b"}
    assert (letter["subject"], letter["causationid"]) == ("case-1", id) and fleet.tasks() == {}


def test_what_all_refuse_is_a_dead_letter() -> None:
    fleet = Agents()
    fleet.joins("a", "b")
    fleet.asks("work")
    for _ in range(2):
        fleet.settles(fleet.taken()[0], "refused", error="no handler")
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["refused"]


def test_what_an_inbox_gave_up_another_gets() -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.asks("work")
    (mail,) = fleet.taken()
    fleet.joins("b")
    fleet.say(given_up(mail, "max_deliver"))
    (again,) = fleet.taken()
    assert again["type"] == "agent.inbox.b"
    fleet.say(given_up(again, "expired"))
    assert fleet.tasks() == {} and not fleet.letters, "the inbox made the letter"


def given_up(mail: dict[str, Any], reason: str) -> Any:
    import bus

    data = {"group": "inbox." + mail["type"].removeprefix("agent.inbox."), "reason": reason, "error": "crashed",
            "partition": 0, "offset": 0, "appended": 0, "attempts": [], "event": mail}  # fmt: skip
    return bus.Event(type="signalbox.deadletter", source="signalbox/b1", id="dead-" + mail["data"]["task"], data=data)


def test_what_expires_is_not_given_out_any_more() -> None:
    fleet = Agents()
    fleet.asks("work", expirytime=fleet.now + 10 * SECOND)
    fleet.wait(11)
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["expired"]
    fleet.joins("a")
    assert fleet.taken() == [] and fleet.tasks() == {}


def test_an_event_that_is_too_large_and_one_too_many_are_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.tasks.TASKS_MAX", 2)
    monkeypatch.setattr("controlplane.dispatch.TASK_EVENT_BYTES_MAX", 1_000)
    fleet = Agents()
    for _ in range(3):
        fleet.asks("work")
    fleet.asks("work", data={"text": "x" * 1_000})
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["full", "too_large"]
    assert len(fleet.tasks()) == 2


def test_a_redriven_one_is_dispatched_again() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.no_capable", "dead-letter"))
    fleet.asks("work")
    fleet.joins("a")
    fleet.say(work(9, ["work"], redriveto="billing"))
    assert fleet.taken() == [], "for another group"
    fleet.say(work(9, ["work"], redriveto="dispatch"))
    assert len(fleet.taken()) == 1


def test_what_a_rule_named_and_none_does_any_more_comes_back_as_a_dead_letter() -> None:
    fleet = Agents()
    fleet.say(work(9, redriveto="dispatch"))
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["no_rule"]


@pytest.mark.parametrize(
    "event",
    [
        work(1, ["work"], extensions=None) if False else work(1, ["work"], type="agent.inbox.a"),
        work(1, ["work"], type="dispatch.settled"),
        work(1, ["work"], type="ballot.voted"),
        work(1, ["work"], source="signalbox/plane"),
    ],
    ids=lambda event: f"{event.type} of {event.source}",
)
def test_what_is_addressed_already_is_not_dispatched(event: Any) -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.say(event)
    assert fleet.taken() == [] and fleet.count("opened") == 0


def test_imported_events_are_nobodys_work() -> None:
    fleet = Agents()
    fleet.joins("a")
    event = work(1, ["work"])
    fleet.say(event.replace(extensions={"importof": "log-1"}))
    assert fleet.taken() == []
