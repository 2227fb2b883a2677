"""Publishers that retry until they are acked, and a reader that must never see the past change."""

from bisect import bisect_right
from typing import Any

from bus.batch import encode
from bus.event import Event

from .checkers import Ledger
from .messages import Batch, Page, Read, Reply
from .plane import Plane
from .world import MS, Network, World


class Publisher:
    """One producer id; up to `depth` batches in flight; every batch is sent until it is acked, in whatever weather."""

    def __init__(self, name: str, world: World, network: Network, plane: Plane, batches: int, depth: int) -> None:
        """Its batches come over 8 s, in bursts, so that there is news in any weather."""
        self.name, self.world, self.network, self.plane = name, world, network, plane
        self.depth = depth
        self.producer = name.encode()
        self.counts = [world.dice.randrange(1, 5) for _ in range(batches)]
        self.born = sorted(int(8_000 * MS * world.dice.random()) for _ in range(batches))
        self.acked: dict[int, int] = {}
        self.sent: dict[int, int] = {}
        self.codes: dict[str, int] = {}
        self.ledger: Ledger | None = None
        self.target = ""
        self.names: list[tuple[str, ...]] = []
        self.bodies: list[bytes] = []
        network.nodes[name] = self.deliver

    def gives(self, ids: list[str]) -> None:
        """Its events are these, with ids of its own; some of them it sends twice at once."""
        dice = self.world.dice
        self.counts, self.names = [], []
        while ids:
            taken, ids = ids[: (size := dice.randrange(1, 5))], ids[size:]
            if dice.random() < 0.2:
                taken = [*taken, dice.choice(taken)]
            self.names.append(tuple(taken))
            self.counts.append(len(taken))
        self.bodies = [encode([Event(type="t", source="s", id=id) for id in names]) for names in self.names]
        self.born = sorted(int(8_000 * MS * dice.random()) for _ in self.counts)

    def value(self, sequence: int) -> str:
        return f"{self.name}/{sequence}"

    @property
    def done(self) -> bool:
        return len(self.acked) == len(self.counts)

    def tick(self) -> None:
        if self.done:
            return
        now, dice = self.world.now, self.world.dice
        born = bisect_right(self.born, now)
        waiting = [sequence for sequence in range(born) if sequence not in self.acked][: self.depth]
        for sequence in waiting:
            if now >= self.sent.get(sequence, 0):
                if sequence in self.sent and dice.random() < 0.5:
                    self.target = ""
                self.sent[sequence] = now + 300 * MS
                self._send(self._target(), sequence)
        self.world.after(int((20 + 40 * dice.random()) * MS), self.tick)

    def _target(self) -> str:
        """Whom it takes for the leader: nobody tells it that there is a new one, it asks when it gets no answer."""
        if not self.target:
            seat, dice = self.plane.seat, self.world.dice
            self.target = seat.leader if seat and dice.random() < 0.9 else dice.choice(self.plane.brokers)
        return self.target

    def _send(self, target: str, sequence: int) -> None:
        batch = Batch(self.name, self.producer, sequence, self.counts[sequence], self.value(sequence))
        if self.names:
            batch = batch._replace(names=self.names[sequence], body=self.bodies[sequence])
        self.network.send(self.name, target, batch)

    def deliver(self, source: str, reply: Reply) -> None:
        self.codes[reply.code] = self.codes.get(reply.code, 0) + 1
        if reply.code:
            if reply.sequence not in self.acked:
                self.sent[reply.sequence] = min(self.sent.get(reply.sequence, 0), self.world.now + 30 * MS)
            return
        first = self.acked.setdefault(reply.sequence, reply.base_offset)
        if first != reply.base_offset and self.ledger is not None:
            self.ledger.fail("twice", f"{self.value(reply.sequence)} was acked at {first} and at {reply.base_offset}")


class Reader:
    """Reads from whoever leads, in order; a leader of an older epoch is not listened to again."""

    def __init__(self, world: World, network: Network, plane: Plane, ledger: Ledger) -> None:
        self.world, self.network, self.plane, self.ledger = world, network, plane, ledger
        self.offset = self.high = self.epoch = 0
        self.values: list[tuple[int, str]] = []
        network.nodes["reader"] = self.deliver

    def tick(self) -> None:
        if self.plane.seat is not None:
            self.network.send("reader", self.plane.seat.leader, Read("reader", self.offset))
        self.world.after(100 * MS, self.tick)

    def deliver(self, source: str, page: Any) -> None:
        if not isinstance(page, Page) or page.epoch < self.epoch or page.offset != self.offset:
            return
        if page.epoch > self.epoch and page.high < self.high:
            self.ledger.fail("reader", f"{source} reads up to {page.high} in epoch {page.epoch}, {self.high} was read")
        self.epoch, self.high = page.epoch, max(self.high, page.high)
        known = {record.base_offset: record.value for record in self.ledger.committed if record.count}
        for offset, value in page.values:
            if known.get(offset) != value:
                self.ledger.fail(
                    "reader", f"{source} lets {value!r} be read at {offset}, committed is {known.get(offset)!r}"
                )
        self.values += page.values
        self.offset = page.next_offset
