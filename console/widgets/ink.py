"""Names become colours here, at the last moment: a row of cells to a Textual `Strip`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, cast

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from console.canvas import Canvas, Cell
from console.palette import ASCII, MONO, colours


class Look(Protocol):
    """How the application wants pictures to look: a theme by name, old pictures faded, glyphs or ASCII signs."""

    palette: str
    ascii_only: bool

    @property
    def faded(self) -> bool:
        """Is what is shown old?"""

    @property
    def past(self) -> bool:
        """Is a moment of the past shown?"""


@lru_cache(maxsize=4096)
def style_of(theme: str, faded: bool, ink: str, paper: str) -> Style:
    """`warn b` on `cur` in a theme. Without colour only bold, underline and a dim grey for decoration are left."""
    role, *marks = ink.split() or ["txt"]
    bold, underline = "b" in marks or None, "u" in marks or None
    if theme == MONO:
        return Style(bold=bold, underline=underline, dim=(role in ("ln", "fnt") or faded) or None)
    roles = colours(theme, faded)
    return Style(
        color=roles.get(role, roles["txt"]), bgcolor=roles.get(paper, roles["bg"]), bold=bold, underline=underline
    )


def strip(row: Sequence[Cell], theme: str, faded: bool, ascii_only: bool) -> Strip:
    """One row of a canvas as segments of equal style."""
    segments: list[Segment] = []
    run: list[str] = []
    key: tuple[str, str] | None = None
    for char, ink, paper in row:
        if (ink, paper) != key:
            if run and key is not None:
                segments.append(_segment(run, theme, faded, key, ascii_only))
            run, key = [], (ink, paper)
        run.append(char)
    if run and key is not None:
        segments.append(_segment(run, theme, faded, key, ascii_only))
    return Strip(segments, len(row))


def _segment(run: list[str], theme: str, faded: bool, key: tuple[str, str], ascii_only: bool) -> Segment:
    text = "".join(run)
    return Segment(text.translate(ASCII) if ascii_only else text, style_of(theme, faded, *key))


def edged(painted: Canvas, widget: Widget) -> Canvas:
    """The body of a screen between the violet edges of the past; live they are empty, so that nothing jumps."""
    look = cast(Look, widget.app)
    if look.past and painted.width and widget.parent is not None and widget.parent.id == "body":
        left, right = "||" if look.ascii_only else "▌▐"
        for row in painted.rows:
            row[0], row[-1] = (left, "past", row[0][2]), (right, "past", row[-1][2])
    return painted
