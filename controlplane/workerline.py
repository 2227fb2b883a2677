"""A worker's process as the plane holds it: started, talked to from one thread, ended from another.

Plane and worker share a socket pair. To end it the socket is shut down, which frees the thread that waits for an answer
at once, however long the killed process takes to be gone.
"""

import signal
import socket
import subprocess
from pathlib import Path

from controlplane.errors import WorkerEnded
from controlplane.processes import last_words


class WorkerLine:
    """One worker; what it says goes to `log`. `end` may be called from any thread; all else from one."""

    called = "the worker"
    ended: type[WorkerEnded] = WorkerEnded

    def __init__(self, command: list[str], log: Path, silence_ms: int, cwd: Path | None = None) -> None:
        """`silence_ms`: how long a read or a write may take. Raises `ended` when it cannot be started."""
        self._over = False
        self._log = log
        self._line, theirs = socket.socketpair()
        self._line.settimeout(silence_ms / 1000)
        try:
            with theirs, log.open("wb") as said:
                self._child = subprocess.Popen(command, stdin=theirs.fileno(), stdout=said, stderr=said, cwd=cwd)
        except OSError as error:
            self._line.close()
            raise self.ended(f"{self.called} cannot be started: {error}") from error

    def send(self, frame: bytes) -> None:
        """Raises `ended`."""
        try:
            self._line.sendall(frame)
        except OSError as error:
            raise self.death() from error

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it can still be asked; one that was killed may take a while to be gone."""
        return not self._over and self._child.poll() is None

    def end(self) -> None:
        """Kill it, and free whoever waits for it; does not wait."""
        self._over = True
        self._child.kill()
        try:
            self._line.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It has closed its end already, which frees the waiting thread just as well.
            return

    def close(self) -> None:
        """End it and wait until it is gone."""
        self.end()
        self._line.close()
        self._child.wait()

    def death(self) -> WorkerEnded:
        """How it ended, and the last thing that it said."""
        try:
            code = self._child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return self.ended(f"{self.called} does not answer")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        said = last_words(self._log)
        return self.ended(f"{self.called} ended ({how}){': ' + said if said else ''}")
