"""Events: the tail follows the newest until the cursor is moved; below, the causes of the selected event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from console.canvas import Canvas, Span
from console.limits import TAIL_ROWS
from console.pictures import events as picture
from console.pictures.parts import panel, refusal
from console.pictures.table import Column, Row
from console.screens.box import Box
from console.screens.tables import TableScreen
from console.widgets.paint import Paint
from controlplane.questions import AskEvent, AskEvents, EventDetail, Events, Question

VOLUME_HEIGHT_MIN = 24


class EventsScreen(TableScreen):
    """Tab 6. `pattern` and `source` narrow the tail when it was opened from a flow."""

    TAB: ClassVar[str] = "Events"
    KIND: ClassVar[str] = "events"
    SLOT: ClassVar[str] = "events"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = (("newest", None),)
    PREVIEW_MIN: ClassVar[int] = 9
    FOLLOW: ClassVar[bool] = True

    def questions(self) -> dict[str, Question]:
        """The newest that match, with their volume; and the event under the cursor."""
        pattern, text = split(self.filter.at_plane)
        asks: dict[str, Question] = {
            "events": AskEvents(pattern, text, limit=TAIL_ROWS, bars=picture.VOLUME_BARS),
        }
        about = self._about()
        if about is not None:
            asks["event preview"] = about
        return asks

    def _about(self) -> AskEvent | None:
        return AskEvent(self.grid.cursor) if self.grid.cursor and self.query_one("#preview").display else None

    def _events(self) -> Events | None:
        return self.shell.model.body("events", Events)

    def _detail(self) -> EventDetail | None:
        about = self._about()
        return self.shell.model.body("event preview", EventDetail, about) if about is not None else None

    def answer(self) -> msgspec.Struct | None:
        return self._detail() or self._events()

    def above(self) -> ComposeResult:
        yield Paint(self._volume, picture.VOLUME_ROWS, id="volume")

    def _volume(self, width: int, height: int) -> Canvas:
        return picture.volume(self._events(), width, self.shell.model.moment is not None)

    def above_rows(self) -> int:
        return picture.VOLUME_ROWS if self.query_one("#volume").display else 0

    def refreshed(self) -> None:
        self.query_one("#volume").display = self.size.height >= VOLUME_HEIGHT_MIN
        super().refreshed()

    def _in_order(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    def rows(self) -> list[Row] | None:
        events = self._events()
        return None if events is None else picture.rows(events)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        events = self._events()
        left = [("Events ", "mut"), ("all types" if not self.filter.text else "", "txt"), *self.filter_spans()]
        right: list[Span] = []
        if events is not None:
            following = self.grid.follow and not self.shell.model.frozen
            right = [("● ", "ok"), ("following", "txt")] if following else [("◐ ", "acc"), ("held; g follows", "txt")]
            if self.shell.model.frozen:
                right = [("◐ ", "acc"), ("frozen; u goes on", "txt")]
            if self.shell.model.moment is not None:
                right = [("◀ ", "past"), ("as of then", "txt")]
            right.append((f"  newest {len(events.rows):,} of {events.total:,}", "mut"))
        return left, right

    def preview(self, width: int, height: int) -> Canvas:
        detail = self._detail()
        if detail is None:
            return Canvas(width, height)
        return panel(width, height, "CAUSES", lambda w, h: picture.detail(detail, w, h))

    def empty(self) -> tuple[str, str]:
        return "no event is archived yet", "signalbox demo"

    def selected(self) -> tuple[str, str]:
        return "event", self.grid.cursor or ""

    def do_open(self) -> None:
        if self.grid.cursor:
            self.shell.push(EventScreen(self.grid.cursor))


def split(typed: str) -> tuple[str, str]:
    """Pattern and text: what has a wildcard, or is written like a type, is a pattern; anything else is looked for."""
    words = typed.split()
    patterns = [word for word in words if word.endswith((".*", ".>")) or word in ("*", ">") or ".*." in word]
    if len(patterns) == 1:
        return patterns[0], " ".join(word for word in words if word not in patterns)
    return ">", typed


class EventScreen(Box):
    """One event, opened: its causes and all of its data."""

    TAB: ClassVar[str] = "Events"
    KIND: ClassVar[str] = "event"

    def __init__(self, event: str) -> None:
        super().__init__()
        self.event = event

    def questions(self) -> dict[str, Question]:
        """This event."""
        return {"event": AskEvent(self.event)}

    def answer(self) -> msgspec.Struct | None:
        return self.shell.model.body("event", EventDetail, AskEvent(self.event))

    def body(self) -> ComposeResult:
        yield Paint(lambda w, h: self.crumb(w, [("Events › ", "mut"), (self.event, "txt")]), 1, fresh=True)
        yield Paint(self.paint)

    def paint(self, width: int, height: int) -> Canvas:
        """The body."""
        about = AskEvent(self.event)
        detail = self.shell.model.body("event", EventDetail, about)
        c = Canvas(width, height)
        if detail is not None:
            c.paste(panel(width, height - 1, "EVENT", lambda w, h: picture.detail(detail, w, h, opened=True)), 0, 1)
        elif (refused := self.shell.model.refusal("event", about)) is not None:
            refusal(c, 1, refused)
        else:
            c.put(2, 1, "–", "mut")
        return c

    def selected(self) -> tuple[str, str]:
        return "event", self.event
