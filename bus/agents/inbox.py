"""An agent's inbox: what it is called, and what the plane dispatches to it. Pure.

Mail to an agent is an event of type `agent.inbox.<name>`, from anyone. Its group `inbox.<name>` is made when the first
comes: by the agent, or by the plane if the agent is away. All who make or join it must agree on its settings, which
stand here.

What the plane has chosen an agent for comes in the same way, from `signalbox/plane`, which nobody else can say, with
the extension `dispatched` and as data `{"task", "attempt", "event", "decision"}`. The agent handles `event`, the
original, and says what became of it: `dispatch.settled`, once for each task and attempt, whose id makes a repetition a
duplicate at the broker.
"""

from typing import Any, NamedTuple

import msgspec

from bus.agents.limits import SHARED_ACK_WAIT_MS, SHARED_DELIVER_ATTEMPTS
from bus.errors import InvalidEvent
from bus.event import JSON, Event, from_json

PREFIX = "agent.inbox."
EVERY = "agent.inbox.>"
DISPATCHER = "signalbox/plane"
SETTLED = "dispatch.settled"
ACK_WAIT_S = SHARED_ACK_WAIT_MS / 1000
DELIVER_ATTEMPTS = SHARED_DELIVER_ATTEMPTS


class Order(NamedTuple):
    """What the plane dispatched: `event` is to be handled, as attempt `attempt` of `task`; `decision`: why here.

    `settle_by`: until when, ns, the plane listens to what becomes of mail by name; None: as long as it takes.
    """

    task: str
    attempt: int
    event: Event
    decision: Any
    settle_by: int | None = None


class _Told(msgspec.Struct):
    task: str
    attempt: int
    event: msgspec.Raw
    decision: Any = None
    settle_by: int | None = None


_read = msgspec.json.Decoder(_Told).decode


def group_of(name: str) -> str:
    """The group of an agent's inbox."""
    return f"inbox.{name}"


def pattern_of(name: str) -> str:
    """The type of mail to an agent."""
    return PREFIX + name


def order_of(event: Event) -> Order | None:
    """What an event of an inbox dispatches; None: it is a direct message. Raises InvalidEvent."""
    extras = event.extras
    if event.source != DISPATCHER or extras is None or not extras.extensions.get("dispatched"):
        return None
    if event.kind != JSON:
        raise InvalidEvent("data", "a dispatched event has JSON data")
    try:
        told = _read(event.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("data", f"is nothing that was dispatched: {error}") from None
    return Order(told.task, told.attempt, from_json(bytes(told.event)), told.decision, told.settle_by)


def settled(source: str, order: Order, outcome: str, took_ms: int, error: str = "") -> Event:
    """What an agent says of a dispatched event: `outcome` handled, failed or refused."""
    agent = source.partition("/")[2]
    said = {"task": order.task, "agent": agent, "attempt": order.attempt, "outcome": outcome, "took_ms": took_ms}
    return Event(
        type=SETTLED,
        source=source,
        id=f"settled:{order.task}:{order.attempt}",
        partitionkey=order.task,
        causationid=order.event.id,
        traceparent=order.event.traceparent,
        tracestate=order.event.tracestate,
        data=said | {"error": error},
    )
