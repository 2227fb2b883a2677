"""Answers as pages: which columns a table has, in the console's own words and number formats. Pure."""

from collections.abc import Sequence

from console.measure import SECOND, age, clock, count, lag, many, moment, percent, rate, size, took
from console.output import GLYPHS, Column, Page
from controlplane import questions as q


def per_second(events: float) -> str:
    """A rate with its unit."""
    value, unit = rate(events)
    return f"{value} {unit}"


def since(told: q.Told, instant: int) -> str:
    """How long ago, as of the answer; a dash for never."""
    return age(told.recorded - instant) if instant else "–"


def status_page(body: q.Status, told: q.Told) -> Page:
    """The fleet: one line of control plane, one of counts, a table of brokers, and what is wrong with partitions."""
    plane, counts = body.controlplane, body.counts
    wrong = [partition for partition in body.partitions if partition.severity != "ok"]
    below = [
        f"{GLYPHS[part.severity]} p{part.partition:02d}  {part.why or 'no leader' if not part.leader else part.why}"
        + (f"  signalbox {part.mend}" if part.mend else "")
        for part in wrong
    ]
    if not wrong:
        below = [f"● {many(len(body.partitions), 'partition')}, all in sync"]
    return Page(
        record=body,
        rows=body.brokers,
        columns=[
            Column("broker", lambda b: f"{GLYPHS[STATES.get(b.state, 'unknown')]} {b.id}"),
            Column("state", lambda b: b.state),
            Column("leads", lambda b: str(len(b.leads)), "r"),
            Column("in", lambda b: per_second(b.in_rate), "r"),
            Column("out", lambda b: per_second(b.out_rate), "r"),
            Column("fsync p99", lambda b: took(b.fsync_p99_ns) if b.fsync_p99_ns else "–", "r"),
            Column("store", lambda b: size(b.store_bytes), "r"),
            Column("up", lambda b: since(told, b.since), "r"),
            Column("pid", lambda b: str(b.pid), "r"),
            Column("why", lambda b: b.why + (f"  signalbox {b.mend}" if b.mend else ""), flex=True),
        ],
        above=(
            f"{health_word(counts)}  control plane {plane.state}"
            + (f", pid {plane.pid}" if plane.pid else "")
            + f", at {count(plane.position)}"
            + (f", {count(plane.behind)} behind" if plane.behind else "")
            + (f"\n{'▲' if plane.rebuilding else '■'} {plane.why}" if plane.why else "")
            + f"\n{counts_line(counts)}\n"
            + "\n"
        ),
        below="\n".join(["", *below, *_kept(plane)]),
        empty="no brokers yet",
    )


def _kept(plane: q.PlaneStatus) -> list[str]:
    """What retention has let go of, and what it keeps; nothing where it keeps everything."""
    said = []
    if plane.journal_from:
        said.append(f"the journal begins after position {count(plane.journal_from)}")
    for who, seconds, bytes in (
        ("the journal keeps", plane.journal_retention_seconds, plane.journal_retention_bytes),
        ("a broker's partition keeps", plane.retention_seconds, plane.retention_bytes),
    ):
        bounds = ([age(seconds * SECOND)] if seconds else []) + ([f"at most {size(bytes)}"] if bytes else [])
        if bounds:
            said.append(f"{who} {' and '.join(bounds)}")
    return [f"○ retention: {', '.join(said)}"] if said else []


STATES = {
    "up": "ok", "slow": "warn", "full": "bad", "starting": "warn", "silent": "warn", "fenced": "bad",
    "down": "bad", "stopped": "bad",
}  # fmt: skip
"""Of brokers."""
HEALTH_SEVERITY: dict[str, q.Severity] = {"OK": "ok", "WARNING": "warn", "CRITICAL": "bad", "UNKNOWN": "unknown"}


def health_word(counts: q.Counts) -> str:
    """`● OK 97`."""
    score = "–" if counts.score is None else str(counts.score)
    return f"{GLYPHS[HEALTH_SEVERITY[counts.health]]} {counts.health} {score}"


def counts_line(counts: q.Counts) -> str:
    """Events, flows, sagas, dead letters, agents in one line."""
    return (
        f"{many(counts.events, 'event')}  {many(counts.flows, 'flow')}  "
        f"sagas {count(counts.sagas_open)} open, {count(counts.sagas_stuck)} stuck, "
        f"{count(counts.sagas_finished)} finished, {count(counts.sagas_failed)} failed  "
        f"{many(counts.dead_letters, 'dead letter')}  {many(counts.agents, 'agent')}"
        + (f", {count(counts.agents_out)} out" if counts.agents_out else "")
    )


def flows_page(body: q.Flows, told: q.Told) -> Page:
    """Flows, worst then busiest."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("", lambda f: GLYPHS[f.severity]),
            Column("source", lambda f: f.source, flex=True),
            Column("type", lambda f: f.type, flex=True),
            Column("group", lambda f: f.group or "–"),
            Column("rate", lambda f: per_second(f.rate), "r"),
            Column("total", lambda f: count(f.total), "r"),
            Column("err%", lambda f: percent(f.error_share, 1), "r"),
            Column("p50", lambda f: took(f.p50_ns), "r"),
            Column("p99", lambda f: took(f.p99_ns), "r"),
            Column("behind", lambda f: lag(f.behind_ns), "r"),
            Column("why", lambda f: f.why, flex=True),
        ],
        below=_rest(len(body.rows), body.matched, body.total),
        empty="no flows yet: nobody has published\n  signalbox event publish order.created    signalbox demo",
    )


def sagas_page(body: q.Sagas, told: q.Told) -> Page:
    """The inbox, worst first."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("", lambda s: GLYPHS[s.severity]),
            Column("saga", lambda s: s.saga, flex=True),
            Column("state", lambda s: s.state),
            Column("step", lambda s: s.step, flex=True),
            Column("steps", lambda s: count(s.steps), "r"),
            Column("waits", lambda s: age(s.waiting_ns) if s.state == "open" else "–", "r"),
            Column("typical", lambda s: age(s.typical_ns), "r"),
            Column("×p95", lambda s: "–" if s.ratio is None else f"{s.ratio:.1f}", "r"),
            Column("why", lambda s: s.why, flex=True),
        ],
        below=_rest(len(body.rows), body.matched, body.matched),
        empty="no such sagas\n  signalbox saga list --state all",
    )


def saga_page(body: q.Saga, told: q.Told) -> Page:
    """One saga: its line, its steps, why, and what mends it."""
    row = body.row
    ended = body.steps[-1] if body.steps and row.state != "open" else None
    head = f"{GLYPHS[row.severity]} {row.saga}  {row.state} at {row.step}, {many(row.steps, 'step')}"
    return Page(
        record=body,
        rows=body.steps,
        columns=[
            Column("", lambda s: "■" if s.failed else "●"),
            Column("time", lambda s: clock(s.time, 3)),
            Column("type", lambda s: s.type, flex=True),
            Column("source", lambda s: s.source, flex=True),
            Column("took", lambda s: took(None if s is ended else s.took_ns), "r"),
            Column("position", lambda s: count(s.position), "r"),
            Column("id", lambda s: s.id, flex=True),
        ],
        above=head + (f", waits {age(row.waiting_ns)}" if row.state == "open" else "") + "\n\n",
        below=_why(body.why, body.mend),
    )


def dead_groups_page(body: q.DeadGroups, told: q.Told) -> Page:
    """Dead letters by what killed them."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("", lambda d: GLYPHS[d.severity]),
            Column("id", lambda d: d.id),
            Column("reason", lambda d: d.reason),
            Column("what", lambda d: d.what, flex=True),
            Column("in", lambda d: d.group),
            Column("count", lambda d: count(d.count), "r"),
            Column("waiting", lambda d: count(d.waiting), "r"),
            Column("first", lambda d: moment(d.first, told.recorded), "r"),
            Column("newest", lambda d: since(told, d.newest), "r"),
        ],
        below=f"\n{count(body.waiting)} waiting\n  signalbox dlq show ID    signalbox dlq redrive ID --dry-run",
        empty="● no dead letters",
    )


def dead_letters_page(body: q.DeadLetters, told: q.Told) -> Page:
    """One group's dead letters with the attempts of the newest."""
    group = body.group
    below = ""
    if body.letters:
        newest = body.letters[0]
        attempts = [
            f"  {attempt.attempt}  {clock(attempt.at)}  {took(attempt.took_ns):>6}  {attempt.error}"
            for attempt in newest.attempts
        ]
        below = "\n".join(["", f"attempts of {newest.id}", *attempts, newest.event])
        if newest.cut:
            below += f"\nnot all of it is here: {', '.join(newest.cut)}; redriven, it is read from the journal"
    return Page(
        record=body,
        rows=body.letters,
        columns=[
            Column("id", lambda d: d.id),
            Column("state", lambda d: d.state),
            Column("died", lambda d: moment(d.died, told.recorded)),
            Column("tries", lambda d: str(len(d.attempts)), "r"),
            Column("where", lambda d: f"p{d.partition:02d}·{count(d.offset)}", "r"),
            Column("error", lambda d: d.error, flex=True),
        ],
        above=f"{GLYPHS[group.severity]} {group.id}  {group.what}\nin {group.group}, {group.waiting:,} waiting\n\n",
        below=below + _why(body.why, []),
        empty="none",
    )


def health_page(body: q.Health, told: q.Told) -> Page:
    """The score and what it is made of."""
    score = "–" if body.score is None else str(body.score)
    glyph = GLYPHS[HEALTH_SEVERITY[body.state]]
    return Page(
        record=body,
        rows=body.penalties,
        columns=[
            Column("", lambda n: GLYPHS[n.severity]),
            Column("points", lambda n: f"−{n.points}", "r"),
            Column("what", lambda n: n.what, flex=True),
            Column("for", lambda n: since(told, n.since), "r"),
            Column("why", lambda n: n.why, flex=True),
            Column("mend", lambda n: f"signalbox {n.mend}" if n.mend else "", flex=True),
        ],
        above=f"{glyph} {body.state}  {score} of 100\n" + ("\n" if body.penalties else ""),
        empty="nothing takes points off",
    )


def events_page(body: q.Events, told: q.Told) -> Page:
    """Archived events, newest first."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("position", lambda e: count(e.position), "r"),
            Column("time", lambda e: f"{moment(e.time, told.recorded)}"),
            Column("", lambda e: GLYPHS[e.severity]),
            Column("type", lambda e: e.type, flex=True),
            Column("source", lambda e: e.source, flex=True),
            Column("subject", lambda e: e.subject or "–", flex=True),
            Column("where", lambda e: f"p{e.partition:02d}·{count(e.offset)}", "r"),
            Column("size", lambda e: size(e.size), "r"),
            Column("id", lambda e: e.id, flex=True),
        ],
        below=_rest(len(body.rows), body.total, body.total),
        empty="nothing found\n  signalbox event search --type '>'    signalbox event tail",
    )


def event_page(body: q.EventDetail, told: q.Told) -> Page:
    """One event as its JSON, and what stands around it."""
    row = body.row
    return Page(
        record=body,
        rows=body.causes,
        columns=[
            Column("", lambda e: "◆" if e.position == row.position else "●"),
            Column("position", lambda e: count(e.position), "r"),
            Column("type", lambda e: e.type, flex=True),
            Column("source", lambda e: e.source, flex=True),
            Column("id", lambda e: e.id, flex=True),
        ],
        above=f"{body.event}\n\nat {count(row.position)}, p{row.partition:02d}·{count(row.offset)}\n\n",
    )


def past_page(body: q.Past, told: q.Told) -> Page:
    """The state as of then."""
    return Page(
        record=body,
        rows=body.needs,
        columns=[
            Column("", lambda n: GLYPHS[n.severity]),
            Column("what", lambda n: n.what, flex=True),
            Column("why", lambda n: n.why, flex=True),
        ],
        above=(
            f"as of {count(body.position)}, {clock(body.recorded, 3)} UTC {moment(body.recorded, 0)}\n"
            f"{health_word(body.counts)}\n{counts_line(body.counts)}\ndigest {body.digest}\n"
        ),
    )


def _rest(shown: int, matched: int, total: int) -> str:
    if shown < matched:
        return f"\n{count(shown)} of {count(matched)} shown; --limit shows more"
    return f"\n{count(matched)} of {count(total)} match" if matched < total else ""


def _why(why: Sequence[q.Link], mend: Sequence[str]) -> str:
    lines = ["", "why"] if why else []
    lines += [f"  {'  ' * link.depth}{'✓ ruled out: ' if link.ruled_out else ''}{link.text}" for link in why]
    lines += ["", *(f"  signalbox {line}" for line in mend)] if mend else []
    return "\n".join(lines)
