"""Rows of a batch as bits: which of its events are meant. Pure. Little-endian: row 0 is the lowest bit of byte 0.

Beside bitmaps in bytes, as they travel, there are bits in one int, as machines count with them.
"""

from collections.abc import Iterable, Iterator

from bus.errors import CorruptRecord


def bitmap(rows: Iterable[int], count: int) -> bytes:
    """Rows below `count` as bits, the first row the lowest bit of the first byte."""
    return packed(bits_of(rows, count), count)


def bits_of(rows: Iterable[int], count: int) -> int:
    """Rows below `count` as the bits of an int."""
    mask = bytearray(b"0") * count
    for row in rows:
        mask[row] = 49
    mask.reverse()
    return int(bytes(mask) or b"0", 2)


def packed(bits: int, count: int) -> bytes:
    """The bits of an int as a bitmap for `count` rows."""
    return bits.to_bytes((count + 7) // 8, "little")


def marked(marks: bytes | bytearray) -> bytes:
    """A text of "1" for rows that are meant and "0" for others, as bits; b"" when no row is."""
    if b"1" not in marks:
        return b""
    return int(bytes(marks[::-1]), 2).to_bytes((len(marks) + 7) // 8, "little")


def rows_of(bits: bytes, count: int) -> list[int]:
    """The rows below `count` whose bit is set, ascending. Raises CorruptRecord when the bitmap is for another count."""
    if len(bits) != (count + 7) // 8:
        raise CorruptRecord(f"a bitmap of {len(bits)} bytes is not one for {count} rows")
    number = int.from_bytes(bits, "little")
    if number.bit_length() > count:
        raise CorruptRecord(f"a bitmap marks rows beyond the {count} there are")
    return places(number)


def places(bits: int) -> list[int]:
    """The places of the ones of an int, ascending."""
    length = bits.bit_length()
    if bits.bit_count() == length:
        return list(range(length))
    return [place for place, digit in enumerate(f"{bits:b}"[::-1]) if digit == "1"]


def spans(bits: int) -> Iterator[tuple[int, int]]:
    """(place of the first, length) of each run of ones, ascending."""
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        bits >>= ones
        at += zeros
        yield at, ones
        at += ones


def lowest(bits: int, most: int) -> int:
    """The lowest `most` ones of an int."""
    if bits.bit_count() <= most:
        return bits
    low, high = most, bits.bit_length()
    while low < high:
        middle = (low + high) // 2
        if (bits & ((1 << middle) - 1)).bit_count() < most:
            low = middle + 1
        else:
            high = middle
    return bits & ((1 << low) - 1)
