"""What a journal read again says, as pages: the difference of two moments, and what would have been otherwise. Pure."""

from console.commands.pages import counts_line, health_word
from console.measure import clock, count, day, many
from console.output import Column, Page
from controlplane import questions as q

_GLYPHS = {"gone": "−", "new": "+", "moved": "→", "changed": "≠", "added": "+", "removed": "−"}


def diff_page(body: q.Diff, told: q.Told, asked: q.AskDiff) -> Page:
    """Keys that differ between two moments, with old and new values; `asked` names the moments that were meant."""
    above = [
        f"A  {_when(body.position_a, body.recorded_a)}  {health_word(body.counts_a)}",
        *_within(asked.position_a, body.position_a),
        f"   {counts_line(body.counts_a)}",
        f"B  {_when(body.position_b, body.recorded_b)}  {health_word(body.counts_b)}",
        *_within(asked.position_b, body.position_b),
        f"   {counts_line(body.counts_b)}",
        "",
    ]
    above += _tables(body.tables)
    return Page(
        record=body,
        rows=body.changes,
        columns=_STATE_COLUMNS,
        above="\n".join([*above, ""]) if body.tables else "\n".join(above),
        below=_fewer(body.changes, body.tables),
        empty="● no difference",
    )


_STATE_COLUMNS = [
    Column("", lambda c: _GLYPHS[c.change]),
    Column("fold", lambda c: c.fold),
    Column("table", lambda c: c.table),
    Column("key", lambda c: _key(c.key), flex=True),
    Column("field", lambda c: c.field),
    Column("was", lambda c: c.was or "–", flex=True),
    Column("is", lambda c: c.now or "–", flex=True),
]


def what_if_page(body: q.WhatIf, told: q.Told) -> Page:
    """Facts that would be gone, new, moved or changed, what stands otherwise at the end, and the horizon."""
    rules = ", ".join(f"{name}={value}" for name, value in body.settings.items()) or "nothing had been changed"
    above = [
        f"what if {rules}",
        f"from {_when(body.first, body.since)} to {_when(body.last, body.until)}: "
        f"{many(body.entries, 'entry', 'entries')} of {many(body.events, 'event')} in {body.seconds:.2f} s",
    ]
    if body.older:
        older = many(body.older, "entry of an older fold version was", "entries of older fold versions were")
        above.append(f"{older} taken as recorded")
    above += ["", *_verdict(body), "", *_counts(body)]
    if body.facts:
        above += ["", "the first of each:", ""]
    return Page(
        record=body,
        rows=body.facts,
        columns=[
            Column("", lambda f: _GLYPHS[f.change]),
            Column("change", lambda f: f.change + (" ◇" if f.beyond else "")),
            Column("position", lambda f: count(f.position) if f.position else "–", "r"),
            Column("was at", lambda f: clock(f.recorded, 3) if f.recorded else "–", "r"),
            Column("would be at", lambda f: clock(f.now_recorded, 3) if f.now_recorded else "–", "r"),
            Column("fact", lambda f: f.kind),
            Column("what", lambda f: f.text, flex=True),
            Column("was", lambda f: f.was or "–", flex=True),
            Column("would be", lambda f: f.now or "–", flex=True),
        ],
        above="\n".join([*above, ""]),
        below="\n".join(["", *_state(body), *_horizon(body)]),
    )


def _verdict(body: q.WhatIf) -> list[str]:
    kinds = [kind for kind in body.kinds if kind.gone or kind.new or kind.moved or kind.changed]
    if not kinds:
        same = sum(kind.same for kind in body.kinds)
        said = many(same, "would have been said as it was", "would have been said as they were")
        return [f"● no fact would have been otherwise; {said}"]
    width = max(len(kind.kind) for kind in kinds)
    head = f"  {'':{width}}  {'gone':>8}  {'new':>8}  {'moved':>8}  {'changed':>8}  {'same':>8}"
    lines = [
        f"  {kind.kind:{width}}  "
        + "  ".join(f"{count(each):>8}" for each in (kind.gone, kind.new, kind.moved, kind.changed, kind.same))
        for kind in kinds
    ]
    total = sum(kind.gone + kind.new + kind.moved + kind.changed for kind in kinds)
    rest = (
        [f"  {many(body.unmatched, 'was', 'were')} too many to tell moved from gone and new"] if body.unmatched else []
    )
    return [f"▲ {many(total, 'fact')} would have been otherwise", "", head, *lines, *rest]


def _counts(body: q.WhatIf) -> list[str]:
    pairs = [
        ("score", body.was.score, body.now.score),
        ("sagas stuck", body.was.sagas_stuck, body.now.sagas_stuck),
        ("of them bad", body.was.sagas_stuck_bad, body.now.sagas_stuck_bad),
        ("sagas open", body.was.sagas_open, body.now.sagas_open),
        ("finished", body.was.sagas_finished, body.now.sagas_finished),
        ("failed", body.was.sagas_failed, body.now.sagas_failed),
        ("dead letters", body.was.dead_letters, body.now.dead_letters),
        ("brokers up", body.was.brokers_up, body.now.brokers_up),
    ]
    told = [f"{name} {count(was)} → {count(now)}" for name, was, now in pairs if was != now]
    still = f"the same counts at the end: {many(body.was.sagas_stuck, 'saga')} stuck, score {count(body.was.score)}"
    return ["at the end: " + ", ".join(told) if told else still]


def _state(body: q.WhatIf) -> list[str]:
    if not body.tables:
        return ["● the state at the end would be the same"]
    lines = ["the state at the end:", *(f"  {line}" for line in _tables(body.tables))]
    for change in body.changes:
        field = f".{change.field}" if change.field else ""
        place = f"{change.fold} {change.table} {_key(change.key)}{field}"
        lines.append(f"  {_GLYPHS[change.change]} {place}: {change.was or '–'} → {change.now or '–'}")
    return lines


def _horizon(body: q.WhatIf) -> list[str]:
    if body.horizon is None:
        return ["● no horizon: every recorded reply still answers what was asked"]
    lines = [
        f"▲ horizon at {_when(body.horizon.position, body.horizon.recorded)}: {body.horizon.why}",
        f"  {count(body.beyond)} of the differences (◇) stand after it: there recorded replies may not answer any more",
    ]
    if body.unasked is not None:
        lines.append(
            f"  the first such reply is at {_when(body.unasked.position, body.unasked.recorded)}: {body.unasked.why}"
        )
    return lines


def _tables(tables: list[q.TableChange]) -> list[str]:
    lines = []
    for one in tables:
        parts = ((one.added, "added"), (one.removed, "removed"), (one.changed, "changed"))
        lines.append(
            f"{one.fold} {one.table}: " + ", ".join(f"{count(number)} {what}" for number, what in parts if number)
        )
    return lines


def _fewer(changes: list[q.StateChange], tables: list[q.TableChange]) -> str:
    keys = len({(change.fold, change.table, change.key) for change in changes})
    total = sum(one.added + one.removed + one.changed for one in tables)
    return f"\n{count(keys)} of {many(total, 'key')} shown; --limit shows more" if keys < total else ""


def _key(key: str) -> str:
    return key.replace("\0", " ")


def _within(asked: int | None, found: int) -> list[str]:
    """That a position is not the end of a step, and that the state is the one before it."""
    if asked is None or asked == found:
        return []
    return [f"   {count(asked)} is within a step: this is as of the end of the one before"]


def _when(position: int, recorded: int) -> str:
    return f"{count(position)} ({day(recorded)} {clock(recorded, 3)} UTC)" if position else "the beginning"
