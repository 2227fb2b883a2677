"""Answers that come in parts, both ends of one. Pure.

The caller says with its call how many parts may be on their way to it, and grants more as it takes them. One that is
slow holds the agent's generator up where it stands, and nobody else. Parts are numbered, so that one that is missing,
or one too many, is noticed.
"""

from collections import deque

from bus import limits, wire
from bus.errors import ProtocolError

_GRANT_PARTS = max(1, limits.CALL_PARTS_AHEAD_MAX // 2)
"""Parts are granted so many at a time: a frame for each of them would double the traffic."""


class Inflow:
    """The caller's end. `parts`: how many were taken."""

    __slots__ = ("_came", "_taken", "_waiting", "parts")

    def __init__(self) -> None:
        self.parts = 0
        self._came = 0
        self._taken = 0
        self._waiting: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def arrived(self, part: wire.Part) -> None:
        """A part came. Raises ProtocolError when it is not the next one, or was not granted."""
        if part.number != self._came:
            raise ProtocolError(f"part {part.number} of an answer came when {self._came} was due")
        if len(self._waiting) + self._taken >= limits.CALL_PARTS_AHEAD_MAX:
            raise ProtocolError(f"part {part.number} of an answer came before it was granted")
        self._came += 1
        self._waiting.append(part.payload)

    def take(self) -> bytes:
        """The next part; there has to be one."""
        self.parts += 1
        self._taken += 1
        return self._waiting.popleft()

    def grant(self) -> int:
        """How many parts are to be granted now; 0: none yet. What it gives counts as granted."""
        if self._taken < _GRANT_PARTS:
            return 0
        granted, self._taken = self._taken, 0
        return granted

    def ended(self, parts: int) -> None:
        """The agent says that so many were all. Raises ProtocolError when they were not."""
        if parts != self._came:
            raise ProtocolError(f"an answer of {parts} parts is over, and {self._came} came")


class Outflow:
    """The agent's end. `parts`: how many were sent."""

    __slots__ = ("_credit", "parts")

    def __init__(self, credit: int) -> None:
        self.parts = 0
        self._credit = 0
        self.granted(credit)

    @property
    def may_send(self) -> bool:
        """Whether the caller takes another part."""
        return self._credit > 0

    def sent(self) -> int:
        """A part is sent; its number."""
        self._credit -= 1
        self.parts += 1
        return self.parts - 1

    def granted(self, parts: int) -> None:
        """The caller takes more; what is beyond CALL_PARTS_AHEAD_MAX, or nonsense, counts for nothing."""
        self._credit = min(self._credit + max(0, parts), limits.CALL_PARTS_AHEAD_MAX)
