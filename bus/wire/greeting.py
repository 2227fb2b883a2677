"""How a session begins, lives and ends, and how a request fails."""

from bus.wire.base import Epoch, Message, Topology


class Hello(Message, frozen=True):
    """First frame of a session. `role`: client, broker, plane. `name`: broker id or a client's name for logs.

    `fleet` may be "" for a client that does not know it yet. `resumes` is the session this one continues, or 0.
    """

    role: str
    name: str
    fleet: str
    store: str
    protocol_min: int
    protocol_max: int
    features: list[str]
    principal: str
    resumes: int = 0


class Welcome(Message, frozen=True):
    """The listener accepts. `principal` is what it takes the opener to be; `partitions` 0: it does not say."""

    fleet: str
    broker: str
    store: str
    protocol: int
    features: list[str]
    principal: str
    plane_epoch: Epoch
    topology: Topology | None = None
    partitions: int = 0


class Bye(Message, frozen=True):
    """The session is over. `code`: gap, unknown, protocol, closing, denied. `expected` is the sequence that was due."""

    code: str
    reason: str
    expected: int = 0


class Ping(Message, frozen=True):
    """Keeps a session alive and measures it; `token` comes back."""

    token: int


class Pong(Message, frozen=True):
    token: int


class Fault(Message, frozen=True):
    """A request failed. `code` is the name of a class in `bus.errors`; `detail` e.g. the GroupConflict's field."""

    request: int
    code: str
    message: str
    detail: str = ""
