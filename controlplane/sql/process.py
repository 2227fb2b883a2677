"""The worker's process as the plane holds it: started, talked to from one thread, ended from another.

Plane and worker share a socket pair. To end a query the socket is shut down, which frees the thread that waits for the
answer at once, however long the killed process takes to be gone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from controlplane import limits
from controlplane.errors import SqlRefused, SqlWorkerEnded
from controlplane.sql import frames


class WorkerProcess:
    """One worker. `end` may be called from any thread; all else from one."""

    def __init__(self, folder: Path, sealed: list[Path], upto: int) -> None:
        """Raises SqlWorkerEnded when it does not come up."""
        self.sealed = sealed
        self.names = 0
        """How many names it has; `events`, `entries`: up to which position it has them."""
        self.events = self.entries = upto
        self._over = False
        self._log = folder / "worker.log"
        spill = folder / "spill"
        self._line, theirs = socket.socketpair()
        self._line.settimeout(limits.SQL_START_MS_MAX / 1000)
        command = [sys.executable, "-P", "-m", "controlplane.sql", "--spill", str(spill)]
        try:
            # What an earlier worker had spilled is of no use to anyone.
            shutil.rmtree(spill, ignore_errors=True)
            spill.mkdir(parents=True)
            with theirs, self._log.open("wb") as log:
                self._child = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=log)
        except OSError as error:
            self._line.close()
            raise SqlWorkerEnded(f"the SQL worker cannot be started: {error}") from error
        try:
            self.ask(frames.Open([str(path) for path in sealed]))
        except BaseException:
            self.close()
            raise
        self._line.settimeout(None)

    def tell(self, frame: frames.AnyFrame) -> None:
        """Something without an answer. Raises SqlWorkerEnded."""
        try:
            self._line.sendall(frames.encode(frame))
        except OSError as error:
            raise self._ended() from error

    def ask(self, frame: frames.AnyFrame) -> frames.AnyFrame:
        """The answer. Raises SqlWorkerEnded, and SqlRefused for a refusal."""
        self.tell(frame)
        try:
            answer = frames.decode(frames.read(self._line.recv))
        except (OSError, SqlWorkerEnded) as error:
            raise self._ended() from error
        if isinstance(answer, frames.Refused):
            raise SqlRefused(answer.message)
        return answer

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

    def _ended(self) -> SqlWorkerEnded:
        try:
            code = self._child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return SqlWorkerEnded("the SQL worker does not answer")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        said = _last_line(self._log)
        return SqlWorkerEnded(f"the SQL worker ended ({how}){': ' + said if said else ''}")


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - limits.LAST_WORDS_BYTES_MAX))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
