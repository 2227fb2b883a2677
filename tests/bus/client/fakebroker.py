"""Brokers that do as they are told: each a ROUTER in a thread, all over one log in memory.

`FakeFleet.faults` is a list of one-shot faults; a broker takes the first that fits the verb it has just received:

| fault | what the broker does instead |
|---|---|
| `("refuse", code)` | answers every section of the next Publish with that error, appending nothing |
| `("lose", "")` | appends the next Publish and ends the session without an answer |
| `("twice", "")` | answers the next Publish twice |
| `("garbage", "")` | answers the next Publish for another partition |
| `("liar", "row count offset appended")` | appends the next Publish and says that these rows were duplicates |
| `("gap", "")` | skips a sequence number before it answers the next Publish |
| `("mute", "")` | appends the next Publish and says nothing, ever, in this session |
| `("corrupt", "")` | sends the next records with a bit turned |
| `("cut", "")` | sends the next records and ends the session |
| `("misfit", how)` | delivers something that does not fit its record, instead of what is ready |
| `("farewell", "")` | says Bye right after its next Welcome, as a control plane does |
"""

import threading
import time
from collections import deque
from typing import Any

import zmq
from msgspec.structs import replace

from bus import batch, wire
from bus.bitmap import packed
from bus.errors import BusError, OutOfSequence, code_of
from bus.repeats import Repeated
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.topic import Filter
from tests.bus.client.fakegroup import GroupAt, Member
from tests.bus.client.fakelog import Partition

FLEET = "fake"


class Watching:
    def __init__(self, session: Session, watch: wire.Watch, partition: Partition) -> None:
        self.session, self.watch = session, watch
        self.filter = Filter(watch.pattern, watch.internal)
        self.credit = watch.credit
        self.said = -1
        self.offset = watch.offset
        if watch.time:
            later = [header.base_offset for header, _ in partition.records if header.appended >= watch.time]
            self.offset = later[0] if later else partition.high


class FakeBroker(threading.Thread):
    def __init__(self, fleet: "FakeFleet", number: int) -> None:
        super().__init__(name=f"fake-b{number}", daemon=True)
        self.fleet = fleet
        self.id = f"b{number}"
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger = 200
        self.url = f"tcp://127.0.0.1:{self.router.bind_to_random_port('tcp://127.0.0.1')}"
        self.sessions = Sessions(FLEET)
        self.watches: dict[tuple[bytes, int], Watching] = {}
        self.muted: set[int] = set()
        self.heard: list[Any] = []
        self.commands: deque[Any] = deque()
        self.halted = threading.Event()

    def run(self) -> None:
        while not self.halted.is_set():
            if self.router.poll(5):
                self.receive()
            with self.fleet.lock:
                while self.commands:
                    self.commands.popleft()()
                self.deliver()
        self.router.close()
        self.context.term()

    def receive(self) -> None:
        identity, *parts = self.router.recv_multipart()
        with self.fleet.lock:
            arrival = self.sessions.receive(identity, parts, time.monotonic_ns())
            if isinstance(arrival, Refused):
                if arrival.frames:
                    self.router.send_multipart([identity, *arrival.frames])
            elif isinstance(arrival, Greeted):
                self.heard.append(arrival.hello)
                welcome = wire.Welcome(FLEET, self.id, "store", 1, [], "anonymous", 1, self.fleet.topology)
                self.send(arrival.session, welcome)
                if self.fleet.fault("farewell")[0]:
                    self.end(arrival.session)
            elif isinstance(arrival, Heard):
                self.heard.append(arrival.message)
                getattr(self, f"on_{type(arrival.message).__name__.lower()}")(
                    arrival.session, arrival.message, arrival.blobs
                )

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> None:
        if session.id not in self.muted and (session.is_open or isinstance(message, wire.Welcome)):
            self.router.send_multipart([session.identity, *session.send(message, blobs)])

    def end(self, session: Session, code: str = "closing") -> None:
        self.router.send_multipart([session.identity, *self.sessions.end(session, code, "as told")])

    def leads(self, partition: int) -> bool:
        return self.fleet.leader_of(partition) == self.id

    def not_leader(self, session: Session, request: int) -> None:
        self.send(session, wire.Fault(request, "NotLeader", f"{self.id} does not lead it"))

    # ------------------------------------------------------------------------------------------ verbs

    def on_bye(self, session: Session, _m: wire.Bye, _b: list[bytes]) -> None:
        self.sessions.forget(session)

    def on_ping(self, session: Session, ping: wire.Ping, _b: list[bytes]) -> None:
        self.send(session, wire.Pong(ping.token))

    def on_claim(self, session: Session, claim: wire.Claim, _b: list[bytes]) -> None:
        accepted = claim.plane_epoch >= self.fleet.plane_epoch
        session.principal = "plane" if accepted else session.principal
        answer = wire.Claimed(claim.request, accepted, self.fleet.plane_epoch, "u", self.id, "store", 1, 1, [])
        self.send(session, answer)

    def on_offer(self, session: Session, offer: wire.Offer, _b: list[bytes]) -> None:
        answer = wire.Answered(offer.request, offer.partition, offer.epoch, True, offer.epoch, 1, 7, 5)
        self.send(session, answer)

    def on_place(self, session: Session, place: wire.Place, _b: list[bytes]) -> None:
        self.send(session, wire.Placed(place.request, place.seat.partition, place.seat.epoch, True))

    def on_sample(self, session: Session, sample: wire.Sample, _b: list[bytes]) -> None:
        self.send(session, wire.Fault(sample.request, "AccessDenied", "claim first"))

    def on_spread(self, session: Session, spread: wire.Spread, _b: list[bytes]) -> None:
        for peer in self.sessions:
            self.send(peer, spread.topology)

    def on_halt(self, session: Session, _m: wire.Halt, _b: list[bytes]) -> None:
        self.end(session)

    def on_describe(self, session: Session, describe: wire.Describe, _b: list[bytes]) -> None:
        extents = [
            wire.Extent(one, 0, self.fleet.partitions[one].high) for one in describe.partitions if self.leads(one)
        ]
        self.send(session, wire.Described(describe.request, extents))

    def on_publish(self, session: Session, publish: wire.Publish, blobs: list[bytes]) -> None:
        fault, argument = self.fleet.fault("refuse", "lose", "twice", "garbage", "liar", "gap", "mute")
        outcomes = {}
        for place, (section, body) in enumerate(zip(publish.sections, blobs, strict=True)):
            try:
                if fault == "refuse":
                    raise BusError
                if not self.leads(section.partition):
                    argument = "NotLeader"
                    raise BusError
                made = self.fleet.partitions[section.partition].append(section, body)
                outcomes[place] = wire.Outcome(section.partition, made.base_offset, 2, made.appended)
            except BusError as error:
                code = argument if type(error) is BusError else code_of(error)
                self.fleet.refused.append(code)
                outcomes[place] = wire.Outcome(section.partition, -1, 0, 0, code, "as told")
                if isinstance(error, OutOfSequence):
                    self.fleet.out_of_sequence += 1
        if fault == "lose":
            self.end(session)
        elif fault == "mute":
            self.muted.add(session.id)
        elif fault == "garbage":
            wrong = {place: wire.Outcome(one.partition + 1, 5, 2, 1) for place, one in outcomes.items()}
            self.send(session, wire.Published(publish.request, wrong))
        elif fault == "liar":
            claims = [Repeated(*map(int, argument.split()))]
            wrong = {place: replace(one, repeats=claims) for place, one in outcomes.items()}
            self.send(session, wire.Published(publish.request, wrong))
        else:
            session.sent += fault == "gap"
            for _ in range(2 if fault == "twice" else 1):
                self.send(session, wire.Published(publish.request, outcomes))

    def on_watch(self, session: Session, watch: wire.Watch, _b: list[bytes]) -> None:
        if self.leads(watch.partition):
            partition = self.fleet.partitions[watch.partition]
            self.watches[(session.identity, watch.subscription)] = Watching(session, watch, partition)
        else:
            self.not_leader(session, watch.subscription)

    def on_unwatch(self, session: Session, unwatch: wire.Unwatch, _b: list[bytes]) -> None:
        self.watches.pop((session.identity, unwatch.subscription), None)

    def on_credit(self, session: Session, credit: wire.Credit, _b: list[bytes]) -> None:
        key = (session.identity, credit.subscription)
        watching = self.watches.get(key)
        if watching is not None:
            watching.credit += credit.more
        for group in self.fleet.groups.values():
            if key in group.members:
                group.members[key].credit += credit.more

    def on_join(self, session: Session, join: wire.Join, _b: list[bytes]) -> None:
        if not self.leads(join.partition):
            self.not_leader(session, join.subscription)
            return
        known = [group.settings for (name, _), group in self.fleet.groups.items() if name == join.group]
        if known and known[0].pattern != join.settings.pattern:
            fault = wire.Fault(join.subscription, "GroupConflict", "the group's pattern is another", "pattern")
            self.send(session, fault)
            return
        if not join.create and (join.group, join.partition) not in self.fleet.groups:
            self.send(session, wire.Fault(join.subscription, "NoSuchGroup", "it is not there"))
            return
        group = self.fleet.groups.setdefault((join.group, join.partition), GroupAt(join.settings))
        group.take_back(join)
        group.members[(session.identity, join.subscription)] = Member(self, session, join)
        self.send(
            session, wire.Joined(join.subscription, join.group, join.partition, 0, definition=40 + join.partition)
        )

    def on_settle(self, session: Session, settle: wire.Settle, _b: list[bytes]) -> None:
        stale: dict[int, str] = {}
        member = (session.identity, settle.subscription)
        joined = [group for group in self.fleet.groups.values() if member in group.members]
        if not joined:
            self.not_leader(session, settle.request)
        for group in joined:
            stale |= group.settle(settle)
        if joined:
            self.send(session, wire.Settled(settle.request, stale))

    def on_leave(self, session: Session, leave: wire.Leave, _b: list[bytes]) -> None:
        for group in self.fleet.groups.values():
            group.members.pop((session.identity, leave.subscription), None)

    # ------------------------------------------------------------------------------------- what flows out

    def deliver(self) -> None:
        for key, watching in list(self.watches.items()):
            if not watching.session.is_open or not self.leads(watching.watch.partition):
                del self.watches[key]
            elif watching.credit > 0 and watching.said != self.fleet.partitions[watching.watch.partition].high:
                self.advance(watching)
        for (_, number), group in self.fleet.groups.items():
            if self.leads(number):
                self.deal(self.fleet.partitions[number], group)

    def advance(self, watching: Watching) -> None:
        partition = self.fleet.partitions[watching.watch.partition]
        first, blobs, rows = watching.offset, [], []
        for header, record in partition.records:
            end = header.base_offset + header.count
            if end <= watching.offset or watching.credit <= 0:
                continue
            meant = watching.filter.rows(*batch.type_view(batch.body_of(record)))
            if meant:
                rows.append(batch.bitmap(meant, header.count))
                blobs.append(record)
                watching.credit -= len(record)
            watching.offset = end
        watching.said = watching.offset
        fault, _ = self.fleet.fault("corrupt", "cut") if blobs else ("", "")
        if fault == "corrupt":
            blobs[0] = blobs[0][:-1] + bytes([blobs[0][-1] ^ 1])
        said = wire.Records(watching.watch.subscription, partition.number, first, watching.offset, partition.high, rows)
        self.send(watching.session, said, blobs)
        if fault == "cut":
            self.end(watching.session)

    def deal(self, partition: Partition, group: GroupAt) -> None:
        wanted = Filter(group.settings.pattern)
        for header, record in partition.records:
            if header.base_offset >= group.cursor:
                rows = wanted.rows(*batch.type_view(batch.body_of(record)))
                group.ready.extend(header.base_offset + row for row in rows)
                group.cursor = header.base_offset + header.count
        mine = [member for member in group.members.values() if member.session in set(self.sessions)]
        for member in mine:
            fault, which = self.fleet.fault("misfit") if group.ready and member.credit > 0 else ("", "")
            if fault:
                header, record = partition.records[0]
                rows = {"size": b"\0" * 99, "none": packed(0, header.count)}.get(which, b"\1")
                number = partition.number + (which == "partition")
                again = {header.count: 2} if which == "attempts" else {}
                self.send(member.session, wire.Deliver(member.join.subscription, number, rows, again), [record])
                continue
            while group.ready and member.credit > 0:
                offset = group.ready.popleft()
                member.credit -= 1
                group.attempts[offset] = group.attempts.get(offset, 0) + 1
                group.held[offset] = member.join.member
                header, record = next(one for one in reversed(partition.records) if one[0].base_offset <= offset)
                row = offset - header.base_offset
                again = {row: group.attempts[offset]} if group.attempts[offset] > 1 else {}
                told = wire.Deliver(
                    member.join.subscription, partition.number, batch.bitmap([row], header.count), again
                )
                self.send(member.session, told, [record])


class FakeFleet:
    """Some fake brokers; use as a context manager. Everything shared is under `lock`."""

    def __init__(self, brokers: int = 3, partitions: int = 4) -> None:
        self.lock = threading.RLock()
        self.partitions = [Partition(number) for number in range(partitions)]
        self.groups: dict[tuple[str, int], GroupAt] = {}
        self.faults: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.out_of_sequence = 0
        self.plane_epoch = 1
        self.brokers = [FakeBroker(self, number) for number in range(1, brokers + 1)]
        self.version = 1
        self.leaders = [self.brokers[number % brokers].id for number in range(partitions)]

    @property
    def topology(self) -> wire.Topology:
        nodes = [wire.Node(broker.id, broker.url, "store") for broker in self.brokers]
        replicas = [broker.id for broker in self.brokers]
        seats = [wire.Seat(number, self.version, leader, replicas, 2) for number, leader in enumerate(self.leaders)]
        return wire.Topology(self.version, FLEET, 4096, nodes, seats)

    @property
    def urls(self) -> list[str]:
        return [broker.url for broker in self.brokers]

    def leader_of(self, partition: int) -> str:
        return self.leaders[partition]

    def fault(self, *kinds: str) -> tuple[str, str]:
        for place, (kind, argument) in enumerate(self.faults):
            if kind in kinds:
                del self.faults[place]
                return kind, argument
        return "", ""

    def move(self, leaders: list[str], tell: bool = True) -> None:
        """Give partitions other leaders, and push the topology to all sessions."""
        with self.lock:
            self.version += 1
            self.leaders = leaders
            topology = self.topology
            for group in self.groups.values():
                group.ready = deque(sorted([*group.ready, *group.held]))
                group.held.clear()
                for member in group.members.values():
                    member.broker.commands.append(
                        lambda one=member: one.broker.not_leader(one.session, one.join.subscription)
                    )
                group.members.clear()
            for broker in self.brokers if tell else ():
                broker.commands.append(
                    lambda broker=broker: [broker.send(session, topology) for session in broker.sessions]
                )

    def kill(self, number: int) -> None:
        """Close a broker's socket without a word."""
        broker = self.brokers[number]
        broker.router.linger = 0
        broker.halted.set()
        broker.join(10)

    def settled(self, group: str) -> dict[tuple[int, int], str]:
        """(partition, offset) -> verdict of what the group has settled."""
        with self.lock:
            return {
                (number, offset): verdict
                for (name, number), at in self.groups.items()
                if name == group
                for offset, verdict in at.settled.items()
            }

    def __enter__(self) -> "FakeFleet":
        for broker in self.brokers:
            broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for broker in self.brokers:
            broker.halted.set()
        for broker in self.brokers:
            broker.join(10)
