"""Projections as pages, what one holds, and what a reader of it waits for."""

from typing import Any

from console import output as out
from console.commands.asking import begins, finished
from console.commands.options import partition_number
from console.commands.pages import since
from console.failures import Usage
from console.measure import count, many, moment
from console.moments import POSITION_MAX
from console.output import GLYPHS, Column, Format, Page
from console.sqlpage import csv_of, text_of
from controlplane import questions as q


def projections_page(body: q.Projections, told: q.Told) -> Page:
    """All projections, one a line."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("projection", lambda p: f"{GLYPHS[p.severity]} {p.name}"),
            Column("kind", lambda p: p.kind),
            Column("state", lambda p: p.state or "–"),
            Column("at", lambda p: count(p.reached) if p.reached is not None else "–", "r"),
            Column("keys", lambda p: count(p.keys) if p.keys is not None else "–", "r"),
            Column("pattern", lambda p: p.pattern or "–"),
            Column("built", lambda p: since(told, p.since), "r"),
            Column("what", lambda p: " ".join(p.target.split()), flex=True),
            Column("why", _why, flex=True),
        ],
        empty="no projections\n  signalbox projection add NAME --file FILE.py:CLASS",
    )


def _why(row: q.ProjectionRow) -> str:
    at = f"at {row.event_position:,}, {row.event}: " if row.event_position else ""
    return at + row.why + (f"  signalbox {row.mend}" if row.mend else "")


def projection_page(body: q.Projections, told: q.Told) -> Page:
    """One projection, in full."""
    page = projections_page(body, told)
    if len(body.rows) == 1:
        page.columns = [column for column in page.columns if column.name != "why"]  # it stands below, in full
    for row in body.rows:
        said = ": ".join(filter(None, (row.by and f"by {row.by}", row.reason)))
        page.below = "\n".join(
            [
                "",
                f"what    {' '.join(row.target.split())}",
                f"code    {row.file or '–'}",
                f"sha256  {row.sha256 or '–'}",
                f"built   {moment(row.since, told.recorded)}, decided at {row.build:,} {said}".rstrip(),
                *([f"why     {_why(row)}"] if row.why else []),
            ]
        )
    return page


def projected_page(body: q.Projected) -> Page:
    """What a lever touches."""
    verb = {"add": "added", "rebuild": "rebuilt", "remove": "removed"}[body.verb]
    lines = [f"  {line}" for line in body.touched]
    if body.dry_run:
        return Page(body, [body], above="\n".join([f"would be {verb}:", *lines]))
    return Page(body, [body], above="\n".join([f"● {verb}", *lines, f"decided at {body.position:,}"]))


def show_rows(told: q.Told, body: q.ProjectionRows, format: Format) -> None:
    """Write what a projection holds; NDJSON and CSV are the rows alone. What is not whole is said on stderr."""
    rows = [dict(zip(body.columns, row, strict=True)) for row in body.values()]
    if format is Format.table:
        said = f"{body.count:,} row{'s' * (body.count != 1)} at position {told.position:,}"
        columns = [_column(name, rows) for name in body.columns]
        out.show(finished(Page(body, rows, columns, below=said, empty="  ".join(body.columns)), told), format)
    elif format is Format.json:
        record = {
            "name": body.name, "columns": body.columns, "rows": rows, "count": body.count, "cut": body.cut,
            "behind": body.behind, "journal_from": body.journal_from,
        }  # fmt: skip
        stamp = {"position": told.position, "recorded": told.recorded}
        out.write_data(out.encode(out.record_of(record, stamp)) + "\n")
    elif format is Format.ndjson:
        out.write_data("".join(out.encode(row) + "\n" for row in rows))
    else:
        out.write_data(csv_of(body.columns, rows))
    if body.behind:
        out.say(f"▲ it is still being built: {many(body.behind, 'position')} to go. --after waits for one.")
    if body.cut:
        out.say(f"▲ there are {body.cut}: these are the first {body.count:,}.")
    if body.journal_from:
        out.say(begins(body.journal_from))


def _column(name: str, rows: list[dict[str, Any]]) -> Column:
    is_number = all(type(row[name]) in (int, float, type(None)) for row in rows)
    return Column(name, lambda row: text_of(row[name]), "r" if is_number else "l", not is_number)


def awaited(given: list[str]) -> tuple[int, dict[int, int]]:
    """Position, and offsets by partition, that `--after` names: 120431, @120431; p07=12, 7=12, p07·12. Raises Usage."""
    position, offsets = 0, dict[int, int]()
    for text in given:
        partition, sign, offset = text.replace("·", "=").partition("=")
        if sign:
            number = partition_number(partition.strip())
            offsets[number] = max(offsets.get(number, 0), _number(offset, text))
        else:
            position = max(position, _number(partition.removeprefix("@"), text))
    return position, offsets


def _number(digits: str, text: str) -> int:
    plain = digits.replace(",", "")
    if not (plain.isascii() and plain.isdigit()) or len(plain) > len(str(POSITION_MAX)) or int(plain) > POSITION_MAX:
        raise Usage(
            f"--after {text}: no position, and no partition with an offset", "--after 120431, or --after p07=12"
        )
    return int(plain)
