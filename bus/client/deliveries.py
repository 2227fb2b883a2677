"""Deliveries: events in the hands of one member, each to be settled once.

What one message of a leader brought is kept together, as an `Arrival`: its columns, and a flag for each event that is
over. A `Delivery` and its event are made when somebody asks for them. Settlements of one partition and turn of the loop
leave together, as `Verdicts`, and share their answer: settling costs nothing more unless it is awaited.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from bus import limits, wire
from bus.attributes import legible
from bus.batch import Columns
from bus.errors import BusError, ClientError, OutcomeUnknown, StaleDelivery
from bus.event import Event
from bus.record import Header
from bus.runs import runs_of

if TYPE_CHECKING:
    from bus.client.membership import Membership

OVER, SETTLED = 1, 2


class Arrival:
    """The `rows` (ascending) of one record that came together. A place is an index of them.

    `ended`: a byte for each place: 0 while it is out, OVER when its time is, SETTLED; `left`: how many are out.
    `given`: places below were handed out.
    `deadline`: when their `ack_wait` is over, on the loop's clock. `attempts`: row -> attempt, beyond the first.
    """

    __slots__ = (
        *("_columns", "_events", "appended", "attempts", "base", "deadline"),
        *("ended", "given", "left", "membership", "rows"),
    )

    def __init__(
        self, membership: "Membership", header: Header, columns: Columns, rows: list[int], attempts: dict[int, int]
    ) -> None:
        self.membership = membership
        self.base = header.base_offset
        self.appended = header.appended
        self.rows = rows
        self.attempts = attempts
        self.ended = bytearray(len(rows))
        self.left = len(rows)
        self.given = 0
        self.deadline = 0.0
        self._columns: Columns | None = columns
        self._events: list[Event] = []

    @property
    def events(self) -> list[Event]:
        """The event of each place; made at first use."""
        if self._columns is not None:
            self._events = self._columns.events(self.rows)
            self._columns = None
        return self._events

    def offset(self, place: int) -> int:
        """Where an event stands."""
        return self.base + self.rows[place]

    def attempt(self, place: int) -> int:
        """Which attempt of the event this is."""
        return self.attempts.get(self.rows[place], 1)

    def place(self, offset: int) -> int:
        """The place of an offset that is one of these."""
        return bisect_left(self.rows, offset - self.base)

    def out(self, first: int = 0) -> list[int]:
        """The offsets that are out, from a place on."""
        return [self.base + self.rows[place] for place in range(first, len(self.rows)) if not self.ended[place]]

    def waiting(self) -> list[int]:
        """The offsets that are out and were not handed out."""
        return self.out(self.given)

    def apart(self) -> "list[Arrival]":
        """Each event as an arrival of its own, in place of this one."""
        parts = []
        for row, event in zip(self.rows, self.events, strict=True):
            part = copy(self)
            part.rows, part.ended, part.left, part._events = [row], bytearray(1), 1, [event]
            parts.append(part)
        return parts

    def next(self) -> int:
        """The first place that was not handed out and is out; -1: none."""
        return self.ended.find(0, self.given)


class Verdicts:
    """Settlements that leave in one frame. `acks`: offsets whose first attempt is acked; `items`: all others, later.

    `deadline`: when they are given up. `stale`: once they are answered, the offsets that were refused, with why.
    """

    __slots__ = ("_waiters", "acks", "deadline", "error", "items", "stale")

    def __init__(self, deadline: float) -> None:
        self.acks: list[int] = []
        self.items: list[wire.Settlement] = []
        self.deadline = deadline
        self.stale: dict[int, str] | None = None
        self.error: BusError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def fits(self, count: int) -> bool:
        """Whether so many more may leave in the same frame."""
        return len(self.acks) + count <= limits.SETTLE_ACKS_MAX and len(self.items) + count <= limits.SETTLE_ITEMS_MAX

    def runs(self) -> list[int]:
        """`acks` as runs."""
        return runs_of(sorted(self.acks))

    def attempts(self) -> dict[int, int]:
        """Offset -> attempt of what is settled here."""
        return dict.fromkeys(self.acks, 1) | {item.offset: item.attempt for item in self.items}

    @property
    def is_over(self) -> bool:
        """Whether they are answered, or given up."""
        return self.stale is not None or self.error is not None

    def waiter(self) -> "asyncio.Future[None]":
        """Done when `is_over`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        return future

    def end(self, stale: dict[int, str] | None, error: BusError | None = None) -> None:
        """Answered, or given up with an error."""
        self.stale, self.error = stale, error
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Settling:
    """A settlement on its way. Awaiting it waits until it is durable; who does not await it does not hear of errors.

    Raises StaleDelivery if another attempt has begun, OutcomeUnknown if no leader answered in time.
    """

    __slots__ = ("_arrival", "_places", "_verdicts")

    def __init__(self, verdicts: Verdicts, arrival: Arrival, places: Sequence[int]) -> None:
        self._verdicts = verdicts
        self._arrival = arrival
        self._places = places

    def __await__(self) -> Generator[Any, None, None]:
        verdicts, arrival = self._verdicts, self._arrival
        if not self._places:
            return
        if not verdicts.is_over:
            yield from verdicts.waiter()
        partition = arrival.membership.partition
        if isinstance(verdicts.error, OutcomeUnknown):
            where = f"partition {partition}, offset {arrival.offset(self._places[0])}"
            more = f" and {len(self._places) - 1} more" if len(self._places) > 1 else ""
            raise OutcomeUnknown(f"{where}{more}: {verdicts.error}")
        if verdicts.error is not None:
            raise verdicts.error
        if verdicts.stale:
            said = [
                f"offset {offset}, attempt {arrival.attempt(place)}: {verdicts.stale[offset]}"
                for place in self._places
                if (offset := arrival.offset(place)) in verdicts.stale
            ]
            if said:
                more = f" ({len(said) - 1} more of {len(self._places)} are stale)" if len(said) > 1 else ""
                raise StaleDelivery(f"partition {partition}, {said[0]}{more}")


class Delivered:
    """What is said alike of one delivery and of many that came together."""

    __slots__ = ("_arrival",)
    _arrival: Arrival

    @property
    def group(self) -> str:
        """The group that it was delivered for."""
        return self._arrival.membership.group

    @property
    def partition(self) -> int:
        """Where the event stands, or the events."""
        return self._arrival.membership.partition

    @property
    def appended(self) -> int:
        """When the leader appended it, ns since 1970."""
        return self._arrival.appended


class Delivery(Delivered):
    """An event that a group's member is to work on.

    `attempt` counts from 1; `partition`, `offset` and `appended` (the leader's clock, ns) say where the event stands.
    It comes again, perhaps to another member, unless it is settled within `ack_wait`.
    """

    __slots__ = ("_place", "attempt", "offset")

    def __init__(self, arrival: Arrival, place: int) -> None:
        self._arrival = arrival
        self._place = place
        row = arrival.rows[place]
        self.offset = arrival.base + row
        self.attempt = arrival.attempts.get(row, 1)

    @property
    def event(self) -> Event:
        """The event."""
        return self._arrival.events[self._place]

    def ack(self) -> Settling:
        """It is done. Awaiting it waits until that is durable; raises StaleDelivery if another attempt has begun."""
        return self._arrival.membership.ack(self._arrival, (self._place,))

    def nack(self, delay: float = 0.0, error: str = "") -> Settling:
        """It failed: deliver it again after `delay` seconds. `error` says why, and is kept for its dead letter."""
        if not 0 <= delay <= limits.GROUP_DELAY_MS_MAX / 1000:
            raise ClientError(f"delay={delay}: it is in seconds, 0 to {limits.GROUP_DELAY_MS_MAX // 1000}")
        return self._settle("nack", int(delay * 1000), error)

    def terminate(self, reason: str = "") -> Settling:
        """It can never succeed: make it a dead letter now, with this reason."""
        return self._settle("terminate", 0, reason)

    def renew(self) -> None:
        """It is still worked on: its `ack_wait` begins anew. Nothing comes of it where the attempt is over."""
        self._arrival.membership.renew(self._arrival, self._place)

    def _settle(self, verdict: str, delay_ms: int, why: str) -> Settling:
        if not isinstance(why, str):
            raise ClientError(f"{verdict}: {why!r} is no text; say why as one, such as str(error)")
        # What is not UTF-8, as names of files may be, would end the session with all that others settle.
        text = legible(why, limits.GROUP_ERROR_CHARS_MAX)
        settlement = wire.Settlement(self.offset, self.attempt, verdict, delay_ms, text)
        return self._arrival.membership.settle(self._arrival, self._place, settlement)

    def __repr__(self) -> str:
        return f"Delivery({self.event!r}, attempt {self.attempt}, partition {self.partition}, offset {self.offset})"


class DeliveryBatch(Delivered):
    """Deliveries of one partition that came together, by ascending offset; iterate over it for each `Delivery`.

    It is the fast way: nothing is made for single events before it is asked for.
    """

    __slots__ = ("_places",)

    def __init__(self, arrival: Arrival, places: Sequence[int]) -> None:
        self._arrival = arrival
        self._places = places

    @property
    def events(self) -> list[Event]:
        """The events, in the order of the deliveries."""
        events = self._arrival.events
        return events if len(self._places) == len(events) else [events[place] for place in self._places]

    def ack(self) -> Settling:
        """Those of them that were not settled one by one are done. Awaiting it waits until that is durable; raises
        StaleDelivery, which names the first, if another attempt of some has begun: the others hold."""
        ended = self._arrival.ended
        places = [place for place in self._places if ended[place] != SETTLED] if SETTLED in ended else self._places
        return self._arrival.membership.ack(self._arrival, places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Delivery]:
        return iter([Delivery(self._arrival, place) for place in self._places])

    def __repr__(self) -> str:
        return f"DeliveryBatch({len(self)} of group {self.group}, partition {self.partition})"
