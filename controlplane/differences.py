"""What differs between two states of the folds, by fold, table, key and field.

Folds whose digests are equal are passed over, so that comparing two near moments costs what differs, not what there is.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import msgspec

from bus.rfc3339 import format_time
from controlplane.fold import World
from controlplane.limits import DIFF_FIELDS_MAX, DIFF_TEXT_CHARS_MAX
from controlplane.questions import StateChange, TableChange
from controlplane.state import ABSENT, Key, KeyedState

_EMPTY = KeyedState("")
_EMPTIES: tuple[Any, ...] = ("", 0, None, [], {}, (), b"")
_SECOND = 1_000_000_000
_INSTANTS = 10**18, 4 * 10**18
"""What is between is an instant: of 2001 to 2096, ns. Nothing that is counted comes to so much."""


def compare(was: World, now: World, limit: int) -> tuple[list[TableChange], list[StateChange]]:
    """The tables that differ, and of each the changes at its first `limit` keys, in the order of the keys' text."""
    tables: list[TableChange] = []
    changes: list[StateChange] = []
    for fold, table, keys in differing(was, now):
        before, after = (world.get(fold, _EMPTY).table(table) for world in (was, now))
        added = sum(key not in before for key in keys)
        removed = sum(key not in after for key in keys)
        tables.append(TableChange(fold, table, added, removed, len(keys) - added - removed))
        for key in sorted(keys, key=_order)[:limit]:
            changes += changes_at(fold, table, key, before.get(key, ABSENT), after.get(key, ABSENT))
    return tables, changes


def differing(was: World, now: World) -> Iterator[tuple[str, str, list[Key]]]:
    """Each table that differs, and its keys that do; a fold that only one of them has is empty in the other."""
    for fold in dict.fromkeys((*was, *now)):
        before, after = was.get(fold, _EMPTY), now.get(fold, _EMPTY)
        if before.digest == after.digest:
            continue
        for table in sorted(dict.fromkeys((*before.names(), *after.names()))):
            old, new = before.table(table), after.table(table)
            # By their hashes, which is what the digest is of: 1, 1.0 and True are equal, and are not the same.
            hashes = before.hash_of, after.hash_of
            keys = [
                key
                for key, value in new.items()
                if old.get(key, ABSENT) is not value and hashes[0](table, key) != hashes[1](table, key)
            ]
            keys += [key for key in old if key not in new]
            if keys:
                yield fold, table, keys


def changes_at(fold: str, table: str, key: Key, was: Any, now: Any) -> list[StateChange]:
    """What differs at one key: the value, or its fields where both have them; at most `DIFF_FIELDS_MAX`."""
    place = (fold, table, str(key))
    if was is ABSENT:
        return [StateChange(*place, "added", now=readable(now))]
    if now is ABSENT:
        return [StateChange(*place, "removed", was=readable(was))]
    fields = list(field_changes(was, now, readable))
    found = [StateChange(*place, "changed", field, old, new) for field, old, new in fields[:DIFF_FIELDS_MAX]]
    if len(fields) > DIFF_FIELDS_MAX:
        found.append(StateChange(*place, "changed", f"and {len(fields) - DIFF_FIELDS_MAX:,} more"))
    return found


def field_changes(
    was: Any, now: Any, text: Callable[[Any, str], str] = lambda value, name: text_of(value)
) -> Iterator[tuple[str, str, str]]:
    """Field, old and new text of what differs in two values; one without a name where they have no fields.

    `text` makes a text of a value and its field's name.
    """
    if isinstance(was, msgspec.Struct) and type(was) is type(now):
        pairs: list[tuple[str, Any, Any]] = [
            (name, getattr(was, name), getattr(now, name)) for name in was.__struct_fields__
        ]
    elif isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = sorted(dict.fromkeys((*was, *now)), key=_order)
        pairs = [(str(key), was.get(key, ABSENT), now.get(key, ABSENT)) for key in keys]
    else:
        pairs = [("", was, now)]
    for name, old, new in pairs:
        if _differ(old, new):
            yield name, text(old, name), text(new, name)


def deepest(was: Any, now: Any) -> tuple[str, Any, Any] | None:
    """Where two values part first, as deep as it can be said: `answers[2].store`, and what stands there in each.

    None: their bytes are the same. Maps that differ in nothing but their order come last.
    """
    for differ in (_differ, _differ_in_order):
        if differ(was, now):
            path = ""
            while (found := next((part for part in _inside(was, now) if differ(*part[1:])), None)) is not None:
                step, was, now = found
                path += step
            return path.removeprefix("."), was, now
    return None


def _inside(was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if type(was) is not type(now):
        return
    if isinstance(was, msgspec.Struct):
        for name in was.__struct_fields__:
            yield f".{name}", getattr(was, name), getattr(now, name)
    elif isinstance(was, Mapping):
        for key in sorted(dict.fromkeys((*was, *now)), key=_order):
            yield f".{key}", was.get(key, ABSENT), now.get(key, ABSENT)
    elif isinstance(was, list | tuple):
        for place, (old, new) in enumerate(zip_longest(was, now, fillvalue=ABSENT)):
            yield f"[{place}]", old, new


_canonical = msgspec.msgpack.Encoder(order="deterministic").encode
_as_it_is = msgspec.msgpack.Encoder().encode


def _differ(was: Any, now: Any, encode: Callable[[Any], bytes] = _canonical) -> bool:
    """Whether their bytes differ: of another kind and equal (1 and True) is another value."""
    if was is ABSENT or now is ABSENT or type(was) is not type(now):
        return was is not now
    try:
        return was is not now and encode(was) != encode(now)
    except (TypeError, ValueError):
        return bool(was != now)


def _differ_in_order(was: Any, now: Any) -> bool:
    return _differ(was, now, _as_it_is)


def text_of(value: Any) -> str:
    """A value as one line, exact, cut to `DIFF_TEXT_CHARS_MAX`; "" for none."""
    if value is ABSENT:
        return ""
    return _cut(value if isinstance(value, str) else repr(value))


def readable(value: Any, name: str = "") -> str:
    """A value as people read it, cut alike: instants as times, durations (their `name` says so) with a unit."""
    return "" if value is ABSENT else _cut(_read(value, name))


def _measured(ns: int, digits: int, unit: str) -> str:
    """Nanoseconds in a unit of 10**`digits` of them, exact."""
    whole, rest = divmod(abs(ns), 10**digits)
    part = f"{rest:0{digits}d}".rstrip("0")
    return f"{'-' if ns < 0 else ''}{whole}{'.' if part else ''}{part} {unit}"


def _read(value: Any, name: str) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int):
        if name.endswith("_ns"):
            return _measured(value, 9, "s") if abs(value) >= _SECOND else _measured(value, 6, "ms")
        return format_time(value) if _INSTANTS[0] <= value < _INSTANTS[1] else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        pairs = [(each, getattr(value, each)) for each in value.__struct_fields__]
        return ", ".join(f"{each} {_inner(it, each)}" for each, it in pairs if it not in _EMPTIES) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inner(it, str(key))}" for key, it in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_inner(each, name) for each in value) or "–"
    return str(value)


def _inner(value: Any, name: str) -> str:
    text = _read(value, name)
    return f"({text})" if isinstance(value, msgspec.Struct | Mapping | list | tuple) and value else text


def _cut(text: str) -> str:
    return text if len(text) <= DIFF_TEXT_CHARS_MAX else text[: DIFF_TEXT_CHARS_MAX - 1] + "…"


def _order(key: Key) -> tuple[bool, Key]:
    return isinstance(key, str), key
