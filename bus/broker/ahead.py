"""What lies ahead of a group: the events that are meant for it and that it has not read, counted for its figures.

A group reads as far as its members' credit reaches. Looks go further, a bounded slice each, and only count; what lies
before the first event that is meant for the group is passed on the way, as if it had been read.
"""

from collections.abc import Iterator

from bus import limits
from bus.broker.meant import Meant
from bus.broker.ports import Ground
from bus.group import Group
from bus.record import EVENTS


class Ahead:
    """Of one group at one partition. `counted`: events meant for it between its cursor and where looks have come."""

    def __init__(self, ground: Ground, partition: int, group: Group, meant: Meant) -> None:
        self.counted = 0
        self._ground = ground
        self._partition = partition
        self._group = group
        self._meant = meant
        self._looked = group.cursor
        self._stood = -1

    def begin(self) -> None:
        """Look from the group's cursor on again: it has passed what was looked at."""
        self._looked, self.counted = self._group.cursor, 0

    def read(self, start: int, end: int, bits: int) -> None:
        """The group has read [start, end), of which `bits`, from `start` on, are meant for it."""
        if start < self._looked:
            self.counted -= (bits & (1 << min(end, self._looked) - start) - 1).bit_count()

    def look(self, room: int, now: int) -> int:
        """Count on from where the last look ended, as `room` bytes reach; the bytes. Raises CorruptRecord."""
        taken, group = 0, self._group
        if group.cursor >= self._looked:
            self.begin()
        if self.counted and self._stood != group.cursor:
            for start, end, bits, size in self._slices(group.cursor, self._looked, room):
                taken += size
                pass_to(group, start + (bits & -bits).bit_length() - 1 if bits else end, now)
                if bits:
                    break
        high = self._ground.high_offset(self._partition)
        for start, end, bits, size in self._slices(self._looked, high, room - taken):
            taken += size
            if not self.counted:
                pass_to(group, start + (bits & -bits).bit_length() - 1 if bits else end, now)
            self._looked = end
            self.counted += bits.bit_count()
        self._stood = group.cursor
        return taken

    @property
    def may_look(self) -> bool:
        """Whether a look could tell more."""
        ahead = max(self._looked, self._group.cursor) < self._ground.high_offset(self._partition)
        return ahead or (self.counted > 0 and self._stood != self._group.cursor)

    @property
    def unread(self) -> int:
        """Events that are meant for the group and not read. What no look has come to yet counts, all of it, if there
        is one of them before it."""
        return self.counted + max(0, self._ground.high_offset(self._partition) - self._looked) if self.counted else 0

    def _slices(self, offset: int, upto: int, room: int) -> Iterator[tuple[int, int, int, int]]:
        """The stored batches from `offset` on, below `upto`, while `room` bytes reach: (first offset, end, bits of what
        is meant for the group, bytes)."""
        while offset < upto and room > 0:
            entries = self._ground.read(self._partition, offset, min(room, limits.GROUP_READ_BYTES))
            if not entries:
                return
            for entry in entries:
                header, size = entry.header, len(entry.record)
                end = header.base_offset + header.count
                room -= size
                if header.kind == EVENTS and offset < end and header.base_offset < upto:
                    start = max(offset, header.base_offset)
                    yield start, end, self._meant.rows(entry)[0] >> start - header.base_offset, size
                    offset = end


def pass_to(group: Group, offset: int, now: int) -> None:
    """Nothing is meant for the group from where it stands up to `offset`."""
    if offset > group.cursor:
        group.feed(group.cursor, offset - group.cursor, 0, 0, now)
