"""What carries sessions in the simulation."""

from typing import NamedTuple

from .world import Network, World


class Parcel(NamedTuple):
    """The parts of one multipart of a session."""

    parts: list[bytes]


class Channel:
    """What ZeroMQ is between a member and a broker: ordered, delayed, and now and then a range is lost."""

    def __init__(self, world: World, network: Network, loss: float) -> None:
        self.world, self.network, self.loss = world, network, loss
        self._last: dict[tuple[str, str], int] = {}

    def send(self, source: str, target: str, parts: list[bytes]) -> None:
        if self.network.is_cut(source, target) or self.world.dice.random() < self.loss:
            return
        delay = int(self.network.delay_ns * self.world.dice.random())
        at = max(self._last.get((source, target), 0) + 1, self.world.now + 50_000 + delay)
        self._last[source, target] = at
        self.world.after(at - self.world.now, self.network._deliver, source, target, Parcel(parts))
