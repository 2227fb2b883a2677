"""Health: what the score is made of; the cursor is on a penalty."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from console.canvas import Canvas
from console.pictures import health as picture
from console.pictures.parts import panel, refusal
from console.screens.board import noun_of
from console.screens.box import Box
from console.widgets.paint import Paint
from controlplane.questions import AskHealth, Health, Need, Question


class HealthScreen(Box):
    """Tab 5."""

    TAB: ClassVar[str] = "Health"
    KIND: ClassVar[str] = "health"

    def __init__(self) -> None:
        super().__init__()
        self.at = 0

    def questions(self) -> dict[str, Question]:
        """The score's parts."""
        return {"health": AskHealth()}

    def _health(self) -> Health | None:
        return self.shell.model.body("health", Health)

    def answer(self) -> msgspec.Struct | None:
        return self._health()

    def body(self) -> ComposeResult:
        yield Paint(lambda w, h: self.crumb(w, [("Health ", "mut"), ("fleet", "txt")]), 1, fresh=True)
        yield Paint(self.paint)

    def paint(self, width: int, height: int) -> Canvas:
        """The body."""
        health = self._health()
        c = Canvas(width, height)
        if health is not None:
            body = panel(
                width, height - 1, "SCORE", lambda w, h: picture.picture(health, self.shell.model.now, self.at, w, h)
            )
            c.paste(body, 0, 1)
        elif (refused := self.shell.model.refusal("health")) is not None:
            refusal(c, 1, refused)
        else:
            c.put(2, 1, "–", "mut")
        return c

    def _need(self) -> Need | None:
        health = self._health()
        return health.penalties[self.at] if health is not None and self.at < len(health.penalties) else None

    def _move(self, by: int) -> None:
        health = self._health()
        self.at = max(0, min(self.at + by, len(health.penalties) - 1)) if health is not None else 0

    def do_down(self) -> None:
        self._move(1)

    def do_up(self) -> None:
        self._move(-1)

    def do_first(self) -> None:
        self.at = 0

    def do_last(self) -> None:
        self._move(10_000)

    def clicked(self, target: str) -> None:
        """A penalty."""
        kind, _, place = target.partition(":")
        if kind == "need":
            self.at = int(place)
            self.repaint()

    def selected(self) -> tuple[str, str]:
        need = self._need()
        return "health", need.what if need is not None else ""

    def mend(self) -> str:
        need = self._need()
        return need.mend if need is not None else ""

    def do_open(self) -> None:
        """Where the penalty comes from."""
        need = self._need()
        if need is not None and noun_of(need) != "health":
            self.shell.go(noun_of(need))
