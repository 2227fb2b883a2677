"""What a broker writes down beside its records: each replica's state, the claim it obeys, the topology.

Damaged bytes are CorruptRecord; the broker then does not start, as a forgotten promise could lose what was acked.
"""

from typing import Any, TypeVar

import msgspec

from bus import wire
from bus.errors import CorruptRecord
from bus.lineage import Restored
from bus.replica import Replica
from bus.store import Store


class ReplicaNote(msgspec.Struct, array_like=True, frozen=True):
    """A replica's part of a turn; written in the same transaction as the records that it speaks of."""

    promised: int
    seat: wire.Seat | None
    lineage: list[tuple[int, int]]
    high: int
    high_offset: int


class AppliedNote(msgspec.Struct, array_like=True, frozen=True):
    """Producer windows, groups and given ids of one partition, with all records below `upto` applied."""

    upto: int
    windows: bytes
    groups: bytes
    given: bytes = b""


class ClaimNote(msgspec.Struct, array_like=True, frozen=True):
    """The plane that is obeyed: greatest `(plane_epoch, uuid)` seen."""

    plane_epoch: int = 0
    uuid: str = ""


Note = TypeVar("Note", bound=msgspec.Struct)
_encode = msgspec.msgpack.Encoder().encode


def keep(store: Store, key: str, note: msgspec.Struct, *, lazy: bool = False) -> None:
    """Stage a note under a key."""
    store.put(key, _encode(note), lazy=lazy)


def kept(store: Store, key: str, kind: type[Note]) -> Note | None:
    """The note under a key, or None. Raises CorruptRecord."""
    blob = store.value(key)
    if blob is None:
        return None
    try:
        found: Any = msgspec.msgpack.decode(blob, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptRecord(f"the store's note {key!r} cannot be read ({error}); start with an empty store") from error
    note: Note = found
    return note


def keep_replica(store: Store, replica: Replica, *, lazy: bool) -> None:
    """Stage a replica's note."""
    note = ReplicaNote(replica.promised, replica.seat, replica.log.lineage, replica.high, replica.high_offset)
    keep(store, f"replica/{replica.partition}", note, lazy=lazy)


def restored(store: Store, partition: int) -> Restored:
    """What the store holds of one partition's replica."""
    note = kept(store, f"replica/{partition}", ReplicaNote) or ReplicaNote(0, None, [], 0, 0)
    mark = store.mark(partition)
    return Restored(
        promised=note.promised,
        seat=note.seat,
        lineage=note.lineage,
        end=mark.end,
        end_offset=mark.end_offset,
        high=note.high,
        high_offset=note.high_offset,
        first=store.first(partition),
        tail=[store.header(partition, index).count for index in range(note.high, mark.end)],
    )
