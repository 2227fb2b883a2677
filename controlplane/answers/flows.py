"""AskFlows: source to type to group, worst then busiest."""

from bus.words import many
from controlplane.answers.lag import GroupLag, Listening
from controlplane.answers.rates import NINTHS, Rates
from controlplane.answers.words import age
from controlplane.flows import Flow
from controlplane.fold import World
from controlplane.ledger import trimmed
from controlplane.limits import BEHIND_BAD_MS, BEHIND_WARN_MS, PAGE_ROWS_MAX
from controlplane.questions import AskFlows, FlowRow, Flows, Severity

_MS = 1_000_000
FAILS_WARN, FAILS_BAD = 0.05, 0.5
RANK = {"bad": 0, "warn": 1, "unknown": 2, "ok": 3}


def flows(world: World, question: AskFlows, now: int) -> Flows:
    """The page that was asked for."""
    rows = rows_of(world, Rates(world["flows"], now), Listening(world["groups"], now))
    match = question.match.casefold()
    matched = [row for row in rows if match in f"{row.source} {row.type} {row.group}".casefold()] if match else rows
    stop = question.offset + min(question.limit, PAGE_ROWS_MAX)
    return Flows(total=len(rows), matched=len(matched), rows=matched[question.offset : stop])


def rows_of(world: World, rates: Rates, listening: Listening) -> list[FlowRow]:
    """All flows, one row for each group that listens, worst then busiest."""
    dead = dead_kinds(world)
    rows: list[FlowRow] = []
    for key in world["flows"].table("flow"):
        source, _, type = str(key).partition("\0")
        listeners: list[GroupLag | None] = [*listening.to(type)]
        rows += [_row(world, source, type, rates, lag, dead) for lag in listeners or [None]]
    rows.sort(key=lambda row: (RANK[row.severity], -row.rate, -row.total, row.source, row.type, row.group))
    return rows


def severity_of(lag: GroupLag) -> tuple[Severity, str, str]:
    """How a group stands: severity, why, and what mends or explains it."""
    share = lag.error_share or 0.0
    fails = f"{share:.0%} of its deliveries fail: {many(lag.failed, 'failure')} of {lag.acked + lag.failed:,}"
    behind = f"{age(lag.behind_ns)} behind, {many(lag.waiting + lag.in_flight, 'event')} wait"
    behind += f" for {many(lag.members, 'member')}" if lag.members else "; it has no member: start its consumers"
    if share >= FAILS_BAD:
        return "bad", fails, "dlq list"
    if lag.behind_ns > BEHIND_BAD_MS * _MS:
        return "bad", behind, f"flow list --match {lag.group}"
    if lag.behind_ns > BEHIND_WARN_MS * _MS:
        return "warn", behind, f"flow list --match {lag.group}"
    if share >= FAILS_WARN:
        return "warn", fails, "dlq list"
    return "ok", "", ""


def _ledger(died: int, trimmed: int) -> str:
    """What the group did not get: the worse of the two, as there is room for one."""
    return f"{trimmed:,} trimmed" if trimmed else f"{died:,} dead" if died else "0 lost"


def _row(
    world: World,
    source: str,
    type: str,
    rates: Rates,
    lag: GroupLag | None,
    dead: dict[str, tuple[int, str]],
) -> FlowRow:
    flow: Flow = world["flows"].get("flow", f"{source}\0{type}")
    rate, recent = rates.flow_rate(flow.number), rates.flow_recent.get(flow.number, [0] * NINTHS)
    if lag is None:
        return FlowRow(source, type, "", "ok", rate, recent, flow.total, ledger="kept")
    severity, why, mend = severity_of(lag)
    died, worst = dead.get(lag.group, (0, ""))
    if mend == "dlq list" and worst:
        mend = f"dlq show {worst}"
    return FlowRow(
        source=source,
        type=type,
        group=lag.group,
        severity=severity,
        rate=rate,
        recent=recent,
        total=flow.total,
        error_share=lag.error_share,
        p50_ns=lag.p50_ns,
        p99_ns=lag.p99_ns,
        behind_ns=lag.behind_ns,
        waiting=lag.waiting + lag.in_flight,
        trend=lag.trend,
        eta_ns=lag.eta_ns,
        ledger=_ledger(died, trimmed(world["ledger"], lag.group).events),
        why=why,
        mend=mend,
    )


def dead_kinds(world: World) -> dict[str, tuple[int, str]]:
    """Per group: how many dead letters wait, and the id of the kind that most of them are."""
    found: dict[str, tuple[int, str]] = {}
    most: dict[str, int] = {}
    for _, kind in sorted(world["deadletters"].items("kind"), key=lambda item: item[1].number):
        count, id = found.get(kind.group, (0, ""))
        if kind.waiting > most.get(kind.group, 0):
            most[kind.group], id = kind.waiting, kind.id
        found[kind.group] = (count + kind.waiting, id)
    return found
