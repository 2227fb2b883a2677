"""Rows of a batch as bits: which of its events are meant. Pure. Little-endian: row 0 is the lowest bit of byte 0."""

from collections.abc import Iterable

from bus.errors import CorruptRecord


def bitmap(rows: Iterable[int], count: int) -> bytes:
    """Rows below `count` as bits, the first row the lowest bit of the first byte."""
    mask = bytearray(b"0") * count
    for row in rows:
        mask[row] = 49
    mask.reverse()
    return int(bytes(mask) or b"0", 2).to_bytes((count + 7) // 8, "little")


def marked(marks: bytes | bytearray) -> bytes:
    """A text of "1" for rows that are meant and "0" for others, as bits; b"" when no row is."""
    if b"1" not in marks:
        return b""
    return int(bytes(marks[::-1]), 2).to_bytes((len(marks) + 7) // 8, "little")


def rows_of(bits: bytes, count: int) -> list[int]:
    """The rows below `count` whose bit is set, ascending. Raises CorruptRecord when the bitmap is for another count."""
    if len(bits) != (count + 7) // 8:
        raise CorruptRecord(f"a bitmap of {len(bits)} bytes is not one for {count} rows")
    digits = f"{int.from_bytes(bits, 'little'):0{count}b}"[::-1]
    if len(digits) > max(count, 1):
        raise CorruptRecord(f"a bitmap marks rows beyond the {count} there are")
    return [row for row, digit in enumerate(digits) if digit == "1"]
