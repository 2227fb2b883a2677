"""A naive group for the fake brokers: everything from 0 that matches, in order, and again after a nack."""

from collections import deque
from typing import Any

from bus import wire
from bus.runs import pairs
from bus.session import Session


class Member:
    """One member on one session; `broker` is the fake one it joined at."""

    def __init__(self, broker: Any, session: Session, join: wire.Join) -> None:
        self.broker, self.session, self.join, self.credit = broker, session, join, join.credit


class GroupAt:
    """A group at one partition."""

    def __init__(self, settings: wire.GroupSettings) -> None:
        self.settings = settings
        self.cursor = 0
        self.ready: deque[int] = deque()
        self.attempts: dict[int, int] = {}
        self.held: dict[int, str] = {}
        self.settled: dict[int, str] = {}
        self.members: dict[tuple[bytes, int], Member] = {}

    def take_back(self, join: wire.Join) -> None:
        """What the member had and does not hold any more is ready; what it says it holds is its own."""
        for offset in [one for one, who in self.held.items() if who == join.member and one not in join.holds]:
            del self.held[offset]
            self.ready.append(offset)
        for offset, attempt in join.holds.items():
            if offset in self.ready:
                self.ready.remove(offset)
                self.held[offset] = join.member
                self.attempts[offset] = attempt

    def settle(self, settle: wire.Settle) -> dict[int, str]:
        """Take settlements; those that are refused, with why."""
        acks = [at for first, length in pairs(settle.acks, 8_192) for at in range(first, first + length)]
        stale: dict[int, str] = {}
        for item in (*(wire.Settlement(at, 1, "ack") for at in acks), *settle.items):
            if self.attempts.get(item.offset) != item.attempt or item.offset not in self.held:
                stale[item.offset] = "another attempt has begun"
                continue
            if item.verdict == "begin":
                continue
            del self.held[item.offset]
            if item.verdict == "nack":
                self.ready.append(item.offset)
            else:
                self.settled[item.offset] = item.verdict
        return stale
