"""One agent: what it is, the states it was in, the groups that it serves, and why it is as it is."""

from console import measure
from console.canvas import Canvas, Span, middle
from console.pictures.agents import group_line, name, state_light, turns, why
from console.pictures.frame import WIDE
from console.pictures.parts import heading
from controlplane.questions import Agent

_FACTS_WIDE, _WHY_ROWS = 46, 9


def _parts(width: int, height: int) -> tuple[int, int]:
    """Rows below, for what it serves and why; rows of the states, their heading included."""
    below = min(_WHY_ROWS, max(5, height // 3))
    room = height - 3 - below
    return below, room if width >= WIDE else max(room // 2, 3)


def turns_shown(width: int, height: int) -> int:
    """How many states a body of this size has room for."""
    return max(1, _parts(width, height)[1] - 1)


def picture(agent: Agent, now: int, selected: int, top: int, width: int, height: int) -> Canvas:
    """The whole body; `selected` is a state's place, `top` the first that is shown."""
    c = Canvas(width, height)
    _title(c, agent, now, width)
    below, states = _parts(width, height)
    room = height - 3 - below
    if width < WIDE:
        c.paste(turns(agent.turns, now, width - 2, states, top, selected), 0, 2)
        c.paste(_record(agent, now, width - 4, room - states - 1), 2, 3 + states)
        c.paste(why(agent, now, width - 4, below), 2, height - below)
        return c.sealed()
    left = _FACTS_WIDE if width < 140 else width * 2 // 5
    c.paste(_record(agent, now, left, room), 2, 2)
    c.paste(turns(agent.turns, now, width - left - 5, states, top, selected), left + 3, 2)
    c.paste(_serves(agent, left, below), 2, height - below)
    c.paste(why(agent, now, width - left - 7, below, places=True), left + 5, height - below)
    return c.sealed()


def _title(c: Canvas, agent: Agent, now: int, width: int) -> None:
    row = agent.row
    glyph, ink = state_light(row)
    spans: list[Span] = [(middle(name(row.agent), 36), "hi b"), (f"   {glyph} {row.state}", f"{ink} b")]
    spans += [(f" {measure.age(now - row.since)}", "txt")]
    spans += [("   joined ", "mut"), (measure.moment(row.joined, now), "txt")]
    if row.load is not None:
        spans += [("   load ", "mut"), (measure.percent(row.load), "txt")]
    if row.phi is not None:
        spans += [("   phi ", "mut"), (f"{min(row.phi, 99):.1f}", "txt")]
    c.line(2, 0, spans, width - 4)


def _record(agent: Agent, now: int, width: int, height: int) -> Canvas:
    """What it says of itself."""
    c = Canvas(width, height)
    heading(c, 0, 0, width, "RECORD", "as it last said")
    row = agent.row
    beat = f"every {measure.age(agent.heartbeat_ms * 1_000_000)}" if agent.heartbeat_ms else "never, nor suspected"
    failed = "" if row.error_share is None else f", {measure.percent(row.error_share, 1)}% of the newest failed"
    wait = measure.many(row.queue, "waits", "wait")
    facts = (
        ("can", " ".join(row.handles) or "nothing that is dispatched"),
        ("work", "" if row.load is None else f"{row.in_flight} of {row.concurrency} under way, {wait}"),
        ("handled", "" if row.handled is None else f"{measure.count(row.handled)}{failed}"),
        ("last word", f"{measure.age(now - row.seen)} ago; beats {beat}" if row.seen else ""),
        ("version", row.version), ("locality", row.locality), ("address", agent.address),
        ("prefers", "  ".join(f"{key}={value}" for key, value in agent.preferences.items())),
        ("incarnation", agent.incarnation), ("imported", f"from {row.importof}" if row.importof else ""),
        ("not taken", f"{measure.count(agent.not_taken)} of its capabilities" if agent.not_taken else ""),
    )  # fmt: skip
    for y, (label, text) in enumerate([fact for fact in facts if fact[1]][: max(height - 1, 0)], start=1):
        c.put(0, y, label, "mut")
        c.put(13, y, middle(text, max(width - 13, 8)), "txt", width - 13)
    return c


def _serves(agent: Agent, width: int, height: int) -> Canvas:
    """The groups it is a member of, by their names."""
    c = Canvas(width, height)
    heading(c, 0, 0, width, "SERVES", "" if agent.groups else "no group that is known")
    for y, group in enumerate(agent.groups[: max(height - 1, 0)], start=1):
        c.line(0, y, group_line(group, width), width)
    return c
