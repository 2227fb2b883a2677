"""Typed payloads: the annotation of a handler's third parameter, and an event's data checked against it. Pure.

    @agent.on("task.plan.requested")
    async def plan(event, context, request: PlanRequest): ...

A third parameter, rather than a generic event, as the event stays the value that was published, with every attribute
and its data as it was written, while the payload is decoded once and has a plain type that a type checker follows. A
handler with two parameters pays nothing. The type is anything that msgspec reads: a Struct, a dataclass, `list[int]`.
"""

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from bus.errors import ClientError, InvalidEvent
from bus.event import ABSENT, BYTES, Event
from bus.words import many

_AT = re.compile(r"(.*) - at `(key` in `)?\$(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


class Payload:
    """A type that payloads are read as. Raises ClientError for one that msgspec cannot read."""

    def __init__(self, kind: Any, where: str = "the payload") -> None:
        self._kind = kind
        try:
            self._decode = msgspec.json.Decoder(kind).decode
        except (TypeError, msgspec.MsgspecError) as error:
            raise ClientError(f"{where}: {kind!r} is no type of payload: {error}") from None

    def read(self, event: Event) -> Any:
        """The event's data as that type. Raises InvalidEvent, whose `attribute` is the field: `data.steps[0].name`."""
        if event.kind == BYTES:
            if self._kind in (bytes, Any):
                return event.payload
            raise InvalidEvent("data", f"is binary, and {_name(self._kind)} is wanted")
        try:
            return self._decode(b"null" if event.kind == ABSENT else event.payload)
        except msgspec.ValidationError as error:
            if event.kind == ABSENT:
                raise InvalidEvent("data", f"is missing, and {_name(self._kind)} is wanted") from None
            raise _located(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidEvent("data", f"cannot be read as JSON: {error}") from None


def payload_of(function: Callable[..., Any]) -> Payload | None:
    """What a handler wants its payload as; None if it takes (event, context) alone. Raises ClientError."""
    name = getattr(function, "__qualname__", repr(function))
    if not callable(function):
        raise ClientError(f"{function!r} cannot be called: a handler is `async def {name}(event, context)`")
    if not inspect.iscoroutinefunction(function):
        raise ClientError(f"{name} is not `async def`: a handler is; it gives long work to `asyncio.to_thread`")
    places = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    needed = sum(one.default is one.empty for one in places)
    if len(places) < 2 or needed > 3:
        raise ClientError(
            f"{name} takes {many(len(places), 'parameter')}: (event, context), or a third one for the payload"
        )
    if len(places) == 2:
        return None
    kind = places[2].annotation
    if isinstance(kind, str):
        try:
            kind = typing.get_type_hints(function, include_extras=True)[places[2].name]
        except NameError as error:
            raise ClientError(f"{name}: {places[2].name}: {kind}: {error}; define it at the module's level") from None
    return Payload(Any if kind is inspect.Parameter.empty else kind, f"{name}: {places[2].name}")


def _located(text: str) -> InvalidEvent:
    """msgspec says "Expected `int`, got `str` - at `$.steps[0]`"."""
    found = _AT.fullmatch(text)
    why, path = (found[1], found[3]) if found is not None else (text, "")
    for what, told in ((_MISSING, "is missing"), (_UNKNOWN, "is unknown")):
        if (named := what.fullmatch(why)) is not None:
            return InvalidEvent(f"data{path}.{named[1]}", told)
    of_key = "of a key: " if found is not None and found[2] else ""
    return InvalidEvent(f"data{path}", of_key + why[:1].lower() + why[1:])


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
