"""Dispatch's dead letters: they can always be published, hold their event, and nothing is lost that no broker takes."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from bus import limits
from bus.event import Event, to_json, validate
from bus.router import Rule, Rules
from controlplane.answers import Extras, answer
from controlplane.answers.dead import plan_redrive
from controlplane.deadletters import Letter, cut_of, letters_of, redriven_event
from controlplane.facts import IntentFailed, PublishEvent, RedriveDecided
from controlplane.limits import TASK_EVENT_BYTES_MAX
from controlplane.questions import AskDeadLetters, DeadLetters, Redrive, Refusal
from controlplane.redriving import with_originals
from controlplane.timeline import verify
from tests.controlplane.dispatching import ONLY, Agents, published, some_folds, work

BY_NAME = Rules((Rule("r", "order.>", ("agent/away",)),))


def echoed(fleet: Agents, letter: dict[str, Any]) -> Letter:
    """What the plane knows of a letter that it published, once it is recorded."""
    told = published(json.dumps(letter))
    fleet.say(told)
    found: Letter = fleet.heart.states["deadletters"].get("letter", told.id)
    return found


def large(of: str) -> Event:
    """An event of exactly as many bytes as any may have."""
    event = work(1, ["work"], subject="case-1", data={}, sticky="")
    room = limits.EVENT_BYTES_MAX - len(event.payload) - len("task.askedagent/askerw-1case-1worksticky")
    if of == "text":
        large = event.replace(data=msgspec.Raw(b'"' + b"d" * room + b'"'))
    elif of == "bytes":
        large = event.replace(data=b"\xff" * (room + 2))
    elif of == "deep":
        large = event.replace(data=msgspec.Raw(b"[" * 200 + b" " * (room - 398) + b"]" * 200))
    else:
        large = event.replace(extensions={"sticky": "\x01" * room})
    validate(large)
    with pytest.raises(Exception, match="bytes"):
        validate(large.replace(correlationid="x"))
    return large


@pytest.mark.parametrize("of", ["text", "bytes", "deep", "escapes"])
def test_an_event_as_large_as_can_be_is_a_dead_letter_that_can_be_redriven(of: str) -> None:
    fleet, event = Agents(), large(of)
    fleet.joins("a")
    fleet.say(event)
    (letter,) = fleet.letters
    assert letter["data"]["reason"] == ("too_deep" if of == "deep" else "too_large") and fleet.taken() == []
    known = echoed(fleet, letter)
    cut = cut_of(fleet.heart.states["deadletters"], known.id)
    assert cut == (["sticky"] if of == "escapes" else [])
    original = to_json(event).decode() if cut else ""
    again = published(redriven_event(known, original).decode())
    assert (again.extensions["redriveof"], again.extensions["redriveto"]) == (event.id, "dispatch")
    assert again.payload == event.payload and again.extensions["sticky"] == event.extensions["sticky"]
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_one_that_is_dispatched_may_have_tried_all_it_may_and_its_letter_fits() -> None:
    fleet = Agents()
    fleet.joins("a", heartbeat_ms=3_600_000)
    fleet.say(work(1, ["work"], data="x" * (TASK_EVENT_BYTES_MAX - 300)))
    for _ in range(5):
        fleet.settles(fleet.taken()[0], "failed", error="\x01" * 1_000)
        fleet.wait(0 if fleet.letters or fleet.mail else 61)
    (letter,) = fleet.letters
    assert letter["data"]["reason"] == "attempts" and "cut" not in letter["data"]


class Kept:
    """An archive of one event."""

    def __init__(self, event: str | None) -> None:
        self.event = event

    def at(self, partition: int, offset: int) -> str | None:
        return self.event if (partition, offset) == (0, 1) else None


def test_what_a_letter_has_not_is_redriven_out_of_the_journal() -> None:
    fleet, event = Agents(), large("escapes")
    fleet.joins("a")
    fleet.say(event)
    known = echoed(fleet, fleet.letters[0])
    told = answer(AskDeadLetters(known.id), fleet.heart, fleet.now, Extras())
    assert isinstance(told, DeadLetters) and told.letters[0].cut == ["sticky"]
    decided, _ = plan_redrive(fleet.heart.states, Redrive([known.id]))
    assert decided is not None
    state = fleet.heart.states["deadletters"]
    gone = asyncio.run(with_originals(decided, state, Kept(None)))  # type: ignore[arg-type]
    assert isinstance(gone, Refusal) and "partition 0, offset 1" in gone.message
    whole = asyncio.run(with_originals(decided, state, Kept(to_json(event).decode())))  # type: ignore[arg-type]
    assert isinstance(whole, RedriveDecided)
    ((_, _, intent),) = fleet.tell(whole).intents
    assert isinstance(intent, PublishEvent)
    assert published(intent.event.decode()).extensions["sticky"] == event.extensions["sticky"]


# ------------------------------------------------------------------------------------------- no broker takes it


def refuse(fleet: Agents, said: dict[str, Any]) -> None:
    """No broker takes an event that the plane says."""
    cause, _, index = said["id"].partition(":")
    fleet.tell(IntentFailed(int(cause), int(index), "PublishEvent", "", "too large", event=json.dumps(said)))


def test_mail_that_nobody_remembers_is_a_dead_letter_when_no_broker_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.tasks.TASKS_NAMED_AGENT_MAX", 1)
    fleet = Agents(rules=BY_NAME)
    fleet.say(work(1, type="order.created"), work(2, type="order.created"))
    tracked, untracked = fleet.taken()
    assert (tracked["data"]["settle_by"] > 0, untracked["data"]["settle_by"]) == (True, 0)
    refuse(fleet, untracked)
    (letter,) = fleet.letters
    told = letter["data"]
    assert (told["group"], told["reason"], told["error"]) == ("dispatch", "unsent", "too large")
    assert told["event"]["id"] == "w-2" and (told["partition"], told["offset"]) == (0, 1)
    refuse(fleet, tracked)
    assert len(fleet.letters) == 1 and len(fleet.tasks()) == 1, "that one is tried again"
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""


def test_nor_is_it_lost_when_its_task_was_forgotten_in_the_meantime() -> None:
    fleet = Agents(rules=BY_NAME)
    fleet.say(work(1, type="order.created"))
    (mail,) = fleet.taken()
    fleet.now += 25 * 3_600 * 1_000_000_000
    fleet.wait(1)
    assert fleet.tasks() == {} and fleet.letters == [], "unheard: its mail waits on in its inbox"
    refuse(fleet, mail)
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["unsent"]


def test_mail_that_is_redriven_and_that_no_broker_takes_stays_the_letter_that_it_is() -> None:
    fleet = Agents(rules=BY_NAME)
    fleet.say(work(1, type="order.created"))
    (mail,) = fleet.taken()
    data = {"group": "inbox.away", "reason": "terminated", "partition": 0, "offset": 9, "event": mail}
    fleet.say(Event(id="l", type="signalbox.deadletter", source="signalbox/b1", data=data))
    step = fleet.tell(RedriveDecided(["l"], "op", ""))
    ((_, _, intent),) = step.intents
    assert isinstance(intent, PublishEvent)
    before = len(fleet.letters)
    fleet.tell(IntentFailed(step.first, 0, "PublishEvent", "", "no", event=intent.event.decode()))
    assert len(fleet.letters) == before
    (letter,) = letters_of(fleet.heart.states["deadletters"])
    assert (letter.state, letter.refused) == ("waiting", "no")


def test_a_dead_letter_that_no_broker_takes_is_in_the_list_all_the_same() -> None:
    fleet = Agents()
    fleet.say(work(1, ["work"], nocapable="dead-letter"))
    fleet.wait(11)
    (said,) = fleet.letters
    assert letters_of(fleet.heart.states["deadletters"]) == []
    refuse(fleet, said)
    (letter,) = letters_of(fleet.heart.states["deadletters"])
    assert (letter.id, letter.group, letter.reason, letter.offset) == (said["id"], "dispatch", "no_capable", 0)
    (again,) = fleet.tell(RedriveDecided([letter.id], "op", "")).intents
    assert isinstance(again[2], PublishEvent)
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""
