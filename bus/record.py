"""Records: what a partition's log is made of, sealed under checksums. Pure.

    record = "SBB1" | u32 header bytes | u32 body bytes | u32 crc of header | u32 crc of body | header | body

Integers are little-endian, the header is MessagePack. The header has its own checksum, so that a log can be walked
by headers alone.
"""

import struct
from zlib import crc32

import msgspec

from bus.errors import CorruptRecord
from bus.repeats import Repeated

MAGIC = b"SBB1"
EVENTS, EPOCH_START, GROUP, REPEATS = 0, 1, 2, 3
"""Kinds of record. Only EVENTS take event offsets. REPEATS is a batch without a new event: it stands for its producer's
sequence, and says where its events stand."""
_PREFIX = struct.Struct("<4sIIII")


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What stands beside a body in a record.

    `base_offset` is the offset of its first event (of the next event, in records that carry none), `count` its events,
    `appended` the leader's clock in ns, never back within a partition. `producer` and `sequence` make retries single.
    `signature` and `deps` are slots that nothing fills yet; `companion` is the change of a group's state that this
    append brings with it (a dead letter advances its group). `given` marks the events whose id their publisher gave,
    with a digest of each (`bus.given`); `repeats` names the rows that were left out of the batch: they stand elsewhere.
    """

    kind: int
    partition: int
    epoch: int
    base_offset: int
    count: int
    appended: int
    producer: bytes = b""
    sequence: int = 0
    principal: str = "anonymous"
    signature: bytes = b""
    deps: bytes = b""
    companion: bytes = b""
    given: bytes = b""
    repeats: list[Repeated] = []


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def seal(header: Header, body: bytes) -> bytes:
    """A record with its checksums."""
    head = _encode(header)
    return b"".join((_PREFIX.pack(MAGIC, len(head), len(body), crc32(head), crc32(body)), head, body))


def unseal(record: bytes | memoryview) -> tuple[Header, bytes]:
    """(header, body) of a record. Raises CorruptRecord unless every byte is as it was sealed."""
    head_length, body_length, head_crc, body_crc = _prefix(record)
    start = _PREFIX.size + head_length
    if len(record) != start + body_length:
        raise CorruptRecord(f"a record of {start + body_length} bytes came with {len(record)}")
    body = bytes(record[start:])
    if crc32(body) != body_crc:
        raise CorruptRecord("a record's body does not have its checksum")
    return _header(record[_PREFIX.size : start], head_crc), body


def body_is(record: bytes | memoryview, body: bytes) -> bool:
    """Whether a record has this body, as far as length and checksum tell. Raises CorruptRecord."""
    _, length, _, checksum = _prefix(record)
    return length == len(body) and checksum == crc32(body)


def header_of(record: bytes | memoryview) -> Header:
    """The header alone, checked; the body is not looked at. Raises CorruptRecord."""
    head_length, _, head_crc, _ = _prefix(record)
    return _header(record[_PREFIX.size : _PREFIX.size + head_length], head_crc)


def body_of(record: bytes | memoryview) -> memoryview:
    """The body as a view of the record, unchecked, for who has checked or wrote it. Raises CorruptRecord when cut."""
    head_length, body_length, _, _ = _prefix(record)
    body = memoryview(record)[_PREFIX.size + head_length :]
    if len(body) != body_length:
        raise CorruptRecord(f"a body of {body_length} bytes came with {len(body)}")
    return body


def _prefix(record: bytes | memoryview) -> tuple[int, int, int, int]:
    if len(record) < _PREFIX.size:
        raise CorruptRecord(f"a record of {len(record)} bytes is shorter than its prefix")
    magic, head_length, body_length, head_crc, body_crc = _PREFIX.unpack_from(record)
    if magic != MAGIC:
        raise CorruptRecord("a record does not begin as records do")
    return head_length, body_length, head_crc, body_crc


def _header(head: bytes | memoryview, crc: int) -> Header:
    if crc32(head) != crc:
        raise CorruptRecord("a record's header does not have its checksum")
    try:
        header: Header = _decode_header(head)
    except _BROKEN as error:
        raise CorruptRecord(f"a record's header cannot be read: {error}") from None
    return header
