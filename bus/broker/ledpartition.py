"""The groups of one partition that is led here, and which of them a turn has to do with.

| a group is | until |
|---|---|
| awake: visited in every turn | nothing of it is unlogged; then it is asleep or idle |
| asleep: has read up to where the partition was looked through, `upto` | an event comes that it matches, or as below |
| idle: events wait unread, and no member has credit | a member says something, a deadline passes, retention trims |

A sleeping group stands at `upto`, though its machine's cursor stays behind until it wakes: events that it does not
match pass by without its being touched. The trie leads from the types of a record to the groups to wake. That groups
advanced is logged after GROUP_PASSED_EVENTS_MAX events, in one delta for all sleeping ones that have nothing in hand.
Groups whose order spans partitions stay awake: their members want to know how far each partition is.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bus import limits, wire
from bus.batch import body_of, types_of
from bus.broker.cutting import Cutter
from bus.broker.ledgroup import LedGroup
from bus.broker.ports import Ground
from bus.companion import Companion
from bus.errors import Busy, ClientError, CorruptRecord, GroupRemoved, NoSuchGroup
from bus.group import Group
from bus.groupsettings import check_same
from bus.groupstate import Delta, GroupState
from bus.record import EVENTS
from bus.session import Session
from bus.trie import Trie

_GATHER_NS = limits.GROUP_GATHER_MS * 1_000_000
_ORDERS_AT_REST = frozenset({"none", "strict"})


class Asking(NamedTuple):
    """Who asked, by which request, that a decision be carried out where there is nothing for it to remove."""

    decision: int
    session: Session
    request: int


class LedPartition:
    """See the module. `uncommitted`: groups of which something is in the log and not committed. `going`: groups whose
    removal is to be logged. `decided`: the greatest number of a decision that was taken here, which a group that is
    made now gets (`bus.companion`). `noting`: group and number of one that is to be logged though nothing goes;
    `asking`: who hears when such are committed.

    `retry_at`: no appends before (ns). `gathers_from`: since when there is something to log that waits for more (ns).
    """

    def __init__(self, ground: Ground, partition: int, companion: Companion) -> None:
        self.partition = partition
        self.companion = companion
        self.decided = companion.decided
        self.noting: tuple[str, int] | None = None
        self.asking: list[Asking] = []
        self.groups: dict[str, LedGroup] = {}
        self.awake: dict[LedGroup, None] = {}
        self.uncommitted: dict[LedGroup, None] = {}
        self.going: dict[LedGroup, None] = {}
        self.retry_at = 0
        self.gathers_from: int | None = None
        self.upto = ground.high_offset(partition)
        self._first = ground.first_offset(partition)
        self._ground = ground
        self._trie: Trie[LedGroup] = Trie()
        self._asleep = 0
        self._logged_upto = self.upto

    def add(self, name: str, group: LedGroup) -> None:
        """A group comes; it is awake."""
        self.groups[name] = group
        self.awake[group] = None
        self._trie.add(group.group.settings.pattern, group)

    def found(self, join: wire.Join, cutter: Cutter, now: int) -> LedGroup:
        """The group that a member comes to, awake; made by the first. Raises what keeps the member out."""
        name, settings = join.group, join.settings
        group = self.groups.get(name)
        if group is None:
            if join.again:
                raise GroupRemoved(f"there is no group {name} any more; subscribing again makes a new one of that name")
            if not join.create:
                raise NoSuchGroup(f"group {name} is not there, and was to be joined only")
            if len(self.groups) >= limits.GROUPS_PER_PARTITION_MAX:
                raise ClientError(
                    f"group {name}: {len(self.groups)} groups are defined already; remove some that nobody needs "
                    "(signalbox group remove)"
                )
            earliest = self._ground.first_offset(self.partition)
            start = earliest if settings.start < 0 else self._ground.offset_since(self.partition, settings.start)
            machine = Group(GroupState(name, settings, start, self.decided), now, fresh=True)
            group = LedGroup(self._ground, cutter, self.partition, machine, defined=False)
            self.add(name, group)
            return group
        if join.again and 0 <= join.definition < group.group.definition:
            raise GroupRemoved(f"group {name} was removed, and another one made; subscribing again joins that one")
        if group.going:
            raise Busy(f"group {name} is being removed at partition {self.partition}; try a little later")
        check_same(name, group.group.settings, settings)
        if group.broken:
            raise CorruptRecord(group.broken)
        if len(group.members) + len(group.joining) >= limits.GROUP_MEMBERS_MAX:
            raise ClientError(f"group {name} has {limits.GROUP_MEMBERS_MAX} members at partition {self.partition}")
        self.wake(group, now)
        return group

    def halt(self, group: LedGroup, decision: int) -> None:
        """It is to be removed: no turn has to do with it any more, and it stays until that is committed."""
        if group.going:
            return
        group.going = decision
        self.going[group] = None
        self.awake.pop(group, None)
        if group.asleep:
            group.asleep = False
            self._asleep -= 1

    def drop(self, group: LedGroup) -> None:
        """It is removed."""
        del self.groups[group.group.name]
        self.going.pop(group, None)
        self.uncommitted.pop(group, None)
        self._trie.remove(group.group.settings.pattern, group)

    def lead(self, groups: Iterable[LedGroup]) -> None:
        """All groups of an earlier leader come. Those that are not far behind are looked after together."""
        high = self.upto
        near = high - limits.GROUP_PASSED_EVENTS_MAX * 2
        for group in groups:
            self.add(group.group.name, group)
            if group.group.cursor >= near:
                self.upto = min(self.upto, group.group.cursor)
        self._logged_upto = self.upto
        for group in self.groups.values():
            self.rest(group)

    def wake(self, group: LedGroup, now: int) -> None:
        """A turn has to do with it. `now` in ns."""
        if group.broken or group.going:
            return
        self.awake[group] = None
        if group.asleep:
            group.asleep = False
            self._asleep -= 1
            group.pass_to(self.upto, now)

    def rest(self, group: LedGroup) -> None:
        """The turn is over for it: let it sleep or idle if there is no more to do."""
        if group.broken or group.going:
            self.awake.pop(group, None)
        elif group.group.settings.order in _ORDERS_AT_REST and not group.group.unlogged and not group.burying:
            if group.group.cursor >= self.upto:
                group.asleep = True
                self._asleep += 1
                del self.awake[group]
            elif group.group.wants() is None:
                del self.awake[group]

    def look_through(self, room: int, now: int) -> int:
        """Wake whom the events that are committed by now are for, while `room` bytes reach; the bytes."""
        high, taken = self._ground.high_offset(self.partition), 0
        while self._asleep and self.upto < high and taken < room:
            try:
                entries = self._ground.read(self.partition, self.upto, limits.GROUP_READ_BYTES)
                for header, record in entries:
                    taken += len(record)
                    if header.kind == EVENTS:
                        for type in types_of(body_of(record)):
                            self._wake_at(self._trie.match(type), header.base_offset, header.count, now)
                        self.upto = max(self.upto, header.base_offset + header.count)
            except CorruptRecord:  # whoever reads on hears of it
                self.wake_all(now)
            else:
                if not entries:
                    break
        if not self._asleep:
            self.upto = high
        return taken

    @property
    def behind(self) -> bool:
        """Whether there is more to look through."""
        return self._asleep > 0 and self.upto < self._ground.high_offset(self.partition)

    def pass_trimmed(self, now: int) -> None:
        """Wake whom retention has taken something."""
        first = self._ground.first_offset(self.partition)
        if first == self._first:
            return
        self._first = first
        for group in self.groups.values():
            floor = group.group.floor
            if floor < first and not (group.asleep and floor == group.group.cursor and self.upto >= first):
                self.wake(group, now)

    def passed(self, now: int) -> Delta | None:
        """What is to be logged of sleeping groups: that they advanced; None: not yet.

        Those with events in hand wake, to say so themselves.
        """
        if self.upto - self._logged_upto < limits.GROUP_PASSED_EVENTS_MAX:
            return None
        names: list[str] = []
        for name, group in self.groups.items():
            if group.asleep and group.defined:
                if group.group.floor == group.group.cursor and not group.group.unlogged:
                    names.append(name)
                else:
                    self.wake(group, now)
        if not names:
            self.logged(self.upto)
            return None
        return Delta(names[0], self.upto, also=names[1:])

    def logged(self, upto: int) -> None:
        """That sleeping groups advanced is in the log up to `upto`."""
        self._logged_upto = upto

    def gathers_until(self, now: int, uncommitted: bool) -> int:
        """Until when what is to be logged waits for more of it (ns); 0: it does not.

        Each record costs every replica a turn, so while one of this broker's groups is `uncommitted`, acks gather; the
        turn that commits it logs them. Where an order makes the next event wait for the ack, they do not.
        """
        unlogged = [group for group in self.awake if group.group.unlogged] if uncommitted else []
        if not unlogged or any(group.burying or group.group.settings.order != "none" for group in unlogged):
            return 0
        if self.gathers_from is None:
            self.gathers_from = now
        return self.gathers_from + _GATHER_NS

    def brought_up(self, now: int) -> Iterable[LedGroup]:
        """All groups, for who looks where they stand."""
        for group in self.groups.values():
            if group.asleep:
                group.pass_to(self.upto, now)
        return [group for group in self.groups.values() if not group.going]

    def wake_all(self, now: int) -> None:
        """A turn has to do with every group."""
        for group in self.groups.values():
            self.wake(group, now)

    def _wake_at(self, groups: Iterable[LedGroup], base_offset: int, count: int, now: int) -> None:
        for group in groups:
            if group.asleep and group.group.cursor < base_offset + count:
                self.wake(group, now)
