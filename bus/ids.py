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


class _Sequence:
    """The last id given out: its millisecond, its text up to there, and its last 62 bits, which count on.

    They start in their lower half, so that counting has room.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ms = 0
        self.tail = _TAIL_MASK
        self.prefix = ""

    def next(self) -> str:
        with self.lock:
            now = time.time_ns() // 1_000_000
            if now > self.ms:
                self._begin(now)
            elif self.tail == _TAIL_MASK:
                self._begin(self.ms + 1)
            else:
                self.tail += 1
            digits = f"{_VARIANT | self.tail:016x}"
            return f"{self.prefix}{digits[:4]}-{digits[4:]}"

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
    return _sequence.next()


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
