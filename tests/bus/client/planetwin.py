"""A fleet without sockets for what coordinates through the control plane: one log, and the real folds beside it.

Each `TwinFleet` is a connection: publish, read, describe. The log is one partition; the plane takes what is new in it,
and lets time pass, each few milliseconds, unless it is `away`; what it says goes into the log like anything else.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, NamedTuple

from bus.client.faculties import Faculties
from bus.client.packing import Receipt
from bus.client.reading import Positioned
from bus.client.starting import parse_start
from bus.errors import BrokerUnavailable, ClientError
from bus.event import Event, from_json, to_json
from bus.ids import new_id
from bus.topic import matches
from controlplane.ballots import Ballots
from controlplane.facts import PlaneResumed, PlaneStarted, PublishEvent, Rows, Tick
from controlplane.fold import Heart
from controlplane.leases import Leases
from controlplane.registry import Registry
from tests.controlplane.logs import add, empty_rows

TURN_SECONDS = 0.005


class Extent(NamedTuple):
    first: int
    high: int


class Log:
    """The log and the plane, in `async with`. `down`: nothing can be published."""

    def __init__(self) -> None:
        self.events: list[Positioned] = []
        self.changed = asyncio.Condition()
        self.away = False
        self.down = False
        self.heart = Heart([Registry(), Ballots(), Leases()])
        self._archived = 0
        self._slept_since = 0
        self._turning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Log":
        self.heart.step(PlaneStarted(1, "u"), time.time_ns())
        self._turning = asyncio.create_task(self._turns())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._turning is not None
        self._turning.cancel()
        await asyncio.gather(self._turning, return_exceptions=True)
        assert not self.heart.quarantined, self.heart.quarantined

    def fleet(self, name: str) -> "TwinFleet":
        return TwinFleet(self, name)

    async def append(self, event: Event) -> int:
        async with self.changed:
            self.events.append(Positioned(event, 0, len(self.events), time.time_ns()))
            self.changed.notify_all()
            return len(self.events) - 1

    def said(self, type: str) -> list[Any]:
        """The data of all events of a type."""
        return [found.event.data for found in self.events if found.event.type == type]

    async def until(self, type: str, count: int = 1) -> list[Any]:
        """The same, once there are so many."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.said(type)) >= count)
        return self.said(type)

    async def _turns(self) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            if self.away:
                self._slept_since = self._slept_since or time.time_ns()
                continue
            steps = []
            if self._slept_since:
                gap = time.time_ns() - self._slept_since
                steps.append(self.heart.step(PlaneResumed(gap), time.time_ns()))
                self._slept_since = 0
            steps += [self.heart.step(rows, time.time_ns()) for rows in self._arrived()]
            steps.append(self.heart.step(Tick(), time.time_ns()))
            for step in steps:
                for _, _, intent in step.intents:
                    assert isinstance(intent, PublishEvent)
                    await self.append(from_json(intent.event))

    def _arrived(self) -> list[Rows]:
        rows = empty_rows(0, self._archived)
        for found in self.events[self._archived :]:
            rows.followed[len(rows)] = to_json(found.event)
            add(rows, found.event.type, found.event.source, "", found.event.id, found.appended)
        self._archived += len(rows)
        return [rows] if len(rows) else []


class TwinFleet(Faculties):
    """One connection."""

    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.name = name
        self.closed = False

    async def publish(self, event: Event, acks: str = "quorum", deadline: float = 30.0) -> Receipt:
        self._check()
        if self.log.down:
            try:
                async with asyncio.timeout(deadline), self.log.changed:
                    await self.log.changed.wait_for(lambda: not self.log.down or self.closed)
            except TimeoutError:
                raise BrokerUnavailable("no broker answers") from None
        event = event.replace(id=event.id or new_id(), source=event.source or self.name)
        return Receipt(0, await self.log.append(event), 1, time.time_ns(), event.id, "")

    async def describe(self) -> dict[int, Extent]:
        self._check()
        return {0: Extent(0, len(self.log.events))}

    async def read(
        self, pattern: str = ">", start: Any = "earliest", follow: bool = False, positions: bool = False
    ) -> AsyncIterator[Any]:
        origin = parse_start(start, time.time_ns())
        at = (origin.cursor or {}).get(0, 0)
        until = len(self.log.events)
        while follow or at < until:
            async with self.log.changed:
                while not self.closed and at == len(self.log.events):
                    await self.log.changed.wait()
            self._check()
            found = self.log.events[at]
            at += 1
            if matches(pattern, found.event.type):
                yield found if positions else found.event

    async def close(self) -> None:
        self.closed = True
        async with self.log.changed:
            self.log.changed.notify_all()

    def _check(self) -> None:
        if self.closed:
            raise ClientError("this fleet is closed")
