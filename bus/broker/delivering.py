"""Groups at a broker: members' messages to the machines, the machines' changes to the log, events to the members.

| when | what |
|---|---|
| Join | a new group's definition is logged, and its members come in when that is committed; others come in at once |
| Settle | the machine decides; answered when the record that holds the change is committed |
| ChangeGroup | settings: as with a Settle, and members hear; removal: halted, logged, gone when committed |
| a turn, before its commit | deadlines; each dead letter with its companion; one GROUP record per partition |
| a record commits, anywhere | `apply`: the committed state moves, on every replica; here, answers become due |
| a turn, after its commit | read on as far as credit reaches; deliver |
| leadership won, lost | machines are made from the committed state; forgotten, and every member told |

A turn visits the groups that are awake (`bus.broker.ledpartition`), not all that there are.

The machines' clock is the wall's, made to never go back: delays of nacks outlive a leader.
"""

import logging
from typing import Any

from msgspec.structs import replace

from bus import limits, wire
from bus.batch import unseal
from bus.broker.access import authorise, unknown
from bus.broker.changing import Changing
from bus.broker.cutting import Cutter
from bus.broker.deadlines import Deadlines
from bus.broker.ledgroup import LedGroup, Membership
from bus.broker.ledpartition import LedPartition
from bus.broker.ports import Ground
from bus.companion import Companion
from bus.errors import ClientError, CorruptRecord, FleetError, NotLeader, ProtocolError, code_of
from bus.group import Group
from bus.groupsettings import check_settings
from bus.groupstate import Delta, encode_deltas
from bus.record import GROUP
from bus.runs import pairs
from bus.session import Session
from bus.store import Entry

log = logging.getLogger("bus.broker")
_MS = 1_000_000
_INSTANT_MAX = (1 << 63) - 1


class Delivering:
    """All groups of one broker; see `bus.broker.ports.Consumers` for when the loop calls what."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._clock = 0
        self._cutter = Cutter()
        self._changing = Changing(ground, self._dismiss)
        self._companions = [Companion() for _ in range(ground.partitions + limits.RESERVED_PARTITIONS)]
        self._led: dict[int, LedPartition] = {}
        self._sessions: dict[Session, dict[int, Membership]] = {}
        self._deadlines = Deadlines()
        self._busy = False
        self._turn = 0
        self._sampled = 0

    # ------------------------------------------------------------------------------------------ peers

    def on_message(self, session: Session, message: Any, now: int) -> None:
        """A member's message. Raises what is wrong with it, for a Fault."""
        at = self._now()
        match message:
            case wire.Join():
                self._join(session, message, at)
            case wire.Settle():
                self._settle(session, message, at)
            case wire.Credit(subscription=subscription, more=more):
                membership = self._sessions.get(session, {}).get(subscription)
                group = self._group(membership, at)
                if membership is not None and group is not None:
                    group.group.credit(membership.member, more)
            case wire.ChangeGroup(partition=partition):
                self._changing.take(self._leading(partition), session, message, at)
            case wire.Leave(subscription=subscription):
                self._exit(session, subscription, at, lost=False)
            case _:
                raise ProtocolError(f"{type(message).__name__} is not for groups")

    def knows(self, session: Session, subscription: int) -> bool:
        """Whether it is a member's."""
        return subscription in self._sessions.get(session, {})

    def on_session_end(self, session: Session) -> None:
        """What its members held is ready for others."""
        at = self._now()
        for subscription in list(self._sessions.get(session, {})):
            self._exit(session, subscription, at, lost=True)
        self._sessions.pop(session, None)

    def members(self) -> int:
        """Members of all groups, each counted at each partition."""
        return sum(len(own) for own in self._sessions.values())

    # ------------------------------------------------------------------------------------------ the log

    def restore(self, partition: int, blob: bytes) -> None:
        """Back to a snapshot. Raises CorruptRecord."""
        self._companions[partition] = Companion.restore(blob)

    def snapshot(self, partition: int) -> bytes:
        """The groups of a partition as committed."""
        return self._companions[partition].snapshot()

    def apply(self, partition: int, index: int, entry: Entry) -> None:
        """A record is committed. Raises CorruptRecord when its deltas do not fit: this log is not what was appended."""
        payload = unseal(entry.record)[1] if entry.header.kind == GROUP else entry.header.companion
        moved = self._companions[partition].apply(index, payload)
        led, at = self._led.get(partition), self._now()
        if led is None:
            return
        self._changing.committed(led)
        for name in moved:
            group = led.groups.get(name)
            if group is not None and group.going:
                if name not in self._companions[partition].groups:
                    self._changing.end(led, group)
            elif group is not None and not group.defined:
                group.defined = True
                led.wake(group, at)
                joining, group.joining = group.joining, []
                for membership, join in joining:
                    group.enter(membership, join, at)
        for group in [group for group in led.uncommitted if group.logged_at <= index]:
            del led.uncommitted[group]
            led.wake(group, at)
            group.answer(index + 1, at)

    def on_lead(self, partition: int, now: int) -> None:
        """Go on from what is committed."""
        at = self._now()
        led = self._led[partition] = LedPartition(self._ground, partition, self._companions[partition])
        groups = [
            LedGroup(self._ground, self._cutter, partition, Group(state, at), defined=True)
            for state in self._companions[partition].groups.values()
        ]
        for group in groups:
            group.pass_trimmed(at)
            self._deadlines.schedule(group, at)
        led.lead(groups)

    def on_lost(self, partition: int, why: str) -> None:
        """Members have to look for the next leader; what they settled and was not answered they say again there."""
        if (led := self._led.pop(partition, None)) is not None:
            self._changing.deposed(led, why)
        self._deadlines.drop(partition)
        for session, own in self._sessions.items():
            for membership in [one for one in own.values() if one.partition == partition]:
                del own[membership.subscription]
                self._ground.fault(session, membership.subscription, "NotLeader", why)

    # ------------------------------------------------------------------------------------------ the turn

    def pump(self, now: int) -> None:
        """Deadlines pass; what changed is appended."""
        at = self._now()
        dead = limits.GROUP_TURN_DEAD_MAX
        for group in self._deadlines.passed(at):
            self._led[group.partition].wake(group, at)
        for partition, led in self._led.items():
            led.pass_trimmed(at)
            self._changing.log(led, at)
            passed = led.passed(at)
            if not led.awake and passed is None:
                continue
            for group in led.awake:
                group.group.tick(at)
                group.pass_trimmed(at)
            if at < led.retry_at or (passed is None and at < led.gathers_until(at, self._uncommitted)):
                continue
            try:
                for group in list(led.awake):
                    dead -= self._bury(group, dead, at)
                self._log(led, passed)
            except FleetError as error:
                # Nothing is lost: it stays in the machines, and their members are not answered before it is logged.
                log.info("changes of groups of partition %d wait: %s", partition, error)
                led.retry_at = at + limits.GROUP_RETRY_MS * _MS
            applied = self._companions[partition].applied
            for group in led.awake:
                group.attach()
                group.answer(applied, at)
                if group.logged_at >= applied:
                    led.uncommitted[group] = None

    def deliver(self, now: int) -> None:
        """Look through what is committed, read on, and send what is due."""
        at = self._now()
        room = limits.GROUP_TURN_READ_BYTES_MAX
        for led in self._led.values():
            room -= led.look_through(room, at)
        groups = [(group, led) for led in self._led.values() for group in led.awake]
        self._turn += 1
        first = self._turn % len(groups) if groups else 0
        for group, led in (*groups[first:], *groups[:first]):
            try:
                room -= group.read(room, at)
                group.deliver(at)
            except CorruptRecord as error:
                self._break(group, error)
            led.rest(group)
            self._deadlines.schedule(group, at)
        self._busy = room <= 0 or any(led.behind for led in self._led.values())

    def next_due(self, now: int) -> int | None:
        """When the loop must turn, on its own clock."""
        if self._busy:
            return now
        at = self._now()
        dues = [
            max(at, led.retry_at, led.gathers_until(at, self._uncommitted))
            for led in self._led.values()
            if any(group.group.unlogged for group in led.awake)
        ] + [max(at, led.retry_at) for led in self._led.values() if led.going or led.noting]
        if (deadline := self._deadlines.next(at)) is not None:
            dues.append(deadline)
        return now + max(0, min(dues) - at) if dues else None

    def samples(self, now: int) -> list[wire.GroupSample]:
        """Figures of every group led here since the last call."""
        at = self._now()
        groups = [(group, led) for led in self._led.values() for group in led.brought_up(at)]
        self._sampled += 1
        first = self._sampled % len(groups) if groups else 0
        room = limits.GROUP_SAMPLE_READ_BYTES_MAX
        for group, led in (*groups[first:], *groups[:first]):
            if room > 0 and group.may_look:
                room -= max(limits.GROUP_SAMPLE_READ_BYTES_MIN, self._look(group, led, room, at))
        return [group.sample() for group, _ in groups]

    # ------------------------------------------------------------------------------------------ private

    @property
    def _uncommitted(self) -> bool:
        return any(led.uncommitted for led in self._led.values())

    def _now(self) -> int:
        self._clock = max(self._clock, self._ground.clock_ns())
        return self._clock

    def _leading(self, partition: int) -> LedPartition:
        if partition not in self._led or not self._ground.leads(partition):
            raise NotLeader(f"{self._ground.broker} does not lead partition {partition}; ask the topology")
        return self._led[partition]

    def _group(self, membership: Membership | None, at: int) -> LedGroup | None:
        """The member's group, awake."""
        led = self._led.get(membership.partition) if membership is not None else None
        group = led.groups.get(membership.group) if led is not None and membership is not None else None
        if led is not None and group is not None:
            led.wake(group, at)
        return group

    def _join(self, session: Session, join: wire.Join, at: int) -> None:
        partition, settings = join.partition, replace(join.settings, governed=())
        join = replace(join, settings=settings)
        if not 0 <= partition < self._ground.partitions:
            raise unknown(partition, self._ground.partitions)
        check_settings(join.group, settings)
        if not 0 < len(join.member) <= limits.GROUP_NAME_CHARS_MAX:
            raise ClientError(f"member: a name of {len(join.member)} characters; 1 to {limits.GROUP_NAME_CHARS_MAX}")
        if not -1 <= settings.start <= _INSTANT_MAX:
            raise ClientError(f"start: {settings.start} is no instant; ns since 1970, or -1 for the earliest event")
        if not 0 <= join.since <= _INSTANT_MAX:
            raise ClientError(f"since: {join.since} is no instant; ns since 1970")
        authorise(session.principal, "subscribe", settings.pattern)
        led = self._leading(partition)
        own = self._sessions.setdefault(session, {})
        if len(own) >= limits.GROUP_MEMBERSHIPS_PER_SESSION_MAX:
            raise ClientError(f"{len(own)} memberships in one session; leave some")
        group = led.found(join, self._cutter, at)
        self._exit(session, join.subscription, at, lost=False)
        self._oust(group, join.member)
        membership = Membership(session, join.subscription, partition, join.group, join.member)
        own[join.subscription] = membership
        if group.defined:
            group.enter(membership, join, at)
        else:
            group.joining.append((membership, join))

    def _oust(self, group: LedGroup, member: str) -> None:
        """The same member on another session, which may not have ended yet: what it holds it keeps."""
        known = [group.members.get(member), *(one for one, _ in group.joining if one.member == member)]
        group.joining = [(one, join) for one, join in group.joining if one.member != member]
        for one in known:
            if one is not None:
                self._sessions.get(one.session, {}).pop(one.subscription, None)

    def _exit(self, session: Session, subscription: int, at: int, lost: bool) -> None:
        membership = self._sessions.get(session, {}).pop(subscription, None)
        group = self._group(membership, at)
        if membership is not None and group is not None:
            group.exit(membership, at, lost)

    def _settle(self, session: Session, settle: wire.Settle, at: int) -> None:
        if len(settle.items) > limits.SETTLE_ITEMS_MAX:
            raise ProtocolError(f"a Settle of {len(settle.items)} items; {limits.SETTLE_ITEMS_MAX} are legal")
        try:
            pairs(settle.acks, limits.SETTLE_ACKS_MAX)
        except ValueError as error:
            raise ProtocolError(f"a Settle's acks: {error}") from None
        membership = self._sessions.get(session, {}).get(settle.subscription)
        group = self._group(membership, at)
        if membership is None or group is None or membership.partition != settle.partition:
            raise NotLeader(f"partition {settle.partition}: no member here under {settle.subscription}; join again")
        group.settle(membership, settle, at)

    def _bury(self, group: LedGroup, most: int, at: int) -> int:
        try:
            return group.bury(most, at)
        except CorruptRecord as error:
            self._break(group, error)
            return 0

    def _log(self, led: LedPartition, passed: Delta | None) -> None:
        """Append what changed, all groups of a partition in one record where it is not too large. `passed`: that
        sleeping ones advanced."""
        ready = [group for group in led.awake if not group.broken and not group.burying]
        found = [(group, delta) for group in ready if (delta := group.group.delta()) is not None]
        deltas = [delta for _, delta in found] + ([passed] if passed is not None else [])
        led.gathers_from = None
        if not deltas:
            return
        payload = encode_deltas(deltas)
        if len(payload) > limits.GROUP_RECORD_BYTES_MAX:
            for group, delta in found:
                group.logged(self._ground.append_group(led.partition, encode_deltas([delta])))
            if passed is not None:
                self._ground.append_group(led.partition, encode_deltas([passed]))
        else:
            index = self._ground.append_group(led.partition, payload)
            for group, _ in found:
                group.logged(index)
        if passed is not None:
            led.logged(passed.upto)

    def _look(self, group: LedGroup, led: LedPartition, room: int, at: int) -> int:
        """Count what a group has not read; one that gets on may sleep after the next turn."""
        before = group.group.cursor
        try:
            return group.look(room, at)
        except CorruptRecord as error:
            self._break(group, error)
            return 0
        finally:
            if group.group.cursor > before:
                led.wake(group, at)

    def _break(self, group: LedGroup, error: CorruptRecord) -> None:
        """The group cannot go on here; its members hear why, and so does the log."""
        group.broken = f"group {group.group.name} stands still at partition {group.partition}: {error}"
        log.error("%s", group.broken)
        self._led[group.partition].rest(group)
        for membership in group.members.values():
            self._dismiss(membership, code_of(error), group.broken)
        group.members.clear()

    def _dismiss(self, membership: Membership, code: str, why: str) -> None:
        if self._sessions.get(membership.session, {}).pop(membership.subscription, None) is not None:
            self._ground.fault(membership.session, membership.subscription, code, why)
