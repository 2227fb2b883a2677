"""One session with one broker: a DEALER on the event loop.

Four traps of the socket are kept in here. ZeroMQ's file descriptor is edge-triggered and also fires for frames that a
*send* has already noticed, so both directions end in the same "is there more?". A flood of frames would starve every
other task, so after `LINK_FRAMES_PER_TURN_MAX` frames the loop gets a turn. And a socket that reconnects by itself
would hide a broker's death, so it never does: the socket's monitor tells it, and the owner opens a new one. (The
option that forbids it, -1, is no way: with it ZeroMQ drops the peer under the reader's hands, and where a message of
several parts is half read it aborts the process. So it is told to wait for longer than the socket lives.)

Whatever ends a session (Bye, disconnect, silence, a broken frame, a full queue) is told once, as `Lost`, to every route
that still waits for an answer and then to the owner.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import zmq
from zmq.utils.monitor import parse_monitor_message

from bus import limits, wire
from bus.errors import FleetError, ProtocolError
from bus.multipart import receive_parts, send_parts
from bus.session import Session, State

log = logging.getLogger("bus.client")
_ENDINGS = zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class Lost(NamedTuple):
    """The session is over. `code`: a Bye's code, or refused, disconnected, silent, jammed, failed, closed; `why` for
    people."""

    code: str
    why: str


class Greeting(NamedTuple):
    """What a connection says of itself in Hello; `fleet` is "" while it is not known."""

    role: str
    name: str
    fleet: str = ""
    principal: str = "anonymous"
    resumes: int = 0


Route = Callable[[Any, list[bytes]], None]
"""Takes the messages of one request or subscription with their blobs, or one `Lost`; it may raise FleetError."""


class Owner(Protocol):
    """Who is told about a connection. None of it may block."""

    def on_welcome(self, connection: "Connection", welcome: wire.Welcome) -> None: ...

    def on_topology(self, topology: wire.Topology) -> None: ...

    def on_lost(self, connection: "Connection", lost: Lost) -> None: ...


class Connection:
    """A session with the broker at `url`, from Hello until `Lost`. It is used once; the owner makes the next one.

    `routes` maps the number of a request or subscription to who takes its answers. `strays` counts answers that nobody
    waited for any more.
    """

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", url: str, greeting: Greeting, owner: Owner, session: int
    ):
        self.url = url
        self.owner = owner
        self.session = Session(session, now=time.monotonic_ns())
        self.routes: dict[int, Route] = {}
        self.strays = 0
        self.lost: Lost | None = None
        self.obeyed = True
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._quiet = False
        self._dismissed = False
        self._born = time.monotonic_ns()
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = limits.CLOSE_LINGER_MS
        self._socket.sndhwm = self._socket.rcvhwm = limits.LINK_FRAMES_QUEUED_MAX
        self._socket.maxmsgsize = limits.FRAME_BYTES_MAX
        self._socket.reconnect_ivl = limits.LINK_RECONNECT_MS
        self._monitor = self._socket.get_monitor_socket(_ENDINGS)
        self._timer = self._loop.call_later(limits.SESSION_PING_MS / 4000, self._beat)
        self._loop.add_reader(self._socket.FD, self._read)
        self._loop.add_reader(self._monitor.FD, self._ended)
        try:
            self._socket.connect(url)
            self._greet(greeting)
        except BaseException:
            self._release()
            raise
        self._loop.call_soon(self._ended)

    def _greet(self, said: Greeting) -> None:
        frames = self.session.hello(
            role=said.role,
            name=said.name,
            fleet=said.fleet,
            principal=said.principal,
            resumes=said.resumes,
            now=self._born,
        )
        self._transmit(frames)

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent: welcomed, not lost, and obeyed where the opener has to claim first."""
        return self.lost is None and self.obeyed and self.session.state is State.OPEN

    @property
    def welcome(self) -> wire.Welcome | None:
        """What the broker said of itself; None before it did."""
        peer = self.session.peer
        return peer if isinstance(peer, wire.Welcome) else None

    def ask(self, number: int, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...], route: Route) -> bool:
        """Send a request or subscription and remember who takes its answers; False if the session is over."""
        if self.lost is not None:
            return False
        self.routes[number] = route
        return self.send(message, blobs)

    def send(self, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        """Send a message that nobody answers; False if the session is over (its routes hear of it separately)."""
        if self.lost is not None:
            return False
        return self._transmit(self.session.send(message, blobs, time.monotonic_ns()))

    def forget(self, number: int) -> None:
        """Nobody waits for this request or subscription any more."""
        self.routes.pop(number, None)

    def close(self, code: str = "closing", reason: str = "the client is done") -> None:
        """Say Bye and let go of the socket; nobody is told. Idempotent."""
        self._dismissed = True
        if self.lost is None:
            self.lost = Lost("closed", reason)
            self._farewell(code, reason)
        self._release()
        self.routes.clear()

    # ------------------------------------------------------------------------------------------ sending

    def _transmit(self, frames: list[bytes]) -> bool:
        try:
            send_parts(self._socket, frames)
        except zmq.Again:
            self._lose("jammed", f"{limits.LINK_FRAMES_QUEUED_MAX} messages are queued and {self.url} takes none")
            return False
        self._look()
        return True

    def _farewell(self, code: str, reason: str) -> None:
        if self.session.state in (State.GREETING, State.OPEN):
            try:
                send_parts(self._socket, self.session.bye(code, reason))
            except zmq.Again:
                self.session.state = State.CLOSED

    def _readable(self) -> bool:
        return bool(cast(int, self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def _look(self) -> None:
        """A send may have consumed the descriptor's edge for frames that came in: read them in the next turn."""
        if not self._reading and self._readable():
            self._reading = True
            self._loop.call_soon(self._read_on)

    # ---------------------------------------------------------------------------------------- receiving

    def _read_on(self) -> None:
        self._reading = False
        self._read()

    def _read(self) -> None:
        for _ in range(limits.LINK_FRAMES_PER_TURN_MAX):
            if self.lost is not None:
                return
            try:
                parts = receive_parts(self._socket)
            except zmq.Again:
                return
            self._take(parts)
        if not self._reading and self.lost is None:
            self._reading = True
            self._loop.call_soon(self._read_on)

    def _take(self, parts: list[bytes]) -> None:
        try:
            received = self.session.receive(parts, time.monotonic_ns())
            if received is not None:
                for message, blobs in wire.unbundled(*received):
                    self._dispatch(message, blobs)
        except FleetError as error:
            self._lose(self.session.bye_code or "protocol", f"{self.url} broke the protocol: {error}")
        except Exception as error:
            # What came is lost to whom it was for, and so is the edge of what came behind it: begin anew, and say so.
            log.exception("what %s said could not be taken", self.url)
            self._lose("failed", f"this client failed over what {self.url} said: {type(error).__name__}: {error}")

    def _dispatch(self, message: Any, blobs: list[bytes]) -> None:
        kind = type(message)
        if kind is wire.Pong:
            return
        if kind is wire.Topology:
            self.owner.on_topology(message)
        elif kind is wire.Welcome:
            self.owner.on_welcome(self, message)
        elif kind is wire.Bye:
            self._lose(message.code, f"{self.url} said Bye: {message.reason}")
        elif kind is wire.Ping:
            self.send(wire.Pong(message.token))
        else:
            self._route(message, blobs)

    def _route(self, message: Any, blobs: list[bytes]) -> None:
        number = getattr(message, "request", None)
        if number is None:
            number = getattr(message, "subscription", None)
        if number is None:
            raise ProtocolError(f"{type(message).__name__} is not for a client")
        route = self.routes.get(number)
        if route is None:
            self.strays += 1
        else:
            route(message, blobs)

    # ------------------------------------------------------------------------------------------- ending

    def _ended(self) -> None:
        """The monitor spoke: the peer is gone. What it said before counts: read that first."""
        if self.lost is not None:
            return
        try:
            event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            return
        while self.lost is None and self._readable():
            self._read()
        if event["event"] == zmq.EVENT_CLOSED:
            self._lose("refused", f"nothing answers at {self.url}")
        else:
            self._lose("disconnected", f"{self.url} closed the connection")

    def _beat(self) -> None:
        """Ping when idle; give up on a peer that is silent. Two beats in a row must see the silence: a loop that stood
        still itself has not read yet what came meanwhile."""
        if self.lost is not None:
            return
        now = time.monotonic_ns()
        self._timer = self._loop.call_later(limits.SESSION_PING_MS / 4000, self._beat)
        if self.session.state is State.GREETING:
            quiet = now - self._born > limits.HELLO_MS_MAX * 1_000_000
        else:
            quiet = self.session.silent(now)
            ping = self.session.ping_due(now)
            if ping is not None:
                self._transmit(ping)
        if quiet and self._quiet:
            self._lose("silent", f"{self.url} says nothing")
        self._quiet = quiet

    def _lose(self, code: str, why: str) -> None:
        if self.lost is not None:
            return
        self.lost = Lost(code, why)
        if code not in ("refused", "disconnected", "jammed"):
            self._farewell(code if code in ("gap", "protocol") else "closing", why)
        self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        """In a turn of its own, so that nobody hears of a loss in the middle of a send."""
        if self._dismissed:
            return
        self._release()
        routes, self.routes = self.routes, {}
        lost = self.lost or Lost("closed", "")
        for route in routes.values():
            route(lost, [])
        self.owner.on_lost(self, lost)

    def _release(self) -> None:
        if self._socket.closed:
            return
        self._timer.cancel()
        self._loop.remove_reader(self._socket.FD)
        self._loop.remove_reader(self._monitor.FD)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(limits.CLOSE_LINGER_MS)
