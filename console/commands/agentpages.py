"""Agents as pages. Pure."""

from console.commands.pages import since
from console.measure import age, clock, count, lag, many, moment, percent
from console.output import GLYPHS, Column, Page
from controlplane import questions as q

LEFT = "○"
EMPTY = (
    "no agents yet: one comes with the first `joined` that it says\n"
    '  python: agent = bus.Agent("planner", capabilities=["plan"]); agent.run()'
)


def glyph(row: q.AgentRow) -> str:
    """The shape of its state; one that left is off."""
    return LEFT if row.state == "left" else GLYPHS[row.severity]


def name(row: q.AgentRow) -> str:
    """What people call it: its source without `agent/`."""
    return row.agent.removeprefix("agent/")


def agents_page(body: q.Agents, told: q.Told) -> Page:
    """All that match, worst first."""
    shown, notes = len(body.rows), [f"▲ {note}" for note in body.notes]
    more = [f"{count(shown)} of {count(body.matched)} shown; --limit shows more"] if shown < body.matched else []
    total = f"{count(body.live)} live, {count(body.out)} out, {count(body.left)} left"
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("", glyph),
            Column("agent", name, flex=True),
            Column("state", lambda a: a.state),
            Column("load", lambda a: percent(a.load), "r"),
            Column("phi", lambda a: "–" if a.phi is None else f"{a.phi:.1f}", "r"),
            Column("can", lambda a: " ".join(a.handles) or "–", flex=True),
            Column("err%", lambda a: percent(a.error_share, 1), "r"),
            Column("behind", lambda a: lag(a.behind_ns), "r"),
            Column("version", lambda a: a.version or "–"),
            Column("seen", lambda a: since(told, a.seen), "r"),
            Column("why", lambda a: a.why + (f"  signalbox {a.mend}" if a.mend else ""), flex=True),
        ],
        below="\n".join(["", *more, total, *notes]),
        empty=("then there was no agent\n  signalbox agent list" if told.past else EMPTY)
        if not body.total
        else "no such agents\n  signalbox agent list",
    )


def agent_page(body: q.Agent, told: q.Told) -> Page:
    """One: its line, its record, its states and groups, and why."""
    row = body.row
    held = f", quarantined by {row.by or 'somebody'}" if row.quarantined and row.state != "quarantined" else ""
    facts = [
        ("can", " ".join(row.handles) or "nothing that is dispatched"),
        ("alone for", " ".join(body.alone_for)),
        ("load", _load(row)),
        ("handled", _handled(row)),
        ("version", row.version),
        ("locality", row.locality),
        ("address", body.address),
        ("preferences", "  ".join(f"{name}={value}" for name, value in body.preferences.items())),
        ("joined", f"{moment(row.joined, told.recorded)}, {since(told, row.joined)} ago"),
        ("last word", f"{since(told, row.seen)} ago, beats {_beat(body)}"),
        ("incarnation", body.incarnation),
        ("not taken", f"{count(body.not_taken)} of its capabilities" if body.not_taken else ""),
        ("imported", f"from {row.importof}" if row.importof else ""),
    ]
    below = ["", *(f"{label:<12}  {text}" for label, text in facts if text)]
    below += ["", "serves"] if body.groups else []
    below += [
        f"  {GLYPHS[g.severity]} {g.group}  {g.through}, {many(g.members, 'member')}, "
        f"{many(g.waiting, 'waits', 'wait')}, {lag(g.behind_ns)} behind"
        for g in body.groups
    ]
    below += ["", "has", *(_task(task, told) for task in body.tasks)] if body.tasks else []
    below += ["", "why", *(f"  {'  ' * k.depth}{'✓ ruled out: ' if k.ruled_out else ''}{k.text}" for k in body.why)]
    below += ["", *(f"  signalbox {line}" for line in body.mend)] if body.mend else []
    return Page(
        record=body,
        rows=body.turns,
        columns=[
            Column("time", lambda t: clock(t.at, 3)),
            Column("state", lambda t: t.state),
            Column("position", lambda t: count(t.position), "r"),
            Column("why", lambda t: t.why, flex=True),
        ],
        above=f"{glyph(row)} {name(row)}  {row.state} for {since(told, row.since)}{held}\n\n",
        below="\n".join(below),
    )


def _task(task: q.RouteTask, told: q.Told) -> str:
    """One task that it has not settled."""
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    stuck = f", stuck in {age(task.stuck_from - told.recorded)}" if task.stuck_from > told.recorded else ""
    where = f"  signalbox route explain @{task.position}"
    return f"  {task.event} for {since(told, task.since)}{again}, needs {task.needs}{stuck}{where}"


def _load(row: q.AgentRow) -> str:
    if row.load is None:
        return ""
    wait = many(row.queue, "waits", "wait")
    return f"{percent(row.load)} of {count(row.concurrency)}, {count(row.in_flight)} under way, {wait}"


def _handled(row: q.AgentRow) -> str:
    if row.handled is None:
        return ""
    lately = ", none lately" if row.error_share is None else f", {percent(row.error_share, 1)}% of the newest"
    return f"{count(row.handled)}, failed {count(row.failed)}{lately}"


def _beat(body: q.Agent) -> str:
    return f"every {age(body.heartbeat_ms * 1_000_000)}" if body.heartbeat_ms else "never: it is not suspected"
