"""A picture as a grid of cells: one character, the name of its ink and the name of its paper.

Pictures are pure functions `(answer, width, height) -> Canvas`. Names become colours only when a widget sends them,
so a theme costs nothing and a picture is tested as text. Everything that is written passes `cells`, which leaves no
control character, escape sequence, bidirectional override or character of doubtful width: the text of an event can
never drive the terminal, nor push a column out of line.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

Cell = tuple[str, str, str]
"""Character (empty right of a wide one), ink (role, then `b` bold, `u` underlined), paper (role)."""
Span = tuple[str, str]
"""Text and its ink."""
Align = Literal["l", "r", "c"]

UNPRINTABLE = "·"
_DISPUTED = (
    (0x1160, 0x11FF), (0x2630, 0x2637), (0x268A, 0x268F), (0x3164, 0x3164), (0x4DC0, 0x4DFF), (0xD7B0, 0xD7FF),
    (0xFFA0, 0xFFA0), (0x16FF0, 0x16FF1), (0x1D300, 0x1D37F), (0x1F3FB, 0x1F3FF),
)  # fmt: skip
"""Terminals and tables disagree on how many cells these take, so they are not shown as themselves."""


def _printable(char: str) -> str:
    """The character as it may reach a terminal: itself, a stand-in of one cell, or nothing."""
    code, category = ord(char), unicodedata.category(char)
    if code < 0x20:
        return " " if char == "\t" else chr(0x2400 + code)
    if category in ("Mn", "Me", "Mc"):
        return ""  # takes no cell of its own; composed forms were made before
    if category == "Zs":
        return " " if unicodedata.east_asian_width(char) not in "WF" else "  "
    if category[0] in "CZ" or any(low <= code <= high for low, high in _DISPUTED):
        return UNPRINTABLE
    return char


def printable(text: str) -> str:
    """Text without anything that a terminal would obey: controls become pictures of themselves, overrides a dot."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_printable, unicodedata.normalize("NFC", text)))


@lru_cache(maxsize=8192)
def cells(text: str) -> tuple[str, ...]:
    """One entry a cell; a wide character is followed by an empty entry."""
    if text.isascii() and text.isprintable():
        return tuple(text)
    out: list[str] = []
    for char in printable(text):
        out.append(char)
        if unicodedata.east_asian_width(char) in "WF":
            out.append("")
    return tuple(out)


def width_of(text: str) -> int:
    """How many cells a text takes."""
    return len(cells(text))


@lru_cache(maxsize=4096)
def middle(text: str, width: int) -> str:
    """A name cut to `width` cells in its middle, where names differ least: `DataVe…xpert`."""
    shown = cells(text)
    if len(shown) <= width or width < 3:
        return text
    tail = (width - 1) // 2
    head = width - 1 - tail
    return "".join(shown[:head]) + "…" + "".join(shown[len(shown) - tail :])


def last_token(type: str, width: int) -> str:
    """A type that does not fit, by its last token if that does: `agent.message` is `message`, not `agen…age`."""
    last = type.rpartition(".")[2]
    return type if width_of(type) <= width or width_of(last) > width else last


class Canvas:
    """`height` rows of `width` cells. What lies outside is dropped; later writing wins; paper stays until filled."""

    __slots__ = ("height", "hits", "rows", "width")

    def __init__(self, width: int, height: int, paper: str = "bg") -> None:
        self.width, self.height = max(width, 0), max(height, 0)
        self.rows: list[list[Cell]] = [[(" ", "", paper)] * self.width for _ in range(self.height)]
        self.hits: list[tuple[int, int, int, str]] = []
        """`(x, y, width, target)`: where a click means something."""

    def put(self, x: int, y: int, text: str, ink: str = "txt", width: int | None = None, align: Align = "l") -> int:
        """Write text; with a `width` it is cut with an ellipsis and aligned within. Returns the column after it."""
        return self.line(x, y, ((text, ink),), width, align)

    def line(self, x: int, y: int, spans: Iterable[Span], width: int | None = None, align: Align = "l") -> int:
        """Write spans one after the other, as `put` does with one."""
        shown = [(cell, ink) for text, ink in spans for cell in cells(text)]
        if width is not None:
            shown = _cut(shown, max(width, 0))
            x += {"l": 0, "r": width - len(shown), "c": (width - len(shown)) // 2}[align]
        if 0 <= y < self.height:
            row = self.rows[y]
            for char, ink in shown:
                if 0 <= x < self.width:
                    row[x] = (char, ink, row[x][2])
                x += 1
            return x
        return x + len(shown)

    def right(self, end: int, y: int, *spans: Span) -> int:
        """Write spans so that they end before column `end`. Returns where they begin."""
        start = end - sum(width_of(text) for text, _ in spans)
        self.line(start, y, spans)
        return start

    def fill(self, x: int, y: int, width: int, paper: str) -> None:
        """Lay a paper under what is or will be written."""
        if 0 <= y < self.height:
            row = self.rows[y]
            for i in range(max(x, 0), min(x + width, self.width)):
                char, ink, _ = row[i]
                row[i] = (char, ink, paper)

    def repeat(self, x: int, y: int, width: int, char: str, ink: str) -> None:
        """The same character `width` times: rules, tracks, bars."""
        if width > 0:
            self.put(x, y, char * width, ink)

    def hit(self, x: int, y: int, width: int, target: str) -> None:
        """A click on these cells means `target`."""
        self.hits.append((x, y, width, target))

    def target(self, x: int, y: int) -> str | None:
        """What a click there means, the newest first."""
        for left, top, width, target in reversed(self.hits):
            if y == top and left <= x < left + width:
                return target
        return None

    def paste(self, other: "Canvas", x: int, y: int) -> None:
        """Lay another canvas over this one, with what its cells mean to a click."""
        start, stop = max(x, 0), min(x + other.width, self.width)
        for i, row in enumerate(other.rows):
            if 0 <= y + i < self.height and start < stop:
                self.rows[y + i][start:stop] = row[start - x : stop - x]
        self.hits.extend((left + x, top + y, width, target) for left, top, width, target in other.hits)

    def sealed(self) -> "Canvas":
        """The same with no half of a wide character left: what lost its other half becomes a space."""
        for row in self.rows:
            for i, (char, ink, paper) in enumerate(row):
                lonely = char == "" and (i == 0 or not _is_wide(row[i - 1][0]))
                if lonely or (_is_wide(char) and (i + 1 == self.width or row[i + 1][0] != "")):
                    row[i] = (" ", ink, paper)
        return self

    def text(self) -> str:
        """The characters alone, a line a row, without spaces at the ends: what a snapshot holds."""
        return "".join("".join(char for char, _, _ in row).rstrip() + "\n" for row in self.rows)


def _is_wide(char: str) -> bool:
    return char > "\u10ff" and unicodedata.east_asian_width(char) in "WF"


def _cut(shown: list[Span], width: int) -> list[Span]:
    """At most `width` cells; the last one says that more was there."""
    if len(shown) <= width:
        return shown
    kept = shown[: max(width - 1, 0)]
    if kept and _is_wide(kept[-1][0]):
        kept[-1] = (" ", kept[-1][1])
    return [*kept, ("…", kept[-1][1] if kept else "mut")][:width]


def changed(old: Canvas, new: Canvas) -> list[tuple[int, int, int]]:
    """`(x, y, width)` of each row's stretch that differs. Raises ValueError when the sizes differ."""
    stretches = []
    for y, (was, now) in enumerate(zip(old.rows, new.rows, strict=True)):
        if was != now:
            at = [x for x, (a, b) in enumerate(zip(was, now, strict=True)) if a != b]
            stretches.append((at[0], y, at[-1] - at[0] + 1))
    return stretches
