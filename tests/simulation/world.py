"""Virtual time and a faulty network: everything that happens is drawn from one seed, in one order."""

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

MS = 1_000_000
HAPPENED_MAX = 300_000
"""An honest run takes 5,000 to 30,000. Of 100,000 seeds three took 100,000 to 146,000: much has to be shipped again to
one who is far behind, record by record, through a network that reorders."""


class Violation(Exception):
    """A checker found what must never be."""

    def __init__(self, checker: str, what: str) -> None:
        super().__init__(f"{checker}: {what}")
        self.checker = checker


class World:
    """A clock in ns, the queue of what is due, and the dice."""

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.now = 0
        self.dice = Random(seed)
        self.verbose = verbose
        self.happened = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._queued = 0

    def after(self, delay_ns: int, do: Callable[..., None], *args: Any) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (self.now + delay_ns, self._queued, do, args))

    def run(self, until_ns: int, done: Callable[[], bool] | None = None) -> bool:
        """Let things happen up to an instant; True as soon as `done()`."""
        while self._queue and self._queue[0][0] <= until_ns:
            self.now, _, do, args = heapq.heappop(self._queue)
            self.happened += 1
            if self.happened > HAPPENED_MAX:
                raise Violation("liveness", f"{HAPPENED_MAX} things happened and it goes on; somebody runs in circles")
            do(*args)
            if done is not None and done():
                return True
        self.now = until_ns
        return False

    def say(self, who: str, *what: Any) -> None:
        if self.verbose:
            print(f"{self.now / MS:10.3f} ms  {who:8s} {' '.join(str(part) for part in what)}")


class Network:
    """Drops, delays, duplicates, reorders; cuts links one way or both."""

    def __init__(self, world: World, drop: float, duplicate: float, delay_ms: float) -> None:
        self.world = world
        self.drop = drop
        self.duplicate = duplicate
        self.delay_ns = int(delay_ms * MS)
        self.cut: dict[tuple[str, str], int] = {}
        self.nodes: dict[str, Callable[[str, Any], None]] = {}
        self.sent = self.lost = 0

    def send(self, source: str, target: str, message: Any) -> None:
        dice = self.world.dice
        self.sent += 1
        if self.is_cut(source, target) or dice.random() < self.drop:
            self.lost += 1
            return
        for _ in range(2 if dice.random() < self.duplicate else 1):
            # Mostly short, sometimes very long: that is what reorders.
            delay = int(self.delay_ns * (dice.random() if dice.random() < 0.95 else 10 * dice.random()))
            self.world.after(50_000 + delay, self._deliver, source, target, message)

    def isolate(self, node: str, peers: list[str], lasts_ns: int, inbound: bool, outbound: bool) -> None:
        """Cut the links between a node and its peers, for a while."""
        until = self.world.now + lasts_ns
        for peer in peers:
            for link, cut in (((peer, node), inbound), ((node, peer), outbound)):
                if cut and peer != node:
                    self.cut[link] = max(until, self.cut.get(link, 0))

    def is_cut(self, source: str, target: str) -> bool:
        return self.cut.get((source, target), 0) > self.world.now

    def perfect(self) -> None:
        self.cut.clear()
        self.drop = self.duplicate = 0.0
        self.delay_ns = min(self.delay_ns, 2 * MS)

    def _deliver(self, source: str, target: str, message: Any) -> None:
        if self.is_cut(source, target):
            self.lost += 1
            return
        self.nodes[target](source, message)
