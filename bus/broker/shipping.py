"""What a leader says to followers: the records they lack, and where to begin when those are trimmed.

A damaged record is not shipped. That is said once; the follower it was for gets heartbeats, and the others go on.
"""

import logging

from bus import limits, outputs, wire
from bus.broker.links import Links
from bus.errors import CorruptRecord
from bus.replica import Replica
from bus.store import Store

log = logging.getLogger("bus.broker")
_HEARTBEAT_NS = limits.HEARTBEAT_MS * 1_000_000


class Shipping:
    """The way of all partitions that are led here, from the store to the links."""

    def __init__(self, broker: str, store: Store, links: Links) -> None:
        self._broker = broker
        self._store = store
        self._links = links
        self._damaged: set[tuple[int, int]] = set()
        self._stuck: dict[tuple[int, str], int] = {}

    def ship(self, replica: Replica, wanted: outputs.ShipTo, now: int) -> bool:
        """Send what was asked for, as much as one ship carries; whether there is more to send. `now` in ns."""
        partition = replica.partition
        blobs: list[bytes] = []
        if wanted.upto > wanted.first:
            blobs = self._records(partition, wanted.first, wanted.upto)
            if not blobs and now - self._stuck.get((partition, wanted.broker), 0) < _HEARTBEAT_NS:
                replica.shipped_upto(wanted.broker, wanted.first, 0)
                return False
            if not blobs:
                self._stuck[partition, wanted.broker] = now
        upto = wanted.first + len(blobs)
        replica.shipped_upto(wanted.broker, upto, sum(map(len, blobs)))
        ship = wire.Ship(partition, wanted.epoch, self._broker, wanted.prev, wanted.prev_epoch, wanted.high)
        self._links.send(wanted.broker, partition, ship, blobs, now)
        return upto < replica.end

    def begin(self, replica: Replica, wanted: outputs.SendBegin, upto: int, folds: list[bytes], now: int) -> None:
        """Send the folds of all records below `upto`, instead of those that are trimmed. `now` in ns."""
        partition = replica.partition
        size = sum(map(len, folds))
        if size > limits.BEGIN_BYTES_MAX:
            log.error(
                "partition %d: %s lacks trimmed records, and what they made is too large to send, %d bytes; "
                "let groups settle what is open",
                *(partition, wanted.broker, size),
            )
            return
        extent = self._store.extent(partition)
        begin = wire.Begin(
            partition=partition,
            epoch=wanted.epoch,
            leader=self._broker,
            first=extent.first,
            first_offset=extent.first_offset,
            appended=extent.appended,
            lineage=replica.log.lineage_below(extent.first),
            upto=upto,
        )
        log.info("partition %d: %s lacks trimmed records; it is to begin at %d", partition, wanted.broker, extent.first)
        self._links.send(wanted.broker, partition, begin, folds, now)

    def _records(self, partition: int, first: int, upto: int) -> list[bytes]:
        """What a ship carries; nothing where the first record is damaged."""
        try:
            return [entry.record for entry in self._store.span(partition, first, upto, limits.SHIP_BYTES_MAX)]
        except CorruptRecord as error:
            if (partition, first) not in self._damaged:
                self._damaged.add((partition, first))
                log.error("partition %d cannot be shipped from record %d on: %s", partition, first, error)
            return []
