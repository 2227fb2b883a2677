"""What a query gave, as a table, JSON, NDJSON or CSV.

A row is an object by column names in JSON; instants and decimals stand as the texts they came as, so nothing is blurred
on the way. NDJSON and CSV are the rows alone: a column of theirs may be called anything, `position` too.
"""

import csv
import io
from typing import Any

from console import output as out
from console.commands.asking import begins
from console.measure import took
from console.output import Column, Format, Page
from controlplane.questions import SQL_SCHEMA, SqlAnswer, SqlTableDoc, Told

CELL_CHARS_MAX = 200
"""Of one value in a table for people."""
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


def show(told: Told, body: SqlAnswer, format: Format, as_of: str = "") -> None:
    """Write an answer to stdout, headed by `as_of` where people read it; what was cut is said on stderr."""
    names = [column.name for column in body.columns]
    rows = [dict(zip(names, row, strict=True)) for row in body.values()]
    if format is Format.table:
        page = _page(body, rows)
        page.as_of = as_of
        out.show(page, format)
    elif format is Format.json:
        record = {
            "columns": body.columns, "rows": rows, "count": body.count, "cut": body.cut, "took_ns": body.took_ns,
            "journal_from": body.journal_from,
        }  # fmt: skip
        stamp = {"position": told.position, "recorded": told.recorded}
        out.write_data(out.encode(out.record_of(record, stamp)) + "\n")
    elif format is Format.ndjson:
        out.write_data("".join(out.encode(row) + "\n" for row in rows))
    else:
        out.write_data(csv_of(names, rows))
    if body.cut:
        out.say(f"▲ there are {body.cut}: these are the first {body.count:,}. Ask for less, or for sums of it.")
    if body.journal_from:
        out.say(begins(body.journal_from))


def _page(body: SqlAnswer, rows: list[dict[str, Any]]) -> Page:
    columns = [_column(column.name, column.type) for column in body.columns]
    said = f"{body.count:,} row{'s' * (body.count != 1)}, {took(body.took_ns)}"
    return Page(body, rows, columns, below=said, empty="  ".join(column.name for column in body.columns))


def _column(name: str, kind: str) -> Column:
    is_number = kind.removeprefix("U").startswith(_NUMBERS) and not kind.endswith("]")
    return Column(name, lambda row: text_of(row[name]), "r" if is_number else "l", not is_number)


def text_of(value: Any) -> str:
    """One value for people."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value
    elif isinstance(value, bytes):
        text = "\\x" + value[: CELL_CHARS_MAX // 2].hex()
    elif isinstance(value, list | dict):
        text = out.encode(value)
    else:
        text = str(value)
    return text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…"


def csv_of(names: list[str], rows: list[dict[str, Any]]) -> str:
    """A header, which stands there without rows too, and a line per row."""
    import msgspec

    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(names)
    for row in rows:
        plain = [msgspec.to_builtins(value) for value in row.values()]
        writer.writerow([out.encode(value) if isinstance(value, list | dict) else value for value in plain])
    return sink.getvalue()


def described(name: str = "") -> str:
    """The documented tables, or one of them with its columns; "" when there is none of that name."""
    if not name:
        lines = [f"{table.name:<14} {table.about}" for table in SQL_SCHEMA]
        return "\n".join([*lines, "\\d NAME lists the columns of one."])
    found = next((table for table in SQL_SCHEMA if table.name == name.lower()), None)
    return _columns_of(found) if found else ""


def _columns_of(table: SqlTableDoc) -> str:
    width = max(len(column.name) for column in table.columns)
    lines = [f"  {column.name:<{width}}  {column.type:<26}{column.about}".rstrip() for column in table.columns]
    return "\n".join([f"{table.name}: {table.about}", *lines])
