"""Who waits for a batch: calls of `publish` that share one, and parts of a `publish_many`.

Each owner is told once what became of its batch (`settled`) and passes it on, event by event.
"""

import asyncio
from collections.abc import Callable

from bus.bitmap import marked
from bus.client.lane import Result
from bus.client.packing import Receipt, receipts
from bus.errors import BusError
from bus.event import Event


class Shared:
    """Events of concurrent `publish` calls that will share a batch; as owner of the batch it answers each of them.

    `since` is when the first of them came, in seconds of the loop's clock.
    """

    __slots__ = ("events", "futures", "marks", "since")

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self.events: list[Event] = []
        self.futures: list[asyncio.Future[Receipt]] = []
        self.marks = bytearray()
        """`packing.marks_of` its events."""

    @property
    def given(self) -> bytes:
        """The bitmap of the ids that callers gave."""
        return marked(self.marks)

    def cut(self, start: int, stop: int) -> "Shared":
        """The owner of some of the events."""
        owner = Shared(self.since)
        owner.events, owner.futures = self.events[start:stop], self.futures[start:stop]
        owner.marks = self.marks[start:stop]
        return owner

    def settled(self, result: Result, acks: str) -> None:
        if isinstance(result, BusError):
            for future in self.futures:
                if not future.done():
                    future.set_exception(result)
            return
        for future, receipt in zip(
            self.futures, receipts(result, self.events, [event.id for event in self.events], acks), strict=True
        ):
            if not future.done():
                future.set_result(receipt)


class Call:
    """One `publish_many`: results by the events' places, which ids were given, how many are there, how many errors."""

    def __init__(self, on_progress: Callable[[int, int], None] | None) -> None:
        self.results: list[Receipt | BusError | None] = []
        self.marks = bytearray()
        self.gives = False
        self.done = 0
        self.failed = 0
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.complete = False
        self._on_progress = on_progress

    def take(self, marks: bytes) -> None:
        """More events have come, with these `packing.marks_of` them."""
        self.results += [None] * len(marks)
        self.marks += marks
        self.gives = self.gives or b"1" in marks

    def advance(self, count: int) -> None:
        self.done += count
        if self._on_progress is not None and not self.whole.done():
            try:
                self._on_progress(self.done, len(self.results))
            except Exception as error:
                self.whole.set_exception(error)
        self.check()

    def check(self) -> None:
        if self.complete and self.done == len(self.results) and not self.whole.done():
            self.whole.set_result(None)


class Part:
    """The events of one call that share a batch, and the ids they are sent under; owner of that batch."""

    __slots__ = ("call", "events", "ids", "places")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.events: list[Event] = []
        self.ids: list[str] = []
        self.places: list[int] = []

    @property
    def given(self) -> bytes:
        """The bitmap of the ids that the caller gave."""
        return marked(bytes(map(self.call.marks.__getitem__, self.places))) if self.call.gives else b""

    def cut(self, start: int, stop: int) -> "Part":
        if start == 0 and stop == len(self.events):
            return self
        part = Part(self.call)
        part.events, part.ids, part.places = self.events[start:stop], self.ids[start:stop], self.places[start:stop]
        return part

    def settled(self, result: Result, acks: str) -> None:
        results = self.call.results
        if isinstance(result, BusError):
            self.call.failed += len(self.places)
            for place in self.places:
                results[place] = result
        else:
            made = receipts(result, self.events, self.ids, acks)
            for place, receipt in zip(self.places, made, strict=True):
                results[place] = receipt
        self.call.advance(len(self.places))
