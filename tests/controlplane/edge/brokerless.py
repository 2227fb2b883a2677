"""A journal with a real heart behind it, without brokers: what a plane's turns leave on disk."""

from pathlib import Path

from bus.event import Event
from controlplane.arrivals import Follows
from controlplane.directory import Directory
from controlplane.facts import BrokerStarted, Fact, FleetFounded, FoldVersions, PlaneStarted, Tick
from controlplane.fold import Step
from controlplane.journal import Kept
from controlplane.plane import FOLLOWED_TYPES, versions
from controlplane.restoring import Restored, restore
from tests.controlplane.edge.examples import arrived

FOLLOWS = Follows(FOLLOWED_TYPES)
MS = 1_000_000
BEGUN = 1_790_000_000_000 * MS


class Lived:
    """One life of a plane on `root`: `turn` is what Turns does, without its loop."""

    def __init__(self, root: Path) -> None:
        directory = Directory(root)
        directory.journal.mkdir(parents=True, exist_ok=True)
        self.restored: Restored = restore(directory)
        self.heart, self.journal, self.snapshots = self.restored.heart, self.restored.journal, self.restored.snapshots
        self.now = max(BEGUN, self.journal.recorded)
        if not self.heart.position:
            self.tell(PlaneStarted(1, "u"), FoldVersions(versions()), FleetFounded("f", 3, 4096, ["b1"]),
                      BrokerStarted("b1", 7, "store", "tcp://b1"))  # fmt: skip

    def tell(self, *facts: Fact) -> None:
        """Facts, one step each, in one commit."""
        self.now += 40 * MS
        self._commit([Kept(self.heart.step(fact, self.now)) for fact in facts])

    def turn(self, events: int = 30, inputs: int = 1) -> None:
        """Events of as many partitions as there are inputs, and a tick."""
        self.now += 40 * MS
        kept = [self._input(partition, events) for partition in range(inputs)]
        kept.append(Kept(self.heart.step(Tick(), self.now)))
        self._commit(kept)

    def _input(self, partition: int, events: int) -> Kept:
        arrival = arrived(made(events, self.offset(partition)), partition, self.offset(partition), self.now)
        return Kept(self.heart.step(arrival.rows(FOLLOWS), self.now), arrival)

    def offset(self, partition: int) -> int:
        """The next offset of a partition."""
        return self.journal.offsets.get(partition, 0)

    def _commit(self, kept: list[Kept]) -> None:
        self.journal.commit(kept)
        if self.snapshots.is_due(self.heart):
            self.snapshots.take(self.heart, self.journal.digest)

    def snapshot(self) -> None:
        """One, now."""
        self.snapshots.settle()
        self.snapshots.take(self.heart, self.journal.digest)
        self.snapshots.settle()

    def steps(self) -> list[Step]:
        """All that is journaled."""
        return list(self.journal.replay())

    def close(self) -> None:
        """End, as a plane does."""
        self.restored.close()


def made(count: int, first: int) -> list[Event]:
    """Numbered events of some sagas that come and go. None has the plane say anything, which nobody here would echo."""
    kinds = ("order.created", "order.paid", "agent.error.raised", "saga.completed", "agent.lifecycle.other")
    return [
        Event(id=f"e-{n}", type=kinds[n % 5], source=f"agent/{n % 7}", subject=f"order-{n // 9}", data={"n": n})
        for n in range(first, first + count)
    ]
