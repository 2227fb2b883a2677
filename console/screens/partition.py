"""One partition, opened from Fleet or from the Board: its replicas, its traffic, why it is not well.

`n` goes on to the next partition; `enter` on a replica goes to its broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from console.canvas import Canvas, Span
from console.pictures import partition as picture
from console.pictures.parts import nothing_yet, panel, refusal
from console.screens.box import Box
from console.widgets.paint import Paint
from controlplane.questions import AskStatus, PartitionStatus, Question, Status


class PartitionScreen(Box):
    """`list_order` names the partitions of the list it was opened from; without one, all of them by number."""

    TAB: ClassVar[str] = "Fleet"
    KIND: ClassVar[str] = "partition"

    def __init__(self, partition: int, list_order: Sequence[int] = ()) -> None:
        super().__init__()
        self.partition, self.list_order = partition, list(list_order)
        self.broker = ""
        """The replica under the cursor, by its broker."""

    def questions(self) -> dict[str, Question]:
        """The fleet in one answer: the same as the screen below asks."""
        return {"fleet": AskStatus()}

    def _status(self) -> Status | None:
        return self.shell.model.body("fleet", Status)

    def _partition(self) -> PartitionStatus | None:
        status = self._status()
        return None if status is None else next((p for p in status.partitions if p.partition == self.partition), None)

    def answer(self) -> msgspec.Struct | None:
        return self._partition()

    def _order(self) -> list[int]:
        status = self._status()
        return self.list_order or ([p.partition for p in status.partitions] if status is not None else [])

    # ------------------------------------------------------------------ body

    def body(self) -> ComposeResult:
        yield Paint(self._crumb, 1, fresh=True)
        yield Paint(self.paint)

    def _crumb(self, width: int, height: int) -> Canvas:
        order, right = self._order(), list[Span]()
        if self.partition in order:
            place = f"{order.index(self.partition) + 1} of {len(order):,}  "
            right = [(place, "mut"), ("n", "acc b"), (" next", "mut")]
        return self.crumb(width, [("Fleet › ", "mut"), (f"p{self.partition:02d}", "txt")], right)

    def paint(self, width: int, height: int) -> Canvas:
        """The body."""
        c = Canvas(width, height)
        status, partition = self._status(), self._partition()
        refused = self.shell.model.refusal("fleet")
        if status is not None and partition is not None:
            body = panel(
                width,
                height - 1,
                "PARTITION",
                lambda w, h: picture.picture(partition, status.brokers, self.broker, w, h, self.shell.scene().past),
            )
            body.hits = [(x, y, w, f"replica:{target}") for x, y, w, target in body.hits]
            c.paste(body, 0, 1)
        elif refused is not None:
            refusal(c, 1, refused)
        elif status is not None:
            nothing_yet(c, 1, f"this fleet has no partition p{self.partition:02d}", "esc goes back to the brokers")
        else:
            c.put(2, 1, "–", "mut")
        return c

    def _brokers(self) -> list[str]:
        partition = self._partition()
        return [] if partition is None else [r.broker for r in partition.replicas]

    def refreshed(self) -> None:
        brokers = self._brokers()
        if brokers and self.broker not in brokers:
            self.broker = brokers[0]

    # ------------------------------------------------------------------ keys

    def _move(self, by: int) -> None:
        brokers = self._brokers()
        if self.broker in brokers:
            self.broker = brokers[max(0, min(brokers.index(self.broker) + by, len(brokers) - 1))]

    def do_down(self) -> None:
        self._move(1)

    def do_up(self) -> None:
        self._move(-1)

    def do_first(self) -> None:
        self._move(-len(self._brokers()))

    def do_last(self) -> None:
        self._move(len(self._brokers()))

    def do_next(self) -> None:
        """The next partition of the list."""
        order = self._order()
        if self.partition in order:
            self.partition = order[(order.index(self.partition) + 1) % len(order)]
            self.broker = ""

    def do_open(self) -> None:
        """The broker that holds the replica."""
        if self.broker:
            self.shell.go(f"broker:{self.broker}")

    def clicked(self, target: str) -> None:
        """A replica."""
        kind, _, broker = target.partition(":")
        if kind == "replica":
            self.broker = broker
            self.repaint()

    def selected(self) -> tuple[str, str]:
        return "partition", f"p{self.partition:02d}"

    def mend(self) -> str:
        partition = self._partition()
        return "" if partition is None else partition.mend
