"""Agents: who is there, worst first, with the states of the one under the cursor and why it is out. `Q` quarantines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from console.canvas import Canvas, Span
from console.pictures import agents as picture
from console.pictures.parts import panel, refusal
from console.pictures.table import Column, Row
from console.screens.agent import AgentScreen
from console.screens.quarantine import pull, verb_of
from console.screens.tables import TableScreen
from controlplane.questions import Agent, AgentRow, Agents, AskAgent, AskAgents, Question


class AgentsScreen(TableScreen):
    """Tab 8."""

    TAB: ClassVar[str] = "Agents"
    KIND: ClassVar[str] = "agents"
    SLOT: ClassVar[str] = "agents"
    COLUMNS: ClassVar[tuple[Column, ...]] = picture.COLUMNS
    SORTS: ClassVar[tuple[tuple[str, int | None], ...]] = picture.SORTS
    PREVIEW_MIN: ClassVar[int] = 9

    def __init__(self) -> None:
        super().__init__()
        self.state = 0

    def questions(self) -> dict[str, Question]:
        """The agents that match, and the one under the cursor."""
        state, sort = picture.STATES[self.state], picture.ORDERS[self.sort]
        asks: dict[str, Question] = {"agents": AskAgents(state, self.filter.at_plane, "", sort, 0, self.limit())}
        if self.grid.cursor:
            asks["agent preview"] = AskAgent(self.grid.cursor)
        return asks

    def _agents(self) -> Agents | None:
        return self.shell.model.body("agents", Agents)

    def _agent(self) -> Agent | None:
        cursor = self.grid.cursor
        return self.shell.model.body("agent preview", Agent, AskAgent(cursor)) if cursor else None

    def answer(self) -> msgspec.Struct | None:
        return self._agent() or self._agents()

    def rows(self) -> list[Row] | None:
        agents = self._agents()
        return None if agents is None else picture.rows(agents, self.shell.model.now)

    def crumbs(self) -> tuple[Sequence[Span], Sequence[Span]]:
        agents, state = self._agents(), picture.STATES[self.state]
        left: list[Span] = [("Agents ", "mut"), (state, "txt")]
        if agents is not None:
            left.append((f"   {agents.live:,} live", "mut"))
            left.append((f"   {agents.out:,} out", "warn" if agents.out else "mut"))
            left.append((f"   {agents.left:,} left", "mut"))
            if agents.matched > len(agents.rows):
                left.append((f"   the first {len(agents.rows):,} of {agents.matched:,}", "mut"))
            left += [(f"   ▲ {agents.notes[0]}", "warn")] if agents.notes else []
        return [*left, *self.filter_spans()], [*self.marked_spans(), *self.sorted_spans()]

    def preview(self, width: int, height: int) -> Canvas:
        agent = self._agent()
        if agent is not None:
            return panel(width, height, "WHY", lambda w, h: picture.preview(agent, self.shell.model.now, w, h))
        c = Canvas(width, height)
        cursor = self.grid.cursor
        refused = self.shell.model.refusal("agent preview", AskAgent(cursor)) if cursor else None
        if refused is not None:
            refusal(c, 0, refused)
        return c

    def empty(self) -> tuple[str, str]:
        agents, state = self._agents(), picture.STATES[self.state]
        if agents is not None and agents.total:
            return f"no agent is {state}; b shows others", "signalbox agent list"
        if self.shell.model.moment is not None:
            return "then there was no agent", "signalbox agent list"
        return "no agent has joined yet", 'python: bus.Agent("planner", capabilities=["plan"]).run()'

    def selected(self) -> tuple[str, str]:
        return "agent", picture.name(self.grid.cursor or "")

    def mend(self) -> str:
        agent = self._agent()
        return agent.mend[0] if agent is not None and agent.mend else ""

    def chosen(self) -> list[AgentRow]:
        """The marked agents, else the one under the cursor, in the order they are shown."""
        agents = self._agents()
        known = {row.agent: row for row in agents.rows} if agents is not None else {}
        marked = [row.key for row in self.grid.rows if row.key in self.grid.marks]
        return [known[key] for key in marked or [self.grid.cursor or ""] if key in known]

    def called(self) -> dict[str, str]:
        return {"quarantine": verb_of(self.chosen())}

    def do_open(self) -> None:
        if self.grid.cursor:
            self.shell.push(AgentScreen(self.grid.cursor, [row.key for row in self.grid.rows]))

    def do_state(self) -> None:
        self.state = (self.state + 1) % len(picture.STATES)
        self._places.clear()
        self.shell.ask_now()

    def do_sort(self) -> None:
        super().do_sort()
        self.shell.ask_now()

    def do_quarantine(self) -> None:
        """Or release them, when all that are chosen are quarantined."""
        pull(self.shell, self.chosen())
