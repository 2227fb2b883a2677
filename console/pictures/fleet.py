"""The fleet: a row a broker, worst first; below, the partitions of the selected one, and why it is not well."""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span
from console.pictures import partition as one
from console.pictures.partition import Fact, name, replica_light, replica_word, severity_ink
from console.pictures.parts import RANK, heading, light, loud
from console.pictures.table import Column, Row, table
from console.pictures.tracks import BROKER_STATE
from controlplane.questions import BrokerStatus, Partitioning, PartitionStatus, ReplicaStatus, Severity, Status

COLUMNS = (
    Column("", 1), Column("broker", 6), Column("state", 8), Column("run by", 6, "l", 4), Column("leads", 5, "r"),
    Column("in/s", 7, "r"),
    Column("out/s", 7, "r", 2), Column("cpu", 4, "r", 2), Column("mem", 7, "r", 3), Column("disk", 7, "r", 2),
    Column("fsync p99", 9, "r"), Column("up", 7, "r", 3), Column("why", 0),
)  # fmt: skip
SORTS = (("worst", None), ("broker", 1), ("leads", 4), ("in/s", 5), ("out/s", 6), ("fsync p99", 10))
HERE = (
    Column("", 1), Column("part", 4), Column("here", 12), Column("epoch", 5, "r"), Column("end", 9, "r"),
    Column("high", 9, "r"), Column("/s", 6, "r"), Column("last 2m", 9, "l", 4), Column("archived", 9, "r"),
    Column("replicas", 0, "l", 3),
)  # fmt: skip
"""A partition's row below its broker."""
_MENDS = 3
"""Commands shown of one broker."""
_SEVERITY: dict[str, Severity] = {"up": "ok", "full": "bad", "fenced": "bad", "down": "bad", "stopped": "unknown"}


def partitioning(told: Partitioning | None) -> Span | None:
    """How partitions are used, where that is more than by hash: amber while they should move and do not."""
    if told is None or told.strategy == "hash":
        return None
    if told.strategy == "semantic":
        return f"   semantic, {measure.many(len(told.rules), 'rule')}", "mut"
    load = f"{told.busiest} leads {told.share:.2f} × the mean" if told.share else "no load"
    return f"   adaptive, {'paused' if told.paused else load}", "warn" if told.paused or told.skewed else "mut"


def rows(status: Status, now: int) -> list[Row]:
    """Brokers, worst first, then by id as the plane has them."""
    return sorted((_row(b, now) for b in status.brokers), key=lambda row: RANK[row.severity])


def severity(broker: BrokerStatus) -> Severity:
    """A broker that is down is red, one that is stopped is out of use, any other that is not up is amber."""
    return _SEVERITY.get(broker.state, "warn")


def is_running(broker: BrokerStatus) -> bool:
    """Whether there is a process whose figures mean something."""
    return broker.state in ("up", "slow", "full")


def _row(b: BrokerStatus, now: int) -> Row:
    glyph, ink = BROKER_STATE.get(b.state, BROKER_STATE["silent"])
    mood = severity(b)
    runs = is_running(b)
    slow_disk = b.state == "slow" and "fsync" in b.why

    def figure(text: str, known: bool, ink: str = "txt") -> Span:
        return (text, ink) if known and runs else (measure.UNKNOWN, "fnt")

    cells: tuple[Span, ...] = (
        (glyph, f"{ink} b"),
        (b.id, "txt" if mood == "ok" else "hi b"),
        (b.state, loud(mood)),
        ("joined" if b.joined else "plane", "txt" if b.joined else "mut"),
        (str(len(b.leads)), "txt" if b.leads else "fnt"),
        figure(measure.short_rate(b.in_rate), True),
        figure(measure.short_rate(b.out_rate), True),
        (measure.UNKNOWN, "fnt"),
        figure(measure.size(b.memory_bytes), b.memory_bytes > 0, "mut"),
        figure(measure.size(b.store_bytes), b.store_bytes > 0, "mut"),
        figure(measure.took(b.fsync_p99_ns), b.fsync_p99_ns > 0, "warn" if slow_disk else "txt"),
        figure(measure.age(now - b.since), b.since > 0, "mut"),
        (b.why, "txt"),
    )
    busy = (-len(b.leads), -b.in_rate, -b.out_rate, 0, 0, 0, -b.fsync_p99_ns)
    order = (0, b.id, b.state, int(not b.joined), *busy, 0, "")
    return Row(b.id, mood, cells, order, f"{b.id} {b.state} {b.why}")


def broker_of(status: Status, key: str | None) -> BrokerStatus | None:
    """The broker with this id."""
    return next((b for b in status.brokers if b.id == key), None)


def held(status: Status, broker: str) -> list[tuple[PartitionStatus, ReplicaStatus]]:
    """The partitions that have a replica on a broker, with that replica: worst first, then by number."""
    found = [(p, r) for p in status.partitions for r in p.replicas if r.broker == broker]
    return sorted(found, key=lambda pair: (RANK.get(pair[0].severity, 2), pair[0].partition))


def partition_rows(here: Sequence[tuple[PartitionStatus, ReplicaStatus]], top: float) -> list[Row]:
    """Table rows of the partitions on one broker; `top` is the scale that all sparks share."""
    return [_partition(p, r, top) for p, r in here]


def _partition(p: PartitionStatus, r: ReplicaStatus, top: float) -> Row:
    glyph, ink = light(p.severity)
    bad = p.severity == "bad"
    mark, role_ink = replica_light(r.state)
    late = f" {measure.lag(r.lag_ns)}" if r.state == "lagging" and r.lag_ns else ""
    others = " ".join(f"{replica_light(x.state)[0]}{x.broker}" for x in p.replicas)
    behind = p.archived < p.high
    cells: tuple[Span, ...] = (
        (glyph, f"{ink} b" if bad else ink),
        (name(p), severity_ink(p.severity)),
        (f"{mark} {replica_word(r.state)}{late}", role_ink.removesuffix(" b")),
        (f"{p.epoch:,}", "mut"),
        (measure.count(r.end), "warn" if r.state == "lagging" else "txt"),
        (measure.count(p.high), "mut"),
        (measure.short_rate(p.rate), "bad b" if bad and not p.rate else "txt"),
        (measure.spark(p.recent[-9:], top) if any(p.recent) else "", "bad" if bad else "fnt"),
        (measure.count(p.archived), "txt" if behind else "mut"),
        (others, "mut"),
    )
    return Row(str(p.partition), p.severity, cells)


def shape(
    status: Status, broker: BrokerStatus, chosen: PartitionStatus | None, width: int, height: int
) -> tuple[int, int]:
    """How many rows the partitions get (heading and titles among them), and where WHY begins."""
    reasons, mends, _ = _reasons(status, broker, chosen)
    table_rows = 2 + max(len(held(status, broker.id)), 1)
    why_rows = one.why_height(reasons, mends, width - 4)
    if table_rows + 1 + why_rows <= height:
        return table_rows, table_rows + 1
    why_rows = min(why_rows, max(4, height * 2 // 5))
    table_rows = min(table_rows, max(height - why_rows, 3))
    return table_rows, table_rows + (1 if table_rows + 1 + why_rows <= height else 0)


def detail(
    status: Status, now: int, broker: BrokerStatus, chosen: PartitionStatus | None, top: int, width: int, height: int
) -> Canvas:
    """The broker's partitions from `top` on; below, why: of the chosen partition if the cursor is on one."""
    c = Canvas(width, height)
    here = held(status, broker.id)
    room, y = shape(status, broker, chosen, width, height)
    heading(c, 2, 0, width - 4, "PARTITIONS", f"on {broker.id}: {_roles(here)}")
    scale = float(max((max(p.recent, default=0) for p in status.partitions), default=0))
    if here:
        cursor = None if chosen is None else str(chosen.partition)
        body = table(HERE, partition_rows(here, scale), width, room - 1, top, cursor)
        body.hits = [(x, row, w, f"partition:{target}") for x, row, w, target in body.hits]
        c.paste(body, 0, 1)
        below = len(here) - top - (room - 2)
        if below > 0 or top > 0:
            c.right(width - 2, 0, (f" {top} above, {max(below, 0)} below", "mut"))
    else:
        c.line(4, 1, [("○", "mut"), (" no replica is here", "mut")])
    reasons, mends, note = _reasons(status, broker, chosen)
    if chosen is None and not is_running(broker) and broker.since:
        note += f" since {measure.moment(broker.since, now)}, {measure.age(now - broker.since)}"
        note += f"; last heard {measure.age(now - broker.heard)} ago" if broker.heard else ""
    c.paste(one.why(note, reasons, mends, width, height - y), 0, y)
    return c.sealed()


def _roles(here: Sequence[tuple[PartitionStatus, ReplicaStatus]]) -> str:
    words = []
    for state in ("leader", "in_sync", "lagging", "off"):
        number = sum(r.state == state for _, r in here)
        if number:
            words.append(f"{replica_light(state)[0]} {number} {replica_word(state)}")
    return "  ".join(words) or "none"


def _reasons(status: Status, broker: BrokerStatus, chosen: PartitionStatus | None) -> tuple[list[Fact], list[str], str]:
    """Facts, mends and the heading's note: of the chosen partition, else of the broker."""
    if chosen is not None:
        return one.facts(chosen), [chosen.mend] if chosen.mend else [], one.headline(chosen)
    note = f"{broker.id} is well" if broker.state == "up" and not broker.why else f"{broker.id} is {broker.state}"
    return broker_facts(status, broker), broker_mends(status, broker), note


def broker_mends(status: Status, broker: BrokerStatus) -> list[str]:
    """The commands that mend a broker, then those of its partitions that refuse; the first is the one to try."""
    sick = [p.mend for p, _ in held(status, broker.id) if p.severity == "bad"]
    return [mend for mend in dict.fromkeys([broker.mend, *sick]) if mend][:_MENDS]


def broker_facts(status: Status, broker: BrokerStatus) -> list[Fact]:
    """What is wrong with a broker, what follows from it, and the process behind it."""
    here = held(status, broker.id)
    found: list[Fact] = []
    if broker.why:
        found.append((BROKER_STATE.get(broker.state, BROKER_STATE["silent"]), broker.why, "txt"))
    found += [(light("bad"), f"{name(p)} refuses publishes: {p.why}", "txt") for p, _ in here if p.severity == "bad"]
    late = [f"{name(p)} by {measure.lag(r.lag_ns)}" for p, r in here if r.state == "lagging"]
    if late:
        found.append((replica_light("lagging"), f"lags on {', '.join(late)}", "txt"))
    if here and all(r.state in ("leader", "in_sync") for _, r in here):
        found.append((replica_light("in_sync"), f"all {len(here)} of its replicas in sync", "mut"))
    off = [name(p) for p, r in here if r.state == "off" and p.severity != "bad"]
    if off:
        found.append(
            (light("warn"), f"{', '.join(off)} {'runs' if len(off) == 1 else 'run'} without the replica here", "txt")
        )
    found.append(
        (("●" if is_running(broker) else "○", "okd" if is_running(broker) else "mut"), _process(broker), "mut")
    )
    return found


def _process(broker: BrokerStatus) -> str:
    """Pid, share, restarts, where it listens and where it stores."""
    words = [f"pid {broker.pid}" if broker.pid and is_running(broker) else "no process"]
    if is_running(broker):
        words.append(f"takes {measure.percent(broker.share)} of all events")
    words.append(
        {0: "never restarted", 1: "restarted once", 2: "restarted twice"}.get(
            broker.restarts, f"restarted {broker.restarts:,} times"
        )
    )
    words += [broker.url] if broker.url else []
    words += ["joined: whoever started it restarts it"] if broker.joined else []
    words += [f"store {broker.store}"] if broker.store else []
    return "; ".join(words)
