"""Frames of the write-ahead log: one turn's writes, as they stand in a file. Pure.

    frame   = "SBW1" | 16 bytes salt | u64 number | u32 payload bytes | u32 crc of payload | u32 crc of all before
              | payload | zeros up to the next page
    payload = u32 bytes of the table | table, MessagePack | the records, one behind the other

Integers are little-endian. Frames begin at pages, so that writing one never touches what an earlier one made durable.
Numbers rise by one from frame to frame, through all files. The salt is the store's own and never leaves its disk: event
data in a torn or overwritten frame cannot pass for a frame.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import msgspec

from bus.errors import CorruptRecord
from bus.store.medium import Writes

PAGE_BYTES = 4096
SALT_BYTES = 16
_HEAD = struct.Struct("<4s16sQII")
_CRC = struct.Struct("<I")
_MAGIC = b"SBW1"
_START = _HEAD.size + _CRC.size


class _Table(msgspec.Struct, array_like=True, frozen=True):
    cuts: dict[int, int]
    trims: dict[int, int]
    values: dict[str, bytes]
    records: list[tuple[int, int, int]]  # partition, index, bytes


class Frame(NamedTuple):
    """A whole frame at byte `start` of its file, ending at `stop`."""

    number: int
    start: int
    stop: int
    writes: Writes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Table).decode


def encode(writes: Writes, number: int, salt: bytes) -> tuple[list[bytes], int]:
    """The pieces of a frame in order, and their bytes together, a multiple of PAGE_BYTES."""
    records = [record for _, _, record in writes.records]
    places = [(partition, index, len(record)) for partition, index, record in writes.records]
    table = _encode(_Table(writes.cuts, writes.trims, writes.values, places))
    opening = _CRC.pack(len(table)) + table
    crc, size = crc32(opening), len(opening)
    for record in records:
        crc = crc32(record, crc)
        size += len(record)
    head = _HEAD.pack(_MAGIC, salt, number, size, crc)
    padding = -(_START + size) % PAGE_BYTES
    pieces = [head + _CRC.pack(crc32(head)) + opening, *records, bytes(padding)]
    return pieces, _START + size + padding


def walk(file: bytes, salt: bytes) -> Iterator[Frame]:
    """The whole frames from the beginning of a file, as long as their numbers rise by one."""
    start, number = 0, 0
    while (head := _head(file, start, salt)) is not None and (not number or head[0] == number + 1):
        number, size, crc = head
        payload = memoryview(file)[start + _START : start + _START + size]
        if len(payload) != size or crc32(payload) != crc:
            return
        stop = start + _START + size
        stop += -stop % PAGE_BYTES
        yield Frame(number, start, stop, _writes(payload))
        start = stop


def greatest(file: bytes, salt: bytes) -> int:
    """The greatest number in any frame's head at any page, whole frame or not; 0 when there is none."""
    heads = (_head(file, start, salt) for start in range(0, len(file), PAGE_BYTES))
    return max((head[0] for head in heads if head is not None), default=0)


def _head(file: bytes, start: int, salt: bytes) -> tuple[int, int, int] | None:
    """(number, payload bytes, crc of payload) of the frame that begins here."""
    if len(file) - start < _START:
        return None
    magic, whose, number, size, crc = _HEAD.unpack_from(file, start)
    if magic != _MAGIC or whose != salt:
        return None
    (sealed,) = _CRC.unpack_from(file, start + _HEAD.size)
    return (number, size, crc) if sealed == crc32(memoryview(file)[start : start + _HEAD.size]) else None


def _writes(payload: memoryview) -> Writes:
    try:
        (length,) = _CRC.unpack_from(payload)
        table = _decode(payload[_CRC.size : _CRC.size + length])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptRecord(f"a frame of the write-ahead log has its checksum and makes no sense: {error}") from error
    writes = Writes(table.cuts, table.trims, [], table.values)
    at = _CRC.size + length
    for partition, index, size in table.records:
        writes.records.append((partition, index, bytes(payload[at : at + size])))
        at += size
    return writes
