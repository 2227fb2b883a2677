"""The slice of a replay: which recorded events would be published again, counted exactly, and given out page by page.

Some events are never replayed, wherever they are asked for, and are counted by why:

| why | which |
|---|---|
| plane | types `signalbox.>` and sources `signalbox/…`: what only the plane and the brokers may say |
| lifecycle | types `agent.lifecycle.>`: whether an agent is there, it says itself |
| redriven | copies for one group; the original is in the journal, too |
| replayed | what a replay published (`REPLAY_RUN`); its original is in the journal, too |
| expired | `expirytime` is over: a group would get a dead letter. Not where that time moves along |

Type and source decide for most events, which SQL counts by both. Those with rare attributes, which it cannot read, come
one by one, so that whatever their number, little memory is taken. Reading only, each question on its own connection, in
a thread of its own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import msgspec

from bus.attributes import NO_EXTRAS, Extras
from bus.event import is_internal, is_reserved, to_json
from bus.limits import GIVEN_IDS_MAX
from controlplane import limits
from controlplane.archive import WHOLE, Archive, Where, fitting
from controlplane.arrivals import SAGA, name_hash, of_archive
from controlplane.journal import Journal, fetch
from controlplane.questions import REPLAY_RUN, AskSlice, AskSlicePage, Recorded, Slice, Sliced, SlicePage

_PLAIN = """
    type, source, null as extras, count(*) as events, sum(size)::bigint as bytes, min(position) as first,
    max(position) as last, min(appended) as appended_min, max(appended) as appended_max, min(time) as time_min,
    max(time) as time_max
"""
_RARE = """
    type, source, extras, 1 as events, size as bytes, position as first, position as last, appended as appended_min,
    appended as appended_max, time as time_min, time as time_max
"""
_Kind = tuple[int, int, bytes | None]
_decode = msgspec.msgpack.Decoder(Extras).decode


def left_out(type: str, source: str, extras: Extras, expired_at: int | None) -> str:
    """Why an event is not replayed, in one word of the table above; "" when it is."""
    if is_reserved(type, source):
        return "plane"
    if "redriveto" in extras.extensions:
        return "redriven"
    if is_internal(type, {}):
        return "lifecycle"
    if REPLAY_RUN in extras.extensions:
        return "replayed"
    expires = extras.expirytime
    return "expired" if expired_at is not None and expires is not None and expires <= expired_at else ""


class Slices:
    """Slices of one journal. `go_on` raises when the plane ends."""

    def __init__(self, journal: Journal, archive: Archive, go_on: Callable[[], None]) -> None:
        self._journal = journal
        self._archive = archive
        self._go_on = go_on

    def count(self, ask: AskSlice, up_to: int) -> Sliced:
        """What is in it up to a position. Raises InvalidPattern."""
        counted = _Count(ask.expired_at, self._journal.names)
        where = self._within(ask.slice, 0, up_to)
        queries = (
            f"select {_PLAIN} from events where {where} and extras is null group by type, source",  # noqa: S608
            f"select {_RARE} from events where {where} and extras is not null",  # noqa: S608
        )
        with closing(self._journal.cursor()) as db:
            for sql in queries:
                for batch in db.sql(sql, params=where.parameters).to_arrow_reader(limits.SLICE_ROWS_AT_ONCE):
                    self._go_on()
                    counted.add(*(column.to_pylist() for column in batch.columns))
        return counted.told(up_to)

    def page(self, ask: AskSlicePage) -> SlicePage:
        """The next events, in journal order; perhaps none though there are more. Raises InvalidPattern."""
        up_to = min(ask.up_to, self._journal.position)
        limit = max(1, min(ask.limit, limits.EXPORT_PAGE_EVENTS_MAX))
        rows: list[Recorded] = []
        after, reach = ask.after, limit
        with closing(self._journal.cursor()) as db:
            # A stretch of positions at a time, which grows where few match: the rest is not even looked at.
            while not rows and after < up_to:
                self._go_on()
                bound = min(up_to, after + reach)
                after, rows = self._rows(db, ask, self._within(ask.slice, after, bound), limit, bound)
                reach *= 4
        taken = fitting([len(row.event.encode()) for row in rows])
        if taken < len(rows):
            after = rows[taken - 1].position
        return SlicePage(rows[:taken], after, after >= up_to)

    def _rows(self, db: Any, ask: AskSlicePage, where: Where, limit: int, bound: int) -> tuple[int, list[Recorded]]:
        """Up to which position it was looked, `bound` at most, and the events that are replayed."""
        # Sizes first: the payloads of a page that one answer cannot hold may be more than the plane can.
        tail = f"{where} order by position limit {limit}"
        found = fetch(db, f"select position, size from events where {tail}", where.parameters)  # noqa: S608
        count = len(found["position"])
        if not count:
            return bound, []
        taken = fitting(found["size"])
        reached = found["position"][taken - 1]
        tail = f"{where} and position <= {reached} order by position"
        columns = fetch(db, f"select position, recorded, {WHOLE} from events where {tail}", where.parameters)  # noqa: S608
        positions, recorded = columns["position"], columns["recorded"]
        partitions, offsets = columns["partition"], columns["offset"]
        arrival = of_archive(columns, self._journal.names)
        rows = [
            Recorded(
                position,
                recorded[row],
                partitions[row],
                offsets[row],
                arrival.appended[row],
                to_json(arrival.event(row)).decode(),
            )
            for row, position in enumerate(positions)
            if not left_out(arrival.types[row], arrival.sources[row], arrival.extras[row] or NO_EXTRAS, ask.expired_at)
        ]
        return (bound if taken == count < limit else reached), rows

    def _within(self, slice: Slice, after: int, up_to: int) -> Where:
        """Positions after < p <= up_to of the slice. Raises InvalidPattern."""
        where = self._archive.matching(slice.pattern, internal=True)
        first = after if slice.position is None else max(after, slice.position - 1)
        last = up_to if slice.until_position is None else min(up_to, slice.until_position)
        where.add("position > $after and position <= $up_to", after=first, up_to=last)
        if slice.instant is not None:
            where.add("recorded >= $since", since=slice.instant)
        if slice.until_instant is not None:
            where.add("recorded <= $until", until=slice.until_instant)
        if slice.subject:
            where.add(
                "subject_hash = $subject_hash and subject = $subject",
                subject_hash=name_hash(slice.subject),
                subject=slice.subject,
            )
        if slice.saga:
            where.add(f"saga_hash = $saga_hash and {SAGA} = $saga", saga_hash=name_hash(slice.saga), saga=slice.saga)
        return where


class _Count:
    """Events as they come, added up. `names`: types and sources by their small ids."""

    def __init__(self, expired_at: int | None, names: Sequence[str]) -> None:
        self._expired_at = expired_at
        self._names = names
        self._why: dict[_Kind, str] = {}
        self._left_out: Counter[str] = Counter()
        self._types: Counter[int] = Counter()
        self._bytes = self._imported = 0
        self._positions: list[int] = []
        self._appended: list[int] = []
        self._times: list[int] = []

    def add(
        self,
        types: list[int],
        sources: list[int],
        extras: list[bytes | None],
        events: list[int],
        bytes: list[int],
        *ends: list[int],
    ) -> None:
        """Columns of `_PLAIN` or `_RARE`: each row stands for `events` that agree in type and source."""
        kept: list[int] = []
        for row, kind in enumerate(zip(types, sources, extras, strict=True)):
            why = self._why_left_out(kind)
            if why:
                self._left_out[why] += events[row]
                continue
            kept.append(row)
            self._types[kind[0]] += events[row]
            self._bytes += bytes[row]
            if kind[2] is not None and b"importof" in kind[2] and "importof" in _decode(kind[2]).extensions:
                self._imported += events[row]
        first, last, appended, appended_last, time, time_last = ([column[row] for row in kept] for column in ends)
        _reach(self._positions, first, last)
        _reach(self._appended, appended, appended_last)
        _reach(self._times, time, time_last)

    def _why_left_out(self, kind: _Kind) -> str:
        known = self._why.get(kind)
        if known is None:
            if len(self._why) >= limits.SLICE_KINDS_REMEMBERED_MAX:
                self._why.clear()
            type, source, extras = kind
            rare = NO_EXTRAS if extras is None else _decode(extras)
            known = self._why[kind] = left_out(self._names[type], self._names[source], rare, self._expired_at)
        return known

    def told(self, up_to: int) -> Sliced:
        """The sums."""
        named = sorted(((self._names[type], events) for type, events in self._types.items()), key=_most_first)
        first, last = self._positions or (0, 0)
        return Sliced(
            events=sum(self._types.values()),
            left_out=dict(sorted(self._left_out.items())),
            types=dict(named[: limits.SLICE_TYPES_MAX]),
            other_types=sum(events for _, events in named[limits.SLICE_TYPES_MAX :]),
            bytes=self._bytes,
            imported=self._imported,
            up_to=up_to,
            first=first,
            last=last,
            appended=_pair(self._appended) or (0, 0),
            times=_pair(self._times),
            remembered=GIVEN_IDS_MAX,
        )


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _reach(known: list[int], *columns: list[int]) -> None:
    """Make `known` the least and the greatest of what it was and of what is there in the columns."""
    found = [value for column in (known, *columns) for value in column if value is not None]
    known[:] = [min(found), max(found)] if found else []


def _pair(found: list[int]) -> tuple[int, int] | None:
    return (found[0], found[1]) if found else None
