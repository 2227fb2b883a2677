"""The archive as questions see it: SQL over the journal's events. Reading only, each question on its own connection.

Numbers that are shown as state come from folds; what is here finds and lists events. A type or source is looked up
among the names first, so SQL compares small ids; a subject or saga is found by its narrow hash and confirmed by its
text. Everything may run in a thread of its own beside commits.
"""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pyarrow as pa

from bus.event import to_json
from bus.letters import embedded
from bus.topic import Filter
from controlplane import limits
from controlplane.arrivals import SAGA, STORED, name_hash, of_archive
from controlplane.journal import Journal, fetch
from controlplane.questions import (
    AskEvent,
    AskEvents,
    AskExport,
    Bar,
    EventDetail,
    EventRow,
    Events,
    Exported,
    Refusal,
    SagaStep,
)
from controlplane.sql import columns

_ROW = 'position, id, type, source, subject, time, appended, recorded, partition, "offset", size'
WHOLE = ", ".join(f'"{name}"' for name in STORED)
"""The columns that give a whole event, in SQL."""
VOLUME_NS = 15 * 60 * 1_000_000_000
"""How far back the bars of volume reach."""
RATE_NS = 10 * 1_000_000_000
"""What the rate of events is measured over."""


class Where:
    """Conditions that all hold, with their parameters."""

    def __init__(self, *conditions: str) -> None:
        self._conditions = list(conditions)
        self.parameters: dict[str, Any] = {}

    def add(self, condition: str, **parameters: Any) -> None:
        self._conditions.append(condition)
        self.parameters |= parameters

    def __str__(self) -> str:
        return " and ".join(self._conditions) or "true"


class Archive:
    """Questions to the events of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._totals: dict[tuple[str, bool, int], int] = {}

    # ----------------------------------------------------------------------------------------- lists

    def events(self, ask: AskEvents, now: int, up_to: int | None = None) -> Events:
        """Newest first. `total` counts what matches, `rate` is over the last ten seconds before `now`.

        With `up_to` as if no position beyond it were there.
        """
        where = self.matching(ask.pattern, ask.internal or ask.pattern.startswith(("signalbox.", "agent.lifecycle.")))
        if ask.text:
            self._add_text(where, ask.text)
        if ask.subject:
            where.add("subject_hash = $hash and subject = $subject", hash=name_hash(ask.subject), subject=ask.subject)
        for bound, condition in (
            (ask.after or None, "position > $after"),
            (ask.before, "position < $before"),
            (ask.since, "recorded >= $since"),
            (ask.until, "recorded <= $until"),
            (up_to, "position <= $up_to"),
        ):
            if bound is not None:
                where.add(condition, **{condition.rpartition("$")[2]: bound})
        limit = max(1, min(ask.limit, limits.LISTED_EVENTS_MAX))
        with closing(self._journal.cursor()) as db:
            rows = self._rows(db, f"{where} order by position desc limit {limit}", where.parameters)
            lately = f"count(*) filter (recorded > {now - RATE_NS})"
            totals = f"select count(*) as total, {lately} as lately from events where {where}"  # noqa: S608
            counted = fetch(db, totals, where.parameters)
            volume = self._volume(db, where, now, min(ask.bars, limits.BARS_MAX)) if ask.bars > 0 else []
        rate = counted["lately"][0] * 1_000_000_000 / RATE_NS
        return Events(rows=rows, volume=volume, total=counted["total"][0], rate=rate)

    def _volume(self, db: Any, where: Where, now: int, bars: int) -> list[Bar]:
        width = VOLUME_NS // bars
        start = now - width * bars
        found = fetch(
            db,
            f"select (recorded - {start}) // {width} as bar, count(*) as events from events "  # noqa: S608
            f"where {where} and recorded >= {start} and recorded < {now} group by bar",
            where.parameters,
        )
        counts = dict(zip(found["bar"], found["events"], strict=True))
        return [Bar(at=start + bar * width, events=counts.get(bar, 0)) for bar in range(bars)]

    def saga_steps(self, saga: str, limit: int, now: int, up_to: int | None = None) -> list[SagaStep]:
        """The newest `limit` events of a saga in journal order; the last one has taken until `now`.

        With `up_to` none beyond that position.
        """
        limit = max(1, min(limit, limits.LISTED_EVENTS_MAX))
        with closing(self._journal.cursor()) as db:
            rows = self._rows(
                db,
                f"saga_hash = $hash and {SAGA} = $saga and {_bound(up_to)} order by position desc limit {limit}",
                {"hash": name_hash(saga), "saga": saga},
            )[::-1]
        if not rows:
            return []
        ends = [row.time for row in rows[1:]] + [now]
        return [
            SagaStep(
                position=row.position,
                id=row.id,
                type=row.type,
                source=row.source,
                time=row.time,
                took_ns=max(0, end - row.time),
                partition=row.partition,
                offset=row.offset,
            )
            for row, end in zip(rows, ends, strict=True)
        ]

    # ------------------------------------------------------------------------------------------- one

    def event(self, ask: AskEvent, up_to: int | None = None) -> EventDetail | Refusal:
        """One event by its id or `@position`; of several with that id the newest. Nothing beyond `up_to` is there."""
        where = Where(_bound(up_to))
        if ask.id.startswith("@") and ask.id[1:].isdigit() and len(ask.id) < limits.POSITION_CHARS_MAX:
            where.add("position = $position", position=int(ask.id[1:]))
        else:
            where.add("id = $id", id=ask.id)
        with closing(self._journal.cursor()) as db:
            found = self._rows(db, f"{where} order by position desc limit 1", where.parameters)
            if not found:
                hint = "See `signalbox event search`; an event just published may take a moment to be archived."
                return Refusal("not_found", f"there is no archived event {ask.id}", hint)
            row = found[0]
            line = self._lines(db, f"position = {row.position}", {})[1][0]
            saga = fetch(db, f"select {SAGA} as saga from events where position = {row.position}")["saga"][0]  # noqa: S608
            causes = self._around(db, saga, row.position, up_to) if saga else []
        return EventDetail(row=row, event=line, causes=causes)

    def at(self, partition: int, offset: int) -> str | None:
        """The event that stands there, as a dead letter has it whole; None where the journal has it no more."""
        with closing(self._journal.cursor()) as db:
            where = f'partition = {partition} and "offset" = {offset}'
            columns = fetch(db, f"select {WHOLE} from events where {where} limit 1", {})  # noqa: S608
        arrival = of_archive(columns, self._journal.names) if columns["partition"] else None
        return None if arrival is None else embedded(arrival.event(0)).decode()

    def _around(self, db: Any, saga: str, position: int, up_to: int | None) -> list[EventRow]:
        same = f"saga_hash = $hash and {SAGA} = $saga and {_bound(up_to)} and position"
        parameters = {"hash": name_hash(saga), "saga": saga}
        half = limits.CAUSES_MAX // 2
        before = self._rows(db, f"{same} <= {position} order by position desc limit {half}", parameters)
        later = self._rows(db, f"{same} > {position} order by position limit {half}", parameters)
        return before[::-1] + later

    # ---------------------------------------------------------------------------------------- export

    def page(self, ask: AskExport, up_to: int) -> Exported:
        """The next page after `ask.after`, in journal order, none beyond `up_to`."""
        where = self.matching(ask.pattern, ask.internal)
        limit = max(1, min(ask.limit, limits.EXPORT_PAGE_EVENTS_MAX))
        with closing(self._journal.cursor()) as db:
            total = self._total(db, ask, up_to, where)
            after, reach = ask.after, limit
            positions: list[int] = []
            sizes: list[int] = []
            start = after
            # A stretch of positions at a time: the rest is not even looked at. Where few match, it grows.
            while not positions and after < up_to:
                bound = min(up_to, after + reach)
                within = f"{where} and position > {after} and position <= {bound} order by position limit {limit}"
                # Sizes first: the payloads of a page that one answer cannot hold may be more than the plane can.
                positions, sizes = self._sizes(db, within, where.parameters)
                start, after, reach = after, bound, 4 * reach
            taken = fitting(sizes)
            if taken == limit or taken < len(positions):
                after = positions[taken - 1]
            page = f"{where} and position > {start} and position <= {after}"
            lines: list[str] = []
            if taken and not ask.columns:
                _, lines = self._lines(db, f"{page} order by position", where.parameters)
                # As lines they are larger than they are stored.
                fit = fitting([len(line.encode()) for line in lines])
                if fit < taken:
                    taken, after = fit, positions[fit - 1]
            told = Exported(lines[:taken], after, up_to, total, after >= up_to, taken)
            told.journal_from = self._journal.reach.position
            if ask.columns and taken:
                told.arrow = _arrow(columns.page(db, page, where.parameters))
        return told

    def _sizes(self, db: Any, tail: str, parameters: dict[str, Any]) -> tuple[list[int], list[int]]:
        found = fetch(db, f"select position, size from events where {tail}", parameters)  # noqa: S608
        return found["position"], found["size"]

    def _total(self, db: Any, ask: AskExport, up_to: int, where: Where) -> int:
        """How many there are to export in all; counted for the first page, remembered for the others."""
        key = (ask.pattern, ask.internal, up_to)
        if key not in self._totals:
            counted = f"select count(*) as total from events where {where} and position <= {up_to}"  # noqa: S608
            if len(self._totals) >= limits.EXPORTS_REMEMBERED_MAX:
                self._totals.clear()
            self._totals[key] = fetch(db, counted, where.parameters)["total"][0]
        return self._totals[key]

    # -------------------------------------------------------------------------------------- building

    def matching(self, pattern: str, internal: bool) -> Where:
        """Events whose type the pattern takes, internal ones with `internal` only. Raises InvalidPattern."""
        where = Where()
        wanted = Filter(pattern, internal=internal)
        if not internal:
            where.add("not internal")
        if pattern != ">":
            numbers = [n for n, name in enumerate(self._journal.names) if wanted.accepts(name)]
            where.add(_among("type", numbers))
        return where

    def _add_text(self, where: Where, text: str) -> None:
        sources = [n for n, name in enumerate(self._journal.names) if text in name]
        texts = " or ".join(f"contains({column}, $text)" for column in ("id", "subject", "data"))
        where.add(f"({texts} or {_among('source', sources)})", text=text)

    def _rows(self, db: Any, tail: str, parameters: dict[str, Any]) -> list[EventRow]:
        columns = fetch(db, f"select {_ROW} from events where {tail}", parameters)  # noqa: S608
        name = self._journal.name
        return [
            EventRow(
                position=position,
                id=id,
                type=name(type),
                source=name(source),
                subject=subject or "",
                time=appended if time is None else time,
                appended=appended,
                recorded=recorded,
                partition=partition,
                offset=offset,
                size=size,
            )
            for position, id, type, source, subject, time, appended, recorded, partition, offset, size in _zipped(
                columns
            )
        ]

    def _lines(self, db: Any, tail: str, parameters: dict[str, Any]) -> tuple[list[int], list[str]]:
        columns = fetch(db, f"select position, {WHOLE} from events where {tail}", parameters)  # noqa: S608
        positions = columns.pop("position")
        if not positions:
            return [], []
        arrival = of_archive(columns, self._journal.names)
        return positions, [to_json(arrival.event(row)).decode() for row in range(len(arrival))]


def _bound(up_to: int | None) -> str:
    return "true" if up_to is None else f"position <= {up_to}"


def _among(column: str, numbers: list[int]) -> str:
    return f"{column} in ({', '.join(map(str, numbers))})" if numbers else "false"


def _zipped(columns: dict[str, list[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns.values(), strict=True)


def fitting(sizes: list[int]) -> int:
    """How many of a page of these sizes, in bytes, one answer may hold; one at least if there is any."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > limits.EXPORT_PAGE_BYTES_MAX and count:
            return count
    return len(sizes)


def _arrow(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
