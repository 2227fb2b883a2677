"""`Grid` shows a table: titles fixed, cursor and marks held by key, rows painted for the window that is seen.

The cursor stays on its row wherever new answers put that row, and the row stays where it is on the screen. Of many
thousand rows only the visible ones are ever painted, and of those only the cells that differ are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.canvas import Canvas
from console.pictures.table import Column, Row, table
from console.widgets.ink import Look, edged, strip, style_of
from console.widgets.paint import Clicked, refresh_changed


class Moved(Message):
    """The cursor stands on another row."""

    def __init__(self, key: str | None) -> None:
        super().__init__()
        self.key = key

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Moved)


class Grid(ScrollView):
    """Rows are given with `show`; `follow` keeps the cursor on the first row until the operator moves it."""

    def __init__(self, columns: tuple[Column, ...], follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns, self.follow = columns, follow
        self.rows: list[Row] = []
        self.cursor: str | None = None
        self.marks: frozenset[str] = frozenset()
        self.sorted_by: int | None = None
        self.rests = False
        """Another part of the screen has the keys: the cursor is drawn quietly."""
        self.top = 0
        self._index: dict[str, int] = {}
        self._picture = Canvas(0, 0)
        self.show_horizontal_scrollbar = self.show_vertical_scrollbar = False

    @property
    def window(self) -> int:
        """How many rows are seen."""
        return max(self.size.height - 1, 1)

    @property
    def at(self) -> int:
        """The cursor's place in the rows; 0 without rows."""
        return self._index.get(self.cursor or "", 0)

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.at] if self.rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Replace the rows. The cursor keeps its key and its line; when the key is gone it stays where it was."""
        before = self.at
        self.rows = list(rows)
        self._index = {row.key: i for i, row in enumerate(self.rows)}
        self.marks &= self._index.keys()
        if not self.rows:
            self.cursor = None
        elif self.cursor not in self._index or self.follow:
            self.cursor = self.rows[0 if self.follow else min(before, len(self.rows) - 1)].key
        self.top += self.at - before
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self._settle()

    def move_to(self, place: int) -> None:
        """Put the cursor on a place, as near as there is one."""
        if not self.rows:
            return
        key = self.rows[max(0, min(place, len(self.rows) - 1))].key
        if key != self.cursor:
            self.cursor = key
            self.post_message(Moved(key))
        self._settle()

    def move_by(self, rows: int) -> None:
        """Move the cursor; from then on it stays on its row."""
        self.follow = False
        self.move_to(self.at + rows)

    def select(self, key: str) -> bool:
        """Put the cursor on a key, if it is there."""
        if key not in self._index:
            return False
        self.follow = False
        self.move_to(self._index[key])
        return True

    def mark(self) -> None:
        """Mark or unmark the row, and go on to the next."""
        if self.cursor is not None:
            self.marks ^= {self.cursor}
            self.move_by(1)
            self.repaint()

    def _settle(self) -> None:
        """Keep the cursor inside the window, then paint."""
        last_top = max(len(self.rows) - self.window, 0)
        self.top = max(0, min(self.top, last_top, self.at), self.at - self.window + 1)
        self.repaint()

    def _paint(self) -> Canvas:
        size = self.size
        painted = table(
            self.columns,
            self.rows,
            size.width,
            size.height,
            self.top,
            self.cursor,
            self.marks,
            self.sorted_by,
            self.rests,
        )
        return edged(painted, self)

    def repaint(self) -> None:
        """Send what differs from the window that is shown."""
        old, self._picture = self._picture, self._paint()
        refresh_changed(self, old, self._picture)

    def on_resize(self, event: events.Resize) -> None:
        self._settle()

    def render_line(self, y: int) -> Strip:
        look = cast(Look, self.app)
        if (self._picture.width, self._picture.height) != (self.size.width, self.size.height):
            self._picture = self._paint()
        if y >= self._picture.height:
            return Strip.blank(self.size.width, style_of(look.palette, False, "", "bg"))
        return strip(self._picture.rows[y], look.palette, look.faded, look.ascii_only)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            return
        key = self._picture.target(event.x, event.y)
        if key is not None and self.select(key) and event.chain > 1:
            self.post_message(Clicked("open"))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move_by(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move_by(-1)
