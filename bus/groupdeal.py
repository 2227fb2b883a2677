"""Which events of a group go to which member: what is ready, plain and odd, in the order in which it is due. Pure."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from bus.bitmap import lowest
from bus.groupodd import Odd
from bus.groupplain import Plain, Sheet
from bus.groupwork import Member

Lot = tuple[Sheet | None, int, int]
"""Events that are dealt alike: the sheet they are plain on, or None for one odd event; base, bits."""


class Dealt(NamedTuple):
    """Events for a member: bit i of `bits` is the event at `base + i`; it is attempt `attempt` of each."""

    member: str
    base: int
    bits: int
    attempt: int


class Dealer:
    """One deal at `now` (ns). `ack_wait`, ns, begins at once where `begun`, else when the member says so."""

    def __init__(self, plain: Plain, odd: Odd, now: int, ack_wait: int, begun: bool) -> None:
        self._plain = plain
        self._odd = odd
        self._now = now
        self._due = now + ack_wait
        self._begun = begun

    def next_lots(self, most: int) -> tuple[deque[Lot], int]:
        """What is dealt next, at most `most` events, and how many they are."""
        lots: deque[Lot] = deque()
        left = most
        while left:
            fresh = self._plain.next()
            picked = self._odd.pick(left, fresh, self._now)
            lots.extend((None, offset, 1) for offset in picked)
            left -= len(picked)
            if fresh is None or not left:
                break
            sheet, bits = self._plain.take(left, self._odd.first())
            lots.append((sheet, sheet.base, bits))
            left -= bits.bit_count()
        return lots, most - left

    def give(self, member: Member, share: int, lots: deque[Lot]) -> Iterator[Dealt]:
        """The next `share` events go to a member."""
        while share:
            sheet, base, bits = lots[0]
            taken = lowest(bits, share)
            if taken == bits:
                lots.popleft()
            else:
                lots[0] = (sheet, base, bits ^ taken)
            share -= taken.bit_count()
            if sheet is not None:
                self._plain.lend(sheet, taken, member, self._now, self._due)
                yield Dealt(member.name, base, taken, 1)
            else:
                work = self._odd.works[base]
                self._odd.hold(work, member, work.attempt + 1, self._now, begun=self._begun)
                yield Dealt(member.name, base, 1, work.attempt)
