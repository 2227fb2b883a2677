"""Events -> bodies of batches within the bounds, and what a batch's outcome says of each event in it. Pure.

Sizes are not estimated beforehand: a batch is encoded, and cut in half when it is too large or when one of its events
cannot be encoded, so that the usual batch costs one encoding and a bad event spoils only itself.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import msgspec

from bus import batch, limits, wire
from bus.attributes import Extras, check_asked, check_extras
from bus.errors import ClientError, EventTooLarge, InvalidEvent
from bus.event import Event, is_reserved, make, validate
from bus.event import reserved as refusal
from bus.redriven import is_redriven
from bus.redriven import refusal as redrive_refusal
from bus.repeats import repeated_rows
from bus.rfc3339 import NANOSECONDS_MAX, NANOSECONDS_MIN
from bus.topic import is_type

GUARANTEES = {
    "quorum": "quorum: on the disks of {replicas} brokers, a majority of the replicas",
    "leader": "leader: on the leader's disk only; lost if that broker is lost before a follower has it",
    "none": "none: handed to the leader; nothing is promised",
}
"""What each `acks` promises, in words; these are also all legal values."""
TOPIC = "topic"


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where one event stands: `partition`, `offset`, on how many `replicas` it was durable when it was answered.

    `appended` is the leader's clock in ns, `id` the event's id, `guarantee` what `acks` promised, in words.
    `duplicate`: an event of this source with this id stood in the partition already, there; nothing was appended.
    `routing`: how it finds its way: "topic", to whoever reads its type; or, for one with `requires`, that the control
    plane chooses who handles it.
    """

    partition: int
    offset: int
    replicas: int
    appended: int
    id: str
    guarantee: str
    duplicate: bool = False
    routing: str = TOPIC


class Packed(NamedTuple):
    """Events [start, stop) of what was packed: one body, or the error of a single event."""

    start: int
    stop: int
    body: bytes
    error: ClientError | None = None


def fill(event: Event, source: str, id: str) -> Event:
    """The event with an id and a source: itself, or a copy where it lacks one. Raises InvalidEvent for what is none."""
    if type(event) is not Event:
        raise InvalidEvent("event", f"must be a bus.Event, not {type(event).__name__}")
    if event.id and event.source:
        return event
    # Spelt out: `replace` costs four times as much, and every `publish` without an id comes by here.
    return make(
        event.type,
        event.source or source,
        event.id or id,
        event.subject,
        event.time,
        event.correlationid,
        event.causationid,
        event.traceparent,
        event.extras,
        event.kind,
        event.payload,
    )


def marks_of(events: Sequence[Event]) -> bytes:
    """A text of one "1" or "0" for each event, as it came from the caller: whether its id was given."""
    try:
        return bytes([49 if event.id else 48 for event in events])
    except AttributeError:
        return bytes([49 if getattr(event, "id", "") else 48 for event in events])


def check(event: Event, reserved: bool) -> None:
    """Raise what keeps a filled event from being sent. `reserved`: it may say what only the plane says.

    InvalidEvent, EventTooLarge or AccessDenied.
    """
    if _plainly_fine(event, reserved):
        return
    validate(event, limits.OWN_EVENT_BYTES_MAX if reserved else limits.EVENT_BYTES_MAX)
    if not reserved and is_reserved(event.type, event.source):
        raise refusal(event.type, event.source)
    if not reserved and event.extras is not None and is_redriven(event.extras.extensions):
        raise redrive_refusal()


def _plainly_fine(event: Event, reserved: bool) -> bool:
    """Whether an ordinary event passes, at a third of the price; False: look closer."""
    subject, time, extras = event.subject, event.time, event.extras
    key = extras.partitionkey if extras is not None else None
    try:
        return (
            (extras is None or _is_key_alone(extras))
            and _name_is_fine(event.type, event.source, reserved)
            and event.id.isprintable()
            and (subject is None or (subject != "" and subject.isprintable()))
            and (key is None or (key != "" and key.isprintable()))
            and event.correlationid is event.causationid is event.traceparent is None
            and (time is None or (type(time) is int and NANOSECONDS_MIN <= time <= NANOSECONDS_MAX))
            and len(event.payload) + 4 * (len(event.id) + len(subject or "") + len(key or "")) < _SURE_BYTES_MAX
        )
    except (TypeError, AttributeError):
        return False


def ids_of(events: Sequence[Event], marks: bytes, new_ids: Callable[[int], list[str]]) -> list[str]:
    """The ids they are sent under: their own, or new ones where they lack them. `marks`: `marks_of` them."""
    lacking = marks.count(b"0")
    fresh = new_ids(lacking)
    if lacking == len(events):
        return fresh
    coming = iter(fresh)
    return [event.id if mark == 49 else next(coming) for event, mark in zip(events, marks, strict=True)]


def surely_fine(events: Sequence[Event], ids: Sequence[str], source: str, reserved: bool) -> bool:
    """Whether all events, under these ids and with `source` where they have none, pass `check`, found out by whole
    columns; False: perhaps not all, check them one by one."""
    try:
        if set(map(type, events)) - {Event}:
            return False
        names = set(zip([event.type for event in events], [event.source or source for event in events], strict=True))
        times = {time for event in events if (time := event.time) is not None}
        extras = {id(extras): extras for event in events if (extras := event.extras) is not None}
        texts = [
            *ids,
            *_said([event.subject for event in events]),
            *_said([event.correlationid for event in events]),
            *_said([event.causationid for event in events]),
            *_said([event.traceparent for event in events]),
            *_said([each.partitionkey for each in extras.values()]),
        ]
        whole = "".join(texts)
        size = sum([len(event.payload) for event in events])
        return (
            all(texts)
            and whole.isprintable()
            and size + (1 if whole.isascii() else 4) * len(whole) < _SURE_BYTES_MAX
            and set(map(type, times)) <= {int}
            and (not times or (min(times) >= NANOSECONDS_MIN and max(times) <= NANOSECONDS_MAX))
            and all(_name_is_fine(kind, source, reserved) for kind, source in names)
            and all(_is_key_alone(each) or _extras_are_fine(each, reserved) for each in extras.values())
        )
    except TypeError:
        return False


def _said(column: list[str | None]) -> Iterable[str]:
    return [text for text in column if text is not None] if any(column) or "" in column else ()


_NAMES_BYTES = 16 * 1024
_SURE_BYTES_MAX = limits.EVENT_BYTES_MAX - _NAMES_BYTES
"""A character takes four bytes at most; what may be more than this is counted."""


@lru_cache(maxsize=4_096)
def _name_is_fine(kind: str, source: str, reserved: bool) -> bool:
    if not (type(kind) is str and type(source) is str and len(kind) + len(source) < _NAMES_BYTES and source):
        return False
    return is_type(kind) and (kind + source).isprintable() and (reserved or not is_reserved(kind, source))


def _is_key_alone(extras: Extras) -> bool:
    """Whether nothing but the key, which is checked with all the other texts, is said."""
    return not (
        extras.extensions
        or extras.priority is not None
        or extras.requires is not None
        or extras.deps is not None
        or extras.expirytime is not None
        or extras.datacontenttype is not None
        or extras.dataschema is not None
        or extras.tracestate is not None
    )


def _extras_are_fine(extras: Extras, reserved: bool) -> bool:
    if not reserved and is_redriven(extras.extensions):
        return False
    if any(type(value) is str and len(value) > 1_024 for value in extras.extensions.values()):
        return False
    try:
        check_extras(extras)
        check_asked(extras.extensions)
    except ClientError:
        return False
    return True


def pack(events: Sequence[Event], ids: Sequence[str], source: str, start: int = 0) -> list[Packed]:
    """Bodies of at most BATCH_EVENTS_MAX events and BATCH_BYTES_MAX bytes, in order; single events that do not fit.

    The events go under these `ids`, and those without a source say `source`.
    """
    count = len(events)
    if count > limits.BATCH_EVENTS_MAX:
        step = limits.BATCH_EVENTS_MAX
        return [
            packed
            for at in range(0, count, step)
            for packed in pack(events[at : at + step], ids[at : at + step], source, start + at)
        ]
    error: ClientError | None = None
    try:
        body = batch.encode(events, ids, source)
        if len(body) <= limits.BATCH_BYTES_MAX:
            return [Packed(start, start + count, body)]
        error = EventTooLarge(f"event {ids[0][:80]} takes {len(body)} bytes, more than {limits.BATCH_BYTES_MAX}")
    except ClientError as found:
        error = found
    if count == 1:
        return [Packed(start, start + 1, b"", error)]
    half = count // 2
    return pack(events[:half], ids[:half], source, start) + pack(events[half:], ids[half:], source, start + half)


def routing(event: Event) -> str:
    """How an event finds its way, in words."""
    requires = event.requires
    return f"dispatch: needs {', '.join(requires)}; waits for the control plane's choice" if requires else TOPIC


def receipts(outcome: wire.Outcome, events: Sequence[Event], ids: Sequence[str], acks: str) -> list[Receipt]:
    """One receipt for each event of an appended batch, in order."""
    partition, base, replicas, appended = outcome.partition, outcome.base_offset, outcome.replicas, outcome.appended
    guarantee = GUARANTEES[acks].format(replicas=replicas)
    needy = any(event.extras is not None and event.extras.requires for event in events)
    if not outcome.repeats and not needy:
        return [Receipt(partition, offset, replicas, appended, id, guarantee) for offset, id in enumerate(ids, base)]
    elsewhere = {row: (offset, then) for row, offset, then in repeated_rows(outcome.repeats)}
    places = count(base)
    return [
        Receipt(partition, known[0], replicas, known[1], id, guarantee, True, routing(event))
        if (known := elsewhere.get(row)) is not None
        else Receipt(partition, next(places), replicas, appended, id, guarantee, False, routing(event))
        for row, (event, id) in enumerate(zip(events, ids, strict=True))
    ]
