"""The LMDB tree: records under (partition, index), named values beside them; a commit is one write transaction.

A value read outside its transaction silently shows other data, and one idle reader keeps the file from reusing pages:
so every call opens its own transaction, copies what it returns, and closes it. The file keeps its greatest size, 1.2
windows once a window of retention is full (634 MiB of 512, 160 of 128). A map that writes through (`writemap`) took
more processor. Commits may come from another thread than reads do.
"""

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import lmdb

from bus import limits
from bus.errors import FleetError, StorageFull
from bus.store.medium import Writes, bounded, missing

_KEY = struct.Struct(">HQ")
_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})


class Tree:
    """An LMDB environment in the folder `path`, at most `bytes_max` bytes; made when it is not there."""

    def __init__(self, path: Path, bytes_max: int = limits.STORE_BYTES_MAX) -> None:
        self.path = path
        self.bytes_max = bytes_max
        try:
            path.mkdir(parents=True, exist_ok=True)
            # writemap would turn a full disk into SIGBUS; without it the commit fails and says so.
            self._env = lmdb.open(str(path), map_size=bytes_max, max_dbs=2, writemap=False, max_readers=8)
            self._records = self._env.open_db(b"records")
            self._values = self._env.open_db(b"values")
        except (lmdb.Error, OSError) as error:
            raise full(path, error) or FleetError(f"the store {path} cannot be opened: {error}") from error

    def commit(self, writes: Writes) -> None:
        """See `Medium`. A full map, a full disk and an IO error are StorageFull: nothing of the turn was kept."""
        try:
            with self._env.begin(write=True) as txn:
                self._write(txn, writes)
        except (lmdb.Error, OSError) as error:
            raise full(self.path, error) or FleetError(f"the store {self.path} failed: {error}") from error

    def record(self, partition: int, index: int) -> bytes:
        """See `Medium`."""
        with self._env.begin(db=self._records) as txn:
            found: bytes | None = txn.get(_KEY.pack(partition, index))
        if found is None:
            raise missing(partition, index)
        return found

    def prefix(self, partition: int, index: int, size: int) -> bytes:
        """See `Medium`."""
        with self._env.begin(db=self._records, buffers=True) as txn:
            view = txn.get(_KEY.pack(partition, index))
            if view is None:
                raise missing(partition, index)
            return bytes(view[:size])

    def span(self, partition: int, first: int, upto: int, bytes_max: int) -> list[bytes]:
        """See `Medium`."""
        with self._env.begin(db=self._records) as txn:
            return bounded(map(bytes, _stream(txn, partition, first, upto)), bytes_max)

    def sizes(self, partition: int, first: int, upto: int) -> list[int]:
        """See `Medium`. Looks at the tree alone, not at the records' pages."""
        with self._env.begin(db=self._records, buffers=True) as txn:
            return [len(value) for value in _stream(txn, partition, first, upto)]

    def end(self, partition: int) -> int:
        """See `Medium`."""
        with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
            found = cursor.set_range(_KEY.pack(partition + 1, 0))
            if not (cursor.prev() if found else cursor.last()):
                return 0
            owner, index = _KEY.unpack(cursor.key())
        return int(index) + 1 if owner == partition else 0

    def value(self, key: str) -> bytes | None:
        """See `Medium`."""
        with self._env.begin(db=self._values) as txn:
            found: bytes | None = txn.get(key.encode())
        return found

    def bytes_used(self) -> int:
        """See `Medium`."""
        return int(os.stat(self.path / "data.mdb").st_blocks) * 512

    def bytes_free(self) -> int:
        """See `Medium`: what is left of the map or the disk, whichever is less; pages freed inside count."""
        page = int(self._env.stat()["psize"])
        reached = page * int(self._env.info()["last_pgno"] + 1)
        with self._env.begin() as txn:
            trees = (self._env.stat(), txn.stat(self._records), txn.stat(self._values))
        held = page * sum(tree["branch_pages"] + tree["leaf_pages"] + tree["overflow_pages"] for tree in trees)
        disk = os.statvfs(self.path)
        return max(0, min(self.bytes_max - held, disk.f_bavail * disk.f_frsize + max(0, reached - held)))

    def close(self) -> None:
        """See `Medium`."""
        self._env.close()

    def _write(self, txn: "lmdb.Transaction", writes: Writes) -> None:
        for partition, end in writes.cuts.items():
            with txn.cursor(db=self._records) as cursor:
                found = cursor.set_range(_KEY.pack(partition, end))
                while found and _partition_of(cursor.key()) == partition:
                    found = cursor.delete()  # moves on to the next key, which is b"" behind the last one
        for partition, first in writes.trims.items():
            end_key = _KEY.pack(partition, first)
            with txn.cursor(db=self._records) as cursor:
                found = cursor.set_range(_KEY.pack(partition, 0))
                while found and b"" < bytes(cursor.key()) < end_key:
                    found = cursor.delete()
        if writes.records:
            pack = _KEY.pack
            with txn.cursor(db=self._records) as cursor:
                cursor.putmulti([(pack(partition, index), record) for partition, index, record in writes.records])
        for key, value in writes.values.items():
            txn.put(key.encode(), value, db=self._values)


def _stream(txn: "lmdb.Transaction", partition: int, first: int, upto: int) -> Iterator[bytes | memoryview]:
    with txn.cursor() as cursor:
        for index in range(first, upto):
            found = cursor.set_key(_KEY.pack(partition, index)) if index == first else cursor.next()
            if not found or _KEY.unpack(cursor.key()) != (partition, index):
                raise missing(partition, index)
            yield cursor.value()


def _partition_of(key: bytes | memoryview) -> int:
    return int(_KEY.unpack(key)[0]) if key else -1


def full(path: Path, error: Exception) -> StorageFull | None:
    """The error for a disk or a map that takes no more; None: it is another kind of error."""
    is_full = isinstance(error, lmdb.MapFullError | lmdb.DiskError)
    if not is_full and isinstance(error, OSError) and error.errno not in _FULL_ERRNOS:
        return None
    if not is_full and not isinstance(error, OSError) and not any(os.strerror(n) in str(error) for n in _FULL_ERRNOS):
        return None
    return StorageFull(f"the store {path} cannot take more ({error}); make room on its disk, then it goes on by itself")
