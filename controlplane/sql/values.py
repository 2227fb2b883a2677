"""A result's columns as plain values that MessagePack, JSON and CSV carry without loss.

What a double would blur stays text: decimals, integers beyond 64 bits, instants (RFC 3339, as exact as they are),
dates, times, intervals. NULL is None everywhere.
"""

from typing import Any

import pyarrow as pa
from pyarrow import types

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def plain(column: Any) -> list[Any]:
    """The values of an Arrow array."""
    kind = column.type
    if types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if types.is_decimal(kind):
        return [None if value is None else _decimal(value) for value in column.to_pylist()]
    if types.is_timestamp(kind):
        return _instants(column, "Z" if kind.tz else "")
    if types.is_date(kind) or types.is_time(kind):
        return [_in_range(text) for text in column.cast(pa.string()).to_pylist()]
    if types.is_interval(kind):
        return [None if value is None else _interval(*value) for value in column.to_pylist()]
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return [None if not each.is_valid else plain(each.values) for each in column]
    if types.is_map(kind):
        return [None if not each.is_valid else _map(each.values) for each in column]
    if types.is_struct(kind):
        return _structs(column)
    if types.is_union(kind):
        return [plain(pa.array([each.value.as_py()], each.value.type))[0] if each.is_valid else None for each in column]
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    return list(column.to_pylist())


def _decimal(value: Any) -> int | str:
    """A whole number is one as long as MessagePack can say it."""
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        number = int(value)
        return number if _INT_MIN <= number <= _INT_MAX else str(number)
    return format(value, "f")


def _instants(column: Any, zone: str) -> list[str | None]:
    unzoned = column.cast(pa.timestamp(column.type.unit))
    texts = unzoned.cast(pa.string()).to_pylist()
    return [_in_range(None if text is None else text.replace(" ", "T", 1) + zone) for text in texts]


def _in_range(text: str | None) -> str | None:
    """What lies beyond the calendar, infinity too, is the bare number of its unit since 1970."""
    return text if text is None or text[0] != "<" else text.rstrip(">Z").rpartition(" ")[2]


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """ISO 8601, as each part was kept: P1M2DT3.5S."""
    parts = f"{months}M" * bool(months) + f"{days}D" * bool(days)
    if nanoseconds or not parts:
        seconds, rest = divmod(abs(nanoseconds), 10**9)
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        parts += f"T{'-' * (nanoseconds < 0)}{seconds}{fraction}S"
    return f"P{parts}"


def _structs(column: Any) -> list[dict[str, Any] | None]:
    fields = [column.type.field(place).name for place in range(column.type.num_fields)]
    parts = [plain(part) for part in column.flatten()]
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*parts, strict=True)]
    return [row if valid else None for row, valid in zip(rows, column.is_valid().to_pylist(), strict=True)]


def _map(entries: Any) -> dict[str, Any]:
    return {str(entry["key"]): entry["value"] for entry in _structs(entries) if entry is not None}
