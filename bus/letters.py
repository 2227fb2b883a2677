"""What a dead letter has of the event that it is of, so that it can always be published. Pure.

Brokers and the control plane make their letters alike: the event is in them whole, as CloudEvents JSON, so that it can
be published again from the letter alone, whatever retention did to the log. So a letter may be larger than any event
that others publish (`OWN_EVENT_BYTES_MAX`). An event in JSON is larger than its columns, as bytes become base64 and
some characters six: where it comes to more than `LETTER_EVENT_BYTES_MAX`, what is long of it, its data mostly, is left
out, and the letter says so (`cut`). Then its event is where the letter says, at `partition` and `offset`: in the log,
and in the journal.
"""

from base64 import b64encode
from typing import Any, NamedTuple

import msgspec

from bus.depth import is_deeper
from bus.errors import InvalidEvent
from bus.event import JSON, Event, decode_data, to_json
from bus.limits import LETTER_DEPTH_MAX, LETTER_EVENT_BYTES_MAX, LETTER_TEXT_BYTES_MAX

TYPE = "signalbox.deadletter"
"""Of every dead letter, whoever says it."""
_NEEDED = ("id", "source", "type")
_DATA = ("data", "data_base64")
_NAME_CHARS_MAX = 100
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


class Kept(NamedTuple):
    """An event as CloudEvents JSON, and which of its attributes are not in it, or not whole; `data` for any payload."""

    event: bytes
    cut: list[str]


def embedded(event: Event) -> bytes:
    """An event as CloudEvents JSON, its numbers to the digit; what JSON cannot say, or what is nested too deep to be
    read wherever the letter is (`LETTER_DEPTH_MAX`), is in it as bytes."""
    for form in (event, event.replace(data=event.payload)):
        try:
            if form.kind == JSON:
                decode_data(form.payload)
            text = to_json(form)
        except (InvalidEvent, ValueError, OverflowError):
            continue
        if not is_deeper(text, LETTER_DEPTH_MAX):
            return text
    # Whoever published it made its batch by hand; the letter still has to tell which event it was.
    least = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    return msgspec.json.encode(least | {"data_base64": b64encode(event.payload).decode()})


def kept(event: bytes) -> Kept:
    """As much of an event, CloudEvents JSON, as goes into its dead letter: all of it, but for what has no end."""
    if len(event) <= LETTER_EVENT_BYTES_MAX:
        return Kept(event, [])
    left: dict[str, Any] = {}
    cut: list[str] = []
    for name, value in _fields(event).items():
        if len(name) <= _NAME_CHARS_MAX and len(bytes(value)) <= LETTER_TEXT_BYTES_MAX:
            left[name] = value
        else:
            cut.append("data" if name in _DATA else name[:_NAME_CHARS_MAX])
            if name in _NEEDED:
                left[name] = _text(value)[: LETTER_TEXT_BYTES_MAX // 8]
    return Kept(msgspec.json.encode(left), cut)


def short(text: str | None) -> str | None:
    """An attribute that a letter has in common with its event, unless it is too long to be said twice."""
    if not text or len(text) > LETTER_TEXT_BYTES_MAX or len(text.encode()) > LETTER_TEXT_BYTES_MAX:
        return None
    return text
