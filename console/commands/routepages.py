"""Routing as pages: rules, what a change of them comes to, and where one event goes."""

from console import output as out
from console.commands.asking import stamp
from console.commands.pages import since
from console.measure import clock, count, many, moment, took
from console.output import GLYPHS, Column, Format, Page
from controlplane import questions as q


def routes_page(body: q.Routes, told: q.Told) -> Page:
    """The rules in force, and the work that waits."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("rule", lambda r: f"{GLYPHS[r.severity]} {r.name}"),
            Column("types", lambda r: r.types, flex=True),
            Column("when", lambda r: r.when or "always", flex=True),
            Column("to", lambda r: ", ".join(r.to) + (", then stop" if r.stop else ""), flex=True),
            Column("matched", lambda r: count(r.matched), "r"),
            Column("last", lambda r: since(told, r.last) if r.last else "–", "r"),
            Column("why", lambda r: f"{r.why}, at {count(r.failed_at)}" if r.failed_at else "", flex=True),
        ],
        above=_head(body, told),
        below="\n".join(_below(body, told)),
        empty="no content rules\n  signalbox route add NAME --types PATTERN --when CEL --to capability:NAME",
    )


def _head(body: q.Routes, told: q.Told) -> str:
    if not body.version:
        return ""
    said = ": ".join(filter(None, (f"by {body.by}" if body.by else "", body.reason)))
    default = f", default {', '.join(body.default)}" if body.default else ""
    default += f"; work that nobody can do: {body.no_capable}" if body.no_capable != "wait" else ""
    return f"version {body.version}, since {moment(body.since, told.recorded)} {said}".rstrip() + f"{default}\n\n"


def _below(body: q.Routes, told: q.Told) -> list[str]:
    lines = ["", f"{count(body.waiting)} waiting, {count(body.out)} out; {count(body.opened)} in all, "
                 f"{count(body.handled)} handled, {count(body.dropped)} given up"]  # fmt: skip
    for row in body.work:
        if row.waiting or row.settled:
            usual = f", takes {took(row.latency_ns)}" if row.latency_ns is not None else ""
            ages = f" for {since(told, row.since)}" if row.waiting else ""
            agents = f"{count(row.agents)} can do it"
            lines.append(f"{GLYPHS[row.severity]} {row.needs}: {count(row.waiting)} waiting{ages}, {agents}{usual}")
            if row.why:
                lines.append(f"  {row.why}")
            if row.mend:
                lines.append(f"  signalbox {row.mend}")
    return lines


def changed_page(body: q.RoutesChanged) -> Page:
    """What a change of rules touches, and what it would have done."""
    if not body.touched:
        return Page(body, [body], above="nothing to change: the rules are like that")
    lines = [f"  {line}" for line in body.touched]
    if body.dry_run:
        tried = [] if body.tried is None else ["", *_tried_lines(body.tried)]
        return Page(body, [body], above="\n".join(["would change:", *lines, *tried]))
    return Page(body, [body], above="\n".join(["● changed", *lines, f"decided at {body.position:,}"]))


def show_tried(body: q.RoutesTried, told: q.Told, format: str) -> None:
    """What rules would have done; NDJSON and CSV have a line for each rule."""
    page = Page(
        record=body,
        rows=body.rules,
        columns=[
            Column("rule", lambda r: f"{GLYPHS['warn' if r.failed else 'ok']} {r.rule or '(default)'}"),
            Column("in force", lambda r: count(r.was), "r"),
            Column("tried", lambda r: count(r.matched), "r"),
            Column("raised", lambda r: count(r.failed) if r.failed else "–", "r"),
            Column("why", lambda r: r.why, flex=True),
        ],
        below="\n".join(["", *_tried_lines(body, rules=False)]),
        empty="no rules",
        stamp=stamp(told),
    )
    out.show(page, Format(format))


def _tried_lines(body: q.RoutesTried, rules: bool = True) -> list[str]:
    cut = ", the newest of them" if body.cut else ""
    lines = [
        f"tried on {count(body.events)} of {many(body.recorded, 'event')} recorded since {clock(body.since)}{cut}: "
        f"{count(body.changed)} would go elsewhere than by the rules in force"
    ]
    for row in body.rules if rules else ():
        raised = f", raised on {count(row.failed)}: {row.why}" if row.failed else ""
        lines.append(f"  {row.rule or '(default)'}: {count(row.matched)} matched, {count(row.was)} before{raised}")
    for one in body.examples:
        was, now = ", ".join(one.was) or "nobody", ", ".join(one.now) or "nobody"
        lines.append(f"  @{one.position} {one.type} {one.id}: {was} → {now}")
    return lines


def explained_page(body: q.RouteExplained, told: q.Told) -> Page:
    """One event: who gets it, out of whom, and what each rule says."""
    again = f"at {count(body.position)}: where it would go if it came again"
    where = again if body.position else "not recorded: where it would go"
    said = [f"  {_RULES[one.outcome]} {one.rule}{': ' + one.why if one.why else ''}" for one in body.verdicts]
    below = [""] if body.recipients else []
    for to in body.recipients:
        below += _candidates(to)
    below += ["rules", *said] if said else []
    below += ["", "its tasks", *(f"  {one.task} {_task(one, told)}" for one in body.tasks)] if body.tasks else []
    steps = [f"  {count(step.position)}  {clock(step.at, 3)}  {step.text}" for step in body.steps]
    below += ["", "what was decided", *steps] if steps else []
    return Page(
        record=body,
        rows=body.recipients,
        columns=[
            Column("to", lambda t: f"{GLYPHS[t.severity]} {t.recipient}"),
            Column("by", lambda t: ", ".join(name or "the default" for name in t.through), flex=True),
            Column("agent", lambda t: t.agent or "nobody"),
            Column("of", lambda t: count(t.among), "r"),
            Column("expected", lambda t: took(t.expected_ns) if t.expected_ns is not None else "–", "r"),
            Column("reliable", lambda t: _share(t.reliability), "r"),
            Column("why", lambda t: t.why + (f"  signalbox {t.mend}" if t.mend else ""), flex=True),
        ],
        above=f"{body.event}\n\n{body.event_type}, {where}\n\n",
        below="\n".join(below),
        empty=f"nobody gets it: {body.why}",
    )


_RULES = {"matched": "●", "no": "◌ no:", "error": "▲ raised:", "type": "◌ other types:", "stopped": "◌ not asked:"}


def _candidates(to: q.RouteTo) -> list[str]:
    lines = []
    for one in to.candidates:
        figures = f"score {count(one.score)}, load {one.load * 100:.0f}%, takes {took(one.latency_ns)}"
        mark, why = ("◌", f": {one.why}") if one.why else ("●", "")
        lines.append(f"  {mark} {one.agent}  {figures}, reliable {_share(one.reliability)}{why}")
    return lines


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.0f}%"


def _task(one: q.RouteTask, told: q.Told) -> str:
    who = f"out with {one.agent}, attempt {one.attempt}" if one.agent else "waits"
    why = f": {one.why}" if one.why else ""
    return f"{who} for {since(told, one.since)}, needs {one.needs}{why}"
