"""The time bar as a widget: a click, a drag or the wheel says where in time to go."""

from __future__ import annotations

from textual import events
from textual.message import Message

from console.pictures.timebar import X0
from console.widgets.paint import Paint


class Aimed(Message):
    """The mouse points at a column of the bars; while it is dragged only the last one matters."""

    def __init__(self, column: int) -> None:
        super().__init__()
        self.column = column

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Aimed)


class TimeBar(Paint):
    """Press, drag, release: each column that the mouse comes to is aimed at."""

    _pressed = False

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.x >= X0:
            self._pressed = True
            self.capture_mouse()
            self.post_message(Aimed(event.x - X0))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._pressed:
            self.post_message(Aimed(event.x - X0))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._pressed:
            self._pressed = False
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """What a click means was said when the button went down."""
