"""A dead letter: what becomes of an event that a group could not settle. Pure but for its id.

It is an event of the broker's own, in the original's partition, with the original embedded as its CloudEvents object:

    type signalbox.deadletter, source signalbox/<broker>, subject and correlationid the original's, causationid its id
    data {group, reason, error, partition, offset, appended, attempts: [{attempt, at, error, member, took_ms}], event}

`reason`: max_deliver, terminated, expired, parked (an earlier one of its key is a dead letter), late (events of a later
time had been given out), gap (what it depends on has not come). Instants are ns.
A group is never given the dead letters of its own making: one that cannot be settled would breed the next, each with
the last one inside.
"""

from base64 import b64encode

import msgspec

from bus import batch, limits
from bus.errors import InvalidEvent
from bus.event import JSON, Event, decode_data, format_time, to_json
from bus.groupwork import Dead
from bus.ids import new_id
from bus.store import Entry

TYPE = "signalbox.deadletter"


def dead_letter(broker: str, group: str, dead: Dead, entry: Entry, at: int) -> Event:
    """The letter for one event of a stored record, made at `at` (ns)."""
    header, body = batch.unseal(entry.record)
    event = batch.decode(body).event(dead.offset - header.base_offset)
    error = dead.attempts[-1].error if dead.attempts else ""
    if dead.reason == "expired":
        error = f"expired at {format_time(dead.expires)}"
    elif dead.reason == "parked":
        error = "an earlier event of its key became a dead letter; redrive that one first"
    return Event(
        type=TYPE,
        source=f"signalbox/{broker}",
        id=new_id(),
        time=at,
        subject=event.subject,
        correlationid=event.correlationid,
        causationid=event.id,
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
            "event": msgspec.Raw(_embedded(event)),
        },
    )


def _embedded(event: Event) -> bytes:
    """The original as CloudEvents JSON, its numbers to the digit; what JSON cannot say goes in as bytes, or not."""
    try:
        if event.kind == JSON:
            decode_data(event.payload)
        return to_json(event)
    except (InvalidEvent, ValueError, OverflowError):
        # Whoever published it made its batch by hand; the letter still has to tell which event it was.
        kept = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
        return msgspec.json.encode(kept | {"data_base64": b64encode(event.payload).decode()})


def made_by(event: Event) -> str:
    """The group that a dead letter is of; "" when its data does not say."""
    try:
        data = event.data
    except InvalidEvent:
        return ""
    group = data.get("group") if isinstance(data, dict) else None
    return group if isinstance(group, str) else ""
