"""What agents say: events made from few words, and what they carry on from the event that made them be said. Pure.

| saying | type |
|---|---|
| learned | `agent.knowledge.learned` |
| ask_help | `agent.help.requested`, with the capability in `requires` |
| finished | `agent.task.completed` |
| went_wrong | `agent.error.raised` |
| status | `agent.status.updated` |

Whatever is said while an event is handled belongs to that event's saga (`correlationid`), names it as its cause, goes
on in its trace, and is about the same subject, unless it says otherwise.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bus.attributes import text_of
from bus.errors import ClientError, InvalidEvent
from bus.event import Event

LEARNED = "agent.knowledge.learned"
HELP = "agent.help.requested"
FINISHED = "agent.task.completed"
WRONG = "agent.error.raised"
STATUS = "agent.status.updated"

JOINED, READY, HEARTBEAT, LEFT = (f"agent.lifecycle.{word}" for word in ("joined", "ready", "heartbeat", "left"))

COORDINATION = "system.coordination.>"
CHANGED = "signalbox.agents.changed"


def source_of(name: str) -> str:
    """The source of an agent's events."""
    return f"agent/{name}"


def event_of(source: str, what: str | Event, data: Any, attributes: Mapping[str, Any]) -> Event:
    """The event that is meant by a type and its data, or by an event. Raises InvalidEvent, ClientError."""
    if isinstance(what, Event):
        if data is not None or attributes:
            raise ClientError("publish: an event says everything itself; change it with `event.replace(...)`")
        return what if what.source else what.replace(source=source)
    if not isinstance(what, str):
        raise InvalidEvent("type", f"is a text such as task.plan.completed, or an Event, not {type(what).__name__}")
    try:
        return Event(type=what, **{"source": source, "data": data, **attributes})
    except TypeError:
        unknown = sorted(set(attributes) - set(Event.__init__.__kwdefaults__ or ()))
        raise InvalidEvent(
            unknown[0] if unknown else "event", "is no attribute of an event; see `extensions`"
        ) from None


def carried(event: Event, cause: Event) -> Event:
    """The event with what it lacks of its cause's saga, cause, trace and subject."""
    missing = {
        "subject": cause.subject,
        "correlationid": cause.saga or cause.id,
        "causationid": cause.id,
        "traceparent": cause.traceparent,
    }
    changes = {name: value for name, value in missing.items() if value is not None and getattr(event, name) is None}
    if "traceparent" in changes and cause.tracestate is not None:
        changes["tracestate"] = cause.tracestate
    return event.replace(**changes) if changes else event


def wrong(what: Any) -> Any:
    """The data of `went_wrong`: an exception is told by its kind and text."""
    return {"kind": type(what).__name__, "error": text_of(what)} if isinstance(what, BaseException) else what


def names(what: str, given: Iterable[str], most: int) -> list[str]:
    """Texts without doubles, as they were given. Raises ClientError."""
    if isinstance(given, str):
        raise ClientError(f"{what}={given!r}: it is a list of texts, such as [{given!r}]")
    found = list(dict.fromkeys(given))
    if len(found) > most:
        raise ClientError(f"{what}: {len(found)} of them; {most} are allowed")
    return found
