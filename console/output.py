"""What commands say: the only writer to stdout. Data goes to stdout, talk to stderr.

A command makes a `Page`: the whole answer, its rows, and how a table of them looks. The page is shown as

- `table`: aligned text for people; every text in it is made printable first, so that no event can drive the terminal
- `json`: one object, the full record, with `schema`, and the journal `position` it holds at
- `ndjson`: one such object per row
- `csv`: one line per row under a header; what is a list or an object stands in its cell as JSON
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

from console.canvas import middle, printable, width_of
from controlplane.questions import SCHEMA


class Format(StrEnum):
    """How data is written."""

    table = "table"
    json = "json"
    ndjson = "ndjson"
    csv = "csv"


class Column(NamedTuple):
    """One column of a table. `flex`: gives way when the terminal is too narrow for the row."""

    name: str
    of: Callable[[Any], str]
    align: Literal["l", "r"] = "l"
    flex: bool = False


@dataclass
class Page:
    """One answer to be shown. `record` is all of it; `rows` are its lines; `above` and `below` frame the table.

    `empty` stands in place of a table without rows: a sentence and the next command. `as_of` heads a table that is of
    the past.
    """

    record: Any
    rows: Sequence[Any] = ()
    columns: Sequence[Column] = ()
    above: str = ""
    below: str = ""
    empty: str = ""
    stamp: dict[str, int] = field(default_factory=dict)
    as_of: str = ""


DIM, PLAIN = "\x1b[2m", "\x1b[0m"
COLOURS = {"●": "32", "▲": "33", "■": "31;1", "◌": "2"}
GLYPHS = {"ok": "●", "warn": "▲", "bad": "■", "unknown": "◌"}
"""A severity's shape; colour never speaks alone."""


def show(page: Page, format: Format) -> None:
    """Write a page to stdout."""
    if format is Format.json:
        write_data(encode(record_of(page.record, page.stamp)) + "\n")
    elif format is Format.ndjson:
        write_data("".join(encode(record_of(row, page.stamp)) + "\n" for row in _lines(page)))
    elif format is Format.csv:
        write_data(csv_of(_lines(page)))
    else:
        write(table_of(page, width=terminal_width(), colour=colourful()))


def _lines(page: Page) -> Sequence[Any]:
    """One record a line. A table without rows has none: its envelope is no row."""
    return page.rows if page.columns else page.rows or [page.record]


def write(text: str) -> None:
    """To stdout, at once. Raises BrokenPipeError when nobody reads any more."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_data(text: str) -> None:
    """Data to stdout: as it is to a file or pipe; to a terminal only what a terminal does not obey."""
    write(_lines_only(text) if sys.stdout.isatty() else text)


def say(text: str) -> None:
    """Talk, to stderr: it may name what events say, too."""
    sys.stderr.write(_lines_only(text) + "\n")
    sys.stderr.flush()


def record_of(value: Any, stamp: dict[str, int]) -> dict[str, Any]:
    """The object that JSON shows: `schema`, where it holds, and the fields of the answer without its tag."""
    plain = msgspec.to_builtins(value)
    if not isinstance(plain, dict):
        plain = {"value": plain}
    tag = getattr(getattr(type(value), "__struct_config__", None), "tag_field", None)
    return {"schema": SCHEMA, **stamp, **{name: item for name, item in plain.items() if name != tag}}


def encode(value: Any) -> str:
    """One line of JSON."""
    return msgspec.json.encode(value).decode()


def csv_of(rows: Iterable[Any]) -> str:
    """A header and a line per row."""
    import csv
    import io

    plain = [record_of(row, {}) for row in rows]
    for row in plain:
        del row["schema"]
    if not plain:
        return ""
    out = io.StringIO()
    # All texts are quoted: left to itself the module leaves a bare carriage return open, which other readers take for
    # a line's end.
    writer = csv.DictWriter(
        out, list(plain[0]), lineterminator="\n", extrasaction="ignore", quoting=csv.QUOTE_NONNUMERIC
    )
    writer.writeheader()
    for row in plain:
        writer.writerow({name: encode(item) if isinstance(item, dict | list) else item for name, item in row.items()})
    return out.getvalue()


def table_of(page: Page, width: int | None, colour: bool) -> str:
    """Text for people. `width` None: as wide as it gets; else flexible columns give way to fit."""
    lines = [clean(line) for line in page.above.splitlines()]
    if page.columns and page.rows:
        lines += _table([[column.of(row) for column in page.columns] for row in page.rows], page.columns, width)
    elif page.empty:
        lines += [clean(line) for line in page.empty.splitlines()]
    lines += [clean(line) for line in page.below.splitlines()]
    text = "".join(line.rstrip() + "\n" for line in lines)
    head = clean(page.as_of)
    if not head:
        return paint(text) if colour else text
    return f"{DIM}{head}{PLAIN}\n{paint(text)}" if colour else f"{head}\n{text}"


def _table(cells: list[list[str]], columns: Sequence[Column], width: int | None) -> list[str]:
    rows = [[clean(cell) for cell in row] for row in cells]
    widths = [
        max(width_of(column.name), *(width_of(row[place]) for row in rows)) for place, column in enumerate(columns)
    ]
    if width is not None:
        over = sum(widths) + 2 * (len(widths) - 1) - width
        for place in sorted((at for at, column in enumerate(columns) if column.flex), key=lambda at: -widths[at]):
            cut = max(0, min(over, widths[place] - 12))
            widths[place] -= cut
            over -= cut
    head = "  ".join(_fit(column.name, widths[place], column.align) for place, column in enumerate(columns))
    return [head] + [
        "  ".join(_fit(cell, widths[place], columns[place].align) for place, cell in enumerate(row)) for row in rows
    ]


def _fit(text: str, width: int, align: str) -> str:
    shown = middle(text, width)
    gap = " " * (width - width_of(shown))
    return gap + shown if align == "r" else shown + gap


def _lines_only(text: str) -> str:
    """Lines that a terminal only shows."""
    return "\n".join(map(printable, text.split("\n")))


def clean(text: str) -> str:
    """One line that a terminal only shows."""
    return printable(text.replace("\r", "").replace("\n", " "))


def paint(text: str) -> str:
    """Severities in their colour; nothing else is coloured."""
    for glyph, code in COLOURS.items():
        text = text.replace(glyph, f"\x1b[{code}m{glyph}\x1b[0m")
    return text


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is, or None when it is none."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return None


def colourful() -> bool:
    """Whether stdout is a terminal that wants colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
