"""`connect` and `Fleet`: what users of the bus hold."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, overload

import msgspec

from bus import limits, wire
from bus.attributes import check_text, legible
from bus.client.callside import CONNECT_SECONDS, CallSide
from bus.client.cluster import Cluster
from bus.client.connection import Greeting
from bus.client.discovery import Whereabouts
from bus.client.faculties import Faculties
from bus.client.holding import OrderedSubscription
from bus.client.ordering import Reading, hold_back, ordered, told
from bus.client.packing import Receipt
from bus.client.publishpath import PublishPath
from bus.client.reading import Positioned, read
from bus.client.schemas import Schemas
from bus.client.starting import Start, group_start, parse_start
from bus.client.subscribing import Subscription
from bus.client.transport import Transport
from bus.clock import Knowledge
from bus.errors import ClientError, InvalidPattern
from bus.event import Event
from bus.groupactive import ORDERS as SPANNING
from bus.groupsettings import ORDERS, check_settings
from bus.topic import is_pattern

PUBLISH_SECONDS = limits.PUBLISH_MS_MAX / 1000


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


class Fleet(CallSide, Faculties):
    """A connected fleet: publish, read, subscribe, call. One session per broker, opened when needed; for one loop.

    Calls and answers stand in `CallSide`, ballots and leases in `Faculties`.
    """

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
        transport: Callable[[], Transport] | None = None,
    ) -> None:
        self.name = name or _default_name()
        check_text("name", self.name)
        self._addresses = addresses
        self._deadline = deadline
        self._greeting = Greeting("plane" if claim else "client", self.name[: limits.PEER_NAME_CHARS_MAX], fleet)
        self._claim = claim
        self._first = topology
        self._transport = transport
        self._cluster: Cluster | None = None
        self._path: PublishPath | None = None
        self._schemas: Schemas | None = None
        self._knowledge = Knowledge() if causal else None
        self._closed = False

    async def __aenter__(self) -> "Fleet":
        if self._cluster is not None:
            raise ClientError("this fleet is in use already: call connect() again")
        transport = self._transport() if self._transport is not None else None
        cluster = Cluster(self._addresses, self._greeting, self._claim, transport)
        try:
            if self._first is not None:
                cluster.on_topology(self._first)
            else:
                await cluster.ready(self._deadline)
        except BaseException:
            await cluster.close()
            raise
        self._cluster = cluster
        self._schemas = Schemas(cluster, self)
        self._path = PublishPath(cluster, self.name, self._knowledge, self._schemas)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        path, cluster = self._path, self._cluster
        try:
            await self._hang_up()
        finally:  # also when whoever leaves is cancelled meanwhile
            if path is not None:
                path.close()
            if cluster is not None:
                await cluster.close()

    @property
    def cluster(self) -> Cluster:
        """The connections behind it, for the rest of this package. Raises ClientError outside `async with`."""
        if self._cluster is None:
            raise _not_connected()
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
        whether it was, else the error that kept it out. InvalidEvent, which names all that is wrong, and other
        ClientErrors are raised at once. Saga, cause and trace are those of what is being handled (`bus.handling`),
        where the event has none.
        """
        return await self._publishing().publish(event, acks, deadline)

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
        return await self._publishing().publish_many(events, acks, deadline, on_progress)

    @property
    def schemas(self) -> Schemas:
        """What payloads of a type have to look like: register, get, list. Raises ClientError outside `async with`."""
        if self._schemas is None:
            raise _not_connected()
        return self._schemas

    def _publishing(self) -> PublishPath:
        if self._path is None:
            raise _not_connected()
        return self._path

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
        origin = parse_start(start, self.cluster.clock.time_ns())
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
        settings (`ack_wait` and `max_deliver` that an operator has set hold whatever is asked for); with `create=False`
        NoSuchGroup if no partition has the group. Raises GroupRemoved when an operator removes it.

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
            pattern,
            group_start(start, self.cluster.clock.time_ns()),
            max(1, int(ack_wait * 1000)),
            max_deliver,
            order,
            park,
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


def _not_connected() -> ClientError:
    return ClientError("not connected: use the fleet inside `async with bus.connect() as fleet:`")


def _check_pattern(pattern: str) -> None:
    if not is_pattern(pattern):
        raise InvalidPattern(f"{pattern!r} is not a pattern: tokens between dots, `*` for one, `>` last for the rest")
