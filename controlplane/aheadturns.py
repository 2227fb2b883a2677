"""A turn's steps as bytes, for the write-ahead log, and steps again. Pure.

They come with their events, as these are nowhere else on this machine until the turn is in the journal. `before` is the
digest that the first step follows: steps of another history, or after a gap, do not pass for the next ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from controlplane.arrivals import Arrival, Follows
from controlplane.errors import CorruptJournal, FactUnreadable
from controlplane.facts import Fact, Rows, decode_fact, decode_intent, encode_fact, encode_intent
from controlplane.fold import Entry, Step
from controlplane.stored import Kept, derived

_NOTHING = Follows(())


class _Written(msgspec.Struct, frozen=True, array_like=True):
    """A step. `given` is None where its input is `arrival`; `derived`: (position, cause, fact)."""

    number: int
    first: int
    last: int
    recorded: int
    digest: bytes
    given: bytes | None
    arrival: Arrival | None
    derived: list[tuple[int, int | None, bytes]]
    intents: list[tuple[int, int, bytes]]


class _Turn(msgspec.Struct, frozen=True, array_like=True):
    before: bytes
    steps: list[_Written]


class AheadTurn(NamedTuple):
    """What was written: steps in order, and the digest before the first."""

    before: bytes
    kept: list[Kept]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Turn).decode


def as_seen(kept: Kept, follows: Follows) -> Step:
    """A step as the folds see it: its events whole where they are followed."""
    return kept.step if kept.arrival is None else msgspec.structs.replace(kept.step, input=kept.arrival.rows(follows))


def bytes_of(turn: Sequence[Kept], most: int) -> int:
    """About how large a turn's events are in the log; beyond `most` it is not counted on."""
    size = 0
    for kept in turn:
        if kept.arrival is not None:
            size += sum(map(len, kept.arrival.payloads)) + 256 * len(kept.arrival)
            if size > most:
                break
    return size


def encode(before: bytes, turn: Sequence[Kept]) -> bytes:
    """A turn of steps that follow each other."""
    return _encode(_Turn(before, [_written(kept) for kept in turn]))


def decode(data: bytes) -> AheadTurn:
    """Raises CorruptJournal for what `encode` did not make, or another version's did."""
    try:
        turn = _decode(data)
        return AheadTurn(turn.before, [_kept(step) for step in turn.steps])
    except (msgspec.DecodeError, UnicodeDecodeError, FactUnreadable) as error:
        raise CorruptJournal(f"a turn in the write-ahead log makes no sense: {error}") from error


def _written(kept: Kept) -> _Written:
    step = kept.step
    return _Written(
        number=step.number,
        first=step.first,
        last=step.last,
        recorded=step.recorded,
        digest=step.digest,
        given=None if isinstance(step.input, Rows) else encode_fact(step.input),
        arrival=kept.arrival,
        derived=[(entry.position, entry.cause, encode_fact(derived(entry))) for entry in step.derived],
        intents=[(cause, index, encode_intent(intent)) for cause, index, intent in step.intents],
    )


def _kept(step: _Written) -> Kept:
    if step.given is not None:
        given: Fact | Rows = decode_fact(step.given)
    elif step.arrival is not None:
        # Folds do not see it again; what is journaled of it are its place and its events.
        given = step.arrival.rows(_NOTHING)
    else:
        raise CorruptJournal("a step in the write-ahead log has no input")
    derived = [Entry(position, step.recorded, cause, decode_fact(fact)) for position, cause, fact in step.derived]
    intents = [(cause, index, decode_intent(intent)) for cause, index, intent in step.intents]
    last = Step(step.number, step.first, step.last, step.recorded, given, derived, intents, step.digest)
    return Kept(last, step.arrival)
