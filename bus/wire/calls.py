"""Who answers calls, and the calls themselves.

Present, Absent and Whereis are said to a broker; Call and Cancel go straight to the agent, in a session of the same
kind. Payloads are MessagePack.
"""

import msgspec

from bus.wire.base import Message


class Answerer(msgspec.Struct, array_like=True, frozen=True):
    """An agent that answers calls: its name, where it listens, and what it can do."""

    name: str
    url: str
    capabilities: list[str] = []


class Present(Message, frozen=True):
    """`answerer` answers calls for as long as this session lives. Said again, it replaces what was said before."""

    request: int
    answerer: Answerer


class Presented(Message, frozen=True):
    """The broker tells it to whoever asks from now on."""

    request: int


class Absent(Message, frozen=True):
    """The agent of this name does not answer any more."""

    name: str


class Whereis(Message, frozen=True):
    """Who answers for `target`: an agent's name, or else a capability?"""

    request: int
    target: str


class Located(Message, frozen=True):
    """Who answers, the latest first; empty for nobody."""

    request: int
    answerers: list[Answerer]


class Call(Message, frozen=True):
    """Answer this within `timeout_ms`. `target` as the caller named it; `capability` "" leaves the choice.

    Requests grow within a session: one that is not greater than the last is a duplicate. `parts`: how many parts of an
    answer that comes in parts may be sent before a Grant allows more; 0: the caller takes whole answers only.
    """

    request: int
    target: str
    capability: str
    timeout_ms: int
    payload: bytes
    traceparent: str = ""
    tracestate: str = ""
    parts: int = 0


class Returned(Message, frozen=True):
    """What the agent answered; a Fault in its place says why not: `CallFailed` with the exception's type as detail."""

    request: int
    payload: bytes


class Part(Message, frozen=True):
    """One part of an answer; `number` counts from 0. After the last one comes Ended, or a Fault."""

    request: int
    number: int
    payload: bytes


class Grant(Message, frozen=True):
    """The caller has taken `parts` parts: as many more may be sent."""

    request: int
    parts: int


class Ended(Message, frozen=True):
    """An answer that came in `parts` parts is over."""

    request: int
    parts: int


class Cancel(Message, frozen=True):
    """Nobody waits for this request any more. There is no answer to it."""

    request: int
