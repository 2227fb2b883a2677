"""The SQL worker: `python -m controlplane.sql`, started by a plane or, with `--file`, by the command line.

How it lives stands in `workerlife`.
"""

import argparse
import os
import socket
import sys

from controlplane import limits
from controlplane.workerlife import end_with, stand_back


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.sql", description="Run SQL over a journal.")
    parser.add_argument("--file", action="append", default=[], metavar="PATH", help="a copied journal")
    parser.add_argument("--spill", default="", metavar="DIR", help="where what is too large for memory may go")
    given = parser.parse_args()
    stand_back(limits.SQL_NICENESS, limits.SQL_PROCESS_MEMORY_MB)
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
