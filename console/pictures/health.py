"""Health: the penalties that add up to the score, and what mends each, by the points it wins."""

from console import measure
from console.canvas import Canvas, Span
from console.pictures.parts import HEALTH, LIGHT, big, cursor, heading, light, loud
from controlplane.questions import Health, Need

POINTS_BAR = 12


def picture(health: Health, now: int, selected: int, width: int, height: int) -> Canvas:
    """The whole body."""
    c = Canvas(width, height)
    left = (width - 7) // 2 if width >= 100 else width - 4
    _score(c, health, left)
    y = 5
    most = max((need.points for need in health.penalties), default=1) or 1
    for i, need in enumerate(health.penalties[: max(height - 7, 1)]):
        _penalty(c, y, need, now, most, left, i == selected)
        c.hit(2, y, left, f"need:{i}")
        y += 1
    if not health.penalties:
        c.line(4, y, [("●", "okd"), ("  all well: nothing costs a point", "txt")], left)
    else:
        c.line(4, y, [("●", "okd"), ("   0  ", "mut"), ("all else is well", "mut")], left)
    below = y + 3
    if width >= 100 and height - below >= 8 and len(health.recent) > 1:
        _course(c, health, below, width - 4, height - below)
    if width >= 100:
        _recommended(c, health, left + 5, width - 7 - left, min(height, below))
    elif 0 <= selected < len(health.penalties):
        need = health.penalties[selected]
        c.put(2, y + 2, need.why, "txt", width - 4)
        c.line(2, y + 3, [("mend  ", "mut"), (need.mend, "acc")], width - 4)
    return c.sealed()


def _score(c: Canvas, health: Health, width: int) -> None:
    severity = HEALTH[health.state]
    ink = "ok" if severity == "ok" else LIGHT[severity][1]
    heading(c, 2, 0, width, "SCORE", "100 less what is wrong")
    x = big(c, 2, 1, measure.UNKNOWN if health.score is None else str(health.score), ink)
    c.put(x, 1, "of 100", "mut")
    c.put(x, 2, health.state, f"{ink} b")
    was = (
        f"was {health.was} five minutes ago"
        if health.was is not None
        else "new"
        if health.score is not None
        else "no data"
    )
    c.put(x, 3, was, "mut")


def _penalty(c: Canvas, y: int, need: Need, now: int, most: int, width: int, selected: bool) -> None:
    if selected:
        cursor(c, 2, y, width)
    glyph, ink = light(need.severity)
    c.put(4, y, glyph, ink)
    c.put(6, y, f"−{need.points}", f"{ink} b", 3, "r")
    c.repeat(10, y, max(1, round(need.points / most * POINTS_BAR)), "▆", ink)
    c.put(24, y, need.what, "hi b" if selected else "txt", width - 30)
    c.put(width - 4, y, measure.age(now - need.since), "mut", 6, "r")


def _recommended(c: Canvas, health: Health, x: int, width: int, height: int) -> None:
    heading(c, x, 0, width, "RECOMMENDED", "by points won")
    y = 1
    for need in sorted(health.penalties, key=lambda need: -need.points):
        if y + 2 >= height:
            break
        c.put(x, y, need.mend or need.what, "acc" if need.mend else "hi", width - 6)
        c.right(x + width, y, (f"+{need.points}", "ok b"))
        why: list[Span] = [(need.what, loud(need.severity)), (f"; {need.why}" if need.why else "", "mut")]
        c.line(x + 2, y + 1, why, width - 2)
        y += 3
    if not health.penalties:
        c.line(x, 1, [("●", "okd"), (" nothing to do", "mut")], width)
    elif health.score is not None and y < height:
        best = min(100, health.score + max(need.points for need in health.penalties))
        c.line(
            x, y, [("with the first: ", "mut"), (str(best), "ok b"), ("   with all: ", "mut"), ("100", "ok b")], width
        )


def _course(c: Canvas, health: Health, top: int, width: int, height: int) -> None:
    """The score's recent course as one line; OK ends at 90, WARNING at 70."""
    heading(c, 2, top, width, "COURSE", "the score lately; OK from 90, WARNING from 70")
    rows, x0, room = height - 2, 8, width - 8

    def row_of(score: int) -> int:
        return top + 1 + round((rows - 1) * (100 - max(0, min(score, 100))) / 100)

    for mark in (100, 90, 70, 0):
        c.put(2, row_of(mark), str(mark), "mut", 4, "r")
        c.repeat(x0, row_of(mark), room, "┈", "ln")
    before = row_of(health.recent[0])
    for i in range(room):
        score = health.recent[i * len(health.recent) // room]
        y, ink = row_of(score), "bad" if score < 70 else "warn" if score < 90 else "okd"
        if y == before:
            c.put(x0 + i, y, "─", ink)
            continue
        for between in range(min(y, before) + 1, max(y, before)):
            c.put(x0 + i, between, "│", ink)
        c.put(x0 + i, before, "╮" if y > before else "╯", ink)
        c.put(x0 + i, y, "╰" if y > before else "╭", ink)
        before = y
