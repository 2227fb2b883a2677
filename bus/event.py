"""The event: a CloudEvents 1.0 event, its rules, and its JSON form.

| attribute | meaning |
|---|---|
| `id`, `source`, `type` | which, who says it, what happened (a topic: `task.plan.completed`) |
| `subject` | what it is about: the saga, case, order or conversation |
| `time` | the publisher's word: RFC 3339 outside, integer nanoseconds inside |
| `data` | the payload: any JSON value, or bytes; `datacontenttype`, `dataschema` describe it |
| `partitionkey` | ordering key; default `subject`, else `source` |
| `correlationid`, `causationid` | the saga it belongs to; the event that made it happen |
| `traceparent`, `tracestate` | W3C trace context |
| `deps` | partition -> greatest offset its publisher had read or written |
| `priority`, `requires`, `expirytime` | high, medium or low; capabilities of its handler; after it it is void |
| `extensions` | any others: strings, 32-bit integers, booleans |

An event is a value. Its payload is kept as it was written, encoded, and decoded when asked for: numbers survive
exactly, and whoever only passes an event on never pays for its data. Pure.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bus import cloudevents
from bus.attributes import (
    ABSENT,
    BYTES,
    JSON,
    NO_EXTRAS,
    Extension,
    Extras,
    check_asked,
    check_extras,
    check_instant,
    check_text,
    check_type,
)
from bus.errors import AccessDenied, EventTooLarge, InvalidEvent
from bus.limits import EVENT_BYTES_MAX, EXTENSIONS_MAX
from bus.redriven import is_redriven
from bus.rfc3339 import format_time, parse_time
from bus.uuid7 import uuid7

__all__ = [
    "ABSENT",
    "BYTES",
    "JSON",
    "Event",
    "Extras",
    "check_size",
    "faults",
    "format_time",
    "from_json",
    "from_object",
    "is_internal",
    "is_reserved",
    "make",
    "parse_time",
    "reserved",
    "to_json",
    "to_object",
    "uuid7",
    "validate",
]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_EXTRAS = frozenset(Extras.__struct_fields__)


class Event:
    """One event. `payload` is the encoded data of kind `kind`; `data` decodes it; rare attributes stand in `extras`.

    `data=None` means no data; bytes mean binary data; a `msgspec.Raw` is JSON text already; anything else has to be
    JSON, and is encoded here and now (InvalidEvent when it cannot be). `id` and `source` may be left out: the client
    fills them in.
    """

    __slots__ = (
        "causationid",
        "correlationid",
        "extras",
        "id",
        "kind",
        "payload",
        "source",
        "subject",
        "time",
        "traceparent",
        "type",
    )

    type: str
    source: str
    id: str
    subject: str | None
    time: int | None
    correlationid: str | None
    causationid: str | None
    traceparent: str | None
    extras: Extras | None
    kind: int
    payload: bytes
    # These are read from `extras`, by `__getattr__`.
    partitionkey: str | None
    datacontenttype: str | None
    dataschema: str | None
    tracestate: str | None
    deps: dict[int, int] | None
    priority: str | None
    requires: list[str] | None
    expirytime: int | None
    extensions: dict[str, Extension]
    time_text: str | None

    def __init__(
        self,
        *,
        type: str,
        source: str = "",
        id: str = "",
        subject: str | None = None,
        time: int | None = None,
        data: Any = None,
        datacontenttype: str | None = None,
        dataschema: str | None = None,
        partitionkey: str | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
        deps: dict[int, int] | None = None,
        priority: str | None = None,
        requires: list[str] | None = None,
        expirytime: int | None = None,
        extensions: dict[str, Extension] | None = None,
        time_text: str | None = None,
    ) -> None:
        self.type, self.source, self.id, self.subject, self.time = type, source, id, subject, time
        self.correlationid, self.causationid, self.traceparent = correlationid, causationid, traceparent
        self.kind, self.payload = encode_data(data)
        extras = Extras(
            partitionkey=partitionkey,
            datacontenttype=datacontenttype,
            dataschema=dataschema,
            tracestate=tracestate,
            deps=deps,
            priority=priority,
            requires=requires,
            expirytime=expirytime,
            extensions=dict(extensions) if extensions else {},
            time_text=time_text,
        )
        self.extras = None if extras == NO_EXTRAS else extras

    @property
    def data(self) -> Any:
        """The payload as a Python value, decoded at each call; None without data."""
        if self.kind == ABSENT:
            return None
        if self.kind == BYTES:
            return self.payload
        return decode_data(self.payload)

    @property
    def key(self) -> str:
        """What orders it: events of one key share a partition."""
        extras = self.extras
        return (extras is not None and extras.partitionkey) or self.subject or self.source

    @property
    def saga(self) -> str:
        """The saga it belongs to, or ""."""
        return self.correlationid or self.subject or ""

    if not TYPE_CHECKING:  # so that a mistyped name is still found before it runs

        def __getattr__(self, name: str) -> Any:
            # Reached for the rare attributes only: the others are slots.
            if name in _EXTRAS:
                return getattr(self.extras or NO_EXTRAS, name)
            raise AttributeError(f"an event has no attribute {name!r}; other attributes stand in its `extensions`")

    def replace(self, **changes: Any) -> "Event":
        """A copy with some attributes changed; takes what the constructor takes."""
        copy: Event = object.__new__(Event)
        extras: dict[str, Any] = {}
        for name in Event.__slots__:
            setattr(copy, name, getattr(self, name))
        if "data" in changes:
            copy.kind, copy.payload = encode_data(changes.pop("data"))
        for name, value in changes.items():
            if name in _EXTRAS:
                extras[name] = value
            elif name in Event.__slots__:
                setattr(copy, name, value)
            else:
                raise TypeError(f"an event has no attribute {name!r}")
        if extras:
            if "expirytime" in extras:
                extras.setdefault("expiry_text", None)
            copy.extras = msgspec.structs.replace(self.extras or NO_EXTRAS, **extras)
        if "time" in changes and "time_text" not in changes and copy.extras is not None:
            copy.extras = msgspec.structs.replace(copy.extras, time_text=None)
        if copy.extras == NO_EXTRAS:
            copy.extras = None
        return copy

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        same = all(getattr(self, name) == getattr(other, name) for name in Event.__slots__ if name != "payload")
        return same and (self.payload == other.payload or (self.kind == JSON and bool(self.data == other.data)))

    def __hash__(self) -> int:
        return hash((self.source, self.id))

    def __repr__(self) -> str:
        shown = ("type", "source", "id", "subject")
        return f"Event({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)}, {len(self.payload)} B)"


def encode_data(data: Any) -> tuple[int, bytes]:
    """(kind, payload) of a Python value. Raises InvalidEvent for what JSON cannot say."""
    if data is None:
        return ABSENT, b""
    if isinstance(data, bytes):
        return BYTES, data
    if isinstance(data, bytearray | memoryview):
        return BYTES, bytes(data)
    if isinstance(data, msgspec.Raw):
        payload = cloudevents.one_line(bytes(data))
        cloudevents.check_json(payload)
        return JSON, payload
    try:
        return JSON, _encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("data", f"cannot be written as JSON: {error}") from None


def decode_data(payload: bytes) -> Any:
    """The Python value of a JSON payload. Raises InvalidEvent when it is nested deeper than Python can follow."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if "out of range" in str(error):
            # A legal JSON number beyond a double: Python's own reader gives an infinity.
            from json import loads

            return loads(payload)
        raise InvalidEvent("data", f"cannot be read as JSON: {error}") from None


def make(
    type: str,
    source: str,
    id: str,
    subject: str | None,
    time: int | None,
    correlationid: str | None,
    causationid: str | None,
    traceparent: str | None,
    extras: Extras | None,
    kind: int,
    payload: bytes,
) -> Event:
    """An event from its slots, as codecs have them; nothing is checked or encoded."""
    event: Event = object.__new__(Event)
    event.type, event.source, event.id, event.subject, event.time = type, source, id, subject, time
    event.correlationid, event.causationid, event.traceparent = correlationid, causationid, traceparent
    event.extras, event.kind, event.payload = extras, kind, payload
    return event


def validate(event: Event, bytes_max: int = EVENT_BYTES_MAX) -> None:
    """Raises InvalidEvent naming every attribute that breaks the rules, EventTooLarge over `bytes_max`.

    `id` and `source` have to be there: this is for events about to be sent.
    """
    try:
        _check(event)
    except InvalidEvent as first:
        # What is right is looked at once; only what is not is looked at again, for everything that is wrong with it.
        raise InvalidEvent(first.attribute, first.why, faults(event) or first.errors) from None
    check_size(event, bytes_max)


def faults(event: Event) -> list[tuple[str, str]]:
    """(attribute, why) of everything that breaks the rules, but for its size."""
    found: list[tuple[str, str]] = []

    def look(check: Callable[..., None], *what: object) -> None:
        try:
            check(*what)
        except InvalidEvent as error:
            found.extend(error.errors)

    look(check_type, event.type)
    for name in ("source", "id", "subject", "correlationid", "causationid", "traceparent"):
        value = getattr(event, name)
        if value is not None or name in ("source", "id"):
            look(check_text, name, value)
    if event.time is not None:
        look(check_instant, "time", event.time)
    for name in Extras.__struct_fields__ if event.extras is not None else ():
        value = getattr(event.extras, name)
        if name != "extensions":
            if value is not None:
                look(check_extras, Extras(**{name: value}))
        elif isinstance(value, dict) and len(value) <= EXTENSIONS_MAX:
            for extension, said in value.items():
                look(check_extras, Extras(extensions={extension: said}))
        else:
            look(check_extras, Extras(extensions=value))
    look(check_asked, event.extensions)
    return found


def _check(event: Event) -> None:
    """Raises InvalidEvent for the first attribute that breaks the rules."""
    check_type(event.type)
    check_text("source", event.source)
    check_text("id", event.id)
    if event.subject is not None:
        check_text("subject", event.subject)
    if event.time is not None:
        check_instant("time", event.time)
    for name in ("correlationid", "causationid", "traceparent"):
        value = getattr(event, name)
        if value is not None:
            check_text(name, value)
    if event.extras is not None:
        check_extras(event.extras)
        check_asked(event.extras.extensions)


def check_size(event: Event, bytes_max: int = EVENT_BYTES_MAX) -> None:
    """Raises EventTooLarge. Payload, texts and names of extensions are counted; what JSON has beside them is not."""
    texts: list[Any] = [event.id, event.type, event.source, event.subject, event.traceparent]
    texts += [event.correlationid, event.causationid]
    if event.extras is not None:
        extras, more = event.extras, event.extras.extensions
        texts += [extras.partitionkey, extras.datacontenttype, extras.dataschema, extras.tracestate]
        texts += [*(extras.requires or ()), *more, *(value for value in more.values() if isinstance(value, str))]
    size = len(event.payload) + sum(len(text) if text.isascii() else len(text.encode()) for text in texts if text)
    if size > bytes_max:
        raise EventTooLarge(f"event {event.id[:80]} has {size} bytes, more than {bytes_max}; keep large data elsewhere")


def is_internal(type: str, extensions: dict[str, Extension]) -> bool:
    """Whether an event is left out of exports unless asked for: lifecycle, the plane's own, redriven copies."""
    return type.startswith(("agent.lifecycle.", "signalbox.")) or is_redriven(extensions)


def is_reserved(type: str, source: str) -> bool:
    """Whether only the plane and the brokers may say this."""
    return type.startswith("signalbox.") or source.startswith("signalbox/")


def reserved(type: str, source: str) -> AccessDenied:
    """The error for who says it nevertheless, told by a client before a broker would."""
    return AccessDenied(
        f"type {type[:80]!r} from {source[:80]!r} is the control plane's own; "
        "use a type outside signalbox. and a source outside signalbox/"
    )


def from_json(data: bytes | str, importof: str = "") -> Event:
    """One event from one CloudEvents JSON object. Raises InvalidEvent(attribute, why), or EventTooLarge.

    `importof`, when given, is set as the extension of that name: it marks the log that the event was imported from.
    """
    return make(*cloudevents.read(data, importof))


def from_object(value: dict[str, Any]) -> Event:
    """One event from the Python form of its JSON object. Raises InvalidEvent."""
    try:
        data = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("event", f"cannot be written as JSON: {error}") from None
    return from_json(data)


def to_json(event: Event) -> bytes:
    """The event as one line of CloudEvents JSON, without the line's end; its data exactly as it was given."""
    return cloudevents.write(event)


def to_object(event: Event) -> dict[str, Any]:
    """The Python form of the event's JSON object."""
    fields = cast(dict[str, Any], _decode(to_json(event.replace(data=None))))
    if event.kind == JSON:
        fields["data"] = event.data
    elif event.kind == BYTES:
        fields["data_base64"] = b64encode(event.payload).decode()
    return fields
