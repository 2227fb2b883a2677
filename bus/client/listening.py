"""Where an agent is called: a ROUTER on the loopback, on the event loop, and the sessions of its callers.

The counterpart of `connection.py`, with the same traps kept in here: the descriptor is edge-triggered and a send may
consume its edge; a flood must not starve other tasks. Nothing blocks: a caller that does not take its answers (as many
as LINK_FRAMES_QUEUED_MAX wait for it, or PEER_SEND_BYTES_MAX), or is gone, has its session ended.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, cast

import zmq

from bus import limits, wire
from bus.errors import FleetError
from bus.multipart import receive_parts, send_parts
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.unread import Unread

log = logging.getLogger("bus.client")
_PING_S = limits.SESSION_PING_MS / 1000


class Listener:
    """All sessions of one ROUTER. `heard` takes each message, `ended` each session that is over.

    `malformed` counts frames that were none, or came against the rules; they are dropped.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        fleet: str,
        name: str,
        heard: Callable[[Session, Any], None],
        ended: Callable[[Session], None],
    ) -> None:
        self._begin(fleet, name, heard, ended)
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.linger = limits.CLOSE_LINGER_MS
        self._socket.sndhwm = self._socket.rcvhwm = limits.LINK_FRAMES_QUEUED_MAX
        self._socket.maxmsgsize = limits.FRAME_BYTES_MAX
        try:
            self._socket.bind("tcp://127.0.0.1:*")
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise FleetError(f"no port of 127.0.0.1 can be listened on: {error}") from error
        self.url = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._loop.add_reader(self._socket.FD, self._read)
        self._timer = self._loop.call_later(_PING_S, self._sweep)

    def _begin(
        self, fleet: str, name: str, heard: Callable[[Session, Any], None], ended: Callable[[Session], None]
    ) -> None:
        """What a listener has whatever it listens on."""
        self.sessions = Sessions(fleet)
        self.malformed = 0
        self.name = name
        self._heard = heard
        self._tell_ended = ended
        self._unread: dict[bytes, Unread] = {}

    def send(self, session: Session, message: wire.Message) -> bool:
        """Say something in a session. False when it is over, before or because of this."""
        if self._closed or not (session.is_open or isinstance(message, wire.Welcome)):
            return False
        frames = session.send(message, (), time.monotonic_ns())
        sent = self._write(session.identity, frames) and self._count(session, sum(map(len, frames)))
        if not sent:
            log.info("session of %s ended: it is gone, or does not take its answers", session)
            self._write(session.identity, self.sessions.end(session, "closing", "it does not take its answers"))
            self._ended(session)
        self._look()
        return sent

    def _count(self, session: Session, size: int) -> bool:
        """So much was sent; False when too much waits to be read."""
        unread = self._unread.setdefault(session.identity, Unread())
        if unread.size > limits.PEER_SEND_BYTES_MAX:
            return False
        if not unread.add(size):
            return True
        return self._write(session.identity, session.send(wire.Ping(unread.sent), (), time.monotonic_ns()))

    def _ended(self, session: Session) -> None:
        self._unread.pop(session.identity, None)
        self._tell_ended(session)

    @property
    def _closed(self) -> bool:
        return self._socket.closed

    def _dismiss(self) -> None:
        for session in self.sessions:
            self._write(session.identity, self.sessions.end(session, "closing", f"{self.name} is done"))
            self._ended(session)

    def close(self) -> None:
        """Say Bye to all and let go of the socket. Idempotent."""
        if self._socket.closed:
            return
        self._timer.cancel()
        self._dismiss()
        self._loop.remove_reader(self._socket.FD)
        self._socket.close(limits.CLOSE_LINGER_MS)

    def _write(self, identity: bytes, frames: list[bytes]) -> bool:
        try:
            send_parts(self._socket, [identity, *frames])
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def _look(self) -> None:
        """A send may have consumed the descriptor's edge for frames that came in: read them in the next turn."""
        if self._reading or self._socket.closed:
            return
        if cast(int, self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._reading = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._reading = False
        self._read()

    def _read(self) -> None:
        for _ in range(limits.LINK_FRAMES_PER_TURN_MAX):
            if self._socket.closed:
                return
            try:
                identity, *parts = receive_parts(self._socket)
            except zmq.Again:
                return
            self._take(identity, parts)
        self._look()

    def _take(self, identity: bytes, parts: list[bytes]) -> None:
        arrival = self.sessions.receive(identity, parts, time.monotonic_ns())
        if isinstance(arrival, Heard):
            if type(arrival.message) is wire.Ping:
                self.send(arrival.session, wire.Pong(arrival.message.token))
            elif type(arrival.message) is wire.Pong:
                self._unread.setdefault(identity, Unread()).heard(arrival.message.token)
            else:
                self._heard(arrival.session, arrival.message)
        elif isinstance(arrival, Greeted):
            if arrival.replaced is not None:
                self._tell_ended(arrival.replaced)  # its queue is the new one's, too
            fleet = self.sessions.fleet
            self.send(
                arrival.session, wire.Welcome(fleet, self.name, "", arrival.protocol, [], arrival.session.principal, 0)
            )
        else:
            self._refuse(identity, arrival)

    def _refuse(self, identity: bytes, refused: Refused) -> None:
        self.malformed += refused.malformed
        if refused.frames:
            self._write(identity, refused.frames)
        if refused.ended is not None:
            self._ended(refused.ended)

    def _sweep(self) -> None:
        """End the sessions whose callers have been silent for too long."""
        self._timer = self._loop.call_later(_PING_S, self._sweep)
        for session in self.sessions.silent(time.monotonic_ns()):
            self._write(session.identity, self.sessions.end(session, "closing", "nothing was heard for too long"))
            self._ended(session)
