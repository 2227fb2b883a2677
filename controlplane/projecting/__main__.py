"""A projection's worker: `python -m controlplane.projecting`, started by a plane. How it lives: `workerlife`."""

import argparse
import os
import resource
import socket
import sys
from pathlib import Path

from controlplane import limits
from controlplane.projecting.place import Place
from controlplane.workerlife import end_with, stand_back


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.projecting", description="Run one projection.")
    parser.add_argument("--place", required=True, metavar="FILE", help="where it writes which event it is at")
    parser.add_argument("--memory", type=int, default=limits.PROJECTION_MEMORY_MB, metavar="MB", help="at most")
    given = parser.parse_args()
    stand_back(limits.PROJECTION_NICENESS, given.memory)
    most = limits.PROJECTION_FILE_MB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    end_with(sys.stdin.fileno())
    # DuckDB and Arrow take a while to load: not before the command line has been found good.
    from controlplane.projecting.worker import serve

    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as line:
        serve(line, Place(Path(given.place)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
