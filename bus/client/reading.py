"""`Fleet.read`: events of all partitions that match a pattern, in order of arrival; the fleet keeps no state of it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from bus import limits
from bus.batch import decode, rows_of
from bus.client.cluster import Cluster
from bus.client.starting import From
from bus.client.watching import Piece, Tap, Watches
from bus.errors import UnknownPartition
from bus.event import Event


class Positioned(NamedTuple):
    """An event and where it stands: `partition`, `offset`, and `appended`, the leader's clock in ns."""

    event: Event
    partition: int
    offset: int
    appended: int


def read_piece(piece: Piece) -> list[Positioned]:
    """The events of a record that are meant and were not taken before. Raises CorruptRecord."""
    header = piece.header
    columns = decode(piece.body)
    rows = rows_of(piece.rows, header.count) if piece.rows else range(header.count)
    first = piece.start - header.base_offset
    if first > 0:
        rows = [row for row in rows if row >= first]
    partition, base, appended = header.partition, header.base_offset, header.appended
    events = columns.events(rows)
    return [Positioned(event, partition, base + row, appended) for event, row in zip(events, rows, strict=True)]


async def taps(cluster: Cluster, origin: From, follow: bool, within: float) -> list[Tap]:
    """A tap for each partition, from `origin`; without `follow`, to the high watermarks of this moment."""
    partitions = range(cluster.partitions)
    unknown = [partition for partition in origin.cursor or () if partition not in partitions]
    if unknown:
        raise UnknownPartition(f"start: partition {unknown[0]} does not exist; this fleet has {len(partitions)}")
    extents = {}
    if origin.high or not follow:
        extents = await cluster.describe(partitions, within)
    made = []
    for partition in partitions:
        high = extents[partition].high if extents else 0
        until = None if follow else high
        if origin.high:
            made.append(Tap(partition, high, until=until))
        elif origin.cursor is not None:
            made.append(Tap(partition, origin.cursor.get(partition, 0), until=until))
        elif until == 0:
            made.append(Tap(partition, 0, until=0))
        else:
            made.append(Tap(partition, -1, time=origin.time, until=until))
    return made


async def read(
    cluster: Cluster, pattern: str, origin: From, follow: bool, internal: bool, within: float, positions: bool
) -> AsyncGenerator[Any]:
    """The matching events, as `Positioned` if `positions`. `within`: how long to wait for leaders at the start, s.

    Raises BrokerUnavailable when they do not answer then, or when without `follow` nothing comes for READ_STALL_MS_MAX.
    """
    start = await taps(cluster, origin, follow, within)
    stall = None if follow else limits.READ_STALL_MS_MAX / 1000
    watches = Watches(cluster, start, pattern, internal, limits.WATCH_CREDIT_BYTES)
    try:
        while True:
            chunk = await watches.next(stall)
            if chunk is None:
                return
            until = chunk.tap.until
            for piece in chunk.pieces:
                for found in read_piece(piece):
                    if until is None or found.offset < until:
                        yield found if positions else found.event
            watches.done(chunk)
            await asyncio.sleep(0)
    finally:
        watches.close()
