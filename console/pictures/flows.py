"""Flows: one row a source, type and group; the map of the selected one and its neighbours; why it is late."""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle, width_of
from console.pictures.board import flow_key
from console.pictures.parts import TREND, commands, heading, light, loud, paragraph
from console.pictures.table import Column, Row
from controlplane.questions import FlowRow, Flows

COLUMNS = (
    Column("", 1), Column("source", 14), Column("type", 0), Column("group", 10), Column("/s", 6, "r"),
    Column("last 5m", 9, "l", 3), Column("err%", 5, "r", 2), Column("p50", 6, "r", 4), Column("p99", 6, "r", 3),
    Column("behind", 8, "r"), Column("eta", 6, "r", 2), Column("ledger", 9, "r", 3),
)  # fmt: skip
SORTS = (("worst", None), ("rate", 4), ("errors", 6), ("behind", 9), ("source", 1), ("type", 2), ("group", 3))
"""What `O` goes through: name and column."""


def rows(answer: Flows) -> list[Row]:
    """Table rows in the plane's order; sparks share one scale in the column."""
    top = float(max((max(flow.recent, default=0) for flow in answer.rows), default=0))
    return [_row(flow, top) for flow in answer.rows]


def _row(flow: FlowRow, top: float) -> Row:
    glyph, ink = light(flow.severity)
    bad = flow.severity == "bad"
    words = loud(flow.severity)
    late = "orphan" if not flow.group else "–" if flow.behind_ns is None else _late(flow)
    share = flow.error_share
    error_ink = "mut" if share is None else "bad" if share >= 0.5 else "warn" if share >= 0.05 else "txt"
    cells: tuple[Span, ...] = (
        (glyph, f"{ink} b" if bad else ink),
        (middle(flow.source, 14) or "·", "txt"),
        (middle(flow.type, 48), "txt"),
        (middle(flow.group, 10) or "nobody", "txt" if flow.group else words),
        (measure.short_rate(flow.rate), "bad b" if bad and flow.rate == 0 else "txt"),
        (measure.spark(flow.recent[-9:], top), "bad" if bad else "fnt"),
        (measure.percent(share, 1), error_ink if share is not None else "fnt"),
        (measure.took(flow.p50_ns), "mut" if flow.p50_ns is not None else "fnt"),
        (measure.took(flow.p99_ns), "mut" if flow.p99_ns is not None else "fnt"),
        (late, words if flow.behind_ns is not None or not flow.group else "fnt"),
        (eta(flow), "warn" if flow.eta_ns == -1 else "mut"),
        (flow.ledger or measure.UNKNOWN, "mut"),
    )
    key = flow_key(flow.source, flow.type, flow.group)
    order = (0, flow.source, flow.type, flow.group, -flow.rate, 0, -(share or 0), 0, 0, -(flow.behind_ns or 0), 0, "")
    return Row(key, flow.severity, cells, order, f"{flow.source} {flow.type} {flow.group}")


def _late(flow: FlowRow) -> str:
    return f"{measure.lag(flow.behind_ns)} {TREND[flow.trend]}"


def eta(flow: FlowRow) -> str:
    """Until level at the present rates."""
    return measure.UNKNOWN if flow.eta_ns is None else "never" if flow.eta_ns < 0 else measure.age(flow.eta_ns)


def selected(answer: Flows, key: str | None) -> FlowRow | None:
    """The flow with this key."""
    return next((f for f in answer.rows if flow_key(f.source, f.type, f.group) == key), None)


def detail(answer: Flows, flow: FlowRow | None, width: int, height: int) -> Canvas:
    """Below the table: the map where there is room for it, then why and what to do."""
    c = Canvas(width, height)
    if flow is None:
        return c
    y = 0
    if width >= 100 and height >= 13:
        lines = map_lines(answer.rows, flow)
        rows_free = height - 9
        shown = lines[: rows_free - 2]
        c.paste(flow_map(shown, flow, max((f.rate for f in answer.rows), default=0.0), width), 0, 0)
        y = len(shown) + 3
    c.paste(why(flow, width, height - y), 0, y)
    return c.sealed()


def map_lines(flows: Sequence[FlowRow], chosen: FlowRow) -> list[FlowRow]:
    """The selected flow's neighbours, in the order they are drawn: its source, its type, its group.

    Grouped so that one source's types and one type's groups stand together, the selected ones first.
    """

    def near(flow: FlowRow) -> int:
        if flow.source == chosen.source and flow.type == chosen.type:
            return 0
        if flow.source == chosen.source:
            return 1
        if flow.type == chosen.type:
            return 2
        return 3 if flow.group == chosen.group and chosen.group else 9

    neighbours = [flow for flow in flows if near(flow) < 9]
    best: dict[str, int] = {}
    edge: dict[tuple[str, str], int] = {}
    for flow in neighbours:
        best[flow.source] = min(best.get(flow.source, 9), near(flow))
        pair = (flow.source, flow.type)
        edge[pair] = min(edge.get(pair, 9), near(flow))
    order = {source: i for i, source in enumerate(best)}
    return sorted(
        neighbours,
        key=lambda f: (best[f.source], order[f.source], edge[f.source, f.type], f.type, f is not chosen),
    )


def flow_map(lines: Sequence[FlowRow], chosen: FlowRow, peak: float, width: int) -> Canvas:
    """Sources, types and groups in three columns; a line's weight is its rate, a sick edge has its colour."""
    c = Canvas(width, len(lines) + 2)
    where = " ▸ ".join((chosen.source or "·", chosen.type, chosen.group or "nobody"))
    heading(c, 2, 0, width - 4, "MAP", f"{where}, and its neighbours; line weight is rate")
    left, kind = 23, 46
    group = width - 32
    for title, x in (("source", 2), ("type", kind), ("group", group)):
        c.put(x, 1, title, "mut")
    for i, flow in enumerate(lines):
        y = 2 + i
        before = lines[i - 1] if i else None
        same_source = before is not None and before.source == flow.source
        same_type = before is not None and same_source and before.type == flow.type
        strong = flow is chosen
        if not same_source:
            c.put(2, y, middle(flow.source or "·", left - 4), "hi" if flow.source == chosen.source else "txt")
        if not same_type:
            _edge_in(c, y, left, kind, flow, peak, same_source)
            c.put(kind, y, middle(flow.type, group - kind - 12), "hi b" if strong else "hi")
        _edge_out(c, y, kind, group, flow, peak, same_type)
        _group_end(c, y, group, flow, width)
    _stems(c, lines, left, kind, group)
    return c


def _stroke(flow: FlowRow, peak: float) -> tuple[str, str]:
    if flow.severity == "bad":
        return "┄", "bad"
    ink = "warn" if flow.severity == "warn" else ""
    if flow.rate >= 0.6 * peak > 0:
        return "━", ink or "mut"
    return ("─", ink or "fnt") if flow.rate >= 0.1 * peak > 0 else ("┄", ink or "fnt")


def _edge_in(c: Canvas, y: int, left: int, kind: int, flow: FlowRow, peak: float, branch: bool) -> None:
    char, ink = _stroke(flow, peak)
    ink = "bad" if ink == "bad" else "mut" if char == "━" else "fnt"
    start = left + 3 if branch else left
    c.repeat(start, y, kind - 2 - start, char, ink)
    if branch:
        c.put(start, y, "╰", ink)
    c.put(left + 7, y, f" {measure.short_rate(flow.rate)}/s ", "bad b" if flow.severity == "bad" else "hi")
    c.put(kind - 2, y, "▸", ink)


def _edge_out(c: Canvas, y: int, kind: int, group: int, flow: FlowRow, peak: float, branch: bool) -> None:
    char, ink = _stroke(flow, peak)
    start = group - 13 if branch else kind + min(width_of(flow.type), group - kind - 12) + 1
    c.repeat(start, y, group - 2 - start, char, ink)
    if branch:
        c.put(start, y, "╰", ink)
    if flow.severity == "bad":
        c.put(group - 7, y, "■", "bad b")
    c.put(group - 2, y, "▸", ink)


def _group_end(c: Canvas, y: int, x: int, flow: FlowRow, width: int) -> None:
    glyph, ink = light(flow.severity)
    c.line(x, y, [(glyph, ink), (f" {middle(flow.group or 'nobody', 14)}", "txt")], 17)
    note = "orphan, kept" if not flow.group else _late(flow) if flow.behind_ns is not None else flow.why or "level"
    c.put(x + 18, y, note, loud(flow.severity), width - 2 - x - 18)


def _stems(c: Canvas, lines: Sequence[FlowRow], left: int, kind: int, group: int) -> None:
    """The upright strokes that join a source's types, and a type's groups."""
    for i in range(1, len(lines)):
        y = 2 + i
        if lines[i].source == lines[i - 1].source and lines[i].type == lines[i - 1].type:
            above = c.rows[y - 1][group - 13][0] if group - 13 < c.width else " "
            ink = _stroke(lines[i - 1], 0.0)[1]
            c.put(group - 13, y - 1, "├" if above == "╰" else "┳" if above == "━" else "┬", ink)
        first = next(j for j, flow in enumerate(lines) if flow.source == lines[i].source)
        new_type = lines[i].type != lines[i - 1].type
        if lines[i].source == lines[i - 1].source and new_type:
            for j in range(first, i):
                above = c.rows[2 + j][left + 3][0]
                c.put(left + 3, 2 + j, {"━": "┳", "─": "┬", "┄": "┬", "╰": "├", " ": "│"}.get(above, above), "fnt")


def why(flow: FlowRow, width: int, height: int) -> Canvas:
    """The flow's state in words, the figures behind it, and the command that mends it."""
    c = Canvas(width, height)
    room = width - 4
    who = flow.group or flow.source or flow.type
    late = f"is {measure.lag(flow.behind_ns)} behind" if flow.behind_ns else "is not well"
    state = "nobody listens" if not flow.group else f"{who} {'keeps up' if flow.severity == 'ok' else late}"
    heading(c, 2, 0, room, "WHY", state)
    y = 1
    if flow.why:
        c.put(2, y, *light(flow.severity))
        y = paragraph(c, 4, y, room - 2, 2, flow.why)
    c.put(2, y, "●", "okd")
    facts = [
        f"{measure.short_rate(flow.rate)}/s now, {flow.total:,} in all",
        f"{flow.waiting:,} waiting" if flow.group else "kept, and delivered to whoever subscribes",
    ]
    if flow.p50_ns is not None:
        facts.append(f"append to ack p50 {measure.took(flow.p50_ns)}, p99 {measure.took(flow.p99_ns)}")
    if flow.eta_ns is not None:
        facts.append("never level at these rates" if flow.eta_ns < 0 else f"level in about {eta(flow)}")
    y = paragraph(c, 4, y, room - 2, 2, "; ".join(facts), "mut")
    if flow.mend:
        y -= 1 if y + 1 >= height else 0
        commands(c, 2, y + 1, room, [flow.mend], height - y - 1)
    return c
