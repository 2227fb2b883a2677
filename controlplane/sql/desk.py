"""The plane's side of SQL: one query at a time, fed, watched, and ended with its worker when it must.

    checked by the worker ─▶ turn settled: position and what is needed of the folds' state ─▶ in a thread: fed, run
                             or, as of then: the state of then, if it is needed

Only the thread touches journal and worker; the loop waits, tells how it stands, and kills. What a query costs the
plane: a cursor's reads of what is new, and the encoding of the state tables that it names.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from controlplane import limits
from controlplane.asking import Tell
from controlplane.errors import SqlRefused, SqlWorkerEnded
from controlplane.fold import Heart
from controlplane.questions import AskSql, Body, Progress, Refusal, SqlAnswer, Told
from controlplane.sql import frames
from controlplane.sql.process import WorkerProcess
from controlplane.sql.state import NEEDS, packed, refuse_present_only
from controlplane.sql.tail import tail
from controlplane.state import Key
from controlplane.turns import Turns

_AGAIN = "Ask again; `signalbox sql` starts another worker."


class _Query:
    """One query under way."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.began = 0.0
        """The loop's time when its turn came; 0 while it waits."""
        self.doing = "waiting for another query"


class Then(NamedTuple):
    """A moment of the past: the end of a step. `heart` gives the folds' state there, and says how far it is."""

    position: int
    recorded: int
    heart: Callable[[Tell], Awaitable[Heart]]


class _Now(NamedTuple):
    """Where the answer holds, the folds' state there, and whether that is in the past."""

    position: int
    recorded: int
    state: list[tuple[str, str, list[tuple[Key, Any]]]]
    past: bool


class Desk:
    """Answers AskSql for one plane. `folder`: for the worker's log and spill; `close` ends the worker.

    `go_on` raises when nobody waits any more: then a query under way is given up.
    """

    def __init__(
        self, turns: Turns, folder: Path, refusal: Callable[[Refusal], Told], go_on: Callable[[], None]
    ) -> None:
        self._turns = turns
        self._folder = folder
        self._refused = refusal
        self._go_on = go_on
        self._queries: dict[str, _Query] = {}
        self._unnamed = 0
        self._one = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "sql")
        self._worker: WorkerProcess | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def answer(self, ask: AskSql, tell: Tell, then: Then | None = None) -> Told:
        """The answer, or a refusal: what is wrong with the query, that it took too long or was cancelled.

        With `then` as of that moment.
        """
        if len(ask.sql) > limits.SQL_CHARS_MAX:
            why = f"a query has at most {limits.SQL_CHARS_MAX:,} characters, not {len(ask.sql):,}"
            return self._refused(Refusal("usage", why))
        if len(self._queries) > limits.SQL_WAITING_MAX:
            return self._refused(Refusal("unavailable", "too many queries are waiting", "Ask again in a moment."))
        self._unnamed += 1
        token = ask.token or f"#{self._unnamed}"
        if token in self._queries:
            return self._refused(Refusal("usage", f"a query named {token} is under way"))
        query = self._queries[token] = _Query()
        work = asyncio.create_task(self._in_turn(ask, query, then))
        try:
            return await self._watched(work, query, ask, tell)
        except SqlRefused as error:
            return self._refused(Refusal("usage", str(error)))
        except SqlWorkerEnded as error:
            return self._refused(Refusal("failed", str(error), _AGAIN))
        finally:
            del self._queries[token]
            if not work.done():
                work.cancel()
                if query.began and self._worker is not None:
                    self._worker.end()

    def cancel(self, token: str) -> bool:
        """End a query, if it is under way."""
        query = self._queries.get(token)
        if query is not None:
            query.cancelled.set()
        return query is not None

    def close(self) -> None:
        """End all queries and the worker; waits for it. Called once no more questions come."""
        for query in self._queries.values():
            query.cancelled.set()
        if self._idle is not None:
            self._idle.cancel()
        if self._worker is not None:
            self._worker.end()
        self._thread.shutdown()
        if self._worker is not None:
            self._worker.close()

    # ------------------------------------------------------------------------------------------ on the loop

    async def _watched(self, work: "asyncio.Task[Told]", query: _Query, ask: AskSql, tell: Tell) -> Told:
        loop = asyncio.get_running_loop()
        cancelled = asyncio.create_task(query.cancelled.wait())
        most = min(ask.timeout_ms or limits.SQL_MS_DEFAULT, limits.SQL_MS_MAX) / 1000
        try:
            while True:
                await asyncio.wait((work, cancelled), timeout=limits.PROGRESS_MS / 1000, return_when="FIRST_COMPLETED")
                if work.done():
                    return work.result()
                if cancelled.done():
                    return self._refused(Refusal("failed", "the query was cancelled"))
                if query.began and loop.time() - query.began > most:
                    why = f"the query took longer than {most:g} s"
                    return self._refused(Refusal("failed", why, "Allow more with --timeout."))
                self._go_on()
                tell(Progress(0, 0, query.doing))
        finally:
            cancelled.cancel()

    async def _in_turn(self, ask: AskSql, query: _Query, then: Then | None) -> Told:
        loop = asyncio.get_running_loop()
        async with self._one:
            if self._idle is not None:
                self._idle.cancel()
            query.began = loop.time()
            query.doing = "checking the query"
            tables = await self._shielded(self._check, ask.sql)
            now = await (self._now(tables) if then is None else self._then(tables, then, query))
            told: Told = await self._shielded(self._run, ask, tables, now, query)
            self._idle = loop.call_later(limits.SQL_IDLE_MS / 1000, self._rest)
            return told

    async def _shielded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Work in the thread. A query that is given up waits here until its thread is free: its worker was killed."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            if not future.cancelled():
                future.exception()  # nobody is left to hear it
            raise

    async def _now(self, tables: list[str]) -> _Now:
        await self._turns.settled()
        heart = self._turns.heart
        return _Now(self._turns.journal.position, heart.recorded, _needed(tables, heart), past=False)

    async def _then(self, tables: list[str], then: Then, query: _Query) -> _Now:
        def hear(body: Body) -> None:
            if isinstance(body, Progress):
                query.doing = body.text

        refuse_present_only(tables)
        heart = await then.heart(hear) if any(table in NEEDS for table in tables) else None
        state = [] if heart is None else _needed(tables, heart)
        return _Now(then.position, then.recorded, state, past=True)

    def _rest(self) -> None:
        if self._worker is not None and not self._queries:
            self._worker.end()

    # ---------------------------------------------------------------------------------------- in the thread

    def _check(self, sql: str) -> list[str]:
        answer = self._ready().ask(frames.Check(sql))
        if not isinstance(answer, frames.Checked):
            raise SqlWorkerEnded(f"the SQL worker answers {type(answer).__name__} to Check")
        return answer.tables

    def _ready(self) -> WorkerProcess:
        """The worker; another one where it is gone, or where a segment was sealed since."""
        sealed, upto = self._turns.journal.sealed
        if self._worker is not None and not (self._worker.running and self._worker.sealed == sealed):
            worker, self._worker = self._worker, None
            worker.close()
        if self._worker is None:
            self._worker = WorkerProcess(self._folder, sealed, upto)
        return self._worker

    def _run(self, ask: AskSql, tables: list[str], now: _Now, query: _Query) -> Told:
        worker = self._worker
        if worker is None:
            raise SqlWorkerEnded("the SQL worker ended")
        query.doing = "reading what is new"
        self._feed(worker, tables, now)
        query.doing = "running the query"
        up_to = now.position if now.past else None
        rows = min(ask.rows or limits.SQL_ROWS_MAX, limits.SQL_ROWS_MAX)
        answer = worker.ask(frames.Run(ask.sql, now.recorded, rows, limits.SQL_ANSWER_BYTES_MAX, up_to))
        if not isinstance(answer, frames.Answered):
            raise SqlWorkerEnded(f"the SQL worker answers {type(answer).__name__} to Run")
        body: SqlAnswer = answer.answer
        if "events" in tables or "facts" in tables:
            body.journal_from = self._turns.journal.reach.position
        return Told(now.position, now.recorded, body, past=now.past)

    def _feed(self, worker: WorkerProcess, tables: list[str], now: _Now) -> None:
        journal = self._turns.journal
        with closing(journal.cursor()) as db:
            if "events" in tables:
                for feed in tail(db, "events", worker.events, now.position):
                    worker.tell(feed)
                worker.events = max(worker.events, now.position)
                names = list(journal.names[worker.names :])
                worker.tell(frames.Names(worker.names, names))
                worker.names += len(names)
            if "facts" in tables:
                for feed in tail(db, "entries", worker.entries, now.position):
                    worker.tell(feed)
                worker.entries = max(worker.entries, now.position)
        for fold, table, items in now.state:
            step = limits.SQL_STATE_ITEMS_MAX
            for start in range(0, max(1, len(items)), step):
                worker.tell(frames.State(fold, table, start == 0, packed(items[start : start + step])))


def _needed(tables: list[str], heart: Heart) -> list[tuple[str, str, list[tuple[Key, Any]]]]:
    """Copies of references only: the values themselves are never changed."""
    state = []
    for table in tables:
        fold, names = NEEDS.get(table, ("", ()))
        state += [(fold, name, list(heart.states[fold].items(name))) for name in names]
    return state
