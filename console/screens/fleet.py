"""Fleet: the brokers; below, the partitions of the one under the cursor, why it is not well and what mends it.

`tab` takes the cursor into the partitions, where WHY speaks of the partition; `enter` there opens it as a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from console.canvas import Canvas, Span
from console.measure import many
from console.pictures import fleet as picture
from console.pictures.parts import panel
from console.pictures.table import Column, Row
from console.screens.partition import PartitionScreen
from console.screens.tables import TableScreen
from console.widgets.grid import Moved
from controlplane.questions import AskStatus, BrokerStatus, PartitionStatus, Question, Status


class FleetScreen(TableScreen):
    """Tab 7."""

    TAB: ClassVar[str] = "Fleet"
    KIND: ClassVar[str] = "fleet"
    SLOT: ClassVar[str] = "fleet"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = picture.SORTS
    PREVIEW_MIN: ClassVar[int] = 8
    PREVIEW_TALL: ClassVar[int] = 18

    def __init__(self) -> None:
        super().__init__()
        self.within = False
        """Is the cursor among the partitions?"""
        self.partition = -1
        self.top = 0

    def questions(self) -> dict[str, Question]:
        """The fleet in one answer."""
        return {"fleet": AskStatus()}

    def _status(self) -> Status | None:
        return self.shell.model.body("fleet", Status)

    def answer(self) -> msgspec.Struct | None:
        return self._status()

    def rows(self) -> list[Row] | None:
        status = self._status()
        return None if status is None else picture.rows(status, self.shell.model.now)

    def broker(self) -> BrokerStatus | None:
        """The broker under the cursor."""
        status = self._status()
        return None if status is None else picture.broker_of(status, self.grid.cursor)

    def here(self) -> list[PartitionStatus]:
        """Its partitions, in the order they are drawn."""
        status, broker = self._status(), self.broker()
        return [] if status is None or broker is None else [p for p, _ in picture.held(status, broker.id)]

    def chosen(self) -> PartitionStatus | None:
        """The partition under the cursor, when the cursor is among the partitions."""
        return next((p for p in self.here() if self.within and p.partition == self.partition), None)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        left: list[Span] = [("Fleet ", "mut"), ("brokers", "txt")]
        status = self._status()
        if status is not None:
            up = sum(picture.is_running(b) for b in status.brokers)
            led = sum(p.leader is not None for p in status.partitions)
            clear = sum(p.severity == "ok" for p in status.partitions)
            left.append((f"   {up} of {len(status.brokers)} run", "mut" if up == len(status.brokers) else "warn"))
            left.append((f"   {led} of {many(len(status.partitions), 'partition')} led, {clear} clear", "mut"))
            used = picture.partitioning(status.partitioning)
            left += [used] if used is not None else []
        return [*left, *self.filter_spans()], self.sorted_spans()

    def preview(self, width: int, height: int) -> Canvas:
        status, broker = self._status(), self.broker()
        if status is None or broker is None:
            return Canvas(width, height)
        chosen, now = self.chosen(), self.shell.model.now
        return panel(
            width, height, "PARTITIONS", lambda w, h: picture.detail(status, now, broker, chosen, self.top, w, h)
        )

    def empty(self) -> tuple[str, str]:
        return "this fleet has no broker", "signalbox broker add"

    def refreshed(self) -> None:
        super().refreshed()
        status, broker, here = self._status(), self.broker(), self.here()
        numbers = [p.partition for p in here]
        if self.within and self.partition not in numbers:
            self.partition = numbers[0] if numbers else -1
            self.within = bool(numbers)
        self.grid.rests = self.within
        self.grid.repaint()
        if status is None or broker is None:
            return
        size = self.query_one("#preview").size
        room, _ = picture.shape(status, broker, self.chosen(), size.width, size.height - 2)
        shown = max(room - 2, 1)
        at = numbers.index(self.partition) if self.within else 0
        self.top = max(0, min(self.top, at, len(numbers) - shown), at - shown + 1)

    # ------------------------------------------------------------------ cursor

    def _step(self, by: int) -> None:
        numbers = [p.partition for p in self.here()]
        if self.partition in numbers:
            self.partition = numbers[max(0, min(numbers.index(self.partition) + by, len(numbers) - 1))]

    def _enter(self, within: bool) -> None:
        """Into the partitions, on the worst of them, or back to the brokers."""
        here = self.here()
        self.within = within and bool(here)
        if self.within and self.partition not in [p.partition for p in here]:
            self.partition = here[0].partition

    def do_down(self) -> None:
        self._step(1) if self.within else super().do_down()

    def do_up(self) -> None:
        self._step(-1) if self.within else super().do_up()

    def do_page_down(self) -> None:
        self._step(10) if self.within else super().do_page_down()

    def do_page_up(self) -> None:
        self._step(-10) if self.within else super().do_page_up()

    def do_first(self) -> None:
        self._step(-10_000) if self.within else super().do_first()

    def do_last(self) -> None:
        self._step(10_000) if self.within else super().do_last()

    def do_next_part(self) -> None:
        self._enter(not self.within)

    def do_previous_part(self) -> None:
        self._enter(not self.within)

    def do_open(self) -> None:
        """From a broker into its partitions; from a partition to its own screen."""
        if self.within:
            self.shell.push(PartitionScreen(self.partition, [p.partition for p in self.here()]))
        else:
            self._enter(True)

    def do_back(self) -> None:
        if self.within:
            self._enter(False)
        else:
            super().do_back()

    def on_moved(self, message: Moved) -> None:
        self.within, self.partition, self.top = False, -1, 0
        super().on_moved(message)

    def clicked(self, target: str) -> None:
        """A partition: the first click puts the cursor there, the second opens it."""
        kind, _, number = target.partition(":")
        if kind == "partition":
            if self.within and self.partition == int(number):
                self.do_open()
            else:
                self.within, self.partition = True, int(number)
            self.repaint()

    # ------------------------------------------------------------------ what the cursor is on

    def selected(self) -> tuple[str, str]:
        if self.within:
            return "partition", f"p{self.partition:02d}"
        return "broker", self.grid.cursor or ""

    def mend(self) -> str:
        chosen, broker, status = self.chosen(), self.broker(), self._status()
        if self.within or status is None or broker is None:
            return "" if chosen is None else chosen.mend
        return next(iter(picture.broker_mends(status, broker)), "")
