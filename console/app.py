"""The console on Textual: one model, one beat, a screen for each tab.

Answers land in `model` by a thread that never waits for the screens; a beat asks the standing questions of the screen
that is seen; when answers came, that screen repaints what differs. Keys act on the screens alone, and paint at once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from console.actions import of_screen
from console.canvas import printable
from console.follow import Asks, Follower
from console.goto import Place, place_of, suggestions
from console.model import LIVE, Landed, Model
from console.palette import MONO, THEME_NAMES
from console.pictures import frame, timebar
from console.pictures.frame import Scene
from console.screens.agent import AgentScreen
from console.screens.agents import AgentsScreen
from console.screens.board import BoardScreen
from console.screens.box import Box
from console.screens.dead import DeadScreen, LettersScreen
from console.screens.events import EventScreen, EventsScreen
from console.screens.fleet import FleetScreen
from console.screens.flows import FlowsScreen
from console.screens.health import HealthScreen
from console.screens.partition import PartitionScreen
from console.screens.prompt import Prompt
from console.screens.saga import SagaScreen
from console.screens.sagas import SagasScreen
from console.themes import textual_theme
from controlplane.questions import AskBoard, AskTimeline, At, Question

BEAT_S = 1.0
BEAT_S_MIN, BEAT_S_MAX = 0.5, 10.0
TRAVEL_S = 0.1
"""Between two moments of the past that are asked for while one drags along the time bar."""


class Rung(Message):
    """Answers wait to be taken over; many of these are as good as one."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Rung)


class Console(App[None]):
    """The console of one fleet."""

    ENABLE_COMMAND_PALETTE = True
    TITLE = "signalbox"
    CSS = "Screen { layers: base; } Grid { scrollbar-size: 0 0; overflow: hidden; } SearchIcon { display: none; }"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "board": BoardScreen,
        "flows": FlowsScreen,
        "sagas": SagasScreen,
        "dead": DeadScreen,
        "health": HealthScreen,
        "events": EventsScreen,
        "fleet": FleetScreen,
        "agents": AgentsScreen,
    }
    DEFAULT_MODE = "board"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(str(i), f"go('{name.lower()}')", show=False) for i, name in enumerate(frame.TABS, start=1)
    ]

    def __init__(
        self, link: Asks, context: str = "local", palette: str = "dark", ascii_only: bool = False, beat: bool = True
    ) -> None:
        super().__init__(ansi_color=palette == MONO)
        self.context, self.palette, self.ascii_only, self._beats = printable(context), palette, ascii_only, beat
        self.animation_level = "none"
        self.every_s = BEAT_S
        self.model = Model(time.monotonic())
        self.follower = Follower(link, self._ring)
        self._errands: dict[str, Callable[[Landed], None]] = {}
        self._errand_number = 0
        self._travel_due: float | None = None

    # ------------------------------------------------------------------ life

    def _ring(self) -> None:
        """Called in the link's thread."""
        self.post_message(Rung())

    def on_mount(self) -> None:
        for name in THEME_NAMES:
            self.register_theme(textual_theme(name))
        self.theme = f"signalbox-{self.palette}"
        # Whoever ends this process by a signal gets the terminal back as it was.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        if not self.is_headless:
            for ending in (signal.SIGTERM, signal.SIGHUP):  # so that the terminal is given back as it was
                asyncio.get_running_loop().add_signal_handler(ending, self.leave)
        self.follower.start()
        self._timer = self.set_interval(self.every_s, self.pulse, pause=not self._beats)
        self.ask_now()

    def on_unmount(self) -> None:
        self.follower.stop()

    def leave(self) -> None:
        """End the console."""
        self.exit()

    @property
    def box(self) -> Box | None:
        """The topmost screen with a frame, under whatever dialogue is open."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Box)), None)

    # ------------------------------------------------------------------ beat

    def pulse(self) -> None:
        """Once a beat: a round is due, and the silence has grown."""
        self._want(beat=True)
        self.follower.beat()
        working = self.follower.progressed()
        if working is not None and self.model.heard is not None:
            self.model.heard = max(self.model.heard, working)
        if self.box is not None and self.model.silent_s(time.monotonic()) is not None:
            self.box.repaint()

    def _want(self, beat: bool = False) -> None:
        """The one place that says as of which moment the screens ask. Of the past nothing is asked twice."""
        model = self.model
        asks = {"board": AskBoard(bars=0), **(self.box.questions() if self.box is not None else {})}
        if model.aim is not None:
            asks = {slot: question for slot, question in asks.items() if not model.has(slot, question)}
        line = AskTimeline(timebar.bars_of(self.size.width))
        shown = model.shown.get(LIVE)
        young = shown is not None and shown.question == line and time.monotonic() - shown.at <= self.every_s
        self.follower.want(asks, model.aim, {} if young and not beat and not model.tries else {LIVE: line})

    def ask_now(self) -> None:
        """Ask the standing questions without waiting for the beat."""
        if self.is_running:
            self._want()
            self.follower.beat(now=True)

    def on_rung(self) -> None:
        refused = None
        for landed in sorted(self.follower.take(), key=lambda landed: landed.slot != "board"):
            errand = self._errands.pop(landed.slot, None)
            if errand is not None:
                errand(landed)
            else:
                refused = self.model.land(landed) or refused
        if self.box is not None:
            before = self.box.questions()
            self.box.repaint()
            if self.box.questions() != before:
                self.ask_now()
        if refused is not None:
            self.say(refused.message)

    def travel(self, at: At | None) -> None:
        """Show another moment, None for the present: the time bar says so at once, the answers come when they come."""
        self.model.travel(at)
        if self.box is not None:
            self.box.repaint()
        clock = time.monotonic()
        if self._travel_due is None or clock >= self._travel_due + TRAVEL_S:
            self._travel_due = clock
            self.ask_now()
        elif clock >= self._travel_due:
            self.set_timer(self._travel_due + TRAVEL_S - clock, self.ask_now)
            self._travel_due += TRAVEL_S

    def errand(self, question: Question, landed: Callable[[Landed], None]) -> None:
        """Ask once; `landed` is called here."""
        self._errand_number += 1
        slot = f"errand {self._errand_number}"
        if self.follower.errand(slot, question):
            self._errands[slot] = landed
        else:
            self.say("too much is being asked already; wait for an answer")

    # ------------------------------------------------------------------ looks

    @property
    def faded(self) -> bool:
        """Is what is shown old?"""
        return self.model.heard is not None and self.model.silent_s(time.monotonic()) is not None

    @property
    def past(self) -> bool:
        """Is a moment of the past shown?"""
        return self.model.moment is not None

    def scene(self) -> Scene:
        """What the frame is drawn from."""
        clock, model = time.monotonic(), self.model
        return Scene(
            self.context, model.board, model.position, model.now, model.silent_s(clock), model.tries,
            model.retry_in_s(clock), printable(model.why), model.frozen, self.every_s, live=model.live,
            live_now=model.live_now, moment=model.moment, aim=model.aim, alarm=bool(model.new_trouble),
        )  # fmt: skip

    def wear(self, palette: str) -> None:
        """Change the theme: colours are looked up when sent, so nothing is painted anew."""
        self.palette = palette
        self.theme = f"signalbox-{palette}"
        for screen in self.screen_stack:
            for widget in screen.walk_children():
                widget.refresh()

    def say(self, notice: str) -> None:
        """One line in place of the keys, until the next key."""
        if self.box is not None:
            self.box.notice = printable(notice)
            self.box.repaint()

    def push(self, screen: Screen[None]) -> None:
        """Open a screen over this one."""
        self.push_screen(screen)

    # ------------------------------------------------------------------ going places

    async def action_go(self, name: str) -> None:
        """A digit was pressed."""
        self.go(name)

    def go(self, target: str) -> None:
        """Go to a place by name or id; with an empty one, ask which."""
        if not target:
            names = suggestions(self.model)
            self.push_screen(Prompt(":", suggestions=names), lambda typed: self.go(typed) if typed else None)
            return
        place = place_of(target, self.model)
        if place.kind == "tab":
            self._to_tab(place.key)
        elif place.kind == "say":
            self.say(place.key)
        elif place.kind == "theme":
            self.wear(place.key)
        elif place.kind == "every":
            self._every(float(place.key))
        elif place.kind == "quit":
            self.leave()
        else:
            self._open(place)

    def _to_tab(self, mode: str) -> None:
        """To a tab as it was left; pressed again, to its first screen."""
        if mode != self.current_mode:
            self.switch_mode(mode)
        else:
            self._to_first(mode)

    def _to_first(self, mode: str) -> None:
        """To a tab's first screen, whatever was left open over it."""
        if mode != self.current_mode:
            self.switch_mode(mode)
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def _open(self, place: Place) -> None:
        """A screen over its tab's, or a row of it."""
        if place.kind == "saga":
            self.switch_mode("sagas")
            self.push(SagaScreen(place.key))
        elif place.kind in ("dead", "letter"):
            self.switch_mode("dead")
            self.push(LettersScreen(place.key))
        elif place.kind == "event":
            self.push(EventScreen(place.key))
        elif place.kind == "partition":
            self._to_first("fleet")
            self.push(PartitionScreen(int(place.key)))
        elif place.kind == "agent":
            self._to_first("agents")
            self.push(AgentScreen(place.key))
        elif place.kind == "broker":
            self._to_first("fleet")
            self.call_after_refresh(self._narrow, place)
        elif place.kind in ("events", "flow"):
            self.switch_mode("events" if place.kind == "events" else "flows")
            self.call_after_refresh(self._narrow, place)

    def _narrow(self, place: Place) -> None:
        if isinstance(self.box, EventsScreen):
            self.box.apply_filter(place.key)
        elif isinstance(self.box, FlowsScreen | FleetScreen):
            self.box.want(place.key)

    def _every(self, seconds: float) -> None:
        self.every_s = min(max(seconds, BEAT_S_MIN), BEAT_S_MAX)
        self._timer.stop()
        self._timer = self.set_interval(self.every_s, self.pulse)
        self.say(f"asks every {self.every_s:g} s")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette, fed by the registry."""
        for name in frame.TABS:
            yield SystemCommand(name, f"go to {name}", lambda name=name: self.go(name.lower()))
        box = self.box
        if box is not None:
            for action in of_screen(box.KIND):
                if action.keys and action.name != "palette":
                    act = cast(Callable[[], None], lambda name=action.name: box.action_do(name))
                    yield SystemCommand(action.label.capitalize(), f"{action.help} ({action.shown})", act)
        for theme in THEME_NAMES:
            yield SystemCommand(f"Theme {theme}", "colours", lambda theme=theme: self.wear(theme))
