"""The plane's side of projections: levers on them and questions to them.

A class has a runner (`running`), and its answer is given once that is far enough. A view is a query of the SQL desk.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

from bus.errors import InvalidPattern
from bus.topic import Filter
from controlplane import limits
from controlplane.answers.operations import unknown_partition
from controlplane.answers.projections import Resolved, plan_projection
from controlplane.asking import Tell
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.fold import Heart
from controlplane.projecting.resolving import resolve_class, resolve_view
from controlplane.projecting.runner import Broken
from controlplane.projecting.running import Live, Runners
from controlplane.projections import VIEW, Registered, registered_in
from controlplane.questions import (
    AskProjection,
    AskSql,
    Body,
    Progress,
    Project,
    Projected,
    ProjectionRows,
    Refusal,
    SqlAnswer,
    Told,
)
from controlplane.sql.desk import Desk
from controlplane.turns import Turns

_LIST = "signalbox projection list"


class ProjectionDesk:
    """Answers for one plane. `sql` answers views, `telling` waits for long work and says how far it is."""

    def __init__(
        self,
        turns: Turns,
        folder: Path,
        sql: Desk,
        refusal: Callable[[Refusal], Told],
        telling: Callable[[Coroutine[Any, Any, Told], Tell, Callable[[], Progress]], Awaitable[Told]],
    ) -> None:
        self._turns = turns
        self._folder = folder
        self._sql = sql
        self._refused = refusal
        self._telling = telling
        self.runners = Runners(turns, folder)
        self._one = asyncio.Lock()

    # --------------------------------------------------------------------------------------------- levers

    async def project(self, ask: Project, tell: Tell) -> Body:
        """Register, rebuild or remove one, or say what that would touch. One at a time."""
        async with self._one:
            return await self._project(ask)

    async def _project(self, ask: Project) -> Body:
        await self._turns.settled()
        state = self._turns.heart.states["projections"]
        known = registered_in(state, ask.name)
        try:
            found = await self._resolved(ask, known)
        except (ProjectionRefused, InvalidPattern) as error:
            return Refusal("usage", str(error), "Nothing was changed.")
        await self._turns.settled()
        decision, planned = plan_projection(self._turns.heart.states, ask, found)
        if decision is not None and isinstance(planned, Projected):
            planned.position = await self._turns.decide(decision)
        return planned

    async def _resolved(self, ask: Project, known: Registered | None) -> Resolved:
        kind, target, pattern = ask.kind, ask.target, ask.pattern
        if ask.verb != "add" and known is not None:
            kind, target, pattern = known.kind, known.target, known.given
        if ask.verb == "remove" or (ask.verb == "rebuild" and (known is None or kind == VIEW)):
            return Resolved()
        if pattern:
            Filter(pattern)
        if kind == VIEW:
            return await resolve_view(self._sql, target, ask.file)
        return await asyncio.to_thread(resolve_class, self._folder, target, pattern)

    # --------------------------------------------------------------------------------------------- questions

    async def answer(self, ask: AskProjection, tell: Tell) -> Told:
        """What it holds, once that is far enough; a refusal when that takes too long, or never comes."""
        most = min(ask.timeout_ms or limits.PROJECTION_WAIT_MS_DEFAULT, limits.PROJECTION_WAIT_MS_MAX) / 1000
        doing = [Progress(0, 0, "waiting for the archive")]
        try:
            async with asyncio.timeout(most):
                return await self._telling(self._answer(ask, doing, tell), tell, lambda: doing[0])
        except TimeoutError:
            return self._refused(Refusal("failed", self._late(ask, most), f"Wait longer with --timeout; {_LIST}"))
        except Broken as broken:
            live = self.runners.get(ask.name)
            if live is not None and live.runner.registered.build == broken.fact.build:
                await self.runners.quarantine(live, broken)
            return self._refused(Refusal("failed", f"projection {ask.name}: {broken}", _LIST))
        except ProjectionRefused as error:
            return self._refused(Refusal("failed", f"projection {ask.name}: {error}", _LIST))

    async def answer_then(self, ask: AskProjection, then: Heart, sql: Callable[[AskSql], Awaitable[Told]]) -> Told:
        """A view that was registered then, as of then, by a query to `sql`; of a class nothing is kept."""
        registered = registered_in(then.states["projections"], ask.name)
        if registered is None:
            return self._refused(Refusal("not_found", f"then there was no projection {ask.name!r}", f"{_LIST} --at"))
        if registered.kind != VIEW:
            why = f"projection {ask.name} is a class: it keeps what it holds now, and nothing of what it held"
            return self._refused(Refusal("usage", why, "signalbox sql --at looks back."))
        return _viewed(ask, await sql(_query(ask, registered)))

    async def _answer(self, ask: AskProjection, doing: list[Progress], tell: Tell) -> Told:
        await self._turns.settled()
        registered = registered_in(self._turns.heart.states["projections"], ask.name)
        if registered is None:
            return self._refused(Refusal("not_found", f"there is no projection {ask.name!r}", _LIST))
        partitions = len(self._turns.heart.states["fleet"].table("partition"))
        for partition in ask.offsets:
            if 0 < partitions <= partition:
                return self._refused(unknown_partition(f"p{partition:02d}", partitions))
        wanted = await self._wanted(ask)
        if registered.kind == VIEW:
            await self._turns.beyond(wanted - 1)
            return _viewed(ask, await self._sql.answer(_query(ask, registered), tell))
        rows = min(ask.rows or limits.PROJECTION_ROWS_DEFAULT, limits.PROJECTION_ROWS_MAX)
        while True:
            live = self.runners.get(ask.name)
            if live is None or live.stands:
                why = registered.error or (live.why if live is not None else "it is not registered any more")
                at = f" at position {registered.broken_at:,}, {registered.event}" if registered.broken_at else ""
                hint = f"signalbox projection rebuild {ask.name}"
                return self._refused(Refusal("failed", f"projection {ask.name} stands still{at}: {why}", hint))
            told_rows = await self._rows(live, ask.name, wanted, rows, doing)
            if told_rows is not None:
                return told_rows

    async def _rows(self, live: Live, name: str, wanted: int, rows: int, doing: list[Progress]) -> Told | None:
        """The answer; None when something came between: it is to be looked again how things are."""
        runner = live.runner
        if runner.follows and not wanted:
            # What is archived now is what a reader expects who names nothing.
            wanted = self._turns.journal.position

        def is_there() -> bool:
            doing[0] = Progress(runner.position, wanted, live.why or "waiting for the projection")
            return runner.position >= wanted or live.stands or self.runners.get(name) is not live

        live.asked.set()
        try:
            async with live.moved:
                await live.moved.wait_for(is_there)
            if live.stands or self.runners.get(name) is not live:
                return None
            loop = asyncio.get_running_loop()
            try:
                position, recorded, found = await loop.run_in_executor(runner.thread, runner.rows, rows)
            except WorkerEnded as error:
                await self.runners.say(live, str(error))
                await asyncio.sleep(limits.PROJECTION_RESTART_MS_MIN / 1000)
                return None
        finally:
            live.asked.clear()
        if position < wanted:
            return None
        behind = 0 if runner.follows else self._turns.journal.position - position
        body = ProjectionRows(name, found.columns, found.rows, found.count, found.cut, behind, runner.journal_from)
        return Told(position, recorded, body, rebuilding=behind > 0)

    async def _wanted(self, ask: AskProjection) -> int:
        """The position that it is to have reached."""
        if not ask.offsets:
            return ask.position
        await self._turns.reached({partition: offset + 1 for partition, offset in ask.offsets.items()})
        return max(ask.position, await asyncio.to_thread(self._position_of, ask.offsets))

    def _position_of(self, offsets: dict[int, int]) -> int:
        """The last of the events at these offsets, which are all archived."""
        found = [0]
        with closing(self._turns.journal.reading()) as db:
            for partition, offset in offsets.items():
                fitting = [each for each in db.segments if each.birth.floors.get(partition, 0) <= offset]
                segment = fitting[-1] if fitting else db.segments[0]
                row = db.execute(
                    f"select first + (? - first_offset) from {segment.alias}.steps "  # noqa: S608
                    "where partition = ? and first_offset <= ? and first_offset + events > ?",
                    [offset, partition, offset, offset],
                ).fetchone()
                found.append(int(row[0]) if row is not None else 0)
        return max(found)

    def _late(self, ask: AskProjection, seconds: float) -> str:
        live, archived = self.runners.get(ask.name), self._turns.journal.offsets
        for partition, offset in ask.offsets.items():
            if archived.get(partition, 0) <= offset:
                return f"p{partition:02d}={offset} was not archived within {seconds:g} s"
        at = f", it is at {live.runner.position:,}" if live is not None else ""
        why = f": {live.why}" if live is not None and live.why else ""
        return f"projection {ask.name} did not come so far within {seconds:g} s{at}{why}"


def _query(ask: AskProjection, registered: Registered) -> AskSql:
    rows = min(ask.rows or limits.PROJECTION_ROWS_DEFAULT, limits.PROJECTION_ROWS_MAX)
    return AskSql(registered.target, timeout_ms=ask.timeout_ms, rows=rows)


def _viewed(ask: AskProjection, told: Told) -> Told:
    if isinstance(told.body, SqlAnswer):
        found = told.body
        told.body = ProjectionRows(
            *(ask.name, [column.name for column in found.columns], found.rows, found.count, found.cut),
            journal_from=found.journal_from,
        )
    return told
