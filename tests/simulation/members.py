"""Members of a group in the simulation, and a run that has them beside everything else that goes wrong.

A member works on what it is given for a while, then acks, nacks or terminates; sometimes it dwells beyond `ack_wait`,
and sometimes it crashes and forgets. What was not answered it says again to the next leader, after telling it what it
holds.
"""

import sys
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from bus import batch, wire
from bus.errors import BusError, ProtocolError
from bus.runs import runs_of
from bus.session import Session

from . import swarm
from .broker import Parts
from .channel import Channel, Parcel
from .groups import FLEET, SETTINGS, GroupBroker, GroupLedger
from .plane import Plane
from .world import MS, Network, Violation, World

CREDIT = 12
SILENT_NS = 700 * MS


class Member:
    """One member with one session at a time, with whom it takes for the leader."""

    def __init__(
        self, name: str, world: World, network: Network, plane: Plane, channel: Channel, groups: GroupLedger
    ) -> None:
        self.name, self.world, self.plane, self.channel, self.groups = name, world, plane, channel, groups
        self.calm = False
        self.lives = 0
        network.nodes[name] = self.deliver
        self.forget()

    def forget(self) -> None:
        """A crash: another member begins under the same address."""
        self.lives += 1
        self.held: dict[int, tuple[int, int]] = {}
        self.pending: list[wire.Settlement] = []
        self.asked: dict[int, list[wire.Settlement]] = {}
        self.leader = ""
        self.session: Session | None = None
        self.heard = self.number = 0
        self.joined = self.was_joined = False
        self.definition = -1

    def tick(self) -> None:
        dice, now = self.world.dice, self.world.now
        self.world.after(int((20 + 60 * dice.random()) * MS), self.tick)
        if not self.calm and dice.random() < 0.004:
            self.world.say(self.name, "crashes and forgets", len(self.held))
            self.forget()
        leader = self.plane.seat.leader if self.plane.seat is not None else ""
        gone = self.session is None or not self.session.id or now - self.heard > SILENT_NS
        if leader and (gone or leader != self.leader):
            self.connect(leader)
        self.work()
        if self.joined:
            self.flush()
            self.say(wire.Ping(now))

    def connect(self, leader: str) -> None:
        if self.session is not None and self.leader:
            self.channel.send(self.name, self.leader, self.session.bye("closing", "looking for the leader"))
        self.session = Session(self.world.dice.getrandbits(63))
        self.leader, self.heard, self.joined = leader, self.world.now, False
        for items in self.asked.values():
            self.pending[:0] = items
        self.asked.clear()
        self.write(self.session.hello(role="client", name=self.name, fleet=FLEET))

    def work(self) -> None:
        now, dice = self.world.now, self.world.dice
        for offset, (attempt, done) in list(self.held.items()):
            if done <= now:
                del self.held[offset]
                verdict = dice.choice(["ack"] * 16 + ["nack"] * 3 + ["terminate"])
                delay = dice.choice([0, 100, 600]) if verdict == "nack" else 0
                self.pending.append(wire.Settlement(offset, attempt, verdict, delay, "no luck"))
                if verdict == "ack":
                    self.groups.acked.add(offset)

    def flush(self) -> None:
        if self.pending:
            items, self.pending = self.pending, []
            self.number += 1
            self.asked[self.number] = items
            first = {item.offset: item for item in reversed(items) if item.attempt == 1 and item.verdict == "ack"}
            others = [item for item in items if first.get(item.offset) is not item]
            self.say(wire.Settle(self.number, 1, 0, others, runs_of(sorted(first))))
            self.lend(len(items))

    def lend(self, settled: int) -> None:
        """So many were settled, and others may come for them."""
        self.say(wire.Credit(1, settled))

    def say(self, message: wire.Message) -> None:
        if self.session is not None and self.session.is_open:
            self.write(self.session.send(message, now=self.world.now))

    def write(self, frames: list[bytes]) -> None:
        self.channel.send(self.name, self.leader, frames)

    def deliver(self, source: str, parcel: Parcel) -> None:
        if self.session is None or source != self.leader:
            return
        try:
            received = self.session.receive(parcel.parts, self.world.now)
        except ProtocolError:
            self.lose()
            return
        if received is not None:
            self.heard = self.world.now
            self.hear(received.message, received.blobs)

    def lose(self) -> None:
        self.joined = False
        self.heard = self.world.now - SILENT_NS
        self.session = None

    def hear(self, message: Any, blobs: list[bytes]) -> None:
        match message:
            case wire.Welcome():
                holds = {offset: attempt for offset, (attempt, _) in self.held.items()}
                self.number += 1
                credit = max(0, CREDIT - len(holds) - len(self.pending))
                name = f"{self.name}.{self.lives}"
                known = {"again": self.was_joined, "definition": self.definition}
                self.say(wire.Join(1, "g", 0, name, self.groups.settings, credit, holds, **known))
            case wire.Joined():
                self.joined = self.was_joined = True
                self.definition = max(self.definition, message.definition)
                self.flush()
            case wire.Deliver():
                header, dice = batch.header_of(blobs[0]), self.world.dice
                base = header.base_offset
                for row in batch.rows_of(message.rows, header.count):
                    attempt = message.attempts.get(row, 1)
                    if base + row in self.held:  # an older attempt of it, which is over: its credit is free again
                        self.say(wire.Credit(1, 1))
                    takes = dice.choice([10, 100, 400] if self.calm else [10, 100, 400, 1_800])
                    self.held[base + row] = (attempt, self.world.now + int(takes * dice.random() * MS))
            case wire.Settled():
                for item in self.asked.pop(message.request, []):
                    if item.offset not in message.stale:
                        self.groups.confirms(item.offset, item.attempt, item.verdict)
            case wire.Fault() | wire.Bye():
                self.lose()


class GroupRun(swarm.Run):
    """A run with groups. Weather and storm are those of `Run`."""

    def __init__(
        self,
        seed: int,
        parts: type[Parts] = Parts,
        broker: type[GroupBroker] = GroupBroker,
        verbose: bool = False,
        order: str = "none",
        members: bool = True,
    ) -> None:
        with patch.object(swarm, "Broker", broker):
            super().__init__(seed, parts, Plane, verbose)
        dice, world = self.world.dice, self.world
        self.groups = GroupLedger(self.ledger, replace(SETTINGS, order=order))
        channel = Channel(world, self.network, dice.choice([0.0, 0.0, 0.002, 0.02]))
        self.channel = channel
        self.group_brokers: dict[str, GroupBroker] = {}
        for name, made in self.brokers.items():
            if isinstance(made, GroupBroker):
                made.channel, made.groups = channel, self.groups
                self.group_brokers[name] = made
        self.members = [
            Member(f"m{number}", world, self.network, self.plane, channel, self.groups)
            for number in range(dice.choice([1, 2, 4]) if members else 0)
        ]

    def begin(self) -> None:
        for member in self.members:
            member.tick()
        super().begin()

    def conclude(self) -> None:
        super().conclude()
        self.groups.finish({name: self.group_brokers[name].delivering._companions[0] for name in self.plane.replicas})

    def _heal(self) -> None:
        super()._heal()
        self.channel.loss = 0.0
        for member in self.members:
            member.calm = True

    def _settled(self) -> bool:
        if not super()._settled():
            return False
        end = self.groups.works_end()
        states = [self.group_brokers[name].delivering._companions[0].groups.get("g") for name in self.plane.replicas]
        return all(state is not None and not state.count and state.upto >= end for state in states) and not any(
            member.pending or member.asked or member.held for member in self.members
        )

    def _unsettled(self) -> str:
        states = {name: broker.delivering._companions[0].groups.get("g") for name, broker in self.group_brokers.items()}
        holds = {member.name: (member.joined, len(member.pending), len(member.asked)) for member in self.members}
        return f"{super()._unsettled()}; groups {states}; members {holds}"


def run_groups(
    seed: int, broker: type[GroupBroker] = GroupBroker, verbose: bool = False, order: str = "none"
) -> tuple[str, GroupRun]:
    """One seed; "" or what was violated."""
    play = GroupRun(seed, broker=broker, verbose=verbose, order=order)
    try:
        play.play()
    except (Violation, BusError) as found:
        return f"{type(found).__name__}: {found}", play
    return "", play


if __name__ == "__main__":
    violation, _ = run_groups(int(sys.argv[1]), verbose=True, order=sys.argv[2] if len(sys.argv) > 2 else "none")
    sys.exit(violation)
