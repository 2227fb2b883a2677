"""The medium on disk: a commit is one frame in the write-ahead log, with one fsync; the LMDB tree takes what has
gathered there in the background, many turns in one transaction.

A transaction of the tree per turn writes a page for each partition's place in it, and pages of branches and free lists
beside them: 0.5 ms of sync and 0.25 ms of processor for 12 KiB, and more once retention frees pages. A frame in a file
that keeps its size takes 0.15 ms and 0.07 ms, and goes on doing so; `tests/bench/steady.py` shows the latter.

| turns stand in | until |
|---|---|
| one file of the log, and the `fresh` layer | FLUSH_BYTES or FLUSH_RECORDS have gathered, and the tree is idle |
| the other file, and the `settling` layer | the tree has committed them; then the file is written over |
| the tree | they are cut or trimmed |

Reading looks at the layers, then at the tree. Opening puts what the log holds beyond the tree into it. When the tree
cannot take what has gathered, as its disk or its map is full, commits are refused until it can: what was committed
stays readable, and stays in the log. With little room left each commit goes to the tree at once, so that the one that
does not fit is the one that is refused.
"""

import logging
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bus import limits
from bus.errors import CorruptRecord, FleetError, StorageFull
from bus.store import frames
from bus.store.medium import Writes, bounded, missing
from bus.store.pending import Pending, find, floor
from bus.store.tree import Tree, full
from bus.store.wal import Wal

log = logging.getLogger("bus.broker")
_APPLIED_KEY = "wal/applied"
_SALT_KEY = "wal/salt"
_GROWTH = 2
"""What the tree may need for a byte of records, its pages' waste and copies included."""


class DiskMedium:
    """A store in the folder `path`, at most `bytes_max` bytes of tree; made when it is not there."""

    def __init__(self, path: Path, bytes_max: int = limits.STORE_BYTES_MAX) -> None:
        self.path = path
        self._tree = Tree(path, bytes_max)
        self._salt = self._tree.value(_SALT_KEY) or self._salted()
        if len(self._salt) != frames.SALT_BYTES:
            raise CorruptRecord(f"the store {path} has a salt of {len(self._salt)} bytes; start with an empty store")
        self._fresh = Pending()
        self._settling: Pending | None = None
        self._flush: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "tree")
        self._room = 0
        self._settled_upto = 0
        try:
            self._wal = Wal(path, self._salt, max(limits.WAL_BYTES_MIN, min(limits.WAL_BYTES_MAX, bytes_max // 16)))
            self._recover()
        except OSError as error:
            raise full(path, error) or FleetError(f"the store {path} cannot be opened: {error}") from error

    def commit(self, writes: Writes) -> None:
        """See `Medium`. A full map, a full disk and an IO error are StorageFull: nothing of the turn was kept."""
        if self._settling is not None and (self._flush is None or self._flush.done()):
            self._finish()
        pieces, size = frames.encode(writes, self._wal.number + 1, self._salt)
        if size > self._wal.room or self._short(size):
            self._make_room(size)
        if size > self._wal.room or self._short(size):
            self._at_once(writes)
            return
        try:
            self._wal.append(pieces, size)
        except OSError as error:
            raise full(self.path, error) or FleetError(f"the store {self.path} failed: {error}") from error
        self._fresh.add(writes)
        gathered = self._fresh.bytes >= limits.FLUSH_BYTES or self._fresh.count >= limits.FLUSH_RECORDS
        if gathered and self._settling is None:
            self._start()

    def record(self, partition: int, index: int) -> bytes:
        """See `Medium`."""
        found = self._found(partition, index)
        return self._tree.record(partition, index) if found is None else found

    def prefix(self, partition: int, index: int, size: int) -> bytes:
        """See `Medium`."""
        found = self._found(partition, index)
        return self._tree.prefix(partition, index, size) if found is None else found[:size]

    def span(self, partition: int, first: int, upto: int, bytes_max: int) -> list[bytes]:
        """See `Medium`."""
        above = min(max(first, floor(self._layers, partition)), upto)
        taken: list[bytes] = []
        if first < above:
            self._found(partition, first)
            taken = self._tree.span(partition, first, above, bytes_max)
            if len(taken) < above - first:
                return taken
        rest = bounded(
            (self.record(partition, index) for index in range(above, upto)), bytes_max - sum(map(len, taken))
        )
        fits = not taken or not rest or sum(map(len, taken)) + len(rest[0]) <= bytes_max
        return taken + rest if fits else taken

    def sizes(self, partition: int, first: int, upto: int) -> list[int]:
        """See `Medium`."""
        above = min(max(first, floor(self._layers, partition)), upto)
        below = self._tree.sizes(partition, first, above) if first < above else []
        return below + [len(self.record(partition, index)) for index in range(above, upto)]

    def end(self, partition: int) -> int:
        """See `Medium`."""
        end = self._tree.end(partition)
        for layer in reversed(self._layers):
            end = layer.end(partition, end)
        return end

    def value(self, key: str) -> bytes | None:
        """See `Medium`."""
        for layer in self._layers:
            if key in layer.values:
                return layer.values[key]
        return self._tree.value(key)

    def bytes_used(self) -> int:
        """See `Medium`."""
        return self._tree.bytes_used() + self._wal.bytes_used()

    def bytes_free(self) -> int:
        """See `Medium`."""
        return max(0, self._tree.bytes_free() - self._held())

    def close(self) -> None:
        """See `Medium`. What the tree has not taken by then stays in the log."""
        try:
            self._drain()
        except StorageFull as error:
            log.warning("%s", error)
        self._thread.shutdown()
        self._wal.close()
        self._tree.close()

    # ------------------------------------------------------------------------------------------ reading

    @property
    def _layers(self) -> tuple[Pending, ...]:
        return (self._fresh,) if self._settling is None else (self._fresh, self._settling)

    def _found(self, partition: int, index: int) -> bytes | None:
        """A record in the layers; None: look into the tree. Raises CorruptRecord when they know that it is gone."""
        found = find(self._layers, partition, index)
        gone = any(index < layer.trims.get(partition, 0) for layer in self._layers)
        if found is None and (gone or index >= floor(self._layers, partition)):
            raise missing(partition, index)
        return found

    # --------------------------------------------------------------------------------- from log to tree

    def _held(self) -> int:
        return self._fresh.bytes + (self._settling.bytes if self._settling is not None else 0)

    def _short(self, size: int) -> bool:
        """Whether the tree may not have the room for what has gathered, and so much more."""
        return (self._held() + size) * _GROWTH > self._room

    def _start(self) -> None:
        """Let the tree take the fresh layer, and write to the other file meanwhile."""
        self._settling, self._fresh = self._fresh, Pending()
        self._settled_upto = self._wal.number
        self._flush = self._thread.submit(self._settle, self._settling, self._settled_upto)
        self._wal.turn()

    def _finish(self) -> None:
        """Wait until the tree has taken the settling layer, trying again what failed before."""
        if self._settling is None:
            return
        flush, self._flush = self._flush, None
        if flush is None:
            self._settle(self._settling, self._settled_upto)
        else:
            flush.result()
        self._settling = None
        self._room = self._tree.bytes_free()

    def _settle(self, layer: Pending, upto: int) -> None:
        self._tree.commit(_noted(layer.writes(), upto))

    def _make_room(self, size: int) -> None:
        """An empty file to write to; if the tree may lack room for `size` more, only once it has all the rest."""
        self._finish()
        if self._fresh.changed:
            self._start()
            if self._short(size):
                self._finish()

    def _drain(self) -> None:
        """Let the tree have everything."""
        self._finish()
        if self._fresh.changed:
            self._start()
            self._finish()

    def _at_once(self, writes: Writes) -> None:
        """A turn that is too large for a file, or may be too large for the tree."""
        self._drain()
        self._tree.commit(_noted(writes, self._wal.number + 1))
        self._wal.skip()
        self._room = self._tree.bytes_free()

    # ------------------------------------------------------------------------------------------ opening

    def _salted(self) -> bytes:
        salt = secrets.token_bytes(frames.SALT_BYTES)
        self._tree.commit(Writes(values={_SALT_KEY: salt}))
        return salt

    def _recover(self) -> None:
        turns = self._wal.recover(int.from_bytes(self._tree.value(_APPLIED_KEY) or b"", "little"))
        self._room = self._tree.bytes_free()
        if not turns:
            return
        self._settling = Pending()
        for turn in turns:
            self._settling.add(turn)
        self._settled_upto = self._wal.number
        try:
            self._finish()
        except StorageFull as error:
            log.warning("%s", error)


def _noted(writes: Writes, upto: int) -> Writes:
    """The same, and that the tree then holds all frames up to `upto`."""
    values = {**writes.values, _APPLIED_KEY: upto.to_bytes(8, "little")}
    return Writes(writes.cuts, writes.trims, writes.records, values)
