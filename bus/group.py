"""A subscription group at one partition: the machine that lives at the leader. Pure: no socket, no clock, no store.

Members share the partition's matching events. The group reads on while members have credit, deals what it read to
them, and takes back what is not acked. `now` is ns since 1970, and never goes back.

| an event is | leaves by |
|---|---|
| unread, at or above `cursor` | `feed`: matches -> READY, or DEAD when it has expired; the filter's rest is passed |
| WAITING in its key's line, if the order is strict | the one before it is settled, committed -> as if read now |
| READY | `deal` -> HELD; a late ack of its last attempt -> settled |
| HELD by a member, attempt n | ack -> settled; nack -> DELAYED or READY; terminate -> DEAD |
| | `ack_wait` over, or the member's session lost -> READY; the member left -> READY, and the attempt is spared |
| DELAYED after a nack | `tick` -> READY; a nack's attempt stays over |
| DEAD: attempts exhausted, terminated, expired, parked | `bury`, in its dead letter's record -> settled |
| any but HELD and WAITING, and gone from the log | `trimmed` -> settled, counted; unread ones are passed, counted |
| any, when an operator removes the group | the group is gone, and all of these with it; dead letters in the log stay |

An attempt that failed counts against `max_deliver`; one that a leaving member hands back does not. Attempts are
numbered, and only the current one of the member that holds it settles an event; an older one is told why it is stale.
A settlement repeated by its sender is no news and no fault. `bus/keys.py` has strict order, and who goes first.

All of this is so for each event, but most are never more than READY, HELD once, and acked: those have no Work of their
own (`bus/groupodd.py`), but bits on the sheet of their batch (`bus/groupplain.py`), until something befalls them.

What is durable is a fold over the deltas (`bus/groupstate.py`): `delta()` is what the leader has to log now, and
`logged()` says that it was appended. The edge answers a settlement when that record is committed. A new leader starts
a Group from committed state: for GROUP_REPORT_MS it delivers nothing and takes the members' word for what they hold.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from bus import groupactive, groupwork, limits
from bus.bitmap import lowest, places
from bus.groupdeal import Dealer
from bus.groupdeal import Dealt as Dealt
from bus.grouplog import Unlogged
from bus.groupodd import Odd
from bus.groupplain import Plain, Sheet
from bus.groupstate import LOST, TIMED_OUT, Delta, GroupState, Open
from bus.groupwork import BEGIN, DELAYED, READY, Dead, Figures, Member, Work
from bus.wire import GroupSample, GroupSettings, Settlement

_MS = 1_000_000


class Group:
    """One group at one partition's leader, from its committed state.

    `fresh`: the group is defined just now, so that nobody can hold anything of it, and its definition is to be logged.
    """

    def __init__(self, state: GroupState, now: int, fresh: bool = False) -> None:
        self.name = state.name
        self.settings = state.settings
        self.definition = state.definition
        self.cursor = state.upto
        self.members: dict[str, Member] = {}
        self._reports_until = now if fresh else now + limits.GROUP_REPORT_MS * _MS
        self._plain = Plain()
        self._served = 0
        self._figures = Figures()
        self._log = Unlogged(state.name, state.settings, state.upto, fresh, state.definition)
        restored_upto = 0 if fresh else state.upto
        self._odd = Odd(state, restored_upto, self.members, self._plain, self._log, self._figures)
        spans = state.settings.order in groupactive.ORDERS
        self.active = groupactive.Active(self.members, self._odd.works, self._odd.move) if spans else None
        for page in state.pages:
            odd = state.entries(page, plain=self._odd.lines is not None)
            self._enter(Sheet(page.base, page.count, page.appended, page.open), odd, now)

    # ------------------------------------------------------------------------------------------ members

    def join(self, member: str, credit: int, now: int, holds: Mapping[int, int] | None = None, since: int = 0) -> None:
        """A member comes, or comes again on a new session; `credit` is how many events it takes now, `since` when it
        first came.

        `holds`: offset -> attempt of what a previous leader delivered to it and it still works on. A new leader
        takes its word for it while reports are due; the events must be read already (`read_to`).
        """
        known = self.members.get(member)
        if known is None:
            self._served += 1
            known = self.members[member] = Member(member, self._served)
        elif self.active is not None:
            self.active.give_back(known)
        known.lapsed = False
        known.since = since
        known.credit = max(0, min(credit, limits.IN_FLIGHT_EVENTS_MAX))
        for offset, attempt in (holds or {}).items():
            work = self._odd.work(offset)
            if work is not None and self.reporting(now) and work.claim(attempt):
                self._odd.hold(work, known, attempt, now)

    def leave(self, member: str, now: int, lost: bool = False) -> None:
        """A member goes, what it holds is ready for others. `lost`: its session broke, and what it had begun failed."""
        if member not in self.members:
            return
        for loan in list(self.members[member].loans):
            self._odd.detach(loan.sheet, loan.bits)
        for offset in self.members.pop(member).held:
            work = self._odd.works[offset]
            if lost and work.timer:
                self._odd.over(work, LOST, f"the session of {member} ended", now)
            else:
                work.spared += 1
                self._odd.move(work, READY)

    def credit(self, member: str, more: int) -> None:
        """A member takes `more` events, or fewer by a negative number; what was on its way by then it owes."""
        most = limits.IN_FLIGHT_EVENTS_MAX
        if (known := self.members.get(member)) is not None:
            known.credit = max(-most, min(known.credit + more, most))

    # ------------------------------------------------------------------------------------------ reading

    @property
    def room(self) -> int:
        """Events that may still be read before some are settled."""
        return limits.GROUP_IN_FLIGHT_MAX - self._plain.count

    def wants(self) -> tuple[int, int] | None:
        """(offset to read from, how many matching events are of use), or None."""
        members = self.members.values() if self.active is None else self.active.takers()
        free = sum(max(0, member.credit) for member in members)
        free -= self._odd.ready + self._plain.ready
        return (self.cursor, most) if (most := min(free, self.room)) > 0 else None

    def feed(
        self,
        base_offset: int,
        count: int,
        meant: int,
        appended: int,
        now: int,
        expires: Mapping[int, int] | None = None,
        tags: Mapping[int, int] | None = None,
    ) -> int:
        """Read one batch of `count` committed events from `base_offset`, appended at `appended` (ns).

        `meant`: the rows that are meant for the group, a bit each; all others are passed. `expires`: row -> ns. `tags`:
        row -> tag (`bus.keys`), for a strict group. Gives the new cursor, which stands within the batch when there is
        no room for more. A batch that begins beyond the cursor would skip what lies between, and is a ValueError.
        """
        if base_offset > self.cursor:
            raise ValueError(f"group {self.name} stands at {self.cursor}: a batch from {base_offset} on would skip")
        start, end = self.cursor, base_offset + count
        if end <= start:
            return start
        meant >>= start - base_offset
        taken = lowest(meant, self.room)
        if rest := meant ^ taken:
            end = start + (rest & -rest).bit_length() - 1
        if taken:
            odd: dict[int, Open] = {}
            if expires or self._odd.lines is not None:
                for row in (start - base_offset + place for place in places(taken)):
                    until, tag = expires.get(row, 0) if expires else 0, tags[row] if tags else 0
                    if until or self._odd.lines is not None:
                        odd[base_offset + row] = Open(appended, until, tag=tag)
            sheet = Sheet(start, end - start, appended, taken)
            self._log.read(sheet, odd)
            self._enter(sheet, odd, now)
        self.cursor = end
        return end

    def trimmed(self, first_offset: int, now: int) -> None:
        """The log begins at `first_offset` now, and so does what is unread. To be called again while `floor` is below:
        what members hold, or may report, they may still settle, and strict keys go on one by one."""
        passed = max(0, first_offset - self.cursor)
        self.cursor += passed
        if not self.reporting(now):
            for sheet, bits in self._plain.pages.over(0, first_offset):
                self._odd.detach(sheet, sheet.fresh & bits)
        gone = self._odd.trimmed(first_offset, self.reporting(now))
        self._log.changed |= bool(passed or gone)
        self._figures.trimmed += passed + gone
        if self._odd.lines is not None and passed:
            self._odd.lines.leap()

    def reporting(self, now: int) -> bool:
        """Whether members may still report what an earlier leader delivered to them."""
        return now < self._reports_until

    # ------------------------------------------------------------------------------------------ delivering

    def deal(self, now: int) -> list[Dealt]:
        """What is to be sent now: each member with credit gets an equal share, ascending.

        See `groupwork.takers` for who comes first. A slow member slows only itself.
        """
        free = groupwork.takers(self.members.values()) if self.active is None else self.active.takers()
        ready = self._odd.ready + self._plain.ready
        if not ready or self.reporting(now) or (self._odd.lines is not None and self._odd.lines.leaping):
            return []
        dealer = Dealer(self._plain, self._odd, now, self.settings.ack_wait_ms * _MS, begun=self.active is None)
        lots, count = dealer.next_lots(sum(member.credit for member in free))
        dealt: list[Dealt] = []
        for member, share in groupwork.shares(free, count):
            dealt += dealer.give(member, share, lots)
            member.credit -= share
            self._served += share
            member.served = self._served
        self._figures.delivered += count
        return dealt

    def tick(self, now: int) -> None:
        """Let deadlines pass: nacks' delays, and `ack_wait` of what is held."""
        while (loan := self._plain.due(now)) is not None:
            self._odd.detach(loan.sheet, loan.bits)
        for work in self._odd.timers.due(now):
            if work.phase == DELAYED:
                self._odd.move(work, READY)
            else:
                if work.member in self.members:
                    self.members[work.member].lapsed = True
                self._odd.over(work, TIMED_OUT, f"no ack within {self.settings.ack_wait_ms} ms", now)

    def next_deadline(self, now: int) -> int | None:
        """When `tick`, or deliveries after the reports, are due (ns); None: not before something happens."""
        dues = [due for due in (self._odd.timers.next(), self._plain.next_due()) if due is not None]
        due = min(dues, default=None)
        if self.reporting(now):
            return min(due, self._reports_until) if due else self._reports_until
        return due

    # ------------------------------------------------------------------------------------------ settling

    def settle(
        self, member: str, items: Sequence[Settlement], now: int, acks: Sequence[tuple[int, int]] = ()
    ) -> dict[int, str]:
        """What became of deliveries: those of `items` that begin; `acks`, runs (first offset, length) whose first
        attempt is acked; then the other `items`. Gives the offsets whose settlement is refused, with why; the others
        hold."""
        stale: dict[int, str] = {}
        reporting = self.reporting(now)
        known = self.members.get(member)
        begins = [item for item in items if item.verdict == BEGIN]
        if known is not None and (acks or len(begins) < len(items)):
            known.lapsed = False
        for item in begins:
            if why := self._odd.settle(member, item, now, reporting, self.cursor):
                stale[item.offset] = why
        for first, length in acks:
            settled, others = self._plain.ack(known, first, length)
            for sheet, bits in settled:
                self._figures.ack(now - sheet.appended, bits.bit_count())
                self._odd.shut(sheet, bits)
            for offset in others:
                if why := self._odd.settle(member, Settlement(offset, 1, "ack"), now, reporting, self.cursor):
                    stale[offset] = why
        for item in items:
            if item.verdict != BEGIN and (why := self._odd.settle(member, item, now, reporting, self.cursor)):
                stale[item.offset] = why
        return stale

    def dead(self, most: int) -> list[Dead]:
        """At most `most` events whose dead letter is to be appended, the first to die first."""
        return self._odd.next_dead(most)

    def bury(self, offsets: Iterable[int]) -> None:
        """The dead letters of these go into the record that the next delta goes into."""
        for offset in offsets:
            self._odd.bury(offset)

    # ------------------------------------------------------------------------------------------ operators

    def change(self, settings: GroupSettings) -> None:
        """An operator has changed settings (`bus.groupsettings.changed`). What is out keeps the deadline that it was
        given; what has failed so often already that it may not come again dies."""
        for loan in self._plain.lent():  # loans of one length only lie in the order of their deadlines
            self._odd.detach(loan.sheet, loan.bits)
        self.settings = settings
        self._odd.change(settings)
        self._log.change(settings)

    def removal(self, decision: int = 0) -> Delta:
        """What is to be logged when an operator's decision removes the group; nothing else of it may be, after that."""
        return Delta(self.name, self.cursor, removed=True, number=decision)

    # ------------------------------------------------------------------------------------------ the durable side

    @property
    def floor(self) -> int:
        """All events below it are settled here; of the committed state, ask that."""
        first = self._plain.pages.first
        return first.floor if first is not None else self.cursor

    def progress(self, high_offset: int) -> tuple[int, bool]:
        """For orders that span partitions: below which offset all is settled, committed; and whether more is coming."""
        lines = self._odd.lines
        floor = lines.floor(self.floor) if isinstance(lines, groupactive.Floors) else self.floor
        return floor, self._odd.ready + self._plain.ready > 0 or self.cursor < high_offset

    def delayed(self) -> list[tuple[int, int]]:
        """What failed and rests: offset, and when it is ready again (ns)."""
        return [(work.offset, work.timer) for work in self._odd.works.values() if work.phase == DELAYED]

    def delta(self) -> Delta | None:
        """What is to be logged since the last `logged()`; None: nothing worth a record."""
        return self._log.delta(self.cursor, self._odd.works)

    def logged(self, index: int = -1) -> None:
        """The `delta()` that was made just now was appended, in record `index`. There may be more (`unlogged`)."""
        self._log.logged(self.cursor)
        if self._odd.lines is not None:
            self._odd.lines.logged(index)

    def committed(self, upto: int, now: int) -> None:
        """Records below `upto` are committed: keys whose event they settled go on."""
        for offset in self._odd.lines.committed(upto) if self._odd.lines is not None else ():
            self._odd.admit(self._odd.works[offset], now)

    @property
    def unlogged(self) -> bool:
        """Whether a settlement is not in the log yet: its delta was not appended, or its dead letter is due."""
        return self._log.changed or bool(self._odd.dead)

    def state(self) -> GroupState:
        """The state that all deltas add up to once they are logged."""
        entries = {offset: work.entry for offset, work in self._odd.works.items()}
        state = GroupState.made(self.name, self.settings, self.cursor, self.definition, self._plain.pages, entries)
        state.buried, state.parked = list(self._odd.buried), self._odd.parked.keys()
        return state

    def sample(self, partition: int, unread: int, soon: int = 0) -> GroupSample:
        """The figures since the last sample. `unread` events that match are not read; those below `soon` are to go.

        In flight is what members hold; what is read and not settled, and not with any of them, waits as if unread.
        """
        out = sum(len(member.held) + member.lent for member in self.members.values())
        sample = self._figures.taken(
            *(self.name, partition, self.settings.pattern, len(self.members)),
            (self.floor, unread + self._plain.count - out, out),
            self._plain.pages.first.appended if self._plain.pages.first is not None else 0,
            max(0, min(soon - self.cursor, unread)),
        )
        return replace(sample, settings=self.settings, holding=groupwork.holding(self.members.values()))

    # ------------------------------------------------------------------------------------------ transitions

    def _enter(self, sheet: Sheet, odd: Mapping[int, Open], now: int) -> None:
        """Events of a batch enter, read just now or restored; `odd` (ascending) are known by more than their bit."""
        for offset in odd:
            sheet.fresh ^= sheet.bit(offset)
        self._plain.read(sheet)
        for offset, entry in odd.items():
            self._odd.take(Work(offset, entry, sheet), now)
