"""Reading a log of events: JSON lines, plain, `.gz`, or standard input. A bad line names file, line and attribute.

Bad lines go to a rejects file as they were, so that they can be mended and imported by themselves. The file is made
when the first bad line is met.
"""

import gzip
import os
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from console.failures import Failure, NotFound, Usage
from console.limits import LINE_BYTES_MAX, REJECTS_SAID_MAX

if TYPE_CHECKING:
    import bus

STDIN = "-"


class Rejects:
    """Where bad lines go, and how many there were. `path` None: beside the log, from its name."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.count = 0
        self._given = path is not None
        self._file: IO[bytes] | None = None

    def add(self, log: str, number: int, why: str, line: bytes) -> None:
        """One bad line. Raises Failure if the rejects file cannot be written."""
        self.count += 1
        if self.count <= REJECTS_SAID_MAX:
            sys.stderr.write(f"{log}:{number}: {why}\n")
        elif self.count == REJECTS_SAID_MAX + 1:
            sys.stderr.write("… more bad lines are not listed\n")
        if self._file is None:
            self._file = self._open(log)
        self._file.write(line if line.endswith(b"\n") else line + b"\n")

    def _open(self, log: str) -> IO[bytes]:
        if self.path is None:
            self.path = rejects_beside(log)
        try:
            return self.path.open("wb")
        except OSError as error:
            raise Failure(
                f"bad lines cannot be written to {self.path}: {error.strerror}",
                "Name another file with --rejects FILE.",
            ) from error

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def check_logs(logs: list[str], rejects: Path | None) -> None:
    """Before anything is published: every log is there, and no file of bad lines would be written over one of them.

    Raises NotFound, Failure or Usage.
    """
    if logs.count(STDIN) > 1:
        raise Usage("standard input can be read once only")
    homes: dict[Path, str] = {}
    for log in logs:
        if log != STDIN:
            _check_there(Path(log))
        home = (rejects or rejects_beside(log)).resolve()
        clash = next((other for other in logs if other != STDIN and Path(other).resolve() == home), None)
        if clash is not None:
            raise Usage(f"bad lines of {log} would be written over {clash}", "Name another file with --rejects FILE.")
        if rejects is None and homes.setdefault(home, log) != log:
            raise Usage(
                f"bad lines of {homes[home]} and of {log} would both go to {home}",
                "Name one file for all with --rejects FILE.",
            )


def _check_there(log: Path) -> None:
    """Without opening it: a named pipe can be opened once only."""
    if not log.exists():
        raise NotFound(f"there is no file {log}")
    if log.is_dir() or not os.access(log, os.R_OK):
        raise Failure(f"{log} cannot be read: {'it is a directory' if log.is_dir() else 'permission denied'}")


def rejects_beside(log: str) -> Path:
    """`logs/receipt.jsonl.gz` -> `logs/receipt.rejects.jsonl`; standard input's stands here."""
    return Path("stdin.rejects.jsonl") if log == STDIN else Path(log).with_name(f"{stem(log)}.rejects.jsonl")


def stem(log: str) -> str:
    """The log's name: its file's without `.gz`, `.jsonl` and the like."""
    if log == STDIN:
        return "stdin"
    name = Path(log).name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] or name


def events(log: str, rejects: Rejects, importof: str = "", numbers: list[int] | None = None) -> "Iterator[bus.Event]":
    """The good events of a log, in order; their line numbers are appended to `numbers`. Raises NotFound, Failure."""
    import bus

    read = bus.from_json
    for number, line in lines(log, rejects):
        try:
            event = read(line, importof)
        except bus.ClientError as error:
            rejects.add(log, number, str(error), line)
            continue
        if numbers is not None:
            numbers.append(number)
        yield event


def lines(log: str, rejects: Rejects) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of what is not blank. A line that is too long, or a log that breaks off, is a bad line."""
    number = 0
    with _open(log) as source:
        while True:
            try:
                line = source.readline(LINE_BYTES_MAX + 1)
            except (EOFError, OSError, zlib.error) as error:
                rejects.add(log, number + 1, f"the log cannot be read on: {error}", b"")
                return
            if not line:
                return
            number += 1
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
            if len(line) > LINE_BYTES_MAX:
                rejects.add(log, number, f"the line has more than {LINE_BYTES_MAX} bytes; it was cut", line[:200])
                _skip_line(source, line)
            elif not line.isspace():
                yield number, line


def _skip_line(source: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = source.readline(LINE_BYTES_MAX)


def _open(log: str) -> IO[bytes]:
    try:
        # Closed by the caller's `with`.
        plain = sys.stdin.buffer if log == STDIN else Path(log).open("rb")  # noqa: SIM115
        source = cast(BufferedReader, plain)
        # By content, not by name: standard input may be compressed too.
        zipped = source.peek(2)[:2] == b"\x1f\x8b"
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {log}") from error
    except OSError as error:
        raise Failure(f"{log} cannot be read: {error.strerror}") from error
    return cast(IO[bytes], gzip.open(source, "rb") if zipped else source)
