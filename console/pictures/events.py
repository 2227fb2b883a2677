"""Events: volume, the newest as they are archived, the causes of the selected one, and the event itself."""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle
from console.pictures.bars import fit
from console.pictures.dead import data_lines, parsed
from console.pictures.parts import heading, light, loud
from console.pictures.table import Column, Row
from controlplane.questions import Bar, EventDetail, EventRow, Events

COLUMNS = (
    Column("time", 12), Column("", 1), Column("type", 24), Column("source", 16, "l", 2), Column("subject", 0),
    Column("where", 12, "r", 3), Column("size", 7, "r", 4), Column("to", 20, "l", 3),
)  # fmt: skip
VOLUME_ROWS = 5
VOLUME_BARS = 108
_ATTRIBUTES_MIN = 6
"""Rows of an event's attributes that its data never takes: id, type, source, subject, where, time."""


def rows(answer: Events) -> list[Row]:
    """Newest first."""
    return [_row(event) for event in answer.rows]


def _row(event: EventRow) -> Row:
    glyph, ink = light(event.severity)
    sick = event.severity in ("warn", "bad")
    cells: tuple[Span, ...] = (
        (measure.clock(event.time, 3), "mut"),
        (glyph, ink),
        (middle(event.type, 24), "txt"),
        (middle(event.source, 16) or "·", "txt"),
        (event.subject, "hi" if event.severity == "bad" else "txt"),
        (f"p{event.partition:02d}·{event.offset:,}", "mut"),
        (measure.size(event.size), "mut"),
        (event.to or "nobody", loud(event.severity) if sick else "mut"),
    )
    words = f"{event.id} {event.type} {event.source} {event.subject} {event.to}"
    return Row(event.id, event.severity, cells, (), words)


def volume(answer: Events | None, width: int, past: bool = False) -> Canvas:
    """Events a second over the last fifteen minutes in two rows of eighths; a bar's trouble has its colour below."""
    c = Canvas(width, VOLUME_ROWS)
    bars = answer.volume if answer is not None else []
    every = (bars[1].at - bars[0].at) // measure.SECOND if len(bars) > 1 else 0
    heading(c, 2, 0, width - 4, "VOLUME", f"events/s, 15 min, {every} s a bar" if every else "events/s, 15 min")
    room = width - 13
    if not bars or every <= 0:
        c.put(9, 2, "–", "mut")
        return c
    shown = fit(bars, room)
    peak = max((bar.events for bar in shown), default=0) or 1
    c.put(2, 1, measure.short_rate(peak / every), "mut", 6, "r")
    c.put(2, 2, "0", "mut", 6, "r")
    for i, bar in enumerate(shown):
        eighths = 0 if bar.events == 0 else max(1, round(bar.events / peak * 16))
        ink = "fnt" if bar.severity in ("ok", "unknown") else light(bar.severity)[1]
        if eighths > 8:
            c.put(9 + i, 1, measure.EIGHTHS[eighths - 9], "fnt")
        if eighths:
            c.put(9 + i, 2, measure.EIGHTHS[min(8, eighths) - 1], ink)
    _volume_ticks(c, shown, room)
    c.right(9 + room, 3, ("then╵" if past else "now╵", "mut"))
    return c.sealed()


def _volume_ticks(c: Canvas, shown: Sequence[Bar], room: int) -> None:
    incident = next((i for i, bar in enumerate(shown) if bar.incident), None)
    for i in range(0, room - 12, max(room // 3, 10)):
        if incident is None or not -30 < incident - i < 7:
            c.put(9 + i, 3, f"╵{measure.clock(shown[i].at)[:5]}", "mut")
    if incident is not None:
        bar = shown[incident]
        text = f"╵{measure.clock(bar.at)} {bar.incident}"
        c.put(9 + incident, 3, text, light(bar.severity)[1], max(room - incident - 5, 1))


def detail(answer: EventDetail, width: int, height: int, opened: bool = False) -> Canvas:
    """Causes on the left, the event on the right, which has the larger part when it was opened."""
    c = Canvas(width, height)
    if width < 100:
        half = min(height // 3, len(answer.causes) + 1) if opened else height // 2
        c.paste(causes(answer, width - 4, half), 2, 0)
        c.paste(event(answer, width - 4, height - half), 2, half)
        return c.sealed()
    left = (width - 7) * (7 if opened else 10) // 16
    c.paste(causes(answer, left, height), 2, 0)
    c.paste(event(answer, width - 7 - left, height), left + 5, 0)
    return c.sealed()


def causes(answer: EventDetail, width: int, height: int) -> Canvas:
    """Events of the same saga around it, in journal order, with the time since the first."""
    c = Canvas(width, height)
    near = answer.causes
    place = next((i for i, event in enumerate(near) if event.id == answer.row.id), 0)
    top = max(0, min(place - (height - 1) // 2, len(near) - (height - 1)))
    name = middle(answer.row.subject or answer.row.id, 28)
    heading(c, 0, 0, width, "CAUSES", f"{name}, {len(near):,} event{'s' * (len(near) != 1)}; ◆ is the selected one")
    room = max(width - 28, 12)
    for y, event in enumerate(near[top : top + max(height - 1, 0)], start=1):
        selected = event.id == answer.row.id
        if selected:
            c.fill(0, y, width, "cur")
        glyph, ink = light(event.severity)
        stem = "" if event is near[0] else "╰─ " if event is near[-1] else "├─ "
        c.line(0, y, [(stem, "fnt"), ("◆" if selected else glyph, f"{ink} b" if selected else ink),
                      (f" {middle(event.type, room - 5)}", "hi b" if selected else "txt")], room)  # fmt: skip
        c.put(room + 1, y, middle(event.source, 14), "mut")
        since = event.time - near[0].time
        c.put(room + 16, y, f"+{measure.took(since)}" if since else "0 ms", "mut", 9, "r")
    return c


def event(answer: EventDetail, width: int, height: int) -> Canvas:
    """Attributes, then data, which keeps half of the height when it needs it."""
    c = Canvas(width, height)
    heading(c, 0, 0, width, "EVENT")
    original = parsed(answer.event)
    data = original.get("data")
    known = attributes(answer)
    room = max(height - 3 - len(known), min(height - 3 - _ATTRIBUTES_MIN, height // 2 - 2))
    shown = [] if data in (None, "", {}) else data_lines(data, width, room)
    y = 1
    for name, value in known[: max(height - 1 - len(shown) - 2 * bool(shown), _ATTRIBUTES_MIN)]:
        c.put(0, y, middle(name, 10), "mut")
        c.put(11, y, middle(value, max(width - 11, 3)), "txt", width - 11)
        y += 1
    if shown:
        c.put(0, y + 1, "data", "mut")
        for at, spans in enumerate(shown, start=y + 2):
            c.line(0, at, spans, width)
    return c


def attributes(answer: EventDetail) -> list[tuple[str, str]]:
    """Name and value of what the event says of itself, and where it stands; what is rarely looked for comes last."""
    row, original = answer.row, parsed(answer.event)
    known = ("id", "type", "source", "subject")
    shown = [(name, str(original[name])) for name in known if original.get(name)]
    shown.append(("where", f"p{row.partition:02d} at {row.offset:,}, @{row.position:,}"))
    shown.append(("time", f"{measure.clock(row.time, 3)} {measure.day(row.time)}"))
    skipped = {*known, "specversion", "time", "data", "data_base64", "datacontenttype"}
    return shown + [(name, str(value)) for name, value in original.items() if name not in skipped]
