"""Appending in the simulation: what a batch repeats of given ids is left out, as at a real leader."""

from bus import replica
from bus.batch import decode
from bus.bitmap import bitmap
from bus.given import Fresh
from bus.record import REPEATS, Header

from .disk import Record
from .messages import Batch


class Appending:
    """The part of a simulated broker that is about batches at their leader."""

    def _append(self, batch: Batch) -> int:
        fresh = Fresh(b"", batch.count)
        if batch.names:
            bits = bitmap(range(batch.count), batch.count)
            fresh = self.given.sift(bits, decode(batch.body), batch.body)
        placed = self.replica.append(fresh.count, self.world.now)
        self.counts["duplicates"] += batch.count - fresh.count
        record = Record(
            kind=replica.EVENTS if fresh.count else REPEATS,
            epoch=placed.epoch,
            base_offset=placed.base_offset,
            count=fresh.count,
            producer=batch.producer,
            sequence=batch.sequence,
            value=batch.value,
            appended=max(self.world.now, 1, self.log.records[-1].appended if self.log.records else 0),
            names=tuple(decode(fresh.body).ids) if batch.names and fresh.count else (),
            given=fresh.given,
            repeats=tuple(fresh.repeats),
        )
        self._write(placed.index, record)
        self.windows.append(self._original(placed.index))
        self.given.append(placed.index, header_of(record))
        return placed.index


def header_of(record: Record) -> Header:
    """What the window of given ids reads of a record."""
    return Header(
        kind=record.kind,
        partition=0,
        epoch=record.epoch,
        base_offset=record.base_offset,
        count=record.count,
        appended=record.appended,
        given=record.given,
        repeats=list(record.repeats),
    )
