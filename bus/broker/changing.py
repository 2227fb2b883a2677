"""What operators change of groups, at the leaders of their partitions.

| a change | takes hold |
|---|---|
| of settings | at once; logged with the turn's delta, so that followers and the next leader have them |
| removal | the group is halted: nothing of it is delivered or logged any more, but its end |
| removal of none, or of what was made after that was decided | nothing; logged, unless that decision is already |

The plane and the members are told when that is committed. Members of a removed group get GroupRemoved, and so does
whoever settles then, or asks to be a member again.

A removal that this leader cannot log is as if it had not been said: the next leader has the group, and the plane, which
got no answer, says it again there. Who comes while one is being logged is told Busy, and makes a new group after it.

What the plane says twice, since it was killed before it noted the answer, takes hold once, whatever was made meanwhile:
see `bus.companion`. Settings need no such care: to set them again changes nothing, and the plane, which carries out the
newest decision on a group only, says nothing of them after a removal.
"""

import logging
from collections.abc import Callable

from bus import limits, wire
from bus.broker.ledgroup import LedGroup, Membership
from bus.broker.ledpartition import Asking, LedPartition
from bus.broker.ports import Ground
from bus.errors import Busy, CorruptRecord, FleetError
from bus.groupsettings import changed
from bus.groupstate import Delta, encode_deltas
from bus.session import Session

log = logging.getLogger("bus.broker")
_MS = 1_000_000


class Changing:
    """See the module. `dismiss(membership, code, why)` ends a membership and tells its session."""

    def __init__(self, ground: Ground, dismiss: Callable[[Membership, str, str], None]) -> None:
        self._ground = ground
        self._dismiss = dismiss

    def take(self, led: LedPartition, session: Session, change: wire.ChangeGroup, at: int) -> None:
        """The plane's word on a group. Raises ClientError for values that are none, CorruptRecord where the group is
        broken, Busy where too much waits."""
        group = led.groups.get(change.group)
        if change.changes is None:
            self._remove(led, group, session, change)
        elif group is None:
            self._ground.send(session, wire.GroupChanged(change.request, change.partition, False))
        elif group.going:
            group.goes(session, change.request)
        else:
            settings = changed(change.group, group.group.settings, change.changes)
            if group.broken:
                raise CorruptRecord(group.broken)
            led.wake(group, at)
            group.change(session, change.request, settings)

    def _remove(self, led: LedPartition, group: LedGroup | None, session: Session, change: wire.ChangeGroup) -> None:
        decision = change.decision
        if group is not None and not decision:
            decision = group.going or led.decided + 1
        led.decided = max(led.decided, decision)
        if group is not None and group.group.definition < decision:
            if not group.defined and group.logged_at < 0:  # nobody but this leader has ever heard of it
                led.halt(group, decision)
                self.end(led, group)
            elif not group.going or group.going >= decision:
                led.halt(group, decision)
                group.goes(session, change.request)
                return
        if not change.decision or decision <= led.companion.decided:
            self._ground.send(session, wire.GroupChanged(change.request, change.partition, False))
            return
        if len(led.asking) >= limits.GROUP_REMOVALS_WAITING_MAX:
            raise Busy(f"{len(led.asking)} removals of groups wait at partition {led.partition}; try a little later")
        if all(one.decision < decision for one in led.asking):
            led.noting = (change.group, decision)
        led.asking.append(Asking(decision, session, change.request))

    def log(self, led: LedPartition, at: int) -> None:
        """Log the removals that were asked for."""
        try:
            while led.going and at >= led.retry_at:
                group = next(iter(led.going))
                self._ground.append_group(led.partition, encode_deltas([group.group.removal(group.going)]))
                del led.going[group]
            if led.noting is not None and at >= led.retry_at:
                name, decision = led.noting
                delta = Delta(name, 0, removed=True, number=decision)
                self._ground.append_group(led.partition, encode_deltas([delta]))
                led.noting = None
        except FleetError as error:
            log.info("removals of groups of partition %d wait: %s", led.partition, error)
            led.retry_at = at + limits.GROUP_RETRY_MS * _MS

    def committed(self, led: LedPartition) -> None:
        """More of the log is committed: whoever asked for what it holds hears that it is so."""
        waiting, led.asking = led.asking, []
        for one in waiting:
            if one.decision <= led.companion.decided:
                self._ground.send(one.session, wire.GroupChanged(one.request, led.partition, False))
            else:
                led.asking.append(one)

    def deposed(self, led: LedPartition, why: str) -> None:
        """Leadership is gone: a plane that waits has to ask the next leader."""
        for one in led.asking:
            self._ground.fault(one.session, one.request, "NotLeader", why)
        for group in led.groups.values():
            group.deposed(why)

    def end(self, led: LedPartition, group: LedGroup) -> None:
        """A removal is committed: members hear it, and whoever waits for an answer."""
        led.drop(group)
        why = f"group {group.group.name} was removed by an operator; subscribing again makes a new one of that name"
        log.info("partition %d: %s", led.partition, why)
        for membership in group.gone(why):
            self._dismiss(membership, "GroupRemoved", why)
