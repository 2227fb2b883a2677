"""New event ids and session numbers: the one place of the bus that throws dice for names.

Within a process ids only grow, also when the clock goes back: each millisecond starts from fresh random bits, and
further ids in it count on from there.
"""

import os
import threading
import time

from bus.uuid7 import LOW_BITS, uuid7

_HALF = 1 << (LOW_BITS - 1)


def _random(bits: int) -> int:
    return int.from_bytes(os.urandom(10)) >> (80 - bits)


class _Sequence:
    """The greatest (millisecond, low bits) given out. Low bits start in their lower half, so that counting has room."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ms = 0
        self.low = 0

    def next(self) -> str:
        with self.lock:
            now = time.time_ns() // 1_000_000
            if now > self.ms:
                self.ms = now
                self.low = _random(LOW_BITS - 1)
            else:
                self.low += 1
                if self.low >= 2 * _HALF:
                    self.ms += 1
                    self.low = _random(LOW_BITS - 1)
            return uuid7(self.ms, self.low)


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
