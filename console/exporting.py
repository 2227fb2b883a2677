"""`event export`: the archive in journal order, page by page, up to the moment asked, in one of four formats.

CloudEvents JSON lines are written as they come; the other formats by a process of its own (`console.sheets`), which is
handed the pages as columns.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from console import output as out
from console.commands.asking import LONG_ANSWER_S, begins, body_of, told
from console.failures import Failure
from console.limits import EXPORT_PAGE
from console.link import Link
from console.measure import many
from controlplane.questions import AskExport, At, Exported

FORMATS = ("jsonl", "parquet", "csv", "xes")
ALSO_CALLED = {"ndjson": "jsonl"}
LENGTH_BYTES = 4
OnProgress = Callable[[int, int], None]


def pages(
    link: Link,
    internal: bool = False,
    pattern: str = ">",
    on_progress: OnProgress | None = None,
    at: At | None = None,
    columns: bool = False,
) -> Iterator[Exported]:
    """The first page waits until everything the brokers hold is archived. Raises Failure.

    With `at` only what was archived at that moment, and nothing is waited for.

    `on_progress(done, total)` is called with each page.
    """
    after, up_to, done = 0, None, 0
    while True:
        question = AskExport(
            after=after, up_to=up_to, internal=internal, pattern=pattern, limit=EXPORT_PAGE, columns=columns
        )
        page = body_of(told(link, question, LONG_ANSWER_S, at=at), Exported)
        if up_to is None and page.journal_from:
            out.say(begins(page.journal_from))
        done += count_of(page)
        if on_progress is not None:
            on_progress(done, page.total)
        yield page
        if page.done:
            return
        after, up_to = page.after, page.up_to


def count_of(page: Exported) -> int:
    """Events in a page."""
    return page.count or len(page.lines)


def to_file(path: Path, write: Callable[[Path], int]) -> int:
    """Have a file written beside its place, and put there when it is whole. Raises Failure."""
    fresh = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not path.is_file():  # a pipe, a device: to be written to, and never replaced by a file
            return write(path)
        count = write(fresh)
        fresh.replace(path)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}", "Name another with --out.") from error
    finally:
        fresh.unlink(missing_ok=True)
    return count


def lines(found: Iterator[Exported], where: Path | None) -> int:
    """CloudEvents JSON lines, to stdout when there is no file; how many. Raises OSError."""
    count = 0
    with contextlib.ExitStack() as stack:
        file: IO[bytes] | None = None if where is None else stack.enter_context(where.open("wb"))
        for page in found:
            text = "".join(line + "\n" for line in page.lines)
            count += len(page.lines)
            if file is None:
                out.write_data(text)
            else:
                file.write(text.encode())
    return count


def sheet(found: Iterator[Exported], format: str, where: Path | None) -> int:
    """Another format, written by a process of its own; how many events are in it. Raises Failure."""
    command = [sys.executable, "-P", "-m", "console.sheets", format, "-" if where is None else str(where)]
    count = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        if child.stdin is None or child.stderr is None:
            raise Failure(f"the writer of {format} has no pipes")
        try:
            for page in found:
                count += count_of(page)
                if page.arrow:
                    child.stdin.write(len(page.arrow).to_bytes(LENGTH_BYTES, "big"))
                    child.stdin.write(page.arrow)
            child.stdin.write(bytes(LENGTH_BYTES))
            child.stdin.close()
        except BrokenPipeError:
            # It has ended, and says why.
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        except BaseException:
            child.kill()
            raise
        last = child.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        code = child.wait()
    if code:
        raise Failure(last or f"the writer of {format} ended with {code}", "Name another file with --out.")
    if left_out := int(last):
        out.say(f"▲ left out: {many(left_out, 'event that belongs', 'events that belong')} to no saga")
    return count - left_out
