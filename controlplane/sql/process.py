"""The worker's process as the plane holds it (`workerline`), and how much of the journal it has already."""

import shutil
import sys
from pathlib import Path

from controlplane import limits
from controlplane.errors import SqlRefused, SqlWorkerEnded, WorkerEnded
from controlplane.sql import frames
from controlplane.workerline import WorkerLine


class WorkerProcess(WorkerLine):
    """One worker. `end` may be called from any thread; all else from one."""

    called = "the SQL worker"
    ended = SqlWorkerEnded

    def __init__(self, folder: Path, sealed: list[Path], upto: int) -> None:
        """Raises SqlWorkerEnded when it does not come up."""
        self.sealed = sealed
        self.names = 0
        """How many names it has; `events`, `entries`: up to which position it has them."""
        self.events = self.entries = upto
        spill = folder / "spill"
        command = [sys.executable, "-P", "-m", "controlplane.sql", "--spill", str(spill)]
        try:
            # What an earlier worker had spilled is of no use to anyone.
            shutil.rmtree(spill, ignore_errors=True)
            spill.mkdir(parents=True)
        except OSError as error:
            raise SqlWorkerEnded(f"the SQL worker cannot be started: {error}") from error
        super().__init__(command, folder / "worker.log", limits.SQL_START_MS_MAX)
        try:
            self.ask(frames.Open([str(path) for path in sealed]))
        except BaseException:
            self.close()
            raise
        self._line.settimeout(None)

    def tell(self, frame: frames.AnyFrame) -> None:
        """Something without an answer. Raises SqlWorkerEnded."""
        self.send(frames.encode(frame))

    def ask(self, frame: frames.AnyFrame) -> frames.AnyFrame:
        """The answer. Raises SqlWorkerEnded, and SqlRefused for a refusal."""
        self.tell(frame)
        try:
            answer = frames.decode(frames.read(self._line.recv))
        except (OSError, WorkerEnded) as error:
            raise self.death() from error
        if isinstance(answer, frames.Refused):
            raise SqlRefused(answer.message)
        return answer
