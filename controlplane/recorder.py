"""The recorder: follows every partition, and hands what arrived to the journal, in order and once.

It starts where the journal ends (`offsets`), so a record that comes again, after a new leader or a new session, is
known by its offsets and dropped, in part if need be. Each turn takes what has arrived, `TURN_EVENTS_MAX` at most, and
consecutive records of a partition become one input. Partitions take turns, so that none starves beside a flood. When
`RECORDER_EVENTS_MAX` wait, it takes no more from the brokers until the journal has caught up.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable

from bus.batch import Header
from bus.errors import CorruptRecord
from controlplane import limits
from controlplane.arrivals import Arrival, of_record

log = logging.getLogger("signalbox.recorder")


class Recorder:
    """What has arrived and is not journaled yet. `arrived` is called when there is something to take."""

    def __init__(self, offsets: dict[int, int], arrived: Callable[[], None]) -> None:
        """`offsets`: partition -> the first offset that the journal does not have."""
        self._next = dict(offsets)
        self._arrived = arrived
        self._waiting: dict[int, deque[Arrival]] = {}
        self._room = asyncio.Event()
        self._room.set()
        self.events = 0
        """Events that wait for a turn."""
        self.repeated = 0
        """Events that came again and were dropped."""
        self.unreadable = 0
        """Events of records that no one can read; they are left out, and the ledger shows it."""
        self.missing = 0
        """Events that the brokers did not have any more."""

    @property
    def cursor(self) -> dict[int, int]:
        """Where to follow from: partition -> offset."""
        return dict(self._next)

    @property
    def oldest(self) -> int:
        """When the oldest event that waits for a turn was appended, ns; 0 when none waits."""
        return min((queue[0].appended[0] for queue in self._waiting.values()), default=0)

    async def follow(self, records: AsyncIterator[list[tuple[Header, bytes]]]) -> None:
        """Take records, some at a time, until there are no more or this is cancelled."""
        async for some in records:
            for header, body in some:
                self.add(header, body)
            if self.events:
                self._arrived()
            if self.events >= limits.RECORDER_EVENTS_MAX:
                self._room.clear()
            await self._room.wait()

    def add(self, header: Header, body: bytes) -> None:
        """One committed record of any partition."""
        partition, end = header.partition, header.base_offset + header.count
        due = self._next.get(partition, 0)
        if end <= due:
            self.repeated += header.count
            return
        try:
            arrival = of_record(header, body)
        except CorruptRecord as error:
            log.error(
                "partition %d, offsets %d to %d cannot be read: %s", partition, header.base_offset, end - 1, error
            )
            self.unreadable += header.count
            self._next[partition] = end
            return
        if header.base_offset < due:
            self.repeated += due - header.base_offset
            arrival = arrival.after(due)
        elif header.base_offset > due:
            log.error("partition %d has no offsets %d to %d any more", partition, due, header.base_offset - 1)
            self.missing += header.base_offset - due
        self._waiting.setdefault(partition, deque()).append(arrival)
        self._next[partition] = end
        self.events += len(arrival)

    def take(self, events_max: int = limits.TURN_EVENTS_MAX) -> list[Arrival]:
        """What one turn takes: an input a partition at most, `events_max` events together (but no record is cut)."""
        turn: list[Arrival] = []
        left = events_max
        for partition in list(self._waiting):
            if left <= 0:
                break
            # Out and in again at the end: the next turn begins with those that this one did not reach.
            queue = self._waiting.pop(partition)
            taken = queue.popleft()
            left -= len(taken)
            while queue and queue[0].first_offset == taken.next_offset:
                if len(queue[0]) > left or len(taken) + len(queue[0]) > limits.INPUT_EVENTS_MAX:
                    break
                left -= len(queue[0])
                taken.add(queue.popleft())
            turn.append(taken)
            if queue:
                self._waiting[partition] = queue
        self.events -= sum(map(len, turn))
        if self.events < limits.RECORDER_EVENTS_MAX:
            self._room.set()
        return turn
