"""The track diagram: rows are partitions, columns are brokers, a light where a replica stands.

Down a column one reads a broker: what it leads, where it lags. Along a row one reads a partition: its entry signal,
rate, busiest flow, the train that steps when events arrive, the line from its first to its last replica weighted by
traffic, and the group that is furthest behind. Rows never change order; what is clear is folded only for lack of room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console import measure
from console.canvas import Canvas, last_token, middle
from console.pictures.parts import TREND, cursor, light
from controlplane.questions import BrokerStatus, PartitionStatus, Status

BROKER_STATE = {
    "up": ("●", "okd"),
    "starting": ("◐", "acc"),
    "slow": ("◐", "warn"),
    "full": ("◐", "bad"),
    "silent": ("◌", "warn"),
    "fenced": ("○", "bad"),
    "down": ("○", "bad"),
    "stopped": ("○", "mut"),
}
REPLICA = {
    "leader": ("◆", "acc b"),
    "in_sync": ("●", "okd"),
    "lagging": ("◐", "warn b"),
    "off": ("○", "bad b"),
}
HEAVY_SHARE, IDLE_SHARE = 0.6, 0.1
"""Of the busiest partition's rate: drawn heavy from the one, idle below the other."""
_BUSIEST = 14
_PITCH_MIN, _PITCH_MAX = 5, 22


@dataclass(frozen=True)
class Places:
    """Columns by width: a narrow diagram gives up spark and busiest flow, then the pitch between brokers."""

    rate: int
    spark: int
    busiest: int
    first: int
    pitch: int
    group: int
    wide: bool
    brokers: int


def places(width: int, brokers: int) -> Places:
    """Where things stand in a diagram of this width, and how many brokers are shown."""
    wide = width >= 106
    first, group = (43, width - 19) if wide else (16, width - 17)
    gap = 12 if wide else 6
    shown = max(1, min(brokers, (group - gap - first) // _PITCH_MIN + 1))
    pitch = min(_PITCH_MAX, max(_PITCH_MIN, (group - gap - first) // max(1, shown - 1)))
    return Places(6, 14, 24, first, pitch, group, wide, shown)


def chosen(partitions: Sequence[PartitionStatus], room: int) -> tuple[list[PartitionStatus], list[PartitionStatus]]:
    """The partitions that are drawn, and those folded into one row: what is not clear is drawn first."""
    if len(partitions) <= room:
        return list(partitions), []
    kept = {p.partition for p in partitions if p.severity != "ok"}
    for p in partitions:
        if len(kept) >= room - 1:
            break
        kept.add(p.partition)
    drawn = [p for p in partitions if p.partition in kept][: max(room - 1, 0)]
    return drawn, [p for p in partitions if p not in drawn]


def tracks(status: Status, trains: Mapping[int, int], width: int, height: int, selected: int | None = None) -> Canvas:
    """`trains` says how many steps each partition's train has gone; `selected` is the partition under the cursor."""
    c = Canvas(width, height)
    at = places(width - 4, len(status.brokers))
    columns = {b.id: 2 + at.first + i * at.pitch for i, b in enumerate(status.brokers[: at.brokers])}
    _heads(c, at, columns, status)
    drawn, folded = chosen(status.partitions, height - 2)
    peak = max((p.rate for p in status.partitions), default=0.0)
    top = float(max((max(p.recent, default=0) for p in status.partitions), default=0))
    for y, partition in enumerate(drawn, start=2):
        if partition.partition == selected:
            cursor(c, 2, y, width - 4)
        _left(c, y, at, partition, peak, top)
        _line(c, y, at, partition, peak, columns, trains.get(partition.partition, 0))
        _behind(c, y, at, partition)
        c.hit(2, y, width - 4, f"partition:{partition.partition}")
    if folded:
        rate = measure.short_rate(sum(p.rate for p in folded))
        clear = sum(p.severity == "ok" for p in folded)
        text = f"{len(folded)} more, {clear} of them clear, {rate}/s"
        c.line(2, height - 1, [("●" if clear == len(folded) else "▲", "okd"), (f" {text}", "mut")])
    return c


def _heads(c: Canvas, at: Places, columns: Mapping[str, int], status: Status) -> None:
    c.put(2, 0, "TRACKS", "hi b")
    c.put(7, 1, "events/s" if at.wide else "/s", "mut", 8 if at.wide else 7, "r")
    if at.wide:
        c.put(10, 0, "◆ leads ● in sync ◐ lags ○ off", "mut")
        c.put(2, 1, "part", "mut")
        c.put(2 + at.spark + 1, 1, "last 2m", "mut")
        c.put(2 + at.busiest, 1, "busiest flow", "mut")
    c.put(2 + at.group, 1, "slowest", "mut")
    c.right(c.width - (4 if at.wide else 3), 1, ("behind", "mut"))
    hidden = len(status.brokers) - len(columns)
    for broker in status.brokers[: len(columns)]:
        last = broker is status.brokers[len(columns) - 1]
        _broker_head(c, columns[broker.id], at, broker, at.pitch + (2 if last else -1))
    if hidden > 0:
        c.right(2 + at.group - 1, 0, (f"+{hidden} more", "warn"))


def _broker_head(c: Canvas, x: int, at: Places, broker: BrokerStatus, room: int) -> None:
    glyph, ink = BROKER_STATE.get(broker.state, BROKER_STATE["silent"])
    word = f" {broker.state}" if broker.state != "up" else ""
    if at.wide:
        c.line(x, 0, [(glyph, f"{ink} b"), (f" {broker.id}", "hi b"), (word, ink)], room)
        share = round(100 * broker.share)
        if broker.state in ("down", "stopped"):
            c.put(x, 1, broker.why or "no process", ink, room)
        else:
            c.line(x, 1, [(f"◆{len(broker.leads)} ", "mut"), (f"{share:>3}%", "txt" if share >= 30 else "mut")], room)
    else:
        c.line(x, 0, [(glyph, f"{ink} b"), (broker.id, "hi b")], room)


def _left(c: Canvas, y: int, at: Places, p: PartitionStatus, peak: float, top: float) -> None:
    """Name, entry signal, rate, spark and busiest flow."""
    stop = p.severity == "bad"
    heavy = p.rate >= HEAVY_SHARE * peak > 0
    glyph, ink = light(p.severity)
    c.put(2, y, f"p{p.partition:02d}", "txt" if p.severity == "ok" else "hi b")
    c.put(6, y, glyph, f"{ink} b" if stop else ink)
    c.put(7, y, measure.short_rate(p.rate), "bad b" if stop else "hi b" if heavy else "txt", 7, "r")
    if not at.wide:
        return
    if any(p.recent):
        c.put(16, y, measure.spark(p.recent[-8:], top), "bad" if stop else "mut" if heavy else "fnt", 8)
    x = 2 + at.busiest
    if stop:
        c.fill(x, y, _BUSIEST, "bbg")
        c.put(x + 1, y, f"{measure.short_rate(p.refused_rate)}/s refused", "bad", _BUSIEST - 2)
    elif p.busiest:
        c.put(x + 1, y, middle(last_token(p.busiest, 8), 8), "txt", 8)
        c.put(x + 9, y, measure.percent(p.busiest_share), "txt", 4, "r")
        c.fill(x, y, max(0, min(_BUSIEST, round(_BUSIEST * p.busiest_share))), "acd")


def _line(
    c: Canvas, y: int, at: Places, p: PartitionStatus, peak: float, columns: Mapping[str, int], train: int
) -> None:
    """Run-in, train, track and lights."""
    stop = p.severity == "bad"
    stations = {columns[r.broker]: r for r in p.replicas if r.broker in columns}
    start = 2 + (at.busiest + _BUSIEST + 1 if at.wide else at.first - 3)
    if stations:
        low, high = min(stations), max(stations)
        char, ink = _weight(p, peak)
        c.repeat(start, y, low - start, "┈", "ln")
        c.repeat(low, y, high - low + 1, char, ink)
        for x in columns.values():
            if x not in stations and not low < x < high:
                c.put(x, y, "·", "ln")
    if stop and at.wide:
        c.put(start + 2, y, "■", "bad b")
    elif p.rate > 0 and at.wide:
        c.put(start + train % 3, y, "▸", "acc")
    for x, replica in stations.items():
        glyph, ink = REPLICA.get(replica.state, ("◌", "mut"))
        c.put(x, y, glyph, "bad b" if stop and replica.state == "leader" else ink)
        if replica.state == "lagging":
            late = measure.lag(replica.lag_ns)
            c.put(x + 1, y, late, "warn", min(len(late), at.pitch - 1))


def _weight(p: PartitionStatus, peak: float) -> tuple[str, str]:
    if p.severity == "bad":
        return "┄", "bad"
    if p.rate >= HEAVY_SHARE * peak > 0:
        return "━", "mut"
    return ("─", "fnt") if p.rate >= IDLE_SHARE * peak > 0 else ("┄", "fnt")


def _behind(c: Canvas, y: int, at: Places, p: PartitionStatus) -> None:
    """The slowest group with its time lag and trend."""
    if not p.slowest_group:
        return
    growing = p.trend == "growing" and bool(p.behind_ns)
    draining = p.trend == "draining" and bool(p.behind_ns)
    ink = "warn" if growing else "txt" if draining else "mut"
    c.put(2 + at.group, y, middle(p.slowest_group, 9 if at.wide else 8), ink)
    late = ("level" if p.rate else "idle") if p.behind_ns is None else measure.lag(p.behind_ns)
    trend = TREND[p.trend] if p.behind_ns is not None else " "
    if at.wide:
        c.right(c.width - 2, y, (f"{late} ", f"{ink} b" if growing else ink), (trend, ink))
    else:
        c.right(c.width - 2, y, (f"{late}{' ' if trend == '=' else trend}", ink))


def partition_detail(p: PartitionStatus, width: int, height: int) -> Canvas:
    """In place of LATELY while the cursor is on a track: leadership, watermark, every replica."""
    c = Canvas(width, height)
    leader = p.leader or "nobody"
    c.line(0, 0, [("leads ", "mut"), (leader, "acc" if p.leader else "bad b"), (f"  epoch {p.epoch}", "mut")], width)
    c.line(0, 1, [("high ", "mut"), (measure.count(p.high), "txt"), ("  archived ", "mut"),
                  (measure.count(p.archived), "txt")], width)  # fmt: skip
    for y, replica in enumerate(p.replicas, start=2):
        glyph, ink = REPLICA.get(replica.state, ("◌", "mut"))
        late = f"  {measure.lag(replica.lag_ns)}" if replica.lag_ns else ""
        c.line(0, y, [(glyph, ink), (f" {replica.broker} ", "txt"), (f"{replica.state.replace('_', ' ')} at ", "mut"),
                      (measure.count(replica.end), "txt"), (late, "warn")], width)  # fmt: skip
    y = 2 + len(p.replicas)
    if p.why:
        c.put(0, y, p.why, light(p.severity)[1], width)
        c.put(0, y + 1, p.mend, "acc", width)
    return c
