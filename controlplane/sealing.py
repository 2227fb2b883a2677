"""Sealing: an elder segment's rows sorted by saga and checkpointed, in a process of low priority.

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
from pathlib import Path

import duckdb

from controlplane import limits, segments

log = logging.getLogger("signalbox.sealing")

_WORK = "sealing-"
_SORTED = {"events": "saga_hash, position"}
FAILED = 1
ALONE = 3
"""Exit codes: it could not be done; the plane is gone."""


class Sealer:
    """Seals one segment after the other, each in a process. `seal` is one thread's; `stop` any other's."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def seal(self, path: Path) -> Path | None:
        """The sealed file of a segment, or None when that failed or was stopped: then nothing has changed."""
        target = segments.sealed_path_of(path.parent, segments.number_of(path))
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
                log.warning("%s is not sealed, its process ended with %d: %s", path, child.returncode, words)
            return None
        return target

    def stop(self) -> None:
        """Nothing is being sealed soon after this."""
        self._stopped.set()
        child = self._child
        if child is not None:
            child.kill()


def clear(folder: Path) -> None:
    """Take away what killed processes left in a journal's folder."""
    for left in folder.glob(f"{_WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
    for path in segments.listed(folder):
        if segments.is_sealed(path):
            segments.remove(segments.path_of(folder, segments.number_of(path)))


def write_sealed(path: Path, target: Path, work: Path) -> None:
    """Make `target` of the segment at `path`, with everything on the way in the folder `work`."""
    work.mkdir()
    copy, fresh = work / "copy.duckdb", work / "sealed.duckdb"
    shutil.copyfile(path, copy)
    if segments.wal_of(path).exists():
        shutil.copyfile(segments.wal_of(path), segments.wal_of(copy))
    settings = segments.settings(limits.SEALING_MEMORY_MB) | {"threads": 1, "temp_directory": str(work / "spill")}
    with duckdb.connect(":memory:", config=settings) as db:
        db.execute(f"attach '{_quoted(copy)}' as elder")
        db.execute(f"attach '{_quoted(fresh)}' as sealed")
        db.execute("use sealed")
        db.execute(segments.TABLES)
        for table in ("birth", "floors", *segments.STORED_TABLES):
            order = _SORTED.get(table, "rowid")
            db.execute(f"insert into {table} select * from elder.{table} order by {order}")  # noqa: S608
        db.execute("checkpoint sealed")
        db.execute("use memory")
        db.execute("detach sealed")
    segments.put_in_place(fresh, target)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


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
