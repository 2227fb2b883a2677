"""One group at one partition that is led here: its machine, its members' sessions, and the log between them.

What a settlement changed goes into the log with the turn's delta, and is answered when that record is committed. A
dead letter is appended with the delta that buries its event as its companion; until that has worked nothing else of the
group is appended.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from bus import limits, wire
from bus.bitmap import packed, places
from bus.broker.ahead import Ahead, pass_to
from bus.broker.cutting import Cutter
from bus.broker.deadletter import dead_letter
from bus.broker.meant import Meant, tags
from bus.broker.ports import Ground
from bus.errors import CorruptRecord, InsufficientReplicas
from bus.event import Event
from bus.group import Group
from bus.groupactive import Active
from bus.groupstate import encode_deltas
from bus.record import EVENTS
from bus.runs import pairs
from bus.session import Session
from bus.store import Entry

log = logging.getLogger("bus.broker")


class Membership(NamedTuple):
    """A member of a group at a partition, as its session knows it."""

    session: Session
    subscription: int
    partition: int
    group: str
    member: str


Told = wire.Settled | wire.GroupChanged | wire.Governed
"""What is told when the records that hold it are committed."""


class Answer(NamedTuple):
    """What is due when record `record` is committed."""

    record: int
    session: Session
    told: Told


class LedGroup:
    """See the module. `logged_at`: the index of the last record with something of it, -1 for none under this leader.

    `defined`: its definition is committed. `broken`: why it cannot go on here; "" while it can. `asleep`: see
    `bus.broker.ledpartition`. `due`: when it is to be woken for a deadline (ns). `going`: the number of an operator's
    decision that removes it, 0 for none.
    """

    def __init__(self, ground: Ground, cutter: Cutter, partition: int, group: Group, defined: bool) -> None:
        self.group = group
        self.partition = partition
        self.members: dict[str, Membership] = {}
        self.joining: list[tuple[Membership, wire.Join]] = []
        self.defined = defined
        self.broken = ""
        self.logged_at = -1
        self.asleep = False
        self.going = 0
        self.due: int | None = None
        self._ground = ground
        self._cutter = cutter
        self._meant = Meant(group.name, group.settings.pattern)
        self._ahead = Ahead(ground, partition, group, self._meant)
        self._unlogged: list[tuple[Session, Told]] = []
        self._answers: deque[Answer] = deque()
        self._letter: Event | None = None
        self._warned = False
        self._told: dict[Membership, wire.Progress] = {}

    # ------------------------------------------------------------------------------------------ members

    def enter(self, membership: Membership, join: wire.Join, now: int) -> None:
        """A member joins, and is told so; one of the same name has it from now on."""
        if join.holds and self.group.reporting(now):
            self._read_past(max(join.holds), now)
        self.members[membership.member] = membership
        self.group.join(membership.member, join.credit, now, join.holds, join.since)
        governed = self.group.settings if self.group.settings.governed else None
        known = membership.subscription, self.group.name, self.partition, self.group.floor, governed
        self._ground.send(membership.session, wire.Joined(*known, self.group.definition))

    def exit(self, membership: Membership, now: int, lost: bool) -> None:
        """A member goes, unless another one has its name by now."""
        self.joining = [(other, join) for other, join in self.joining if other is not membership]
        if self.members.get(membership.member) is membership:
            del self.members[membership.member]
            self.group.leave(membership.member, now, lost)

    def settle(self, membership: Membership, settle: wire.Settle, now: int) -> None:
        """Take settlements; the answer waits for the record that holds them. Raises InsufficientReplicas."""
        if len(self._unlogged) + len(self._answers) >= limits.GROUP_SETTLES_WAITING_MAX:
            raise InsufficientReplicas(
                f"group {self.group.name} owes {limits.GROUP_SETTLES_WAITING_MAX} answers at partition "
                f"{self.partition}, until its replicas have what is settled; nothing was settled now, retry later"
            )
        if self.going:  # nothing of it is logged any more: answered when it is gone
            self._unlogged.append((membership.session, wire.Settled(settle.request, {})))
            return
        acks = pairs(settle.acks, limits.SETTLE_ACKS_MAX)
        if self.group.reporting(now) and (settle.items or acks):
            last = [first + length - 1 for first, length in acks[-1:]]
            self._read_past(max([*last, *[item.offset for item in settle.items]]), now)
        stale = self.group.settle(membership.member, settle.items, now, acks)
        self._unlogged.append((membership.session, wire.Settled(settle.request, stale)))

    # ------------------------------------------------------------------------------------------ operators

    def change(self, session: Session, request: int, settings: wire.GroupSettings) -> None:
        """Other settings hold from now on; the plane, who asks in `session`, and the members hear when that is
        committed."""
        self.group.change(settings)
        self._unlogged.append((session, wire.GroupChanged(request, self.partition, True)))
        for one in self.members.values():
            self._unlogged.append((one.session, wire.Governed(one.subscription, self.partition, settings)))

    def goes(self, session: Session, request: int) -> None:
        """It is to be removed, and stands still until that is committed (`gone`); the plane hears of it then."""
        self._unlogged.append((session, wire.GroupChanged(request, self.partition, True)))

    def gone(self, why: str) -> list[Membership]:
        """It is removed: whoever waits for an answer hears of it. Gives the members, who are still to be told."""
        for session, told in self._unlogged:
            if isinstance(told, wire.Settled):
                self._ground.fault(session, told.request, "GroupRemoved", why)
            elif isinstance(told, wire.GroupChanged):
                self._ground.send(session, told)
        return [*self.members.values(), *[membership for membership, _ in self.joining]]

    def deposed(self, why: str) -> None:
        """Leadership is gone: a plane that waits has to ask the next leader. Members hear it by their sessions."""
        for session, told in [*self._unlogged, *[(one.session, one.told) for one in self._answers]]:
            if isinstance(told, wire.GroupChanged):
                self._ground.fault(session, told.request, "NotLeader", why)

    # ------------------------------------------------------------------------------------------ the log

    def pass_trimmed(self, now: int) -> None:
        """Move over what retention has removed from the log."""
        first = self._ground.first_offset(self.partition)
        if first > self.group.floor:
            before = self.group.cursor
            self.group.trimmed(first, now)
            if self.group.cursor > before:
                self._ahead.begin()

    def bury(self, most: int, at: int) -> int:
        """Append at most `most` dead letters, each with what it changes here; gives how many. Raises FleetError."""
        done = 0
        while done < most:
            if self._letter is None:
                dead = next(iter(self.group.dead(1)), None)
                if dead is None:
                    break
                entry = self._entry(dead.offset)
                self._letter = dead_letter(self._ground.broker, self.group.name, dead, entry, at)
                self.group.bury([dead.offset])
            delta = self.group.delta()
            companion = encode_deltas([delta] if delta is not None else [])
            index = self._ground.append_event(self.partition, self._letter, companion)
            self._letter = None
            self.logged(index)
            done += 1
        return done

    @property
    def burying(self) -> bool:
        """Whether a dead letter holds up what else there is to log."""
        return self._letter is not None

    def logged(self, index: int) -> None:
        """The group's delta is in record `index`."""
        self.group.logged(index)
        self.logged_at = index

    def attach(self) -> None:
        """Settlements that are all in the log wait for its commit from now on."""
        if self._unlogged and not self.group.unlogged:
            self._answers.extend(Answer(self.logged_at, session, told) for session, told in self._unlogged)
            self._unlogged.clear()

    def answer(self, applied: int, now: int) -> None:
        """Records below `applied` are committed: tell who waits for them, and let their keys go on."""
        self.group.committed(applied, now)
        while self._answers and self._answers[0].record < applied:
            _, session, told = self._answers.popleft()
            self._ground.send(session, told)

    # ------------------------------------------------------------------------------------------ events

    def read(self, room: int, now: int) -> int:
        """Read on as far as the members' credit reaches and `room` bytes go; gives the bytes. Raises CorruptRecord."""
        return self._read_on(
            self._ground.high_offset(self.partition), room, lambda: self.group.wants() is not None, now
        )

    def deliver(self, now: int) -> None:
        """Send what is ready to who has credit. Raises CorruptRecord."""
        if self.group.active is not None:
            self.group.active.member()  # what it takes back from other members may be gone by now
        self.pass_trimmed(now)
        entry: Entry | None = None
        to, bits = "", 0
        attempts: dict[int, int] = {}
        for dealt in self.group.deal(now):
            left = dealt.bits
            while left:
                first = dealt.base + (left & -left).bit_length() - 1
                if entry is None or not 0 <= first - entry.header.base_offset < entry.header.count:
                    self._send(to, entry, bits, attempts)
                    entry, bits, attempts = self._entry(first), 0, {}
                shift = dealt.base - entry.header.base_offset
                rows = (left << shift if shift > 0 else left >> -shift) & (1 << entry.header.count) - 1
                left ^= rows >> shift if shift > 0 else rows << -shift
                if dealt.member != to or (rows & -rows).bit_length() <= bits.bit_length():
                    self._send(to, entry, bits, attempts)
                    to, bits, attempts = dealt.member, 0, {}
                bits |= rows
                if dealt.attempt != 1:
                    attempts |= dict.fromkeys(places(rows), dealt.attempt)
        self._send(to, entry, bits, attempts)
        if self.group.active is not None:
            self._tell(self.group.active)

    def pass_to(self, offset: int, now: int) -> None:
        """Nothing is meant for the group from where it stands up to `offset`."""
        pass_to(self.group, offset, now)

    def look(self, room: int, now: int) -> int:
        """Count what is meant for it of what it has not read; see `Ahead.look`."""
        self.pass_trimmed(now)
        return self._ahead.look(room, now)

    @property
    def may_look(self) -> bool:
        """Whether a look could tell more: a sleeping group has its partition looked through for it."""
        return self.defined and not self.broken and not self.asleep and self._ahead.may_look

    @property
    def unread(self) -> int:
        """Events that are meant for it and not read; all there are if it is broken, which cannot look."""
        if self.broken:
            return max(0, self._ground.high_offset(self.partition) - self.group.cursor)
        return self._ahead.unread

    def sample(self) -> wire.GroupSample:
        """Figures since the last one; the oldest event may be one that nobody has read."""
        soon = self._ground.soon_trimmed(self.partition)
        sample = self.group.sample(self.partition, self.unread, soon)
        if sample.endangered and not self._warned:
            log.warning(
                "group %s has not read %d events of partition %d that retention is about to trim, below offset %d",
                *(self.group.name, sample.endangered, self.partition, soon),
            )
        self._warned = sample.endangered > 0
        if sample.trimmed:
            log.warning(
                "group %s lost %d events of partition %d to retention, which keeps those from offset %d on; "
                "let it keep more, or give the group more members",
                *(self.group.name, sample.trimmed, self.partition, self._ground.first_offset(self.partition)),
            )
        if sample.oldest or not sample.waiting:
            return sample
        try:
            unread = self._ground.read(self.partition, self.group.cursor, 1)
        except CorruptRecord:  # who reads on breaks of it, and has said so, or will
            unread = []
        return replace(sample, oldest=unread[0].header.appended if unread else 0)

    # ------------------------------------------------------------------------------------------ private

    def _tell(self, active: Active) -> None:
        """Tell each member how far the partition is, if that is news to it."""
        high, works = self._ground.high_offset(self.partition), active.member()
        floor, coming = self.group.progress(high)
        before, self._told = self._told, {}
        for membership in list(self.members.values()):
            mine = works is not None and works.name == membership.member
            progress = wire.Progress(
                membership.subscription, self.partition, floor, floor < high, mine, mine and coming
            )
            self._told[membership] = progress
            if before.get(membership) != progress:
                self._ground.send(membership.session, progress)

    def _read_past(self, offset: int, now: int) -> None:
        """A member speaks of what an earlier leader gave it: read so far, if there is room; a turn's worth at most."""
        upto = min(offset + 1, self._ground.high_offset(self.partition))
        self._read_on(upto, limits.GROUP_TURN_READ_BYTES_MAX, lambda: self.group.room > 0, now)

    def _read_on(self, upto: int, bytes_max: int, more: Callable[[], bool], now: int) -> int:
        """Read below `upto` while `more()`; the bytes. Stops after the record that goes beyond `bytes_max`."""
        taken = 0
        while taken < bytes_max and self.group.cursor < upto and more():
            wanted = min(bytes_max - taken, limits.GROUP_READ_BYTES)
            entries = self._ground.read(self.partition, self.group.cursor, wanted)
            if not entries:
                break
            for entry in entries:
                if more():
                    taken += len(entry.record)
                    self._feed(entry, now)
        return taken

    def _feed(self, entry: Entry, now: int) -> None:
        header = entry.header
        if header.kind != EVENTS or header.base_offset + header.count <= self.group.cursor:
            return
        bits, expires = self._meant.rows(entry)
        known = tags(entry, places(bits)) if bits and self.group.settings.order == "strict" else None
        start = self.group.cursor
        end = self.group.feed(header.base_offset, header.count, bits, header.appended, now, expires, known)
        if self._ahead.counted:
            self._ahead.read(start, end, bits >> start - header.base_offset)

    def _entry(self, offset: int) -> Entry:
        for entry in self._ground.read(self.partition, offset, 1):
            header = entry.header
            if header.kind == EVENTS and header.base_offset <= offset < header.base_offset + header.count:
                return entry
        raise CorruptRecord(f"partition {self.partition}: event {offset} of group {self.group.name} is not in the log")

    def _send(self, to: str, entry: Entry | None, bits: int, attempts: dict[int, int]) -> None:
        if entry is None or not bits:
            return
        membership = self.members[to]
        for record, first, count, meant in self._cutter.cut(entry, bits):
            again = {row - first: attempt for row, attempt in attempts.items() if first <= row < first + count}
            told = wire.Deliver(membership.subscription, self.partition, packed(meant, count), again)
            if not self._ground.send(membership.session, told, [record]):
                return
