"""What every picture is made of: headings, lights, big digits, the line that names a cause and its mend."""

from collections.abc import Callable, Sequence

from console.canvas import Canvas, Span, cells, width_of
from controlplane.questions import Refusal

LIGHT: dict[str, tuple[str, str]] = {
    "ok": ("●", "okd"),
    "warn": ("▲", "warn"),
    "bad": ("■", "bad"),
    "unknown": ("◌", "mut"),
}
"""Severity to glyph and ink: each state has a shape of its own, colour only repeats it."""
TREND = {"growing": "▲", "steady": "=", "draining": "▼"}
HEALTH = {"OK": "ok", "WARNING": "warn", "CRITICAL": "bad", "UNKNOWN": "unknown"}
RANK = {"bad": 0, "warn": 1, "unknown": 2, "ok": 3}

_DIGITS = {
    "0": ("█▀█", "█ █", "▀▀▀"), "1": ("▀█ ", " █ ", "▀▀▀"), "2": ("▀▀█", "█▀▀", "▀▀▀"), "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"), "5": ("█▀▀", "▀▀█", "▀▀▀"), "6": ("█▀▀", "█▀█", "▀▀▀"), "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"), "9": ("█▀█", "▀▀█", "▀▀▀"), "–": ("   ", "▀▀▀", "   "),
}  # fmt: skip


def light(severity: str) -> tuple[str, str]:
    """Glyph and ink of a severity; one that this console does not know is unknown."""
    return LIGHT.get(severity, LIGHT["unknown"])


def loud(severity: str) -> str:
    """The ink of words about a severity: quiet while it is well."""
    return {"ok": "mut", "warn": "warn", "bad": "bad"}.get(severity, "mut")


def heading(c: Canvas, x: int, y: int, width: int, title: str, note: str = "", *more: Span) -> None:
    """`TITLE  note ───────`: the only border there is."""
    spans: list[Span] = [(title, "hi b")]
    if note:
        spans.append((f"  {note}", "mut"))
    size = min(width, sum(width_of(text) for text, _ in (*spans, *more)))
    end = c.line(x, y, (*spans, *more), size)
    c.repeat(end + 1, y, x + width - end - 1, "─", "ln")


def big(c: Canvas, x: int, y: int, text: str, ink: str) -> int:
    """Digits of three rows. Returns the column after them."""
    for char in text:
        for i, row in enumerate(_DIGITS.get(char, _DIGITS["–"])):
            c.put(x, y + i, row, ink)
        x += 4
    return x


def cursor(c: Canvas, x: int, y: int, width: int) -> None:
    """The cursor row: its paper, and a gutter mark left of it for those who see no paper."""
    c.fill(x, y, width, "cur")
    c.put(x - 1, y, "▌", "acc b")
    c.fill(x - 1, y, 1, "cur")


def wrap(text: str, width: int, lines: int) -> list[str]:
    """Text broken at spaces into at most `lines` lines; the last one keeps what is left, to be cut where it is put."""
    out: list[str] = []
    rest = text.rstrip()
    while rest and len(out) < lines:
        shown = cells(rest)
        if len(shown) <= width or len(out) == lines - 1:
            out.append(rest)
            break
        head = "".join(shown[:width])
        at = head.rfind(" ")
        head = head[:at] if at > width // 4 else head
        out.append(head)
        rest = "".join(shown)[len(head) :].lstrip()
    return out


def paragraph(c: Canvas, x: int, y: int, width: int, lines: int, text: str, ink: str = "txt") -> int:
    """Wrapped text. Returns the row after it."""
    for line in wrap(text, max(width, 8), lines):
        c.put(x, y, line, ink, width)
        y += 1
    return y


def commands(c: Canvas, x: int, y: int, width: int, mends: Sequence[str], rows: int) -> int:
    """`mend  …` and `or  …`. Returns the row after them.

    Each is whole while there are rows: a command that is cut cannot be typed.
    """
    end = y + max(rows, 0)
    for i, mend in enumerate(mends):
        if y >= end:
            break
        c.put(x, y, "or" if i else "mend", "mut")
        spare = end - y - (len(mends) - 1 - i)
        y = paragraph(c, x + 6, y, width - 6, max(1, spare), mend, "acc")
    return y


def nothing_yet(c: Canvas, y: int, text: str, hint: str = "") -> None:
    """A sentence in place of rows, and what to do next."""
    c.put(2, y, "●", "okd")
    c.put(4, y, text, "txt", c.width - 6)
    if hint:
        c.put(4, y + 1, hint, "acc", c.width - 6)


def refusal(c: Canvas, y: int, answer: Refusal) -> None:
    """The plane's own words for why there is no answer, and what to do."""
    c.put(2, y, "▲", "warn")
    c.put(4, y, answer.message, "txt", c.width - 6)
    c.put(4, y + 1, answer.hint, "acc", c.width - 6)


def panel(width: int, height: int, title: str, paint: Callable[[int, int], Canvas]) -> Canvas:
    """A part of a screen that says so when its answer cannot be drawn, while the rest lives."""
    try:
        return paint(width, height)
    except Exception as error:
        # Any answer may come from another version of the plane: the defect stays in its panel, and is named there.
        c = Canvas(width, height)
        heading(c, 0, 0, width, title)
        c.put(0, 1, "▲", "warn")
        c.put(2, 1, f"cannot draw: {error or type(error).__name__} (y copies the answer)", "txt", width - 2)
        return c
