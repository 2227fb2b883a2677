"""What a publisher carries on of the event it is working on: saga, cause and trace.

Whoever works on an event says so (`handling`), and what is published meanwhile in this task, and in tasks it begins, is
said to follow from it. A call that is being answered gives its trace alone. What an event says itself stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from bus.client.calling import TRACE
from bus.event import Event


class Handled(NamedTuple):
    """What follows from an event gets these where it has none."""

    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


HANDLED: ContextVar[Handled | None] = ContextVar("signalbox_handled", default=None)
"""Of the event that is being handled in this task."""


@contextmanager
def handling(event: Event) -> Iterator[None]:
    """While it lasts, this task works on `event`: what it publishes belongs to the event's saga, has it as its cause
    and carries on its trace, and so do calls."""
    saga, trace = event.saga or None, event.traceparent
    handled = HANDLED.set(Handled(saga, event.id or None, trace, event.tracestate))
    traced = TRACE.set((trace, event.tracestate or "") if trace else None)
    try:
        yield
    finally:
        TRACE.reset(traced)
        HANDLED.reset(handled)


def at_hand() -> Handled | None:
    """What is to be carried on in this task; None: nothing."""
    handled = HANDLED.get()
    if handled is None and (trace := TRACE.get()) is not None:
        return Handled(traceparent=trace[0], tracestate=trace[1] or None)
    return handled


def following(event: Event, handled: Handled) -> Event:
    """The event with what it lacks of `handled`; what is no event is left to whoever checks."""
    if type(event) is not Event:
        return event
    changes: dict[str, str] = {}
    if handled.correlationid and event.correlationid is None:
        changes["correlationid"] = handled.correlationid
    if handled.causationid and event.causationid is None:
        changes["causationid"] = handled.causationid
    if handled.traceparent and event.traceparent is None:
        changes["traceparent"] = handled.traceparent
        if handled.tracestate and event.tracestate is None:
            changes["tracestate"] = handled.tracestate
    return event.replace(**changes) if changes else event
