"""What the worker does with what it is told, one frame after the other."""

import socket
from typing import Any

from controlplane import questions
from controlplane.errors import SqlRefused, SqlWorkerEnded, WorkerEnded
from controlplane.sql import frames
from controlplane.sql.database import Database
from controlplane.sql.files import Files
from controlplane.sql.state import NEEDS, columns_of, keyed, unpacked
from controlplane.state import Key

_TABLES = {fold: table for table, (fold, _) in NEEDS.items()}


class Worker:
    """One plane's worker. `take` gives the answer to a frame, None where it has none."""

    def __init__(self, spill: str) -> None:
        self._spill = spill
        self._database: Database | None = None
        self._tables: list[str] = []
        self._states: dict[str, dict[str, list[tuple[Key, Any]]]] = {}

    def take(self, frame: frames.AnyFrame) -> frames.AnyFrame | None:
        """Raises SqlRefused."""
        if isinstance(frame, frames.Open):
            self._database = Database(frame.sealed, self._spill)
            return frames.Ready()
        database = self._database
        if database is None:
            raise SqlWorkerEnded(f"{type(frame).__name__} came before Open")
        if isinstance(frame, frames.Names):
            database.add_names(frame.first, frame.names)
        elif isinstance(frame, frames.Feed):
            database.feed(frame.table, frame.rows)
        elif isinstance(frame, frames.State):
            tables = self._states.setdefault(frame.fold, {})
            if frame.first:
                tables[frame.table] = []
            tables[frame.table] += unpacked(frame.fold, frame.table, frame.items)
        elif isinstance(frame, frames.Check):
            self._tables = database.check(frame.sql)
            return frames.Checked(self._tables)
        elif isinstance(frame, frames.Run):
            return self._run(database, frame)
        return None

    def _run(self, database: Database, run: frames.Run) -> frames.Answered:
        for fold, tables in self._states.items():
            table = _TABLES[fold]
            database.replace(table, columns_of(table, keyed(fold, tables), run.now))
        self._states.clear()
        database.see(run.up_to)
        database.prepare(self._tables)
        return frames.Answered(database.run(run.sql, run.rows_max, run.bytes_max))


def serve_plane(line: socket.socket, spill: str) -> None:
    """Until the plane goes."""
    worker = Worker(spill)
    while True:
        try:
            frame = frames.decode(frames.read(line.recv))
        except WorkerEnded:
            return
        try:
            answer = worker.take(frame)
        except SqlRefused as error:
            answer = frames.Refused(str(error))
        if answer is not None:
            line.sendall(frames.encode(answer))


def serve_files(line: socket.socket, paths: list[str], spill: str) -> None:
    """Questions and answers as on the question socket, each in a frame; until the asker goes.

    After a question comes a frame with its moment, empty for the end of the journal.
    """
    files: Files | None = None

    def say(told: questions.Told) -> None:
        line.sendall(frames.framed(questions.encode(told)))

    while True:
        try:
            question = questions.decode_question(frames.read(line.recv))
            moment = frames.read(line.recv)
        except WorkerEnded:
            return
        try:
            if files is None:
                files = Files(paths, spill)
            at = questions.decode_at(moment) if moment else None
            say(files.answer(question, lambda work: say(questions.Told(0, 0, work)), at))
        except SqlRefused as error:
            say(questions.Told(0, 0, questions.Refusal("not_found", str(error))))
