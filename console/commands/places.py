"""Brokers, partitions and what a lever touches, as pages. Pure."""

from console.commands.pages import STATES, per_second, since
from console.measure import count, lag, many, moment, percent, size, took
from console.output import GLYPHS, Column, Page
from controlplane import questions as q

_MS = 1_000_000
REPLICAS = {"leader": "ok", "in_sync": "ok", "lagging": "warn", "off": "bad"}
DRAINED = "◇"
OWNER = {False: "plane", True: "joined"}
"""Who started a broker, and so starts it again: the control plane, or somebody else."""


def names(partitions: list[int]) -> str:
    """`p00 p03 p07`, or a dash."""
    return " ".join(f"p{number:02d}" for number in partitions) or "–"


def brokers_page(body: q.Brokers, told: q.Told) -> Page:
    """All brokers: what they lead, hold and carry, and why they do not."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("broker", lambda b: f"{DRAINED if b.drained else GLYPHS[STATES.get(b.state, 'unknown')]} {b.id}"),
            Column("state", lambda b: b.state),
            Column("run by", lambda b: OWNER[b.joined]),
            Column("leads", lambda b: str(len(b.leads)), "r"),
            Column("of", lambda b: str(len(b.home_of)), "r"),
            Column("in sync", lambda b: f"{b.in_sync}/{b.replicas}", "r"),
            Column("share", lambda b: percent(b.share), "r"),
            Column("in", lambda b: per_second(b.in_rate), "r"),
            Column("out", lambda b: per_second(b.out_rate), "r"),
            Column("fsync p99", lambda b: took(b.fsync_p99_ns) if b.fsync_p99_ns else "–", "r"),
            Column("store", lambda b: size(b.store_bytes), "r"),
            Column("up", lambda b: since(told, b.since), "r"),
            Column("heard", lambda b: since(told, b.heard) if b.heard else "–", "r"),
            Column("why", lambda b: "; ".join(filter(None, (b.leaving or b.drained, b.why))), flex=True),
        ],
        below="\n".join(["", *_restart_lines(body.restart), *_ailment_lines(body.ailment)]).rstrip(),
        empty="no brokers yet\n  signalbox up",
    )


def broker_page(body: q.Brokers, told: q.Told) -> Page:
    """One broker, and what depends on it."""
    page = brokers_page(body, told)
    below = []
    for row in body.rows:
        below += [
            "",
            f"leads             {names(row.leads)}",
            f"preferred for     {names(row.home_of)}",
            f"quorum needs it   {names(row.holds_up)}",
            f"locality          {row.locality or '–'}",
            f"room for          {size(row.room_bytes) if row.room_bytes is not None else '–'}",
            f"restarts          {row.restarts}",
            f"address           {row.url or '–'}",
            f"store             {row.store or '–'}",
            f"process           {_process(row)}",
        ]
    page.below = "\n".join(below) + page.below
    return page


def _process(row: q.BrokerRow) -> str:
    if not row.joined:
        return f"pid {row.pid or '–'}, started and restarted by the control plane"
    return f"pid {row.pid or '–'}, joined: whoever started it restarts it; drain, revive and remove it here"


def partitions_page(body: q.Partitions, told: q.Told) -> Page:
    """All partitions: who leads, who should, where the replicas stand."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("partition", lambda p: f"{GLYPHS[p.severity]} p{p.partition:02d}"),
            Column("leader", lambda p: p.leader or "–"),
            Column("preferred", lambda p: "" if p.preferred == p.leader else p.preferred or "–"),
            Column("epoch", lambda p: count(p.epoch), "r"),
            Column("replicas", lambda p: "  ".join(f"{GLYPHS[REPLICAS[r.state]]} {r.broker}" for r in p.replicas)),
            Column("rate", lambda p: per_second(p.rate), "r"),
            Column("2 min", lambda p: count(p.load), "r"),
            Column("offset", lambda p: count(p.high), "r"),
            Column("slowest group", lambda p: f"{p.slowest_group} {lag(p.behind_ns)}" if p.slowest_group else "–"),
            Column("why", lambda p: p.why + (f"  signalbox {p.mend}" if p.mend else ""), flex=True),
        ],
        below="\n".join(
            ["", *_partitioning_lines(body), *_plan_lines(body.plan), *_ailment_lines(body.ailment)]
        ).rstrip(),
        empty="no partitions yet",
    )


def groups_page(body: q.Groups, told: q.Told) -> Page:
    """All groups, worst first: how far they are, and what they did not get."""
    return Page(
        record=body,
        rows=body.rows,
        columns=[
            Column("group", lambda g: f"{GLYPHS[g.severity]} {g.group}"),
            Column("pattern", lambda g: g.pattern),
            Column("members", lambda g: count(g.members), "r"),
            Column("waiting", lambda g: count(g.waiting), "r"),
            Column("out", lambda g: count(g.in_flight), "r"),
            Column("behind", lambda g: lag(g.behind_ns), "r"),
            Column("handled", lambda g: per_second(g.handled_per_s), "r"),
            Column("p99", lambda g: took(g.p99_ns), "r"),
            Column("dead", lambda g: count(g.dead_letters), "r"),
            Column("trimmed", lambda g: count(g.trimmed), "r"),
            Column("why", lambda g: g.why + (f"  signalbox {g.mend}" if g.mend else ""), flex=True),
        ],
        below="\n".join(["", *_changing_lines(body, told)]).rstrip(),
        empty="no groups yet: nobody has subscribed",
    )


def group_page(body: q.Groups, told: q.Told) -> Page:
    """One group, partition by partition."""
    if not body.rows:
        return Page(record=body, rows=[], columns=[], above="\n".join(_changing_lines(body, told)))
    row = body.rows[0]
    lost = f"{count(row.trimmed)}, last {since(told, row.trimmed_at)} ago" if row.trimmed else "0"
    lines = [
        f"{GLYPHS[row.severity]} {row.group}  {row.pattern}  {row.why}".rstrip(),
        "",
        f"matches           {count(row.types)} of the types that were ever published",
        f"trimmed           {lost}",
        f"about to be       {count(row.endangered)}",
        f"dead letters      {count(row.dead_letters)}",
        *_terms_lines(row.settings, told),
        *_changing_lines(body, told),
    ]
    return Page(
        record=row,
        rows=row.places,
        columns=[
            Column("partition", lambda p: f"p{p.partition:02d}"),
            Column("members", lambda p: count(p.members), "r"),
            Column("waiting", lambda p: count(p.waiting), "r"),
            Column("out", lambda p: count(p.in_flight), "r"),
            Column("endangered", lambda p: count(p.endangered), "r"),
            Column("behind", lambda p: lag(p.behind_ns), "r"),
            Column("who holds how many", _holding, flex=True),
        ],
        above="\n".join([*lines, "", ""]),
        below=f"\nsignalbox {row.mend}" if row.mend else "",
    )


def _terms_lines(terms: q.GroupTerms | None, told: q.Told) -> list[str]:
    """What its members agreed on."""
    if terms is None:
        return []
    order = terms.order
    if terms.order == "strict":
        order += ", a key parks at its first dead letter" if terms.park else ", a key goes on after a dead letter"
    elif terms.order == "timestamp":
        order += f", {took(terms.lateness_ms * _MS)} of lateness, late ones: {terms.late}"
    elif terms.order == "causal":
        order += f", a gap: {terms.gap}"
    governed = [f"set by operators  {', '.join(terms.governed)}, whatever members come with"] if terms.governed else []
    return [
        f"order             {order}",
        f"unacked for       {took(terms.ack_wait_ms * _MS)}, delivered again; "
        f"{many(terms.max_deliver, 'attempt')} at most",
        f"began at          {'the earliest event' if terms.start < 0 else moment(terms.start, told.recorded)}",
        *governed,
    ]


def _changing_lines(body: q.Groups, told: q.Told) -> list[str]:
    """What was decided and is not so at every partition yet."""
    return [
        f"▲ {one.group} is being {'removed' if one.changes is None else 'updated'} for {since(told, one.since)}: "
        "not every partition has done it  signalbox partition list"
        for one in body.changing
    ]


def _holding(place: q.GroupPlace) -> str:
    rest = place.members - len(place.holding)
    named = [f"{one.member} {count(one.in_flight)}" for one in place.holding]
    return "  ".join([*named, f"and {rest:,} more"] if named and rest > 0 else named) or "–"


def operated_page(body: q.Operated, asking: bool = False) -> Page:
    """What a lever touches, or touched: the set, and each goal before and after. `asking`: it is about to."""
    what = {
        "add": "added",
        "remove": "moved away first" if body.moves else "removed",
        "drain": "given away for good",
        "revive": "given back once all is well",
        "restart": "restarted one after the other",
        "restart_stop": "not restarted",
        "rebalance": "moved one after the other",
        "rebalance_stop": "not moved",
        "rebalance_pause": "not moved by itself, until resumed",
        "rebalance_resume": "free to move again",
        "recover": "led by what is left",
        "quarantine": "given no more work",
        "release": "free to be given work again",
        "remove_group": "removed for good",
        "update_group": "changed while members go on",
    }[body.verb]
    mood = "to be " if asking else "dry run, nothing was changed; " if body.dry_run else ""
    head = f"{mood}{what}: {len(body.touched)}" if body.touched or body.moves else "nothing to change"
    if body.touched and not body.moves:
        head += "\n" + "\n".join(f"  {line}" for line in body.touched)
    goals = [f"  {goal.name:<46}  {goal.before:>6g} → {goal.after:<6g} best {goal.best:g}" for goal in body.goals]
    decided = [f"decided at {body.position:,}"] if body.position else []
    return Page(
        record=body,
        rows=body.moves or [body],
        columns=[
            Column("partition", lambda m: f"p{m.partition:02d}"),
            Column("leader", lambda m: f"{m.leader or '–'} → {m.to}"),
            Column("replicas", lambda m: _replicas(m)),
            Column("2 min", lambda m: count(m.load), "r"),
        ]
        if body.moves
        else [],
        above=head + ("\n\n" if body.moves else "\n" if body.touched else ""),
        below="\n".join(["", *goals, *(f"  {note}" for note in body.notes), *decided]).rstrip(),
    )


def _replicas(move: q.Move) -> str:
    before, after = " ".join(sorted(move.replicas)), " ".join(sorted(move.target))
    return before if before == after else f"{before} → {after}"


def _restart_lines(restart: q.RestartStatus | None) -> list[str]:
    if restart is None or restart.ended == "done":
        return []
    done = f"{len(restart.done)} of {len(restart.brokers)}"
    if not restart.ended:
        return [f"▲ rolling restart: {done}, at {restart.brokers[len(restart.done)]}  signalbox broker restart --stop"]
    return [f"■ rolling restart {restart.ended} after {done}: {restart.why}"] if restart.ended == "failed" else []


def _partitioning_lines(body: q.Partitions) -> list[str]:
    told = body.partitioning
    if told is None:
        return []
    shown = {row.partition for row in body.rows}
    rules = [
        f"  {rule.prefix}…  group {rule.group}{f' near {rule.locality}' if rule.locality else ''} in {names(there)}"
        for rule in told.rules
        if (there := [number for number in rule.partitions if number in shown])
    ]
    if told.strategy != "adaptive":
        return [f"○ partitioning: {told.strategy}", *rules]
    load = f"{told.busiest} leads {told.share:.2f} × the mean; " if told.share else ""
    mark = "▲" if told.paused or told.skewed else "○"
    mend = "  signalbox partition rebalance --resume" if told.paused else ""
    return [f"{mark} partitioning: {told.strategy}; {load}{told.held}{mend}", *rules]


def _plan_lines(plan: q.PlanStatus | None) -> list[str]:
    if plan is None or plan.ended:
        return []
    return [f"▲ rebalancing: {plan.made} of {len(plan.moves)} moved  signalbox partition rebalance --stop"]


def _ailment_lines(ailment: str) -> list[str]:
    return [f"▲ leaderships stay where they are: {ailment}"] if ailment else []
