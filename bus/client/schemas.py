"""`Fleet.schemas`: registering payload schemas, looking them up, and holding payloads against them.

Registrations are events (`bus.schemas`), and the control plane folds them, so that retention takes none of them away.
A client asks the plane for what is new to it when it publishes and what it knows is older than SCHEMA_REFRESH_MS: the
first time it waits for the answer, SCHEMA_ASK_MS_MAX at most; later it goes on meanwhile, so that for so long it may
not know of what somebody else has registered. An event that names a newer version than is known passes. A fleet
without a control plane, or whose plane is away, costs nothing and refuses nothing but what this client knows by itself.

Who registers looks at the end of the log, too: at what the plane had not folded when it answered, of the one partition
that is home to the type. What stands there first has the version. So no two clients can both have one.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import zmq

from bus import limits
from bus.client.calling import packed_payload, unpacked
from bus.client.calllink import CallLink
from bus.client.cluster import Cluster
from bus.client.packing import Receipt
from bus.client.presence import Inquiry
from bus.client.reading import read_piece
from bus.client.watching import Tap, Watches
from bus.errors import AgentUnavailable, BusError, Busy, InvalidEvent, InvalidSchema, ProtocolError
from bus.event import ABSENT, JSON, Event
from bus.evolution import why_incompatible
from bus.schemas import COMPATIBILITIES, REGISTERED, VERSION_MAX, Checker, Schema, document, named, registration
from bus.topic import is_type

PLANE = "signalbox/schemas"
"""What the control plane answers as."""
log = logging.getLogger("bus.client")


class Page(msgspec.Struct):
    """An answer of the plane: schemas in the order in which they were recorded, after the position that was asked from;
    `position` is that of the last, and there may be `more`. `cursor`: partition -> offset below which all registrations
    are folded."""

    schemas: list[Schema]
    position: int
    more: bool
    cursor: dict[int, int]


class Publishing(Protocol):
    """What a registration is published by."""

    async def publish(self, event: Event) -> Receipt:
        """See `Fleet.publish`."""


class Schemas:
    """See the module. Made by `Fleet`. Every method but `check` and `concern` asks the fleet."""

    def __init__(self, cluster: Cluster, fleet: Publishing) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, dict[int, Schema]] = {}
        self._newest: dict[str, int] = {}
        self._checkers: OrderedDict[tuple[str, int], Checker | None] = OrderedDict()
        self._position = 0
        self._cursor: dict[int, int] = {}
        self._due = 0.0
        self._asked = False
        self._asking: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------ what users call

    async def register(
        self,
        type: str,
        schema: Mapping[str, Any] | type[msgspec.Struct],
        *,
        version: int | None = None,
        compatibility: str = "backward",
    ) -> Schema:
        """Make it the schema of a type, as its next version or as `version`; one that is the newest already stays it.

        `schema`: a JSON Schema as a dict, or a msgspec.Struct class. `compatibility`: backward (what was published
        under the version before has to stay legal, see `bus.evolution`) or none. Raises InvalidSchema, which names the
        field, and what `publish` raises. From then on every client holds payloads of the type against it.
        """
        if not is_type(type) or compatibility not in COMPATIBILITIES or not 1 <= (version or 1) <= VERSION_MAX:
            raise InvalidSchema(
                f"type={type!r} (a topic), compatibility={compatibility!r} (one of {', '.join(COMPATIBILITIES)}), "
                f"version={version} (1 to {VERSION_MAX}): one of them is none"
            )
        made = document(schema)
        for _ in range(limits.SCHEMA_TRIES_MAX):
            await self._catch_up(type)
            newest = self._newest.get(type, 0)
            same = self._known[type].get(version or newest) if newest else None
            if same is not None and same.schema == made:
                return same
            coming = Schema(type, version or newest + 1, compatibility, made)
            self._check_next(coming, newest)
            data = msgspec.to_builtins(coming)
            receipt = await self._fleet.publish(Event(type=REGISTERED, partitionkey=type, data=data))
            await self._catch_up(type, receipt)
            if self._known.get(type, {}).get(coming.version) == coming:
                return coming
            # Somebody else's version of this number stands before ours: what is next has to be seen again.
        raise Busy(f"{type}: others registered a version each time before this client could; try again a little later")

    async def get(self, type: str, version: int | None = None) -> Schema:
        """A version of a type's schema, the newest unless it is named. Raises InvalidSchema when there is none."""
        await self._catch_up(type)
        found = self._known.get(type, {}).get(version or self._newest.get(type, 0))
        if found is None:
            has = ", ".join(map(str, sorted(self._known.get(type, {}))))
            of = f" of version {version}; its versions: {has}" if has else ": nobody has registered one"
            raise InvalidSchema(f"{type} has no schema{of}")
        return found

    async def list(self) -> Sequence[Schema]:
        """The newest schema of each type, by type, as the control plane knows them."""
        await self._ask()
        return [self._known[type][version] for type, version in sorted(self._newest.items())]

    # ------------------------------------------------------------------------------------------ what publishing calls

    @property
    def is_stale(self) -> bool:
        """Whether `refresh` has something to ask, and somebody. The plane asks nobody: what it says has no schema."""
        if self._due > self._loop.time():
            return False
        cluster = self._cluster
        return cluster.topology is not None and cluster.topology.plane_url != "" and cluster.claim is None

    async def refresh(self) -> None:
        """Learn what is new: the first time before going on, later beside it."""
        if self._asking is None:
            self._asking = self._loop.create_task(self._ask_quietly())
            self._asking.add_done_callback(self._asked_for)
        if not self._asked:
            await asyncio.shield(self._asking)

    def concern(self, events: Iterable[Event]) -> bool:
        """Whether any of these is to be looked at by `check`."""
        newest = self._newest
        return bool(newest) and any(event.type in newest for event in events)

    def check(self, event: Event) -> None:
        """Raise InvalidEvent when the payload does not fit the schema of its type: the one that `dataschema` names, or
        the newest that is known here."""
        newest = self._newest.get(event.type)
        if newest is None:
            return
        versions, version = self._known[event.type], newest
        name = named(event.dataschema) if event.dataschema else None
        if name is not None:
            if name[0] != event.type:
                raise InvalidEvent("dataschema", f"names a schema of {name[0]!r}, and the event is {event.type!r}")
            version = name[1]
            if version not in versions and version < newest:
                raise InvalidEvent("dataschema", f"names version {version} of {event.type}, which is not registered")
        schema = versions.get(version)
        checker = self._checker(schema) if schema is not None else None  # one that is newer than what is known here
        if checker is None or schema is None:
            return
        what = f"{event.type} version {version}"
        if event.kind != JSON:
            why = "is missing" if event.kind == ABSENT else "is bytes"
            raise InvalidEvent("data", f"{why}, and {what} is JSON")
        if problems := checker.problems(event.data):
            whys = [("data", f"{problem} ({what})") for problem in problems]
            raise InvalidEvent(*whys[0], whys)

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    # ------------------------------------------------------------------------------------------ learning

    def _take(self, schema: Schema) -> None:
        """Remember a version, unless it is known: the first one in the log has it."""
        versions = self._known.setdefault(schema.type, {})
        if schema.version not in versions:
            versions[schema.version] = schema
            self._newest[schema.type] = max(self._newest.get(schema.type, 0), schema.version)

    def _checker(self, schema: Schema) -> Checker | None:
        key = (schema.type, schema.version)
        if key not in self._checkers:
            try:
                self._checkers[key] = Checker(schema.schema)
            except InvalidSchema as error:
                log.warning("%s version %d is not checked: %s", *key, error)
                self._checkers[key] = None
            if len(self._checkers) > limits.SCHEMAS_COMPILED_MAX:
                self._checkers.popitem(last=False)
        return self._checkers[key]

    def _check_next(self, coming: Schema, newest: int) -> None:
        if coming.version <= newest:
            raise InvalidSchema(f"{coming.type} has version {newest}, and it is another schema than {coming.version}'s")
        if newest and coming.compatibility != "none":
            before = self._known[coming.type][newest]
            if self._checker(before) is None:  # whoever wrote that into the log did not go by `register`
                raise InvalidSchema(
                    f"{coming.type}: version {newest} is no JSON Schema, so that nothing can be compared with it; "
                    "register the next one with compatibility='none'"
                )
            why = why_incompatible(before.schema, coming.schema)
            if why:
                raise InvalidSchema(
                    f"{coming.type}: version {coming.version} may not follow {newest}: {why}. Change it, or register "
                    "it with compatibility='none'"
                )

    def _asked_for(self, task: "asyncio.Task[None]") -> None:
        self._asking = None
        self._asked = True
        self._due = self._loop.time() + limits.SCHEMA_REFRESH_MS / 1000

    async def _ask_quietly(self) -> None:
        """Whatever keeps the plane from telling them keeps nobody from publishing."""
        try:
            await self._ask()
        except (BusError, zmq.ZMQError) as error:
            log.info("payloads are checked by the schemas known so far: %s", error)

    async def _ask(self) -> None:
        """Learn what the plane has beyond what is known. Without a plane nothing is learnt."""
        topology = self._cluster.topology
        if topology is None or not topology.plane_url:
            return
        within = limits.SCHEMA_ASK_MS_MAX / 1000
        try:
            async with asyncio.timeout(within):
                found = await Inquiry(self._cluster, PLANE).answer(within)
                if not found:
                    raise AgentUnavailable("the control plane does not tell the schemas; `signalbox status` says why")
                link = CallLink(self._cluster, found[0].url, lambda _: None)
                try:
                    await link.opened
                    while await self._page(link, time.monotonic_ns() + int(within * 1e9)):
                        pass
                finally:
                    link.close()
        except TimeoutError:
            raise AgentUnavailable(f"the control plane did not tell the schemas within {within:g} s") from None

    async def _page(self, link: CallLink, until: int) -> bool:
        """Take one more page; whether there are more."""
        asked = packed_payload({"since": self._position})
        returned = await link.call(PLANE, "", asked, until, ("", ""))
        try:
            page = msgspec.convert(unpacked(PLANE, returned.payload), Page, strict=False)
        except msgspec.ValidationError as error:
            raise ProtocolError(f"{PLANE} told no page of schemas: {error}") from None
        for schema in page.schemas:
            self._take(schema)
        more = page.more and page.position > self._position
        self._position, self._cursor = page.position, page.cursor
        return more

    async def _catch_up(self, type: str, receipt: Receipt | None = None) -> None:
        """Learn all versions of one type: from the plane, and from the log what it has not folded yet.

        Of the log up to `receipt`, else to the end.
        """
        if receipt is None:
            try:
                await self._ask()
            except BusError as error:
                log.info("the schemas of %s are read from the log: %s", type, error)
        partition = self._cluster.home(type)
        if receipt is None:
            extents = await self._cluster.describe([partition], limits.PUBLISH_MS_MAX / 1000)
            upto = extents[partition].high
        else:
            upto = receipt.offset + 1
        tap = Tap(partition, self._cursor.get(partition, 0), until=upto)
        watches = Watches(self._cluster, [tap], REGISTERED, False, limits.WATCH_CREDIT_BYTES)
        try:
            while (chunk := await watches.next(limits.READ_STALL_MS_MAX / 1000)) is not None:
                for piece in chunk.pieces:
                    for found in read_piece(piece):
                        self._learn(found.event)
                watches.done(chunk)
        finally:
            watches.close()
        self._cursor[partition] = max(self._cursor.get(partition, 0), upto)

    def _learn(self, event: Event) -> None:
        try:
            schema = registration(event.data)
        except InvalidEvent:
            schema = None
        if schema is not None and event.partitionkey == schema.type:
            self._take(schema)
