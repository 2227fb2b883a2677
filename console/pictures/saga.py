"""One saga: its steps on a time line, why it stands where it stands, and what would free it.

A step is an event; its bar runs until the next event came. So a bar says how long the saga waited after that step,
which is what the console can know: the time inside the agent that answered next.
"""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle
from console.pictures.parts import commands, cursor, heading, light, loud
from console.pictures.sagas import chain, ruled_out, state_light
from controlplane.questions import Saga, SagaStep

_WHY_ROWS = 10
_AXIS_TICK = 18


def steps_shown(height: int, steps: int) -> int:
    """How many steps the time line of a body this high has room for."""
    return max(1, min(steps, height - 5 - min(_WHY_ROWS, max(4, height // 3))))


def picture(saga: Saga, now: int, selected: int, top: int, width: int, height: int, past: bool = False) -> Canvas:
    """The whole body. `selected` is a step's place, `top` the first that is shown; in the `past` its end is no now."""
    c = Canvas(width, height)
    _title(c, saga, now, width)
    shown = steps_shown(height, len(saga.steps))
    hidden = len(saga.steps) - shown
    note = "a bar runs until the next event" + (
        f"; {top + 1} to {top + shown} of {len(saga.steps)}" if hidden > 0 else ""
    )
    heading(c, 2, 2, width - 4, "TIMELINE", note)
    _timeline(c, saga, now, selected, saga.steps[top : top + shown], top, past)
    y = 5 + shown
    if width >= 100:
        left = (width - 4) * 9 // 16
        c.paste(why(saga, now, left, height - y, mends=False), 2, y)
        c.paste(_step(saga, now, selected, width - 7 - left, height - y), left + 5, y)
    else:
        c.paste(why(saga, now, width - 4, height - y), 2, y)
    return c.sealed()


def _title(c: Canvas, saga: Saga, now: int, width: int) -> None:
    row = saga.row
    end = now if row.state == "open" else row.last
    glyph, ink = state_light(row)
    stuck = row.state == "open" and row.severity in ("warn", "bad")
    word = f"STUCK {measure.age(row.waiting_ns)}" if stuck else row.state
    spans: list[Span] = [(middle(row.saga, 36), "hi b")]
    spans += [("   started ", "mut"), (measure.moment(row.started, now), "txt")]
    spans += [("   running " if row.state == "open" else "   took ", "mut"), (measure.age(end - row.started), "txt")]
    spans += [("   steps ", "mut"), (f"{row.steps}", "txt"), (f"   {glyph} {word}", f"{ink} b")]
    c.line(2, 0, spans, width - 4)


def _timeline(c: Canvas, saga: Saga, now: int, selected: int, steps: Sequence[SagaStep], top: int, past: bool) -> None:
    width, row = c.width, saga.row
    name = 26 if width >= 100 else 18
    x0 = 2 + 7 + name + 16 + 8
    x1 = width - 2
    first = saga.steps[0].time if saga.steps else row.started
    end = max(now if row.state == "open" else row.last, first + 1)
    room = max(x1 - x0, 1)
    _axis(c, x0, room, first, end, "end" if row.state != "open" else "then" if past else "now")
    for i, step in enumerate(steps):
        y, place = 4 + i, top + i
        last = place == len(saga.steps) - 1
        waits = last and row.state == "open"
        severity = row.severity if waits else "warn" if step.failed else "ok"
        if place == selected:
            cursor(c, 2, y, width - 4)
        glyph, ink = ("◐", "acc") if waits and severity == "ok" else light(severity)
        if last and row.state == "failed":
            glyph, ink = light("bad")
        c.put(3, y, glyph, ink)
        c.put(5, y, str(place + 1), "mut", 3, "r")
        c.put(9, y, middle(step.type, name), "hi b" if waits else "txt")
        c.put(10 + name, y, middle(step.source, 14), "mut")
        c.put(
            25 + name,
            y,
            "" if last and not waits else measure.took(step.took_ns),
            loud(severity) if waits else "txt",
            6,
            "r",
        )
        begin = x0 + min(room - 1, (step.time - first) * room // (end - first))
        size = max(1, min(x0 + (step.time + step.took_ns - first) * room // (end - first), x1) - begin)
        if severity == "ok":
            c.repeat(begin, y, size, "░" if waits else "█", "fnt" if waits else "mut")
        else:
            c.repeat(begin, y, size, "▒" if waits else "█", loud(severity))


def _axis(c: Canvas, x0: int, room: int, first: int, end: int, last: str) -> None:
    precise = end - first < 10 * measure.MINUTE
    for x in range(0, room - 14, _AXIS_TICK):
        at = measure.clock(first + (end - first) * x // room)
        c.put(x0 + x, 3, f"╷{at if precise else at[:5]}", "mut")
    c.right(x0 + room, 3, (f"{last}╷", "mut"))


def why(saga: Saga, now: int, width: int, height: int, mends: bool = True) -> Canvas:
    """The chain of facts with their positions, what is usual here, and what was ruled out."""
    c = Canvas(width, height)
    row = saga.row
    heading(c, 0, 0, width, "WHY", "each line is a fact in the journal")
    y = chain(c, 0, 1, width, saga.why, now, places=width >= 60)
    said = any(link.text.startswith("usual") for link in saga.why)
    if row.typical_ns is not None and not said and y < height:
        spans: list[Span] = [("usual here  ", "mut"), (measure.age(row.typical_ns), "txt"), (", p95 ", "mut"),
                             (measure.age(row.p95_ns), "txt")]  # fmt: skip
        if row.ratio is not None and row.state == "open":
            spans += [("; it has waited ", "mut"), (f"{row.ratio:.1f} × p95", f"{loud(row.severity)} b")]
        c.line(0, y + 1 if y + 1 < height else y, spans, width)
        y += 2
    y = ruled_out(c, 0, y, width, saga.why)
    if mends and saga.mend:
        at = max(1, min(y, height - 1))  # what frees it is never what is cut
        c.repeat(0, at, width, " ", "")
        commands(c, 0, at, width, saga.mend, max(1, height - y))
    return c


def _step(saga: Saga, now: int, selected: int, width: int, height: int) -> Canvas:
    """What frees it, then the step under the cursor."""
    c = Canvas(width, height)
    y = 0
    if saga.mend:
        heading(c, 0, 0, width, "MEND")
        y = commands(c, 0, 1, width, saga.mend, 4 if height > 14 else 3) + 1
    if 0 <= selected < len(saga.steps):
        step = saga.steps[selected]
        heading(
            c, 0, y, width, "STEP", f"{selected + 1} of {max(saga.row.steps, len(saga.steps)):,}; enter opens the event"
        )
        facts = (
            ("type", step.type), ("source", step.source), ("id", middle(step.id, max(width - 11, 8))),
            ("time", f"{measure.clock(step.time, 3)} {measure.day(step.time)}"),
            ("where", f"p{step.partition:02d} at {step.offset:,}, position {step.position:,}"),
        )  # fmt: skip
        for i, (label, value) in enumerate(facts, start=1):
            c.put(0, y + i, label, "mut")
            c.put(10, y + i, value, "txt", width - 10)
        if step.failed:
            c.line(0, y + 6, [("▲", "warn"), (" a group's delivery of it ended as a dead letter", "warn")], width)
    return c
