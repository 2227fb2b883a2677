"""A subscription group at one partition: the machine that lives at the leader. Pure: no socket, no clock, no store.

Members share the partition's matching events. The group reads on while members have credit, deals what it read to
them, and takes back what is not acked. `now` is ns since 1970, and never goes back.

| an event is | leaves by |
|---|---|
| unread, at or above `cursor` | `feed`: matches -> READY, or DEAD when it has expired; the filter's rest is passed |
| WAITING in its key's line, if the order is strict | the one before it is settled, committed -> as if read now |
| READY | `deliveries` -> HELD; a late ack of its last attempt -> settled |
| HELD by a member, attempt n | ack -> settled; nack -> DELAYED or READY; terminate -> DEAD |
| | `ack_wait` over, or the member's session lost -> READY; the member left -> READY, and the attempt is spared |
| DELAYED after a nack | `tick` -> READY; a nack's attempt stays over |
| DEAD: attempts exhausted, terminated, expired, parked | `bury`, in its dead letter's record -> settled |
| any but HELD and WAITING, and gone from the log | `trimmed` -> settled, counted; unread ones are passed, counted |

An attempt that failed counts against `max_deliver`; one that a leaving member hands back does not. Attempts are
numbered, and only the current one of the member that holds it settles an event; an older one is told why it is stale.
A settlement repeated by its sender is no news and no fault. `bus/keys.py` has strict order, and who goes first.

What is durable is a fold over the deltas (`bus/groupstate.py`): `delta()` is what the leader has to log now, and
`logged()` says that it was appended. The edge answers a settlement when that record is committed. A new leader starts
a Group from committed state: for GROUP_REPORT_MS it delivers nothing and takes the members' word for what they hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from bus import groupactive, groupwork, limits
from bus.grouplog import Unlogged
from bus.groupstate import LOST, NACKED, TERMINATED, TIMED_OUT, Delta, GroupState, Open, remember
from bus.groupwork import BEGIN, DEAD, DELAYED, HELD, READY, WAITING, Dead, Figures, Member, Settled, Timers, Work
from bus.keys import Lines, Parked, Ready
from bus.wire import GroupSample, Settlement

_MS = 1_000_000


class Group:
    """One group at one partition's leader, from its committed state.

    `fresh`: the group is defined just now, so that nobody can hold anything of it, and its definition is to be logged.
    """

    def __init__(self, state: GroupState, now: int, fresh: bool = False) -> None:
        self.name = state.name
        self.settings = state.settings
        self.cursor = state.upto
        self.members: dict[str, Member] = {}
        self._reports_until = now if fresh else now + limits.GROUP_REPORT_MS * _MS
        self._restored_upto = 0 if fresh else state.upto
        self._works: dict[int, Work] = {}
        self._ready = Ready()
        self._ready_count = 0
        self._timers = Timers(self._works)
        spans = state.settings.order in groupactive.ORDERS
        self.active = groupactive.Active(self.members, self._works, self._move) if spans else None
        self._lines = groupactive.Floors() if spans else Lines() if state.settings.order == "strict" else None
        self._dead: dict[int, str] = {}
        self._buried = list(state.buried)
        self._settled = Settled()
        self._served = 0
        self._figures = Figures()
        self._log = Unlogged(state.name, state.settings, state.upto, fresh)
        self._parked = Parked(state.parked, self._log.parked)
        for offset, entry in state.copy().open.items():
            self._take(Work(offset, entry), now)

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
            work = self._works.get(offset)
            if work is not None and self.reporting(now) and work.claim(attempt):
                self._hold(work, known, attempt, now)

    def leave(self, member: str, now: int, lost: bool = False) -> None:
        """A member goes, what it holds is ready for others. `lost`: its session broke, and what it had begun failed."""
        known = self.members.pop(member, None)
        for offset in known.held if known is not None else ():
            work = self._works[offset]
            if lost and work.timer:
                self._over(work, LOST, f"the session of {member} ended", now)
            else:
                work.spared += 1
                self._move(work, READY)

    def credit(self, member: str, more: int) -> None:
        """A member takes `more` events, or fewer by a negative number; what was on its way by then it owes."""
        most = limits.IN_FLIGHT_EVENTS_MAX
        if (known := self.members.get(member)) is not None:
            known.credit = max(-most, min(known.credit + more, most))

    # ------------------------------------------------------------------------------------------ reading

    @property
    def room(self) -> int:
        """Events that may still be read before some are settled."""
        return limits.GROUP_IN_FLIGHT_MAX - len(self._works)

    def wants(self) -> tuple[int, int] | None:
        """(offset to read from, how many matching events are of use), or None."""
        members = self.members.values() if self.active is None else self.active.takers()
        free = sum(max(0, member.credit) for member in members) - self._ready_count
        return (self.cursor, most) if (most := min(free, self.room)) > 0 else None

    def feed(
        self,
        base_offset: int,
        count: int,
        rows: Sequence[int],
        appended: int,
        now: int,
        expires: Mapping[int, int] | None = None,
        tags: Mapping[int, int] | None = None,
    ) -> int:
        """Read one batch of `count` committed events from `base_offset`, appended at `appended` (ns).

        `rows`: ascending, those that are meant for the group; all others are passed. `expires`: row -> ns. `tags`: row
        -> tag (`bus.keys`), for a strict group. Gives the new cursor, which stands within the batch when there is no
        room for more. A batch that begins beyond the cursor would skip what lies between, and is a ValueError.
        """
        if base_offset > self.cursor:
            raise ValueError(f"group {self.name} stands at {self.cursor}: a batch from {base_offset} on would skip")
        room = self.room
        for row in rows:
            offset = base_offset + row
            if offset < self.cursor:
                continue
            if not room:
                self.cursor = offset
                return offset
            room -= 1
            work = Work(offset, Open(appended, expires.get(row, 0) if expires else 0, tag=tags[row] if tags else 0))
            self._log.read(offset)
            self._take(work, now)
        self.cursor = max(self.cursor, base_offset + count)
        return self.cursor

    def trimmed(self, first_offset: int, now: int) -> None:
        """The log begins at `first_offset` now, and so does what is unread. To be called again while `floor` is below:
        what members hold, or may report, they may still settle, and strict keys go on one by one."""
        passed = max(0, first_offset - self.cursor)
        self.cursor += passed
        for work in (gone := groupwork.undeliverable(self._works.values(), first_offset, self.reporting(now))):
            self._dead.pop(work.offset, None)
            self._close(work, groupwork.TRIMMED)
        self._log.changed |= bool(passed or gone)
        self._figures.trimmed += passed + len(gone)
        if self._lines is not None and passed:
            self._lines.leap()

    def reporting(self, now: int) -> bool:
        """Whether members may still report what an earlier leader delivered to them."""
        return now < self._reports_until

    # ------------------------------------------------------------------------------------------ delivering

    def deliveries(self, now: int) -> list[tuple[str, int, int]]:
        """(member, offset, attempt) of what is to be sent now: each member with credit gets an equal share, ascending.

        See `groupwork.takers` for who comes first. A slow member slows only itself.
        """
        free = groupwork.takers(self.members.values()) if self.active is None else self.active.takers()
        if self.reporting(now) or not self._ready_count or (self._lines is not None and self._lines.leaping):
            return []
        offsets = self._next_ready(sum(member.credit for member in free), now)
        dealt = []
        for member, offset in groupwork.deal(free, offsets):
            work = self._works[offset]
            self._hold(work, member, work.attempt + 1, now, begun=self.active is None)
            member.credit -= 1
            self._served += 1
            member.served = self._served
            dealt.append((member.name, offset, work.attempt))
        self._figures.delivered += len(dealt)
        return dealt

    def tick(self, now: int) -> None:
        """Let deadlines pass: nacks' delays, and `ack_wait` of what is held."""
        for work in self._timers.due(now):
            if work.phase == DELAYED:
                self._move(work, READY)
            else:
                if work.member in self.members:
                    self.members[work.member].lapsed = True
                self._over(work, TIMED_OUT, f"no ack within {self.settings.ack_wait_ms} ms", now)

    def next_deadline(self, now: int) -> int | None:
        """When `tick`, or deliveries after the reports, are due (ns); None: not before something happens."""
        due = self._timers.next()
        if self.reporting(now):
            return min(due, self._reports_until) if due else self._reports_until
        return due

    # ------------------------------------------------------------------------------------------ settling

    def settle(self, member: str, items: Sequence[Settlement], now: int) -> dict[int, str]:
        """What became of deliveries. Gives the offsets whose settlement is refused, with why; the others hold."""
        stale: dict[int, str] = {}
        if member in self.members and any(item.verdict != BEGIN for item in items):
            self.members[member].lapsed = False
        for item in items:
            if why := self._settle(member, item, now):
                stale[item.offset] = why
        return stale

    def dead(self, most: int) -> list[Dead]:
        """At most `most` events whose dead letter is to be appended, the first to die first."""
        return [groupwork.dying(self._works[offset], reason) for offset, reason in islice(self._dead.items(), most)]

    def bury(self, offsets: Iterable[int]) -> None:
        """The dead letters of these go into the record that the next delta goes into."""
        for offset in offsets:
            reason = self._dead.pop(offset, None)
            if reason is not None:
                self._figures.dead += 1
                remember(self._buried, [offset])
                work = self._works[offset]
                if self.settings.park and reason != "parked":
                    self._parked.died(work.entry.tag)
                self._close(work, work.entry.history[-1].how if work.entry.history else reason, buried=True)

    # ------------------------------------------------------------------------------------------ the durable side

    @property
    def floor(self) -> int:
        """All events below it are settled here; of the committed state, ask that."""
        return next(iter(self._works), self.cursor)

    def progress(self, high_offset: int) -> tuple[int, bool]:
        """For orders that span partitions: below which offset all is settled, committed; and whether more is coming."""
        floor = self._lines.floor(self.floor) if isinstance(self._lines, groupactive.Floors) else self.floor
        return floor, self._ready_count > 0 or self.cursor < high_offset

    def delta(self) -> Delta | None:
        """What is to be logged since the last `logged()`; None: nothing worth a record."""
        return self._log.delta(self.cursor, self._works)

    def logged(self, index: int = -1) -> None:
        """The `delta()` that was made just now was appended, in record `index`. There may be more (`unlogged`)."""
        self._log.logged(self.cursor)
        if self._lines is not None:
            self._lines.logged(index)

    def committed(self, upto: int, now: int) -> None:
        """Records below `upto` are committed: keys whose event they settled go on."""
        for offset in self._lines.committed(upto) if self._lines is not None else ():
            self._admit(self._works[offset], now)

    @property
    def unlogged(self) -> bool:
        """Whether a settlement is not in the log yet: its delta was not appended, or its dead letter is due."""
        return self._log.changed or bool(self._dead)

    def state(self) -> GroupState:
        """The state that all deltas add up to once they are logged."""
        entries = {offset: work.entry for offset, work in self._works.items()}
        return GroupState(self.name, self.settings, self.cursor, entries, self._buried, self._parked.keys()).copy()

    def sample(self, partition: int, high_offset: int, soon: int = 0) -> GroupSample:
        """The figures since the last sample. Committed events end at `high_offset`; those below `soon` are to go."""
        figures, self._figures = self._figures, Figures()
        return figures.sample(
            *(self.name, partition, self.settings.pattern, len(self.members)),
            (self.floor, max(0, high_offset - self.cursor), len(self._works)),
            self._works[self.floor].entry.appended if self._works else 0,
            max(0, min(soon, high_offset) - self.cursor),
        )

    # ------------------------------------------------------------------------------------------ transitions

    def _take(self, work: Work, now: int) -> None:
        """An event enters: read just now, or restored."""
        self._works[work.offset] = work
        if self._lines is None or self._lines.add(work.offset, work.entry.tag):
            self._admit(work, now)
        else:
            work.phase = WAITING

    def _admit(self, work: Work, now: int) -> None:
        entry = work.entry
        if entry.history and entry.history[-1].how == TERMINATED:
            self._die(work, "terminated")
        elif entry.attempt - entry.spared >= self.settings.max_deliver:
            self._die(work, "max_deliver")
        elif 0 < entry.expires <= now:
            self._die(work, "expired")
        elif self._lines is not None and entry.tag in self._parked:
            self._die(work, "parked")
        else:
            self._wait(work, now)

    def _wait(self, work: Work, now: int) -> None:
        if work.entry.due > now:
            self._move(work, DELAYED)
            self._timers.set(work.entry.due, work)
        else:
            self._move(work, READY)

    def _hold(self, work: Work, member: Member, attempt: int, now: int, begun: bool = True) -> None:
        self._move(work, HELD)
        work.attempt = attempt
        work.member = member.name
        work.since = now
        work.timer = 0
        member.held[work.offset] = None
        if begun:
            self._begin(work, now)

    def _begin(self, work: Work, now: int) -> str:
        self._timers.set(now + self.settings.ack_wait_ms * _MS, work)
        return ""

    def _move(self, work: Work, phase: str) -> None:
        """The one place where a phase changes."""
        if work.phase == READY:
            self._ready_count -= 1
        elif work.phase == HELD and work.member in self.members:
            self.members[work.member].held.pop(work.offset, None)
        if phase == READY:
            self._ready_count += 1
            self._ready.push(work.offset, work.entry.tag)
        work.phase = phase

    def _die(self, work: Work, reason: str) -> None:
        self._move(work, DEAD)
        self._dead[work.offset] = reason

    def _over(self, work: Work, how: str, error: str, now: int, due: int = 0) -> None:
        """The current attempt failed."""
        entry = work.entry
        self._log.failed(work.fails(how, error, now, due))
        self._figures.failed += 1
        if how == TERMINATED or entry.attempt - entry.spared >= self.settings.max_deliver:
            self._die(work, "terminated" if how == TERMINATED else "max_deliver")
        else:
            self._wait(work, now)

    def _close(self, work: Work, how: str, buried: bool = False) -> None:
        """Settled for good."""
        self._move(work, "")
        offset = work.offset
        del self._works[offset]
        if self._lines is not None:
            self._lines.settled(offset, work.entry.tag)
        self._log.settled(offset, buried)
        self._settled.note(work, how)

    def _settle(self, member: str, item: Settlement, now: int) -> str:
        if (item.verdict != "ack" or item.delay_ms) and (why := groupwork.why_impossible(item)):
            return why
        work = self._works.get(item.offset)
        if work is None:
            return self._settled_already(member, item)
        current = work.phase == HELD and work.member == member and work.attempt == item.attempt
        if item.verdict == BEGIN:
            return self._begin(work, now) if current else work.why_stale(member, item)
        if not current and self.reporting(now) and work.claim(item.attempt):
            work.attempt, work.member, work.since = item.attempt, member, now
            current = True
        if not current and (item.verdict != "ack" or not work.settles_late(member, item.attempt)):
            return work.why_stale(member, item)
        if item.verdict == "ack":
            self._figures.ack(now - work.entry.appended)
            if self._lines is not None:
                self._parked.acked(work.entry.tag)
            self._close(work, item.verdict)
        else:
            due = now + item.delay_ms * _MS if item.verdict == NACKED and item.delay_ms else 0
            self._over(work, item.verdict, item.error, now, due)
        return ""

    def _settled_already(self, member: str, item: Settlement) -> str:
        if (why := self._settled.why_stale(member, item, self.cursor)) is not None:
            return why
        # Settled under an earlier leader, most likely by this very settlement, whose answer was lost with that leader.
        repeated = item.verdict == "ack" and item.offset < self._restored_upto and item.offset not in self._buried
        return "" if repeated else f"event {item.offset} is settled, or was not meant for group {self.name}"

    def _next_ready(self, most: int, now: int) -> list[int]:
        fresh, expired = groupwork.next_ready(self._ready, self._works, most, now)
        for work in expired:
            self._die(work, "expired")
        return fresh
