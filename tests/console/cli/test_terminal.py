"""The demo on a terminal: it opens the console, and however it is ended, it leaves neither a process nor a mess."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.console.cli.test_fleet import ROOT, gone

pytestmark = pytest.mark.fleet
DRAWN = b"LIVE"
BACK = b"\x1b[?1049l"
SECONDS = 60.0


class Terminal:
    """A command on a terminal of its own, 36 rows of 120 columns."""

    def __init__(self, *arguments: str) -> None:
        self.said = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, [sys.executable, "-c", "from console.cli import main; main()", *arguments])  # noqa: S606
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))

    def until(self, done: Callable[[bytes], bool]) -> bool:
        """Read what it draws; False when it has ended first. Raises TimeoutError."""
        deadline = time.monotonic() + SECONDS
        while not done(self.said):
            if not select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(self.said[-500:])
            try:
                piece = os.read(self.fd, 65536)
            except OSError:  # how Linux says that nobody has the other side open any more
                return False
            if not piece:
                return False
            self.said += piece
        return True

    def code(self) -> int:
        """Its exit code, once it has ended."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def pids(folder: Path) -> set[int]:
    """Of the fleet in a directory, as its files say."""
    from console.fleetdir import Fleet, brokers_of, plane_of

    found = [plane_of(Fleet(folder)), *brokers_of(Fleet(folder))]
    return {record["pid"] for record in found if record}


@pytest.mark.parametrize("how", ["key", "signal", "closed"])
def test_the_demo_on_a_terminal_leaves_nothing_behind(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "data"
    terminal = Terminal("demo", "--data-dir", str(folder))
    try:
        assert terminal.until(lambda said: DRAWN in said), terminal.said
        fleet = pids(folder)
        assert len(fleet) == 4
        if how == "key":
            os.write(terminal.fd, b"q")
        elif how == "signal":
            os.kill(terminal.pid, signal.SIGTERM)
        if how == "closed":
            os.close(terminal.fd)
        else:
            terminal.until(lambda said: False)
            assert BACK in terminal.said
            assert b"each one as it was published" in terminal.said.split(BACK)[-1]
        code = terminal.code()
        assert how == "closed" or code == {"key": 0, "signal": 130}[how]
        assert gone(fleet)
    finally:
        if pids(folder):
            os.kill(terminal.pid, signal.SIGTERM)
