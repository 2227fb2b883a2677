"""DEALERs from a leader's broker to its followers': one session each, opened when first needed, reopened by itself.

A replica repairs whatever a lost session loses: its next ship or heartbeat does not fit, and the follower says where to
go on. So frames for a link that is not open are dropped, but for the latest heartbeat of each partition, which goes out
with the greeting's answer and saves the interval to the next one.
"""

import logging
import secrets
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import zmq

from bus import limits, wire
from bus.errors import ProtocolError
from bus.multipart import receive_parts, send_parts
from bus.outbox import Outbox
from bus.session import Session

log = logging.getLogger("bus.broker")
_MS = 1_000_000


class Introduction(NamedTuple):
    """How this broker greets others."""

    broker: str
    fleet: str
    store: str


class Link:
    """The way to one other broker at one URL."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", hello: "Introduction", broker: str, url: str) -> None:
        self.broker = broker
        self.url = url
        self.waiting: dict[int, wire.Message] = {}
        self._context = context
        self._hello = hello
        self._session: Session | None = None
        self._outbox = Outbox()
        self._former = 0
        self._again_at = 0
        self._greeted_at = 0
        self.socket = self._connect()

    def open(self, now: int) -> None:
        """Greet the broker if that is due."""
        session = self._session
        if session is not None:
            late = not session.is_open and now - self._greeted_at > limits.LINK_GREETING_MS_MAX * _MS
            if not late and not session.silent(now):
                self._write(session.ping_due(now) or [], now)
                return
            self._fail(now)
        if now < self._again_at:
            return
        self._session = Session(secrets.randbits(63), now=now)
        self._greeted_at = now
        me = self._hello
        frames = self._session.hello(
            role="broker", name=me.broker, fleet=me.fleet, store=me.store, resumes=self._former, now=now
        )
        self._former = self._session.id
        self._write(frames, now)

    def send(self, partition: int, message: wire.Message, blobs: list[bytes], now: int) -> bool:
        """Say something with the next `flush`; False when the link is not open (what has no blobs waits for it)."""
        if self._session is None or not self._session.is_open:
            if not blobs:
                self.waiting[partition] = message
            return False
        if not self._outbox.fits(message, blobs):
            self.flush(now)
        self._outbox.add(message, blobs)
        return True

    def flush(self, now: int) -> None:
        """Let everything that was said leave; what was said in a session that is over is dropped with it."""
        if self._outbox:
            said = self._outbox.take()
            if self._session is not None and self._session.is_open:
                self._write(self._session.send(*said, now), now)

    def receive(self, now: int) -> Iterator[Any]:
        """The messages that came in, at most `TURN_FRAMES_MAX`."""
        for _ in range(limits.TURN_FRAMES_MAX):
            try:
                parts = receive_parts(self.socket)
            except zmq.Again:
                return
            session = self._session
            if session is None:
                continue
            try:
                received = session.receive(parts, now)
            except ProtocolError as error:
                log.warning("link to %s: %s", self.broker, error)
                self._write(session.bye(session.bye_code, str(error)), now)
                self._fail(now)
                continue
            if received is not None:
                for message, _ in wire.unbundled(*received):
                    yield from self._sort(message, now)

    def close(self, reason: str) -> None:
        """Say Bye and close."""
        if self._session is not None and self._session.is_open:
            self._write(self._session.bye("closing", reason), 0)
        self.socket.close(limits.FAREWELL_MS)

    def _sort(self, message: Any, now: int) -> Iterator[Any]:
        if isinstance(message, wire.Welcome):
            if message.broker != self.broker:
                log.warning(
                    "link to %s: %s answers at %s; waiting for the topology", self.broker, message.broker, self.url
                )
                self._fail(now)
                return
            for waiting in self.waiting.values():
                self._write(self._session.send(waiting, (), now) if self._session else [], now)
            self.waiting.clear()
        elif isinstance(message, wire.Bye):
            log.info("link to %s: it said Bye (%s: %s)", self.broker, message.code, message.reason)
            self._fail(now, at_once=message.code in ("unknown", "gap"))
        elif isinstance(message, wire.Ping):
            if self._session is not None:
                self._write(self._session.send(wire.Pong(message.token), now=now), now)
        else:
            yield message

    def _write(self, frames: list[bytes], now: int) -> bool:
        if not frames:
            return True
        try:
            send_parts(self.socket, frames)
        except zmq.Again:
            log.warning("link to %s: it does not take its frames; starting anew", self.broker)
            self._fail(now)
            self.socket.close(0)
            self.socket = self._connect()
            return False
        return True

    def _fail(self, now: int, at_once: bool = False) -> None:
        self._session = None
        self._outbox = Outbox()
        self._again_at = now if at_once else now + limits.LINK_RETRY_MS * _MS

    def _connect(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDHWM, limits.PEER_SEND_FRAMES_MAX)
        socket.setsockopt(zmq.RCVHWM, limits.PEER_RECEIVE_FRAMES_MAX)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES_MAX)
        socket.setsockopt(zmq.RECONNECT_IVL, limits.LINK_RETRY_MS // 4)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, limits.LINK_RETRY_MS)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.url)
        return socket


class Links:
    """All links of one broker, by the other's id. URLs come from the topology."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", broker: str, fleet: str, store: str) -> None:
        self._context = context
        self._broker = broker
        self._hello = Introduction(broker, fleet, store)
        self._urls: dict[str, str] = {}
        self._links: dict[str, Link] = {}
        self._waiting: dict[str, dict[int, wire.Message]] = {}

    def learn(self, nodes: list[wire.Node]) -> None:
        """Where the other brokers are. A link to one that moved or left is closed."""
        self._urls = {node.id: node.url for node in nodes if node.id != self._broker and node.url}
        for broker, link in list(self._links.items()):
            if self._urls.get(broker) != link.url:
                link.close("the topology moved on")
                del self._links[broker]

    def send(self, broker: str, partition: int, message: wire.Message, blobs: list[bytes], now: int) -> bool:
        """Say something to a broker; False when it cannot be reached at the moment."""
        link = self._links.get(broker)
        if link is None:
            link = self._made(broker)
            if link is None:
                if not blobs and len(self._waiting) < limits.TOPOLOGY_NODES_MAX:
                    self._waiting.setdefault(broker, {})[partition] = message
                return False
            link.open(now)
        return link.send(partition, message, blobs, now)

    def receive(self, now: int, ready: Container[Any]) -> Iterator[tuple[str, Any]]:
        """(broker, message) of the links whose sockets are `ready`."""
        for broker, link in list(self._links.items()):
            if link.socket in ready:
                for message in link.receive(now):
                    yield broker, message

    def keep(self, now: int) -> None:
        """Greet and ping where it is due."""
        for broker in [broker for broker in self._waiting if broker in self._urls]:
            for partition, message in self._waiting.pop(broker).items():
                self.send(broker, partition, message, [], now)
        for link in self._links.values():
            link.open(now)

    def flush(self, now: int) -> None:
        """Let everything that was said leave."""
        for link in list(self._links.values()):
            link.flush(now)

    def sockets(self) -> "list[zmq.Socket[bytes]]":
        """For the loop's poller."""
        return [link.socket for link in self._links.values()]

    def close(self, reason: str) -> None:
        """Say Bye to all."""
        for link in self._links.values():
            link.close(reason)
        self._links.clear()

    def _made(self, broker: str) -> Link | None:
        url = self._urls.get(broker)
        if url is None:
            return None
        try:
            link = Link(self._context, self._hello, broker, url)
        except zmq.ZMQError as error:
            log.error("broker %s cannot be reached at %r: %s", broker, url, error)
            del self._urls[broker]
            return None
        link.waiting.update(self._waiting.pop(broker, {}))
        self._links[broker] = link
        return link
