"""The plane's clock: the `recorded` of entries, which never goes back.

It is the wall clock while that moves forward. When the wall clock was set back, it goes on at half speed until the two
meet again; so no second stands still and none comes twice. The two sources are passed in, ns each.
"""

import time
from collections.abc import Callable


class Clock:
    """Instants in ns since 1970, never less than one given before, nor than `floor`."""

    def __init__(
        self,
        floor: int = 0,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last = floor
        self._at = monotonic()

    def now(self) -> int:
        """The present instant."""
        at = self._monotonic()
        self._last = max(self._wall(), self._last + (at - self._at) // 2)
        self._at = at
        return self._last
