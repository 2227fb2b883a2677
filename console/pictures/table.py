"""Tables: columns are data, cells are spans, and what does not fit is dropped by priority.

A column says its width, its side and how dear it is: 1 is never dropped, 4 goes first. One column takes what is left,
and what that leaves is shared by the names that tell rows apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from console.canvas import Align, Canvas, Span, middle

FLEXIBLE_CELLS_MIN = 16
FLEXIBLE_CELLS_MAX = 48
GUTTER = 4
"""Two cells of edge, one for the cursor or a mark, one of space."""


@dataclass(frozen=True)
class Column:
    """`width` 0 takes what is left. A column without title holds a glyph, with one cell after it."""

    title: str
    width: int
    align: Align = "l"
    keep: int = 1
    grow: int = 0
    """Cells that it takes at most where there is room: a name, which loses its middle where there is not."""


@dataclass(frozen=True)
class Row:
    """One line of a table. `key` is what cursor and marks hold on to; `sort` has one value a column."""

    key: str
    severity: str
    cells: tuple[Span, ...]
    sort: tuple[float | str, ...] = ()
    words: str = ""
    """What a filter looks in."""
    changed: bool = field(default=False, compare=True)
    """Its state changed within the last two beats: underlined."""


@lru_cache(maxsize=256)
def layout(columns: tuple[Column, ...], total: int) -> tuple[tuple[int, int, int], ...]:
    """`(index, x, width)` of each column that fits `total` cells."""
    shown = list(range(len(columns)))
    room = total - GUTTER - 2

    def need(indexes: list[int]) -> int:
        gaps = sum(1 if columns[i].title == "" else 2 for i in indexes[:-1])
        return sum(columns[i].width or FLEXIBLE_CELLS_MIN for i in indexes) + gaps

    while need(shown) > room:
        dearest = max((columns[i].keep for i in shown), default=1)
        if dearest == 1:
            break
        shown.remove(max(i for i in shown if columns[i].keep == dearest))
    widths = _widths(columns, shown, room - need(shown))
    out, x = [], GUTTER
    for i in shown:
        out.append((i, x, widths[i]))
        x += widths[i] + (1 if columns[i].title == "" else 2)
    return tuple(out)


def _widths(columns: tuple[Column, ...], shown: list[int], spare: int) -> dict[int, int]:
    """Each shown column's cells; `spare` is what their least widths leave, below 0 where they do not fit."""
    widths = {i: columns[i].width for i in shown}
    for i in shown:
        if columns[i].width == 0:
            widths[i] = max(8, min(FLEXIBLE_CELLS_MAX, FLEXIBLE_CELLS_MIN + spare))
            spare -= widths[i] - FLEXIBLE_CELLS_MIN
    names = [i for i in shown if columns[i].grow]
    for place, i in enumerate(names):
        more = max(0, min(spare // (len(names) - place), columns[i].grow - widths[i]))
        widths[i] += more
        spare -= more
    return widths


def head(columns: tuple[Column, ...], width: int, sorted_by: int | None = None) -> Canvas:
    """The row of titles; the one that the table is sorted by is bright."""
    c = Canvas(width, 1)
    for i, x, size in layout(columns, width):
        c.put(x, 0, columns[i].title, "hi" if i == sorted_by else "mut", size, columns[i].align)
    return c


def line(
    columns: tuple[Column, ...], row: Row, width: int, cursor: bool = False, marked: bool = False, rests: bool = False
) -> Canvas:
    """One row of the table; a cursor that `rests` keeps its place while another part of the screen has the keys."""
    c = Canvas(width, 1)
    if cursor and rests:
        c.put(2, 0, "▌", "mut")
    elif cursor:
        c.fill(2, 0, width - 4, "cur")
        c.put(2, 0, "▌", "acc b")
    if marked:
        c.put(3 if cursor else 2, 0, "✓", "acc")
    for i, x, size in layout(columns, width):
        text, ink = row.cells[i]
        if columns[i].title == "" and row.changed:
            ink += " u"
        c.put(x, 0, middle(text, size) if columns[i].grow else text, ink, size, columns[i].align)
    c.hit(0, 0, width, row.key)
    return c


def table(
    columns: tuple[Column, ...],
    rows: Sequence[Row],
    width: int,
    height: int,
    top: int = 0,
    cursor: str | None = None,
    marks: frozenset[str] = frozenset(),
    sorted_by: int | None = None,
    rests: bool = False,
) -> Canvas:
    """The titles and the rows from `top` on, as many as `height` shows."""
    c = Canvas(width, height)
    c.paste(head(columns, width, sorted_by), 0, 0)
    for y, row in enumerate(rows[top : top + max(height - 1, 0)], start=1):
        c.paste(line(columns, row, width, row.key == cursor, row.key in marks, rests), 0, y)
    return c.sealed()
