"""Dead letters of events as large and as deep as events may be: each can be published, and has its event in it."""

import json
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from bus import batch, limits
from bus.broker.access import PLANE
from bus.broker.deadletter import dead_letter, made_by
from bus.broker.screening import check_body
from bus.client.packing import check
from bus.depth import is_deeper
from bus.errors import EventTooLarge
from bus.event import JSON, Event, check_size, make, to_json, validate
from bus.groupstate import Attempt
from bus.groupwork import Dead
from bus.letters import kept
from bus.record import EVENTS, Header, seal
from bus.store import Entry
from bus.wire import Section

MOST = limits.EVENT_BYTES_MAX


def sized(size: int, of: str = "data", **more: Any) -> Event:
    """An event of so many bytes as brokers count them, most of it in one place."""
    event = Event(type="t.u", source="s", id="1", extensions={"x": ""}, **more)
    rest = size - len("t.us1x") + (of == "id")
    if of == "data":
        return event.replace(data=msgspec.Raw(b'"' + b"d" * (rest - 2) + b'"'))
    if of == "bytes":
        return event.replace(data=b"\xff" * rest)
    if of == "extension":
        return event.replace(extensions={"x": "\x01" * rest})
    return event.replace(**{of: '"' * rest})


def letter_of(event: Event, attempts: int = 0) -> Event:
    """What a broker makes of an event that was tried so often, each time with the longest of errors."""
    body = batch.encode([event])
    entry = Entry(Header(EVENTS, 3, 1, 7, 1, 9_000), seal(Header(EVENTS, 3, 1, 7, 1, 9_000), body))
    history = [Attempt(n, 5, "\x01" * limits.GROUP_ERROR_CHARS_MAX, "m", 4, 0) for n in range(attempts)]
    return dead_letter("b1", "g", Dead(7, "terminated", 0, history), entry, 10_000)


def is_taken(event: Event, principal: str) -> bool:
    """Whether a broker takes it from this one; its reader then reads it."""
    body = batch.encode([event])
    try:
        check_body(principal, Section(0, b"", 0, 1), body, 20_000)
    except EventTooLarge:
        return False
    return batch.decode(body).event(0) == event


@pytest.mark.parametrize("of", ["data", "bytes", "extension", "subject", "id", "correlationid"])
@pytest.mark.parametrize("size", [MOST])
def test_a_dead_letter_of_any_event_can_be_published_and_read(size: int, of: str) -> None:
    event = sized(size, of)
    validate(event)
    letter = letter_of(event, limits.GROUP_HISTORY_MAX)
    assert is_taken(letter, PLANE), "as large as it may be for who makes it"
    check(letter, reserved=True)
    told = letter.data
    assert made_by(letter) == "g" and (told["partition"], told["offset"]) == (3, 7)
    if len(to_json(event)) <= limits.LETTER_EVENT_BYTES_MAX:
        assert "cut" not in told
        assert to_json(event) in letter.payload
    else:
        assert told["cut"] == [of if of != "extension" else "x"]
        assert told["event"]["type"] == "t.u" and len(to_json(letter)) < limits.LETTER_EVENT_BYTES_MAX


@pytest.mark.parametrize("of", ["data", "bytes", "extension", "subject", "id", "correlationid", "partitionkey"])
def test_every_text_of_an_event_counts(of: str) -> None:
    validate(sized(MOST, of))
    assert is_taken(sized(MOST, of), "anonymous")
    for one_more in (sized(MOST + 1, of), sized(MOST // 2, "data", tracestate="é" * (MOST // 4 + 1))):
        with pytest.raises(EventTooLarge, match=str(MOST)):
            check(one_more, reserved=False)
        assert not is_taken(one_more, "anonymous") and is_taken(one_more, PLANE)
    with pytest.raises(EventTooLarge):
        check_size(sized(limits.OWN_EVENT_BYTES_MAX + 1, of), limits.OWN_EVENT_BYTES_MAX)


def test_of_an_event_that_is_out_of_all_proportion_what_is_short_is_kept() -> None:
    event = sized(MOST, "extension", subject="case-1", requires=["a", "b"], data={"n": 1})
    found = kept(to_json(event))
    least = {"specversion": "1.0", "id": "1", "source": "s", "type": "t.u", "subject": "case-1"}
    assert found.cut == ["x"] and json.loads(found.event) == least | {"requires": "a b", "data": {"n": 1}}
    long = kept(to_json(sized(MOST + MOST // 2, "id")))
    assert long.cut == ["id"] and json.loads(long.event)["id"] == '"' * (limits.LETTER_TEXT_BYTES_MAX // 8)
    names = kept(to_json(Event(type="t", source="s", id="1", extensions={"n" * 3 * MOST: 1})))
    assert names.cut == ["n" * 100] and len(names.event) < 100


@pytest.mark.parametrize("levels", [2, 100, 124, 125, 126, 127, 128, 500, 993, 3_000])
def test_a_letter_of_what_is_nested_deep_is_not_too_deep_itself(levels: int) -> None:
    payload = b"[" * (levels - 1) + b'"[[{"' + b"]" * (levels - 1)
    event = make("t", "s", "1", "case-1", None, "saga", None, None, None, JSON, payload)
    letter = letter_of(event)
    assert not is_deeper(to_json(letter), limits.LETTER_DEPTH_MAX + 2)
    original = letter.data["event"]
    assert (original["subject"], original["correlationid"], letter.subject) == ("case-1", "saga", "case-1")
    if levels <= limits.LETTER_DEPTH_MAX:
        assert to_json(event) in letter.payload
    else:
        assert b64decode(original["data_base64"]) == payload and "data" not in original
