"""`Fleet.read` in an order that partitions do not give by themselves: by the events' time, or causes before effects.

What arrives goes through a hold-back buffer (`bus.holdback`). A partition of which more than its share is held back
gets no further credit, so that it waits at its broker while the others come; a partition is *behind* while something of
it is known to be on its way. One whose leader has been silent for the lateness is not waited for any longer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from typing import Any, Generic, Protocol, TypeVar

from bus import limits
from bus.client.cluster import Cluster
from bus.client.reading import Positioned, read_piece, taps
from bus.client.starting import From
from bus.client.watching import Chunk, Watches
from bus.errors import ClientError
from bus.holdback import GAPS, LATE, ByTime, Causal

ORDERS = ("none", "timestamp", "causal")
STALL_SECONDS = limits.READ_STALL_MS_MAX / 1000
Given = TypeVar("Given")


class HoldBack(Protocol):
    """What both orders are to the loop below; instants are ns."""

    def __len__(self) -> int: ...
    def held(self, partition: int) -> int:
        """How many events of a partition are held."""

    def take(self, found: Positioned, now: int) -> list[Positioned]:
        """An event came; gives what is delivered whatever else comes."""

    def passed(self, partition: int, next_offset: int) -> None:
        """Nothing below is still to come."""

    def go(self, now: int, behind: Collection[int], full: bool) -> list[Positioned]:
        """What may go now. `full`: nothing more can come unless something goes."""

    def end(self, now: int) -> list[Positioned]:
        """Nothing more will come: what goes nevertheless."""

    def next_due(self) -> int | None:
        """When something may go though nothing comes."""


class InTime(ByTime[Positioned]):
    """By the publishers' time, or the leader's where none was said."""

    def take(self, found: Positioned, now: int) -> list[Positioned]:
        """See HoldBack."""
        at = found.appended if found.event.time is None else found.event.time
        return self.push(found.partition, found.offset, at, found, now)

    def passed(self, partition: int, next_offset: int) -> None:
        """Time says nothing about offsets."""

    def go(self, now: int, behind: Collection[int], full: bool) -> list[Positioned]:
        """See HoldBack."""
        return self.release(now, behind, len(self) // 2 if full else limits.HOLDBACK_EVENTS_MAX)

    def end(self, now: int) -> list[Positioned]:
        """See HoldBack."""
        return self.flush()


class InCause(Causal[Positioned]):
    """Causes before effects, by the publishers' `deps`."""

    def take(self, found: Positioned, now: int) -> list[Positioned]:
        """See HoldBack."""
        self.push(found.partition, found.offset, found.event.deps or {}, found, now)
        return []

    def go(self, now: int, behind: Collection[int], full: bool) -> list[Positioned]:
        """See HoldBack."""
        return self.release(now, behind)

    def end(self, now: int) -> list[Positioned]:
        """Patience ends here too. A gap that is waited for is not delivered: what was read is causally whole."""
        return self.release(now + self.patience, ())


class Ordered:
    """What has become of the order so far, of a reading or of a group's member.

    By time: `late` events came after their place had passed, `forced` ones left before others that may have been due,
    as no more could be held. By cause: `prevented` ones had overtaken a cause and were held for it, so many violations
    there would have been; `gaps` met a cause that was nowhere, of which `skipped` were delivered without it, and `dead`
    were not delivered for it. `held`: how many events came and are held now.
    """

    _hold: ByTime[Any] | Causal[Any] | None = None

    @property
    def held(self) -> int:
        """See the class."""
        return len(self._hold) if self._hold is not None else 0

    @property
    def late(self) -> int:
        """See the class."""
        return self._hold.late if isinstance(self._hold, ByTime) else 0

    @property
    def forced(self) -> int:
        """See the class."""
        return self._hold.forced if isinstance(self._hold, ByTime) else 0

    @property
    def prevented(self) -> int:
        """See the class."""
        return self._hold.prevented if isinstance(self._hold, Causal) else 0

    @property
    def gaps(self) -> int:
        """See the class."""
        return self._hold.gaps if isinstance(self._hold, Causal) else 0

    @property
    def skipped(self) -> int:
        """See the class."""
        return self._hold.skipped if isinstance(self._hold, Causal) else 0

    @property
    def dead(self) -> int:
        """See the class."""
        return self._hold.dead if isinstance(self._hold, Causal) else 0


class Reading(Ordered, Generic[Given]):
    """What `Fleet.read` gives: an async iterator, and what has become of the order so far (`Ordered`).

    `aside` has the events that were set aside for a gap. `waiting()`: (event, partition, offset) of the first that
    waits in each partition, and one thing it waits for.
    """

    _hold: InTime | InCause | None

    def __init__(self, events: AsyncGenerator[Given], hold: InTime | InCause | None = None) -> None:
        self._events = events
        self._hold = hold

    def __aiter__(self) -> "Reading[Given]":
        return self

    async def __anext__(self) -> Given:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Stop reading."""
        await self._events.aclose()

    @property
    def aside(self) -> list[Positioned]:
        """See the class; the last HOLDBACK_ASIDE_MAX."""
        return list(self._hold.aside) if isinstance(self._hold, InCause) else []

    def waiting(self) -> list[tuple[Positioned, int, int]]:
        """See the class."""
        return self._hold.waiting() if isinstance(self._hold, InCause) else []


def hold_back(order: str, lateness: float, late: str, gap: str) -> InTime | InCause | None:
    """The buffer for an order; `lateness` in seconds. Raises ClientError for what is none of them."""
    if order not in ORDERS:
        raise ClientError(f"order={order!r}: a read has one of {', '.join(ORDERS)}; strict is for subscribe()")
    if late not in LATE or gap not in GAPS or not 0 <= lateness <= limits.LATENESS_MS_MAX / 1000:
        raise ClientError(
            f"late={late!r} (one of {', '.join(LATE)}), gap={gap!r} (one of {', '.join(GAPS)}), lateness={lateness} "
            f"(0 to {limits.LATENESS_MS_MAX // 1000} seconds): one of them is out of range"
        )
    if order == "timestamp":
        return InTime(int(lateness * 1e9), late)
    return InCause({}, int(lateness * 1e9), gap) if order == "causal" else None


async def ordered(
    cluster: Cluster,
    pattern: str,
    origin: From,
    follow: bool,
    internal: bool,
    within: float,
    hold: InTime | InCause,
) -> AsyncGenerator[Positioned]:
    """The matching events as `hold` gives them. `within` and what is raised: as for `reading.read`."""
    extents = await cluster.describe(range(cluster.partitions), within)
    start = await taps(cluster, origin, follow, within)
    for tap in start:
        tap.high = extents[tap.partition].high
        hold.passed(tap.partition, max(0, tap.offset))
    # A cause may be an event that the pattern leaves out: that it was passed has to be known.
    passes = isinstance(hold, InCause)
    watches = Watches(cluster, start, pattern, internal, limits.WATCH_CREDIT_BYTES, passes)
    try:
        async for found in Loop(watches, hold, hold.patience, None if follow else STALL_SECONDS).events():
            yield found
    finally:
        watches.close()


async def told(
    events: AsyncGenerator[Positioned], positions: bool, saw: Callable[[int, int], None] | None
) -> AsyncGenerator[Any]:
    """The events, or their positions too; `saw(partition, offset)` hears of each that is given."""
    try:
        async for found in events:
            if saw is not None:
                saw(found.partition, found.offset)
            yield found if positions else found.event
    finally:
        await events.aclose()


class Loop:
    """One ordered reading: the watches, the hold-back and the credit between them. `patience` in ns, `stall` in s."""

    def __init__(self, watches: Watches, hold: HoldBack, patience: int, stall: float | None = None) -> None:
        self._stall = stall
        self._watches = watches
        self._hold = hold
        self._patience = patience
        self._share = max(1, limits.HOLDBACK_EVENTS_MAX // len(watches.taps))
        self._paused: dict[int, list[Chunk]] = {}
        self._dark: dict[int, int] = {}

    async def events(self) -> AsyncIterator[Positioned]:
        """All of them, in order."""
        behind = self._behind(time.monotonic_ns())
        while True:
            chunk, over = await self._next(behind)
            now = time.monotonic_ns()
            for found in self._take(chunk, now) if chunk is not None else ():
                yield found
            behind = self._behind(now)
            full = not behind and any(not self._caught_up(partition) for partition in self._paused)
            for found in self._hold.end(now) if over else self._hold.go(now, behind, full):
                yield found
            if over:
                return
            self._resume()
            await asyncio.sleep(0)

    async def _next(self, behind: Collection[int]) -> tuple[Chunk | None, bool]:
        """(what came, whether that is all); nothing when it is time to look after what is held."""
        now = time.monotonic_ns()
        dues = [since + self._patience + 1 for since in self._dark.values() if now - since <= self._patience]
        held = self._hold.next_due() if not behind else None
        due = min(dues if held is None else [held, *dues], default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0, due - now) / 1e9):
                chunk = await self._watches.next(self._stall)
        except TimeoutError:
            return None, False
        return chunk, chunk is None

    def _take(self, chunk: Chunk, now: int) -> list[Positioned]:
        partition, until = chunk.tap.partition, chunk.tap.until
        out: list[Positioned] = []
        for piece in chunk.pieces:
            for found in read_piece(piece):
                if until is None or found.offset < until:
                    out += self._hold.take(found, now)
        self._hold.passed(partition, chunk.next_offset)
        self._paused.setdefault(partition, []).append(chunk)
        self._resume()
        return out

    def _resume(self) -> None:
        for partition in [one for one in self._paused if self._hold.held(one) <= self._share]:
            for chunk in self._paused.pop(partition):
                self._watches.done(chunk)

    def _caught_up(self, partition: int) -> bool:
        tap = self._watches.taps[partition]
        return tap.offset >= (tap.high if tap.until is None else tap.until)

    def _behind(self, now: int) -> set[int]:
        behind = {chunk.tap.partition for chunk in self._watches.chunks}
        for partition, tap in self._watches.taps.items():
            if tap.link is not None or self._caught_up(partition):
                self._dark.pop(partition, None)
            elif now - self._dark.setdefault(partition, now) > self._patience:
                continue
            if partition not in self._paused and not self._caught_up(partition):
                behind.add(partition)
        return behind
