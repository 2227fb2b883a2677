"""`Paint` shows a picture, and sends only the cells that differ from the last one.

The bytes on the wire follow what changed in the world, not the size of the screen: that is what makes a second's beat
cheap over a slow line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from console.canvas import Canvas, changed
from console.widgets.ink import Look, edged, strip, style_of

Painter = Callable[[int, int], Canvas]


class Clicked(Message):
    """A click on something that means `target`."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


class Scrolled(Message):
    """The wheel turned over a picture: by -1 or 1."""

    def __init__(self, by: int, control: Widget) -> None:
        super().__init__()
        self.by = by
        self._over = control

    @property
    def control(self) -> Widget:
        """What it turned over."""
        return self._over


def refresh_changed(widget: Widget, old: Canvas, new: Canvas) -> None:
    """Ask the compositor for the stretches that differ; for all where the size does."""
    if (old.width, old.height) != (new.width, new.height):
        widget.refresh()
        return
    regions = [Region(x, y, width, 1) for x, y, width in changed(old, new)]
    if regions:
        widget.refresh(*regions)


class Paint(Widget):
    """`painter(width, height)` is called when `repaint` says so or the size changed, and never while rendering."""

    def __init__(self, painter: Painter, height: int | str = "1fr", fresh: bool = False, id: str | None = None) -> None:
        """`fresh`: stays bright while the rest of the screen fades, because it is true now."""
        super().__init__(id=id)
        self.painter, self.fresh = painter, fresh
        self.styles.height = height
        self._picture = Canvas(0, 0)

    @property
    def picture(self) -> Canvas:
        """The canvas that is shown."""
        if (self._picture.width, self._picture.height) != (self.size.width, self.size.height):
            self._picture = self._paint()
        return self._picture

    def _paint(self) -> Canvas:
        painted = self.painter(self.size.width, self.size.height)
        if (painted.width, painted.height) != (self.size.width, self.size.height):
            c = Canvas(self.size.width, self.size.height)
            c.paste(painted, 0, 0)
            painted = c.sealed()
        return edged(painted, self)

    def repaint(self) -> None:
        """Paint anew and ask the compositor for the stretches that differ."""
        old, self._picture = self._picture, self._paint()
        refresh_changed(self, old, self._picture)

    def render_line(self, y: int) -> Strip:
        look = cast(Look, self.app)
        picture = self.picture
        if y >= picture.height:
            return Strip.blank(self.size.width, style_of(look.palette, False, "", "bg"))
        return strip(picture.rows[y], look.palette, look.faded and not self.fresh, look.ascii_only)

    def on_click(self, event: events.Click) -> None:
        target = self.picture.target(event.x, event.y)
        if target is not None:
            self.post_message(Clicked(target))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(Scrolled(1, self))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(Scrolled(-1, self))
