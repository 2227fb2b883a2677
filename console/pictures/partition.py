"""One partition: how far each replica has come, what flows through it, who is slowest, and why it is not well.

A replica's bar spans the newest offsets only, as many as the furthest replica lacks and a quarter more: so a gap of
forty among millions is seen, and where there is none every bar is full.
"""

from collections.abc import Sequence
from dataclasses import replace

from console import measure
from console.canvas import Canvas, Span, middle
from console.pictures.parts import TREND, commands, heading, light, loud, paragraph, wrap
from console.pictures.table import Column, Row, table
from console.pictures.tracks import REPLICA
from controlplane.questions import BrokerStatus, PartitionStatus, ReplicaStatus

STATE_WORD = {"leader": "leads", "in_sync": "in sync", "lagging": "lags", "off": "off"}
STANDING = {"ok": "ALL IN SYNC", "warn": "NOT ALL IN SYNC", "bad": "REFUSES", "unknown": "BEGINS"}
_BAR = 24
COLUMNS = (
    Column("", 1), Column("broker", 6), Column("replica", 8), Column("end", 9, "r"), Column("behind", 7, "r"),
    Column("lag", 6, "r"), Column("newest", _BAR, "l", 3), Column("its broker", 0),
)  # fmt: skip
_CHART_BAR = 5
Fact = tuple[Span, str, str]
"""A light, a sentence, and the sentence's ink."""


def name(p: PartitionStatus) -> str:
    """`p07`."""
    return f"p{p.partition:02d}"


def replica_word(state: str) -> str:
    """How a replica stands, in a word."""
    return STATE_WORD.get(state, state)


def replica_light(state: str) -> tuple[str, str]:
    """Glyph and ink of a replica's state."""
    return REPLICA.get(state, ("◌", "mut"))


def in_sync(p: PartitionStatus) -> int:
    """How many replicas are in sync, the leader included."""
    return sum(r.state in ("leader", "in_sync") for r in p.replicas)


def furthest(p: PartitionStatus) -> int:
    """The end of the log where it is longest."""
    return max((r.end for r in p.replicas), default=0)


def picture(
    p: PartitionStatus,
    brokers: Sequence[BrokerStatus],
    cursor: str | None,
    width: int,
    height: int,
    past: bool = False,
) -> Canvas:
    """The whole body; `cursor` is the broker whose replica it is on; in the `past` the end of its course is no now."""
    c = Canvas(width, height)
    _title(c, p, width)
    y = 2
    c.paste(replicas(p, brokers, cursor, width, len(p.replicas) + 2), 0, y)
    y += len(p.replicas) + 3
    reasons = facts(p)
    needed = why_height(reasons, [p.mend] if p.mend else [], width - 4)
    room = height - y - needed - 1
    if width >= 100 and room >= 6:
        rows = min(room, 7)
        left = (width - 7) // 2
        c.paste(course(p, left + 2, rows, past), 0, y)
        c.paste(traffic(p, width - left - 5, rows), left + 3, y)
        y += rows + 1
    elif room >= 6:
        c.paste(traffic(p, width, 5), 0, y)
        y += 6
    else:
        c.line(2, y, _marks(p), width - 4)
        y += 1 + (room >= 2)
    c.paste(why(headline(p), reasons, [p.mend] if p.mend else [], width, height - y), 0, y)
    return c.sealed()


def _title(c: Canvas, p: PartitionStatus, width: int) -> None:
    glyph, ink = light(p.severity)
    spans: list[Span] = [
        (f"{name(p)}  ", "hi b"),
        (glyph, ink),
        (f" {STANDING.get(p.severity, p.severity)}", f"{ink} b"),
    ]
    spans += [("   leader ", "mut"), (p.leader or "nobody", "acc b" if p.leader else "bad b")]
    spans += [("   epoch ", "mut"), (f"{p.epoch:,}", "txt")]
    end = c.line(2, 0, spans)
    right: list[Span] = [(measure.short_rate(p.rate), "hi b"), ("/s", "mut")]
    if p.refused_rate:
        right = [(f"{measure.short_rate(p.refused_rate)}/s refused", "bad b"), ("   ", ""), *right]
    if end + 2 + sum(len(text) for text, _ in right) <= width - 2:
        c.right(width - 2, 0, *right)


def headline(p: PartitionStatus) -> str:
    """The note beside WHY: the partition and how it stands."""
    if p.leader is None:
        return f"{name(p)} has no leader"
    stands = {"ok": "is well", "bad": "refuses publishes"}.get(
        p.severity, f"takes publishes, {in_sync(p)} of {len(p.replicas)} in sync"
    )
    return f"{name(p)} {stands}"


def replicas(
    p: PartitionStatus, brokers: Sequence[BrokerStatus], cursor: str | None, width: int, height: int
) -> Canvas:
    """A row a replica: end, what it lacks in events and in time, the newest offsets as a bar, and its broker."""
    c = Canvas(width, height)
    heading(c, 2, 0, width - 4, "REPLICAS", f"{in_sync(p)} of {len(p.replicas)} in sync")
    known = {b.id: b for b in brokers}
    gap = max((furthest(p) - r.end for r in p.replicas), default=0)
    window = max(gap + gap // 4, 1)
    columns = tuple(replace(k, title=f"newest {window:,}") if k.title == "newest" and gap else k for k in COLUMNS)
    rows = [_replica(r, furthest(p), window if gap else 0, known.get(r.broker)) for r in p.replicas]
    c.paste(table(columns, rows, width, height - 1, 0, cursor), 0, 1)
    return c


def _replica(r: ReplicaStatus, top: int, window: int, broker: BrokerStatus | None) -> Row:
    glyph, ink = replica_light(r.state)
    lacks = top - r.end
    late = "warn" if r.state == "lagging" else "mut"
    full = _BAR if window == 0 else max(0, min(_BAR - bool(lacks), round(_BAR * (window - lacks) / window)))
    state = "unknown" if broker is None else broker.state + (f": {broker.why}" if broker.why else "")
    well = broker is not None and broker.state == "up"
    cells: tuple[Span, ...] = (
        (glyph, ink),
        (r.broker, "hi" if r.state == "leader" else "txt"),
        (replica_word(r.state), ink.removesuffix(" b") if r.state in ("lagging", "off") else "txt"),
        (measure.count(r.end), "txt"),
        (measure.count(lacks) if lacks else "level", late if lacks else "fnt"),
        (measure.lag(r.lag_ns) if r.lag_ns else measure.UNKNOWN, late if r.lag_ns else "fnt"),
        ("━" * full + "┄" * (_BAR - full), ink.removesuffix(" b") if r.state != "in_sync" else "okd"),
        (state, "mut" if well else "txt"),
    )
    return Row(r.broker, "ok", cells)


def course(p: PartitionStatus, width: int, height: int, past: bool = False) -> Canvas:
    """The last two minutes as bars; two cells of gutter on the left."""
    c = Canvas(width, height)
    peak = max(p.recent, default=0)
    heading(c, 2, 0, width - 2, "LAST 2 MINUTES", f"events in each {120 // max(len(p.recent), 1)} s")
    if not peak:
        c.line(2, 1, [("●", "okd"), (" no event came", "mut")])
        return c
    rows = max(1, min(height - 2, 5))
    size = max(1, min(_CHART_BAR, (width - 13) // len(p.recent)))
    c.put(2, 1, measure.short_rate(peak), "mut", 7, "r")
    c.put(2, rows, "0", "mut", 7, "r")
    stopped = "bad" if p.severity == "bad" else "ln"
    for i, value in enumerate(p.recent):
        eighths = max(round(value * rows * 8 / peak), 1 if value else 0)
        for row in range(rows):
            part = min(8, eighths - row * 8)
            if part > 0:
                c.put(11 + i * size, rows - row, measure.EIGHTHS[part - 1] * size, "fnt")
        if not value:
            c.put(11 + i * size, rows, "▁" * size, stopped)
    c.put(11, rows + 1, "╵2m ago", "mut")
    c.right(11 + len(p.recent) * size, rows + 1, ("then╵" if past else "now╵", "mut"))
    return c


def traffic(p: PartitionStatus, width: int, height: int) -> Canvas:
    """The log's marks, the busiest flow and the slowest group; two cells of gutter."""
    c = Canvas(width, height)
    heading(c, 2, 0, width - 2, "LOG AND TRAFFIC")
    open_ = max(0, furthest(p) - p.high)
    behind = max(0, p.high - p.archived)
    lines: list[tuple[str, list[Span]]] = [
        (
            "high",
            [
                (measure.count(p.high), "txt"),
                (f"  {open_:,} not committed yet" if open_ else "  all is committed", "mut"),
            ],
        ),
        ("archived", [(measure.count(p.archived), "txt"), (f"  {behind:,} to go" if behind else "  level", "mut")]),
        ("slowest", slowest(p)),
    ]
    if p.busiest:
        lines.append(
            ("busiest", [(middle(p.busiest, 24), "txt"), (f"  {measure.percent(p.busiest_share)} of events", "mut")])
        )
    for y, (label, spans) in enumerate(lines[: max(height - 1, 0)], start=1):
        c.put(2, y, label, "mut")
        c.line(13, y, spans, width - 13)
    return c


def _marks(p: PartitionStatus) -> list[Span]:
    """The same in one line, where rows are few."""
    marks = [
        ("high ", "mut"),
        (measure.count(p.high), "txt"),
        ("   archived ", "mut"),
        (measure.count(p.archived), "txt"),
    ]
    return [*marks, ("   slowest ", "mut"), *slowest(p)]


def slowest(p: PartitionStatus) -> list[Span]:
    """The group that is furthest behind here, how far, and where that goes."""
    if not p.slowest_group:
        return [("no group listens here", "mut")]
    growing = p.trend == "growing" and bool(p.behind_ns)
    late = "level" if p.behind_ns is None else f"{measure.lag(p.behind_ns)} behind"
    trend = f" {TREND[p.trend]} {p.trend}" if p.behind_ns else ""
    return [
        (middle(p.slowest_group, 20), "txt"),
        (f"  {late}", "warn" if growing else "mut"),
        (trend, "warn" if growing else "mut"),
    ]


# ------------------------------------------------------------------ why


def facts(p: PartitionStatus) -> list[Fact]:
    """What is wrong with a partition, worst first, and what speaks for it."""
    found: list[Fact] = []
    if p.why:
        found.append((light(p.severity), p.why, "txt"))
    if p.refused_rate:
        found.append(
            (light("bad"), f"{measure.short_rate(p.refused_rate)}/s are refused; their publishers try again", "txt")
        )
    for r in p.replicas:
        lacks = furthest(p) - r.end
        if r.state == "lagging":
            late = f", {measure.lag(r.lag_ns)} late" if r.lag_ns else ""
            found.append(
                (replica_light(r.state), f"{r.broker} lacks the newest {measure.many(lacks, 'event')}{late}", "txt")
            )
        elif r.state == "off":
            short = f"; it lacks the newest {measure.many(lacks, 'event')}" if lacks else ""
            found.append((replica_light(r.state), f"{r.broker} is off{short}", "txt"))
    led = f"led by {p.leader} in epoch {p.epoch:,}" if p.leader else f"nobody leads; the last epoch was {p.epoch:,}"
    archived = "archived up to its high watermark" if p.archived >= p.high else f"{p.high - p.archived:,} not archived"
    well = f"all {len(p.replicas)} replicas in sync, " if in_sync(p) == len(p.replicas) else ""
    found.append((("●", "okd") if p.leader else ("○", "bad"), f"{well}{led}, {archived}", "mut"))
    return found


def why_height(reasons: Sequence[Fact], mends: Sequence[str], width: int) -> int:
    """Rows that `why` takes when nothing is left out."""
    return 1 + sum(len(wrap(text, width - 2, 2)) for _, text, _ in reasons) + (1 + len(mends) if mends else 0)


def why(note: str, reasons: Sequence[Fact], mends: Sequence[str], width: int, height: int) -> Canvas:
    """A heading, a line a fact, and the commands that mend; the mend is kept when rows are few."""
    c = Canvas(width, height)
    if height < 2:
        return c
    heading(c, 2, 0, width - 4, "WHY", note)
    full = why_height(reasons, mends, width - 4)
    kept = len(mends[:1]) if full > height else 0
    y = 1
    for (glyph, ink), text, text_ink in reasons:
        rows = min(2, height - kept - y)
        if rows < 1:
            break
        c.put(2, y, glyph, ink)
        y = paragraph(c, 4, y, width - 6, rows, text, text_ink)
    if mends:
        y += 1 if y + 1 + len(mends) <= height else 0
        commands(c, 2, y, width - 4, mends, height - y)
    return c


def severity_ink(severity: str) -> str:
    """The ink of a partition's name: bright only when it is not well."""
    return "txt" if loud(severity) == "mut" else "hi b"
