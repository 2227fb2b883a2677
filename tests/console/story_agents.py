"""The agents of the frozen trouble: two coders are quarantined since v41, one searcher is silent, a clerk left."""

# ruff: noqa: E501 - a row of a table stays a line here

import msgspec

from controlplane.questions import Agent, AgentGroup, AgentRow, Agents, AgentTurn, AskAgents, Link, Severity
from tests.console.story import S, at

MS = 1_000_000
SYNTAX = "5 failures in a row, SyntaxError"


def agent(name: str, now: int, handles: str, load: float | None, *, state: str = "ready", severity: Severity = "ok", version: str = "v40",
          err: float | None = 0.0, behind: int | None = 300 * MS, silent: int = 2 * S, since: int = 0, why: str = "", mend: str = "", **more: object) -> AgentRow:  # fmt: skip
    """One row; ages count from `now`."""
    born = now - 3 * 86_400 * S
    gone = state in ("left", "failed")
    row = AgentRow(f"agent/{name}", severity, state, since or born, born, handles.split(), version, "eu-1", None if gone else load,
                   None if gone else int((load or 0) * 4), None if gone else int((load or 0) * 8), 8, 9_310, 12, None if gone else err,
                   None if gone else behind, None if state == "left" else round(silent / (5 * S * 2.302585), 1), now - silent, why=why, mend=mend)  # fmt: skip
    return msgspec.structs.replace(row, **more)


def rows(now: int) -> list[AgentRow]:
    """Eleven of forty-seven, worst first."""
    held = {"state": "quarantined", "severity": "warn", "since": at("03:08:54"), "quarantined": at("03:08:54"), "by": "op1",
            "reason": SYNTAX, "why": f"quarantined by op1: {SYNTAX}", "version": "v41", "behind": 93 * S}  # fmt: skip
    return [
        agent("search-2", now, "search page.read", None, state="suspected", severity="warn", silent=19 * S, since=now - 4 * S, version="v12",
              why="silent for 19s: it hangs, or cannot reach the fleet", mend="agent show search-2"),
        agent("coder-3", now, "code review.code", 0.125, err=0.982, mend="agent release coder-3", **held),
        agent("coder-4", now, "code review.code", 0.0, err=0.941, mend="agent release coder-4", **held),
        agent("coder-1", now, "code review.code", 1.0, err=0.004, behind=93 * S),
        agent("coder-2", now, "code review.code", 0.875, err=0.006, behind=93 * S),
        agent("planner", now, "plan summarise", 0.5, err=0.001),
        agent("reviewer", now, "review", 0.375, behind=41 * S),
        agent("search-1", now, "search page.read", 0.375, version="v12"),
        agent("tool-runner", now, "", 0.25, err=0.031, behind=None, version="v7"),
        agent("billing", now, "bill claim", 0.125, behind=200 * MS),
        agent("clerk", now, "bill", None, state="left", silent=3_840 * S, since=now - 3_840 * S, version="v39", behind=None, err=None),
    ]  # fmt: skip


def listed(found: list[AgentRow], question: AskAgents) -> Agents:
    """What a question finds among them; the counts are of all."""
    states = {"live": ("joined", "ready"), "out": ("suspected", "failed", "quarantined"), "left": ("left",)}
    match = question.match.casefold()
    chosen = [row for row in found if question.state == "all" or row.state in states[question.state]]
    chosen = [row for row in chosen if match in f"{row.agent} {row.version} {' '.join(row.handles)}".casefold()]
    out = sum(row.state in states["out"] for row in found)
    live = sum(row.state in states["live"] for row in found)
    return Agents(len(found), len(chosen), live, out, len(found) - live - out, chosen[: question.limit])


def shown(found: list[AgentRow], name: str, now: int) -> Agent | None:
    """One agent in full."""
    row = next((row for row in found if row.agent in (name, f"agent/{name}")), None)
    if row is None:
        return None
    turns = [AgentTurn("ready", row.joined + S, 801_200), AgentTurn("joined", row.joined, 801_187)]
    why = [Link(row.why or f"it is {row.state}", 0, row.since, 1_192_420)]
    if row.state == "quarantined":
        turns.insert(0, AgentTurn("quarantined", row.since, 1_192_420, f"by op1: {SYNTAX}"))
        why += [
            Link("98.2% of what it handled lately failed", 1),
            Link("capability.code is 1m33s behind", 1),
            Link("silence (it beats in time)", ruled_out=True),
        ]
    elif row.state == "suspected":
        turns.insert(0, AgentTurn("suspected", row.since, 1_204_300, "silent for 15 s"))
        why += [
            Link("its last word came then; it beats every 5s, suspected after 3, failed after 6", 1, row.seen),
            Link("no failures of its own lately", ruled_out=True),
        ]
    groups = [AgentGroup(f"capability.{name}", f"capability {name}", f"capability.{name}.>", "warn" if row.behind_ns and row.behind_ns > 10 * S else "ok",
                         4, 2_140, 12, row.behind_ns or 0) for name in row.handles]  # fmt: skip
    return Agent(row, "6f0c1c3e-9a40-4f1e-8c3d-2b77b27c2101", "tcp://10.0.3.14:40117", {"language": "python"}, 5_000, row.seen + 15 * S, 0, "", 0, 0,
                 turns, groups, ["summarise"] if row.agent == "agent/planner" else [], why, [row.mend] if row.mend else [])  # fmt: skip
