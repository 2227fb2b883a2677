"""Groups in an order that spans partitions: several partitions with storms of their own, and members at all of them.

Each partition is a whole `GroupRun`: brokers, plane, publishers, its own weather; they share the world's clock. A
publisher says as `deps` what of all partitions was committed when it first sent a batch. A `Crew` is one member: the
real hold-back (`tests.bus.worker`) behind a `Link` to the leader of each partition. It knows no other member, and no
leader knows another partition.

Whenever an event is given out, all that its `deps` name must be settled in the committed logs, whoever gives it out.
"""

import sys
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from bus import wire
from bus.errors import BusError
from tests.bus.worker import Worker

from . import swarm, world
from .clients import Publisher
from .groups import SETTINGS, GroupBroker, GroupLedger
from .members import GroupRun, Member
from .world import MS, Violation, World

PARTITIONS = 3
BATCHES_MAX = 20
LATENESS = {"causal": {"lateness_ms": 500, "gap": "wait"}, "timestamp": {"lateness_ms": 200, "late": "deliver"}}


class Causes:
    """What publishers have seen of all partitions."""

    def __init__(self) -> None:
        self.ledgers: list[GroupLedger] = []

    def seen(self, dice: Any) -> dict[int, int]:
        """partition -> the last offset seen there, of what is committed now."""
        deps = {}
        for partition, groups in enumerate(self.ledgers):
            last = groups.end - 1 - dice.choice([0, 0, 1, 5])
            if last >= 0 and dice.random() < 0.5:
                deps[partition] = last
        return deps


class CausalPublisher(Publisher):
    """Says what it knew when it first sent a batch."""

    causes: Causes
    groups: GroupLedger

    def _send(self, target: str, sequence: int) -> None:
        self.groups.deps.setdefault(self.value(sequence), self.causes.seen(self.world.dice))
        super()._send(target, sequence)


class Link(Member):
    """A crew's session with the leader of one partition. `held` of a Member: what was given out, and until when."""

    def __init__(self, crew: "Crew", partition: int, run: GroupRun) -> None:
        self.crew, self.partition = crew, partition
        super().__init__(crew.name, run.world, run.network, run.plane, run.channel, run.groups)
        self.calm = True  # a crew crashes as a whole

    def connect(self, leader: str) -> None:
        self.drop()
        super().connect(leader)

    def lose(self) -> None:
        self.drop()
        super().lose()

    def drop(self) -> None:
        self.crew.worker.lost(self.partition, self.world.now)
        for items in self.asked.values():
            self.pending[:0] = items
        self.asked.clear()
        self.pending = [item for item in self.pending if item.verdict != "begin"]

    def work(self) -> None:
        before = len(self.pending)
        super().work()
        for item in self.pending[before:]:
            self.crew.worker.over((self.partition, item.offset))
            # It may have been taken from us meanwhile; then the settlement is stale.

    def lend(self, settled: int) -> None:
        """The crew lends, from one pool."""

    def begins(self, offset: int, attempt: int) -> None:
        """It is given out."""
        dice = self.world.dice
        takes = dice.choice([10, 100] if self.crew.calm else [10, 100, 400, 1_800])
        self.held[offset] = (attempt, self.world.now + int(takes * dice.random() * MS))
        self.groups.begun.add((offset, attempt))
        self.pending.append(wire.Settlement(offset, attempt, "begin"))

    def hear(self, message: Any, blobs: list[bytes]) -> None:
        worker, now = self.crew.worker, self.world.now
        match message:
            case wire.Welcome():
                holds = {offset: attempt for offset, (attempt, _) in self.held.items()}
                holds |= {item.offset: item.attempt for item in self.pending}
                settings, since = self.groups.settings, self.crew.since
                name = f"{self.name}.{self.crew.lives}"
                self.say(wire.Join(1, "g", 0, name, settings, worker.joins(self.partition), holds, since))
            case wire.Joined():
                worker.joined(self.partition)
                super().hear(message, blobs)
            case wire.Deliver():
                worker.delivered(self.partition, message, blobs, now)
                for offset in [one for one in self.held if (self.partition, one) not in worker.given]:
                    del self.held[offset]  # an older attempt of what was just delivered again
                self.crew.go()
            case wire.Progress():
                worker.told(self.partition, replace(message, partition=self.partition), now)
                self.crew.go()
            case _:
                super().hear(message, blobs)


class Crew:
    """One member. Its clock may be off, so that one which came later may take itself for the first."""

    def __init__(self, name: str, runs: list[GroupRun], in_flight: int) -> None:
        self.name, self.world, self.in_flight = name, runs[0].world, in_flight
        self.runs = runs
        self.lives = 0
        self.calm = False
        self.links: list[Link] = []
        self.forget()
        self.links = [Link(self, partition, run) for partition, run in enumerate(runs)]

    @property
    def settings(self) -> wire.GroupSettings:
        return self.runs[0].groups.settings

    def forget(self) -> None:
        """A crash: another member begins under the same address."""
        self.lives += 1
        self.since = max(0, self.world.now + int(self.world.dice.choice([0, 0, -300, 300]) * MS))
        self.worker = Worker(self.settings, len(self.runs), self.in_flight, self.world.now)
        self.last: tuple[int, int, int] = (-1, 0, 0)
        self.disordered = 0
        for link in self.links:
            link.forget()

    def start(self) -> None:
        for link in self.links:
            link.tick()
        self.tick()

    def tick(self) -> None:
        """Time passes: what is held may go; crashes come now and then."""
        dice = self.world.dice
        self.world.after(int((20 + 60 * dice.random()) * MS), self.tick)
        if not self.calm and dice.random() < 0.003:
            self.world.say(self.name, "crashes and forgets", len(self.worker.held))
            self.forget()
        self.go()

    def go(self) -> None:
        """Give out what may go; tell the leaders, and lend what is free."""
        given, refused = self.worker.go(self.world.now)
        for partition, offset in given:
            self.check(partition, offset)
            self.links[partition].begins(offset, self.worker.held[partition, offset])
        for place in refused:
            attempt = self.worker.over(place)
            self.links[place[0]].pending.append(
                wire.Settlement(place[1], attempt, self.worker.hold.verdict, 0, "refused")
            )
        for partition, more in self.worker.lends():
            self.links[partition].say(wire.Credit(1, more))

    def check(self, partition: int, offset: int) -> None:
        """What the order promises, of an event that is given out now."""
        ledger = self.runs[partition].groups.ledger
        place, worker = (partition, offset), self.worker
        if self.settings.order == "causal":
            for other, at in worker.deps[place].items():
                floor = self.runs[other].groups.settled_floor()
                if floor <= at:
                    ledger.fail("causal order", f"{self.name} gives out {place} before {floor} of {other} is settled")
        elif worker.held[place] == 1:
            at = (worker.times[place], *place)
            self.disordered += at < self.last
            self.last = max(at, self.last)
            if self.disordered > worker.hold.late:
                ledger.fail("time order", f"{self.name} gives out {at} after {self.last}, and has counted nothing late")


class OrderedRun:
    """Several partitions in one world, and the crews."""

    def __init__(self, seed: int, order: str, broker: type[GroupBroker] = GroupBroker, verbose: bool = False) -> None:
        self.world = World(seed, verbose)
        self.causes = Causes()
        with patch.object(swarm, "World", lambda *_: self.world), patch.object(swarm, "Publisher", CausalPublisher):
            self.runs = [
                GroupRun(seed * PARTITIONS + number, broker=broker, order=order, members=False)
                for number in range(PARTITIONS)
            ]
        for run in self.runs:
            run.groups.settings = replace(SETTINGS, order=order, **LATENESS[order])
            run.groups.mixed = True
            self.causes.ledgers.append(run.groups)
            for publisher in run.publishers:
                if isinstance(publisher, CausalPublisher):
                    publisher.causes, publisher.groups = self.causes, run.groups
                    del publisher.counts[BATCHES_MAX:], publisher.born[BATCHES_MAX:]
        dice = self.world.dice
        in_flight = dice.choice([1, 3, 12, 40])
        self.crews = [Crew(f"m{number}", self.runs, in_flight) for number in range(dice.choice([1, 2, 3]))]

    def play(self) -> None:
        with patch.object(world, "HAPPENED_MAX", PARTITIONS * world.HAPPENED_MAX):
            for run in self.runs:
                run.begin()
            for crew in self.crews:
                self.world.after(int(2_000 * MS * self.world.dice.random()), crew.start)
            self.world.run(8_000 * MS)
            for run in self.runs:
                run._heal()
            for crew in self.crews:
                crew.calm = True
            if not self.world.run(self.world.now + 2 * swarm.SETTLE_NS, self._settled):
                self.runs[0].ledger.fail("liveness", self._unsettled())
        for run in self.runs:
            run.conclude()

    def _settled(self) -> bool:
        return not any(crew.worker.held for crew in self.crews) and all(run._settled() for run in self.runs)

    def _unsettled(self) -> str:
        holds = {
            crew.name: (crew.since, len(crew.worker.held), crew.worker.given, crew.worker.hold.awaited())
            for crew in self.crews
        }
        floors = [run.groups.settled_floor() for run in self.runs]
        return f"settled to {floors} of {[run.groups.works_end() for run in self.runs]}; members {holds}"

    @property
    def delivered(self) -> int:
        """Deliveries that leaders sent."""
        return sum(run.groups.delivered for run in self.runs)


def run_ordered(
    seed: int, order: str, broker: type[GroupBroker] = GroupBroker, verbose: bool = False
) -> tuple[str, OrderedRun]:
    """One seed; "" or what was violated."""
    play = OrderedRun(seed, order, broker, verbose)
    try:
        play.play()
    except (Violation, BusError) as found:
        return f"{type(found).__name__}: {found}", play
    return "", play


if __name__ == "__main__":
    violation, _ = run_ordered(int(sys.argv[1]), sys.argv[2], verbose=True)
    sys.exit(violation)
