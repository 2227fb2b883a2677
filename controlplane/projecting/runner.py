"""One class as the plane runs it: its process, how far it is, and what to make of its end.

Everything that waits for the process is done in a thread of its own, one thing after the other: a piece of what is new,
or a question. So an answer names the position that the process stands at.

A process that ends is started again and built from the start. It is the projection's own fault, and it is quarantined,
when it raises, when it stays at one event for too long, or when it ends at the same place again and again.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from controlplane import limits
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.facts import ProjectionQuarantined
from controlplane.journal import Journal
from controlplane.projecting import frames
from controlplane.projecting.feeding import condition
from controlplane.projecting.place import NOWHERE, ROWS
from controlplane.projecting.process import ProjectionProcess
from controlplane.projections import Registered
from controlplane.sql.tail import pieces


class Broken(Exception):
    """A projection is at fault; `fact` says how."""

    def __init__(self, fact: ProjectionQuarantined) -> None:
        super().__init__(fact.error)
        self.fact = fact


class Runner:
    """One build of one projection. `advance` and `rows` belong into `thread`; `end` may be called from any.

    It stands at `position`, whose instant is `recorded`, with so many `keys`, built from after `journal_from` on.
    """

    def __init__(self, name: str, registered: Registered, folder: Path, journal: Journal) -> None:
        self.name = name
        self.registered = registered
        self.thread = ThreadPoolExecutor(1, f"projection-{name}")
        self.position = self.recorded = self.keys = self.journal_from = 0
        self.follows = False
        """It has come to the journal's end since its process began; before that it is being built."""
        self._deaths, self._died_at = 0, NOWHERE
        """How often its process has ended at the same place, and which."""
        self._folder = folder
        self._journal = journal
        self._process: ProjectionProcess | None = None
        self._names = 0
        self._more = False
        self._over = threading.Event()

    def advance(self, up_to: int, recorded: int) -> None:
        """A piece of what is between its position and `up_to`, whose instant is `recorded`.

        Raises Broken; WorkerEnded when its process ended, ProjectionRefused when its code does not load any more.
        """
        self._ready()
        self._begin()
        sealed, upto = self._journal.sealed
        if self._more:
            self._took(self._ask(frames.Go()))
        elif self.position < upto:
            self._took(self._ask(frames.Sealed([str(path) for path in sealed], upto)))
        else:
            rows, reached = self._piece(up_to)
            if rows:
                names = list(self._journal.names[self._names :])
                first, self._names = self._names, self._names + len(names)
                self._took(self._ask(frames.Evolve(first, names, rows, reached)))
            else:
                self.position = reached
        if self.position == up_to:
            self.recorded = recorded
            self.follows, self._deaths = True, 0

    def rows(self, rows_max: int) -> tuple[int, int, frames.Rows]:
        """What it holds, with position and instant. Raises as `advance`, and ProjectionRefused when its rows() does."""
        self._ready()
        answer = self._ask(frames.AskRows(rows_max, limits.PROJECTION_ANSWER_BYTES_MAX))
        if not isinstance(answer, frames.Rows):
            raise WorkerEnded(f"its process answers {type(answer).__name__} to AskRows")
        return self.position, self.recorded, answer

    @property
    def pid(self) -> int:
        """Of its process, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def end(self) -> None:
        """Kill its process, and start none any more."""
        self._over.set()
        process = self._process
        if process is not None:
            process.end()

    def close(self) -> None:
        """End it and wait for thread and process."""
        self.end()
        self.thread.shutdown()
        if self._process is not None:
            self._process.close()

    # ---------------------------------------------------------------------------------------- in the thread

    def _begin(self) -> None:
        """It gets every event from where the journal begins now, or it begins anew."""
        begins = self._journal.reach.position
        if not self.position:
            self.journal_from = begins
        elif self.position < begins:
            self._lost()
            raise WorkerEnded("retention let go of events that it had not got yet")

    def _piece(self, up_to: int) -> tuple[bytes, int]:
        """The next rows that it gets, if there are any up to there, and up to which position these are all."""
        where = condition(self.registered.pattern, self._journal.names)
        if where == "false":
            return b"", up_to
        with closing(self._journal.reading()) as db:
            ends = [after.birth.position for after in db.segments[1:]] + [up_to]
            for segment, end in zip(db.segments, ends, strict=True):
                for rows, reached in pieces(db, "events", self.position, min(end, up_to), where, f"{segment.alias}."):
                    if rows:
                        return rows, reached
        return b"", up_to

    def _ready(self) -> None:
        """The process; another one from the start where it is gone."""
        if self._process is not None and self._process.running:
            return
        self._lost()
        if self._over.is_set():
            raise WorkerEnded("it has ended")
        about = self.registered
        process = self._process = ProjectionProcess(self._folder)
        if self._over.is_set():
            process.end()
        try:
            process.load(about.target, about.pattern, about.sha256)
        except WorkerEnded as error:
            self._lost()
            raise self._judged(error, NOWHERE, False) from error
        except ProjectionRefused:
            self._lost()
            raise

    def _ask(self, frame: frames.AnyFrame) -> frames.AnyFrame:
        process = self._process
        if process is None:
            raise WorkerEnded("its process ended")
        try:
            answer = process.ask(frame)
        except WorkerEnded as error:
            place = process.place()
            self._lost()
            raise self._judged(error, place, process.silent) from error
        if isinstance(answer, frames.Failed):
            self._lost()
            raise Broken(self._fact(answer.position, answer.event, answer.error))
        return answer

    def _took(self, answer: frames.AnyFrame) -> None:
        if isinstance(answer, frames.Missing):
            self._more = False
            raise WorkerEnded(f"a segment was replaced meanwhile: {answer.why}")
        if not isinstance(answer, frames.Reached):
            raise WorkerEnded(f"its process answers {type(answer).__name__} to work")
        self.position, self.recorded, self.keys = answer.position, answer.recorded, answer.keys
        self._more = answer.more

    def _lost(self) -> None:
        """Nothing is left of what it held."""
        if self._process is not None:
            self._process.close()
        self._process = None
        self.position = self.recorded = self.keys = self._names = 0
        self._more = self.follows = False

    def _judged(self, error: WorkerEnded, place: int, silent: bool) -> Exception:
        if self._over.is_set():
            return error
        self._deaths = self._deaths + 1 if place == self._died_at else 1
        self._died_at = place
        seconds = f"{limits.PROJECTION_EVENT_MS_MAX / 1000:g} s"
        if silent and place == ROWS:
            return Broken(self._fact(0, "", f"its rows() takes longer than {seconds} over one row"))
        if silent and place != NOWHERE:
            return Broken(self._fact(place, "", f"it takes longer than {seconds} over one event"))
        if self._deaths < limits.PROJECTION_DEATHS_MAX:
            return error
        return Broken(self._fact(place if place != ROWS else 0, "", f"{error}, {self._deaths} times at the same place"))

    def _fact(self, position: int, event: str, error: str) -> ProjectionQuarantined:
        if position and not event:
            event = self._event_at(position)
        said = error[: limits.PROJECTION_ERROR_CHARS_MAX]
        return ProjectionQuarantined(self.name, self.registered.build, position, event, said)

    def _event_at(self, position: int) -> str:
        with closing(self._journal.cursor()) as db:
            found = db.execute("select id, type from events where position = ?", [position]).fetchall()
        return f"{found[0][0]} ({self._journal.name(found[0][1])})" if found else ""
