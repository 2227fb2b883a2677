"""What plane and worker say to each other: MessagePack structs in frames of a four-byte length. Pure.

The plane says one thing and waits for the answer to it; `Feed`, `Names` and `State` have none.
"""

import msgspec

from controlplane.framing import encode as encode
from controlplane.framing import framed as framed
from controlplane.framing import read as read
from controlplane.questions import SqlAnswer


class Frame(msgspec.Struct, frozen=True, tag=True):
    """The base of all."""


class Open(Frame, frozen=True):
    """First of all: the segments to attach read-only. Answer: Ready, Refused."""

    sealed: list[str]


class Names(Frame, frozen=True):
    """Types and sources, the first one with the small id `first`."""

    first: int
    names: list[str]


class Feed(Frame, frozen=True):
    """Further rows of the open segment's `events` or `entries`, as an Arrow IPC stream."""

    table: str
    rows: bytes


class State(Frame, frozen=True):
    """A part of a fold's table: MessagePack of [key, value] pairs. The first part replaces what was there."""

    fold: str
    table: str
    first: bool
    items: bytes


class Check(Frame, frozen=True):
    """Is it one SELECT, and of which tables? Answers: Checked, Refused."""

    sql: str


class Run(Frame, frozen=True):
    """Run it; `now` is the folds' now, nothing is there beyond `up_to`. Answers: Answered, Refused."""

    sql: str
    now: int
    rows_max: int
    bytes_max: int
    up_to: int | None = None


class Ready(Frame, frozen=True):
    """It is open."""


class Checked(Frame, frozen=True):
    """The documented tables that a query reads."""

    tables: list[str]


class Answered(Frame, frozen=True):
    answer: SqlAnswer


class Refused(Frame, frozen=True):
    """Why not: DuckDB's own words, with the place where it has one."""

    message: str


AnyFrame = Open | Names | Feed | State | Check | Run | Ready | Checked | Answered | Refused

_decoder = msgspec.msgpack.Decoder(AnyFrame)


def decode(body: bytes) -> AnyFrame:
    """Raises `msgspec.DecodeError` on anything else."""
    frame: AnyFrame = _decoder.decode(body)
    return frame
