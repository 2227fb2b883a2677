"""A session between an opener (DEALER) and a listener (ROUTER). Pure: frames in, messages out.

ZeroMQ loses ranges of frames silently: across a peer's restart, and at a full ROUTER. So the opener picks a random
63-bit session id, each direction numbers its frames from 0, and a frame that is not the next one ends the session. Its
owner opens a new one (`Hello.resumes` = the old id) and issues again every request that was not answered: requests
are idempotent (publishes by producer and sequence, reads from their cursor, group members join and settle again).

| state | opener                                   | listener                                        |
|---|---|---|
| NEW | `hello()` -> GREETING                      | Hello, numbered 0 -> GREETING                   |
| GREETING | Welcome, numbered 0 -> OPEN            | `send(Welcome)` -> OPEN                         |
| OPEN | any verb of the listener, in sequence     | any verb of the opener, in sequence             |
| any | Bye of this session, whatever its number, or `bye()` -> CLOSED | the same                    |
| CLOSED | nothing is sent or accepted any more     | the same                                        |

A gap, a verb in the wrong direction or state, and bytes that are no frame raise `ProtocolError`; `bye_code` of the
session then holds the code to say Bye with (`gap`, `protocol`). A Bye needs no number, because a listener that has
forgotten the session has forgotten its numbers. Frames of another session are stale: the opener drops them.

The opener pings when it has said nothing for `SESSION_PING_MS`, and either side takes a peer that was silent for
`SESSION_SILENT_MS_MAX` for gone. A listener's Ping asks how far the peer has read (`bus.unread`).
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from bus import limits, wire
from bus.errors import ProtocolError

_MS = 1_000_000

SAID_BY_OPENER: frozenset[type[wire.Message]] = frozenset(
    {
        *(wire.Hello, wire.Bye, wire.Ping, wire.Pong, wire.Fault, wire.Bundle),
        *(wire.Publish, wire.Describe, wire.Watch, wire.Credit, wire.Unwatch),
        *(wire.Join, wire.Settle, wire.Leave),
        *(wire.Claim, wire.Offer, wire.Place, wire.Spread, wire.Sample, wire.Keep, wire.Halt, wire.ChangeGroup),
        *(wire.Ship, wire.Begin, wire.EpochEnd),
        *(wire.Present, wire.Absent, wire.Whereis, wire.Call, wire.Cancel, wire.Grant),
    }
)
SAID_BY_LISTENER: frozenset[type[wire.Message]] = frozenset(
    {
        *(wire.Welcome, wire.Bye, wire.Ping, wire.Pong, wire.Fault, wire.Bundle, wire.Topology),
        *(wire.Published, wire.Described, wire.Records),
        *(wire.Joined, wire.Deliver, wire.Progress, wire.Governed, wire.Settled),
        *(wire.Claimed, wire.Answered, wire.Placed, wire.Sampled, wire.GroupChanged),
        *(wire.Shipped, wire.AskEpochEnd),
        *(wire.Presented, wire.Located, wire.Returned, wire.Part, wire.Ended),
    }
)
ROLES = frozenset({"client", "broker", "plane"})


class State(Enum):
    NEW = "new"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class Received(NamedTuple):
    """A message that came in sequence, with its blobs."""

    message: Any
    blobs: list[bytes]


class Session:
    """One side of one session.

    `id` is the opener's random 63-bit number; `opener` says which side this is. `now` is nanoseconds of any clock that
    never goes back; without it nothing is ever due. A listener's session has `identity`, the ROUTER's name of the peer.
    """

    __slots__ = (
        "bye_code",
        "ended_by",
        "heard_at",
        "id",
        "identity",
        "opener",
        "peer",
        "principal",
        "received",
        "said_at",
        "sent",
        "state",
    )

    def __init__(self, session_id: int, *, opener: bool = True, identity: bytes = b"", now: int = 0) -> None:
        self.id = session_id
        self.opener = opener
        self.identity = identity
        self.state = State.NEW
        self.sent = 0
        self.received = 0
        self.said_at = now
        self.heard_at = now
        self.bye_code = ""
        self.ended_by: wire.Bye | None = None
        self.peer: wire.Hello | wire.Welcome | None = None
        self.principal = "anonymous"

    @property
    def is_open(self) -> bool:
        """Whether verbs may be said."""
        return self.state is State.OPEN

    @property
    def name(self) -> str:
        """What the peer calls itself; "" before it said so."""
        if isinstance(self.peer, wire.Hello):
            return self.peer.name
        return self.peer.broker if self.peer is not None else ""

    def __str__(self) -> str:
        role = getattr(self.peer, "role", "broker")
        return f"{role} {self.name or '?'} ({self.principal}, {self.id:x})"

    def hello(
        self,
        *,
        role: str,
        name: str,
        fleet: str = "",
        store: str = "",
        principal: str = "anonymous",
        features: list[str] | None = None,
        resumes: int = 0,
        now: int = 0,
    ) -> list[bytes]:
        """The opener's first frame. `role`: client, broker, plane; `resumes`: the session this continues, or 0."""
        return self.send(
            wire.Hello(
                role=role,
                name=name,
                fleet=fleet,
                store=store,
                protocol_min=wire.PROTOCOL_MIN,
                protocol_max=wire.PROTOCOL_MAX,
                features=features or [],
                principal=principal,
                resumes=resumes,
            ),
            now=now,
        )

    def send(
        self, message: wire.Message, blobs: list[bytes] | tuple[bytes, ...] = (), now: int | None = None
    ) -> list[bytes]:
        """The frames of a message, numbered. Raises ProtocolError if this side may not say it (the caller's bug)."""
        self._say(type(message))
        number = self.sent
        self.sent = number + 1
        if now is not None:
            self.said_at = now
        return wire.encode(self.id, number, message, blobs)

    def receive(self, parts: list[bytes], now: int | None = None) -> Received | None:
        """The message in a multipart; None for a stale frame of another session. Raises ProtocolError: then say Bye."""
        try:
            frame, blobs = wire.decode(parts)
        except ProtocolError:
            self.bye_code = "protocol"
            raise
        if frame.session != self.id:
            return None
        return Received(self.accept(frame, now), blobs)

    def accept(self, frame: wire.Frame, now: int | None = None) -> Any:
        """The message of a decoded frame of this session, checked against sequence, direction and state."""
        message: Any = frame.message
        kind = type(message)
        if kind is wire.Bye:
            self.ended_by = message
            self.state = State.CLOSED
            return message
        if self.state is State.CLOSED:
            raise self._broken("unknown", "the session is over")
        if frame.sequence != self.received:
            raise self._broken("gap", f"frame {frame.sequence} came where {self.received} was due")
        self._hear(kind, message)
        self.received += 1
        if now is not None:
            self.heard_at = now
        return message

    def bye(self, code: str, reason: str) -> list[bytes]:
        """The frame that ends the session, from here; the session is CLOSED after it."""
        self.state = State.CLOSED
        farewell = wire.Bye(code=code, reason=reason, expected=self.received)
        number = self.sent
        self.sent = number + 1
        return wire.encode(self.id, number, farewell)

    def ping_due(self, now: int) -> list[bytes] | None:
        """A Ping's frames when this opener has said nothing for `SESSION_PING_MS`, else None."""
        if self.state is not State.OPEN or now - self.said_at < limits.SESSION_PING_MS * _MS:
            return None
        return self.send(wire.Ping(token=now), now=now)

    def silent(self, now: int) -> bool:
        """Whether the peer has been silent for longer than `SESSION_SILENT_MS_MAX`."""
        return now - self.heard_at > limits.SESSION_SILENT_MS_MAX * _MS

    def _say(self, kind: type[wire.Message]) -> None:
        allowed = SAID_BY_OPENER if self.opener else SAID_BY_LISTENER
        if kind not in allowed:
            raise ProtocolError(f"{kind.__name__} is not for this side of a session to say")
        if self.opener and self.state is State.NEW and kind is wire.Hello:
            self.state = State.GREETING
        elif not self.opener and self.state is State.GREETING and kind is wire.Welcome:
            self.state = State.OPEN
        elif self.state is not State.OPEN or kind in (wire.Hello, wire.Welcome):
            raise ProtocolError(f"{kind.__name__} cannot be said in a session that is {self.state.value}")

    def _hear(self, kind: type[wire.Message], message: Any) -> None:
        allowed = SAID_BY_LISTENER if self.opener else SAID_BY_OPENER
        if kind not in allowed:
            raise self._broken("protocol", f"{kind.__name__} is not for a peer of that side to say")
        if self.state is State.OPEN and kind not in (wire.Hello, wire.Welcome):
            if kind is wire.Bundle and not allowed.issuperset(map(type, message.messages)):
                raise self._broken("protocol", "a Bundle holds what is not for a peer of that side to say")
            return
        if self.opener and self.state is State.GREETING and kind is wire.Welcome:
            self.state = State.OPEN
            self.principal = message.principal
        elif not self.opener and self.state is State.NEW and kind is wire.Hello:
            self.state = State.GREETING
        else:
            raise self._broken("protocol", f"{kind.__name__} came in a session that is {self.state.value}")
        self.peer = message

    def _broken(self, code: str, why: str) -> ProtocolError:
        self.bye_code = code
        return ProtocolError(f"session {self.id:x}: {why}")


class Greeted(NamedTuple):
    """A peer said an acceptable Hello: answer with `session.send(Welcome)`. `replaced` is its session before."""

    session: Session
    hello: wire.Hello
    protocol: int
    replaced: Session | None


class Heard(NamedTuple):
    """A message in sequence."""

    session: Session
    message: Any
    blobs: list[bytes]


class Refused(NamedTuple):
    """Nothing was accepted. `frames` (may be empty) go back to the peer; `ended` is the session now over."""

    frames: list[bytes]
    why: str
    malformed: bool
    ended: Session | None


class Sessions:
    """The listener's side: all sessions of one ROUTER, by the peer's identity; at most `SESSIONS_MAX`."""

    def __init__(self, fleet: str) -> None:
        self.fleet = fleet
        self.by_identity: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self.by_identity)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self.by_identity.values()))

    def receive(self, identity: bytes, parts: list[bytes], now: int) -> Greeted | Heard | Refused:
        """What a multipart from `identity` amounts to. Never raises on a peer's bytes."""
        try:
            frame, blobs = wire.decode(parts)
        except ProtocolError as error:
            return Refused([], str(error), True, None)
        session = self.by_identity.get(identity)
        if session is not None and session.id == frame.session:
            return self._in_session(session, frame, blobs, now)
        if type(frame.message) is wire.Hello:
            return self._greet(identity, frame, now)
        if type(frame.message) is wire.Bye:
            return Refused([], "Bye of an unknown session", False, None)
        return Refused(_bye(frame.session, "unknown", "this broker does not know the session"), "unknown", False, None)

    def end(self, session: Session, code: str, reason: str) -> list[bytes]:
        """Forget a session; the Bye to send if its peer can still take it."""
        self.forget(session)
        return session.bye(code, reason)

    def forget(self, session: Session) -> None:
        """Drop a session without a word (its peer said Bye, or is unreachable)."""
        if self.by_identity.get(session.identity) is session:
            del self.by_identity[session.identity]

    def silent(self, now: int) -> list[Session]:
        """The sessions whose peers have been silent for too long."""
        return [session for session in self.by_identity.values() if session.silent(now)]

    def _in_session(
        self, session: Session, frame: wire.Frame, blobs: list[bytes], now: int
    ) -> Greeted | Heard | Refused:
        try:
            message = session.accept(frame, now)
        except ProtocolError as error:
            code = session.bye_code or "protocol"
            return Refused(self.end(session, code, str(error)), str(error), code != "gap", session)
        if type(message) is wire.Bye:
            self.forget(session)
            return Refused([], f"the peer said Bye: {message.reason}", False, session)
        return Heard(session, message, blobs)

    def _greet(self, identity: bytes, frame: wire.Frame, now: int) -> Greeted | Refused:
        hello: wire.Hello = frame.message  # type: ignore[assignment]
        before = self.by_identity.get(identity)
        refusal = self._objection(hello, before)
        if refusal is not None:
            code, why = refusal
            return Refused(_bye(frame.session, code, why), why, False, None)
        session = Session(frame.session, opener=False, identity=identity, now=now)
        try:
            session.accept(frame, now)
        except ProtocolError as error:
            return Refused(_bye(frame.session, session.bye_code, str(error)), str(error), True, None)
        if before is not None:
            before.state = State.CLOSED
        self.by_identity[identity] = session
        return Greeted(session, hello, min(hello.protocol_max, wire.PROTOCOL_MAX), before)

    def _objection(self, hello: wire.Hello, before: Session | None) -> tuple[str, str] | None:
        if hello.role not in ROLES:
            return "protocol", f"role {hello.role[:40]!r} is unknown; it is client, broker or plane"
        if len(hello.name) > limits.PEER_NAME_CHARS_MAX:
            return "protocol", f"a name of {len(hello.name)} characters; {limits.PEER_NAME_CHARS_MAX} are allowed"
        if hello.protocol_min > wire.PROTOCOL_MAX or hello.protocol_max < wire.PROTOCOL_MIN:
            return "protocol", (
                f"the peer speaks protocol {hello.protocol_min} to {hello.protocol_max}, "
                f"this broker {wire.PROTOCOL_MIN} to {wire.PROTOCOL_MAX}: upgrade the older one"
            )
        if hello.fleet not in ("", self.fleet):
            return "denied", f"this broker belongs to fleet {self.fleet!r}, not {hello.fleet[:80]!r}"
        if before is None and len(self.by_identity) >= limits.SESSIONS_MAX:
            return "denied", f"{limits.SESSIONS_MAX} sessions are open here already; close some"
        return None


def _bye(session_id: int, code: str, reason: str) -> list[bytes]:
    return wire.encode(session_id, 0, wire.Bye(code=code, reason=reason))
