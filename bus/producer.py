"""Producer windows: a batch is appended once, however often it is sent.

A producer is 128 random bits of a client; it numbers its batches to one partition 0, 1, 2, ... The number travels in
the record's header, so the windows are a fold over committed records, the same on every replica, and survive a
failover. A leader lays what it has appended and not yet committed over them; when leadership is lost the overlay goes,
when it is won it is read back from the headers above the high watermark.

| a batch with sequence | is |
|---|---|
| one after the last | fresh |
| the last or before, remembered | a repetition: it gets the original's placement |
| before what is remembered | appended, nobody knows where: `OutcomeUnknown` |
| more than one after the last | `OutOfSequence` |
| 0, of an unknown producer | fresh |
| > 0, of an unknown producer | `UnknownProducer` |

At most `PRODUCERS_MAX` producers are remembered: the one whose last record is the oldest is forgotten first.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from bus import limits
from bus.errors import CorruptRecord, OutcomeUnknown, OutOfSequence, UnknownProducer


class Original(msgspec.Struct, array_like=True, frozen=True):
    """A batch as it was appended: record `index`, first event `base_offset`, `count` events, `appended` in ns.

    `repeated` further events of it stood in the log already; the record's header says where.
    """

    producer: bytes
    sequence: int
    index: int
    base_offset: int
    count: int
    appended: int
    repeated: int = 0


class _Snapshot(msgspec.Struct, array_like=True, frozen=True):
    applied: int
    windows: list[list[Original]]


class Windows:
    """The windows of one partition on one broker."""

    def __init__(
        self, producers_max: int = limits.PRODUCERS_MAX, outcomes_max: int = limits.PRODUCER_OUTCOMES_MAX
    ) -> None:
        self.applied = 0
        """Records below this index are in the windows."""
        self._producers_max = producers_max
        self._outcomes_max = outcomes_max
        # Producer -> its last originals, ascending; the producer used last stands last.
        self._windows: dict[bytes, list[Original]] = {}
        self._overlay: dict[bytes, list[Original]] = {}

    def judge(self, producer: bytes, sequence: int) -> Original | None:
        """None: append it. An `Original`: it was appended there (answer once `index` is committed).

        Raises `OutOfSequence`, `UnknownProducer` or `OutcomeUnknown`. A producer of b"" is not checked.
        """
        if not producer:
            return None
        known = self._windows.get(producer, []) + self._overlay.get(producer, [])
        last = known[-1].sequence if known else -1
        if sequence == last + 1:
            return None
        if not known:
            raise UnknownProducer(
                f"producer {producer.hex()} is unknown here, so its batch {sequence} may have been appended already; "
                "look before sending it again under a new producer id"
            )
        if sequence > last:
            raise OutOfSequence(
                f"producer {producer.hex()} sent batch {sequence}, but {last + 1} is due; send that first"
            )
        for original in reversed(known):
            if original.sequence == sequence:
                return original
        raise OutcomeUnknown(
            f"producer {producer.hex()} sent batch {sequence} again long after it was appended; "
            f"only the last {self._outcomes_max} placements are remembered"
        )

    def append(self, original: Original) -> None:
        """The leader appended it; it is not committed yet, or applied already, as `GivenIds.append` says."""
        if original.producer and original.index >= self.applied:
            self._overlay.setdefault(original.producer, []).append(original)

    def commit(self, original: Original) -> None:
        """Apply a committed record. To be called in order; one that is applied already is passed over."""
        if original.index < self.applied:
            return
        self.applied = original.index + 1
        producer = original.producer
        if not producer:
            return
        window = self._windows.pop(producer, [])
        if window and original.producer is not window[-1].producer:
            original = replace(original, producer=window[-1].producer)  # one id in memory, not one for each batch
        window.append(original)
        del window[: -self._outcomes_max]
        self._windows[producer] = window
        while len(self._windows) > self._producers_max:
            del self._windows[next(iter(self._windows))]
        waiting = self._overlay.get(producer)
        if waiting and waiting[0].index <= original.index:
            del waiting[0]
            if not waiting:
                del self._overlay[producer]

    def relay(self, originals: Iterable[Original]) -> None:
        """Start the overlay anew: what lies above the high watermark if leadership was won, nothing if it was lost."""
        self._overlay = {}
        for original in originals:
            self.append(original)

    def snapshot(self) -> bytes:
        """The committed windows and how far they are applied; equal on all replicas that applied as much."""
        return msgspec.msgpack.encode(_Snapshot(self.applied, list(self._windows.values())))

    def restore(self, snapshot: bytes) -> None:
        """Take over a `snapshot`; records from `applied` on are to be committed again.

        Raises `CorruptRecord` if it is none.
        """
        try:
            restored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptRecord(f"not a snapshot of producer windows: {error}; rebuild it from the log") from error
        if not all(restored.windows):
            raise CorruptRecord("a snapshot of producer windows has an empty one; rebuild it from the log")
        self.applied = restored.applied
        self._windows = {window[-1].producer: window for window in restored.windows}
        self._overlay = {}

    def __len__(self) -> int:
        """Producers remembered."""
        return len(self._windows)
