"""What the stores of this machine's brokers hold, read while none of them runs.

A journal is rebuilt when there is no plane and nobody leads, so nobody can be asked. Of a partition the log that an
election would choose, the one with the greatest (last epoch, end), counts whole; of the others what they know to be
committed, which is how an older log may still have what retention took from that one.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from bus.broker.home import Home
from bus.broker.kept import restored
from bus.errors import BusError, CorruptRecord
from bus.limits import RESERVED_PARTITIONS
from bus.record import EVENTS, Header, unseal
from bus.store import Store, open_store
from controlplane import copied
from controlplane.arrivals import Arrival, of_record
from controlplane.copied import Chunk
from controlplane.directory import Directory, alive
from controlplane.errors import BrokersRun, CopyUnreadable

log = logging.getLogger("signalbox.rebuild")
_NEVER = 1 << 63
"""Beyond every offset."""


class Log(NamedTuple):
    """One broker's replica of one partition: events from `first` to `end`, both as offsets, that count."""

    broker: str
    store: Store
    first: int
    end: int


class BrokerLogs:
    """The logs of one fleet on this machine; use in `with`. Brokers are kept from starting meanwhile.

    Raises BrokersRun when one of them runs. Stores that cannot be opened are left out, and named in `unreadable`.
    """

    def __init__(self, directory: Directory, fleet: str, partitions: int) -> None:
        self.unreadable: dict[str, str] = {}
        self.copy = partitions
        """The partition of the journal's copy."""
        self._open = ExitStack()
        self._stores: dict[str, Store] = {}
        self._logs: dict[int, list[Log]] = {}
        try:
            self._take(directory, fleet)
        except BaseException:
            self._open.close()
            raise

    def _take(self, directory: Directory, fleet: str) -> None:
        run = []
        for broker in directory.brokers():
            file = directory.broker_file(broker)
            if file is not None and file.fleet == fleet and alive(file.pid, file.started):
                run.append(f"{broker} (pid {file.pid})")
        if run:
            raise BrokersRun(
                f"{', '.join(run)} still run, and their stores are theirs: end them first, then try again."
            )
        for broker in directory.brokers():
            path, file = directory.broker(broker) / "store.lmdb", directory.broker_file(broker)
            if not path.exists() or file is None or file.fleet != fleet:
                continue
            try:
                self._open.enter_context(Home(directory.broker(broker)))
                store = open_store(path, self.copy + RESERVED_PARTITIONS)
            except BusError as error:
                self.unreadable[broker] = str(error)
                continue
            self._open.callback(store.close)
            self._stores[broker] = store

    def __enter__(self) -> "BrokerLogs":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def brokers(self) -> list[str]:
        """Whose stores are read."""
        return list(self._stores)

    def logs(self, partition: int) -> list[Log]:
        """Those of a partition, the one that would lead first."""
        if partition not in self._logs:
            found = []
            for broker, store in self._stores.items():
                try:
                    known = restored(store, partition)
                except CorruptRecord as error:
                    self.unreadable[broker] = str(error)
                    continue
                last = known.lineage[-1][0] if known.lineage else 0
                found.append(((last, known.end), known.high_offset, broker, store))
            found.sort(key=lambda each: each[0], reverse=True)
            self._logs[partition] = [
                Log(broker, store, store.first_offset(partition), store.mark(partition).end_offset if not n else high)
                for n, (_, high, broker, store) in enumerate(found)
            ]
        return self._logs[partition]

    def chunks(self, start: int = 0) -> Iterator[tuple[int, Chunk]]:
        """The journal's copy from an offset on, in order, each with its own; one that is damaged everywhere is passed
        over and said."""
        for header, body in self._records(self.copy, start):
            try:
                chunk = copied.chunk_of(header, body)
            except CopyUnreadable as error:
                log.warning("offset %d: %s", header.base_offset, error)
                continue
            if chunk is not None:
                yield header.base_offset, chunk

    def _records(self, partition: int, start: int) -> Iterator[tuple[Header, bytes]]:
        logs = self.logs(partition)
        at = max(start, min((each.first for each in logs), default=0))
        end = max((each.end for each in logs), default=0)
        while at < end:
            found = self._record(partition, at)
            if found is None:
                at = self._after(partition, at)
                continue
            yield found
            at = found[0].base_offset + found[0].count

    def arrivals(self, partition: int, first: int, count: int) -> Iterator[Arrival | range]:
        """The events with these offsets, in order; a range where nobody has them any more."""
        at, end = first, first + count
        missing = at
        while at < end:
            found = self._record(partition, at)
            if found is None:
                at = min(end, self._after(partition, at))
                continue
            if missing < at:
                yield range(missing, at)
            arrival = of_record(*found).between(at, end)
            yield arrival
            at = missing = arrival.next_offset
        if missing < end:
            yield range(missing, end)

    def _after(self, partition: int, offset: int) -> int:
        """The next offset that some log may have."""
        logs = self.logs(partition)
        if any(each.first <= offset < each.end for each in logs):
            return offset + 1
        return min((each.first for each in logs if each.first > offset), default=max(offset + 1, _NEVER))

    def _record(self, partition: int, offset: int) -> tuple[Header, bytes] | None:
        """The record that holds the event at this offset, from the first log that can give it."""
        for each in self.logs(partition):
            if not each.first <= offset < each.end:
                continue
            try:
                entry = each.store.entry(partition, each.store.index_of(partition, offset))
                header, body = unseal(entry.record)
            except CorruptRecord as error:
                log.warning("%s, partition %d, offset %d: %s", each.broker, partition, offset, error)
                continue
            if header.kind == EVENTS and header.base_offset <= offset < header.base_offset + header.count:
                return header, body
        return None
