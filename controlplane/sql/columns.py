"""The `events` table's documented columns out of the journal's own, for views and for export alike."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa

from bus.attributes import Extras
from controlplane.arrivals import EVENT_COLUMNS
from controlplane.questions import SQL_SCHEMA

FED_EVENTS = tuple(name for name in EVENT_COLUMNS if name not in ("subject_hash", "saga_hash"))
FED_ENTRIES = ("position", "recorded", "cause", "kind", "fact")
FED = {"events": FED_EVENTS, "entries": FED_ENTRIES}
"""What a worker needs of a segment's tables."""
TYPES = {table.name: {column.name: column.type for column in table.columns} for table in SQL_SCHEMA}
"""Documented table -> column -> type."""
_INSTANTS = ("recorded", "appended", "time")
_OF = {
    **{name: f'e."{name}"' for name in ("position", "partition", "offset", "id", "subject", "data", "bytes")},
    **{f"{name}_ns": f"e.{name}" for name in _INSTANTS},
    "size": "e.size",
    "internal": "e.internal",
    "source": "s.name",
    "type": "t.name",
    "saga": "coalesce(nullif(e.correlation, ''), e.subject)",
    "correlationid": "e.correlation",
    "causationid": "e.causation",
    "traceparent": "e.trace",
    **{name: f"e.{name}" for name in _INSTANTS},
}
"""Where a column comes from, the journal's row being `e`, and the names of its type and source `t` and `s`."""
_ATTRIBUTES = tuple(TYPES["events"]).index("attributes")


def selected(table: str, of: dict[str, str]) -> str:
    """The columns of a documented table as a list for SELECT. `of`: where they come from; instants as ns there."""
    columns = []
    for name, kind in TYPES[table].items():
        told = f"make_timestamptz({of[name]} // 1000)" if kind.startswith("TIMESTAMP") else of[name]
        columns.append(f'cast({told} as {kind}) as "{name}"')
    return ", ".join(columns)


def of_events(attributes: str) -> str:
    """The same for `events`; `attributes`: where that column comes from."""
    return selected("events", {**_OF, "attributes": attributes})


def page(db: Any, where: str, parameters: dict[str, Any]) -> Any:
    """Rows of an open journal as an Arrow table of the documented columns, in order; `where` is about `events e`."""
    joined = "events e join names t on t.id = e.type join names s on s.id = e.source"
    found = db.sql(
        f"select {of_events('null')}, e.extras from {joined} where {where} order by e.position",  # noqa: S608
        params=parameters or None,
    ).to_arrow_table()
    attributes = pa.array([as_attributes(blob) for blob in found.column("extras").to_pylist()], pa.string())
    found = found.drop_columns(["extras"]).set_column(_ATTRIBUTES, "attributes", attributes)
    # The journal's own connection may be in any time zone; the instants are the same.
    kinds = [pa.timestamp("us", "UTC") if pa.types.is_timestamp(field.type) else field.type for field in found.schema]
    return found.cast(pa.schema(list(zip(found.column_names, kinds, strict=True))))


# ------------------------------------------------------------------------------------------------ MessagePack as JSON

_extras = msgspec.msgpack.Decoder(Extras)
_encode = msgspec.json.Encoder().encode
_AS_PUBLISHED = ("time_text", "expiry_text")
"""How the publisher wrote an instant that has a place of its own."""
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError)


def as_facts(blobs: Sequence[bytes]) -> list[str | None]:
    """Journaled facts as JSON; None for what another version wrote and this one cannot read."""
    return [_fact(blob) for blob in blobs]


def _fact(blob: bytes) -> str | None:
    try:
        return _encode(msgspec.msgpack.decode(blob)).decode()
    except _UNREADABLE:
        return None


@lru_cache(maxsize=4096)
def as_attributes(blob: bytes | None) -> str | None:
    """The rare attributes of an event as a flat JSON object, as in CloudEvents JSON; instants in ns."""
    if blob is None:
        return None
    try:
        found: dict[str, Any] = msgspec.to_builtins(_extras.decode(blob), str_keys=True)
    except _UNREADABLE:
        return None
    extensions = found.pop("extensions", {})
    plain = {name: value for name, value in found.items() if name not in _AS_PUBLISHED}
    return _encode({**plain, **extensions}).decode()
