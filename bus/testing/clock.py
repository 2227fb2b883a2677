"""Time that stands still until it is moved. Pure but for where it begins.

Timers fire in the order in which they are due, each at its own moment: one that sets another one on its way to where
time is moved to sees that fire, too.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

_SECOND = 1_000_000_000
_BEGIN_NS = 1_000 * _SECOND
"""What `time` says at first, so that nobody takes 0 for none."""

_SWEPT_TIMERS = 256
"""Beyond so many timers, or twice those that were alive, the cancelled ones are thrown away."""


class HandTimer:
    """See `bus.client.transport.Timer`."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], Any]) -> None:
        self.callback: Callable[[], Any] | None = callback

    def cancel(self) -> None:
        """It is not due any more."""
        self.callback = None


class HandClock:
    """See `bus.client.transport.Clock`. `wall_ns`: what the wall clock says at first."""

    def __init__(self, wall_ns: int) -> None:
        self._now = _BEGIN_NS
        self._wall = wall_ns - _BEGIN_NS
        self._timers: list[tuple[int, int, HandTimer]] = []
        self._ties = count()
        self._swept_at = _SWEPT_TIMERS

    def time(self) -> float:
        """Seconds since some moment."""
        return self._now / _SECOND

    def time_ns(self) -> int:
        """Wall clock, ns since 1970."""
        return self._wall + self._now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> HandTimer:
        """Call it when time has been moved by `delay` seconds."""
        return self._set(self._now + max(0, -int(-delay * _SECOND // 1)), callback, args)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> HandTimer:
        """Call it when `time` says `when`."""
        return self._set(max(self._now, round(when * _SECOND)), callback, args)

    def next_due(self) -> int | None:
        """By how many ns time has to be moved for the first timer; None: there is none."""
        while self._timers and self._timers[0][2].callback is None:
            heappop(self._timers)
        return self._timers[0][0] - self._now if self._timers else None

    def move(self, ns: int) -> None:
        """Move time, and call what is due by then."""
        self._now += ns
        while (due := self.next_due()) is not None and due <= 0:
            timer = heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def _set(self, due: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> HandTimer:
        timer = HandTimer(lambda: callback(*args))
        heappush(self._timers, (due, next(self._ties), timer))
        if len(self._timers) > self._swept_at:  # those that were cancelled would gather while time stands still
            self._timers = [one for one in self._timers if one[2].callback is not None]
            heapify(self._timers)
            self._swept_at = max(_SWEPT_TIMERS, 2 * len(self._timers))
        return timer
