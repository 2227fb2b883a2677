"""The shell of every screen: header above, time bar and keys below, the body of the screen between.

Keys come from the registry and arrive at `do_NAME`. A screen says which questions stand while it is seen, and paints
from the model when it is told that answers came. Nothing here waits for anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from console.actions import ACTIONS, command, footer_keys, of_screen
from console.canvas import Canvas, Span
from console.pictures import frame, timebar
from console.screens.reader import Reader, help_lines, json_lines
from console.screens.timekeys import TimeKeys
from console.widgets.paint import Clicked, Paint, Scrolled
from console.widgets.timebar import TimeBar
from controlplane.questions import Question

SMALL_WIDTH, SMALL_HEIGHT = 60, 16


class Box(TimeKeys):
    """A screen with its frame. Subclasses compose `body`, name `questions` and paint in `refreshed`."""

    TAB: ClassVar[str] = "Board"
    KIND: ClassVar[str] = "board"
    """The screen's name in the registry of actions."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(action.keys, f"do('{action.name}')", action.label, show=False)
        for action in ACTIONS.values()
        if action.keys
    ]
    DEFAULT_CSS = """
    Box { layout: vertical; overflow: hidden; }
    Box #body { height: 1fr; }
    Box #tiny { display: none; }
    Box.-tiny > * { display: none; }
    Box.-tiny > #tiny { display: block; }
    """
    notice = ""
    _faded = False

    # ------------------------------------------------------------------ what subclasses give

    def body(self) -> ComposeResult:
        """The widgets between the frame's parts."""
        yield from ()

    def questions(self) -> dict[str, Question]:
        """The questions that stand while this screen is seen, by slot; `board` is asked for every screen."""
        return {}

    def refreshed(self) -> None:
        """Answers came: take over what the body needs. Pictures are repainted after."""

    def called(self) -> dict[str, str]:
        """What the footer calls actions that do something else to what the cursor is on."""
        return {}

    def selected(self) -> tuple[str, str]:
        """Kind and key of what the cursor is on: `('saga', 'report-1')`."""
        return self.KIND, ""

    def mend(self) -> str:
        """The command that mends what the cursor is on, without `signalbox`; empty when it is well."""
        return ""

    # ------------------------------------------------------------------ frame

    def compose(self) -> ComposeResult:
        yield Paint(lambda w, h: frame.header(self.shell.scene(), self.TAB, w), 1)
        with Vertical(id="body"):
            yield from self.body()
        yield TimeBar(lambda w, h: timebar.picture(self.shell.scene(), w), 2, fresh=True, id="timebar")
        yield Paint(self._footer, 1, fresh=True, id="footer")
        yield Paint(lambda w, h: frame.too_small(self.shell.scene(), w, h), id="tiny")

    def _footer(self, width: int, height: int) -> Canvas:
        scene = self.shell.scene()
        return frame.footer(scene, footer_keys(self.KIND, scene.past, self.called()), width, self.notice)

    def crumb(self, width: int, left: Sequence[Span], right: Sequence[Span] = ()) -> Canvas:
        """The line under the tabs: the banner when nothing answers, else where one is."""
        scene = self.shell.scene()
        return frame.banner(scene, width) if scene.silent_s is not None else frame.crumb(width, left, right)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < SMALL_WIDTH or event.size.height < SMALL_HEIGHT, "-tiny")
        self.query_one("#timebar").styles.height = 2 if event.size.width >= frame.WIDE else 1
        self.call_after_refresh(self.repaint)

    def on_screen_resume(self) -> None:
        self.shell.ask_now()
        self.repaint()

    def repaint(self) -> None:
        """Take over what the model holds, then paint what differs.

        An answer may come while the screen is being taken away, its parts first: it is not shown any more (`display`).
        """
        if self.is_mounted and self.display and self.size:
            self.refreshed()
            if self._faded != self.shell.faded:  # every colour changes, though no cell does
                self._faded = self.shell.faded
                for widget in self.walk_children():
                    widget.refresh()
            for paint in self.query(Paint):
                if paint.display and paint.size:
                    paint.repaint()

    # ------------------------------------------------------------------ keys

    def action_do(self, name: str) -> None:
        """A key of the registry; a screen that has no such action ignores it."""
        self.notice = ""
        act = getattr(self, f"do_{name}", None)
        if act is not None:
            act()
        self.repaint()

    def on_clicked(self, message: Clicked) -> None:
        kind, _, rest = message.target.partition(":")
        if kind == "tab":
            self.shell.go(rest.lower())
        elif kind == "key":
            name = next((a.name for a in of_screen(self.KIND) if a.shown == rest), "")
            self.action_do(name)
        elif kind == "open":
            self.action_do("open")
        else:
            self.clicked(message.target)

    def clicked(self, target: str) -> None:
        """A click on something of the body."""

    def on_scrolled(self, message: Scrolled) -> None:
        if isinstance(message.control, TimeBar):
            self.action_do("bar_on" if message.by > 0 else "bar_back")
        else:
            self.action_do("down" if message.by > 0 else "up")

    def do_back(self) -> None:
        """Close the screen, when it was opened over another."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    def do_go(self) -> None:
        self.shell.go("")

    def do_copy(self) -> None:
        _, key = self.selected()
        if key:
            self.shell.copy_to_clipboard(key)
            self.shell.say(f"copied {key}")

    def do_copy_command(self) -> None:
        scene = self.shell.scene()
        if scene.past:  # what mended then need not be what mends now
            line = f"{command(*self.selected())} --at {scene.position}"
        else:
            line = f"signalbox {self.mend()}" if self.mend() else command(*self.selected())
        self.shell.copy_to_clipboard(line)
        self.shell.say(f"copied: {line}")

    def answer(self) -> msgspec.Struct | None:
        """What `y` shows."""
        return self.shell.model.board

    def do_json(self) -> None:
        answer = self.answer()
        if answer is None:
            self.shell.say("no answer yet to show")
            return
        text = msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()
        self.shell.copy_to_clipboard(text)
        self.shell.push(Reader("JSON", "copied to the clipboard", json_lines(text)))

    def do_keys(self) -> None:
        self.shell.push(Reader("KEYS", f"on {self.TAB}; the same on every screen below", help_lines(self.KIND)))

    def do_freeze(self) -> None:
        if self.shell.scene().past:
            self.shell.say("the past stands still; end goes back to live")
        else:
            self.shell.model.freeze(not self.shell.model.frozen)

    def do_again(self) -> None:
        self.shell.ask_now()

    def do_palette(self) -> None:
        self.app.action_command_palette()

    def do_leave(self) -> None:
        self.shell.leave()
