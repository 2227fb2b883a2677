"""What follows from committed records, on every replica, in order: producer windows, given ids, the state of groups.

All are folds over the log below the high watermark. Every `APPLIED_RECORDS_MAX` records of a partition they are
written down with the index they hold at, so that a restart reads headers from there on and no more.
"""

from bus import limits
from bus.broker.kept import AppliedNote, keep, keep_given, kept, kept_given
from bus.broker.ports import Consumers
from bus.errors import OutcomeUnknown
from bus.given import GivenIds
from bus.producer import Original, Windows
from bus.record import GROUP, Header
from bus.repeats import Repeated, resolved
from bus.replica import Replica
from bus.store import Store


class Applied:
    """The folds of every partition of one broker."""

    def __init__(self, store: Store, partitions: int, consumers: Consumers) -> None:
        self._store = store
        self._consumers = consumers
        self._upto = [0] * partitions
        self._noted = [0] * partitions
        self._rows = [0] * partitions  # given ids below this number are written down, too
        self.windows = [Windows() for _ in range(partitions)]
        self.given = [GivenIds() for _ in range(partitions)]
        for partition in range(partitions):
            self._restore(partition)

    def upto(self, partition: int) -> int:
        """Records below this index are applied."""
        return self._upto[partition]

    def advance(self, partition: int, high: int) -> None:
        """Apply the records that have become committed."""
        windows, given, consumers, store = self.windows[partition], self.given[partition], self._consumers, self._store
        for index in range(self._upto[partition], high):
            header = store.header(partition, index)
            windows.commit(original_of(index, header))
            given.commit(index, header)
            if header.kind == GROUP or header.companion:
                consumers.apply(partition, index, store.entry(partition, index))
        self._upto[partition] = max(high, self._upto[partition])
        if self._upto[partition] - self._noted[partition] >= limits.APPLIED_RECORDS_MAX:
            self.note(partition, lazy=True)

    def lead(self, replica: Replica) -> None:
        """Leadership is won: what lies above the high watermark may be repeated by its producers, too."""
        partition = replica.partition
        indexes = range(self._upto[partition], replica.end)
        uncommitted = [(index, self._store.header(partition, index)) for index in indexes]
        self.windows[partition].relay(original_of(index, header) for index, header in uncommitted)
        self.given[partition].relay(uncommitted)

    def lost(self, partition: int) -> None:
        """Leadership is gone, and with it what was not committed."""
        self.windows[partition].relay(())
        self.given[partition].relay(())

    def repeats(self, partition: int, original: Original) -> list[Repeated]:
        """Where the events stand that a batch only repeated. Raises OutcomeUnknown when its record is trimmed."""
        if original.index < self._store.first(partition):
            raise OutcomeUnknown(
                f"partition {partition}: a batch was sent again after retention had trimmed its record, and "
                f"{original.repeated} of its events stood elsewhere; look before sending them again"
            )
        header = self._store.header(partition, original.index)
        return resolved(header.repeats, header.base_offset, header.appended)

    def noted(self, partition: int) -> int:
        """Records below this index are in what is written down, with the next commit at the latest."""
        return self._noted[partition]

    def snapshot(self, partition: int) -> tuple[int, list[bytes]]:
        """The folds of a partition, for a follower that lacks the records: the index they hold at; windows, groups,
        given ids."""
        windows, given = self.windows[partition].snapshot(), self.given[partition].snapshot()
        return self._upto[partition], [windows, self._consumers.snapshot(partition), given]

    def install(self, partition: int, upto: int, windows: bytes, groups: bytes, given: bytes) -> None:
        """Take over the folds of a leader, which hold at `upto`, beyond all that was applied here. Raises
        CorruptRecord, and changes nothing, when they cannot be read."""
        taken, ids = Windows(), GivenIds()
        taken.restore(windows)
        ids.restore(given)
        self._consumers.restore(partition, groups)
        self.windows[partition] = taken
        self.given[partition] = ids
        self._rows[partition] = 0
        self._upto[partition] = upto
        self.note(partition, lazy=False)

    def unkept(self) -> None:
        """A turn was not kept: what is noted has to be written down again."""
        self._noted = [0] * len(self._noted)
        self._rows = [0] * len(self._rows)

    def note(self, partition: int, *, lazy: bool) -> None:
        """Write the folds of a partition down with the next commit."""
        upto = self._upto[partition]
        if upto > self._noted[partition]:
            rows = keep_given(self._store, partition, self.given[partition], self._rows[partition], lazy=lazy)
            note = AppliedNote(upto, self.windows[partition].snapshot(), self._consumers.snapshot(partition), rows)
            keep(self._store, f"applied/{partition}", note, lazy=lazy)
            self._noted[partition], self._rows[partition] = upto, rows[1]

    def note_all(self) -> None:
        """Write everything down with the next commit."""
        for partition in range(len(self.windows)):
            self.note(partition, lazy=False)

    def _restore(self, partition: int) -> None:
        note = kept(self._store, f"applied/{partition}", AppliedNote)
        if note is None:
            self._consumers.restore(partition, b"")
            return
        self._upto[partition] = self._noted[partition] = note.upto
        self.windows[partition].restore(note.windows)
        self._consumers.restore(partition, note.groups)
        self.given[partition] = kept_given(self._store, partition, note.upto, note.given)
        self._rows[partition] = note.given[1]


def original_of(index: int, header: Header) -> Original:
    """A record as producers' windows remember it."""
    repeated = sum(run.count for run in header.repeats) if header.repeats else 0
    return Original(
        header.producer, header.sequence, index, header.base_offset, header.count, header.appended, repeated
    )
