"""What a broker writes down beside its records: each replica's state, the claim it obeys, the topology.

Damaged bytes are CorruptRecord; the broker then does not start, as a forgotten promise could lose what was acked.
"""

from typing import Any, TypeVar

import msgspec

from bus import limits, wire
from bus.errors import CorruptRecord
from bus.given import GivenIds, Page
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
    """Producer windows, groups and given ids of one partition, with all records below `upto` applied.

    `given` are the numbers of the rows that the window of given ids has, from one up to another; pages hold them.
    """

    upto: int
    windows: bytes
    groups: bytes
    given: tuple[int, int] = (0, 0)


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


def keep_given(store: Store, partition: int, window: GivenIds, noted: int, *, lazy: bool) -> tuple[int, int]:
    """Stage the pages of a window that have rows from number `noted` on; the window's rows as `AppliedNote` has them.

    Pages are a ring: one overwrites another whose rows the window has let go of.
    """
    stop = window.first + len(window)
    if noted < stop:
        size = limits.GIVEN_PAGE_IDS
        for number in range(max(noted, window.first) // size, -(-stop // size)):
            page = window.page(max(number * size, window.first), min((number + 1) * size, stop))
            keep(store, _page_key(partition, number), page, lazy=lazy)
    return window.first, stop


def kept_given(store: Store, partition: int, upto: int, rows: tuple[int, int]) -> GivenIds:
    """The window with these rows and records below `upto` in it. Raises CorruptRecord."""
    window, (first, stop) = GivenIds(), rows
    if not 0 <= first <= stop <= first + limits.GIVEN_IDS_MAX:
        raise CorruptRecord(f"the store's note of partition {partition} has given ids {first} to {stop}; start anew")
    pages, at = [], first
    while at < stop:
        number = at // limits.GIVEN_PAGE_IDS
        page = kept(store, _page_key(partition, number), Page)
        if page is None:
            raise CorruptRecord(f"the store lacks the given ids of partition {partition} from row {at} on; start anew")
        end = min((number + 1) * limits.GIVEN_PAGE_IDS, stop)
        pages.append(page.cut(at, end))
        at = end
    columns = [b"".join(getattr(page, name) for page in pages) for name in ("digests", "offsets", "appended")]
    window.take(upto, Page(first, *columns))
    return window


def _page_key(partition: int, number: int) -> str:
    return f"given/{partition}/{number % (limits.GIVEN_IDS_MAX // limits.GIVEN_PAGE_IDS + 2)}"


def keep_replica(store: Store, replica: Replica, *, lazy: bool) -> ReplicaNote:
    """Stage a replica's note, and give it."""
    note = ReplicaNote(replica.promised, replica.seat, list(replica.log.lineage), replica.high, replica.high_offset)
    keep(store, f"replica/{replica.partition}", note, lazy=lazy)
    return note


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
