"""What a screen may ask of the application, and nothing else: it keeps the imports running one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from console.model import Landed, Model
from console.pictures.frame import Scene
from controlplane.questions import At, Question

if TYPE_CHECKING:
    from textual.screen import Screen


class Shell(Protocol):
    """The application as its screens see it."""

    model: Model
    context: str

    @property
    def faded(self) -> bool:
        """Is what is shown old?"""

    def travel(self, at: At | None) -> None:
        """Show the fleet as of a moment of the past on every screen, or the present again."""

    def scene(self) -> Scene:
        """What the frame is drawn from."""

    def ask_now(self) -> None:
        """The standing questions changed: ask them without waiting for the beat."""

    def errand(self, question: Question, landed: Callable[[Landed], None]) -> None:
        """Ask once; `landed` is called on the screens' thread."""

    def go(self, target: str) -> None:
        """Go to `board`, `saga:report-1`, `dead:g-…`, `event:…`, or whatever the operator typed."""

    def say(self, notice: str) -> None:
        """One line in place of the keys, until the next key."""

    def copy_to_clipboard(self, text: str) -> None:
        """By OSC 52, through whatever terminals lie between."""

    def push(self, screen: Screen[None]) -> None:
        """Open a screen over this one."""

    def leave(self) -> None:
        """End the console; the fleet goes on."""
