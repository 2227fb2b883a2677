"""The batch: one layout of many events for wire, disk and recorder, by columns. Pure.

    record  = header and body under checksums, see `bus.record`
    body    = u32 bytes of the view | view | columns
    view    = MessagePack [count, types, type index]
    columns = MessagePack [sources, source index, ids, times, subjects, ...], see `_Stored`

All integers are little-endian. `types` and `sources` are dictionaries, their index one byte per event, two from 257
entries on; `extras` (attributes that few events have) likewise, with a first entry for "none". Ids are one text joined
by newlines, which ids cannot hold. Whoever routes or filters reads the view alone; whoever appends adds the header and
never looks into the body. Publishers make bodies; a leader seals them into records with what it alone knows.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise, repeat
from operator import itemgetter
from typing import Any
from zlib import crc32

import msgspec

from bus.attributes import ABSENT, NO_EXTRAS, Extras
from bus.bitmap import bitmap, rows_of
from bus.errors import CorruptRecord, InvalidEvent
from bus.event import Event, make
from bus.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from bus.record import EPOCH_START, EVENTS, GROUP, Header, body_of, header_of, seal, unseal

__all__ = [
    "EPOCH_START",
    "EVENTS",
    "GROUP",
    "Columns",
    "Header",
    "bitmap",
    "body_of",
    "count_of",
    "decode",
    "encode",
    "header_of",
    "rows_of",
    "seal",
    "type_view",
    "types_of",
    "unseal",
]

_LENGTH = struct.Struct("<I")
_NO_TIME = -(1 << 63)
_BODY_BYTES_MAX = BATCH_BYTES_MAX + EVENT_BYTES_MAX
Index = bytes | tuple[int, ...]
"""A place in a dictionary for each row."""


class _View(msgspec.Struct, array_like=True, frozen=True):
    count: int
    types: list[str]
    type_index: bytes


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    """The columns behind the view. A list or blob is empty where no event has the attribute."""

    sources: list[str]
    source_index: bytes
    ids: str
    times: bytes
    subjects: list[str | None]
    correlations: list[str | None]
    causations: list[str | None]
    traces: list[str | None]
    extras: list[Extras]
    extras_index: bytes
    key_hashes: bytes
    kinds: bytes
    """One byte for all where they agree."""
    lengths: bytes
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_view = msgspec.msgpack.Decoder(_View).decode
_decode_stored = msgspec.msgpack.Decoder(_Stored).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# ------------------------------------------------------------------------------------------------- writing


def encode(events: Sequence[Event], ids: Sequence[str] | None = None, source: str = "") -> bytes:
    """A body of 1 to BATCH_EVENTS_MAX events that were validated. Raises InvalidEvent for text that has no UTF-8.

    `ids`, where given, are those that they are sent under; `source` is that of events without one.
    """
    count = len(events)
    if not 0 < count <= BATCH_EVENTS_MAX:
        raise ValueError(f"a batch takes 1 to {BATCH_EVENTS_MAX} events, not {count}")
    types, type_index = _dictionary([event.type for event in events])
    said = [event.source or source for event in events]
    sources, source_index = _dictionary(said)
    extras, extras_index = _extras_dictionary(events)
    joined = "\n".join([event.id for event in events] if ids is None else ids)
    if joined.count("\n") != count - 1:
        raise InvalidEvent("id", "must not contain a line's end")
    payloads = [event.payload for event in events]
    kinds = bytes([event.kind for event in events])
    if len(set(kinds)) == 1:
        kinds = kinds[:1]
    try:
        keys = [
            (event.extras is not None and event.extras.partitionkey) or event.subject or source
            for event, source in zip(events, said, strict=True)
        ]
        stored = _Stored(
            sources=sources,
            source_index=source_index,
            ids=joined,
            times=_times([event.time for event in events]),
            subjects=_sparse([event.subject for event in events]),
            correlations=_sparse([event.correlationid for event in events]),
            causations=_sparse([event.causationid for event in events]),
            traces=_sparse([event.traceparent for event in events]),
            extras=extras,
            extras_index=extras_index,
            key_hashes=struct.pack(f"<{count}I", *[crc32(key.encode()) for key in keys]),
            kinds=kinds,
            lengths=struct.pack(f"<{count}I", *map(len, payloads)),
            data=b"".join(payloads),
        )
        view = _encode(_View(count, types, type_index))
        return b"".join((_LENGTH.pack(len(view)), view, _encode(stored)))
    except UnicodeEncodeError as error:
        raise InvalidEvent("event", f"{error.object[:40]!r} is not Unicode text") from None


def _dictionary(column: list[str]) -> tuple[list[str], bytes]:
    names = list(dict.fromkeys(column))
    if len(names) == 1:
        return names, bytes(len(column))
    return names, _pack_index(len(names), map({name: place for place, name in enumerate(names)}.__getitem__, column))


def _pack_index(entries: int, places: Iterable[int]) -> bytes:
    if entries <= 256:
        return bytes(places)
    row_places = list(places)
    return struct.pack(f"<{len(row_places)}H", *row_places)


def _extras_dictionary(events: Sequence[Event]) -> tuple[list[Extras], bytes]:
    column = [event.extras for event in events]
    if not any(column):
        return [], b""
    # Extras hold dicts, so equal ones are found by their bytes; those of one import are one object, found by identity.
    entries: list[Extras] = [NO_EXTRAS]
    by_bytes: dict[bytes, int] = {}
    by_identity: dict[int, int] = {id(None): 0}
    places: list[int] = []
    for extras in column:
        place = by_identity.get(id(extras))
        if place is None and extras is not None:
            place = by_bytes.setdefault(_encode(extras), len(entries))
            if place == len(entries):
                entries.append(extras)
            by_identity[id(extras)] = place
        places.append(place or 0)
    return entries, _pack_index(len(entries), places)


def _times(column: list[int | None]) -> bytes:
    return struct.pack(f"<{len(column)}q", *[_NO_TIME if time is None else time for time in column])


def _sparse(column: list[str | None]) -> list[str | None]:
    return column if any(column) else []


# ------------------------------------------------------------------------------------------------- reading


def type_view(body: bytes | memoryview) -> tuple[list[str], Index]:
    """(distinct types, place of each row's type among them), without reading the rest. Raises CorruptRecord."""
    view, _ = _split(body)
    return view.types, _unpack_index(view.type_index, len(view.types), view.count)


def types_of(body: bytes | memoryview) -> list[str]:
    """The distinct types alone. Raises CorruptRecord."""
    return _split(body)[0].types


def count_of(body: bytes | memoryview) -> int:
    """How many events a body holds, by its view. Raises CorruptRecord."""
    return _split(body)[0].count


def decode(body: bytes | memoryview) -> "Columns":
    """The columns of a body. Raises CorruptRecord unless all of them fit together."""
    view, rest = _split(body)
    try:
        stored = _decode_stored(rest)
    except _BROKEN as error:
        raise CorruptRecord(f"a batch's columns cannot be read: {error}") from None
    return Columns(view, stored)


def _split(body: bytes | memoryview) -> tuple[_View, memoryview]:
    if not _LENGTH.size <= len(body) <= _BODY_BYTES_MAX:
        raise CorruptRecord(f"a batch of {len(body)} bytes: that is not one")
    (length,) = _LENGTH.unpack_from(body)
    whole = memoryview(body)
    try:
        view: _View = _decode_view(whole[4 : 4 + length])
    except _BROKEN as error:
        raise CorruptRecord(f"a batch's types cannot be read: {error}") from None
    if not 0 < view.count <= BATCH_EVENTS_MAX:
        raise CorruptRecord(f"a batch of {view.count} events; 1 to {BATCH_EVENTS_MAX} are legal")
    return view, whole[4 + length :]


def _unpack_index(index: bytes, entries: int, count: int) -> Index:
    places: Index = index
    if entries > 256:
        if len(index) != 2 * count:
            raise CorruptRecord("a batch's index has another length than the batch")
        places = struct.unpack(f"<{count}H", index)
    if len(places) != count or max(places) >= entries:
        raise CorruptRecord("a batch's index does not fit its dictionary")
    return places


class Columns:
    """The columns of one batch; every list has one entry per event, in order. Read-only.

    `types[type_index[row]]` is a row's type; sources likewise; `extras[extras_index[row]]` its rare attributes (entry 0
    is "none"; both are empty when no event has any). `data(row)` is the payload as it is stored, `data_kind(row)` its
    kind (`bus.event.ABSENT`, `JSON`, `BYTES`).
    """

    def __init__(self, view: _View, stored: _Stored) -> None:
        count = self.count = view.count
        self._stored = stored
        self.types = view.types
        self.type_index = _unpack_index(view.type_index, len(view.types), count)
        self.sources = stored.sources
        self.source_index = _unpack_index(stored.source_index, len(stored.sources), count)
        self.extras = stored.extras
        self.extras_index: Index = b""
        if stored.extras:
            self.extras_index = _unpack_index(stored.extras_index, len(stored.extras), count)
        self.ids = stored.ids.split("\n")
        self._lengths: tuple[int, ...] = _numbers("I", stored.lengths, count)
        for column in (stored.subjects, stored.correlations, stored.causations, stored.traces):
            if column and len(column) != count:
                raise CorruptRecord("a batch's columns have different lengths")
        if len(self.ids) != count or len(stored.kinds) not in (1, count) or max(stored.kinds) > 2:
            raise CorruptRecord("a batch's columns have different lengths")
        if (
            sum(self._lengths) != len(stored.data)
            or len(stored.key_hashes) != 4 * count
            or len(stored.times) != 8 * count
        ):
            raise CorruptRecord("a batch's columns have different lengths")

    @cached_property
    def times(self) -> list[int | None]:
        """Publishers' times in ns; None where none was said."""
        times: list[int | None] = list(_numbers("q", self._stored.times, self.count))
        if _NO_TIME in times:
            return [None if time == _NO_TIME else time for time in times]
        return times

    @property
    def newest(self) -> int:
        """The greatest of the publishers' times, ns; far below any where none was said."""
        return max(_numbers("q", self._stored.times, self.count), default=_NO_TIME)

    @cached_property
    def key_hashes(self) -> tuple[int, ...]:
        """`partitioner.key_hash` of each event's key."""
        return _numbers("I", self._stored.key_hashes, self.count)

    @cached_property
    def subjects(self) -> list[str | None]:
        return self._stored.subjects or [None] * self.count

    @cached_property
    def correlations(self) -> list[str | None]:
        return self._stored.correlations or [None] * self.count

    @cached_property
    def causations(self) -> list[str | None]:
        return self._stored.causations or [None] * self.count

    @cached_property
    def traces(self) -> list[str | None]:
        """`traceparent` of each event."""
        return self._stored.traces or [None] * self.count

    @cached_property
    def _ends(self) -> list[int]:
        ends, end = [0], 0
        for length in self._lengths:
            end += length
            ends.append(end)
        return ends

    def data(self, row: int) -> bytes | None:
        """A row's payload, encoded; None without one."""
        if self.data_kind(row) == ABSENT:
            return None
        return self._stored.data[self._ends[row] : self._ends[row + 1]]

    def data_kind(self, row: int) -> int:
        """What `data(row)` is."""
        kinds = self._stored.kinds
        return kinds[0] if len(kinds) == 1 else kinds[row]

    def payloads(self) -> list[bytes]:
        """All rows' payloads, b"" without one."""
        data, ends = self._stored.data, self._ends
        return [data[start:end] for start, end in pairwise(ends)]

    def size(self, row: int) -> int:
        """Bytes of a row's payload."""
        return self._lengths[row]

    def extras_of(self, row: int) -> Extras | None:
        """A row's rare attributes, or None."""
        if not self.extras_index or self.extras_index[row] == 0:
            return None
        return self.extras[self.extras_index[row]]

    def extension(self, name: str) -> list[Any]:
        """One extension attribute of each row; None where a row does not have it. Cheap: once per distinct extras."""
        if not self.extras_index:
            return [None] * self.count
        values = [extras.extensions.get(name) for extras in self.extras]
        return [values[place] for place in self.extras_index]

    def event(self, row: int) -> Event:
        """One row as an event."""
        return self.events([row])[0]

    def events(self, rows: Sequence[int] | None = None) -> list[Event]:
        """The events of some rows, or of all."""
        kinds, extras, ends, data = self._stored.kinds, [None, *self.extras[1:]], self._ends, self._stored.data
        picked = range(self.count) if rows is None else rows
        pick = _picker(picked, self.count)
        # Column by column: a look-up and a call less for each attribute of each event.
        return list(
            map(
                make,
                map(self.types.__getitem__, pick(self.type_index)),
                map(self.sources.__getitem__, pick(self.source_index)),
                pick(self.ids),
                pick(self.subjects),
                pick(self.times),
                pick(self.correlations),
                pick(self.causations),
                pick(self.traces),
                map(extras.__getitem__, pick(self.extras_index)) if self.extras_index else repeat(None),
                pick(kinds) if len(kinds) > 1 else repeat(kinds[0]),
                [data[ends[row] : ends[row + 1]] for row in picked],
            )
        )


def _picker(rows: Sequence[int], count: int) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What takes the entries of some rows from a column of `count`."""
    if len(rows) == count and (rows == range(count) or list(rows) == list(range(count))):
        return lambda column: column
    if len(rows) < 2:
        return lambda column: [column[row] for row in rows]
    return itemgetter(*rows)


def _numbers(code: str, blob: bytes, count: int) -> tuple[int, ...]:
    try:
        return struct.unpack(f"<{count}{code}", blob)
    except struct.error:
        raise CorruptRecord("a batch's columns have different lengths") from None
