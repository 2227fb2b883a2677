"""Events of a group that are out for the first time, or wait for it: bits of stored batches, lent in runs. Pure.

Nearly all events are delivered once and acked. As long as one is such, three bits on the `Sheet` of its batch say all
of it: open, fresh (nobody has it), or part of a `Loan` (a member has it, until a deadline that it shares with whatever
else it was lent with). One with more to say (failed, expiring, with a key in order, claimed) is detached, and becomes
a `Work` of `bus/group.py`; it keeps the bit that says it is open.

All loans of a group last equally long, so that their deadlines pass in the order in which they were made.
"""

from collections import deque
from typing import TYPE_CHECKING

from bus import limits
from bus.bitmap import lowest
from bus.pages import Page, Pages
from bus.recent import Recent

if TYPE_CHECKING:
    from bus.groupwork import Member


class Sheet(Page):
    """One batch as it was read. `fresh`: open, and nobody has had it. `unlogged`: open, which no delta says so far.

    `acked`: member -> what it acked by runs.
    """

    __slots__ = ("acked", "fresh", "loans", "unlogged")

    def __init__(self, base: int, count: int, appended: int, open: int) -> None:
        super().__init__(base, count, appended, open)
        self.fresh = open
        self.unlogged = 0
        self.loans: list[Loan] = []
        self.acked: dict[str, int] = {}


class Loan:
    """What a member was given of a sheet at `since`, and has to settle by `due` (ns)."""

    __slots__ = ("bits", "due", "member", "sheet", "since")

    def __init__(self, sheet: Sheet, bits: int, member: "Member", since: int, due: int) -> None:
        self.sheet = sheet
        self.bits = bits
        self.member = member
        self.since = since
        self.due = due


class Plain:
    """The sheets of one group, and its loans. `count`: how many events are open; `ready`: how many are fresh."""

    def __init__(self) -> None:
        self.pages: Pages[Sheet] = Pages()
        self.count = 0
        self.ready = 0
        self._fresh: deque[Sheet] = deque()
        self._loans: deque[Loan] = deque()
        self._live = 0
        self._recent = Recent()

    def read(self, sheet: Sheet) -> None:
        """A batch was read; they come ascending."""
        self.pages.add(sheet)
        self.count += sheet.open.bit_count()
        if sheet.fresh:
            self._fresh.append(sheet)
            self.ready += sheet.fresh.bit_count()

    # ------------------------------------------------------------------------------------------ lending

    def next(self) -> int | None:
        """The first fresh offset."""
        while self._fresh and not self._fresh[0].fresh:
            self._fresh.popleft()
        if not self._fresh:
            return None
        sheet = self._fresh[0]
        return sheet.base + (sheet.fresh & -sheet.fresh).bit_length() - 1

    def take(self, most: int, before: int | None) -> tuple[Sheet, int]:
        """The first fresh events, at most `most`, all of one sheet and below `before`; there has to be one. They are
        to be lent at once."""
        sheet = self._fresh[0]
        bits = sheet.fresh
        if before is not None and before < sheet.base + sheet.count:
            bits &= sheet.bit(before) - 1
        bits = lowest(bits, most)
        sheet.fresh ^= bits
        self.ready -= bits.bit_count()
        return sheet, bits

    def lend(self, sheet: Sheet, bits: int, member: "Member", now: int, due: int) -> None:
        """A member gets what was taken."""
        loan = Loan(sheet, bits, member, now, due)
        sheet.loans.append(loan)
        member.loans[loan] = None
        member.lent += bits.bit_count()
        # Loans that are settled leave their deadlines behind; without this there would be ack_wait's worth of them.
        if len(self._loans) > 2 * self._live + limits.GROUP_LOANS_SPARED:
            self._loans = deque(loan for loan in self._loans if loan.bits)
        self._loans.append(loan)
        self._live += 1

    def next_due(self) -> int | None:
        """The first deadline of a loan."""
        while self._loans and not self._loans[0].bits:
            self._loans.popleft()
        return self._loans[0].due if self._loans else None

    def lent(self) -> list[Loan]:
        """All loans of which something is not settled, the one due first in front."""
        return [loan for loan in self._loans if loan.bits]

    def due(self, now: int) -> Loan | None:
        """A loan whose deadline has passed. It stays until its events are settled or detached."""
        due = self.next_due()
        return self._loans[0] if due is not None and due <= now else None

    # ------------------------------------------------------------------------------------------ settling

    def ack(self, member: "Member | None", first: int, length: int) -> tuple[list[tuple[Sheet, int]], list[int]]:
        """A member acks a run of first attempts. Gives what of it is settled now, on each sheet; and the other offsets:
        those are not lent to this member. `close` has still to be said."""
        if member is None:
            return [], list(range(first, first + length))
        acked: list[tuple[Sheet, int]] = []
        others: list[int] = []
        at = first
        for sheet, bits in self.pages.over(first, length):
            hit = 0
            for loan in [loan for loan in sheet.loans if loan.member is member and loan.bits & bits]:
                hit |= loan.bits & bits
                self._lessen(loan, loan.bits & bits)
            if hit:
                sheet.acked[member.name] = sheet.acked.get(member.name, 0) | hit
                acked.append((sheet, hit))
            others += range(at, sheet.base + (bits & -bits).bit_length() - 1)
            if hit != bits:
                others += sheet.offsets(bits ^ hit)
            at = sheet.base + bits.bit_length()
        others += range(at, first + length)
        return acked, others

    def close(self, sheet: Sheet, bits: int) -> None:
        """Events are settled for good."""
        sheet.open ^= bits
        self.count -= bits.bit_count()
        if not sheet.open:
            self.pages.drop(sheet)
            for member, acked in sheet.acked.items():
                self._recent.add(member, sheet.base, acked)

    def detach(self, sheet: Sheet, offset: int) -> Loan | None:
        """An open event is known by more than its bit from now on; gives the loan it was part of, None if it was
        fresh."""
        bit = sheet.bit(offset)
        if sheet.fresh & bit:
            sheet.fresh ^= bit
            self.ready -= 1
            return None
        loan = next(loan for loan in sheet.loans if loan.bits & bit)
        self._lessen(loan, bit)
        return loan

    def acked_by(self, offset: int) -> str:
        """Which member acked an event by a run; "": none, as far as is remembered."""
        sheet = self.pages.at(offset)
        if sheet is None:
            return self._recent.member(offset)
        bit = sheet.bit(offset)
        return next((member for member, bits in sheet.acked.items() if bits & bit), "")

    def _lessen(self, loan: Loan, bits: int) -> None:
        loan.bits ^= bits
        loan.member.lent -= bits.bit_count()
        if not loan.bits:
            loan.sheet.loans.remove(loan)
            del loan.member.loans[loan]
            self._live -= 1
