"""What all tables share: rows from an answer, filtered and in a steady order, with a picture of the selected one below.

The order holds for five seconds; between, rows keep their place within their severity and new ones come last. A row
whose severity changed is underlined for two beats.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult

from console.canvas import Canvas, Span
from console.limits import ROWS_ASKED_MAX, ROWS_PAGE
from console.order import Filter, by_column, parse, steady
from console.pictures.frame import WIDE
from console.pictures.parts import nothing_yet, refusal
from console.pictures.table import Column, Row
from console.screens.box import Box
from console.screens.prompt import Prompt
from console.widgets.grid import Grid, Moved
from console.widgets.paint import Paint

HOLD_S = 5.0
UNDERLINED_BEATS = 2
PREVIEW_HEIGHT_MIN = 24
"""Below so many rows of body a preview closes; `enter` opens it as a screen."""


class TableScreen(Box):
    """Subclasses give columns, sorts, rows, and the preview."""

    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = (("worst", None),)
    SLOT: ClassVar[str] = ""
    PREVIEW_MIN: ClassVar[int] = 9
    PREVIEW_TALL: ClassVar[int] = 13
    """Rows of a wide and tall window that the preview gets, however long the table."""
    PREVIEW_SMALL: ClassVar[int] = 9
    """Where there are few rows a preview may stand below even in a small window, if it has so many."""
    FOLLOW: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.filter = Filter()
        self.sort = 0
        self.asked = ROWS_PAGE
        self._ordered_at = 0.0
        self._version = -1
        self._places: dict[str, int] = {}
        self._severities: dict[str, str] = {}
        self._underlined: dict[str, int] = {}
        self._wanted = ""

    # ------------------------------------------------------------------ what subclasses give

    def rows(self) -> list[Row] | None:
        """The rows of the newest answer; None before there is one."""
        return None

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        """Left and right of the line under the tabs."""
        return (), ()

    def preview(self, width: int, height: int) -> Canvas:
        """The picture under the table."""
        return Canvas(width, height)

    def empty(self) -> tuple[str, str]:
        """What is said instead of rows, and the next command."""
        return "none", ""

    # ------------------------------------------------------------------ body

    @property
    def grid(self) -> Grid:
        """The table."""
        return self.query_one(Grid)

    def body(self) -> ComposeResult:
        yield Paint(lambda w, h: self.crumb(w, *self.crumbs()), 1, fresh=True)
        yield from self.above()
        yield Grid(self.COLUMNS, follow=self.FOLLOW)
        yield Paint(self._below, id="preview")

    def above(self) -> ComposeResult:
        """What stands between crumb and table."""
        yield from ()

    def above_rows(self) -> int:
        """How many rows that takes."""
        return 0

    def _below(self, width: int, height: int) -> Canvas:
        c = Canvas(width, height)
        rows = self.grid.rows
        refused = self.shell.model.refusal(self.SLOT)
        if refused is not None:
            refusal(c, 0, refused)
        elif self.rows() is None:
            c.put(4, 0, "–", "mut")
        elif not rows and self.filter.text:
            nothing_yet(c, 0, f"0 rows match {self.filter}; esc clears the filter")
        elif not rows:
            nothing_yet(c, 0, *self.empty())
        elif height > 2:
            c.paste(self.preview(width, height - 1), 0, 1)
        return c

    def refreshed(self) -> None:
        rows = self.rows()
        if rows is not None:
            shown = [row for row in rows if self.filter.keeps(row)]
            self.grid.sorted_by = self.SORTS[self.sort][1]
            self.grid.show(self._in_order(self._noticed(shown)))
            if self._wanted and self.grid.select(self._wanted):
                self._wanted = ""
        self._share()

    def _share(self) -> None:
        """Rows for the table and rows for the preview: the table takes what it needs, up to its part."""
        room = self.query_one("#body").size.height - 1 - self.above_rows()
        needed = len(self.grid.rows) + 1
        if not self.grid.rows:
            height = 1
        elif room < PREVIEW_HEIGHT_MIN and self.PREVIEW_MIN > 8:
            height = needed if needed <= room - self.PREVIEW_SMALL else room
        else:
            kept = self.PREVIEW_TALL if room >= PREVIEW_HEIGHT_MIN and self.size.width >= WIDE else self.PREVIEW_MIN
            height = max(2, min(needed, max(room - kept, room * 2 // 5)))
        self.grid.styles.height = height
        self.query_one("#preview").display = height < room

    def _noticed(self, rows: Sequence[Row]) -> list[Row]:
        """Underline what changed its state, for two answers."""
        if self._version != self.shell.model.version:
            self._version = self.shell.model.version
            beats = {key: left - 1 for key, left in self._underlined.items() if left > 1}
            for row in rows:
                if self._severities.get(row.key, row.severity) != row.severity:
                    beats[row.key] = UNDERLINED_BEATS
            self._underlined = beats
            self._severities = {row.key: row.severity for row in rows}
        return [replace(row, changed=True) if row.key in self._underlined else row for row in rows]

    def _in_order(self, rows: Sequence[Row]) -> list[Row]:
        clock = time.monotonic()
        column = self.SORTS[self.sort][1]
        if clock - self._ordered_at >= HOLD_S or not self._places:
            ordered = by_column(rows, column)
            self._ordered_at = clock
        elif column is None:
            ordered = steady(rows, self._places)
        else:
            last = len(self._places)
            ordered = sorted(rows, key=lambda row: self._places.get(row.key, last))
        self._places = {row.key: i for i, row in enumerate(ordered)}
        return ordered

    def want(self, key: str) -> None:
        """Put the cursor on a key now, or as soon as it is there."""
        self._wanted = "" if self.is_mounted and self.grid.select(key) else key

    def on_moved(self, message: Moved) -> None:
        if self.grid.at > self.asked - 50 and len(self.grid.rows) >= self.asked and self.asked < ROWS_ASKED_MAX:
            self.asked += ROWS_PAGE
        self.shell.ask_now()
        self.repaint()

    def limit(self) -> int:
        """How many rows to ask for: a filter that only the console knows needs all of them."""
        return self.asked if self.filter.kind == "plain" else ROWS_ASKED_MAX

    def filter_spans(self) -> list[Span]:
        """The filter, for the crumb."""
        return [("  /", "acc"), (str(self.filter), "txt")] if self.filter.text else []

    def marked_spans(self) -> list[Span]:
        """How many are marked, for the crumb."""
        marked = len(self.grid.marks)
        return [(f"✓ {marked} marked  ", "acc")] if marked else []

    def sorted_spans(self) -> list[Span]:
        """What it is sorted by, for the crumb."""
        return [("sorted by ", "mut"), (self.SORTS[self.sort][0], "txt")]

    # ------------------------------------------------------------------ keys

    def do_down(self) -> None:
        self.grid.move_by(1)

    def do_up(self) -> None:
        self.grid.move_by(-1)

    def do_page_down(self) -> None:
        self.grid.move_by(self.grid.window)

    def do_page_up(self) -> None:
        self.grid.move_by(-self.grid.window)

    def do_first(self) -> None:
        self.grid.move_by(-ROWS_ASKED_MAX)
        self.grid.follow = self.FOLLOW
        self.grid.repaint()

    def do_last(self) -> None:
        self.grid.move_by(ROWS_ASKED_MAX)

    def do_mark(self) -> None:
        self.grid.mark()

    def do_sort(self) -> None:
        self.sort = (self.sort + 1) % len(self.SORTS)
        self._places.clear()

    def do_filter(self) -> None:
        self.app.push_screen(Prompt("/", str(self.filter), on_change=self.apply_filter))

    def apply_filter(self, typed: str) -> None:
        """Each letter narrows at once; the plane is asked for what it can look for itself."""
        self.filter = parse(typed)
        self._places.clear()
        self.shell.ask_now()
        self.repaint()

    def do_back(self) -> None:
        if self.filter.text:
            self.apply_filter("")
        else:
            super().do_back()
