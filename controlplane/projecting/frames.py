"""What the plane and a projection's worker say to each other: MessagePack structs in frames (`framing`). Pure.

The plane says one thing and waits for the answer to it.
"""

import msgspec

from controlplane.framing import encode as encode


class Frame(msgspec.Struct, frozen=True, tag=True):
    """The base of all."""


class Open(Frame, frozen=True):
    """Load a class. With a `sha256` it has to be that code. Answers: Opened, Refused."""

    target: str
    pattern: str = ""
    sha256: str = ""


class Opened(Frame, frozen=True):
    """It is loaded, from this file, and gets the types of this pattern."""

    file: str
    sha256: str
    pattern: str


class Sealed(Frame, frozen=True):
    """Evolve all that these segments have, in order, up to a position. Answers: Reached, Missing, Failed."""

    paths: list[str]
    up_to: int


class Evolve(Frame, frozen=True):
    """Evolve these rows of `events`, an Arrow IPC stream: all that matter up to a position. Answers: Reached, Failed.

    `names` are types and sources, the first one with the small id `first`.
    """

    first: int
    names: list[str]
    rows: bytes
    up_to: int


class Go(Frame, frozen=True):
    """Go on with that. Answers: the same."""


class Reached(Frame, frozen=True):
    """It is so far, and has so many keys. `more`: of what it was given there is some left."""

    position: int
    recorded: int
    keys: int
    more: bool


class Missing(Frame, frozen=True):
    """A segment could not be opened: another file has taken its place."""

    why: str


class Failed(Frame, frozen=True):
    """The projection raised, at an event."""

    position: int
    event: str
    error: str


class AskRows(Frame, frozen=True):
    """What it holds. Answers: Rows, Refused."""

    rows_max: int
    bytes_max: int


class Rows(Frame, frozen=True):
    """As `questions.ProjectionRows` has them."""

    columns: list[str]
    rows: msgspec.Raw
    count: int
    cut: str


class Refused(Frame, frozen=True):
    """Why not."""

    message: str


AnyFrame = Open | Opened | Sealed | Evolve | Go | Reached | Missing | Failed | AskRows | Rows | Refused

_decoder = msgspec.msgpack.Decoder(AnyFrame)


def decode(body: bytes) -> AnyFrame:
    """Raises `msgspec.DecodeError` on anything else."""
    frame: AnyFrame = _decoder.decode(body)
    return frame
