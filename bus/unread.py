"""What a peer was sent and has not read, in bytes. Pure.

ZeroMQ bounds what waits for a peer in messages, whatever their size, and does not tell how much it is. So a Ping goes
along after every PEER_PING_BYTES, whose token is the count of bytes so far: its Pong says that those were read. What is
not read is in ZeroMQ's queue, in the kernel's, or in the peer's own.
"""

from bus import limits


class Unread:
    """Of one peer. `sent` counts for as long as the peer is there, over all its sessions: it has one queue."""

    __slots__ = ("_pinged", "_read", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._pinged = 0
        self._read = 0

    @property
    def size(self) -> int:
        """Bytes that it has not said to have read."""
        return self.sent - self._read

    @property
    def is_much(self) -> bool:
        """Whether what can wait is to wait until it has read some."""
        return self.size >= limits.PEER_UNREAD_BYTES

    def add(self, size: int) -> bool:
        """So many more are on their way; whether a Ping is due behind them, with `sent` as its token."""
        self.sent += size
        if self.sent - self._pinged < limits.PEER_PING_BYTES:
            return False
        self._pinged = self.sent
        return True

    def heard(self, token: int) -> None:
        """A Pong: it has read so many. A token that no Ping had is nothing."""
        if self._read < token <= self._pinged:
            self._read = token
