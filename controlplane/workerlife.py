"""How a worker process of the plane's lives: behind everyone else, within bounds, and no longer than the plane.

It talks over standard input, which is a socket, and ends when the other end closes it, whatever it is doing.
"""

import contextlib
import os
import resource
import select
import signal
import threading
from pathlib import Path


def stand_back(nice: int, memory_mb: int) -> None:
    """Low priority, a bound on memory, the first to go when the machine runs out of it; deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(nice)
    most = memory_mb * 1024 * 1024
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
