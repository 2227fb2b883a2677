"""One broker in the test's own process, turned by hand: it leads partition 0 of two, and is alone in its fleet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus import batch, wire
from bus.broker.loop import Broker
from bus.config import BrokerConfig
from bus.event import Event
from bus.store import MemoryMedium, Platter, Store
from tests.bus.rig import FLEET, Kind, Peer

PARTITIONS = 2
CLAIM = (1, "claim")
BODY = batch.encode([Event(type="a.b", source="s", id=f"id-{number}", data={"n": number}) for number in range(3)])


class Stage:
    """A broker turned by hand, and peers of it."""

    def __init__(self, platter: Platter | None = None, epoch: int = 1) -> None:
        self.store = Store(MemoryMedium(platter or Platter()), PARTITIONS, "store")
        config = BrokerConfig(
            directory=Path("unused"), id="b1", fleet=FLEET, partitions=PARTITIONS, disk_reserve_bytes=0
        )
        self.broker = Broker(config, self.store)
        self.url = self.broker.listen([0])
        self.peers: list[Peer] = []
        self.plane = self.peer("plane")
        self.ask(self.plane, wire.Claim(1, *CLAIM), wire.Claimed)
        self.ask(self.plane, wire.Offer(2, *CLAIM, 0, epoch), wire.Answered)
        self.ask(self.plane, wire.Place(3, *CLAIM, wire.Seat(0, epoch, "b1", ["b1"], 1)), wire.Placed)

    def peer(self, role: str = "client", name: str = "tester") -> Peer:
        peer = Peer(self.url, role, name)
        self.peers.append(peer)
        self.hear(peer, wire.Welcome)
        return peer

    def hear(self, peer: Peer, kind: type[Kind]) -> tuple[Kind, list[bytes]]:
        """Turn until a peer has heard a message of a kind."""
        for _ in range(100):
            self.broker.turn()
            while peer.socket.poll(2):
                peer.take(peer.socket.recv_multipart())
            for at, (message, blobs) in enumerate(peer.inbox):
                if isinstance(message, kind):
                    del peer.inbox[at]
                    return message, blobs
        raise AssertionError(f"no {kind.__name__}; there was {peer.inbox}")

    def ask(self, peer: Peer, message: wire.Message, kind: type[Kind], blobs: list[bytes] | None = None) -> Kind:
        peer.say(message, blobs or [])
        return self.hear(peer, kind)[0]

    def publish(self, peer: Peer, section: wire.Section, body: bytes, acks: str = "quorum") -> wire.Outcome:
        request = wire.Publish(peer.number(), acks, [section])
        return self.ask(peer, request, wire.Published, [body]).outcomes[0]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.broker.close("the test is over")


@contextmanager
def staged(platter: Platter | None = None, epoch: int = 1) -> Iterator[Stage]:
    """A stage on a platter, under a fresh epoch."""
    stage = Stage(platter, epoch)
    try:
        yield stage
    finally:
        stage.close()
