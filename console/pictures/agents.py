"""Agents: a row each, worst first; below, the states of the one under the cursor, what it serves, and why it is out."""

from collections.abc import Sequence

from console import measure
from console.canvas import Canvas, Span, middle, width_of
from console.pictures.parts import commands, cursor, heading, light, loud
from console.pictures.sagas import chain, ruled_out
from console.pictures.table import Column, Row
from controlplane.questions import Agent, AgentGroup, AgentRow, Agents, AgentTurn

COLUMNS = (
    Column("", 1), Column("agent", 16, grow=40), Column("state", 11), Column("load", 5, "r"), Column("phi", 4, "r", 2),
    Column("can", 0, "l", 2), Column("err%", 5, "r"), Column("behind", 8, "r"), Column("version", 8, "l", 2),
    Column("seen", 6, "r", 3),
)  # fmt: skip
SORTS = (("worst", None), ("agent", 1), ("load", 3), ("err%", 6), ("behind", 7), ("seen", 9))
ORDERS = ("worst", "name", "load", "errors", "behind", "seen")
"""The same as the plane calls them."""
STATES = ("all", "live", "out", "left")
"""What `b` goes through."""
STATE = {
    "joined": ("◐", "acc"), "ready": ("●", "okd"), "suspected": ("▲", "warn"), "failed": ("■", "bad"),
    "left": ("○", "mut"), "quarantined": ("▲", "warn"),
}  # fmt: skip
"""An agent's state: glyph and ink."""


def state_light(row: AgentRow) -> tuple[str, str]:
    """Glyph and ink of an agent: of its state, or amber where it is well but for something else."""
    if row.state in ("joined", "ready") and row.severity != "ok":
        return light(row.severity)
    return STATE.get(row.state, ("◌", "mut"))


def name(source: str) -> str:
    """What people call it: its source without `agent/`."""
    return source.removeprefix("agent/")


def _failing(row: AgentRow) -> bool:
    return row.error_share is not None and row.error_share >= 0.05


def rows(answer: Agents, now: int) -> list[Row]:
    """A row for each agent, in the plane's order."""
    return [_row(agent, now) for agent in answer.rows]


def _row(agent: AgentRow, now: int) -> Row:
    glyph, ink = state_light(agent)
    sick, gone = agent.severity in ("warn", "bad"), agent.state == "left"
    calm = "mut" if gone else "txt"
    full = agent.load is not None and agent.load >= 1
    cells: tuple[Span, ...] = (
        (glyph, ink + (" b" if agent.severity == "bad" else "")),
        (name(agent.agent), "hi" if sick else calm),
        (agent.state, loud(agent.severity) if sick else "mut"),
        (measure.percent(agent.load), "fnt" if agent.load is None else "hi" if full else calm),
        (
            measure.UNKNOWN if agent.phi is None else f"{min(agent.phi, 99):.1f}",
            loud(agent.severity) if agent.state in ("suspected", "failed") else "mut",
        ),
        (" ".join(agent.handles) or measure.UNKNOWN, calm if agent.handles else "fnt"),
        (measure.percent(agent.error_share, 1), "warn" if _failing(agent) else calm if agent.error_share else "mut"),
        (measure.lag(agent.behind_ns), "mut" if not agent.behind_ns else "txt"),
        (middle(agent.version, 8) or measure.UNKNOWN, "mut"),
        (measure.age(now - agent.seen) if agent.seen else measure.UNKNOWN, "mut"),
    )
    order = (
        0, agent.agent, agent.state, -(agent.load or 0), -(agent.phi or 0), "", -(agent.error_share or 0),
        -(agent.behind_ns or 0), agent.version, agent.seen,
    )  # fmt: skip
    return Row(agent.agent, agent.severity, cells, order, f"{agent.agent} {agent.version} {' '.join(agent.handles)}")


def preview(agent: Agent, now: int, width: int, height: int) -> Canvas:
    """The newest states beside why it is as it is; on a narrow screen one above the other."""
    c = Canvas(width, height)
    if width < 100:
        above = max(3, height // 2)
        c.paste(turns(agent.turns, now, width - 2, above - 1), 0, 0)
        c.paste(why(agent, now, width - 4, height - above), 2, above)
        return c.sealed()
    left = 46 if width < 140 else width * 2 // 5
    c.paste(turns(agent.turns, now, left + 2, height), 0, 0)
    c.paste(why(agent, now, width - left - 7, height), left + 5, 0)
    return c.sealed()


def turns(
    shown: Sequence[AgentTurn], now: int, width: int, height: int, top: int = 0, selected: int | None = None
) -> Canvas:
    """`03:08:54 ▲ quarantined  by op1: …  1,192,420`, the newest first, from `top` on; two cells of gutter."""
    c = Canvas(width, height)
    fitting = shown[top : top + max(height - 1, 0)]
    hidden = len(fitting) < len(shown)
    note = f"{top + 1} to {top + len(fitting)} of {len(shown)}" if hidden else "newest first"
    heading(c, 2, 0, width - 2, "STATES", note)
    c.put(width - 9, 0, " position", "mut")
    for y, turn in enumerate(fitting, start=1):
        if selected == top + y - 1:
            cursor(c, 2, y, width - 2)
        glyph, ink = STATE.get(turn.state, ("◌", "mut"))
        c.put(2, y, measure.moment(turn.at, now), "mut", 8)
        c.line(12, y, [(glyph, ink), (f" {turn.state}", "txt")], 13)
        c.put(27, y, turn.why, "mut", max(width - 40, 0))
        c.put(width - 11, y, measure.count(turn.position), "mut", 11, "r")
    return c


def why(agent: Agent, now: int, width: int, height: int, places: bool = False) -> Canvas:
    """The facts, what it is not, and what gives it back."""
    c = Canvas(width, height)
    row = agent.row
    note = "it is well" if row.severity == "ok" and not _failing(row) else ""
    heading(c, 0, 0, width, "WHY", "it left" if row.state == "left" else note)
    y = chain(c, 0, 1, width, agent.why, now, places)
    y = ruled_out(c, 0, y, width, agent.why)
    if agent.alone_for and y < height:
        spans: list[Span] = [("alone for  ", "mut"), (" ".join(agent.alone_for), "txt")]
        c.line(0, y, spans, width)
        y += 1
    commands(c, 0, min(y + 1, height - 1), width, agent.mend, height - y)
    return c


def group_line(group: AgentGroup, width: int) -> list[Span]:
    """A group that it serves, in one line; its name gives way to how late it is."""
    glyph, ink = light(group.severity)
    late = measure.lag(group.behind_ns)
    wait, behind = f"  {measure.many(group.waiting, 'waits', 'wait')}", f"  {late} behind"
    room = max(width - 2 - width_of(wait) - width_of(behind), 8)
    return [
        (glyph, ink), (f" {middle(group.group, room)}", "txt"), (wait, "mut"), (behind, loud(group.severity)),
    ]  # fmt: skip
