"""CloudEvents JSON, structured mode: what people, files and other systems see. Pure; `bus.event` makes events of it.

Reading is strict and names the attribute at fault. The usual line takes a fast path (one typed decode); whatever that
refuses is read again attribute by attribute, to accept unknown extensions and to say exactly what is wrong. A name that
comes twice counts as its last value; `null` counts as left out, as CloudEvents has it.
"""

from base64 import b64decode, b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from bus.attributes import (
    ABSENT,
    BYTES,
    JSON,
    Extension,
    Extras,
    check_extension_name,
    check_extensions,
    check_extras,
    check_text,
    check_type,
    format_deps,
    format_instant,
    instant,
    parse_deps,
    parse_requires,
    wrong_kind,
)
from bus.errors import EventTooLarge, InvalidEvent
from bus.limits import EVENT_BYTES_MAX
from bus.rfc3339 import is_canonical

if TYPE_CHECKING:
    from bus.event import Event

Slots = tuple[str, str, str, str | None, int | None, str | None, str | None, str | None, Extras | None, int, bytes]
"""What `bus.event.make` takes: type, source, id, subject, time, correlation, cause, trace, extras, kind, payload."""

_EXTENSIONS = ("importof", "sequence", "redriveto", "redriveof")


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The attributes with a place of their own, and the extensions that are common enough to be read fast."""

    id: str
    source: str
    type: str
    specversion: str
    subject: str | None = None
    time: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    partitionkey: str | None = None
    tracestate: str | None = None
    deps: str | None = None
    priority: str | None = None
    requires: str | None = None
    expirytime: str | None = None
    importof: Extension | None = None
    sequence: Extension | None = None
    redriveto: Extension | None = None
    redriveof: Extension | None = None


_COMMON_FIELDS = 11
"""Fields of `_Line` up to `traceparent`; a line that has none of the others has no extras, but for its time's text."""
_read_line = msgspec.json.Decoder(_Line).decode
_look_through = msgspec.json.Decoder(msgspec.Raw).decode
_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_value = msgspec.json.Decoder().decode
_write = msgspec.json.Encoder().encode
_NONE_RARE = (None,) * (len(_Line.__struct_fields__) - _COMMON_FIELDS)


def read(data: bytes | str, importof: str = "", bytes_max: int = EVENT_BYTES_MAX) -> Slots:
    """One event's slots from one JSON object. Raises InvalidEvent(attribute, why), or EventTooLarge."""
    if len(data) > bytes_max:
        raise EventTooLarge(f"{len(data)} bytes of JSON, more than {bytes_max}; keep large data elsewhere")
    try:
        line = _read_line(data)
        others: dict[str, Extension] = {}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        line, others = _read_slowly(data)
    if line.specversion != "1.0":
        raise InvalidEvent("specversion", f"must be '1.0', not {line.specversion[:20]!r}")
    check_type(line.type)
    check_text("source", line.source)
    check_text("id", line.id)
    if line.subject is not None:
        check_text("subject", line.subject)
    time, time_text = None, None
    if line.time is not None:
        time = instant("time", line.time)
        if not is_canonical(line.time):
            time_text = line.time
    if line.correlationid is not None:
        check_text("correlationid", line.correlationid)
    if line.causationid is not None:
        check_text("causationid", line.causationid)
    if line.traceparent is not None:
        check_text("traceparent", line.traceparent)
    extras = _extras(line, others, time_text, importof)
    kind, payload = _payload(line)
    names = (line.type, line.source, line.id, line.subject, time)
    return (*names, line.correlationid, line.causationid, line.traceparent, extras, kind, payload)


def write(event: "Event") -> bytes:
    """The event as one line of JSON, without the line's end; its data character by character as it was given."""
    fields: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    if event.subject is not None:
        fields["subject"] = event.subject
    extras = event.extras
    if event.time is not None:
        fields["time"] = format_instant(event.time, extras.time_text if extras is not None else None)
    for name in ("correlationid", "causationid", "traceparent"):
        value = getattr(event, name)
        if value is not None:
            fields[name] = value
    if extras is not None:
        _add_extras(fields, extras)
    if event.kind == JSON:
        fields["data"] = msgspec.Raw(one_line(event.payload))
    elif event.kind == BYTES:
        fields["data_base64"] = b64encode(event.payload).decode()
    try:
        return _write(fields)
    except UnicodeError:
        raise InvalidEvent("event", f"{event.id!r} holds text that is not Unicode") from None


def _add_extras(fields: dict[str, Any], extras: Extras) -> None:
    for name in ("datacontenttype", "dataschema", "partitionkey", "tracestate", "priority"):
        value = getattr(extras, name)
        if value is not None:
            fields[name] = value
    if extras.deps is not None:
        fields["deps"] = format_deps(extras.deps)
    if extras.requires is not None:
        fields["requires"] = " ".join(extras.requires)
    if extras.expirytime is not None:
        fields["expirytime"] = format_instant(extras.expirytime, extras.expiry_text)
    fields.update(extras.extensions)


def check_json(payload: bytes) -> None:
    """Raises InvalidEvent unless these bytes are one JSON text in UTF-8, however deep; nothing of it is kept."""
    try:
        _look_through(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("data", f"is not JSON: {error}") from None


def one_line(payload: bytes) -> bytes:
    """JSON text without line ends. They stand outside its strings only, as mere space; inside them they are escaped."""
    if b"\n" in payload or b"\r" in payload:
        return payload.replace(b"\n", b" ").replace(b"\r", b" ")
    return payload


def _payload(line: _Line) -> tuple[int, bytes]:
    if line.data is not msgspec.UNSET:
        if line.data_base64 is not None:
            raise InvalidEvent("data_base64", "comes beside data; an event has one payload")
        payload = bytes(line.data)
        if not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError as error:
                raise InvalidEvent("data", f"is not UTF-8: {error.reason} at its byte {error.start}") from None
        return JSON, one_line(payload)
    if line.data_base64 is None:
        return ABSENT, b""
    try:
        return BYTES, b64decode(line.data_base64, validate=True)
    except ValueError:
        raise InvalidEvent("data_base64", "is not base64") from None


@lru_cache(maxsize=64)
def _only_importof(importof: str) -> Extras:
    """Shared by all events of an import, which lets a batch recognise it by identity."""
    check_extensions({"importof": importof})
    return Extras(extensions={"importof": importof})


def _extras(line: _Line, others: dict[str, Extension], time_text: str | None, importof: str) -> Extras | None:
    """The rare attributes, checked; None when there are none."""
    if not others and time_text is None and msgspec.structs.astuple(line)[_COMMON_FIELDS:] == _NONE_RARE:
        return _only_importof(importof) if importof else None
    extensions: dict[str, Extension] = {}
    for name in _EXTENSIONS:
        value = getattr(line, name)
        if value is not None:
            extensions[name] = value
    extensions.update(others)
    if importof:
        extensions["importof"] = importof
    expirytime, expiry_text = None, None
    if line.expirytime is not None:
        expirytime = instant("expirytime", line.expirytime)
        expiry_text = None if is_canonical(line.expirytime) else line.expirytime
    extras = Extras(
        partitionkey=line.partitionkey,
        datacontenttype=line.datacontenttype,
        dataschema=line.dataschema,
        tracestate=line.tracestate,
        deps=None if line.deps is None else parse_deps(line.deps),
        priority=line.priority,
        requires=None if line.requires is None else parse_requires(line.requires),
        expirytime=expirytime,
        extensions=extensions,
        time_text=time_text,
        expiry_text=expiry_text,
    )
    check_extras(extras)
    return extras


def _read_slowly(data: bytes | str) -> tuple[_Line, dict[str, Extension]]:
    """The same line, attribute by attribute. Raises InvalidEvent naming the first that is wrong."""
    try:
        raw = _read_fields(data)
    except msgspec.ValidationError:
        raise InvalidEvent("event", "must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidEvent("event", f"is not JSON: {error}") from None
    known: dict[str, Any] = {}
    others: dict[str, Extension] = {}
    for name, piece in raw.items():
        if name == "data":
            known[name] = piece.copy()
            continue
        value = _value(name, piece)
        if value is None:
            continue
        if name in _Line.__struct_fields__ and name not in _EXTENSIONS:
            if not isinstance(value, str):
                wrong_kind(name, value, "a string")
            known[name] = value
        else:
            check_extension_name(name)
            if not isinstance(value, str | int):
                wrong_kind(name, value, "a string, an integer or a boolean")
            others[name] = value
    for name in ("specversion", "id", "source", "type"):
        if name not in known:
            raise InvalidEvent(name, "is missing")
    return _Line(**known), others


def _value(name: str, piece: msgspec.Raw) -> Any:
    try:
        return _read_value(piece)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidEvent(name[:80], f"cannot be read: {error}") from None
