"""Who acked which of a group's last settled events, so that an ack that is repeated is not stale. Pure.

Bits in blocks of offsets, for each member; batches may be of one event, and an object for each would outweigh all else
that a group holds.
"""

from bus import limits

BLOCK_OFFSETS = 1_024


class Recent:
    """The last `events_max` events or so: a block goes as a whole, the one that was begun first."""

    def __init__(self, events_max: int = limits.GROUP_RECENT_EVENTS_MAX) -> None:
        self._events_max = events_max
        self._blocks: dict[int, dict[str, int]] = {}
        self._events = 0

    def __len__(self) -> int:
        """Events remembered."""
        return self._events

    def add(self, member: str, base: int, bits: int) -> None:
        """A member acked these: bit i is the event at `base + i`. Each event is said once."""
        self._events += bits.bit_count()
        number, place = divmod(base, BLOCK_OFFSETS)
        bits <<= place
        while bits:
            here = bits & _WHOLE
            if here:
                block = self._blocks.setdefault(number, {})
                block[member] = block.get(member, 0) | here
            bits >>= BLOCK_OFFSETS
            number += 1
        while self._events > self._events_max and len(self._blocks) > 1:
            oldest = self._blocks.pop(next(iter(self._blocks)))
            self._events -= sum(acked.bit_count() for acked in oldest.values())

    def member(self, offset: int) -> str:
        """Who acked an event; "": nobody, as far as is remembered."""
        number, place = divmod(offset, BLOCK_OFFSETS)
        block = self._blocks.get(number, {})
        return next((member for member, bits in block.items() if bits >> place & 1), "")


_WHOLE = (1 << BLOCK_OFFSETS) - 1
