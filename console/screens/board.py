"""The Board: one picture, a cursor that walks its parts."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult

from console.canvas import Canvas
from console.pictures import board as board_picture
from console.pictures import frame
from console.pictures.board import BoardView, targets
from console.pictures.parts import heading, paragraph
from console.screens.box import Box
from console.widgets.paint import Paint
from controlplane.questions import Board, Need


class BoardScreen(Box):
    """Tab 1."""

    TAB: ClassVar[str] = "Board"
    KIND: ClassVar[str] = "board"

    def __init__(self) -> None:
        super().__init__()
        self.target = ""
        self.trains: dict[int, int] = {}
        self._highs: dict[int, int] = {}

    def body(self) -> ComposeResult:
        yield Paint(lambda w, h: self.crumb(w, ()), 1, fresh=True, id="crumb")
        yield Paint(self.paint)

    def paint(self, width: int, height: int) -> Canvas:
        """The body, from the newest answer."""
        board = self.shell.model.board
        if board is None:
            refused = self.shell.model.refusal("board")
            why = f"{refused.message}. {refused.hint}" if refused is not None else self.shell.scene().why
            return _waiting(why, width, height)
        return board_picture.picture(board, self.shell.model.now, BoardView(self.target, self.trains), width, height)

    def refreshed(self) -> None:
        # The narrow board has no row to spare for an empty crumb: it comes and goes with the banner.
        wide = self.size.width >= frame.WIDE and self.size.height >= 33
        self.query_one("#crumb").display = wide or self.shell.scene().silent_s is not None
        board = self.shell.model.board
        if board is None:
            return
        for partition in board.status.partitions:
            before = self._highs.get(partition.partition, partition.high)
            if partition.high != before:
                self.trains[partition.partition] = self.trains.get(partition.partition, partition.partition) + 1
            self._highs[partition.partition] = partition.high
            self.trains.setdefault(partition.partition, partition.partition)
        places = [target for part in targets(board) for target in part]
        if self.target not in places:
            self.target = places[0] if board.needs and places else ""

    # ------------------------------------------------------------------ cursor

    def _parts(self) -> list[list[str]]:
        board = self.shell.model.board
        return targets(board) if board is not None else []

    def _move(self, by: int) -> None:
        places = [target for part in self._parts() for target in part]
        if places:
            at = places.index(self.target) + by if self.target in places else 0
            self.target = places[max(0, min(at, len(places) - 1))]

    def _part(self, by: int) -> None:
        parts = self._parts()
        if parts:
            at = next((i for i, part in enumerate(parts) if self.target in part), -by)
            self.target = parts[(at + by) % len(parts)][0]

    def do_down(self) -> None:
        self._move(1)

    def do_up(self) -> None:
        self._move(-1)

    def do_page_down(self) -> None:
        self._move(10)

    def do_page_up(self) -> None:
        self._move(-10)

    def do_first(self) -> None:
        self._move(-10_000)

    def do_last(self) -> None:
        self._move(10_000)

    def do_next_part(self) -> None:
        self._part(1)

    def do_previous_part(self) -> None:
        self._part(-1)

    def do_back(self) -> None:
        self.target = ""

    def clicked(self, target: str) -> None:
        """The first click puts the cursor there, the second opens."""
        if target == self.target:
            self.action_do("open")
        else:
            self.target = target
            self.repaint()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self.shell.ask_now()

    # ------------------------------------------------------------------ what the cursor is on

    def do_open(self) -> None:
        kind, key = self.selected()
        if kind == "need":
            need = self._need()
            self.shell.go(noun_of(need) if need is not None else "health")
        elif kind:
            self.shell.go(f"{kind}:{key}")

    def selected(self) -> tuple[str, str]:
        """Kind and key of the target."""
        kind, _, key = self.target.partition(":")
        return kind, key

    def _need(self) -> Need | None:
        board, (kind, key) = self.shell.model.board, self.selected()
        return board.needs[int(key)] if board is not None and kind == "need" and int(key) < len(board.needs) else None

    def mend(self) -> str:
        """The command of the need, the track or the flow under the cursor."""
        board: Board | None = self.shell.model.board
        kind, key = self.selected()
        need = self._need()
        if board is None or need is not None:
            return need.mend if need is not None else ""
        if kind == "partition":
            return next((p.mend for p in board.status.partitions if str(p.partition) == key), "")
        if kind == "flow":
            found = (f.mend for f in board.flows if board_picture.flow_key(f.source, f.type, f.group) == key)
            return next(found, "")
        return ""


def noun_of(need: Need) -> str:
    """Where a need is looked at: the broker or partition it names, what its mend is about, else the score's parts."""
    noun = need.mend.split(" ")
    kind, _, which = need.key.partition(" ")
    if kind in ("broker", "fsync") and which:
        return f"broker:{which}"
    if need.key == "partitions":
        one = need.what.partition(" ")[0].removeprefix("p")
        return f"partition:{int(one)}" if one.isdecimal() and need.what.startswith("p") else "fleet"
    if noun[0] == "dlq":
        return f"dead:{noun[2]}" if len(noun) > 2 and noun[1] == "show" else "dead"
    if noun[0] == "saga":
        return f"saga:{noun[2]}" if len(noun) > 2 and noun[1] == "show" and not noun[2].startswith("-") else "sagas"
    if noun[0] == "agent":
        return f"agent:{noun[2]}" if len(noun) == 3 and not noun[2].startswith("-") else "agents"
    return {"flow": "flows", "group": "flows", "event": "events"}.get(noun[0], "health")


def _waiting(why: str, width: int, height: int) -> Canvas:
    """The headings at once, and no value before there is one."""
    c = Canvas(width, height)
    heading(c, 2, 0, 17, "SCORE")
    c.put(2, 1, "–", "mut")
    heading(c, 22, 0, width - 24, "NEEDS YOU")
    if why:
        c.put(22, 1, "◌", "warn")
        paragraph(c, 24, 1, width - 26, 4, why)
    else:
        c.put(22, 1, "–", "mut")
    heading(c, 2, 10, width - 4, "TRACKS")
    c.put(2, 11, "–", "mut")
    return c
