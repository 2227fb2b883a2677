"""What a leader refuses to append: a body that is no batch, or holds what no event may hold. Pure.

Whoever publishes through `bus` is told of a bad event before it is sent. This is for everyone else: a batch is in the
log for ever, and its readers (groups, the archive, exports, terminals) take each attribute for what it should be. So
the rules of `bus.attributes` are applied to the columns: once per distinct type, source and set of rare attributes,
and to a whole column of texts at once. No event is made of them, and payloads are looked through but not decoded.
"""

from bus import limits, wire
from bus.attributes import JSON, check_extras, check_text, check_texts, check_type, instant
from bus.batch import Columns, decode
from bus.broker.access import authorise, authorise_extensions, may_say_all
from bus.cloudevents import check_json
from bus.errors import ClockFarOff, EventTooLarge, InvalidEvent, ProtocolError
from bus.event import check_size

_AHEAD_NS = limits.EVENT_AHEAD_MS_MAX * 1_000_000


def check_body(principal: str, section: wire.Section, body: bytes, now: int) -> Columns:
    """The columns of a body; raise unless it is a batch of `section.count` events that `principal` may publish.

    `now`: wall clock, ns.
    """
    if len(body) > limits.BATCH_BYTES_MAX:
        raise EventTooLarge(f"a batch of {len(body)} bytes; {limits.BATCH_BYTES_MAX} are allowed, send smaller ones")
    columns = decode(body)
    if columns.count != section.count:
        raise ProtocolError(f"a section of {section.count} events came with a body of {columns.count}")
    for kind in columns.types:
        check_type(kind)
        authorise(principal, "publish", kind)
    for source in columns.sources:
        check_text("source", source)
        authorise(principal, "publish", "", source)
    check_texts("id", columns.ids)
    check_texts("subject", columns.subjects)
    check_texts("correlationid", columns.correlations)
    check_texts("causationid", columns.causations)
    check_texts("traceparent", columns.traces)
    if columns.newest > now + _AHEAD_NS:
        _check_ahead(columns, now)
    if columns.extras:
        _check_rare(principal, columns)
    _check_payloads(columns)
    if len(body) > limits.EVENT_BYTES_MAX:
        bytes_max = limits.OWN_EVENT_BYTES_MAX if may_say_all(principal) else limits.EVENT_BYTES_MAX
        for event in columns.events():
            check_size(event, bytes_max)
    return columns


def _check_ahead(columns: Columns, now: int) -> None:
    """An imported event keeps whatever time its log gave it."""
    for row, time in enumerate(columns.times):
        rare = columns.extras_of(row)
        if time is None or time <= now + _AHEAD_NS or (rare is not None and "importof" in rare.extensions):
            continue
        raise ClockFarOff(
            f"event {columns.ids[row]!r} says that it happened {(time - now) // 10**9} s ahead of the broker's clock; "
            f"{limits.EVENT_AHEAD_MS_MAX // 1000} s are allowed: set the clock of its publisher, or give no time"
        )


def _check_rare(principal: str, columns: Columns) -> None:
    for extras in columns.extras:
        check_extras(extras)
        authorise_extensions(principal, extras.extensions)
        if extras.expiry_text is not None and instant("expirytime", extras.expiry_text) != extras.expirytime:
            raise InvalidEvent("expirytime", "has a text of another instant")
    if any(extras.time_text is not None for extras in columns.extras):
        for row, time in enumerate(columns.times):
            rare = columns.extras_of(row)
            if rare is not None and rare.time_text is not None and instant("time", rare.time_text) != time:
                raise InvalidEvent("time", "has a text of another instant")


def _check_payloads(columns: Columns) -> None:
    for row, payload in enumerate(columns.payloads()):
        if columns.data_kind(row) == JSON:
            check_json(payload)
