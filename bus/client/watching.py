"""Records of many partitions, whoever leads them: contiguous, each exactly once, within a bound of bytes.

One `Tap` per partition knows the next offset it wants. It watches the partition's leader from there; when the leader
changes or the session ends it watches the next one, from where it stands. Credit is given back as records are
taken, so that what is on its way and what waits here never exceeds `credit_bytes` per partition: a slow reader slows
itself alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from bus import limits, wire
from bus.batch import EVENTS, Header, unseal
from bus.client.cluster import Cluster, fault_error
from bus.client.connection import Connection, Lost
from bus.errors import BrokerUnavailable, BusError, ClientError, CorruptRecord, ProtocolError

_TIMER_SLACK_SECONDS = 0.001
"""Timers may fire a little before the moment they were set for."""


class Piece(NamedTuple):
    """One record as a watch brought it. `rows` is the bitmap of the rows meant, empty for all; events below `start`
    were taken before."""

    header: Header
    body: bytes
    rows: bytes
    start: int


class Chunk(NamedTuple):
    """What one Records frame brought: `pieces`, and where the reader stands after them. `size` is what it costs."""

    tap: "Tap"
    pieces: list[Piece]
    next_offset: int
    size: int


class Tap:
    """One partition of a watch. `offset` is the next one wanted, or -1 while only the `time` to start at is known (ns).

    `until`: stop there; None: go on for ever. `high`: the last high watermark heard of.
    """

    __slots__ = (
        "failures",
        "held",
        "high",
        "link",
        "number",
        "offset",
        "owed",
        "partition",
        "refused_by",
        "retry_at",
        "time",
        "trimmed",
        "until",
    )

    def __init__(self, partition: int, offset: int, time: int = 0, until: int | None = None) -> None:
        self.partition = partition
        self.offset = offset
        self.time = time
        self.until = until
        self.high = 0
        self.trimmed = 0
        self.number = 0
        self.link: Connection | None = None
        self.held = 0
        self.owed = 0
        self.failures = 0
        self.refused_by: Connection | None = None
        self.retry_at = 0.0

    @property
    def finished(self) -> bool:
        return self.until is not None and self.offset >= self.until


class Watches:
    """All taps of one reader. `next()` gives chunks in order of arrival; `done(chunk)` gives their credit back.

    `passes`: whether positions that move over events that do not match are to be heard of soon, as chunks without
    pieces.
    """

    def __init__(
        self,
        cluster: Cluster,
        taps: Iterable[Tap],
        pattern: str,
        internal: bool,
        credit_bytes: int,
        passes: bool = False,
    ) -> None:
        self.taps = {tap.partition: tap for tap in taps}
        self.chunks: deque[Chunk] = deque()
        self._cluster = cluster
        self._pattern = pattern
        self._internal = internal
        self._credit_bytes = credit_bytes
        self._passes = passes
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._error: BusError | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._open = True
        cluster.observers.add(self._attend)
        self._attend()

    async def next(self, within: float | None = None) -> Chunk | None:
        """The next chunk, or None when every tap stands at its `until`. Raises what the fleet refused.

        BrokerUnavailable when no partition brought anything for `within` seconds; None waits without end.
        """
        while not self.chunks:
            if self._error is not None:
                raise self._error
            if self._cluster.closed:
                raise ClientError("this fleet is closed: read inside `async with bus.connect()`")
            if all(tap.finished for tap in self.taps.values()):
                return None
            self._arrived.clear()
            try:
                async with asyncio.timeout(within):
                    await self._arrived.wait()
            except TimeoutError:
                raise self._stalled(within or 0.0) from None
        return self.chunks.popleft()

    def _stalled(self, seconds: float) -> BrokerUnavailable:
        """Names the partition that holds up the end: one without a leader first, then one that cannot be reached."""

        def order(tap: Tap) -> tuple[bool, bool, int]:
            seat = self._cluster.seats.get(tap.partition)
            is_led = seat is not None and bool(seat.leader)
            return is_led, self._cluster.leader(tap.partition) is not None, tap.partition

        tap = min((tap for tap in self.taps.values() if not tap.finished), key=order)
        leader = self._cluster.leader(tap.partition)
        why = f"{leader.url} sends no records" if leader is not None else self._cluster.unavailable(tap.partition)
        return BrokerUnavailable(
            f"partition {tap.partition} stands at offset {max(tap.offset, 0)} of {tap.until}, and nothing came for "
            f"{seconds:g} s ({why}); when `signalbox status` shows a leader, read again from a cursor to go on"
        )

    def done(self, chunk: Chunk) -> None:
        """The chunk was taken: its bytes may come again."""
        tap = chunk.tap
        tap.held -= chunk.size
        tap.owed += chunk.size
        if tap.link is not None and 4 * tap.owed >= self._credit_bytes:
            tap.link.send(wire.Credit(tap.number, tap.owed))
            tap.owed = 0

    def close(self) -> None:
        """Stop all watches."""
        self._open = False
        self._cluster.observers.discard(self._attend)
        if self._retry is not None:
            self._retry.cancel()
        for tap in self.taps.values():
            self._stop(tap)
        self._arrived.set()

    # ------------------------------------------------------------------------------------------ watching

    def _attend(self) -> None:
        """See that every unfinished tap watches its leader."""
        self._retry = None
        if self._cluster.closed:
            self._arrived.set()
            return
        now = self._loop.time() + _TIMER_SLACK_SECONDS
        for tap in self.taps.values():
            if tap.finished:
                continue
            link = self._cluster.leader(tap.partition)
            if link is None or link is tap.link:
                continue
            self._stop(tap)
            if tap.refused_by is link and tap.retry_at > now:
                self._again_at(tap.retry_at)
            else:
                self._start(tap, link)

    def _again_at(self, when: float) -> None:
        if self._retry is None and self._open:
            self._retry = self._loop.call_at(when, self._attend)

    def _start(self, tap: Tap, link: Connection) -> None:
        number = next(self._cluster.numbers)
        watch = wire.Watch(
            subscription=number,
            partition=tap.partition,
            offset=max(tap.offset, 0),
            time=tap.time if tap.offset < 0 else 0,
            pattern=self._pattern,
            internal=self._internal,
            credit=max(1, self._credit_bytes - tap.held),
            passes=self._passes,
        )
        tap.owed = 0
        tap.number = number

        def heard(message: Any, blobs: list[bytes]) -> None:
            if tap.number == number and self._open:
                self._heard(tap, message, blobs)

        if link.ask(number, watch, (), heard):
            tap.link = link

    def _stop(self, tap: Tap) -> None:
        link, tap.link = tap.link, None
        if link is not None:
            link.forget(tap.number)
            link.send(wire.Unwatch(tap.number))
        tap.number = 0

    # ------------------------------------------------------------------------------------------- hearing

    def _heard(self, tap: Tap, message: Any, blobs: list[bytes]) -> None:
        if isinstance(message, wire.Records):
            try:
                self._take(tap, message, blobs)
            except (CorruptRecord, ProtocolError) as error:
                self._failed(tap, error)
                raise
        elif isinstance(message, Lost):
            tap.link = None
        elif isinstance(message, wire.Fault):
            if tap.link is not None:
                tap.link.forget(tap.number)
            tap.refused_by, tap.link = tap.link, None
            refusal = fault_error(message)
            if isinstance(refusal, ClientError):
                self._error = refusal
                self._arrived.set()
            elif isinstance(refusal, CorruptRecord):
                self._failed(tap, refusal)
            else:
                self._back_off(tap)
        else:
            raise ProtocolError(f"{type(message).__name__} answers no Watch")

    def _failed(self, tap: Tap, error: BusError) -> None:
        tap.failures += 1
        self._back_off(tap)
        if tap.failures > limits.WATCH_RETRIES_MAX:
            self._error = error
            self._arrived.set()

    def _back_off(self, tap: Tap) -> None:
        tap.retry_at = self._loop.time() + limits.REDIAL_MS_MIN / 1000 * 2 ** min(tap.failures, 4)
        self._again_at(tap.retry_at)

    def _take(self, tap: Tap, records: wire.Records, blobs: list[bytes]) -> None:
        at = tap.offset if tap.offset >= 0 else records.first_offset
        if records.partition != tap.partition or records.next_offset < at or len(records.rows) not in (0, len(blobs)):
            raise ProtocolError(
                f"Records of partition {records.partition} do not fit what partition {tap.partition} asked"
            )
        pieces = []
        upto = at
        for place, blob in enumerate(blobs):
            header, body = unseal(blob)
            end = header.base_offset + header.count
            if header.kind != EVENTS or header.partition != tap.partition or end <= upto or header.count < 1:
                raise ProtocolError(f"a record of partition {header.partition} at {header.base_offset} is out of place")
            pieces.append(
                Piece(header, body, records.rows[place] if records.rows else b"", max(at, header.base_offset))
            )
            upto = end
        if upto > records.next_offset:
            raise ProtocolError(
                f"partition {tap.partition}: records to {upto} came with next offset {records.next_offset}"
            )
        tap.trimmed += max(0, records.first_offset - at)
        tap.offset = records.next_offset
        tap.high = max(tap.high, records.high)
        tap.failures = 0
        size = sum(map(len, blobs))
        tap.held += size
        self.chunks.append(Chunk(tap, pieces, records.next_offset, size))
        if tap.finished:
            self._stop(tap)
        self._arrived.set()
