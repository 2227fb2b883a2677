"""Sagas: the inbox, worst first, with the steps and the cause of the one under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from console.canvas import Canvas, Span
from console.limits import STEPS_PREVIEWED
from console.pictures import sagas as picture
from console.pictures.parts import panel, refusal
from console.pictures.table import Column, Row
from console.screens.saga import SagaScreen
from console.screens.tables import TableScreen
from controlplane.questions import AskSaga, AskSagas, Question, Saga, Sagas


class SagasScreen(TableScreen):
    """Tab 3."""

    TAB: ClassVar[str] = "Sagas"
    KIND: ClassVar[str] = "sagas"
    SLOT: ClassVar[str] = "sagas"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = picture.SORTS
    PREVIEW_MIN: ClassVar[int] = 11

    def __init__(self) -> None:
        super().__init__()
        self.state = 0

    def questions(self) -> dict[str, Question]:
        """The inbox, and the saga under the cursor."""
        state = picture.STATES[self.state]
        asks: dict[str, Question] = {"sagas": AskSagas(state, self.filter.at_plane, 0, self.limit())}
        about = self._about()
        if about is not None:
            asks["saga preview"] = about
        return asks

    def _about(self) -> AskSaga | None:
        cursor = self.grid.cursor
        return AskSaga(cursor, STEPS_PREVIEWED) if cursor else None

    def _saga(self) -> Saga | None:
        return self.shell.model.body("saga preview", Saga, self._about())

    def answer(self) -> msgspec.Struct | None:
        return self._saga() or self.shell.model.body("sagas", Sagas)

    def rows(self) -> list[Row] | None:
        sagas = self.shell.model.body("sagas", Sagas)
        return None if sagas is None else picture.rows(sagas)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        sagas = self.shell.model.body("sagas", Sagas)
        state = picture.STATES[self.state]
        left: list[Span] = [("Sagas ", "mut"), ("inbox" if state == "open" else state, "txt")]
        if sagas is not None:
            n = sagas.counts
            if n.sagas_stuck:
                late = n.sagas_stuck - (n.sagas_stuck_bad or 0)
                left += [("  ", ""), (f" ■ {n.sagas_stuck_bad}" if n.sagas_stuck_bad else "", "bad")]
                left += [(f" ▲ {late}" if late else "", "warn"), (" stuck of", "mut")]
            left.append((f"   {n.sagas_open:,} open" if not n.sagas_stuck else f" {n.sagas_open:,} open", "mut"))
            if self.size.width >= 100:
                left.append((f"   {n.sagas_finished:,} finished, {n.sagas_failed:,} failed", "mut"))
            if sagas.matched > len(sagas.rows):
                left.append((f"   the first {len(sagas.rows):,} of {sagas.matched:,}", "mut"))
        return [*left, *self.filter_spans()], [*self.marked_spans(), *self.sorted_spans()]

    def preview(self, width: int, height: int) -> Canvas:
        saga = self._saga()
        if saga is not None:
            return panel(width, height, "WHY", lambda w, h: picture.preview(saga, self.shell.model.now, w, h))
        c = Canvas(width, height)
        refused = self.shell.model.refusal("saga preview", self._about())
        if refused is not None:
            refusal(c, 0, refused)
        else:
            c.put(2, 0, "–", "mut")
        return c

    def empty(self) -> tuple[str, str]:
        state = picture.STATES[self.state]
        return f"no saga is {state}; b shows others" if state != "all" else "no saga yet", "signalbox saga list"

    def selected(self) -> tuple[str, str]:
        return "saga", self.grid.cursor or ""

    def mend(self) -> str:
        saga = self._saga()
        return saga.mend[0] if saga is not None and saga.mend else ""

    def do_open(self) -> None:
        if self.grid.cursor:
            keys = [row.key for row in self.grid.rows]
            self.shell.push(SagaScreen(self.grid.cursor, keys))

    def do_state(self) -> None:
        self.state = (self.state + 1) % len(picture.STATES)
        self._places.clear()
        self.shell.ask_now()
