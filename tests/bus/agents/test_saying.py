"""What agents say, what it carries on, and what is dispatched to them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.agents import inbox, saying
from bus.errors import ClientError, InvalidEvent
from bus.event import Event, to_json, validate
from tests.bus.strategies import events


@given(events, st.sampled_from([None, "other"]))
def test_saga_cause_trace_and_subject_are_carried_on(cause: Event, subject: str | None) -> None:
    said = saying.carried(Event(type="a", source="agent/x", id="1", subject=subject), cause)
    assert said.causationid == cause.id
    assert said.correlationid == (cause.correlationid or cause.subject or cause.id)
    assert said.subject == (subject or cause.subject)
    assert (said.traceparent, said.tracestate) == (
        cause.traceparent,
        cause.tracestate if cause.traceparent is not None else None,
    )


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_say_itself_is_told_of() -> None:
    told = saying.wrong(Mute())
    assert (told["kind"], told["error"]) == ("Mute", "(its text cannot be made: RuntimeError)")


def test_what_is_said_is_not_overruled() -> None:
    cause = Event(type="a", source="s", id="1", subject="case", correlationid="saga", traceparent="t", tracestate="u")
    said = saying.carried(Event(type="b", source="s", id="2", correlationid="mine", traceparent="own"), cause)
    assert (said.correlationid, said.traceparent, said.tracestate) == ("mine", "own", None)
    assert said.causationid == "1"


def test_an_event_is_made_of_a_type_or_is_given() -> None:
    made = saying.event_of("agent/x", "task.done", {"n": 1}, {"subject": "s", "priority": "high"})
    assert (made.type, made.source, made.subject, made.priority, made.data) == (
        "task.done",
        "agent/x",
        "s",
        "high",
        {"n": 1},
    )
    given_one = Event(type="a", source="other")
    assert saying.event_of("agent/x", given_one, None, {}) is given_one
    assert saying.event_of("agent/x", Event(type="a"), None, {}).source == "agent/x"
    with pytest.raises(ClientError, match="replace"):
        saying.event_of("agent/x", given_one, {"n": 1}, {})
    with pytest.raises(InvalidEvent, match="colour"):
        saying.event_of("agent/x", "a", None, {"colour": "red"})
    with pytest.raises(InvalidEvent, match="type"):
        saying.event_of("agent/x", 7, None, {})  # type: ignore[arg-type]


def dispatched(original: Event, **more: Any) -> Event:
    data: dict[str, Any] = {
        "task": "t-1",
        "attempt": 2,
        "event": msgspec.Raw(to_json(original)),
        "decision": {"why": "only one"},
    } | more
    return Event(type="agent.inbox.x", source="signalbox/plane", id="9", extensions={"dispatched": True}, data=data)


@given(events)
def test_what_is_dispatched_is_the_original(event: Event) -> None:
    order = inbox.order_of(dispatched(event))
    assert order is not None and (order.task, order.attempt, order.decision) == ("t-1", 2, {"why": "only one"})
    assert order.event == event
    told = inbox.settled("agent/x", order, "failed", 12, "ValueError: no")
    validate(told)
    assert (told.key, told.id, told.causationid) == ("t-1", "settled:t-1:2", event.id)
    assert told.data == {
        "task": "t-1",
        "agent": "x",
        "attempt": 2,
        "outcome": "failed",
        "took_ms": 12,
        "error": "ValueError: no",
    }


def test_nobody_but_the_plane_dispatches() -> None:
    event = Event(type="a", source="s", id="1")
    assert inbox.order_of(dispatched(event).replace(source="agent/mallory")) is None
    assert inbox.order_of(dispatched(event).replace(extensions={})) is None
    for wrong in ({"task": 7}, {"event": {"type": "a"}}, {"attempt": None}):
        with pytest.raises(InvalidEvent):
            inbox.order_of(dispatched(event, **wrong))
    with pytest.raises(InvalidEvent):
        inbox.order_of(dispatched(event).replace(data=b"\0"))
