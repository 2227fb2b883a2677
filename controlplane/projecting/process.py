"""A projection's process as the plane holds it (`workerline`)."""

import sys
from pathlib import Path

from controlplane import limits
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.framing import read
from controlplane.projecting import frames, place
from controlplane.workerline import WorkerLine


class ProjectionProcess(WorkerLine):
    """One worker; `load` comes first. `end` may be called from any thread; all else from one."""

    called = "its process"

    def __init__(self, folder: Path) -> None:
        """`folder` is for what it writes. Raises WorkerEnded."""
        self.silent = False
        """It was ended as it did not answer in time."""
        self._place = folder / "place"
        command = [sys.executable, "-P", "-m", "controlplane.projecting", "--place", str(self._place)]
        command += ["--memory", str(limits.PROJECTION_MEMORY_MB)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place.cleared(self._place)
        except OSError as error:
            raise WorkerEnded(f"its process cannot be started: {error}") from error
        super().__init__(command, folder / "worker.log", limits.PROJECTION_START_MS_MAX, folder)

    def load(self, target: str, pattern: str, sha256: str = "") -> frames.Opened:
        """Have it load its class. Raises WorkerEnded, and ProjectionRefused for code that does not load."""
        opened = self.ask(frames.Open(target, pattern, sha256))
        if not isinstance(opened, frames.Opened):
            raise WorkerEnded(f"its process answers {type(opened).__name__} to Open")
        self._line.settimeout(limits.PROJECTION_EVENT_MS_MAX / 1000)
        return opened

    def ask(self, frame: frames.AnyFrame) -> frames.AnyFrame:
        """The answer. Raises WorkerEnded, and ProjectionRefused for a refusal."""
        self.send(frames.encode(frame))
        try:
            answer = frames.decode(read(self._line.recv))
        except TimeoutError as error:
            self.silent = True
            self.end()
            raise WorkerEnded("its process did not answer in time") from error
        except (OSError, WorkerEnded) as error:
            raise self.death() from error
        if isinstance(answer, frames.Refused):
            raise ProjectionRefused(answer.message)
        return answer

    def place(self) -> int:
        """The position of the event that it is at, or was when it ended; 0 between two."""
        return place.seen(self._place)
