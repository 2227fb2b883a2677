"""Control of brokers, for a control plane: one session per broker, and a fleet that publishes as the plane.

A `Controls` is a session with one broker from `Welcome` to `closed`. It is not dialled again by itself: whether a
broker is back, moved or another one is the plane's to find out. Answers that do not come in time raise
BrokerUnavailable.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

import zmq

from bus import limits, wire
from bus.batch import encode
from bus.client.cluster import fault_error
from bus.client.connection import Connection, Greeting, Lost
from bus.client.fleet import Fleet
from bus.client.following import Record, RecordFollower, behind, reached
from bus.errors import BrokerUnavailable, BusError, NotLeader, ProtocolError
from bus.event import Event
from bus.ids import new_session
from bus.record import unseal

__all__ = ["Controls", "Lost", "Operator", "Record", "RecordFollower", "behind", "plane_fleet", "reached"]

CONTROL_SECONDS = 5.0
Answer = TypeVar("Answer", bound=wire.Message)


def plane_fleet(
    urls: list[str], plane_epoch: int, uuid: str, *, name: str = "plane", topology: wire.Topology | None = None
) -> Fleet:
    """A fleet whose sessions claim (plane epoch, uuid) first, so that it may publish reserved names.

    With `topology` it enters at once; newer ones are learned from brokers, or by `Fleet.learn`.
    """
    return Fleet(lambda: urls, name=name, claim=(plane_epoch, uuid), topology=topology)


class Controls:
    """A session of control with one broker. Made by `Operator.open`.

    `closed` is done, with why, once the session is over. `topology` is the last one the broker told.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", url: str, greeting: Greeting) -> None:
        loop = asyncio.get_running_loop()
        self.url = url
        self.closed: asyncio.Future[Lost] = loop.create_future()
        self.topology: wire.Topology | None = None
        self._welcomed: asyncio.Future[wire.Welcome | Lost] = loop.create_future()
        self._numbers = count(1)
        self._connection = Connection(context, url, greeting, self, new_session())

    @property
    def welcome(self) -> wire.Welcome:
        """What the broker said of itself: fleet, id, store, the plane epoch it obeys. Raises BrokerUnavailable."""
        welcome = self._connection.welcome
        if welcome is None:
            raise BrokerUnavailable(f"{self.url} has not answered yet")
        return welcome

    @property
    def id(self) -> str:
        """The broker's id."""
        return self.welcome.broker

    @property
    def store(self) -> str:
        """The uuid of its store."""
        return self.welcome.store

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._connection.is_open

    # ---------------------------------------------------------------------------------------------- verbs

    async def claim(self, plane_epoch: int, uuid: str, within: float = CONTROL_SECONDS) -> wire.Claimed:
        """Take control. `accepted` False: the broker obeys the pair in the answer instead."""
        number = next(self._numbers)
        return await self._ask(number, wire.Claim(number, plane_epoch, uuid), wire.Claimed, within)

    async def offer(
        self, plane_epoch: int, uuid: str, partition: int, epoch: int, within: float = CONTROL_SECONDS
    ) -> wire.Answered:
        """Have it promise an epoch for a partition, and say what it holds."""
        number = next(self._numbers)
        return await self._ask(number, wire.Offer(number, plane_epoch, uuid, partition, epoch), wire.Answered, within)

    async def place(self, plane_epoch: int, uuid: str, seat: wire.Seat, within: float = CONTROL_SECONDS) -> wire.Placed:
        """Tell it a decided seat."""
        number = next(self._numbers)
        return await self._ask(number, wire.Place(number, plane_epoch, uuid, seat), wire.Placed, within)

    async def change_group(
        self,
        plane_epoch: int,
        uuid: str,
        partition: int,
        group: str,
        changes: Mapping[str, int] | None,
        decision: int = 0,
        within: float = CONTROL_SECONDS,
    ) -> wire.GroupChanged:
        """Have it set these settings of a group at a partition led there, or remove the group (None); answered once
        that is committed. `decision`: see `wire.ChangeGroup`. Raises what was refused."""
        number = next(self._numbers)
        told = None if changes is None else dict(changes)
        ask = wire.ChangeGroup(number, plane_epoch, uuid, partition, group, told, decision)
        return await self._ask(number, ask, wire.GroupChanged, within)

    async def sample(self, within: float = CONTROL_SECONDS) -> wire.Sampled:
        """Its figures since the last sample."""
        number = next(self._numbers)
        return await self._ask(number, wire.Sample(number), wire.Sampled, within)

    async def append(
        self, partition: int, producer: bytes, sequence: int, events: Sequence[Event], within: float = CONTROL_SECONDS
    ) -> wire.Outcome:
        """Append one batch to any partition led there, the plane's own too, and wait for its quorum.

        Sent again with the same producer and sequence it is appended once. Raises what the broker refused.
        """
        number, body = next(self._numbers), encode(events)
        publish = wire.Publish(number, "quorum", [wire.Section(partition, producer, sequence, len(events))])
        answer = await self._ask(number, publish, wire.Published, within, [body])
        outcome = answer.outcomes.get(0)
        if outcome is None:
            raise ProtocolError(f"{self.url} answered a Publish of one section with {sorted(answer.outcomes)}")
        if outcome.code:
            raise fault_error(wire.Fault(number, outcome.code, outcome.message))
        return outcome

    async def extent(self, partition: int, within: float = CONTROL_SECONDS) -> wire.Extent:
        """What can be read of a partition led there. Raises NotLeader when it does not lead, or not yet."""
        number = next(self._numbers)
        described = await self._ask(number, wire.Describe(number, [partition]), wire.Described, within)
        for extent in described.extents:
            if extent.partition == partition:
                return extent
        raise NotLeader(f"{self.url} does not lead partition {partition}, or not yet")

    async def read(self, partition: int, offset: int, upto: int, within: float = CONTROL_SECONDS) -> list[Record]:
        """The records that hold events from `offset` on and below `upto`, whole ones. Raises what was refused."""
        number = next(self._numbers)
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        watch = wire.Watch(number, partition, offset, 0, ">", True, limits.WATCH_CREDIT_BYTES_MAX)
        if offset >= upto:
            return []
        self._connection.ask(number, watch, (), lambda answer, blobs: arrived.put_nowait((answer, blobs)))
        records: list[Record] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    answer, blobs = await arrived.get()
                    if not isinstance(answer, wire.Records):
                        raise _refused(self.url, answer)
                    records += [unseal(blob) for blob in blobs]
                    if answer.next_offset >= upto:
                        return records
        except TimeoutError:
            raise BrokerUnavailable(f"{self.url} sent nothing of partition {partition} in {within:g} s") from None
        finally:
            self._connection.forget(number)
            self._connection.send(wire.Unwatch(number))

    def spread(self, plane_epoch: int, uuid: str, topology: wire.Topology) -> bool:
        """Have it pass a topology on to its sessions; False if the session is over."""
        return self._connection.send(wire.Spread(plane_epoch, uuid, topology))

    def keep(self, plane_epoch: int, uuid: str, archived: Mapping[int, int]) -> bool:
        """Tell it below which offset the events of each partition are archived; False if the session is over."""
        return self._connection.send(wire.Keep(plane_epoch, uuid, dict(archived)))

    def halt(self, plane_epoch: int, uuid: str, reason: str) -> bool:
        """Have it commit, say Bye to all, and exit; `closed` follows. False if the session is over."""
        return self._connection.send(wire.Halt(plane_epoch, uuid, reason))

    def close(self) -> None:
        """Say Bye."""
        self._connection.close()
        self._over(Lost("closed", "closed here"))

    async def _ask(
        self, number: int, message: wire.Message, kind: type[Answer], within: float, blobs: Sequence[bytes] = ()
    ) -> Answer:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(answer: Any, _blobs: list[bytes]) -> None:
            if not future.done():
                future.set_result(answer)

        if not self._connection.ask(number, message, list(blobs), answered):
            raise BrokerUnavailable(f"{self.url}: {self._connection.lost.why if self._connection.lost else 'jammed'}")
        try:
            async with asyncio.timeout(within):
                answer = await future
        except TimeoutError:
            raise BrokerUnavailable(f"{self.url} did not answer {type(message).__name__} in {within:g} s") from None
        finally:
            self._connection.forget(number)
        if not isinstance(answer, kind):
            raise _refused(self.url, answer)
        return answer

    # ----------------------------------------------------------------------------- what the session tells

    async def welcomed(self, within: float) -> wire.Welcome:
        """Wait for its Welcome. Raises BrokerUnavailable; the session is closed then."""
        try:
            async with asyncio.timeout(within):
                welcome = await asyncio.shield(self._welcomed)
        except TimeoutError:
            self.close()
            raise BrokerUnavailable(f"{self.url} did not answer Hello in {within:g} s") from None
        if isinstance(welcome, Lost):
            raise BrokerUnavailable(welcome.why)
        return welcome

    def on_welcome(self, connection: Connection, welcome: wire.Welcome) -> None:
        """The session is open."""
        self.topology = welcome.topology
        if not self._welcomed.done():
            self._welcomed.set_result(welcome)

    def on_topology(self, topology: wire.Topology) -> None:
        """The broker passed a topology on."""
        self.topology = topology

    def on_lost(self, connection: Connection, lost: Lost) -> None:
        """The session is over."""
        self._over(lost)

    def _over(self, lost: Lost) -> None:
        for future in (self._welcomed, self.closed):
            if not future.done():
                future.set_result(lost)


def _refused(url: str, answer: Any) -> BusError:
    if isinstance(answer, Lost):
        return BrokerUnavailable(answer.why)
    if isinstance(answer, wire.Fault):
        return fault_error(answer)
    return ProtocolError(f"{url} answered with {type(answer).__name__}, which was not asked for")


class Operator:
    """Opens sessions of control; use in `async with`, which closes them all at its end."""

    def __init__(self, name: str = "plane", fleet: str = "") -> None:
        self._greeting = Greeting("plane", name, fleet)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sessions: set[Controls] = set()

    async def __aenter__(self) -> "Operator":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in list(self._sessions):
            session.close()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._context.term))

    async def open(self, url: str, within: float = CONTROL_SECONDS) -> Controls:
        """Greet a broker and wait for its Welcome. Raises BrokerUnavailable that says what happened."""
        session = Controls(self._context, url, self._greeting)
        self._sessions.add(session)
        session.closed.add_done_callback(lambda _: self._sessions.discard(session))
        try:
            await session.welcomed(within)
        except BaseException:
            session.close()
            raise
        return session
