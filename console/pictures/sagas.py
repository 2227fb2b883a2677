"""The saga inbox: worst first, with the steps and the cause of the one under the cursor."""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle, width_of
from console.pictures.parts import commands, heading, light, loud, wrap
from console.pictures.table import Column, Row
from controlplane.questions import Link, Saga, SagaRow, Sagas, SagaStep

COLUMNS = (
    Column("", 1), Column("saga", 14, grow=24), Column("last step", 21, grow=32), Column("by", 14, "l", 4, 32),
    Column("step", 4, "r", 4), Column("for", 7, "r"), Column("typical", 7, "r", 3), Column("×p95", 5, "r", 2),
    Column("why", 0),
)  # fmt: skip
SORTS = (("worst", None), ("waiting", 5), ("steps", 4), ("saga", 1), ("last step", 2))
STATES = ("open", "stuck", "finished", "failed", "all")
"""What `b` goes through."""


def rows(answer: Sagas) -> list[Row]:
    """Table rows in the plane's order."""
    return [_row(saga) for saga in answer.rows]


def state_light(saga: SagaRow) -> tuple[str, str]:
    """A finished saga is done, a failed one is red, an open one has its severity."""
    return ("■", "bad") if saga.state == "failed" else light(saga.severity)


def _row(saga: SagaRow) -> Row:
    glyph, ink = state_light(saga)
    words = loud(saga.severity) if saga.state == "open" else "mut"
    stuck = saga.severity in ("warn", "bad") and saga.state == "open"
    why = saga.why or {"open": "running", "finished": "finished", "failed": "failed"}.get(saga.state, saga.state)
    ratio = measure.UNKNOWN if saga.ratio is None else f"{saga.ratio:.1f}" if saga.ratio < 1000 else "999+"
    bold = " b" if saga.severity == "bad" else ""
    cells: tuple[Span, ...] = (
        (glyph, ink + bold),
        (saga.saga, "hi" if stuck else "txt"),
        (saga.step, "txt"),
        (saga.source, "mut"),
        (str(saga.steps), "mut"),
        (measure.age(saga.waiting_ns), words + bold if stuck else "txt"),
        (measure.age(saga.typical_ns), "mut" if saga.typical_ns is not None else "fnt"),
        (ratio, words if stuck else "mut" if saga.ratio is not None else "fnt"),
        (why, "txt" if saga.why and stuck else "mut"),
    )
    order = (0, saga.saga, saga.step, saga.source, -saga.steps, -saga.waiting_ns, 0, -(saga.ratio or 0), "")
    return Row(saga.saga, saga.severity, cells, order, f"{saga.saga} {saga.step} {saga.source}")


def preview(saga: Saga, now: int, width: int, height: int) -> Canvas:
    """The newest steps with how long each took, and why it waits."""
    c = Canvas(width, height)
    if width < 100:
        rows_left = max(2, height // 2)
        c.paste(steps(saga, now, width - 2, rows_left), 0, 0)
        c.paste(why(saga, now, width - 2, height - rows_left), 0, rows_left)
        return c.sealed()
    left = 58 if width < 140 else width * 2 // 5
    c.paste(steps(saga, now, left + 2, height), 0, 0)
    c.paste(why(saga, now, width - left - 5, height), left + 3, 0)
    return c.sealed()


def steps(saga: Saga, now: int, width: int, height: int) -> Canvas:
    """`● plan  planner  6s ━━`: the newest steps, two cells of gutter."""
    c = Canvas(width, height)
    row = saga.row
    hidden = max(0, len(saga.steps) - (height - 1))
    note = f"{measure.many(row.steps, 'step')}, started {measure.moment(row.started, now)}"
    heading(c, 2, 0, width - 2, middle(row.saga, 24), note + (f"; the last {height - 1}" if hidden else ""))
    shown = saga.steps[hidden:]
    by = 12 + max(0, min(12, (width - 60) // 2))
    name = max(16, width - 26 - by)
    longest = max((step.took_ns for step in saga.steps), default=0)
    for y, step in enumerate(shown, start=1):
        last = step is saga.steps[-1] and row.state == "open"
        severity = row.severity if last else "warn" if step.failed else "ok"
        glyph, ink = light(severity) if severity != "ok" else ("◐" if last else "●", "acc" if last else "okd")
        c.line(2, y, [(glyph, ink), (f" {middle(step.type, name)}", "hi b" if last else "txt")], name + 2)
        c.put(5 + name, y, middle(step.source, by), "mut")
        ended = step is saga.steps[-1] and row.state != "open"
        aged, words = "" if ended else measure.age(step.took_ns), loud(severity) if severity != "ok" else "txt"
        c.put(6 + name + by, y, aged, words, 6, "r")
        room = width - 14 - name - by
        share = 0 if longest == 0 or ended else max(1, round(min(12, room) * step.took_ns / longest))
        c.repeat(14 + name + by, y, share, "━", loud(severity) if severity != "ok" else "fnt")
    return c


def chain(c: Canvas, x: int, y: int, width: int, links: Sequence[Link], now: int, places: bool = False) -> int:
    """The chain of causes: each fact with its age, and its position if `places`. Returns the next row."""
    for i, link in enumerate(links):
        if link.ruled_out:
            continue
        indent = 0 if i == 0 else 2 * min(link.depth, 4)
        mark: list[Span] = [("╰ ", "fnt")] if link.depth else []
        aged = measure.age(now - link.at) if link.at else ""
        margin = (8 if link.at else 0) + (12 if places else 0) if link.at or link.position else 0
        room = width - indent - margin
        first, *more = wrap(link.text, max(room - 2 * bool(mark), 8), 2) or [""]
        c.line(x + indent, y, [*mark, (first, "hi" if i == 0 else "txt")], room)
        end = x + width - (12 if places else 0)
        c.put(end - 7, y, aged, "mut", 7, "r")
        if places and link.position:
            c.put(end, y, measure.count(link.position), "mut", 12, "r")
        y += 1
        for rest in more:
            c.put(x + indent + 2, y, rest, "hi" if i == 0 else "txt", room - 2)
            y += 1
    return y


def ruled_out(c: Canvas, x: int, y: int, width: int, links: Sequence[Link]) -> int:
    """What it is not, as many to a row as fit. Returns the next row."""
    facts = [link.text for link in links if link.ruled_out]
    if not facts:
        return y
    c.put(x, y, "ruled out", "mut")
    at = x + 12
    for fact in facts:
        size = width_of(fact) + 2
        if at > x + 12 and at + size > x + width:
            at, y = x + 12, y + 1
        c.put(at, y, "✓", "okd")
        at = c.put(at + 2, y, fact, "mut", min(size - 2, x + width - at - 2)) + 3
    return y + 1


def why(saga: Saga, now: int, width: int, height: int) -> Canvas:
    """Why it waits and what frees it; two cells of gutter."""
    c = Canvas(width, height)
    facts = [link for link in saga.why if not link.ruled_out]
    if saga.row.state != "open":
        note = f"{saga.row.state} after {measure.age(saga.row.last - saga.row.started)}"
    elif saga.row.severity in ("warn", "bad"):
        note = f"sure: {len(facts)} facts" if len(facts) > 1 else "one fact"
    else:
        note = "it runs as usual"
    heading(c, 2, 0, width - 2, "WHY", note)
    y = chain(c, 2, 1, width - 2, saga.why, now)
    y = ruled_out(c, 2, y + 1 if y < height - 3 else y, width - 2, saga.why)
    commands(c, 2, min(y + 1, height - 1), width - 2, saga.mend, height - y)
    return c


def last_step(saga: Saga) -> SagaStep | None:
    """The step it stands at."""
    return saga.steps[-1] if saga.steps else None
