"""One line to type in, over the keys: `/` filters while it is typed, `:` goes somewhere with suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input

from console.canvas import Canvas
from console.limits import TYPED_CHARS_MAX
from console.widgets.paint import Paint


class Prompt(ModalScreen[str | None]):
    """Dismissed with what was typed on `enter`, with None on `esc`; `on_change` sees each change, on `esc` to none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", show=False),
        Binding("ctrl+c,ctrl+q", "app.quit", show=False),
        Binding("tab", "complete", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    Prompt { background: transparent; align: left bottom; }
    Prompt Horizontal { height: 1; dock: bottom; background: $surface; }
    Prompt Paint { width: 2; }
    Prompt Input { height: 1; border: none; padding: 0; background: $surface; width: 1fr; }
    Prompt Input:focus { border: none; }
    """

    def __init__(
        self,
        sign: str,
        value: str = "",
        on_change: Callable[[str], None] | None = None,
        suggestions: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        """`hint` stands there until something is typed."""
        super().__init__()
        self.sign, self.value, self.on_change, self.suggestions = sign, value, on_change, suggestions
        self.hint = hint

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Paint(self._sign, 1, fresh=True)
            yield Input(
                self.value,
                placeholder=self.hint,
                max_length=TYPED_CHARS_MAX,
                suggester=SuggestFromList(self.suggestions, case_sensitive=False) if self.suggestions else None,
                select_on_focus=False,
            )

    def _sign(self, width: int, height: int) -> Canvas:
        c = Canvas(width, height, "sf")
        c.put(1, 0, self.sign, "acc b")
        return c

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.on_change is not None and event.value != self.value:
            self.value = event.value
            self.on_change(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_complete(self) -> None:
        """Take the suggestion."""
        self.query_one(Input).action_cursor_right()

    def action_cancel(self) -> None:
        """Leave, and with it goes what was typed: only `enter` keeps a filter."""
        if self.on_change is not None and self.value:
            self.on_change("")
        self.dismiss(None)
