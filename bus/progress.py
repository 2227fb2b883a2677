"""What a leader knows of one follower: how far it has acked, what is in flight to it, when it was last heard.

Sending is optimistic: `next` moves on as records leave, within a window of records and bytes. It falls back when the
follower says that a ship did not fit; when nothing in flight was acked for `SHIP_RETRY_MS` only heartbeats go out,
until the follower answers one and thereby says where to go on.
"""

from collections import deque

from bus import limits

_MS = 1_000_000


class Progress:
    """One follower of one leadership. All times are the caller's nanoseconds."""

    def __init__(self, broker: str, now: int) -> None:
        self.broker = broker
        self.store = ""  # uuid of the store that acked; "" until it did
        self.acked = 0  # records below are fsynced there
        self.next = 0  # the next record to send
        self.contacted = False  # it has answered in this epoch, so `next` means something
        self.heard = now  # a new leader gives every replica one lag interval to be heard
        self.begun: int | None = None  # when it was last told where the log begins
        self.sent: int | None = None  # when something was last sent to it
        self._base = 0  # what lies between here and `next` is in flight
        self._progressed = now
        self._flight: deque[tuple[int, int]] = deque()  # (index after a ship's last record, its bytes)
        self._flight_bytes = 0

    def meet(self, store: str) -> None:
        """It is this store that speaks; another one under the same broker id starts from nothing."""
        if store != self.store:
            self.store, self.acked, self.contacted = store, 0, False

    def ack(self, end: int, now: int) -> None:
        """It has fsynced everything below `end`."""
        self.heard = now
        if end > self.acked or not self.contacted:
            self._progressed = now
        self.acked = max(self.acked, end)
        if not self.contacted:
            self.contacted = True
            self._restart(self.acked)
        self._base = max(self._base, self.acked)
        self.next = max(self.next, self.acked)
        while self._flight and self._flight[0][0] <= self.acked:
            self._flight_bytes -= self._flight.popleft()[1]

    def refit(self, end: int, now: int) -> None:
        """The last ship did not fit: go on from `end`."""
        self.contacted = True
        self._progressed = now
        self._restart(end)

    def window(self, end: int, now: int) -> tuple[int, int]:
        """The records [first, upto) to send now, of a log that ends at `end`; empty if the window is full.

        Until the follower has answered, and again after a silence, heartbeats at the log's end ask where it stands.
        """
        if self.next > self._base and now - self._progressed > limits.SHIP_RETRY_MS * _MS:
            self.contacted = False
        if not self.contacted:
            return end, end
        if self._flight_bytes >= limits.SHIP_WINDOW_BYTES_MAX:
            return self.next, self.next
        upto = min(end, self.next + limits.SHIP_RECORDS_MAX, self._base + limits.SHIP_WINDOW_RECORDS_MAX)
        return self.next, max(upto, self.next)

    def ship(self, upto: int, now: int) -> None:
        """Everything below `upto` is on its way."""
        self.sent = now
        if not self.contacted:
            return
        if self.next == self._base:
            self._progressed = now
        self.next = upto

    def attached(self, upto: int, size_bytes: int) -> None:
        """The edge attached records up to `upto` to the last ship, of `size_bytes` together."""
        if not size_bytes or not self.contacted:
            return
        self.next = min(self.next, upto)
        self._flight.append((upto, size_bytes))
        self._flight_bytes += size_bytes

    def begins(self, now: int) -> bool:
        """Whether to tell it (again) where the log begins; it is told so then.

        It may have restarted since it answered, and whoever follows nobody heeds no Begin: heartbeats ask it again.
        """
        if self.begun is not None and now - self.begun < limits.SHIP_RETRY_MS * _MS:
            return False
        self.contacted = False
        self.begun = self.sent = now
        return True

    def due(self, now: int) -> bool:
        """Whether it is time for a heartbeat."""
        return self.sent is None or now - self.sent >= limits.HEARTBEAT_MS * _MS

    def live(self, now: int) -> bool:
        """Whether it has acked within `REPLICA_LAG_MS_MAX`."""
        return now - self.heard <= limits.REPLICA_LAG_MS_MAX * _MS

    def _restart(self, index: int) -> None:
        self.next = self._base = index
        self._flight.clear()
        self._flight_bytes = 0
