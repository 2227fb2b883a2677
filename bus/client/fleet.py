"""`connect` and `Fleet`: what users of the bus hold."""

import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, overload

import msgspec

from bus import limits, wire
from bus.attributes import check_text, legible
from bus.client.answering import Answer, Answering, desk
from bus.client.calling import Calling
from bus.client.calltraces import CallTraces
from bus.client.cluster import Cluster
from bus.client.connection import Greeting
from bus.client.discovery import Whereabouts
from bus.client.faculties import Faculties
from bus.client.holding import OrderedSubscription
from bus.client.ordering import Reading, hold_back, ordered, told
from bus.client.packing import Receipt
from bus.client.publishing import Publisher
from bus.client.reading import Positioned, read
from bus.client.starting import Start, group_start, parse_start
from bus.client.subscribing import Subscription
from bus.client.switchboard import Switchboard
from bus.clock import Knowledge
from bus.errors import ClientError, InvalidPattern, PublishError
from bus.event import Event
from bus.groupactive import ORDERS as SPANNING
from bus.groupstate import ORDERS, check_settings
from bus.topic import is_pattern

PUBLISH_SECONDS = limits.PUBLISH_MS_MAX / 1000
CONNECT_SECONDS = limits.CONNECT_MS_MAX / 1000


def connect(
    url: str | list[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    name: str | None = None,
    deadline: float = CONNECT_SECONDS,
    causal: bool = False,
) -> "Fleet":
    """A fleet to use in `async with`. `url`: tcp://HOST:PORT of a broker or the control plane, several by comma.

    Without `url` and `data_dir`: the environment's `SIGNALBOX_URL`, else the data directory's fleet. `name` is what the
    client calls itself, and the `source` of events that have none; `deadline` bounds the search for a broker, in
    seconds. Entering raises NoFleet, which says where was looked and what to do.

    `causal`: every event that is published gets as `deps` all that was read or received through this fleet, and all
    whose receipt came, before the call. Await the receipt before publishing what depends on it.
    """
    return Fleet(Whereabouts(url, data_dir).urls, name=name, deadline=deadline, causal=causal)


def _default_name() -> str:
    script = legible(Path(sys.argv[0] or "python").stem or "python", limits.PEER_NAME_CHARS_MAX)
    return f"{script if script.isprintable() else 'python'}/{os.getpid()}"


class Fleet(Faculties):
    """A connected fleet: publish, read, subscribe. One session per broker, opened when needed; for one event loop."""

    def __init__(
        self,
        addresses: Callable[[], list[str]],
        *,
        name: str | None = None,
        deadline: float = CONNECT_SECONDS,
        causal: bool = False,
        claim: tuple[int, str] | None = None,
        topology: wire.Topology | None = None,
        fleet: str = "",
    ) -> None:
        self.name = name or _default_name()
        check_text("name", self.name)
        self._addresses = addresses
        self._deadline = deadline
        self._greeting = Greeting("plane" if claim else "client", self.name[: limits.PEER_NAME_CHARS_MAX], fleet)
        self._claim = claim
        self._first = topology
        self._cluster: Cluster | None = None
        self._publisher: Publisher | None = None
        self._calling: Calling | None = None
        self._switchboard: Switchboard | None = None
        self._knowledge = Knowledge() if causal else None
        self._closed = False

    async def __aenter__(self) -> "Fleet":
        if self._cluster is not None:
            raise ClientError("this fleet is in use already: call connect() again")
        cluster = Cluster(self._addresses, self._greeting, self._claim)
        try:
            if self._first is not None:
                cluster.on_topology(self._first)
            else:
                await cluster.ready(self._deadline)
        except BaseException:
            await cluster.close()
            raise
        self._cluster = cluster
        self._publisher = Publisher(cluster, self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        publisher, cluster = self._publisher, self._cluster
        switchboard, self._switchboard = self._switchboard, None
        calling, self._calling = self._calling, None
        try:
            if switchboard is not None:
                await switchboard.close()
        finally:  # also when whoever leaves is cancelled meanwhile
            try:
                if calling is not None:
                    await calling.close()
            finally:
                if publisher is not None:
                    publisher.close()
                if cluster is not None:
                    await cluster.close()

    @property
    def cluster(self) -> Cluster:
        """The connections behind it, for the rest of this package. Raises ClientError outside `async with`."""
        if self._cluster is None:
            raise ClientError("not connected: use the fleet inside `async with bus.connect() as fleet:`")
        return self._cluster

    @property
    def topology(self) -> wire.Topology:
        """Who leads what, as last heard."""
        topology = self.cluster.topology
        if topology is None:
            raise ClientError("the topology is not known yet: wait for the first broker to answer")
        return topology

    def learn(self, topology: wire.Topology) -> None:
        """Take a topology that was decided here; older ones than known are ignored."""
        self.cluster.on_topology(topology)

    # ------------------------------------------------------------------------------------------ publishing

    async def publish(self, event: Event, acks: str = "quorum", deadline: float = PUBLISH_SECONDS) -> Receipt:
        """Append one event. Concurrent calls share batches.

        `acks`: quorum (durable on a majority of replicas), leader (on its disk), none. It is retried by its producer's
        sequence for `deadline` seconds, so it is appended at most once; raises OutcomeUnknown only when nobody can say
        whether it was, else the error that kept it out. InvalidEvent and other ClientErrors are raised at once.
        """
        if self._knowledge is None:
            return await self._publishing().publish(event, acks, deadline)
        receipt = await self._publishing().publish(self._dependent(event, acks), acks, deadline)
        self._knowledge.saw(receipt.partition, receipt.offset)
        return receipt

    async def publish_many(
        self,
        events: Iterable[Event],
        acks: str = "quorum",
        on_progress: Callable[[int, int], None] | None = None,
        deadline: float = PUBLISH_SECONDS,
    ) -> list[Receipt]:
        """Append many; one receipt each, in order. Events of one key keep their order.

        `on_progress(done, taken)` is called as batches are answered. `deadline` holds for each batch from when it is
        ready to be sent. Raises PublishError if any failed: its `results` has each event's receipt or error.
        """
        if self._knowledge is None:
            return await self._publishing().publish_many(events, acks, deadline, on_progress)
        results: list[object] = []
        try:
            # One event of these does not depend on another: none has its receipt yet.
            dependent = [self._dependent(event, acks) for event in events]
            receipts = await self._publishing().publish_many(dependent, acks, deadline, on_progress)
            results += receipts
        except PublishError as error:
            results += error.results
            raise
        finally:
            for receipt in results:
                if isinstance(receipt, Receipt):
                    self._knowledge.saw(receipt.partition, receipt.offset)
        return receipts

    def _dependent(self, event: Event, acks: str) -> Event:
        if acks != "quorum":
            raise ClientError(f"acks={acks!r}: a causal fleet publishes with acks='quorum', so that no cause is lost")
        deps = self._knowledge.deps(event.deps) if self._knowledge is not None else None
        return event if deps is None else event.replace(deps=deps)

    def _publishing(self) -> Publisher:
        if self._publisher is None:
            raise ClientError("not connected: use the fleet inside `async with bus.connect() as fleet:`")
        return self._publisher

    # --------------------------------------------------------------------------------------------- reading

    @overload
    def read(
        self,
        pattern: str = ...,
        start: Start = ...,
        follow: bool = ...,
        internal: bool = ...,
        positions: Literal[False] = ...,
        *,
        order: str = ...,
        lateness: float = ...,
        late: str = ...,
        gap: str = ...,
    ) -> Reading[Event]: ...

    @overload
    def read(
        self,
        pattern: str = ...,
        start: Start = ...,
        follow: bool = ...,
        internal: bool = ...,
        *,
        positions: Literal[True],
        order: str = ...,
        lateness: float = ...,
        late: str = ...,
        gap: str = ...,
    ) -> Reading[Positioned]: ...

    def read(
        self,
        pattern: str = ">",
        start: Start = "earliest",
        follow: bool = False,
        internal: bool = False,
        positions: bool = False,
        *,
        order: str = "none",
        lateness: float = 5.0,
        late: str = "deliver",
        gap: str = "wait",
    ) -> Reading[Any]:
        """Events that match, of all partitions in order of arrival, in order of offset within each.

        `start`: earliest, now, a duration back (`-5m`), RFC 3339, or a cursor {partition: next offset}. Without
        `follow` it ends at what is committed when it begins. `internal`: reserved types too. `positions`: gives
        (event, partition, offset, appended) instead. Raises InvalidPattern, ClientError; BrokerUnavailable when a
        partition has no leader for too long (with `follow` only at the start: later it waits for the next leader).

        `order="timestamp"`: by the events' time over all partitions; one that comes more than `lateness` seconds late
        is delivered out of order or dropped (`late`: deliver, drop). `order="causal"`: after the events that its `deps`
        name; if one of those has not come after `lateness` seconds and is not on its way, that is a gap: waited for,
        skipped, or the event is set aside (`gap`: wait, skip, dead-letter). `Reading` has the counts of either.
        """
        _check_pattern(pattern)
        origin = parse_start(start, time.time_ns())
        hold, knowledge = hold_back(order, lateness, late, gap), self._knowledge
        places = positions or knowledge is not None or hold is not None
        if hold is not None:
            events = ordered(self.cluster, pattern, origin, follow, internal, PUBLISH_SECONDS, hold)
        else:
            events = read(self.cluster, pattern, origin, follow, internal, PUBLISH_SECONDS, places)
        if places != positions or knowledge is not None:
            events = told(events, positions, knowledge.saw if knowledge is not None else None)
        return Reading(events, hold)

    async def describe(self, deadline: float = PUBLISH_SECONDS) -> dict[int, wire.Extent]:
        """Partition -> its readable offsets `first` <= o < `high`, asked of every leader now."""
        return await self.cluster.describe(range(self.cluster.partitions), deadline)

    def subscribe(
        self,
        pattern: str,
        *,
        group: str,
        order: str = "none",
        ack_wait: float = 30.0,
        max_deliver: int = 5,
        start: Start = "now",
        in_flight: int = 256,
        park: bool = False,
        lateness: float = 5.0,
        late: str = "deliver",
        gap: str = "wait",
        create: bool = True,
    ) -> Subscription:
        """A member of a durable group, to use in `async with`; iterate over it for `Delivery`s.

        Members of one group share the work. An event comes again `ack_wait` seconds after it was delivered unless it
        was settled, at most `max_deliver` times; then it is a dead letter. `start` counts when the group is new. At
        most about `in_flight` deliveries are out here at once. Entering raises GroupConflict if the group has other
        settings; with `create=False` it raises NoSuchGroup if no partition has the group.

        `order="strict"`: one event of a key is out at a time, the next one when that is settled; events of high
        priority go before others of other keys, within limits. After a dead letter the key goes on; with `park` its
        events become dead letters too, until one of it that was redriven is acked.

        `order="timestamp"` and `order="causal"`: one member works, at all partitions, and the others stand by;
        `ack_wait` runs from when an event is given out. By the events' time: one that comes more than `lateness`
        seconds late is delivered out of order or becomes a dead letter (`late`: deliver, dead-letter). By cause: an
        event comes when all that its `deps` name is settled; if one of those is nowhere after `lateness` seconds, that
        is a gap: waited for, skipped, or the event becomes a dead letter (`gap`: wait, skip, dead-letter).
        `Subscription` has the counts.
        """
        _check_pattern(pattern)
        check_text("group", group)
        if order not in ORDERS:
            raise ClientError(f"order={order!r} is not supported; {', '.join(ORDERS)} are")
        if park and order != "strict":
            raise ClientError("park: only a group with order='strict' parks keys")
        if (
            not 0 < ack_wait <= limits.GROUP_DELAY_MS_MAX / 1000
            or not 0 < max_deliver <= limits.GROUP_DELIVER_ATTEMPTS_MAX
            or not 0 < in_flight <= limits.IN_FLIGHT_EVENTS_MAX
        ):
            raise ClientError(
                f"ack_wait={ack_wait} (seconds, above 0, at most {limits.GROUP_DELAY_MS_MAX // 1000}), "
                f"max_deliver={max_deliver} (1 to {limits.GROUP_DELIVER_ATTEMPTS_MAX}), in_flight={in_flight} "
                f"(1 to {limits.IN_FLIGHT_EVENTS_MAX}): one of them is out of range"
            )
        settings = wire.GroupSettings(
            pattern, group_start(start, time.time_ns()), max(1, int(ack_wait * 1000)), max_deliver, order, park
        )
        if not 0 <= lateness <= limits.LATENESS_MS_MAX / 1000:
            raise ClientError(f"lateness={lateness}: it is in seconds, 0 to {limits.LATENESS_MS_MAX // 1000}")
        if order in SPANNING:
            policies = {"late": late} if order == "timestamp" else {"gap": gap}
            settings = msgspec.structs.replace(settings, lateness_ms=round(lateness * 1000), **policies)
        check_settings(group, settings)
        saw = self._knowledge.saw if self._knowledge is not None else None
        made = OrderedSubscription if order in SPANNING else Subscription
        subscription = made(self.cluster, group, settings, in_flight, self.name, saw)
        subscription.create = create
        return subscription

    # --------------------------------------------------------------------------------------------- calls

    def call(
        self,
        target: str,
        payload: Any = None,
        timeout: float = 2.0,
        *,
        capability: str = "",
        traceparent: str = "",
        tracestate: str = "",
    ) -> Coroutine[Any, Any, Any]:
        """Await what an agent answers: straight from here to there, and at most once.

        `target` is an agent's name, or a capability that any agent may have; `capability` picks one of those that a
        named agent answers. `payload` and the answer are what JSON has, and bytes. `timeout` in seconds holds for
        everything. The trace is `traceparent`, else that of the call being answered here, else a new one; the agent
        gets it unchanged. Cancelling cancels the agent's work. Not begun, so that it may be made again: InvalidCall,
        NoSuchAgent, AgentUnavailable, Busy. Begun: CallFailed (the agent raised), CallTimeout, CallLost.
        """
        if self._calling is None:
            self._check_open()
            traces = CallTraces(self._publishing().publish_many, self.name)
            self._calling = Calling(self.cluster, traces)
        return self._calling.call(target, payload, timeout, capability, traceparent, tracestate)

    def answers(
        self, name: str, answer: Answer, *, capability: str = "", in_flight: int = limits.CALLS_RUNNING_MAX
    ) -> Answering:
        """Answer calls to `name` in `async with`, by `async def answer(payload, context)`: what it returns or raises.

        Several functions may answer under one name, each with its `capability`; several processes may answer under
        one name, and share the calls. At most `in_flight` calls are worked on at once, callers of more get Busy. On
        leaving, calls that have begun may end. Entering waits until a broker knows, for `CONNECT_SECONDS`; it raises
        InvalidCall, ClientError, AccessDenied, BrokerUnavailable.
        """
        return Answering(self._board, desk(name, answer, capability, in_flight), CONNECT_SECONDS)

    def _board(self) -> Switchboard:
        if self._switchboard is None:
            self._check_open()
            self._switchboard = Switchboard(self.cluster, self.name)
        return self._switchboard

    def _check_open(self) -> None:
        """Sockets that were made after the others were closed would keep the fleet from ever leaving."""
        if self._closed:
            raise ClientError("this fleet is closed: call and answer inside `async with bus.connect()`")


def _check_pattern(pattern: str) -> None:
    if not is_pattern(pattern):
        raise InvalidPattern(f"{pattern!r} is not a pattern: tokens between dots, `*` for one, `>` last for the rest")
