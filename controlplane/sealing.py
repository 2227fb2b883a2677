"""Sealing: an elder segment's rows sorted by saga and checkpointed; later, as Parquet. A process of low priority.

The process works on a copy, made of the segment's file and write-ahead log, which nobody writes any more, so that
the plane goes on reading its own. What it makes gets its name when it is whole and on disk; killed at any instant, it
leaves the old segment as it is, and a folder that the next plane clears away. It ends when the plane that started it
does.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb

from controlplane import limits, segments, soundness

log = logging.getLogger("signalbox.sealing")

_WORK = "sealing-"
_SORTED = {"events": "saga_hash, position"}
_PARQUET = "format parquet, compression zstd, row_group_size 61440"
FAILED = 1
ALONE = 3
"""Exit codes: it could not be done; the plane is gone."""


class Sealer:
    """Turns segments into other forms, one after the other, each in a process.

    `turn` is one thread's, `stop` may be called from any other.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()
        self._timers: set[threading.Timer] = set()

    def turn(self, path: Path, form: str) -> Path | None:
        """The segment in that form, or None when that failed or was stopped: then nothing has changed."""
        target = segments.path_of(path.parent, segments.number_of(path), form)
        command = [sys.executable, "-P", "-m", "controlplane.sealing", str(path), str(target)]
        if self._stopped.is_set():
            return None
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._child = child
        if self._stopped.is_set():
            child.kill()
        # Its standard input stays open for as long as this process lives.
        said = child.stderr.read() if child.stderr is not None else b""
        child.wait()
        for pipe in (child.stdin, child.stderr):
            if pipe is not None:
                pipe.close()
        self._child = None
        if child.returncode:
            if not self._stopped.is_set():
                words = said[-limits.LAST_WORDS_BYTES_MAX :].decode(errors="replace").strip()
                log.warning("%s stays as it is, the sealing process ended with %d: %s", path, child.returncode, words)
            return None
        return target

    def later(self, again: Callable[[], object]) -> None:
        """What failed is tried again after a while: there may be room by then. `again` must not block."""

        def due() -> None:
            if not self._stopped.is_set():
                again()
            self._timers.discard(timer)

        timer = threading.Timer(limits.SEALING_RETRY_MS / 1000, due)
        timer.daemon = True
        timer.start()
        self._timers.add(timer)

    def stop(self) -> None:
        """Nothing is being sealed soon after this, and nothing tried again."""
        self._stopped.set()
        for timer in list(self._timers):
            timer.cancel()
            timer.join()
        child = self._child
        if child is not None:
            child.kill()


def clear(folder: Path) -> None:
    """Take away what killed processes left in a journal's folder."""
    for left in folder.glob(f"{_WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
    for path in segments.listed(folder):
        for form in (segments.OPEN, segments.SEALED):
            before = segments.path_of(folder, segments.number_of(path), form)
            if before != path and (form == segments.OPEN or segments.form_of(path) == segments.PARQUET):
                segments.remove(before)


def write_sealed(path: Path, target: Path, work: Path) -> None:
    """Make `target` of the segment at `path`, with everything on the way in the folder `work`."""
    work.mkdir()
    copy, fresh = work / "copy.duckdb", work / "sealed.duckdb"
    shutil.copyfile(path, copy)
    if segments.wal_of(path).exists():
        shutil.copyfile(segments.wal_of(path), segments.wal_of(copy))
    settings = segments.settings(limits.SEALING_MEMORY_MB) | {"threads": 1, "temp_directory": str(work / "spill")}
    with duckdb.connect(":memory:", config=settings) as db:
        db.execute(f"attach {segments.quoted(copy)} as elder")
        db.execute(f"attach {segments.quoted(fresh)} as sealed")
        db.execute("use sealed")
        db.execute(segments.TABLES)
        for table in segments.ALL_TABLES:
            order = _SORTED.get(table, "rowid")
            db.execute(f"insert into {table} select * from elder.{table} order by {order}")  # noqa: S608
        db.execute("checkpoint sealed")
        db.execute("use memory")
        db.execute("detach sealed")
    segments.put_in_place(fresh, target)


def write_parquet(path: Path, target: Path, work: Path) -> None:
    """The same as Parquet, of a sealed segment; rows stay in their order."""
    made = work / "parquet"
    made.mkdir(parents=True)
    settings = segments.settings(limits.SEALING_MEMORY_MB) | {"threads": 1, "temp_directory": str(work / "spill")}
    with duckdb.connect(":memory:", config=settings) as db:
        db.execute(f"attach {segments.quoted(path)} as sealed (read_only)")
        for table in segments.ALL_TABLES:
            file = made / f"{table}.parquet"
            db.execute(f"copy sealed.{table} to {segments.quoted(file)} ({_PARQUET})")
            segments.sync(file)
    soundness.write_checks(made)
    segments.put_in_place(made, target)


def _end_with_the_plane() -> None:
    while os.read(0, 4096):
        pass
    os._exit(ALONE)


def main() -> int:
    """One segment."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.sealing", description="Seal a journal's segment.")
    parser.add_argument("segment", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    os.nice(limits.SEALING_NICE)
    threading.Thread(target=_end_with_the_plane, daemon=True).start()
    work = given.segment.parent / f"{_WORK}{os.getpid()}"
    try:
        if segments.form_of(given.target) == segments.PARQUET:
            write_parquet(given.segment, given.target, work)
        else:
            write_sealed(given.segment, given.target, work)
    except (duckdb.Error, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # At once: the thread that waits for the plane's end sits in a read that nothing ends.
    os._exit(code)
