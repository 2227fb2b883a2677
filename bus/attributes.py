"""The rules of an event's attributes, each check naming the attribute it is about. Pure.

They are CloudEvents 1.0's, and those of the table in `bus.event`. Text of the attributes that place, name and route an
event holds no control characters; values of other extensions may (CloudEvents' own examples do).
"""

import re
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from bus.errors import InvalidEvent
from bus.limits import EXTENSIONS_MAX, PARTITIONS_MAX
from bus.rfc3339 import NANOSECONDS_MAX, NANOSECONDS_MIN, format_time, parse_time
from bus.topic import is_type

ABSENT, JSON, BYTES = 0, 1, 2
"""Kinds of payload: none, JSON text, any bytes."""
Extension = str | int | bool
PRIORITIES = ("high", "medium", "low")
NO_CAPABLE = ("wait", "dead-letter", "escalate")
"""What may become of work that nobody can do: the values of the extension `nocapable`."""
NAMES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "data", "data_base64", "datacontenttype", "dataschema"}
    | {"partitionkey", "correlationid", "causationid", "traceparent", "tracestate"}
    | {"deps", "priority", "requires", "expirytime"}
)
"""Every attribute with a place of its own; anything else is an extension."""
INTEGER_MIN, INTEGER_MAX = -(1 << 31), (1 << 31) - 1
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s")
_DEPS = re.compile(r"(?:0|[1-9]\d*)=(?:0|[1-9]\d*)(?:,(?:0|[1-9]\d*)=(?:0|[1-9]\d*))*", re.ASCII)


class Extras(msgspec.Struct, frozen=True, omit_defaults=True):
    """The attributes that few events have, kept together so that an event without them carries one None.

    `time_text` and `expiry_text` are the publisher's words where they are not the canonical ones of the instant.
    """

    partitionkey: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    tracestate: str | None = None
    deps: dict[int, int] | None = None
    priority: str | None = None
    requires: list[str] | None = None
    expirytime: int | None = None
    extensions: dict[str, Extension] = {}
    time_text: str | None = None
    expiry_text: str | None = None


NO_EXTRAS = Extras()


def check_text(name: str, value: object) -> None:
    """A text that is there: not empty, no control characters, encodable."""
    if not isinstance(value, str):
        raise InvalidEvent(name, f"must be a string, not {_kind(value)}")
    if not value:
        raise InvalidEvent(name, "must not be empty")
    if not is_legible(value):
        raise InvalidEvent(name, "must not contain control characters")


def is_legible(value: str) -> bool:
    """Whether it holds no control characters, and can be encoded."""
    return value.isprintable() or not _CONTROL.search(value)


def legible(text: str, chars_max: int) -> str:
    """A text that is told beside the matter, such as an error's, so that UTF-8 can carry it; more is cut off."""
    return text[:chars_max].encode("utf-8", "backslashreplace").decode()[:chars_max]


def text_of(error: BaseException) -> str:
    """What an exception says; one may fail over that itself, and what it was about is to be told all the same."""
    try:
        return str(error)
    except Exception as failure:
        return f"(its text cannot be made: {type(failure).__name__})"


def check_texts(name: str, column: Sequence[str | None]) -> None:
    """`check_text` of every text of a column that is there, at the price of one look at all of them together."""
    texts = "".join(filter(None, column))
    if "" not in column and texts.isprintable():
        return
    for value in column:
        if value is not None:
            check_text(name, value)


def check_type(value: object) -> None:
    """A publishable topic."""
    check_text("type", value)
    if not is_type(str(value)):
        raise InvalidEvent("type", f"{value!r} has an empty or a wildcard token; tokens are what stands between dots")


def check_instant(name: str, value: object) -> None:
    """Nanoseconds since 1970 in 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidEvent(name, f"must be integer nanoseconds since 1970, not {_kind(value)}")
    if not NANOSECONDS_MIN <= value <= NANOSECONDS_MAX:
        raise InvalidEvent(name, "is outside 64 bits of nanoseconds")


def instant(name: str, text: str) -> int:
    """An RFC 3339 text as nanoseconds."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise InvalidEvent(name, f"{text[:80]!r}: {error}") from None


def check_extras(extras: Extras) -> None:
    """All of them."""
    for name in ("partitionkey", "datacontenttype", "dataschema", "tracestate"):
        value = getattr(extras, name)
        if value is not None:
            check_text(name, value)
    if extras.priority is not None and extras.priority not in PRIORITIES:
        raise InvalidEvent("priority", f"must be one of {', '.join(PRIORITIES)}")
    if extras.deps is not None:
        _check_deps(extras.deps)
    if extras.requires is not None:
        if not isinstance(extras.requires, list) or not extras.requires:
            raise InvalidEvent("requires", "must be a list of capabilities")
        for capability in extras.requires:
            check_text("requires", capability)
            if _SPACE.search(capability):
                raise InvalidEvent("requires", f"capability {capability!r} must not contain a space")
    if extras.expirytime is not None:
        check_instant("expirytime", extras.expirytime)
    if extras.extensions:
        check_extensions(extras.extensions)


def check_extensions(extensions: object) -> None:
    """Names of a-z and 0-9 that mean nothing else, values that are a string, a 32-bit integer or a boolean."""
    if not isinstance(extensions, dict):
        raise InvalidEvent("extensions", f"must be a dict, not {_kind(extensions)}")
    if len(extensions) > EXTENSIONS_MAX:
        raise InvalidEvent("extensions", f"are {len(extensions)}, more than {EXTENSIONS_MAX}")
    for name, value in extensions.items():
        check_extension_name(name)
        if isinstance(value, str):
            if not value.isascii() and _CONTROL.search(value) and not _encodable(value):
                raise InvalidEvent(name, "is not Unicode text")
        elif not isinstance(value, int):
            raise InvalidEvent(name, f"must be a string, an integer or a boolean, not {_kind(value)}")
        elif not INTEGER_MIN <= value <= INTEGER_MAX:
            raise InvalidEvent(name, "is beyond the 32 bits of a CloudEvents integer; write it as a string")


def check_asked(extensions: object) -> None:
    """What a publisher asks of dispatch by extensions. It is a rule for what is published: what is read, imported or
    redriven was published under the rules of its time."""
    if not isinstance(extensions, dict) or extensions.keys() & {"importof", "redriveto"}:
        return
    policy = extensions.get("nocapable", NO_CAPABLE[0])
    if isinstance(policy, str | int) and policy not in NO_CAPABLE:
        raise InvalidEvent("nocapable", f"is {str(policy)[:80]!r}; it must be one of {', '.join(NO_CAPABLE)}")


def check_extension_name(name: object) -> None:
    """Raises InvalidEvent naming it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidEvent(str(name)[:80], "an extension's name consists of a-z and 0-9")
    if name in NAMES:
        raise InvalidEvent(name, "is an attribute of its own, not an extension")


def parse_deps(text: str) -> dict[int, int]:
    """`partition=offset` pairs, comma separated."""
    if not _DEPS.fullmatch(text):
        raise InvalidEvent("deps", f"{text[:80]!r} is not a list such as 0=17,3=4")
    pairs = [pair.split("=") for pair in text.split(",")]
    found = {int(partition): int(offset) for partition, offset in pairs if len(partition) < 20 and len(offset) < 20}
    if len(found) != len(pairs):
        raise InvalidEvent("deps", "names a partition twice, or a number is too large")
    _check_deps(found)
    return found


def format_deps(deps: dict[int, int]) -> str:
    """The inverse of `parse_deps`."""
    return ",".join(f"{partition}={offset}" for partition, offset in deps.items())


def parse_requires(text: str) -> list[str]:
    """Capabilities, space separated."""
    capabilities = text.split(" ")
    if "" in capabilities:
        raise InvalidEvent("requires", "capabilities are separated by one space")
    return capabilities


def format_instant(nanoseconds: int, text: str | None) -> str:
    """The publisher's own text where there is one, else the canonical one."""
    return format_time(nanoseconds) if text is None else text


def _check_deps(deps: object) -> None:
    if not isinstance(deps, dict) or not deps:
        raise InvalidEvent("deps", "must be a dict of partition to offset")
    if len(deps) > PARTITIONS_MAX:
        raise InvalidEvent("deps", f"name {len(deps)} partitions; there are at most {PARTITIONS_MAX}")
    for number in (*deps.keys(), *deps.values()):
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= NANOSECONDS_MAX:
            raise InvalidEvent("deps", "partitions and offsets are integers from 0 up")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_KINDS = {dict: "an object", list: "an array", float: "a number", int: "a number", bool: "a boolean", str: "a string"}


def _kind(value: object) -> str:
    return "null" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def wrong_kind(name: str, value: object, wanted: str) -> NoReturn:
    """Refuse a value for its kind."""
    raise InvalidEvent(name, f"must be {wanted}, not {_kind(value)}")
