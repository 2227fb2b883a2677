"""When each event of a replay is due, and a watch that stands still while it is paused. Pure: time is passed in."""

from typing import Literal

import bus
from console.measure import SECOND
from controlplane.questions import Recorded


class Pace:
    """`speed` times the recorded pace, 0 at once, by when events were `appended` or by their own `time`.

    Events come in the journal's order and keep it. So one whose clock is behind what came before is due with that, and
    so is one without a time.
    """

    def __init__(self, speed: float, clock: Literal["appended", "time"]) -> None:
        self._speed = speed
        self._clock = clock
        self._first: int | None = None
        self._furthest = 0

    def due(self, event: bus.Event, at: Recorded) -> float:
        """Seconds from the beginning; never less than the last answer."""
        if not self._speed:
            return 0.0
        instant = event.time if self._clock == "time" else at.appended
        if instant is not None:
            if self._first is None:
                self._first = instant
            self._furthest = max(self._furthest, instant - self._first)
        return self._furthest / SECOND / self._speed


class Watch:
    """Seconds since `began` of any clock that does not go back, pauses left out."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._stopped: float | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return self._stopped is not None

    def stop(self, now: float) -> None:
        """Stand still from here on."""
        if self._stopped is None:
            self._stopped = now

    def start(self, now: float) -> None:
        """Go on from where it stood."""
        if self._stopped is not None:
            self._began += now - self._stopped
            self._stopped = None

    def elapsed(self, now: float) -> float:
        """What it shows."""
        return (now if self._stopped is None else self._stopped) - self._began
