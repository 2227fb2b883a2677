"""The same questions to a copied journal, without a fleet: `python -m controlplane.sql --file PATH`.

Files are opened read-only and stay as they are. `events` and `facts` are read from them; for the tables of state the
journal is folded again first, once, as nobody is there who has that state.
"""

from pathlib import Path

from controlplane import limits, segments
from controlplane.arrivals import Follows
from controlplane.errors import PlaneError, SqlRefused
from controlplane.fold import Heart
from controlplane.journal import Journal
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.questions import AskSql, Question, Refusal, Told
from controlplane.sql.database import Database
from controlplane.sql.state import NEEDS, columns_of


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
            found = segments.listed(folder)
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

    def answer(self, question: Question) -> Told:
        """The answer to one question; a refusal is one too."""
        if not isinstance(question, AskSql):
            return Told(0, 0, Refusal("usage", "a copied journal answers SQL only"))
        try:
            return self._answer(question)
        except SqlRefused as error:
            return Told(0, 0, Refusal("usage", str(error)))
        except PlaneError as error:
            return Told(0, 0, Refusal("failed", str(error)))

    def _answer(self, ask: AskSql) -> Told:
        tables = self._checking.check(ask.sql)
        wanted = [table for table in tables if table in NEEDS]
        if wanted and self._heart is None:
            # DuckDB opens a file once in a process: it is folded before it is attached.
            self._database = None
            self._heart = self._folded()
        database = self._database
        if database is None:
            database = self._database = Database([str(path) for path in self._paths], self._spill)
            database.take_names()
        if self._heart is not None:
            for table in wanted:
                state = self._heart.states[NEEDS[table][0]]
                database.replace(table, columns_of(table, state, self._heart.recorded))
        database.prepare(tables)
        rows = min(ask.rows or limits.SQL_ROWS_MAX, limits.SQL_ROWS_MAX)
        return Told(*database.end(), database.run(ask.sql, rows, limits.SQL_ANSWER_BYTES_MAX))

    def _folded(self) -> Heart:
        if self._folder is None:
            raise SqlRefused("flows, sagas and dead_letters need the whole journal: name its folder with --file")
        heart = Heart(folds())
        journal = Journal(self._folder, Follows(FOLLOWED_TYPES), read_only=True)
        try:
            for step in journal.replay():
                heart.replay(step)
        finally:
            journal.close()
        return heart
