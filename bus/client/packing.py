"""Events -> bodies of batches within the bounds, and what a batch's outcome says of each event in it. Pure.

Sizes are not estimated beforehand: a batch is encoded, and cut in half when it is too large or when one of its events
cannot be encoded, so that the usual batch costs one encoding and a bad event spoils only itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bus import batch, limits, wire
from bus.errors import AccessDenied, ClientError, EventTooLarge, InvalidEvent
from bus.event import Event, is_reserved, validate

GUARANTEES = {
    "quorum": "quorum: on the disks of {replicas} brokers, a majority of the replicas",
    "leader": "leader: on the leader's disk only; lost if that broker is lost before a follower has it",
    "none": "none: handed to the leader; nothing is promised",
}
"""What each `acks` promises, in words; these are also all legal values."""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where one event stands: `partition`, `offset`, on how many `replicas` it was durable when it was answered.

    `appended` is the leader's clock in ns, `id` the event's id, `guarantee` what `acks` promised, in words.
    """

    partition: int
    offset: int
    replicas: int
    appended: int
    id: str
    guarantee: str


class Packed(NamedTuple):
    """Events [start, stop) of what was packed: one body, or the error of a single event."""

    start: int
    stop: int
    body: bytes
    error: ClientError | None = None


def prepare(event: Event, source: str, new_id: str, reserved: bool) -> Event:
    """The event as it is sent: `id` and `source` filled in, checked. `reserved`: may say what only the plane says.

    Raises InvalidEvent, EventTooLarge, AccessDenied.
    """
    if not isinstance(event, Event):
        raise InvalidEvent("event", f"must be a bus.Event, not {type(event).__name__}")
    if not event.id:
        event = event.replace(id=new_id, source=event.source or source)
    elif not event.source:
        event = event.replace(source=source)
    validate(event)
    if not reserved and is_reserved(event.type, event.source):
        raise AccessDenied(
            f"type {event.type!r} from {event.source!r} is the control plane's own: publish under another name"
        )
    return event


def pack(events: Sequence[Event], start: int = 0) -> list[Packed]:
    """Bodies of at most BATCH_EVENTS_MAX events and BATCH_BYTES_MAX bytes, in order; single events that do not fit."""
    count = len(events)
    if count > limits.BATCH_EVENTS_MAX:
        step = limits.BATCH_EVENTS_MAX
        return [packed for at in range(0, count, step) for packed in pack(events[at : at + step], start + at)]
    error: ClientError | None = None
    try:
        body = batch.encode(events)
        if len(body) <= limits.BATCH_BYTES_MAX:
            return [Packed(start, start + count, body)]
        error = EventTooLarge(f"event {events[0].id[:80]} takes {len(body)} bytes, more than {limits.BATCH_BYTES_MAX}")
    except ClientError as found:
        error = found
    if count == 1:
        return [Packed(start, start + 1, b"", error)]
    half = count // 2
    return pack(events[:half], start) + pack(events[half:], start + half)


def receipts(outcome: wire.Outcome, ids: Sequence[str], acks: str) -> list[Receipt]:
    """One receipt for each event of an appended batch, in order."""
    partition, base, replicas, appended = outcome.partition, outcome.base_offset, outcome.replicas, outcome.appended
    guarantee = GUARANTEES[acks].format(replicas=replicas)
    return [Receipt(partition, base + row, replicas, appended, id, guarantee) for row, id in enumerate(ids)]
