"""Broker processes on this machine: start one, know when one ends, end one.

A process is known by pid *and* start time, because pids are used again; no signal goes to a pid whose start time
differs. Each broker is started in a session of its own, so that a Ctrl-C at the terminal reaches the plane alone, and
so that it outlives a plane that is killed. Its exit is an event (`pidfd`, or polling where there is none), whether it
is this process's child or was adopted.
"""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from controlplane import limits
from controlplane.directory import alive


class BrokerProcess:
    """One live broker process, a child or adopted. `started` is its creation time, seconds since 1970."""

    def __init__(self, broker: str, pid: int, started: float, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.broker = broker
        self.pid = pid
        self.started = started
        self._child = child

    @property
    def running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return alive(self.pid, self.started)

    async def ended(self) -> str:
        """Waits for its end, and says how it ended in a few words."""
        if self.running:
            try:
                await _exit_of(self.pid)
            except (OSError, AttributeError):
                # No pidfd here: the process table has to be asked.
                while self.running:  # noqa: ASYNC110
                    await asyncio.sleep(limits.EXIT_POLL_MS / 1000)
        if self._child is None:
            return "ended"
        code = await asyncio.to_thread(self._child.wait)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal to this very process, if it still runs."""
        if not self.running:
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


async def _exit_of(pid: int) -> None:
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def start(broker: str, folder: Path, fleet: str, partitions: int, options: Sequence[str] = ()) -> BrokerProcess:
    """Start a broker; `options` are further flags of `python -m bus`. Raises OSError when the machine refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "bus", "--dir", str(folder), "--id", broker]
    command += ["--fleet", fleet, "--partitions", str(partitions), *options]
    with (folder / "broker.log").open("ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        started = float(psutil.Process(child.pid).create_time())
    except psutil.Error:
        started = 0.0
    return BrokerProcess(broker, child.pid, started, child)


def is_locked(folder: Path) -> bool:
    """Whether a live process holds the lock of a broker's folder."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def last_words(path: Path) -> str:
    """The last line of a process's log: what it said before it ended; "" where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - limits.LAST_WORDS_BYTES_MAX))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
