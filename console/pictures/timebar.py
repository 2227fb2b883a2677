"""The time bar under every screen: volume as height, the health of that moment as colour, incidents flagged.

It can be read without colour too: flags have the shapes of their severities, and trouble never has an empty cell. The
bars are of the present even while the past is shown, so that one sees where one is going; those after the moment that
is shown are drawn quietly. Columns and instants are turned into each other here, for the mouse and the keys.
"""

from collections.abc import Collection, Sequence

from console import measure
from console.canvas import Canvas
from console.pictures.bars import fit
from console.pictures.frame import WIDE, Scene
from console.pictures.parts import light
from controlplane.questions import At, Bar, Incident, Timeline

X0 = 20
"""Where the bars begin: the words of the moment stand left of them."""
_MARGIN = 2
_LEVELS = 5
_TICK_GAP_MIN = 12
_TICKS = (
    measure.MINUTE, 2 * measure.MINUTE, 5 * measure.MINUTE, 10 * measure.MINUTE, 15 * measure.MINUTE,
    30 * measure.MINUTE, measure.HOUR, 2 * measure.HOUR, 6 * measure.HOUR, measure.DAY,
)  # fmt: skip
"""Clock times stand at whole multiples of one of these."""
_FILLED_MIN = 0.2
"""The present bar is not full yet: from this part on its volume is told by what it would be."""


def bars_of(width: int) -> int:
    """How many columns the bars have at this width."""
    return max(width - X0 - _MARGIN, 1)


def span_of(line: Timeline) -> tuple[int, int]:
    """From when to when the bars reach, in ns; the end lies after the present."""
    return (line.bars[0].at, line.bars[0].at + line.step_ns * len(line.bars)) if line.bars else (0, 0)


def column_of(line: Timeline, room: int, instant: int) -> int:
    """The column that an instant falls in; before the first and after the last one these."""
    start, end = span_of(line)
    return max(0, min((instant - start) * room // max(end - start, 1), room - 1))


def instant_of(line: Timeline, room: int, column: int, now: int) -> int | None:
    """The last instant of a column, whose health is its colour; None from the present on."""
    start, end = span_of(line)
    instant = start + (max(column, 0) + 1) * (end - start) // max(room, 1) - 1
    return instant if instant < now and column < room - 1 else None


def bar_ns(line: Timeline, room: int) -> int:
    """What `<` and `>` move by: a bar, but a column where there are fewer columns."""
    start, end = span_of(line)
    return max(line.step_ns, (end - start) // max(room, 1), measure.SECOND)


def step_ns(line: Timeline, room: int) -> int:
    """What `,` and `.` move by: a sixteenth of a bar in whole seconds, a second at least."""
    return max(bar_ns(line, room) // 16 // measure.SECOND, 1) * measure.SECOND


def picture(scene: Scene, width: int) -> Canvas:
    """Two rows; one below a hundred columns, where flags stand in the bars."""
    c = Canvas(width, 2 if width >= WIDE else 1, "pbg" if scene.past else "sf")
    _words(c, scene)
    room, line = bars_of(width), scene.live
    if line is None or not line.bars:
        c.repeat(X0, 0, room, "·", "ln")
        return c.sealed()
    now = scene.live_now
    cursor = _cursor(scene, line, room)
    _volume(c, _filled(line, now), room, room if cursor is None else cursor, scene.past)
    flags = _flags(line, room)
    if c.height > 1:
        _ticks(c, line, room, flags, now)
        end = "now" if scene.past else f"{measure.clock(now)[:5]} UTC"
        if not any(flag >= room - len(end) - 3 for flag in flags):
            c.right(X0 + room - 1, 1, (end, "mut"))
    for column, flag in flags.items():
        c.put(X0 + column, c.height - 1, *flag)
    if cursor is not None:
        c.fill(X0 + cursor, 0, 1, "past")
        c.put(X0 + cursor, 0, "▼", "bg b")
    return c.sealed()


def _words(c: Canvas, scene: Scene) -> None:
    """Which moment this is: live, frozen, old, past, or under way to another one."""
    now = scene.now
    travels = scene.aim != scene.moment
    if scene.silent_s is not None:
        glyph, word, ink, below = "◌", "LAST", "warn b", f"{measure.age(scene.silent_s * measure.SECOND)} old"
    elif travels:
        glyph, word, ink, below = "◀", "GOING", "past b", "to the present"
        if scene.aim is not None:
            below = "asks for then"
    elif scene.past:
        glyph, word, ink = "◀", "PAST", "past b"
        below = f"{measure.age(max(scene.live_now - now, 0))} ago"
        below = below if _same_day(now, scene) else f"{measure.clock(now)[:5]} {below}"
    elif scene.frozen:
        glyph, word, ink, below = "◐", "FROZEN", "acc b", "u goes on"
    else:
        glyph, word, ink, below = "●", "LIVE", "hi b", f"at {measure.count(scene.position)}"
    if travels and scene.silent_s is None:
        then = _place(scene.aim)
    else:
        then = measure.clock(now) if _same_day(now, scene) else measure.day(now)
    c.line(1, 0, [(glyph, "ok b" if glyph == "●" else ink), (f" {word} {then}", ink)], X0 - 2)
    c.put(3, 1, below, "txt" if scene.past else "mut", X0 - 4)


def _place(aim: At | None) -> str:
    if aim is None:
        return "LIVE"
    return measure.clock(aim.instant) if aim.instant is not None else f"@{aim.position or 0:,}"


def _same_day(now: int, scene: Scene) -> bool:
    return not now or not scene.live_now or now // measure.DAY == scene.live_now // measure.DAY


def _cursor(scene: Scene, line: Timeline, room: int) -> int | None:
    """Where one is, or is going to: that is painted before the answers come."""
    if scene.aim is None:
        return None
    instant = scene.aim.instant if scene.aim.instant is not None else scene.now
    return column_of(line, room, instant)


def _filled(line: Timeline, now: int) -> list[Bar]:
    """The bars with the present one as high as it would be if it were full; too young, it is like the one before."""
    last = line.bars[-1]
    part = (now - last.at) / line.step_ns
    if part >= 1:
        return line.bars
    if part >= _FILLED_MIN:
        events = round(last.events / part)
    else:
        events = max(line.bars[-2].events if len(line.bars) > 1 else 0, last.events)
    return [*line.bars[:-1], Bar(last.at, events, last.severity)]


def _volume(c: Canvas, bars: Sequence[Bar], room: int, cursor: int, past: bool) -> None:
    shown = fit(bars, room)
    peak = max((bar.events for bar in shown), default=0) or 1
    for column, bar in enumerate(shown):
        calm = bar.severity in ("ok", "unknown")
        lived = "mut" if past and column <= cursor else "fnt"
        if bar.events == 0 and calm:
            c.put(X0 + column, 0, "·", "fnt" if past else "ln")
        else:
            level = round(bar.events / peak * _LEVELS)
            c.put(X0 + column, 0, measure.EIGHTHS[level], lived if calm else light(bar.severity)[1])


def _flags(line: Timeline, room: int) -> dict[int, tuple[str, str]]:
    """Where incidents begin, glyph and ink by column: of several the worst."""
    flags: dict[int, tuple[str, str]] = {}
    for incident in line.incidents:
        column = column_of(line, room, incident.at)
        if column not in flags or incident.severity == "bad":
            flags[column] = light(incident.severity)
    return flags


def _ticks(c: Canvas, line: Timeline, room: int, flags: Collection[int], now: int) -> None:
    """Round clock times under the bars, as far apart as they need; none where a flag or the present stands."""
    start, end = span_of(line)
    every = next((tick for tick in _TICKS if tick * room >= _TICK_GAP_MIN * (end - start)), _TICKS[-1])
    for instant in range(-(-start // every) * every, min(now, end), every):
        column = column_of(line, room, instant)
        text = f"╵{measure.clock(instant)[:5]}"
        free = not any(column - 1 <= flag <= column + len(text) for flag in flags)
        if free and column + len(text) < room - 11:
            c.put(X0 + column, 1, text, "mut")


def incident_before(line: Timeline, instant: int) -> Incident | None:
    """The last one before an instant."""
    return next((incident for incident in reversed(line.incidents) if incident.at < instant), None)


def incident_after(line: Timeline, instant: int) -> Incident | None:
    """The first one after an instant."""
    return next((incident for incident in line.incidents if incident.at > instant), None)
