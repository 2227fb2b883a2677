"""The SQL worker: `python -m controlplane.sql`, started by a plane or, with `--file`, by the command line.

It talks over standard input, which is a socket, and ends when the other end closes it, whatever it is doing.
"""

import argparse
import contextlib
import os
import resource
import select
import signal
import socket
import sys
import threading
from pathlib import Path

from controlplane import limits


def stand_back() -> None:
    """Low priority, a bound on memory, the first to go when the machine runs out of it; deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(limits.SQL_NICENESS)
    most = limits.SQL_PROCESS_MEMORY_MB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # there is no such thing on this system
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def end_with(descriptor: int) -> None:
    """End this process as soon as the other end of a socket is closed."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="other end", daemon=True).start()


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.sql", description="Run SQL over a journal.")
    parser.add_argument("--file", action="append", default=[], metavar="PATH", help="a copied journal")
    parser.add_argument("--spill", default="", metavar="DIR", help="where what is too large for memory may go")
    given = parser.parse_args()
    stand_back()
    end_with(sys.stdin.fileno())
    # DuckDB and Arrow take a while to load: not before the command line has been found good.
    from controlplane.sql.worker import serve_files, serve_plane

    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as line:
        if given.file:
            serve_files(line, given.file, given.spill)
        else:
            serve_plane(line, given.spill)
    return 0


if __name__ == "__main__":
    sys.exit(main())
