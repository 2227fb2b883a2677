"""Events of a group of which there is more to say than a bit does: each is a `Work`, and moves by itself. Pure.

See the table in `bus/group.py` for how; `bus/groupplain.py` has the others. An event comes here when it is read with an
expiry or a key, or when something befalls it: a failed attempt, a claim, a settlement that is no plain ack.
"""

from collections.abc import Mapping
from itertools import islice

from bus import groupwork
from bus.groupactive import ORDERS, Floors
from bus.grouplog import Unlogged
from bus.groupplain import Plain, Sheet
from bus.groupstate import ENDS, NACKED, GroupState, Open, remember
from bus.groupwork import BEGIN, DEAD, DELAYED, HELD, READY, WAITING, Dead, Figures, Member, Settled, Timers, Work
from bus.keys import Lines, Parked, Ready
from bus.wire import GroupSettings, Settlement

_MS = 1_000_000


class Odd:
    """The Works of one group. `ready`: how many of them may be dealt; `lines`: the keys', if the order is strict; the
    floors, if it spans partitions. With either, all events are here.

    `restored_upto`: what lies below was read under an earlier leader.
    """

    def __init__(
        self,
        state: GroupState,
        restored_upto: int,
        members: Mapping[str, Member],
        plain: Plain,
        log: Unlogged,
        figures: Figures,
    ) -> None:
        self.works: dict[int, Work] = {}
        self.ready = 0
        self.lines = _lines(state.settings.order)
        self.timers = Timers(self.works)
        self.dead: dict[int, str] = {}
        self.buried = list(state.buried)
        self.parked = Parked(state.parked, log.parked)
        self._group = state.name
        self._settings = state.settings
        self._restored_upto = restored_upto
        self._members = members
        self._plain = plain
        self._log = log
        self._figures = figures
        self._order = Ready()
        self._settled = Settled()

    # ------------------------------------------------------------------------------------------ coming and going

    def take(self, work: Work, now: int) -> None:
        """An event enters by itself."""
        self.works[work.offset] = work
        if self.lines is None or self.lines.add(work.offset, work.entry.tag):
            self.admit(work, now)
        else:
            work.phase = WAITING

    def work(self, offset: int) -> Work | None:
        """An open event, by itself from now on; None: it is not open."""
        if offset not in self.works and (sheet := self._plain.pages.having(offset)) is not None:
            self.detach(sheet, sheet.bit(offset))
        return self.works.get(offset)

    def detach(self, sheet: Sheet, bits: int) -> None:
        """Events of a sheet that are known by their bits alone have Works from now on."""
        for offset in sheet.offsets(bits):
            work = self.works[offset] = Work(offset, Open(sheet.appended), sheet)
            loan = self._plain.detach(sheet, offset)
            if loan is None:
                self.move(work, READY)
            else:
                self.move(work, HELD)
                work.attempt, work.member, work.since = 1, loan.member.name, loan.since
                loan.member.held[offset] = None
                self.timers.set(loan.due, work)

    def close(self, work: Work, how: str, buried: bool = False) -> None:
        """Settled for good."""
        self.move(work, "")
        del self.works[work.offset]
        if self.lines is not None:
            self.lines.settled(work.offset, work.entry.tag)
        self.shut(work.sheet, work.sheet.bit(work.offset))
        self._log.over(work.offset, buried)
        self._settled.note(work, how)

    def shut(self, sheet: Sheet, bits: int) -> None:
        """Events are settled: here, and in what is to be logged."""
        self._log.settled(sheet, bits)
        self._plain.close(sheet, bits)

    # ------------------------------------------------------------------------------------------ dealing

    def first(self) -> int | None:
        """The first that is ready, in a group without order."""
        return self._order.first(self._is_ready)

    def pick(self, most: int, before: int | None, now: int) -> list[int]:
        """The next offsets to deal, at most `most`, below `before`; there are no more if they are fewer."""
        offsets: list[int] = []
        while len(offsets) < most and (picked := self._order.pick(most - len(offsets), self._is_ready, before)):
            for offset in picked:
                work = self.works[offset]
                if 0 < work.entry.expires <= now:
                    self._die(work, "expired")
                else:
                    offsets.append(offset)
        return offsets

    def hold(self, work: Work, member: Member, attempt: int, now: int, begun: bool = True) -> None:
        """A member has it; unless it has `begun`, it holds the event back, and has no deadline."""
        self.move(work, HELD)
        work.attempt = attempt
        work.member = member.name
        work.since = now
        work.timer = 0
        member.held[work.offset] = None
        if begun:
            self._begin(work, now)

    # ------------------------------------------------------------------------------------------ settling

    def settle(self, member: str, item: Settlement, now: int, reporting: bool, cursor: int) -> str:
        """Take one settlement; gives why it is refused, or "". Events from `cursor` on have not been read."""
        if (item.verdict != "ack" or item.delay_ms) and (why := groupwork.why_impossible(item)):
            return why
        work = self.work(item.offset)
        if work is None:
            return self._settled_already(member, item, cursor)
        current = work.phase == HELD and work.member == member and work.attempt == item.attempt
        if item.verdict == BEGIN:
            return self._begin(work, now) if current else work.why_stale(member, item)
        if not current and reporting and work.claim(item.attempt):
            work.attempt, work.member, work.since = item.attempt, member, now
            current = True
        if not current and (item.verdict != "ack" or not work.settles_late(member, item.attempt)):
            return work.why_stale(member, item)
        if item.verdict == "ack":
            self._figures.ack(now - work.entry.appended)
            if self.lines is not None:
                self.parked.acked(work.entry.tag)
            self.close(work, item.verdict)
        else:
            due = now + item.delay_ms * _MS if item.verdict == NACKED and item.delay_ms else 0
            self.over(work, item.verdict, item.error, now, due)
        return ""

    def next_dead(self, most: int) -> list[Dead]:
        """At most `most` events whose dead letter is due, the first to die first."""
        return [groupwork.dying(self.works[offset], reason) for offset, reason in islice(self.dead.items(), most)]

    def bury(self, offset: int) -> None:
        """The dead letter of this one is about to be logged."""
        reason = self.dead.pop(offset, None)
        if reason is not None:
            self._figures.dead += 1
            remember(self.buried, [offset])
            work = self.works[offset]
            if self._settings.park and reason != "parked":
                self.parked.died(work.entry.tag)
            self.close(work, work.entry.history[-1].how if work.entry.history else reason, buried=True)

    def trimmed(self, first_offset: int, reporting: bool) -> int:
        """Those below are gone from the log; gives how many come to nothing for it."""
        gone = groupwork.undeliverable(self.works, first_offset, reporting)
        for work in gone:
            self.dead.pop(work.offset, None)
            self.close(work, groupwork.TRIMMED)
        return len(gone)

    def change(self, settings: GroupSettings) -> None:
        """Other settings hold; those whose attempts are used up by them die, as they would under a new leader."""
        self._settings = settings
        for work in [work for work in self.works.values() if work.phase in (READY, DELAYED)]:
            if work.entry.attempt - work.entry.spared >= settings.max_deliver:
                self._die(work, "max_deliver")

    # ------------------------------------------------------------------------------------------ transitions

    def admit(self, work: Work, now: int) -> None:
        """It may be delivered, or has died already."""
        entry = work.entry
        if entry.history and (reason := ENDS.get(entry.history[-1].how)):
            self._die(work, reason)
        elif entry.attempt - entry.spared >= self._settings.max_deliver:
            self._die(work, "max_deliver")
        elif 0 < entry.expires <= now:
            self._die(work, "expired")
        elif self.lines is not None and entry.tag in self.parked:
            self._die(work, "parked")
        else:
            self._wait(work, now)

    def over(self, work: Work, how: str, error: str, now: int, due: int = 0) -> None:
        """The current attempt failed."""
        entry = work.entry
        self._log.failed(work.fails(how, error, now, due))
        self._figures.failed += 1
        if how in ENDS or entry.attempt - entry.spared >= self._settings.max_deliver:
            self._die(work, ENDS.get(how, "max_deliver"))
        else:
            self._wait(work, now)

    def move(self, work: Work, phase: str) -> None:
        """The one place where a phase changes."""
        if work.phase == READY:
            self.ready -= 1
        elif work.phase == HELD and work.member in self._members:
            self._members[work.member].held.pop(work.offset, None)
        if phase == READY:
            self.ready += 1
            self._order.push(work.offset, work.entry.tag)
        work.phase = phase

    def _begin(self, work: Work, now: int) -> str:
        self.timers.set(now + self._settings.ack_wait_ms * _MS, work)
        return ""

    def _wait(self, work: Work, now: int) -> None:
        if work.entry.due > now:
            self.move(work, DELAYED)
            self.timers.set(work.entry.due, work)
        else:
            self.move(work, READY)

    def _die(self, work: Work, reason: str) -> None:
        self.move(work, DEAD)
        self.dead[work.offset] = reason

    def _settled_already(self, member: str, item: Settlement, cursor: int) -> str:
        acked_by = self._plain.acked_by(item.offset)
        if (why := self._settled.why_stale(member, item, cursor, acked_by)) is not None:
            return why
        # Settled under an earlier leader, most likely by this very settlement, whose answer was lost with that leader.
        repeated = item.verdict == "ack" and item.offset < self._restored_upto and item.offset not in self.buried
        return "" if repeated else f"event {item.offset} is settled, or was not meant for group {self._group}"

    def _is_ready(self, offset: int) -> bool:
        work = self.works.get(offset)
        return work is not None and work.phase == READY


def _lines(order: str) -> Lines | Floors | None:
    if order in ORDERS:
        return Floors()
    return Lines() if order == "strict" else None
