"""Ids that publishers gave: an event is appended once, whoever publishes it again under whatever producer id. Pure.

A client that crashed and publishes the same events again is a new producer: its batches are new, its events are not.
So each partition remembers the (source, id) of the last `GIVEN_IDS_MAX` events whose id their publisher gave (a leader
perhaps of some more), none appended longer than `GIVEN_ID_HOURS_MAX` before the newest; only a digest of 16 bytes of
each, and where it stands. Ids that the client made are new by themselves: they are neither checked nor remembered.

A leader asks first whether any of a batch's ids may be known: sets of the digests' first 8 bytes, in generations, of
which the oldest goes as a whole, so that letting go of an id costs nothing. Only if one may be, which is rare, is the
window looked through: then an index of it is made, and kept until something is appended.

The digests travel in the record's header (`Header.given`: a bitmap of the record's rows, then a digest for each bit),
so that the window is a fold over the headers of committed records, the same on every replica, as producers' windows
are. A leader lays what it has appended and not yet committed over it. Followers keep columns only; a leader makes its
sets when the first batch with given ids comes.

A digest is blake2b over `source`, a line's end (neither can hold one) and `id`. Whoever could find two ids with one
digest would lose nothing but an event of its own.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct, iter_unpack

import msgspec

from bus import limits
from bus.batch import Columns, encode
from bus.bitmap import bitmap, rows_of
from bus.errors import CorruptRecord, ProtocolError
from bus.record import Header
from bus.repeats import Repeated, runs

DIGEST_BYTES = 16
_GENERATIONS = 4
_AGE_NS = limits.GIVEN_ID_HOURS_MAX * 3_600 * 1_000_000_000


class Fresh(msgspec.Struct, frozen=True):
    """What of a batch is to be appended: `count` events in `body`, their `Header.given`, and what was repeated."""

    body: bytes
    count: int
    given: bytes = b""
    repeats: Sequence[Repeated] = ()


class _Marked(msgspec.Struct, frozen=True):
    """The given ids of one record."""

    index: int
    appended: int
    offsets: Sequence[int]
    digests: bytes


class Page(msgspec.Struct, array_like=True, frozen=True):
    """Rows of a window, from row number `first` on: a column each of digests, and of offsets and instants as int64."""

    first: int
    digests: bytes
    offsets: bytes
    appended: bytes

    def cut(self, first: int, stop: int) -> "Page":
        """Some of its rows. Raises CorruptRecord when it does not have them."""
        at, end = first - self.first, stop - self.first
        cut = Page(
            first,
            self.digests[at * DIGEST_BYTES : end * DIGEST_BYTES],
            self.offsets[at * 8 : end * 8],
            self.appended[at * 8 : end * 8],
        )
        sizes = len(cut.digests), len(cut.offsets), len(cut.appended)
        if not 0 <= at <= end or sizes != ((end - at) * DIGEST_BYTES, (end - at) * 8, (end - at) * 8):
            raise CorruptRecord(f"a page of given ids from row {self.first} on has no rows {first} to {stop}")
        return cut


class _Snapshot(msgspec.Struct, array_like=True, frozen=True):
    applied: int
    rows: Page


class GivenIds:
    """The window of one partition on one broker."""

    def __init__(self, ids_max: int = limits.GIVEN_IDS_MAX, age_ns: int = _AGE_NS) -> None:
        self.applied = 0
        """Records below this index are in the window."""
        self.first = 0
        """Rows that the window has let go of: its own have the numbers from here on."""
        self._ids_max = ids_max
        self._age_ns = age_ns
        # Columns, a row for each id, in order of the log. Both numbers only grow.
        self._digests = bytearray()
        self._offsets = array("q")
        self._appended = array("q")
        self._overlay: deque[_Marked] = deque()
        self._known: _Known | None = None
        self._index: dict[bytes, int] | None = None

    def sift(self, given: bytes, columns: Columns, body: bytes) -> Fresh:
        """What is new in a batch whose ids in bitmap `given` are its publisher's. Raises ProtocolError.

        What is repeated stands in the log already, or further ahead in the batch.
        """
        rows = _rows(given, columns.count)
        digests = digests_of(columns, rows)
        marks = b"".join(digests)
        if len(set(digests)) == len(digests) and self._lookup().lacks(marks):
            return Fresh(body, columns.count, given + marks)
        known = self._indexed()
        digest_of = dict(zip(rows, digests, strict=True))
        kept: list[int] = []
        marked: dict[bytes, int] = {}
        repeated: list[tuple[int, int, int]] = []
        for row in range(columns.count):
            digest = digest_of.get(row)
            if digest is not None:
                offset = known.get(digest, -1)
                if offset >= 0:
                    repeated.append((row, offset, self._appended_at(offset)))
                    continue
                if digest in marked:
                    repeated.append((row, marked[digest], 0))
                    continue
                marked[digest] = len(kept)
            kept.append(row)
        if not repeated:
            return Fresh(body, columns.count, given + marks)
        repeats = runs(repeated)
        if not kept:
            return Fresh(b"", 0, b"", repeats)
        marks = bitmap(marked.values(), len(kept)) + b"".join(marked) if marked else b""
        return Fresh(encode(columns.events(kept)), len(kept), marks, repeats)

    def append(self, index: int, header: Header) -> None:
        """The leader appended it; it is not committed yet, or it is applied already: a leader's Begin may reach beyond
        the high watermark that a restart knows."""
        if not header.given or index < self.applied:
            return
        marked = _marked(index, header)
        self._overlay.append(marked)
        self._index = None
        if self._known is not None:
            self._known.add(marked.digests)

    def commit(self, index: int, header: Header) -> None:
        """Apply a committed record. To be called in order; one that is applied already is passed over."""
        if index < self.applied:
            return
        self.applied = index + 1
        if not header.given:
            return
        self._index = None
        if self._overlay and self._overlay[0].index <= index:
            marked = self._overlay.popleft()
        else:
            marked = _marked(index, header)
        self._digests += marked.digests
        self._offsets.extend(marked.offsets)
        self._appended.extend(array("q", [marked.appended]) * len(marked.offsets))
        old = bisect_left(self._appended, marked.appended - self._age_ns)
        self._forget(max(old, len(self._offsets) - self._ids_max))

    def relay(self, records: Iterable[tuple[int, Header]]) -> None:
        """Start the overlay anew: what lies above the high watermark if leadership was won, nothing if it was lost."""
        self._known = self._index = None
        self._overlay.clear()
        for index, header in records:
            self.append(index, header)

    def snapshot(self) -> bytes:
        """The committed window and how far it is applied; equal on all replicas that applied as much."""
        rows = Page(0, bytes(self._digests), self._offsets.tobytes(), self._appended.tobytes())
        return msgspec.msgpack.encode(_Snapshot(self.applied, rows))

    def restore(self, snapshot: bytes) -> None:
        """Take over a `snapshot`; records from `applied` on are to be committed again.

        Raises `CorruptRecord` if it is none, and then changes nothing.
        """
        try:
            restored = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptRecord(f"not a snapshot of given ids: {error}; rebuild it from the log") from error
        rows = restored.rows
        self.take(restored.applied, rows.cut(rows.first, rows.first + -(-len(rows.digests) // DIGEST_BYTES)))

    def page(self, first: int, stop: int) -> Page:
        """The rows with these numbers, which the window has."""
        at, end = first - self.first, stop - self.first
        digests = bytes(self._digests[at * DIGEST_BYTES : end * DIGEST_BYTES])
        return Page(first, digests, self._offsets[at:end].tobytes(), self._appended[at:end].tobytes())

    def take(self, applied: int, rows: Page) -> None:
        """Hold these rows and no others, with records below `applied` in them.

        Raises `CorruptRecord` if they are not rows of a window, and then changes nothing.
        """
        offsets, appended = array("q", rows.offsets), array("q", rows.appended)
        if len(offsets) > self._ids_max:
            raise CorruptRecord(f"a window of {len(offsets)} given ids; {self._ids_max} are legal")
        if not (_grows(offsets) and _grows(appended)):
            raise CorruptRecord("a window of given ids is not in the order of the log; rebuild it from the log")
        self.applied, self.first = applied, rows.first
        self._digests, self._offsets, self._appended = bytearray(rows.digests), offsets, appended
        self._overlay.clear()
        self._known = self._index = None

    def __len__(self) -> int:
        """Committed ids remembered."""
        return len(self._offsets)

    def _lookup(self) -> "_Known":
        if self._known is None:
            self._known = _Known(self._ids_max)
            self._known.add(self._digests)
            for marked in self._overlay:
                self._known.add(marked.digests)
        return self._known

    def _indexed(self) -> dict[bytes, int]:
        """Digest -> offset where it stood last, of the window and what is laid over it."""
        if self._index is None:
            self._index = dict(zip(_split(self._digests), self._offsets, strict=True))
            for marked in self._overlay:
                self._index.update(zip(_split(marked.digests), marked.offsets, strict=True))
        return self._index

    def _forget(self, count: int) -> None:
        """Let the oldest ids go."""
        if count > 0:
            self.first += count
            del self._digests[: count * DIGEST_BYTES]
            del self._offsets[:count]
            del self._appended[:count]

    def _appended_at(self, offset: int) -> int:
        """When a known event was appended."""
        if self._offsets and offset <= self._offsets[-1]:
            return self._appended[bisect_left(self._offsets, offset)]
        return next(marked.appended for marked in self._overlay if offset <= marked.offsets[-1])


class _Known:
    """What the first 8 bytes of the last `ids_max` digests are, and of at most a quarter as many before them."""

    def __init__(self, ids_max: int) -> None:
        self._size = max(1, -(-ids_max // _GENERATIONS))
        self._generations: list[set[int]] = [set()]

    def add(self, digests: bytes | bytearray) -> None:
        heads = _heads(digests)
        while heads:
            youngest = self._generations[-1]
            room = self._size - len(youngest)
            youngest.update(heads[:room])
            heads = heads[room:]
            if len(youngest) >= self._size:
                self._generations = [*self._generations[-_GENERATIONS:], set()]

    def lacks(self, digests: bytes) -> bool:
        """Whether none of them is known for sure; one that is not may seem to be, once in 10^14."""
        heads = _heads(digests)
        return all(generation.isdisjoint(heads) for generation in self._generations)


# ------------------------------------------------------------------------------------------------- codec


def digests_of(columns: Columns, rows: Iterable[int]) -> list[bytes]:
    """The digest of (source, id) of some rows."""
    begun = [blake2b(source.encode() + b"\n", digest_size=DIGEST_BYTES) for source in columns.sources]
    ids, places = "\n".join(columns.ids).encode().split(b"\n"), columns.source_index
    digests = []
    for row in rows:
        digest = begun[places[row]].copy()
        digest.update(ids[row])
        digests.append(digest.digest())
    return digests


def check_given(header: Header) -> None:
    """Raise CorruptRecord unless a header's digests are as many as it marks rows."""
    if header.given:
        _unmarked(header)


def _marked(index: int, header: Header) -> _Marked:
    rows, digests = _unmarked(header)
    base = header.base_offset
    if len(rows) == header.count:
        return _Marked(index, header.appended, range(base, base + header.count), digests)
    return _Marked(index, header.appended, [base + row for row in rows], digests)


def _unmarked(header: Header) -> tuple[Sequence[int], bytes]:
    bits = (header.count + 7) // 8
    try:
        rows = _rows(header.given[:bits], header.count)
    except ProtocolError as error:
        raise CorruptRecord(f"a record's header marks given ids, but {error}") from None
    digests = header.given[bits:]
    if len(digests) != DIGEST_BYTES * len(rows) or not rows:
        raise CorruptRecord(f"a record's header marks {len(rows)} given ids and has {len(digests)} bytes of digests")
    return rows, digests


def _rows(given: bytes, count: int) -> Sequence[int]:
    if given == _whole(count):
        return range(count)
    try:
        return rows_of(given, count)
    except CorruptRecord as error:
        raise ProtocolError(f"a bitmap of given ids does not fit its batch: {error}") from None


@lru_cache(maxsize=limits.BATCH_EVENTS_MAX)
def _whole(count: int) -> bytes:
    return bitmap(range(count), count)


def _heads(digests: bytes | bytearray) -> "array[int]":
    return array("Q", bytes(digests))[:: DIGEST_BYTES // 8]


def _split(digests: bytes | bytearray) -> Iterable[bytes]:
    count = len(digests) // DIGEST_BYTES
    if count <= limits.BATCH_EVENTS_MAX:
        return _layout(count).unpack(digests)
    return (digest for (digest,) in iter_unpack(f"{DIGEST_BYTES}s", digests))


@lru_cache(maxsize=limits.BATCH_EVENTS_MAX + 1)
def _layout(count: int) -> Struct:
    return Struct(f"{DIGEST_BYTES}s" * count)


def _grows(numbers: "array[int]") -> bool:
    return numbers.tolist() == sorted(numbers)
