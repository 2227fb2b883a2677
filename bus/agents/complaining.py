"""Warnings on the log about events that end here unhandled, so few that a flood of events makes none of warnings."""

import logging

from bus.agents.limits import COMPLAINTS_MAX, COMPLAINTS_MS
from bus.words import many

log = logging.getLogger("bus.agents")


class Complaints:
    """COMPLAINTS_MAX warnings in COMPLAINTS_MS; the first one after that says how many were left out."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def complain(self, now: float, text: str) -> None:
        """Warn of something. `now` in seconds of any clock that goes on."""
        if not self._count or now >= self._since + COMPLAINTS_MS / 1000:
            left_out = max(0, self._count - COMPLAINTS_MAX)
            self._since, self._count = now, 0
            if left_out:
                text += f" ({many(left_out, 'such warning was', 'such warnings were')} left out before)"
        self._count += 1
        if self._count <= COMPLAINTS_MAX:
            log.warning("%s", text)
