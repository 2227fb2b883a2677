"""Retention: a partition's oldest records go when they are too old, or when it holds too many bytes.

Each replica trims its own log, whole records from the front, a bounded slice a turn, in the turn's transaction. Never
what is not committed, nor what the plane has not archived (`Keep`; before the first one nothing goes), nor what is not
yet in the written-down folds: a restart reads on from there. Groups are not waited for: they count what they had not
read. The copy of the journal, which is the plane's own, has bounds of its own and waits for no archive. A
follower that lacks trimmed records begins anew at the leader's first one (`wire.Begin`).
"""

import time

from bus import limits
from bus.broker.applied import Applied
from bus.broker.replication import Replication
from bus.config import BrokerConfig
from bus.store import Store

_MS = 1_000_000
_ABOUT = limits.RETENTION_WARN_DIVISOR
_LOOK = limits.RETENTION_LOOK_RECORDS_MAX


class Retention:
    """The retention of one broker. `soon[partition]`: events below it go before long; an estimate."""

    def __init__(self, config: BrokerConfig, store: Store, replication: Replication, applied: Applied) -> None:
        self.soon = [0] * len(replication.replicas)
        public, reserved = replication.public, len(replication.replicas) - replication.public
        self._public = public
        self._ages = [config.retention_seconds * 1_000 * _MS] * public
        self._ages += [limits.COPY_SECONDS_MAX * 1_000 * _MS] * reserved
        copy = min(limits.COPY_BYTES_MAX, config.store_bytes_max // limits.COPY_STORE_DIVISOR)
        self._sizes = [config.retention_bytes] * public + [copy] * reserved
        self._store = store
        self._replication = replication
        self._applied = applied
        self._archived: dict[int, int] = {}
        self._looked: int | None = None
        self._due: dict[int, int] = {}

    @property
    def busy(self) -> bool:
        """Whether there is more to trim at once."""
        return bool(self._due)

    def keep(self, archived: dict[int, int]) -> None:
        """The plane has archived the events below these offsets, by partition."""
        for partition, offset in archived.items():
            if 0 <= partition < len(self.soon):
                self._archived[partition] = offset

    def pump(self, now: int) -> None:
        """Once a turn, before its commit: stage the next slice. `now` is the loop's clock."""
        if not any(self._ages) and not any(self._sizes):
            return
        if self._looked is None or now - self._looked >= limits.RETENTION_LOOK_MS * _MS:
            self._looked = now
            self._look(time.time_ns())
        records, room = limits.TRIM_TURN_RECORDS_MAX, limits.TRIM_TURN_BYTES_MAX
        for partition in list(self._due):
            if records <= 0 or room <= 0 or self._replication.full:
                return
            upto = self._due.pop(partition)
            first = self._store.first(partition)
            sizes = self._store.sizes(partition, first, min(upto, first + records))
            taken, size = _fitting(sizes, room)
            records, room = records - taken, room - size
            self._replication.trim(partition, first + taken)
            if first + taken < upto:
                self._due[partition] = upto  # behind the others now

    def _look(self, wall: int) -> None:
        """Find what is to go, and what goes next. `wall`: ns since 1970."""
        for partition in range(len(self.soon)):
            first, end = self._store.first(partition), self._store.mark(partition).end
            bounded = self._ages[partition] or self._sizes[partition]
            if not bounded or partition in self._due or first == end:
                continue
            reach, about = self._reach(partition, first, end, wall)
            self.soon[partition] = self._offset(partition, about)
            upto = min(reach, self._may_go(partition, reach))
            if upto > first:
                self._due[partition] = upto

    def _reach(self, partition: int, first: int, end: int, wall: int) -> tuple[int, int]:
        """Records below the one are too old or too many; those below the other will be before long."""
        store, age_ns, most = self._store, self._ages[partition], self._sizes[partition]
        reach = about = first
        if age_ns:
            since = wall - age_ns
            young = since + age_ns // _ABOUT
            if store.header(partition, first).appended < young:
                reach = store.index_since(partition, since)
                about = store.index_since(partition, young)
        if most:
            size = store.size(partition)
            excess = size - most
            if excess > 0:
                reach = max(reach, self._without(partition, first, min(end, first + _LOOK), excess))
            nearly = size - (most - most // _ABOUT)
            if nearly > 0:
                about = max(about, first + (end - first) * nearly // size)
        return reach, max(reach, about)

    def _without(self, partition: int, first: int, upto: int, excess: int) -> int:
        """The records from `first` to the one are at least `excess` bytes together; at most those below `upto`."""
        while excess > 0 and first < upto:
            for size in self._store.sizes(partition, first, min(upto, first + limits.TRIM_TURN_RECORDS_MAX)):
                if excess <= 0:
                    break
                excess -= size
                first += 1
        return first

    def _may_go(self, partition: int, reach: int) -> int:
        """The records below it are committed and archived, and not needed for a restart."""
        is_public = partition < self._public
        archived = self._archived.get(partition, 0) if is_public else self._store.mark(partition).end_offset
        if archived <= self._store.first_offset(partition):
            return 0
        committed = self._replication.replicas[partition].high
        upto = min(committed, self._applied.upto(partition), self._store.index_of(partition, archived))
        if self._applied.noted(partition) < min(upto, reach):
            self._applied.note(partition, lazy=True)
        return min(upto, self._applied.noted(partition))

    def _offset(self, partition: int, index: int) -> int:
        mark = self._store.mark(partition)
        return self._store.header(partition, index).base_offset if index < mark.end else mark.end_offset


def _fitting(sizes: list[int], room: int) -> tuple[int, int]:
    """How many of the first go within `room`, and one at least; and their sum."""
    taken = total = 0
    for size in sizes:
        if taken and total + size > room:
            break
        taken += 1
        total += size
    return taken, total
