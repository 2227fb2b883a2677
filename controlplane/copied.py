"""The journal's copy, as bytes: what is published to the reserved partition, and what it is read back from. Pure.

A record of that partition is one *chunk*: consecutive steps, compressed, cut into the data of as many events as it
takes; a batch is appended whole or not at all, and so is a chunk. Steps come with all that the journal has of them but
their events, which are the brokers' own: partition and offsets name them.

A chunk without steps only opens: once it is committed, so is all that was appended before it. `anew` says that steps
from that number on which came before are void: the plane went on with an older journal.
"""

import zlib
from collections.abc import Iterable, Sequence

import msgspec

from bus.batch import decode as decode_batch
from bus.errors import CorruptRecord
from bus.event import Event
from bus.limits import EVENT_BYTES_MAX
from bus.record import EVENTS, Header
from controlplane.errors import CopyUnreadable
from controlplane.limits import COPY_CHUNK_BYTES_MAX, COPY_RAW_BYTES_MAX
from controlplane.saying import PLANE_SOURCE

TYPE = "signalbox.journal.steps"
MISSING = "signalbox.journal.missing"
"""What stands in a journal that was made again for an event that nobody had any more."""
PIECE_BYTES = EVENT_BYTES_MAX // 2
"""A chunk is cut into events of so much data."""
FORMAT = 1


class CopiedStep(msgspec.Struct, frozen=True, array_like=True):
    """A step as its rows have it. `entries`: (position, cause, kind, fact); `intents`: (cause, index, kind, intent).

    `partition` is None where its input is a fact. `whole` False: it was too large, and came without either.
    """

    number: int
    first: int
    last: int
    recorded: int
    partition: int | None
    first_offset: int | None
    events: int | None
    digest: bytes
    entries: list[tuple[int, int | None, str, bytes]] = []
    intents: list[tuple[int, int, str, bytes]] = []
    whole: bool = True


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive steps of one journal; see the module for `anew` (0: nothing is void)."""

    format: int
    anew: int
    steps: list[CopiedStep]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Chunk)


def encode(steps: Sequence[CopiedStep], anew: int = 0) -> bytes:
    """One chunk; a step that is too large for a record loses its facts, and says so."""
    data = _packed(steps, anew)
    if len(data) <= COPY_CHUNK_BYTES_MAX:
        return data
    if len(steps) > 1:
        raise ValueError(f"{len(steps)} steps make {len(data)} bytes; {COPY_CHUNK_BYTES_MAX} are allowed")
    return _packed([msgspec.structs.replace(step, entries=[], intents=[], whole=False) for step in steps], anew)


def _packed(steps: Sequence[CopiedStep], anew: int) -> bytes:
    return zlib.compress(_encoder.encode(Chunk(FORMAT, anew, list(steps))), 1)


def decode(data: bytes) -> Chunk:
    """Raises CopyUnreadable for anything that `encode` did not make."""
    expander = zlib.decompressobj()
    try:
        raw = expander.decompress(data, COPY_RAW_BYTES_MAX)
        if not expander.eof or expander.unused_data:
            raise CopyUnreadable("it is cut short, or larger than any chunk")
        chunk = _decoder.decode(raw)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CopyUnreadable(str(error)) from error
    if chunk.format != FORMAT:
        raise CopyUnreadable(f"it is of format {chunk.format}, this version reads {FORMAT}")
    numbers = [step.number for step in chunk.steps]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
        raise CopyUnreadable("its steps do not follow on one another")
    return chunk


def events_of(data: bytes) -> list[Event]:
    """A chunk as the events of one batch."""
    pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
    return [Event(type=TYPE, source=PLANE_SOURCE, id=f"{number}", data=piece) for number, piece in enumerate(pieces)]


def chunk_of(header: Header, body: bytes) -> Chunk | None:
    """The chunk of one record; None for a record that holds no events. Raises CopyUnreadable."""
    if header.kind != EVENTS:
        return None
    try:
        columns = decode_batch(body)
    except CorruptRecord as error:
        raise CopyUnreadable(str(error)) from error
    if columns.types != [TYPE]:
        raise CopyUnreadable(f"it holds events of type {', '.join(columns.types)[:100]}")
    return decode(b"".join(columns.payloads()))


def laid_out(chunks: Iterable[Chunk]) -> list[CopiedStep]:
    """The steps that hold, in order, each once: what was sent again counts once, and what is void not at all."""
    steps: dict[int, CopiedStep] = {}
    for chunk in chunks:
        if chunk.anew:
            steps = {number: step for number, step in steps.items() if number < chunk.anew}
        for step in chunk.steps:
            steps.setdefault(step.number, step)
    return [steps[number] for number in sorted(steps)]
