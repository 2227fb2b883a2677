"""A fold's state: tables of key to value, with a digest that costs only what was touched.

The digest is the sum, modulo 2^128, of one hash per key: BLAKE2b over the canonical MessagePack of (fold, table, key,
value); a dict as a value counts by its sorted items. A sum does not depend on order, so a state has one digest however
it came about, and a step pays for the keys it touched and no more. Values are plain data or frozen structs without
floats; they are *replaced*, never changed in place: the old value of each touched key is kept until the step ends, so
that a fold that raises can be undone.
"""

from collections.abc import ItemsView, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

DIGEST_BYTES = 16
_MASK = (1 << (8 * DIGEST_BYTES)) - 1
_encoder = msgspec.msgpack.Encoder(order="deterministic")

Key = str | int
Place = tuple[str, Key]
"""A table and a key in it."""
Hashes = list[tuple[Place, int | None]]
"""The new hashes of places; None where nothing is any more."""


class _Absent:
    """Where a key has no value."""


ABSENT: Final = _Absent()
_EMPTY: Mapping[Key, Any] = {}


class KeyedState:
    """Tables of one fold. Only `put` and `delete` change it; `touched` has each changed place and its value before."""

    __slots__ = ("_changed", "_hashes", "_tables", "digest", "fold", "touched")

    def __init__(self, fold: str) -> None:
        self.fold = fold
        self.digest = 0
        self.touched: dict[Place, Any] = {}
        self._tables: dict[str, dict[Key, Any]] = {}
        self._hashes: dict[Place, int] = {}
        self._changed: dict[Place, None] | None = None

    def get(self, table: str, key: Key, default: Any = None) -> Any:
        """The value at a place, or `default`."""
        rows = self._tables.get(table)
        return default if rows is None else rows.get(key, default)

    def table(self, table: str) -> Mapping[Key, Any]:
        """All of a table, to be read only. Its order means nothing."""
        return self._tables.get(table, _EMPTY)

    def names(self) -> list[str]:
        """The tables that anything was ever put into, sorted."""
        return sorted(self._tables)

    def items(self, table: str) -> ItemsView[Key, Any]:
        """Keys and values of a table; copy it before putting while going through it."""
        return self.table(table).items()

    def put(self, table: str, key: Key, value: Any) -> None:
        """Set a value; it must not be changed afterwards."""
        rows = self._tables.get(table)
        if rows is None:
            rows = self._tables[table] = {}
        place = (table, key)
        if place not in self.touched:
            self.touched[place] = rows.get(key, ABSENT)
        rows[key] = value

    def delete(self, table: str, key: Key) -> None:
        """Forget a key; forgetting an absent one is nothing."""
        rows = self._tables.get(table)
        if rows is None or key not in rows:
            return
        self.touched.setdefault((table, key), rows[key])
        del rows[key]

    def hashes(self) -> Hashes:
        """What the touched places come to. Changes nothing; raises for a value that has no canonical form."""
        found: Hashes = []
        fold, encode = self.fold, _encoder.encode
        for place, old in self.touched.items():
            table, key = place
            value = self._tables[table].get(key, ABSENT)
            if value is old:
                continue
            if value is ABSENT:
                found.append((place, None))
                continue
            data = encode((fold, table, key, sorted(value.items()) if type(value) is dict else value))
            found.append((place, int.from_bytes(blake2b(data, digest_size=DIGEST_BYTES).digest(), "little")))
        return found

    def settle(self, hashes: Hashes | None = None) -> None:
        """End a step: the touched places enter the digest, with the `hashes` that they were found to have."""
        if self._changed is not None:
            self._changed.update(dict.fromkeys(self.touched))
        total, known = self.digest, self._hashes
        for place, hashed in self.hashes() if hashes is None else hashes:
            total -= known.pop(place, 0)
            if hashed is not None:
                known[place] = hashed
                total += hashed
        self.digest = total & _MASK
        self.touched.clear()

    def undo(self) -> None:
        """Take back everything since the last `settle`."""
        for (table, key), old in self.touched.items():
            if old is ABSENT:
                self._tables[table].pop(key, None)
            else:
                self._tables[table][key] = old
        self.touched.clear()

    def follow_changes(self) -> None:
        """From here on it is remembered which places change."""
        self._changed = {}

    def changes(self) -> dict[str, dict[Key, Any]]:
        """The present values of all places that changed since this was last called, `ABSENT` where there is none."""
        found: dict[str, dict[Key, Any]] = {}
        for table, key in self._changed or ():
            found.setdefault(table, {})[key] = self._tables[table].get(key, ABSENT)
        self.follow_changes()
        return found

    def tables(self) -> dict[str, dict[Key, Any]]:
        """All tables as they are now; a copy, but of the values, which never change."""
        return {table: dict(rows) for table, rows in self._tables.items() if rows}

    def copy(self) -> "KeyedState":
        """The same state as of its own, between steps; values are shared, as they never change."""
        twin = KeyedState(self.fold)
        twin.digest = self.digest
        twin._tables = {table: dict(rows) for table, rows in self._tables.items()}
        twin._hashes = dict(self._hashes)
        return twin

    def hash_of(self, table: str, key: Key) -> int:
        """What a place adds to the digest, between steps; 0 where nothing is."""
        return self._hashes.get((table, key), 0)

    def __len__(self) -> int:
        """How many places have a value, between steps."""
        return len(self._hashes)

    def recomputed_digest(self) -> int:
        """The digest from nothing: equal to `digest` between steps, or a value was changed in place."""
        total = 0
        for table, rows in self._tables.items():
            for key, value in rows.items():
                canonical = sorted(value.items()) if type(value) is dict else value
                data = _encoder.encode((self.fold, table, key, canonical))
                total += int.from_bytes(blake2b(data, digest_size=DIGEST_BYTES).digest(), "little")
        return total & _MASK


def combined(states: Mapping[str, KeyedState]) -> bytes:
    """The digest of many folds' states as one, 16 bytes."""
    return (sum(state.digest for state in states.values()) & _MASK).to_bytes(DIGEST_BYTES, "little")
