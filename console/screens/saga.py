"""One saga, opened from the inbox: `n` goes on to the next of the list it was opened from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from console.canvas import Canvas, Span
from console.limits import STEPS_SHOWN_MAX
from console.pictures import saga as picture
from console.pictures.parts import panel, refusal
from console.screens.box import Box
from console.widgets.paint import Paint
from controlplane.questions import AskSaga, Question, Saga


class SagaScreen(Box):
    """`list_order` names the sagas of the list it was opened from."""

    TAB: ClassVar[str] = "Sagas"
    KIND: ClassVar[str] = "saga"

    def __init__(self, saga: str, list_order: Sequence[str] = ()) -> None:
        super().__init__()
        self.saga, self.list_order = saga, list(list_order)
        self.step = -1
        """The step under the cursor; -1 is the last one, whichever that is."""
        self.top = 0

    def questions(self) -> dict[str, Question]:
        """This saga."""
        return {"saga": self._about()}

    def _about(self) -> AskSaga:
        return AskSaga(self.saga, STEPS_SHOWN_MAX)

    def _answer(self) -> Saga | None:
        return self.shell.model.body("saga", Saga, self._about())

    def answer(self) -> msgspec.Struct | None:
        return self._answer()

    def body(self) -> ComposeResult:
        yield Paint(self._crumb, 1, fresh=True)
        yield Paint(self.paint, id="saga")

    def _crumb(self, width: int, height: int) -> Canvas:
        right: list[Span] = []
        if self.saga in self.list_order:
            right = [
                (f"{self.list_order.index(self.saga) + 1} of {len(self.list_order):,}  ", "mut"),
                ("n", "acc b"),
                (" next", "mut"),
            ]
        return self.crumb(width, [("Sagas › ", "mut"), (self.saga, "txt")], right)

    def paint(self, width: int, height: int) -> Canvas:
        """The body."""
        saga = self._answer()
        if saga is not None:
            at = self._at(saga)
            now, past = self.shell.model.now, self.shell.scene().past
            body = panel(width, height - 1, "SAGA", lambda w, h: picture.picture(saga, now, at, self.top, w, h, past))
            c = Canvas(width, height)
            c.paste(body, 0, 1)
            return c
        c = Canvas(width, height)
        refused = self.shell.model.refusal("saga", self._about())
        if refused is not None:
            refusal(c, 1, refused)
        else:
            c.put(2, 1, "–", "mut")
        return c

    def _at(self, saga: Saga) -> int:
        return len(saga.steps) - 1 if self.step < 0 else min(self.step, len(saga.steps) - 1)

    def refreshed(self) -> None:
        saga = self._answer()
        if saga is not None:
            shown = picture.steps_shown(self.query_one("#saga").size.height - 1, len(saga.steps))
            at = self._at(saga)
            self.top = max(0, min(self.top, at, len(saga.steps) - shown), at - shown + 1)

    def _move(self, by: int) -> None:
        saga = self._answer()
        if saga is not None and saga.steps:
            at = max(0, min(self._at(saga) + by, len(saga.steps) - 1))
            self.step = -1 if at == len(saga.steps) - 1 and by > 0 else at

    def do_down(self) -> None:
        self._move(1)

    def do_up(self) -> None:
        self._move(-1)

    def do_page_down(self) -> None:
        self._move(10)

    def do_page_up(self) -> None:
        self._move(-10)

    def do_first(self) -> None:
        self._move(-STEPS_SHOWN_MAX)

    def do_last(self) -> None:
        self._move(STEPS_SHOWN_MAX)

    def do_next(self) -> None:
        """The next saga of the list."""
        if self.saga in self.list_order:
            self.saga = self.list_order[(self.list_order.index(self.saga) + 1) % len(self.list_order)]
            self.step, self.top = -1, 0
            self.shell.ask_now()

    def do_open(self) -> None:
        """The step's event."""
        saga = self._answer()
        if saga is not None and saga.steps:
            self.shell.go(f"event:{saga.steps[self._at(saga)].id}")

    def selected(self) -> tuple[str, str]:
        return "saga", self.saga

    def mend(self) -> str:
        saga = self._answer()
        return saga.mend[0] if saga is not None and saga.mend else ""
