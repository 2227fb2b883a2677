"""Payload schemas as they were registered (`bus.schemas`): kept here however much of the log retention takes.

| table | key | value |
|---|---|---|
| schema | type NUL version | Registered |
| count | bytes malformed late refused | how many |

The first registration of a version in the log has it, later ones are `late`. What clients that read it in the log take
for none (`bus.schemas.registration`) is `malformed`: both have to count the same versions. What is beyond the bounds is
`refused`: its type is published unchecked.
"""

from types import MappingProxyType
from typing import Any

import msgspec

from bus.schemas import REGISTERED, registration
from controlplane.facts import Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import SCHEMAS_BYTES_MAX, SCHEMAS_MAX


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """One version. `schema` is its JSON; `position` the entry that brought it, `recorded` when (ns), `by` who."""

    type: str
    version: int
    compatibility: str
    schema: str
    position: int
    recorded: int
    by: str


class Schemas(Fold):
    """The fold. See the module."""

    name = "schemas"
    version = 2
    follows = (Rows,)
    tables = MappingProxyType({"schema": Registered, "count": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Registrations come."""
        fact = entry.fact
        if isinstance(fact, Rows):
            for row, event in sorted(fact.followed.items()):
                if fact.types[row] == REGISTERED:
                    _register(state, event, entry.position + row, entry.recorded)


def beyond(state: KeyedState, position: int) -> list[Registered]:
    """What was registered after a position, in that order."""
    found = [one for _, one in state.items("schema") if one.position > position]
    return sorted(found, key=lambda one: one.position)


class _Envelope(msgspec.Struct):
    source: str
    data: Any
    partitionkey: str = ""


_envelope = msgspec.json.Decoder(_Envelope)


def _register(state: KeyedState, event: bytes, position: int, recorded: int) -> None:
    try:
        told = _envelope.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _count(state, "malformed", 1)
        return
    data = registration(told.data)
    # One that is not in the partition of its type has no place in the order of versions.
    if data is None or told.partitionkey != data.type:
        _count(state, "malformed", 1)
        return
    text = msgspec.json.encode(data.schema).decode()
    key = f"{data.type}\0{data.version}"
    if state.get("schema", key) is not None:
        _count(state, "late", 1)
    elif len(state.table("schema")) >= SCHEMAS_MAX or state.get("count", "bytes", 0) + len(text) > SCHEMAS_BYTES_MAX:
        _count(state, "refused", 1)
    else:
        made = Registered(data.type, data.version, data.compatibility, text, position, recorded, told.source)
        state.put("schema", key, made)
        _count(state, "bytes", len(text))


def _count(state: KeyedState, name: str, change: int) -> None:
    state.put("count", name, state.get("count", name, 0) + change)
