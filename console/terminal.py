"""Opening the TUI from the command line: always a process of its own, so that no command ever loads it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PYTHON = [sys.executable, "-P", "-m"]
"""Runs a module of ours, and never one of the same name from the folder that the command was given in (`-P`)."""


def console_command(url: str, context: str) -> list[str]:
    """The command line of a console on the control plane at `url`."""
    line = [*PYTHON, "console", "--url", url]
    return [*line, "--context", context] if context else line


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end what is under way as Ctrl-C does, so that nothing is left behind."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run_console(url: str, context: str) -> int:
    """Run a console on this terminal until it ends; its exit code. Ctrl-C is its own affair meanwhile."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(console_command(url, context))
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
