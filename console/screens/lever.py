"""A lever's dialogue: a dry run with the exact set first, then a reason, then `enter`. `esc` changes nothing.

What was seen is what is done: the set of the dry run travels with the order, and the plane refuses when it has changed.
In production, or from a thousand things on, the number itself must be typed.
"""

from __future__ import annotations

import getpass
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from console.canvas import Canvas
from console.limits import NUMBER_TYPED_FROM, TYPED_CHARS_MAX
from console.model import Landed
from console.pictures.dead import redrive_rows
from console.pictures.parts import heading, paragraph
from console.screens.shell import Shell
from console.widgets.paint import Paint, Scrolled
from controlplane.questions import Question, Refusal, Reply

Planned = TypeVar("Planned", bound=Reply)


class LeverDialogue(ModalScreen[None], Generic[Planned]):
    """Subclasses say what is asked, how its answer is read, and in what words. `targets`: what it is pulled on."""

    ANSWER: type[Planned]
    """The answer that is due, to the dry run and to the order."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("ctrl+c,ctrl+q", "app.quit", show=False),
        Binding("pagedown,down", "scroll(1)", show=False),
        Binding("pageup,up", "scroll(-1)", show=False),
    ]
    DEFAULT_CSS = """
    LeverDialogue { align: center middle; background: $background 60%; }
    LeverDialogue Vertical { width: 84%; height: 80%; max-height: 26; background: $surface; }
    LeverDialogue Input { height: 1; border: none; padding: 0 3; background: $panel; }
    LeverDialogue Input:focus { border: none; }
    """

    def __init__(self, targets: Sequence[str]) -> None:
        super().__init__()
        self.targets = list(targets)
        self.set: Planned | None = None
        self.done: Planned | None = None
        self.fault = ""
        self.hint = ""
        self.top = 0

    # ------------------------------------------------------------------ what subclasses give

    @abstractmethod
    def question(self, dry_run: bool, reason: str = "", by: str = "", expected: list[str] | None = None) -> Question:
        """The order, or its dry run."""

    @abstractmethod
    def head(self) -> tuple[str, str, str]:
        """The heading, its note before the order, and after it."""

    @abstractmethod
    def touched(self, plan: Planned) -> list[str]:
        """The exact set."""

    @abstractmethod
    def facts(self, plan: Planned) -> list[tuple[str, str]]:
        """What it does, as labels and sentences; `command` is the command line that does the same."""

    @abstractmethod
    def done_lines(self, done: Planned) -> tuple[str, str]:
        """What was done, and what `esc` leads back to."""

    ASKS: ClassVar[str] = "– asking what would be touched"
    NOTHING: ClassVar[str] = "nothing to do"

    # ------------------------------------------------------------------ dialogue

    @property
    def shell(self) -> Shell:
        """The application."""
        return cast(Shell, self.app)

    @property
    def number_wanted(self) -> bool:
        """Must the number be typed?"""
        size = len(self.touched(self.set)) if self.set is not None else 0
        return size >= NUMBER_TYPED_FROM or self.shell.context.startswith("prod")

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Paint(self.paint, fresh=True)
            yield Input(placeholder="reason, in a few words", max_length=TYPED_CHARS_MAX, id="reason")
            yield Input(placeholder="the number that is touched", max_length=12, id="number")
            yield Paint(lambda w, h: Canvas(w, h, "sf"), 1, fresh=True)

    def on_mount(self) -> None:
        for field in self.query(Input):
            field.display = False
        self.shell.errand(self.question(dry_run=True), self._seen)

    def _seen(self, landed: Landed) -> None:
        """The dry run's answer, unless the operator has left meanwhile."""
        if not self.is_attached:
            return
        body = landed.told.body if landed.told is not None else None
        if isinstance(body, self.ANSWER):
            self.set = body
            if self.touched(body):
                self.query_one("#reason", Input).display = True
                self.query_one("#number", Input).display = self.number_wanted
                self.query_one("#reason", Input).focus()
        else:
            self._refused(body, landed.why)
        self._repaint()

    def _done(self, landed: Landed) -> None:
        if not self.is_attached:
            return
        body = landed.told.body if landed.told is not None else None
        if isinstance(body, self.ANSWER):
            self.done = body
        else:
            self._refused(body, landed.why)
        self._repaint()

    def _refused(self, body: object, why: str) -> None:
        if isinstance(body, Refusal):
            self.fault, self.hint = body.message, body.hint
        else:
            self.fault, self.hint = (
                why or "the answer is of another kind",
                "whether it was done is not known: look first",
            )

    def _repaint(self) -> None:
        if self.is_mounted:
            for paint in self.query(Paint):
                paint.repaint()

    def paint(self, width: int, height: int) -> Canvas:
        """What, how many, to whom, the exact set, the command."""
        c = Canvas(width, height, "sf")
        title, before, after = self.head()
        heading(c, 3, 1, width - 6, title, before if self.done is None else after)
        if self.done is not None:
            told, back = self.done_lines(self.done)
            c.line(3, 3, [("●", "ok"), (f" {told}", "txt")], width - 6)
            c.line(3, 5, [("esc", "acc b"), (f" {back}", "mut")])
        elif self.fault:
            c.line(3, 3, [("▲", "warn"), (f" {self.fault}", "txt")], width - 6)
            c.put(5, 4, self.hint, "acc", width - 8)
            c.line(3, 6, [("esc", "acc b"), (" back", "mut")])
        elif self.set is None:
            c.put(3, 3, self.ASKS, "mut")
        else:
            self._plan(c, self.set)
        return c.sealed()

    def _plan(self, c: Canvas, plan: Planned) -> None:
        width, height, ids = c.width, c.height, self.touched(plan)
        facts = self.facts(plan)
        y = 3
        for i, (label, text) in enumerate(facts):
            c.put(3, y, label, "mut")
            spare = height - 5 - y - (len(facts) - 1 - i)  # a line for each that follows, and the set's own
            y = paragraph(c, 16, y, width - 19, max(1, spare), text, "acc" if label == "command" else "txt")
        lines = redrive_rows(ids, width - 6)
        y += 1
        room = max(height - y - 4, 1)
        self.top = max(0, min(self.top, len(lines) - room))
        more = len(lines) - room
        note = f"lines {self.top + 1} to {self.top + room} of {len(lines)}" if more > 0 else ""
        heading(c, 3, y, width - 6, "EXACT SET", note)
        for row, line in enumerate(lines[self.top : self.top + room], start=y + 1):
            c.put(3, row, line, "mut", width - 6)
        ask = "a reason, the number, then enter" if self.number_wanted else "a reason, then enter"
        what = f"type {ask}" if ids else self.NOTHING
        c.line(3, height - 2, [(what, "warn" if ids else "txt"), ("   esc", "acc b"), (" changes nothing", "mut")])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Only with a reason, and the number where it is wanted."""
        if self.set is None or self.done is not None or self.fault:
            return
        reason, number, ids = self.query_one("#reason", Input), self.query_one("#number", Input), self.touched(self.set)
        if not reason.value.strip():
            reason.placeholder = "a reason is needed: it is kept in the journal"
            reason.focus()
            return
        if self.number_wanted and number.value.replace(",", "").strip() != str(len(ids)):
            number.focus()
            return
        reason.display = number.display = False
        self.shell.errand(self.question(False, reason.value.strip(), getpass.getuser(), list(ids)), self._done)

    def action_scroll(self, by: int) -> None:
        """Through the exact set."""
        self.top += by
        self._repaint()

    def on_scrolled(self, message: Scrolled) -> None:
        self.action_scroll(message.by)

    def action_close(self) -> None:
        """Back; what was not confirmed is not done."""
        self.dismiss()
        self.shell.ask_now()
