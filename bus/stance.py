"""What a replica is at the moment: its role, epoch and log, and what it knows of its followers. Pure.

`bus.replica` moves it.
"""

from bus.lineage import Outline, Restored
from bus.progress import Progress
from bus.wire import Seat


class Stance:
    """The state of one (partition, broker, store), and what follows from it without changing it."""

    def __init__(self, partition: int, broker: str, restored: Restored, store: str = "") -> None:
        """Raises `CorruptRecord` if what was restored contradicts itself."""
        self.partition = partition
        self.broker = broker
        self.store = store
        self.log = Outline(restored)
        self.promised = restored.promised
        self.seat: Seat | None = restored.seat
        self.role = "idle"
        self.epoch = 0
        self.leader = ""
        self.refused = 0  # appends refused for want of replicas
        self.rejected = 0  # messages of peers that made no sense
        self.diverged = False
        self._start = -1  # index of the own epoch-start record
        self._synced = restored.end
        self._dirty = False
        self._owes_ack = False
        self._promised_before = restored.promised
        self._followers: dict[str, Progress] = {}

    @property
    def leads(self) -> bool:
        """Whether this replica leads `epoch`."""
        return self.role == "leader"

    @property
    def readable(self) -> bool:
        """Whether this replica leads and its epoch start is committed: only then may anyone read or be answered."""
        return self.leads and self.log.high > self._start

    @property
    def end(self) -> int:
        """Index after the last record, fsynced or not."""
        return self.log.end

    @property
    def end_offset(self) -> int:
        """Offset after the last event, fsynced or not."""
        return self.log.end_offset

    @property
    def high(self) -> int:
        """Records below are known to be committed."""
        return self.log.high

    @property
    def high_offset(self) -> int:
        """Events below are known to be committed."""
        return self.log.high_offset

    def answer(self) -> tuple[int, int, int]:
        """`(last epoch, end, end offset)` for an `Answered`, which must leave after the promise is durable."""
        return self.log.last_epoch, self.log.end, self.log.end_offset

    def follower_end(self) -> dict[str, int]:
        """Per follower, the record below which it has fsynced everything; empty unless leading."""
        return {broker: follower.acked for broker, follower in self._followers.items()}

    def follower_lag(self, now: int) -> dict[str, int]:
        """Per follower, nanoseconds since it last acked; empty unless leading."""
        return {broker: now - follower.heard for broker, follower in self._followers.items()}

    def wants(self, broker: str) -> bool:
        """Whether there are records that a follower was not sent yet; False unless leading."""
        follower = self._followers.get(broker)
        return follower is not None and follower.next < self.end

    def newcomers(self) -> dict[str, str]:
        """Broker -> store of replicas without a vote that hold all that is committed, learners too.

        Empty unless readable.
        """
        if not self.readable:
            return {}
        return {
            broker: follower.store
            for broker, follower in self._followers.items()
            if follower.store and not self._votes(broker, follower.store) and follower.acked >= self.high
        }

    def _may_count(self, follower: Progress) -> bool:
        """Whether a write may hope for it: a replica that votes, or that has not yet said which store it has."""
        if self.seat is None or follower.broker not in self.seat.replicas:
            return False
        return not follower.store or self._is_voter(follower)

    def _votes(self, broker: str, store: str) -> bool:
        return self.seat is not None and self.seat.votes(broker, store)

    def _is_voter(self, follower: Progress) -> bool:
        return self._votes(follower.broker, follower.store)
