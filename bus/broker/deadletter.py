"""A dead letter: what becomes of an event that a group could not settle. Pure but for its id.

It is an event of the broker's own, in the original's partition, with the original embedded as its CloudEvents object:

    type signalbox.deadletter, source signalbox/<broker>, subject and correlationid the original's, causationid its id
    data {group, reason, error, partition, offset, appended, attempts: [{attempt, at, error, member, took_ms}], event}

An event that is nested deeper than `LETTER_DEPTH_MAX` has its data in there as bytes (`data_base64`); of one that is
out of all proportion, `cut` beside it names what was left out (`bus.letters`).

`reason`: max_deliver, terminated, expired, parked (an earlier one of its key is a dead letter), late (events of a later
time had been given out), gap (what it depends on has not come). Instants are ns.
A group is never given the dead letters of its own making: one that cannot be settled would breed the next, each with
the last one inside.
"""

import msgspec

from bus import batch, limits
from bus.errors import InvalidEvent
from bus.event import Event, format_time
from bus.groupwork import Dead
from bus.ids import new_id
from bus.letters import TYPE as TYPE
from bus.letters import embedded, kept, short
from bus.store import Entry


def dead_letter(broker: str, group: str, dead: Dead, entry: Entry, at: int) -> Event:
    """The letter for one event of a stored record, made at `at` (ns)."""
    header, body = batch.unseal(entry.record)
    event = batch.decode(body).event(dead.offset - header.base_offset)
    error = dead.attempts[-1].error if dead.attempts else ""
    if dead.reason == "expired":
        error = f"expired at {format_time(dead.expires)}"
    elif dead.reason == "parked":
        error = "an earlier event of its key became a dead letter; redrive that one first"
    original = kept(embedded(event))
    return Event(
        type=TYPE,
        source=f"signalbox/{broker}",
        id=new_id(),
        time=at,
        subject=short(event.subject),
        correlationid=short(event.correlationid),
        causationid=short(event.id),
        data={
            "group": group,
            "reason": dead.reason,
            "error": error[: limits.GROUP_ERROR_CHARS_MAX],
            "partition": header.partition,
            "offset": dead.offset,
            "appended": header.appended,
            "attempts": [
                {
                    "attempt": one.attempt,
                    "at": one.at,
                    "error": one.error,
                    "member": one.member,
                    "took_ms": one.took_ms,
                }
                for one in dead.attempts
            ],
            "event": msgspec.Raw(original.event),
        }
        | ({"cut": original.cut} if original.cut else {}),
    )


def made_by(event: Event) -> str:
    """The group that a dead letter is of; "" when its data does not say."""
    try:
        data = event.data
    except InvalidEvent:
        return ""
    group = data.get("group") if isinstance(data, dict) else None
    return group if isinstance(group, str) else ""
