"""New event ids and session numbers: the one place of the bus that throws dice for names.

Within a process ids only grow, also when the clock goes back: each millisecond starts from fresh random bits, and
further ids in it count on from there.
"""

import os
import threading
import time

from bus.uuid7 import LOW_BITS, uuid7

_TAIL_MASK = (1 << 62) - 1
_VARIANT = 2 << 62


def _random(bits: int) -> int:
    return int.from_bytes(os.urandom(10)) >> (80 - bits)


_LAST_DIGITS = [f"{number:03x}" for number in range(1 << 12)]


class _Sequence:
    """The last id given out: its millisecond, its text up to there, and its last 62 bits, which count on.

    They start in their lower half, so that counting has room.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ms = 0
        self.tail = _TAIL_MASK
        self.prefix = ""

    def next(self, count: int) -> list[str]:
        """Further ones, ascending; those of one call are of one millisecond."""
        with self.lock:
            now = time.time_ns() // 1_000_000
            if now > self.ms:
                self._begin(now)
            elif self.tail > _TAIL_MASK - count:
                self._begin(self.ms + 1)
            first, prefix = _VARIANT | self.tail + 1, self.prefix
            self.tail += count
        ids: list[str] = []
        while len(ids) < count:
            # All that differ in the last three digits alone share the text before them.
            digits, low = f"{first + len(ids) >> 12:013x}", first + len(ids) & 0xFFF
            head = f"{prefix}{digits[:4]}-{digits[4:]}"
            ids += [head + last for last in _LAST_DIGITS[low : low + count - len(ids)]]
        return ids

    def _begin(self, ms: int) -> None:
        low = _random(LOW_BITS)
        self.ms, self.tail = ms, low & (_TAIL_MASK >> 1)
        self.prefix = uuid7(ms, low)[:19]


_sequence = _Sequence()


def _start_again() -> None:
    """A forked child must not go on counting where its parent does."""
    global _sequence
    _sequence = _Sequence()


os.register_at_fork(after_in_child=_start_again)


def new_id() -> str:
    """A fresh UUIDv7 text, greater than every one this process made before."""
    return _sequence.next(1)[0]


def new_ids(count: int) -> list[str]:
    """So many of them, ascending."""
    return _sequence.next(count)


def new_producer() -> bytes:
    """A fresh producer id, 16 random bytes."""
    return os.urandom(16)


def new_session() -> int:
    """A fresh session id, 63 random bits, never 0."""
    return _random(63) or 1


def new_trace() -> str:
    """A fresh W3C traceparent, sampled."""
    digits = os.urandom(24).hex()
    return f"00-{digits[:32]}-{digits[32:]}-01"
