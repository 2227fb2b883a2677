"""The keys and the mouse of time travel, on every screen alike: where one stands in time is the application's."""

from __future__ import annotations

from typing import cast

from textual.screen import Screen

from console.measure import clock
from console.moments import FORMS, moment
from console.pictures import timebar
from console.pictures.parts import light
from console.screens.prompt import Prompt
from console.screens.shell import Shell
from console.widgets.timebar import Aimed
from controlplane.questions import At, Incident, Timeline


class TimeKeys(Screen[None]):
    """What a screen does with `,` `.` `<` `>` `{` `}` `t` `end`, and with the mouse on the time bar."""

    @property
    def shell(self) -> Shell:
        """The application."""
        return cast(Shell, self.app)

    def _line(self) -> Timeline | None:
        """The time bar's answer, or a word why there is no travelling yet."""
        line = self.shell.model.live
        if line is None or not line.bars:
            self.shell.say("the time bar has no answer yet")
            return None
        return line

    @property
    def _room(self) -> int:
        return timebar.bars_of(self.size.width)

    def _here(self) -> int:
        """The instant that is aimed at; the plane's clock in the present."""
        model = self.shell.model
        if model.aim is None:
            return model.live_now
        return model.aim.instant if model.aim.instant is not None else model.now

    def _by(self, nanoseconds: int) -> None:
        shell = self.shell
        then = self._here() + nanoseconds
        if shell.model.aim is None and nanoseconds > 0:
            shell.say("this is the present")
        else:
            shell.travel(At(instant=max(then, 0)) if then < shell.model.live_now else None)

    def _to_incident(self, incident: Incident | None, none: str) -> None:
        if incident is None:
            self.shell.say(none)
        else:
            self.shell.travel(At(instant=incident.at))
            self.shell.say(f"{light(incident.severity)[0]} {clock(incident.at)} {incident.what}")

    def do_earlier(self) -> None:
        if line := self._line():
            self._by(-timebar.step_ns(line, self._room))

    def do_later(self) -> None:
        if line := self._line():
            self._by(timebar.step_ns(line, self._room))

    def do_bar_back(self) -> None:
        if line := self._line():
            self._by(-timebar.bar_ns(line, self._room))

    def do_bar_on(self) -> None:
        if line := self._line():
            self._by(timebar.bar_ns(line, self._room))

    def do_incident_before(self) -> None:
        if line := self._line():
            self._to_incident(
                timebar.incident_before(line, self._here()), "no incident before this, as far as is known"
            )

    def do_incident_after(self) -> None:
        if line := self._line():
            self._to_incident(timebar.incident_after(line, self._here()), "no incident after this; end goes to live")

    def do_instant(self) -> None:
        """Type where to go."""
        self.app.push_screen(Prompt("@", hint=FORMS), self._typed)

    def _typed(self, typed: str | None) -> None:
        shell = self.shell
        if not typed or not typed.strip():
            return
        if typed.strip().casefold() in ("now", "live"):
            shell.travel(None)
            return
        try:
            shell.travel(moment(typed, shell.model.live_now))
        except ValueError as error:
            shell.say(str(error))

    def do_live(self) -> None:
        """Back to the present; there already, to the last row, as the key is used to do."""
        if self.shell.model.aim is None and not self.shell.model.travels:
            last = getattr(self, "do_last", None)
            if last is not None:
                last()
        else:
            self.shell.travel(None)

    def on_aimed(self, message: Aimed) -> None:
        model = self.shell.model
        if line := self._line():
            then = timebar.instant_of(line, self._room, message.column, model.live_now)
            self.shell.travel(At(instant=max(then, 0)) if then is not None else None)
