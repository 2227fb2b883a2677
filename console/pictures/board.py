"""The Board: is it well, what is not, why, what to do; then the tracks, and the worst of everything below.

The wide board is the picture of 120 × 36 and more; the narrow one keeps the order and gives up panels. `targets` lists
what the cursor can stand on, part by part, so that the keys and the picture agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from console import measure
from console.canvas import Canvas, Span, last_token, middle
from console.pictures import tracks as track_diagram
from console.pictures.parts import HEALTH, LIGHT, TREND, big, cursor, heading, light, loud, nothing_yet, panel
from controlplane.questions import Board, Need, PartitionStatus, Vital

WIDE_WIDTH, WIDE_HEIGHT = 100, 29
NEEDS_SHOWN, NARROW_NEEDS_SHOWN = 5, 3
EMPTY_FLEET = (
    ("see it work", "signalbox demo", "1,099 real messages among agents, at 20 × speed"),
    ("send one", "signalbox event publish order.created --source agent/shop", "prints partition, offset, replicas"),
    ("bring a log", "signalbox event import FILE.jsonl", "CloudEvents, one a line"),
    ("look closer", "signalbox doctor", "checks this machine and this fleet"),
)
"""What to do with a fleet that has no events: label, command, what it does."""


@dataclass(frozen=True)
class BoardView:
    """What the operator did: the target under the cursor; and how far each partition's train has stepped."""

    selected: str = ""
    trains: Mapping[int, int] = field(default_factory=dict)


def targets(board: Board) -> list[list[str]]:
    """The parts that `tab` walks and the targets in each, top to bottom: `need:0`, `partition:7`, `flow:…`."""
    parts = [
        [f"need:{i}" for i in range(min(len(board.needs), NEEDS_SHOWN))],
        [f"partition:{p.partition}" for p in board.status.partitions],
        [f"flow:{flow_key(f.source, f.type, f.group)}" for f in board.flows],
        [f"saga:{s.saga}" for s in board.sagas],
        [f"dead:{d.id}" for d in board.dead],
    ]
    return [part for part in parts if part]


def flow_key(source: str, type_: str, group: str) -> str:
    """A flow's key: its three names, joined by a character that none of them may hold."""
    return f"{source}\x1f{type_}\x1f{group}"


def picture(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    """The whole body of the Board, edges included."""
    if width >= WIDE_WIDTH and height >= WIDE_HEIGHT:
        return _wide(board, now, view, width, height).sealed()
    return _narrow(board, now, view, width, height).sealed()


def _wide(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    c = Canvas(width, height)
    c.paste(panel(width, 6, "SCORE", lambda w, h: summary(board, now, view, w, h)), 0, 0)
    c.paste(panel(width, 2, "VITALS", lambda w, h: vitals(board, w)), 0, 7)
    rows = 2 + min(max(len(board.status.partitions), 1), height - 10 - 7)
    selected = _selected_partition(view)
    painted = panel(width, rows, "TRACKS", lambda w, h: track_diagram.tracks(board.status, view.trains, w, h, selected))
    c.paste(painted, 0, 10)
    y = 11 + rows
    c.paste(panel(width, height - y, "FLOWS", lambda w, h: bottom(board, now, view, w, h)), 0, y)
    return c


def _selected_partition(view: BoardView) -> int | None:
    kind, _, name = view.selected.partition(":")
    return int(name) if kind == "partition" else None


def summary(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    """Score with its recent course on the left, what needs the operator on the right."""
    c = Canvas(width, height)
    counts = board.status.counts
    ink = _score_ink(board)
    heading(c, 2, 0, 17, "SCORE")
    x = big(c, 2, 1, measure.UNKNOWN if counts.score is None else str(counts.score), ink)
    c.put(x, 1, "of 100", "mut", 21 - x)
    c.put(x, 2, counts.health, f"{ink} b", 21 - x)
    c.put(x, 3, _course(board), "mut", 21 - x)
    recent = board.score_recent[-17:]
    for i, score in enumerate(recent):
        step = "bad" if score < 70 else "warn" if score < 90 else "okd"
        c.put(2 + i, 5, {"bad": "┄", "warn": "─", "okd": "━"}[step], step)
    x = 22
    room = width - 2 - x
    note = f"{len(board.needs)}, worst first" if board.needs else "nothing"
    heading(c, x, 0, room, "NEEDS YOU", note)
    for i, need in enumerate(board.needs[:NEEDS_SHOWN]):
        _need(c, x + 1, 1 + i, room - 1, need, now, view.selected == f"need:{i}")
        c.hit(x, 1 + i, room, f"need:{i}")
    if not board.needs:
        c.put(x + 1, 1, "●", "ok")
        c.put(x + 3, 1, all_well(board), "txt", room - 3)
    return c


def all_well(board: Board) -> str:
    """The evidence that nothing is wrong."""
    partitions = board.status.partitions
    clear = sum(p.severity == "ok" for p in partitions)
    replicas = [r for p in partitions for r in p.replicas]
    in_sync = sum(r.state in ("leader", "in_sync") for r in replicas)
    ledger = "balanced" if board.lost == 0 else f"{board.lost} lost"
    everyone = "all" if clear == len(partitions) else f"{clear} of"
    return f"{everyone} {len(partitions)} tracks clear, {in_sync} of {len(replicas)} replicas in sync, ledger {ledger}"


def _score_ink(board: Board) -> str:
    severity = HEALTH[board.status.counts.health]
    return "ok" if severity == "ok" else LIGHT[severity][1]


def _course(board: Board) -> str:
    """How the score moved in five minutes."""
    score, before = board.status.counts.score, board.since_score
    if score is None or before is None:
        return "no data" if score is None else "new"
    if score == before:
        return "steady"
    return f"{'▼' if score < before else '▲'}{abs(score - before)} in 5m"


def _need(c: Canvas, x: int, y: int, width: int, need: Need, now: int, selected: bool) -> None:
    glyph, ink = light(need.severity)
    if selected:
        cursor(c, x, y, width)
    c.put(x, y, glyph, ink)
    what, mend = 21, min(44, max(31, width // 3))
    why = width - what - mend - 13
    c.put(x + 2, y, need.what, "hi b" if need.severity == "bad" else "hi", what)
    c.put(x + 4 + what, y, need.why, "mut", why)
    c.put(x + 5 + what + why, y, measure.age(now - need.since), "txt", 6, "r")
    c.put(x + 13 + what + why, y, need.mend, "acc", width - 13 - what - why)


def vitals(board: Board, width: int) -> Canvas:
    """Six numbers that say how the fleet runs."""
    c = Canvas(width, 2)
    pitch = (width - 2) // 6
    for i, (label, value, unit, vital) in enumerate(_vital_cells(board)):
        x = 2 + i * pitch
        c.put(x, 0, label, "mut")
        calm = vital.severity in ("ok", "unknown")
        ink = "fnt" if vital.value is None else "hi b" if calm else f"{light(vital.severity)[1]} b"
        c.line(x, 1, [(value, ink), (f" {unit}" if unit else "", "mut")])
        if vital.value is not None and any(vital.recent):
            c.put(x + 9, 1, measure.spark(vital.recent[-8:]), "fnt" if calm else light(vital.severity)[1], 8)
    x = 2 + 5 * pitch
    c.put(x, 0, "ledger", "mut")
    c.line(x, 1, ledger(board))
    return c


def ledger(board: Board) -> list[Span]:
    """Is every event accounted for?"""
    if board.lost:
        return [("■", "bad b"), (f" {board.lost:,} lost", "bad b")]
    return [("●", "ok"), (" balanced", "hi"), (" 0 lost", "mut")]


def _vital_cells(board: Board) -> list[tuple[str, str, str, Vital]]:
    def number(vital: Vital, decimals: int = 0) -> str:
        return measure.UNKNOWN if vital.value is None else f"{vital.value:,.{decimals}f}"

    lag = board.worst_lag_s.value
    return [
        ("published", *measure.rate(board.published.value), board.published),
        ("delivered", *measure.rate(board.delivered.value), board.delivered),
        ("ack p99", number(board.ack_p99_ms, 1), "ms" if board.ack_p99_ms.value is not None else "", board.ack_p99_ms),
        ("worst lag", measure.lag(None if lag is None else int(lag * measure.SECOND)), "", board.worst_lag_s),
        ("open sagas", number(board.open_sagas), "", board.open_sagas),
    ]


def bottom(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    """Flows, sagas and dead letters side by side with what happened lately; or how to begin."""
    c = Canvas(width, height)
    if board.status.counts.events == 0:
        return _empty(c, width)
    inner = width - 4
    a, b = (44, 35) if width < 140 else (inner * 2 // 5, inner * 3 // 10)
    d = inner - a - b - 6
    c.paste(flows(board, view, a + 2, height), 0, 0)
    sagas_rows = max(2, (height - 2) * 3 // 5 + 1) if height > 5 else height
    c.paste(sagas(board, view, b + 1, min(sagas_rows, height)), a + 4, 0)
    c.paste(dead(board, view, b + 1, height - sagas_rows), a + 4, sagas_rows)
    partition = _partition(board, _selected_partition(view))
    x = a + b + 8
    if partition is not None:
        heading(c, x, 0, d, f"p{partition.partition:02d}", f"epoch {partition.epoch}")
        c.paste(track_diagram.partition_detail(partition, d, height - 1), x, 1)
        return c
    heading(c, x, 0, d, "LATELY")
    for y, event in enumerate(board.lately[: height - 1], start=1):
        end = c.put(x, y, measure.moment(event.at, now), "mut", 8)
        c.put(end + 1, y, event.text, "txt" if event.severity == "ok" else light(event.severity)[1], x + d - end - 1)
    if not board.lately:
        c.line(x, 1, [("●", "okd"), (" nothing yet", "mut")])
    return c


def _partition(board: Board, number: int | None) -> PartitionStatus | None:
    return next((p for p in board.status.partitions if p.partition == number), None)


def _empty(c: Canvas, width: int) -> Canvas:
    heading(c, 2, 0, width - 4, "NO EVENTS YET", "the fleet is well and waits")
    for y, (label, command, note) in enumerate(EMPTY_FLEET, start=1):
        c.put(2, y, label, "mut")
        end = c.put(16, y, command, "acc")
        if end + len(note) + 4 < width:
            c.right(width - 2, y, (note, "mut"))
    return c


def flows(board: Board, view: BoardView, width: int, height: int) -> Canvas:
    """The worst, then the busiest flows; two cells of gutter on the left."""
    c = Canvas(width, height)
    heading(c, 2, 0, width - 2, "FLOWS", "worst, then busiest")
    for y, flow in enumerate(board.flows[: max(height - 1, 0)], start=1):
        key = f"flow:{flow_key(flow.source, flow.type, flow.group)}"
        if key == view.selected:
            cursor(c, 2, y, width - 2)
        glyph, ink = light(flow.severity)
        half = (width - 2 - 26) // 2
        room = max(half + 1, 9)
        # An orphan is told by its type: that nobody listens to it stands at the end of the line.
        name = f"{middle(flow.source, half)} ▸ {middle(flow.group or last_token(flow.type, room), room)}"
        c.line(2, y, [(glyph, ink), (f" {name}", "txt")], width - 22)
        c.line(width - 20, y, [(measure.short_rate(flow.rate), "txt"), ("/s", "mut")], 8, "r")
        calm = flow.behind_ns is None and flow.severity == "ok"
        late = "orphan" if not flow.group else "level" if calm else measure.lag(flow.behind_ns)
        trend = TREND[flow.trend] if flow.behind_ns is not None else " "
        c.put(width - 11, y, f"{late} {trend}", loud(flow.severity), 11, "r")
        c.hit(2, y, width - 2, key)
    if not board.flows:
        c.line(2, 1, [("●", "okd"), (" none yet", "mut")])
    return c


def sagas(board: Board, view: BoardView, width: int, height: int) -> Canvas:
    """The sagas that wait too long; one cell of gutter."""
    c = Canvas(width, height)
    counts = board.status.counts
    stuck = [s for s in board.sagas if s.severity in ("warn", "bad")]
    if stuck or counts.sagas_stuck:
        heading(c, 1, 0, width - 1, "STUCK SAGAS", f"{counts.sagas_stuck:,} of {counts.sagas_open:,} open")
    else:
        heading(c, 1, 0, width - 1, "SAGAS", f"{counts.sagas_open:,} open, none stuck")
    shown = board.sagas[: max(height - 1, 0)]
    for y, saga in enumerate(shown, start=1):
        if f"saga:{saga.saga}" == view.selected:
            cursor(c, 1, y, width - 1)
        glyph, ink = light(saga.severity)
        c.line(1, y, [(glyph, ink), (f" {middle(saga.saga, 13)}", "txt")], 15)
        c.put(17, y, ".".join(saga.step.split(".")[-2:]), "mut", width - 24)
        c.put(width - 6, y, measure.age(saga.waiting_ns), loud(saga.severity), 6, "r")
        c.hit(1, y, width - 1, f"saga:{saga.saga}")
    if not shown and height > 1:
        c.line(1, 1, [("●", "okd"), (f" none stuck, {counts.sagas_finished:,} finished", "mut")], width - 1)
    return c


def dead(board: Board, view: BoardView, width: int, height: int) -> Canvas:
    """What died, by what killed it; one cell of gutter."""
    c = Canvas(width, height)
    counts = board.status.counts
    new = f", +{counts.dead_letters_new:,} in 10m" if counts.dead_letters_new else ", none new"
    heading(c, 1, 0, width - 1, "DEAD LETTERS", f"{counts.dead_letters:,}{new if counts.dead_letters else ''}")
    for y, group in enumerate(board.dead[: max(height - 1, 0)], start=1):
        if f"dead:{group.id}" == view.selected:
            cursor(c, 1, y, width - 1)
        glyph, ink = light(group.severity)
        where = f" in {middle(group.group, 12)}"
        end = c.line(1, y, [(glyph, ink), (f" {group.what}", "txt")], width - 8 - len(where))
        c.put(end, y, where, "mut")
        c.put(width - 6, y, measure.count(group.waiting), loud(group.severity), 6, "r")
        c.hit(1, y, width - 1, f"dead:{group.id}")
    if not board.dead and height > 1:
        c.line(1, 1, [("●", "okd"), (" none", "mut")])
    return c


def _narrow(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    c = Canvas(width, height)
    rows = panel(width, 5, "SCORE", lambda w, h: _narrow_summary(board, now, view, w))
    c.paste(rows, 0, 0)
    room = max(3, min(2 + len(board.status.partitions), height - 5 - 2))
    selected = _selected_partition(view)
    painted = panel(width, room, "TRACKS", lambda w, h: track_diagram.tracks(board.status, view.trains, w, h, selected))
    c.paste(painted, 0, 5)
    y = 5 + room
    if board.status.counts.events == 0:
        if height - y >= 4:
            c.paste(_empty(Canvas(width, height - y), width), 0, y)
        else:
            nothing_yet(c, y, "no events yet; the fleet is well and waits", "signalbox demo")
        return c
    c.paste(panel(width, height - y, "LATELY", lambda w, h: _narrow_foot(board, now, view, w, h)), 0, y)
    return c


def _narrow_summary(board: Board, now: int, view: BoardView, width: int) -> Canvas:
    c = Canvas(width, 5)
    counts = board.status.counts
    ink, glyph = _score_ink(board), LIGHT[HEALTH[counts.health]][0]
    score = measure.UNKNOWN if counts.score is None else counts.score
    c.line(2, 0, [(f"{glyph} {score} {counts.health}", f"{ink} b"), (f" {_course(board)}", "mut")])
    value, unit = measure.rate(board.published.value)
    p99 = board.ack_p99_ms
    shown = measure.UNKNOWN if p99.value is None else f"{p99.value:.1f} ms"
    p99_ink = "hi" if p99.severity in ("ok", "unknown") else light(p99.severity)[1]
    c.right(width - 2, 0, (f"  {value}", "hi"), (f" {unit}  p99 ", "mut"), (shown, p99_ink), ("  ledger ", "mut"),
            *ledger(board)[:2])  # fmt: skip
    for i, need in enumerate(board.needs[:NARROW_NEEDS_SHOWN]):
        if view.selected == f"need:{i}":
            cursor(c, 2, 1 + i, width - 4)
        mark, need_ink = light(need.severity)
        c.line(2, 1 + i, [(mark, need_ink), (f" {need.what}", "hi")], 26)
        c.put(29, 1 + i, measure.age(now - need.since), "txt", 6, "r")
        c.put(37, 1 + i, need.mend, "acc", width - 39)
        c.hit(2, 1 + i, width - 4, f"need:{i}")
    if not board.needs:
        c.line(2, 2, [("●", "ok"), (f" {all_well(board)}", "txt")], width - 4)
    elif len(board.needs) > NARROW_NEEDS_SHOWN:
        c.put(2, 4, f"{len(board.needs) - NARROW_NEEDS_SHOWN} more, 5 opens Health", "mut")
    return c


def _narrow_foot(board: Board, now: int, view: BoardView, width: int, height: int) -> Canvas:
    c = Canvas(width, height)
    counts = board.status.counts
    new = f" +{counts.dead_letters_new:,} in 10m" if counts.dead_letters_new else " none new"
    stuck_ink = "bad" if counts.sagas_stuck_bad else "warn" if counts.sagas_stuck else "txt"
    c.line(2, 0, [("sagas ", "mut"), (f"{counts.sagas_stuck:,} stuck", stuck_ink),
                  (f" of {counts.sagas_open:,}   dead letters ", "mut"),
                  (f"{counts.dead_letters:,}", "warn" if counts.dead_letters else "txt"), (f"{new}   agents ", "mut"),
                  (measure.count(counts.agents), "txt"),
                  (f" {counts.agents_out:,} out" if counts.agents_out else "", "warn")], width - 4)  # fmt: skip
    partition = _partition(board, _selected_partition(view))
    if partition is not None and partition.why:
        c.line(2, 1, [(f"{partition.why}  ", light(partition.severity)[1]), (partition.mend, "acc")], width - 4)
    elif height < 6:
        spans: list[Span] = [("lately  ", "mut")]
        for event in board.lately[:2]:
            spans += [(f"{measure.moment(event.at, now)} ", "mut"), (f"{event.text}  ", "txt")]
        c.line(2, 1, spans, width - 4)
    if height >= 6:
        half = (height - 2) // 2
        c.paste(flows(board, view, width - 2, half), 0, 2)
        c.paste(sagas(board, view, width - 3, height - 2 - half), 1, 2 + half)
    return c
