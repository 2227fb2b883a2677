"""What operators change of groups, at the leaders of their partitions.

| a change | takes hold |
|---|---|
| of settings | at once; logged with the turn's delta, so that followers and the next leader have them |
| removal | the group is halted: nothing of it is delivered or logged any more, but its end |

The plane and the members are told when that is committed. Members of a removed group get GroupRemoved, and so does
whoever settles then, or asks to be a member again.

A removal that this leader cannot log is as if it had not been said: the next leader has the group, and the plane, which
got no answer, says it again there. Who comes while one is being logged is told Busy, and makes a new group after it.
"""

import logging
from collections.abc import Callable

from bus import limits, wire
from bus.broker.ledgroup import LedGroup, Membership
from bus.broker.ledpartition import LedPartition
from bus.broker.ports import Ground
from bus.errors import CorruptRecord, FleetError
from bus.groupsettings import changed
from bus.groupstate import encode_deltas
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
        broken."""
        group = led.groups.get(change.group)
        if group is None:
            self._ground.send(session, wire.GroupChanged(change.request, change.partition, False))
        elif change.changes is None or group.going:
            led.halt(group)
            group.goes(session, change.request)
            if not group.defined and group.logged_at < 0:  # nobody but this leader has ever heard of it
                self.end(led, group)
        else:
            settings = changed(change.group, group.group.settings, change.changes)
            if group.broken:
                raise CorruptRecord(group.broken)
            led.wake(group, at)
            group.change(session, change.request, settings)

    def log(self, led: LedPartition, at: int) -> None:
        """Log the removals that were asked for."""
        try:
            while led.going and at >= led.retry_at:
                group = next(iter(led.going))
                self._ground.append_group(led.partition, encode_deltas([group.group.removal()]))
                del led.going[group]
        except FleetError as error:
            log.info("removals of groups of partition %d wait: %s", led.partition, error)
            led.retry_at = at + limits.GROUP_RETRY_MS * _MS

    def end(self, led: LedPartition, group: LedGroup) -> None:
        """A removal is committed: members hear it, and whoever waits for an answer."""
        led.drop(group)
        why = f"group {group.group.name} was removed by an operator; subscribing again makes a new one of that name"
        log.info("partition %d: %s", led.partition, why)
        for membership in group.gone(why):
            self._dismiss(membership, "GroupRemoved", why)
