"""The byte form of the folds' state: a header, blocks of keys and values, a checksum. Pure.

    MAGIC  length header  (length block)*  0  BLAKE2b-128 of all before

A *whole* snapshot holds every key, the others those that changed since the one before, which they name by its checksum
(`base`); so a chain is a whole one and what was built on it, and no link of it can be taken for another. Lengths are
4 bytes, big-endian. A block is of one table: keys and values in pairs, and keys that are gone. Values are read as the
types that their fold names (`Fold.tables`), and the digest of what was read must be the one that the header tells.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from controlplane.errors import FactUnreadable, SnapshotUnusable
from controlplane.facts import FoldQuarantined, decode_fact, encode_fact
from controlplane.fold import Fold, FoldRaised, Heart, Loaded, changed
from controlplane.limits import SNAPSHOT_BLOCK_KEYS
from controlplane.state import ABSENT, Key

MAGIC = b"signalbox state 1\n"
CHECKSUM_BYTES = 16
HEAD_BYTES_MAX = 1024 * 1024
_LENGTH = struct.Struct(">I")

Tables = dict[str, dict[str, dict[Key, Any]]]
"""fold -> table -> key -> value, `ABSENT` for a key that is gone."""


class Header(msgspec.Struct, frozen=True):
    """What a snapshot is of. `digest` is of the states, `journaled` what the journal says of the same `step`.

    `depth` 0 is whole; else it is the number of links to the whole one, and `base` the checksum of the one before.
    `stamp`: the heart's.
    """

    position: int
    step: int
    recorded: int
    digest: bytes
    journaled: bytes
    versions: dict[str, int]
    quarantined: list[bytes]
    depth: int = 0
    base: bytes = b""
    stamp: str = ""


class _Block(msgspec.Struct, array_like=True):
    fold: str
    table: str
    keys: list[Key]
    values: msgspec.Raw
    gone: list[Key]


_encode = msgspec.msgpack.Encoder().encode
_header = msgspec.msgpack.Decoder(Header)
_block = msgspec.msgpack.Decoder(_Block)


def header_of(heart: Heart, journaled: bytes, depth: int, base: bytes) -> Header:
    """The header of a snapshot of this heart as it is now."""
    return Header(
        position=heart.position,
        step=heart.steps,
        recorded=heart.recorded,
        digest=heart.digest(),
        journaled=journaled,
        versions={fold.name: fold.version for fold in heart.folds.values()},
        quarantined=[encode_fact(fact) for fact in heart.quarantined.values()],
        depth=depth,
        base=base,
        stamp=heart.stamp,
    )


def encode(header: Header, tables: Mapping[str, Mapping[str, Mapping[Key, Any]]]) -> Iterator[bytes]:
    """The file in pieces, each made when it is asked for; the last one is the checksum."""
    check = blake2b(digest_size=CHECKSUM_BYTES)
    for piece in _pieces(header, tables):
        check.update(piece)
        yield piece
    yield check.digest()


def _pieces(header: Header, tables: Mapping[str, Mapping[str, Mapping[Key, Any]]]) -> Iterator[bytes]:
    head = _encode(header)
    yield MAGIC + _LENGTH.pack(len(head)) + head
    for fold, named in tables.items():
        for table, rows in named.items():
            left = iter(rows.items())
            while some := list(islice(left, SNAPSHOT_BLOCK_KEYS)):
                there = [(key, value) for key, value in some if value is not ABSENT]
                values = msgspec.Raw(_encode([value for _, value in there]))
                gone = [key for key, value in some if value is ABSENT]
                block = _encode(_Block(fold, table, [key for key, _ in there], values, gone))
                yield _LENGTH.pack(len(block)) + block
    yield _LENGTH.pack(0)


def read_header(data: bytes) -> Header:
    """The header at the beginning of a file, of which the rest may be missing. Raises SnapshotUnusable."""
    start = len(MAGIC) + _LENGTH.size
    if not data.startswith(MAGIC) or len(data) < start:
        raise SnapshotUnusable("it is no snapshot of this version")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    try:
        return _header.decode(data[start : start + length])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotUnusable(f"its header cannot be read: {error}") from error


def checksum(data: bytes) -> bytes:
    """The checksum at the end of a whole file, after it was compared. Raises SnapshotUnusable."""
    if len(data) <= CHECKSUM_BYTES:
        raise SnapshotUnusable("it is cut short")
    told = data[-CHECKSUM_BYTES:]
    if blake2b(memoryview(data)[:-CHECKSUM_BYTES], digest_size=CHECKSUM_BYTES).digest() != told:
        raise SnapshotUnusable("its checksum is wrong: it is damaged, or cut short")
    return told


def restored(folds: Sequence[Fold], chain: Iterable[bytes], versions: Mapping[str, int] | None = None) -> Heart:
    """A new heart with the state that a chain of files holds, the whole one first. Raises SnapshotUnusable.

    The files must be of these `versions` of the folds, by default the present ones; where they are others, the folds
    that have `changed` are passed over, and the heart lacks them.
    """
    present = {fold.name: fold.version for fold in folds}
    versions = present if versions is None else versions
    gone = changed(folds, versions)
    tables: Tables = {fold.name: {} for fold in folds if fold.name not in gone}
    decoders = {
        (fold.name, table): msgspec.msgpack.Decoder(list.__class_getitem__(kind))
        for fold in folds
        for table, kind in fold.tables.items()
        if fold.name in tables
    }
    header: Header | None = None
    base = b""
    for depth, data in enumerate(chain):
        told = checksum(data)
        header = read_header(data)
        if header.depth != depth or header.base != base:
            raise SnapshotUnusable("it was built on another snapshot than the one that is there")
        for block in _blocks(data):
            if versions == present or block.fold in tables:
                _take(tables, decoders, block)
        base = told
    heart = Heart(folds)
    if header is None:
        return heart
    if header.versions != versions:
        raise SnapshotUnusable("it is of other versions of the folds")
    still = [fact for fact in _quarantined(header) if fact.fold in tables]
    try:
        heart.load(Loaded(header.position, header.step, header.recorded, still, tables, header.stamp))
    except FoldRaised as error:
        raise SnapshotUnusable(f"it holds what no fold can take: {error}") from error
    if versions == present and heart.digest() != header.digest:
        raise SnapshotUnusable("it does not give the state that it was made of")
    return heart


class Based(NamedTuple):
    """A heart made of one whole file, whatever versions it is of. `empty`: folds that have nothing of it."""

    heart: Heart
    header: Header
    empty: list[str]


def based(folds: Sequence[Fold], data: bytes) -> Based:
    """The state that a whole file holds, for folds that may be others. Raises SnapshotUnusable.

    A fold that has changed goes on with what its elder version left, where that still reads as what it keeps; else, and
    where it is new, it has nothing. A vital one that cannot read what its elder left is refused.
    """
    checksum(data)
    header = read_header(data)
    if header.depth:
        raise SnapshotUnusable("it is not whole")
    blocks = list(_blocks(data))
    present = {fold.name: fold.version for fold in folds}
    empty = [name for name in present if name not in header.versions]
    while True:
        tables: Tables = {name: {} for name in present}
        try:
            for fold in folds:
                _take_fold(fold, tables, [] if fold.name in empty else blocks)
            heart = Heart(folds)
            still = [fact for fact in _quarantined(header) if present.get(fact.fold) == fact.version]
            heart.load(Loaded(header.position, header.step, header.recorded, still, tables, header.stamp))
        except FoldRaised as raised:
            name = raised.fact.fold
            if name in empty or header.versions[name] == present[name] or _is_vital(folds, name):
                raise SnapshotUnusable(f"fold {name} cannot take it: {raised}") from raised
            empty.append(name)
            continue
        if header.versions == present and heart.digest() != header.digest:
            raise SnapshotUnusable("it does not give the state that it was made of")
        return Based(heart, header, empty)


def _take_fold(fold: Fold, tables: Tables, blocks: Sequence[_Block]) -> None:
    decoders = {
        (fold.name, table): msgspec.msgpack.Decoder(list.__class_getitem__(kind)) for table, kind in fold.tables.items()
    }
    try:
        for block in blocks:
            if block.fold == fold.name:
                _take(tables, decoders, block)
    except SnapshotUnusable as error:
        raise FoldRaised(fold, str(error)) from error


def _is_vital(folds: Sequence[Fold], name: str) -> bool:
    return any(fold.vital for fold in folds if fold.name == name)


def _blocks(data: bytes) -> Iterator[_Block]:
    place = len(MAGIC)
    (length,) = _LENGTH.unpack_from(data, place)
    place += _LENGTH.size + length
    view, end = memoryview(data), len(data) - CHECKSUM_BYTES
    while place + _LENGTH.size <= end:
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if not length:
            return
        try:
            yield _block.decode(view[place : place + length])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SnapshotUnusable(f"a block of it cannot be read: {error}") from error
        place += length


def _take(tables: Tables, decoders: Mapping[tuple[str, str], Any], block: _Block) -> None:
    decoder = decoders.get((block.fold, block.table))
    if decoder is None:
        raise SnapshotUnusable(f"no fold says what the values of {block.fold}.{block.table} are")
    try:
        values = decoder.decode(block.values)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotUnusable(f"{block.fold}.{block.table} cannot be read: {error}") from error
    rows = tables[block.fold].setdefault(block.table, {})
    for key in block.gone:
        rows.pop(key, None)
    rows.update(zip(block.keys, values, strict=True))


def _quarantined(header: Header) -> list[FoldQuarantined]:
    try:
        facts = [decode_fact(data) for data in header.quarantined]
    except FactUnreadable as error:
        raise SnapshotUnusable(str(error)) from error
    return [fact for fact in facts if isinstance(fact, FoldQuarantined)]
