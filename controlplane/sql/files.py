"""The same questions to a copied journal, without a fleet: `python -m controlplane.sql --file PATH`.

Files are opened read-only and stay as they are. `events` and `facts` are read from them; for the tables of state the
journal is folded again first, from the newest usable snapshot beside it on, as nobody is there who has that state.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from controlplane import limits, segments
from controlplane.answers import not_yet
from controlplane.arrivals import Follows
from controlplane.bases import Base
from controlplane.errors import PlaneError, SqlRefused
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.questions import AskSql, At, Progress, Question, Refusal, Told
from controlplane.snapshots import Snapshots
from controlplane.sql.database import Database
from controlplane.sql.state import NEEDS, columns_of, refuse_present_only


class Files:
    """One journal: a data directory, its `journal` folder, or single segments."""

    def __init__(self, paths: list[str], spill: str) -> None:
        self._spill = spill
        self._folder: Path | None = None
        self._paths: list[Path] = []
        for given in map(Path, paths):
            self._take(given)
        self._checking = Database()
        self._database: Database | None = None
        self._heart: Heart | None = None

    def _take(self, given: Path) -> None:
        if given.is_dir():
            folder = given / "journal" if (given / "journal").is_dir() else given
            found = segments.kept(folder)
            if not found:
                raise SqlRefused(f"there is no journal in {given}: name a data directory, or a journal's file")
            self._folder = folder
            self._paths += found
        elif given.is_file():
            self._paths.append(given)
            if segments.listed(given.parent) == [given]:
                self._folder = given.parent
        else:
            raise SqlRefused(f"there is no journal {given}")

    def answer(self, question: Question, tell: Callable[[Progress], None], at: At | None = None) -> Told:
        """The answer to one question, as of a moment when one is given; a refusal is one too.

        `tell` hears how far the journal was read where it had to be.
        """
        if not isinstance(question, AskSql):
            return Told(0, 0, Refusal("usage", "a copied journal answers SQL only"))
        try:
            return self._answer(question, tell, at)
        except SqlRefused as error:
            return Told(0, 0, Refusal("usage", str(error)))
        except PlaneError as error:
            return Told(0, 0, Refusal("failed", str(error)))

    def _answer(self, ask: AskSql, tell: Callable[[Progress], None], at: At | None) -> Told:
        tables = self._checking.check(ask.sql)
        database = self._opened()
        end, recorded = database.end()
        if at is not None:
            refusal = not_yet(at, end, time.time_ns())
            if refusal is not None:
                return Told(end, recorded, refusal)
            refuse_present_only(tables)
            end, recorded = database.end(at)
            if end < database.begin() and tables:
                raise SqlRefused(f"{tables[0]} cannot be had as of then: {self._begins(database.begin())}")
        wanted = [table for table in tables if table in NEEDS]
        if wanted and (self._heart is None or self._heart.position != end):
            # DuckDB opens a file once in a process: it is let go of while the journal is folded.
            database.close()
            self._database = None
            self._heart = self._folded(end, tell)
            database = self._opened()
        if self._heart is not None:
            for table in wanted:
                state = self._heart.states[NEEDS[table][0]]
                database.replace(table, columns_of(table, state, self._heart.recorded))
        database.see(None if at is None else end)
        database.prepare(tables)
        rows = min(ask.rows or limits.SQL_ROWS_MAX, limits.SQL_ROWS_MAX)
        body = database.run(ask.sql, rows, limits.SQL_ANSWER_BYTES_MAX)
        if "events" in tables or "facts" in tables:
            body.journal_from = database.begin()
        return Told(end, recorded, body, past=at is not None)

    def _opened(self) -> Database:
        if self._database is None:
            self._database = Database([str(path) for path in self._paths], self._spill)
            self._database.take_names()
        return self._database

    def _begins(self, position: int) -> str:
        where = self._paths[0] if len(self._paths) == 1 else "the files named"
        return f"{where} begins after position {position:,}. Name the whole journal's folder with --file"

    def _folded(self, position: int, tell: Callable[[Progress], None]) -> Heart:
        """The folds' state after the step that ends there: a snapshot beside the journal, and what follows."""
        if self._folder is None:
            raise SqlRefused("only events and facts are in single files: name the whole journal's folder with --file")
        with closing(Journal(self._folder, Follows(FOLLOWED_TYPES), read_only=True)) as journal:
            base = Base(self._folder, journal.reach, folds)
            with closing(Snapshots(self._folder / "snapshots", folds, journal.journaled, base)) as snapshots:
                heart = snapshots.nearest(position)
            begun, told = heart.position, time.monotonic()
            for step in journal.replay(position, heart.steps):
                heart.replay(step)
                if time.monotonic() - told > limits.PROGRESS_MS / 1000:
                    told = time.monotonic()
                    tell(Progress(heart.position - begun, position - begun, "reading the journal again"))
        return heart
