"""All records of a fleet, for who archives them: every partition from a cursor, internal types included.

A recorder's cursor stands at the end of what it has committed, so each offset is given exactly once: contiguous within
its partition, whatever happens to brokers meanwhile. Credit comes back only as records are taken, so a recorder that is
slow holds `FOLLOW_CREDIT_BYTES` per partition and no more.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType

import msgspec

from bus import limits, wire
from bus.batch import Header, decode, encode
from bus.client.fleet import Fleet
from bus.client.watching import Chunk, Tap, Watches
from bus.errors import CorruptRecord

Record = tuple[Header, bytes]
"""A record's header and body (`bus.batch.decode` reads it)."""


def reached(cursor: Mapping[int, int], extents: Mapping[int, wire.Extent]) -> bool:
    """Whether a cursor {partition: next offset} has come to all high watermarks."""
    return behind(cursor, extents) == 0


def behind(cursor: Mapping[int, int], extents: Mapping[int, wire.Extent]) -> int:
    """How many events stand between a cursor and the high watermarks."""
    return sum(max(0, extent.high - cursor.get(partition, 0)) for partition, extent in extents.items())


class RecordFollower:
    """Use in `async with`; `take()` gives what has arrived. `cursor`: where each partition stands after what was taken.

    Partitions that the cursor does not name start at 0. `trimmed` counts events that retention had removed before they
    could be taken, by partition.
    """

    def __init__(self, fleet: Fleet, cursor: Mapping[int, int], credit_bytes: int = limits.FOLLOW_CREDIT_BYTES) -> None:
        self.cursor = dict(cursor)
        self._fleet = fleet
        self._credit_bytes = credit_bytes
        self._watches: Watches | None = None
        self._rest: list[Record] = []
        self._last: Chunk | None = None

    async def __aenter__(self) -> "RecordFollower":
        cluster = self._fleet.cluster
        if not cluster.seats:
            await cluster.ready(limits.PUBLISH_MS_MAX / 1000)
        for partition in range(cluster.partitions):
            self.cursor.setdefault(partition, 0)
        taps = [Tap(partition, offset) for partition, offset in self.cursor.items()]
        self._watches = Watches(cluster, taps, ">", True, self._credit_bytes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watches is not None:
            self._watches.close()

    @property
    def highs(self) -> dict[int, int]:
        """The high watermarks last heard of."""
        return {tap.partition: tap.high for tap in self._taps()}

    @property
    def trimmed(self) -> dict[int, int]:
        """Events that were gone before they could be taken, by partition; partitions without any are left out."""
        return {tap.partition: tap.trimmed for tap in self._taps() if tap.trimmed}

    @property
    def waiting(self) -> bool:
        """Whether `take()` would return at once."""
        return bool(self._rest or (self._watches is not None and self._watches.chunks))

    async def take(self, events_max: int = 5_000) -> list[Record]:
        """At least one record, and at most `events_max` events unless a single record has more; in order of arrival.

        Cancelling it loses nothing.
        """
        await asyncio.sleep(0)
        taken: list[Record] = []
        count = 0
        while True:
            while self._rest:
                header = self._rest[-1][0]
                if taken and count + header.count > events_max:
                    return taken
                taken.append(self._rest.pop())
                count += header.count
                self.cursor[header.partition] = header.base_offset + header.count
            self._release()
            if self._watches is None or (taken and not self._watches.chunks):
                return taken
            chunk = await self._watches.next()
            if chunk is not None:
                self._last = chunk
                self._rest = [_from(piece.header, piece.body, piece.start) for piece in reversed(chunk.pieces)]

    def __aiter__(self) -> AsyncIterator[list[Record]]:
        return self._all()

    async def _all(self) -> AsyncIterator[list[Record]]:
        while True:
            yield await self.take()

    def _release(self) -> None:
        if self._last is not None and self._watches is not None:
            chunk, self._last = self._last, None
            partition = chunk.tap.partition
            self.cursor[partition] = max(self.cursor[partition], chunk.next_offset)
            self._watches.done(chunk)

    def _taps(self) -> list[Tap]:
        return list(self._watches.taps.values()) if self._watches is not None else []


def _from(header: Header, body: bytes, start: int) -> Record:
    """The part of a record from offset `start` on; usually all of it."""
    if start <= header.base_offset:
        return header, body
    columns = decode(body)
    if columns.count != header.count:
        raise CorruptRecord(f"partition {header.partition}: a record of {header.count} events holds {columns.count}")
    rows = range(start - header.base_offset, header.count)
    part = msgspec.structs.replace(header, base_offset=start, count=len(rows), signature=b"")
    return part, encode(columns.events(rows))
