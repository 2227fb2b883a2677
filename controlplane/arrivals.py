"""Events on their way between brokers, journal and folds: one set of columns with three faces.

`of_records` makes it from what a partition sent, `of_archive` from what the journal kept, and both give the same
`rows()` to the folds and the same `event(row)` to an export: that is what makes a replay see what the live plane saw.

In the journal a JSON payload is text (`data`), any other bytes are a blob (`bytes`). Attributes that few events have
are one MessagePack blob (`extras`), NULL where there is none. `subject_hash` and `saga_hash` are narrow columns that
find one saga among millions of events; they are CRC-32, so what they find is compared with the text.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any
from zlib import crc32

import msgspec
import pyarrow as pa

from bus import batch
from bus.attributes import ABSENT, BYTES, JSON, Extras
from bus.depth import is_deeper
from bus.errors import CorruptRecord
from bus.event import Event, is_internal, make, to_json
from bus.topic import Filter
from controlplane.facts import Rows
from controlplane.limits import DISPATCHED_DEPTH_MAX, FOLLOWED_DEPTH_MAX

EVENT_COLUMNS: dict[str, tuple[str, Any]] = {
    "position": ("UBIGINT", pa.uint64()),
    "recorded": ("BIGINT", pa.int64()),
    "partition": ("USMALLINT", pa.uint16()),
    "offset": ("UBIGINT", pa.uint64()),
    "appended": ("BIGINT", pa.int64()),
    "type": ("UINTEGER", pa.uint32()),
    "source": ("UINTEGER", pa.uint32()),
    "subject_hash": ("UINTEGER", pa.uint32()),
    "saga_hash": ("UINTEGER", pa.uint32()),
    "internal": ("BOOLEAN", pa.bool_()),
    "size": ("UINTEGER", pa.uint32()),
    "id": ("VARCHAR", pa.string()),
    "time": ("BIGINT", pa.int64()),
    "subject": ("VARCHAR", pa.string()),
    "correlation": ("VARCHAR", pa.string()),
    "causation": ("VARCHAR", pa.string()),
    "trace": ("VARCHAR", pa.string()),
    "extras": ("BLOB", pa.binary()),
    "data": ("VARCHAR", pa.string()),
    "bytes": ("BLOB", pa.binary()),
}
"""The journal's table of events: column -> (SQL type, Arrow type)."""
STORED = (
    *("partition", "offset", "appended", "type", "source", "id", "time", "subject", "correlation", "causation"),
    *("trace", "extras", "data", "bytes"),
)
"""The columns that `of_archive` needs."""
ROWS = ("position", "partition", "offset", "appended", "type", "source", "id", "time", "saga", "extras", "size")
"""What `rows_of_archive` needs: these columns, and `saga` is `SAGA`, or empty."""
SAGA = "coalesce(nullif(correlation, ''), subject)"
"""What an event belongs to, in SQL; NULL for nothing."""
_SCHEMA = pa.schema([(name, kind) for name, (_, kind) in EVENT_COLUMNS.items()])

DISPATCH = "dispatch"
"""The group of dead letters that dispatch makes: what is redriven to it is dispatched again."""

_encode_extras = msgspec.msgpack.Encoder().encode
_decode_extras = msgspec.msgpack.Decoder(Extras).decode


def name_hash(text: str) -> int:
    """The narrow column of a subject or saga."""
    return crc32(text.encode())


class Follows:
    """Which events folds want to see whole: those whose type matches one of some patterns, or that are `required`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._filters = [Filter(pattern, internal=True) for pattern in patterns]

    def also(self, patterns: Iterable[str]) -> "Follows":
        """The same and, beside it, events whose type matches one of these."""
        found = Follows(())
        found._filters = [*self._filters, *map(Filter, patterns)]
        return found

    def types(self, types: Iterable[str]) -> set[str]:
        """Those of some types that are followed."""
        return {name for name in set(types) if any(each.accepts(name) for each in self._filters)}

    def rows(self, types: list[str], required: list[bool]) -> list[int]:
        """The rows that are followed, in order; `required`: as `Arrival.required` has it."""
        wanted = self.types(types)
        if not wanted and True not in required:
            return []
        return [row for row, name in enumerate(types) if name in wanted or required[row]]


class Arrival(msgspec.Struct, gc=False):
    """Consecutive events of one partition, a list per attribute; row i has offset `first_offset + i`."""

    partition: int
    first_offset: int
    appended: list[int]
    types: list[str]
    sources: list[str]
    ids: list[str]
    times: list[int | None]
    subjects: list[str | None]
    correlations: list[str | None]
    causations: list[str | None]
    traces: list[str | None]
    extras: list[Extras | None]
    kinds: list[int]
    payloads: list[bytes]

    def __len__(self) -> int:
        return len(self.types)

    @property
    def next_offset(self) -> int:
        return self.first_offset + len(self.types)

    def add(self, other: "Arrival") -> None:
        """Append what follows at once in the same partition."""
        for name in _LISTS:
            getattr(self, name).extend(getattr(other, name))

    def after(self, offset: int) -> "Arrival":
        """The events from `offset` on."""
        cut = offset - self.first_offset
        lists = {name: getattr(self, name)[cut:] for name in _LISTS}
        return Arrival(partition=self.partition, first_offset=offset, **lists)

    def between(self, first: int, end: int) -> "Arrival":
        """The events with offsets from `first` on and below `end`."""
        rows = slice(max(0, first - self.first_offset), end - self.first_offset)
        lists = {name: getattr(self, name)[rows] for name in _LISTS}
        return Arrival(partition=self.partition, first_offset=max(first, self.first_offset), **lists)

    def event(self, row: int) -> Event:
        """One row as the event that was published."""
        return make(
            self.types[row],
            self.sources[row],
            self.ids[row],
            self.subjects[row],
            self.times[row],
            self.correlations[row],
            self.causations[row],
            self.traces[row],
            self.extras[row],
            self.kinds[row],
            self.payloads[row],
        )

    def rows(self, follows: Follows) -> Rows:
        """What the folds see of it."""
        followed, deep = self.whole((row, row) for row in follows.rows(self.types, self.required()))
        return Rows(
            partition=self.partition,
            first_offset=self.first_offset,
            appended=self.appended,
            types=self.types,
            sources=self.sources,
            ids=self.ids,
            times=self.times,
            sagas=self._sagas(),
            importofs=self._per_extras(_importof, ""),
            redriven=self._per_extras(_redriven, False),
            sizes=list(map(len, self.payloads)),
            followed=followed,
            deep=deep,
        )

    def whole(self, rows: Iterable[tuple[int, int]]) -> tuple[dict[int, bytes], dict[int, bytes]]:
        """`Rows.followed`, without what is too deep to be read alike everywhere, and `Rows.deep`: by place."""
        followed, deep = dict[int, bytes](), dict[int, bytes]()
        for place, row in rows:
            text = to_json(event := self.event(row))
            if is_deeper(text, DISPATCHED_DEPTH_MAX):
                deep[place] = to_json(event.replace(data=event.payload))
            if place not in deep or not is_deeper(text, FOLLOWED_DEPTH_MAX):
                followed[place] = text
        return followed, deep

    def required(self) -> list[bool]:
        """Of each row, whether its event is to be dispatched: it needs capabilities, or is redriven to dispatch."""
        return self._per_extras(_required, False)

    def table(self, first_position: int, recorded: int, names: Callable[[str], int]) -> "pa.Table":
        """As rows of the journal's `events`, the first one at `first_position`; `names` gives a text's small id."""
        count = len(self.types)
        type_ids = {name: names(name) for name in dict.fromkeys(self.types)}
        source_ids = {name: names(name) for name in dict.fromkeys(self.sources)}
        hashes = {text: None if text is None else name_hash(text) for text in dict.fromkeys(self.subjects)}
        subject_hashes = _array(list(map(hashes.__getitem__, self.subjects)), pa.uint32())
        columns: dict[str, Any] = {
            "position": _run(first_position, count),
            "recorded": _same(recorded, count, pa.int64()),
            "partition": _same(self.partition, count, pa.uint16()),
            "offset": _run(self.first_offset, count),
            "appended": self.appended,
            "type": list(map(type_ids.__getitem__, self.types)),
            "source": list(map(source_ids.__getitem__, self.sources)),
            "subject_hash": subject_hashes,
            "saga_hash": self._saga_hashes(subject_hashes),
            "internal": self._internal(),
            "size": list(map(len, self.payloads)),
            "id": self.ids,
            "time": self.times,
            "subject": self.subjects,
            "correlation": self.correlations,
            "causation": self.causations,
            "trace": self.traces,
            "extras": self._per_extras(_encode_extras, None),
            "data": self._texts(),
            "bytes": self._blobs(),
        }
        return pa.Table.from_arrays([_array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)

    def _saga_hashes(self, subject_hashes: "pa.Array") -> Any:
        if not any(self.correlations) and "" not in self.subjects:
            return subject_hashes
        return [name_hash(saga) if saga else None for saga in self._sagas()]

    def _sagas(self) -> list[str]:
        return [
            correlation or subject or "" for correlation, subject in zip(self.correlations, self.subjects, strict=True)
        ]

    def _internal(self) -> Any:
        redriven = self._per_extras(_redriven, False)
        internal = {name: is_internal(name, {}) for name in set(self.types)}
        if True not in internal.values() and True not in redriven:
            return _same(False, len(self.types), pa.bool_())
        return [internal[name] or again for name, again in zip(self.types, redriven, strict=True)]

    def _per_extras(self, read: Callable[[Extras], Any], without: Any) -> list[Any]:
        """A value per row that depends on the rare attributes alone; computed once for each distinct object."""
        known: dict[int, Any] = {id(None): without}
        for extras in self.extras:
            if id(extras) not in known and extras is not None:
                known[id(extras)] = read(extras)
        if len(known) == 1:
            return [without] * len(self.types)
        return [known[id(extras)] for extras in self.extras]

    def _texts(self) -> Any:
        if self.kinds.count(JSON) == len(self.kinds):
            return _joined(self.payloads)
        return [
            payload.decode() if kind == JSON else None for kind, payload in zip(self.kinds, self.payloads, strict=True)
        ]

    def _blobs(self) -> list[bytes | None]:
        if BYTES not in self.kinds:
            return [None] * len(self.kinds)
        return [payload if kind == BYTES else None for kind, payload in zip(self.kinds, self.payloads, strict=True)]


_LISTS = tuple(name for name in Arrival.__struct_fields__ if name not in ("partition", "first_offset"))


def _array(values: Any, kind: Any) -> "pa.Array":
    """A column of Arrow; what is one already stays as it is."""
    if isinstance(values, pa.Array):
        return values
    return pa.nulls(len(values), kind) if values.count(None) == len(values) else pa.array(values, kind)


def _run(first: int, count: int) -> "pa.Array":
    """`first`, `first` + 1 ...; as everything here, many times as fast by its buffer as by its values."""
    return pa.Array.from_buffers(pa.uint64(), count, [None, pa.py_buffer(array("Q", range(first, first + count)))])


def _same(value: int | bool, count: int, kind: Any) -> "pa.Array":
    return pa.repeat(pa.scalar(value, kind), count)


def _joined(payloads: list[bytes]) -> "pa.Array":
    """Texts that are UTF-8 already."""
    places = array("i", accumulate(map(len, payloads), initial=0))
    return pa.Array.from_buffers(
        pa.string(), len(payloads), [None, pa.py_buffer(places), pa.py_buffer(b"".join(payloads))]
    )


def _importof(extras: Extras) -> str:
    return str(extras.extensions.get("importof", ""))


def _redriven(extras: Extras) -> bool:
    return "redriveto" in extras.extensions


def _required(extras: Extras) -> bool:
    return extras.requires is not None or extras.extensions.get("redriveto") == DISPATCH


def required_of_archive(blobs: list[bytes | None]) -> list[bool]:
    """`Arrival.required` by the column `extras` alone."""
    asking = {blob for blob in set(blobs) if blob is not None and _required(_extras_of(blob))}
    return [blob in asking for blob in blobs] if asking else [False] * len(blobs)


@lru_cache(maxsize=4096)
def _extras_of(blob: bytes) -> Extras:
    return _decode_extras(blob)


def _kind(kind: int, payload: bytes) -> int:
    """What is called JSON and is not even text stays what it is: bytes."""
    if kind == JSON and not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            return BYTES
    return kind


def of_record(header: batch.Header, body: bytes) -> Arrival:
    """The events of one committed record. Raises CorruptRecord."""
    columns = batch.decode(body)
    if columns.count != header.count:
        raise CorruptRecord(f"a record announces {header.count} events and holds {columns.count}")
    rows = range(columns.count)
    payloads = columns.payloads()
    return Arrival(
        partition=header.partition,
        first_offset=header.base_offset,
        appended=[header.appended] * columns.count,
        types=[columns.types[place] for place in columns.type_index],
        sources=[columns.sources[place] for place in columns.source_index],
        ids=columns.ids,
        times=columns.times,
        subjects=columns.subjects,
        correlations=columns.correlations,
        causations=columns.causations,
        traces=columns.traces,
        extras=[columns.extras_of(row) for row in rows] if columns.extras_index else [None] * columns.count,
        kinds=[_kind(columns.data_kind(row), payload) for row, payload in enumerate(payloads)],
        payloads=payloads,
    )


def _alike(columns: dict[str, list[Any]], names: Sequence[str]) -> dict[str, Any]:
    """What `Rows` and `Arrival` have of the same name."""
    return {
        "partition": columns["partition"][0],
        "first_offset": columns["offset"][0],
        "appended": columns["appended"],
        "types": [names[number] for number in columns["type"]],
        "sources": [names[number] for number in columns["source"]],
        "ids": columns["id"],
        "times": columns["time"],
    }


def rows_of_archive(
    columns: dict[str, list[Any]], names: Sequence[str], followed: dict[int, bytes], deep: dict[int, bytes]
) -> Rows:
    """What the folds see of consecutive journal rows, by the columns named in `ROWS`: payloads, most of an event, are
    in what is `followed` or `deep`, by row, alone."""
    blobs = columns["extras"]
    known: dict[bytes | None, tuple[str, bool]] = {None: ("", False)}
    for blob in dict.fromkeys(blobs):
        if blob is not None:
            known[blob] = (_importof(_extras_of(blob)), _redriven(_extras_of(blob)))
    return Rows(
        **_alike(columns, names),
        sagas=columns["saga"],
        importofs=[known[blob][0] for blob in blobs],
        redriven=[known[blob][1] for blob in blobs],
        sizes=columns["size"],
        followed=followed,
        deep=deep,
    )


def of_archive(columns: dict[str, list[Any]], names: Sequence[str]) -> Arrival:
    """The events of consecutive journal rows, by the columns named in `STORED`; `names[id]` is a type or source."""
    texts, blobs = columns["data"], columns["bytes"]
    return Arrival(
        **_alike(columns, names),
        subjects=columns["subject"],
        correlations=columns["correlation"],
        causations=columns["causation"],
        traces=columns["trace"],
        extras=[None if blob is None else _extras_of(blob) for blob in columns["extras"]],
        kinds=[
            JSON if text is not None else BYTES if blob is not None else ABSENT
            for text, blob in zip(texts, blobs, strict=True)
        ],
        payloads=[text.encode() if text is not None else blob or b"" for text, blob in zip(texts, blobs, strict=True)],
    )
