"""Flows: the table, the map of the selected flow, and why it is late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from console.canvas import Canvas, Span
from console.measure import many
from console.pictures import flows as picture
from console.pictures.parts import panel
from console.pictures.table import Column, Row
from console.screens.tables import TableScreen
from controlplane.questions import AskFlows, FlowRow, Flows, Question


class FlowsScreen(TableScreen):
    """Tab 2."""

    TAB: ClassVar[str] = "Flows"
    KIND: ClassVar[str] = "flows"
    SLOT: ClassVar[str] = "flows"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = picture.SORTS
    PREVIEW_MIN: ClassVar[int] = 8
    PREVIEW_TALL: ClassVar[int] = 17

    def questions(self) -> dict[str, Question]:
        """The flows that match."""
        return {"flows": AskFlows(match=self.filter.at_plane, limit=self.limit())}

    def answer(self) -> msgspec.Struct | None:
        return self.shell.model.body("flows", Flows)

    def rows(self) -> list[Row] | None:
        flows = self.shell.model.body("flows", Flows)
        return None if flows is None else picture.rows(flows)

    def flow(self) -> FlowRow | None:
        """The flow under the cursor."""
        flows = self.shell.model.body("flows", Flows)
        return None if flows is None else picture.selected(flows, self.grid.cursor)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        flows = self.shell.model.body("flows", Flows)
        total = "" if flows is None else f"{many(flows.total, 'flow')}  "
        if flows is not None and flows.matched != flows.total:
            total = f"{flows.matched:,} of {total}"
        left = [("Flows ", "mut"), ("source ▸ type ▸ group", "txt"), *self.filter_spans()]
        return left, [*self.marked_spans(), (total, "mut"), *self.sorted_spans()]

    def preview(self, width: int, height: int) -> Canvas:
        flows = self.shell.model.body("flows", Flows)
        if flows is None:
            return Canvas(width, height)
        return panel(width, height, "WHY", lambda w, h: picture.detail(flows, self.flow(), w, h))

    def empty(self) -> tuple[str, str]:
        return "no event has flowed yet", "signalbox demo"

    def selected(self) -> tuple[str, str]:
        flow = self.flow()
        return "flow", "" if flow is None else f"{flow.source} ▸ {flow.type} ▸ {flow.group or 'nobody'}"

    def mend(self) -> str:
        flow = self.flow()
        return "" if flow is None else flow.mend

    def do_open(self) -> None:
        """The flow's events."""
        flow = self.flow()
        if flow is not None:
            self.shell.go(f"events:{flow.source or flow.type}")
