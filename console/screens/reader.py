"""A page of text over the screen: help, JSON, one event. Scrolls, and closes with `esc` or `q`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from console.actions import EVERYWHERE, of_screen
from console.canvas import Canvas, Span
from console.limits import READER_LINES_MAX
from console.measure import many
from console.pictures.frame import TABS
from console.pictures.parts import heading
from console.widgets.paint import Paint, Scrolled

Line = Sequence[Span]
LEGEND: Line = (
    ("● ", "okd"), ("well   ", "txt"), ("▲ ", "warn"), ("in part, or late   ", "txt"), ("■ ", "bad"),
    ("stands still, or lost   ", "txt"),
    ("◌ ", "mut"), ("no answer   ", "txt"), ("◆ ", "acc"), ("leads   ", "txt"), ("◐ ", "warn"), ("lags   ", "txt"),
    ("○ ", "mut"), ("off", "txt"),
)  # fmt: skip
"""Every light with its word."""


def help_lines(screen: str) -> list[Line]:
    """Every action of a screen: key, name, a sentence."""
    lines: list[Line] = []
    for action in of_screen(screen):
        if action.name == EVERYWHERE[0] and lines:
            lines.append([])
        if action.keys:
            mark = "  lever" if action.lever else ""
            lines.append(
                [(f"{action.shown:<10}", "acc b"), (f"{action.label:<14}", "txt"), (action.help, "mut"), (mark, "warn")]
            )
    tabs = "screens; 5 is the score's parts"
    lines += [[(f"{f'1 – {len(TABS)}':<10}", "acc b"), (f"{'tabs':<14}", "txt"), (tabs, "mut")], [], LEGEND]
    return lines


def json_lines(text: str) -> list[Line]:
    """Indented JSON with its keys in the accent."""
    lines: list[Line] = []
    for line in text.split("\n")[:READER_LINES_MAX]:
        body = line.lstrip(" ")
        indent = line[: len(line) - len(body)]
        key, colon, rest = body.partition('": ')
        if colon and body.startswith('"'):
            lines.append([(f'{indent}{key}"', "acc"), (f": {rest}", "txt")])
        else:
            lines.append([(line, "mut" if body[:1] in "{}[]" else "txt")])
    if text.count("\n") >= READER_LINES_MAX:
        lines.append([(f"cut after {READER_LINES_MAX:,} lines", "warn")])
    return lines


class Reader(ModalScreen[None]):
    """`lines` of spans under a heading."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "close", show=False),
        Binding("ctrl+c,ctrl+q", "app.quit", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("g,home", "scroll(-1000000)", show=False),
        Binding("G,end", "scroll(1000000)", show=False),
    ]
    DEFAULT_CSS = "Reader { align: center middle; background: $background 60%; } Reader Paint { width: 90%; }"

    def __init__(self, title: str, note: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self.title_text, self.note, self.lines = title, note, lines
        self.top = 0

    def compose(self) -> ComposeResult:
        yield Paint(self.paint, min(len(self.lines) + 4, max(self.app.size.height - 4, 6)), fresh=True)

    def paint(self, width: int, height: int) -> Canvas:
        """The page on a bar's paper, with what is above and below it named."""
        c = Canvas(width, height, "sf")
        heading(c, 3, 1, width - 6, self.title_text, self.note)
        room = max(height - 4, 1)
        self.top = max(0, min(self.top, len(self.lines) - room))
        for y, line in enumerate(self.lines[self.top : self.top + room], start=2):
            c.line(3, y, line, width - 6)
        below = len(self.lines) - self.top - room
        more = f"{many(below, 'line')} below   " if below > 0 else ""
        c.right(
            width - 3,
            height - 1,
            (more, "mut"),
            ("j k", "acc b"),
            (" scroll  ", "mut"),
            ("esc", "acc b"),
            (" back", "mut"),
        )
        return c.sealed()

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss()

    def action_scroll(self, by: int) -> None:
        """By lines."""
        self.top += by
        self.query_one(Paint).repaint()

    def action_page(self, by: int) -> None:
        """By pages."""
        self.action_scroll(by * max(self.query_one(Paint).size.height - 5, 1))

    def on_scrolled(self, message: Scrolled) -> None:
        self.action_scroll(message.by)
