"""The ROUTER that every peer talks to: frames in, numbered frames out, and the end of sessions that cannot keep up.

What is said to a peer leaves at the next `flush`, in one frame where it fits. Nothing here ever blocks. A peer that
does not take what is sent (its queue of `PEER_SEND_FRAMES_MAX` is full, or `PEER_SEND_BYTES_MAX` wait in it), or is not
there any more, has its session ended; whoever held something for it hears of it through `take_ended`. Records for its
watches wait before that, while it `lags`.
"""

import logging
from collections.abc import Iterator

import zmq

from bus import limits, wire
from bus.errors import FleetError
from bus.multipart import receive_parts, send_parts
from bus.outbox import Outbox
from bus.session import Greeted, Heard, Refused, Session, Sessions
from bus.unread import Unread

log = logging.getLogger("bus.broker")
GONE = "the peer is gone"
_COMPLAIN_NS = limits.COMPLAINT_MS * 1_000_000


class Peers:
    """All sessions of one broker. `malformed` counts frames that were none, or came against the rules."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", fleet: str) -> None:
        self.sessions = Sessions(fleet)
        self.malformed = 0
        self.ended: list[Session] = []
        self.now = 0
        self._outboxes: dict[Session, Outbox] = {}
        self._unread: dict[bytes, Unread] = {}
        self._complained = self._told_of_end = -_COMPLAIN_NS
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.SNDHWM, limits.PEER_SEND_FRAMES_MAX)
        self._socket.setsockopt(zmq.RCVHWM, limits.PEER_RECEIVE_FRAMES_MAX)
        self._socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES_MAX)
        self._socket.setsockopt(zmq.LINGER, limits.FAREWELL_MS)

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """For the loop's poller."""
        return self._socket

    def bind(self, ports: list[int]) -> str:
        """Listen on the first of `ports` that is free, on the loopback only; 0 means any. Returns the URL."""
        for port in ports:
            try:
                self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE:
                    raise FleetError(f"127.0.0.1:{port} cannot be listened on: {error}") from error
                continue
            return self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        raise FleetError(f"port {ports[0]} on 127.0.0.1 is in use; give another one, or --port 0 for any")

    def receive(self, now: int) -> Iterator[Greeted | Heard]:
        """What came in, at most `TURN_FRAMES_MAX` and about `TURN_BYTES_MAX`; refusals are answered here."""
        self.now = now
        room = limits.TURN_BYTES_MAX
        for _ in range(limits.TURN_FRAMES_MAX):
            try:
                identity, *parts = receive_parts(self._socket)
            except zmq.Again:
                return
            arrival = self.sessions.receive(identity, parts, now)
            if isinstance(arrival, Refused):
                self._refuse(identity, arrival)
            else:
                if isinstance(arrival, Greeted) and arrival.replaced is not None:
                    self.ended.append(arrival.replaced)
                yield arrival
            room -= sum(map(len, parts))
            if room < 0:
                return

    def send(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = ()) -> bool:
        """Say something in a session, with the next `flush`. False when it is over."""
        if not session.is_open:
            return False
        outbox = self._outboxes.get(session)
        if outbox is None:
            outbox = self._outboxes[session] = Outbox()
        elif not outbox.fits(message, blobs) and not self._say(session, *outbox.take()):
            return False
        outbox.add(message, blobs)
        return True

    def welcome(self, session: Session, welcome: wire.Welcome) -> None:
        """Answer a Hello; from here on the session is open."""
        self._say(session, welcome, ())

    def lags(self, session: Session) -> bool:
        """Whether its peer has so much to read that what can wait is to wait for `read`."""
        unread = self._unread.get(session.identity)
        return unread is not None and unread.is_much

    def read(self, session: Session, token: int) -> bool:
        """A Pong came; whether its peer lagged before and does not any more."""
        unread = self._unread.get(session.identity)
        lagged = unread is not None and unread.is_much
        if unread is not None:
            unread.heard(token)
        return lagged and not self.lags(session)

    def take_ended(self) -> list[Session]:
        """The sessions that ended since the last call."""
        ended, self.ended = self.ended, []
        for session in ended:
            if session.identity not in self.sessions.by_identity and not self.lags(session):
                self._unread.pop(session.identity, None)
        return ended

    def flush(self) -> None:
        """Let everything that was said leave."""
        outboxes, self._outboxes = self._outboxes, {}
        for session, outbox in outboxes.items():
            if outbox and session.is_open:
                self._say(session, *outbox.take())

    def fault(self, session: Session, request: int, code: str, message: str, detail: str = "") -> None:
        """Answer a request that failed."""
        self.send(session, wire.Fault(request, code, message, detail))

    def end(self, session: Session, code: str, reason: str) -> None:
        """Say what was still to be said, and Bye, and forget the session."""
        outbox = self._outboxes.pop(session, None)
        if outbox and session.is_open and not self._say(session, *outbox.take()):
            return
        self._write(session.identity, self.sessions.end(session, code, reason))
        self.ended.append(session)

    def end_silent(self, now: int) -> None:
        """End the sessions that have said nothing for too long."""
        for session in self.sessions.silent(now):
            self.end(session, "closing", f"nothing was heard for {limits.SESSION_SILENT_MS_MAX} ms")

    def take_malformed(self) -> int:
        """The malformed frames since the last call."""
        count, self.malformed = self.malformed, 0
        return count

    def close(self, reason: str) -> None:
        """Say Bye to all and close the socket."""
        for session in self.sessions:
            self.end(session, "closing", reason)
        self._socket.close()

    def _refuse(self, identity: bytes, refused: Refused) -> None:
        if refused.malformed:
            self.malformed += 1
            if self.now - self._complained >= _COMPLAIN_NS:  # a flood of garbage must not fill the log, too
                self._complained = self.now
                log.warning("refused a frame: %s", refused.why)
        if refused.frames:
            self._write(identity, refused.frames)
        if refused.ended is not None:
            self.ended.append(refused.ended)

    def _say(self, session: Session, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...]) -> bool:
        frames = session.send(message, blobs, self.now)
        refusal = self._write(session.identity, frames) or self._count(session, sum(map(len, frames)))
        if refusal:
            if self.now - self._told_of_end >= _COMPLAIN_NS:  # thousands may come and go in one second
                self._told_of_end = self.now
                level = logging.INFO if refusal == GONE else logging.WARNING
                log.log(level, "session of %s ended: %s", session, refusal)
            self._write(session.identity, self.sessions.end(session, "closing", refusal))
            self.ended.append(session)
        return not refusal

    def _count(self, session: Session, size: int) -> str:
        """So much was sent; "" or that it is too much. A peer that went on a lag is remembered: its queue stays."""
        unread = self._unread.get(session.identity)
        if unread is None:
            unread = self._unread[session.identity] = Unread()
            if len(self._unread) > 2 * limits.SESSIONS_MAX:
                # The longest known without a session: whoever has one would not be heard to have caught up.
                gone = next((one for one in self._unread if one not in self.sessions.by_identity), None)
                if gone is not None:
                    del self._unread[gone]
        if unread.size > limits.PEER_SEND_BYTES_MAX:
            return f"the peer has {unread.size} bytes to read; {limits.PEER_SEND_BYTES_MAX} may wait for it"
        if unread.add(size):
            return self._write(session.identity, session.send(wire.Ping(unread.sent), (), self.now))
        return ""

    def _write(self, identity: bytes, frames: list[bytes]) -> str:
        """Send; "" or why it cannot be."""
        try:
            send_parts(self._socket, [identity, *frames])
        except zmq.Again:
            return "the peer does not take its frames"
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return GONE
        return ""
