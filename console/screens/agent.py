"""One agent, opened from the table: `n` goes on to the next of the list it was opened from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult

from console.canvas import Canvas, Span
from console.pictures import agent as picture
from console.pictures.agents import name
from console.pictures.parts import panel, refusal
from console.screens.box import Box
from console.screens.quarantine import pull, verb_of
from console.widgets.paint import Paint
from controlplane.questions import Agent, AskAgent, Question


class AgentScreen(Box):
    """`list_order` names the agents of the list it was opened from."""

    TAB: ClassVar[str] = "Agents"
    KIND: ClassVar[str] = "agent"

    def __init__(self, agent: str, list_order: Sequence[str] = ()) -> None:
        super().__init__()
        self.agent, self.list_order = agent, list(list_order)
        self.at = 0
        """The state under the cursor; 0 is the newest."""
        self.top = 0

    def questions(self) -> dict[str, Question]:
        """This agent."""
        return {"agent": AskAgent(self.agent)}

    def _answer(self) -> Agent | None:
        return self.shell.model.body("agent", Agent, AskAgent(self.agent))

    def answer(self) -> msgspec.Struct | None:
        return self._answer()

    def body(self) -> ComposeResult:
        yield Paint(self._crumb, 1, fresh=True)
        yield Paint(self.paint, id="agent")

    def _crumb(self, width: int, height: int) -> Canvas:
        right: list[Span] = []
        if self.agent in self.list_order:
            place = f"{self.list_order.index(self.agent) + 1} of {len(self.list_order):,}  "
            right = [(place, "mut"), ("n", "acc b"), (" next", "mut")]
        return self.crumb(width, [("Agents › ", "mut"), (name(self.agent), "txt")], right)

    def paint(self, width: int, height: int) -> Canvas:
        """The body."""
        c = Canvas(width, height)
        agent, now, at, top = self._answer(), self.shell.model.now, self.at, self.top
        refused = self.shell.model.refusal("agent", AskAgent(self.agent))
        if agent is not None:
            c.paste(panel(width, height - 1, "AGENT", lambda w, h: picture.picture(agent, now, at, top, w, h)), 0, 1)
        elif refused is not None:
            refusal(c, 1, refused)
        else:
            c.put(2, 1, "–", "mut")
        return c

    def refreshed(self) -> None:
        agent = self._answer()
        if agent is not None:
            size = self.query_one("#agent").size
            shown = picture.turns_shown(size.width, size.height - 1)
            self.at = max(0, min(self.at, len(agent.turns) - 1))
            self.top = max(0, min(self.top, self.at, len(agent.turns) - shown), self.at - shown + 1)

    def do_down(self) -> None:
        self.at += 1

    def do_up(self) -> None:
        self.at = max(0, self.at - 1)

    def do_first(self) -> None:
        self.at = 0

    def do_last(self) -> None:
        agent = self._answer()
        self.at = len(agent.turns) - 1 if agent is not None else 0

    def do_open(self) -> None:
        """The event by which it came into the state, where it was one."""
        agent = self._answer()
        if agent is not None and self.at < len(agent.turns):
            self.shell.go(f"event:@{agent.turns[self.at].position}")

    def do_next(self) -> None:
        """The next agent of the list."""
        if self.agent in self.list_order:
            self.agent = self.list_order[(self.list_order.index(self.agent) + 1) % len(self.list_order)]
            self.at, self.top = 0, 0
            self.shell.ask_now()

    def called(self) -> dict[str, str]:
        agent = self._answer()
        return {"quarantine": verb_of([agent.row] if agent is not None else [])}

    def do_quarantine(self) -> None:
        """Or release it, when it is quarantined."""
        agent = self._answer()
        if agent is not None:
            pull(self.shell, [agent.row])

    def selected(self) -> tuple[str, str]:
        return "agent", name(self.agent)

    def mend(self) -> str:
        agent = self._answer()
        return agent.mend[0] if agent is not None and agent.mend else ""
