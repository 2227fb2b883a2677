"""Who answers what: the folds for state, the archive for events, `asof` for the past; and the levers.

State is read when the turn is settled, so that an answer never says more than the journal holds. Archive and timeline
work in threads, on connections and hearts of their own, so that neither a long export nor a verify holds up a turn.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bus.client.fleet import Fleet
from bus.errors import BusError, InvalidPattern
from controlplane import limits
from controlplane.answers import (
    Extras,
    addressed,
    answer,
    condition,
    not_any_more,
    not_there,
    not_there_then,
    past,
    plan_operation,
)
from controlplane.answers.members import Newcomer
from controlplane.archive import Archive
from controlplane.asking import Tell, go_on
from controlplane.asof import AsOf
from controlplane.copying import Copying
from controlplane.errors import BeforeJournal, FoldRebuilding
from controlplane.health import state_of
from controlplane.joining import Joining
from controlplane.pasts import Pasts
from controlplane.projecting.desk import ProjectionDesk
from controlplane.questions import (
    AskAt,
    AskDiff,
    AskEvent,
    AskEvents,
    AskExport,
    AskProjection,
    AskProjections,
    AskRoute,
    AskSaga,
    AskSlice,
    AskSlicePage,
    AskSql,
    AskVerify,
    AskWhatIf,
    At,
    Board,
    Body,
    CancelSql,
    Down,
    EventDetail,
    Events,
    Exported,
    Health,
    Need,
    Operate,
    Operated,
    Progress,
    Project,
    Question,
    Redrive,
    Refusal,
    SqlCancelled,
    Status,
    Stopping,
    Timeline,
    Told,
)
from controlplane.redriving import redrive
from controlplane.rereading import Rereading
from controlplane.routedesk import RouteDesk
from controlplane.slices import Slices
from controlplane.sql.desk import Desk, Then
from controlplane.supervisor import Supervisor
from controlplane.turns import Turns

Value = TypeVar("Value")
Answer = Callable[[Any, Tell], Awaitable[Body | Told]]
"""Answers questions of one type. A body holds where the plane stands when it is there."""
_NO_JOURNAL_POINTS = 31
"""What it costs that the journal cannot be written: CRITICAL, whatever else is well."""


class Interrupted(Exception):
    """The plane ends: long work is given up."""


class Answering:
    """Answers for one plane. `down` is called, with why, when a console ends the fleet."""

    def __init__(
        self, turns: Turns, supervisor: Supervisor, joining: Joining, data_dir: str, down: Callable[[str], None]
    ) -> None:
        self._turns = turns
        self._supervisor = supervisor
        self._joining = joining
        self._down = down
        self._archive = Archive(turns.journal)
        self._slices = Slices(turns.journal, self._archive, self._go_on)
        pasts = Pasts(turns.journal.replay, turns.nearest, lambda: turns.journal.reach.position)
        self._as_of = AsOf(turns, self._archive, pasts, self._go_on, self._telling)
        self._extras = Extras(pid=os.getpid(), data_dir=data_dir)
        self._fleet: Fleet | None = None
        self._lever = asyncio.Lock()
        self._desk = Desk(turns, Path(data_dir) / "sql", self.present, self._go_on)
        self.projections = ProjectionDesk(
            turns, Path(data_dir) / "projections", self._desk, self.present, self._telling
        )
        self._rereading = Rereading(turns, self._as_of.moment, self._go_on, self._telling)
        routes = RouteDesk(turns, self._archive, self._as_of.moment, self._go_on, self._telling)
        self.stopping = False
        self.copying: Copying | None = None
        self._beside: dict[type[Question], Answer] = {
            AskEvents: self._events,
            AskEvent: self._event,
            AskExport: self._export,
            AskSlice: self._slice,
            AskSlicePage: self._slice_page,
            AskVerify: self._rereading.verify,
            AskWhatIf: self._rereading.what_if,
            AskDiff: self._rereading.diff,
            AskAt: self._at,
            AskSql: self._desk.answer,
            CancelSql: self._cancel,
            Redrive: self._redrive,
            Operate: self._operate,
            AskProjection: self.projections.answer,
            Project: self._project,
            Down: self._end,
        }
        self._beside |= routes.answers
        """Who answers what; all other questions are about state."""
        self._then: dict[type[Question], Callable[[Any, At, Tell], Awaitable[Told]]] = {
            AskRoute: routes.explain_then,
            AskSql: self._sql_then,
            AskProjection: self._projection_then,
        }
        """The same for the past; `asof` answers all other questions."""

    def introduce(self, url: str, started: float) -> None:
        """Where this plane answers, and since when it lives, seconds since 1970."""
        self._extras.url = url
        self._extras.started = int(started * 1_000_000_000)

    def keeps(self, journal: tuple[int, int], brokers: tuple[int, int]) -> None:
        """For how long, s, and how much the journal and the local brokers keep; 0 without end."""
        self._extras.journal_keeps, self._extras.brokers_keep = journal, brokers

    def look_through(self, fleet: Fleet) -> None:
        """The plane's own fleet is there: high watermarks can be asked for."""
        self._fleet = fleet

    def close(self) -> None:
        """Let go of what answers were made with."""
        self.projections.runners.close()
        self._desk.close()

    def present(self, body: Body) -> Told:
        """A body with the position that it holds at."""
        journal, rebuilding = self._turns.journal, bool(self._turns.heart.rebuilding)
        return Told(journal.position, max(journal.recorded, self._turns.clock.now()), body, rebuilding)

    async def answer(self, question: Question, tell: Tell, at: At | None = None) -> Told:
        """The answer to one question, as it was `at` a moment when one is given; a refusal is one too."""
        try:
            if at is not None:
                return await self._then.get(type(question), self._as_of.answer)(question, at, tell)
            found = await self._beside.get(type(question), self._state)(question, tell)
            return found if isinstance(found, Told) else self.present(found)
        except InvalidPattern as error:
            return self.present(Refusal("usage", str(error), "Tokens between dots; * stands for one, > for the rest."))
        except Interrupted:
            return self.present(Refusal("unavailable", "the control plane is ending", "Ask again when it is back."))
        except BeforeJournal:
            reach = self._turns.journal.reach
            return self.present(not_any_more(reach.position, reach.recorded))
        except FoldRebuilding as error:
            then = at is not None
            return self.present(
                not_there_then(error.fold) if then else not_there(self._turns.heart, error.fold, self._now())
            )

    async def _events(self, ask: AskEvents, tell: Tell) -> Body:
        now = self._turns.clock.now()
        return await self._addressed(await asyncio.to_thread(self._archive.events, ask, now))

    async def _event(self, ask: AskEvent, tell: Tell) -> Body:
        return await self._addressed(await asyncio.to_thread(self._archive.event, ask))

    async def _addressed(self, body: Events | EventDetail | Refusal) -> Body:
        if isinstance(body, Refusal):
            return body
        await self._turns.settled()
        heart = self._turns.heart
        return addressed(body, heart, heart.recorded)

    def _now(self) -> Extras:
        """What only this plane knows, as of now."""
        refold = self._turns.refold
        if refold is not None:
            self._extras.refolded, self._extras.refold_failed = refold.progress[0], refold.why
        return self._extras

    async def _state(self, question: Question, tell: Tell) -> Told:
        extras = self._now()
        if isinstance(question, AskSaga):
            now = self._turns.clock.now()
            steps = await asyncio.to_thread(self._archive.saga_steps, question.saga, question.limit, now)
            extras = Extras(**{name: getattr(extras, name) for name in Extras.__struct_fields__} | {"steps": steps})
        elif isinstance(question, AskProjections):
            extras.projections = await self.projections.runners.standing()
        await self._turns.settled()
        extras.state = self._condition()
        self._look_at_journal(extras)
        heart = self._turns.heart
        body = answer(question, heart, heart.recorded, extras)
        if self._turns.full or self._turns.stuck:
            self._complain(body)
        return Told(heart.position, heart.recorded, body, bool(heart.rebuilding))

    def _look_at_journal(self, extras: Extras) -> None:
        journal, copying = self._turns.journal, self.copying
        extras.journal_bytes, extras.journal_from = journal.size_bytes, journal.reach.position
        extras.journal_why = "" if self._turns.snapshots is None else self._turns.snapshots.why
        if copying is not None:
            extras.copied, extras.copy_behind, extras.copy_why = copying.position, copying.behind, copying.why

    def _complain(self, body: Body) -> None:
        """No fold can say that the journal does not go on: that would have to be journaled."""
        what, why, since = "the journal cannot be written", self._turns.full, self._turns.full_since
        if not why:
            what, why, since = "the plane stands still", self._turns.stuck, self._turns.stuck_since
        points = _NO_JOURNAL_POINTS
        need = Need("bad", what, why, since, "doctor", points, "journal")
        if isinstance(body, Board | Timeline):
            body.needs.insert(0, need)
        if isinstance(body, Health):
            body.penalties.insert(0, need)
            body.score = None if body.score is None else max(0, body.score - points)
            body.state = state_of(body.score)
        elif isinstance(body, Status | Board):
            status = body if isinstance(body, Status) else body.status
            status.controlplane.why = why
            counts = status.counts
            counts.score = None if counts.score is None else max(0, counts.score - points)
            counts.health = state_of(counts.score)

    def _condition(self) -> str:
        if self.stopping:
            return "stopping"
        if self._turns.full:
            return "full"
        if self._fleet is None:
            return "starting"
        return condition(self._turns.heart)

    # ------------------------------------------------------------------------------------------ long work

    async def _export(self, ask: AskExport, tell: Tell) -> Body:
        up_to = ask.up_to
        if up_to is None:
            refusal = await self._catch_up(tell)
            if refusal is not None:
                return refusal
            up_to = self._turns.journal.position
        page: Exported = await asyncio.to_thread(self._archive.page, ask, up_to)
        return page

    async def _slice(self, ask: AskSlice, tell: Tell) -> Body:
        if ask.slice.until_position is None and ask.slice.until_instant is None:
            refusal = await self._catch_up(tell)
            if refusal is not None:
                return refusal
        up_to = self._turns.journal.position
        work = asyncio.to_thread(self._slices.count, ask, up_to)
        return await self._telling(work, tell, lambda: Progress(0, 0, "counting"))

    async def _slice_page(self, ask: AskSlicePage, tell: Tell) -> Body:
        return await asyncio.to_thread(self._slices.page, ask)

    async def _catch_up(self, tell: Tell) -> Refusal | None:
        """Wait until all that is committed now is archived."""
        if self._fleet is None:
            return Refusal(
                "unavailable", "the fleet is still starting", "Ask again in a moment; see `signalbox status`."
            )
        try:
            asked = self._fleet.describe()
            extents = await self._telling(asked, tell, lambda: Progress(0, 0, "asking the brokers how much there is"))
        except BusError as error:
            return Refusal("unavailable", f"not all partitions can be asked: {error}", "See `signalbox status`.")
        highs = {partition: extent.high for partition, extent in extents.items()}
        total = sum(highs.values())

        def told() -> Progress:
            archived = self._turns.journal.offsets
            done = sum(min(high, archived.get(partition, 0)) for partition, high in highs.items())
            return Progress(done, total, self._turns.full or "waiting for the archive")

        await self._telling(self._turns.reached(highs), tell, told)
        return None

    async def _at(self, ask: AskAt, tell: Tell) -> Body:
        if (ask.position is None) == (ask.instant is None):
            return Refusal("usage", "either a position or an instant", "signalbox replay at POSITION, or a time.")
        found = await self._as_of.moment(At(ask.position, ask.instant), tell)
        return found if isinstance(found, Refusal) else past(found)

    def _go_on(self) -> None:
        """Raises in work that nobody waits for any more, in whatever thread it is done."""
        if self.stopping:
            raise Interrupted
        go_on()

    async def _telling(self, work: Coroutine[Any, Any, Value], tell: Tell, told: Callable[[], Progress]) -> Value:
        """Wait for long work, saying how far it is, until it is done, the plane ends or the asker is gone."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                await asyncio.wait((task,), timeout=limits.PROGRESS_MS / 1000)
                if task.done():
                    return task.result()
                self._go_on()
                tell(told())
        finally:
            task.cancel()

    async def _sql_then(self, ask: AskSql, at: At, tell: Tell) -> Told:
        found = await self._as_of.step(at)
        if isinstance(found, Refusal):
            return self.present(found)
        position, recorded = found
        return await self._desk.answer(ask, tell, Then(position, recorded, partial(self._as_of.heart, position)))

    async def _projection_then(self, ask: AskProjection, at: At, tell: Tell) -> Told:
        found = await self._as_of.moment(at, tell)
        if isinstance(found, Refusal):
            return self.present(found)
        return await self.projections.answer_then(ask, found, lambda query: self._sql_then(query, at, tell))

    async def _cancel(self, ask: CancelSql, tell: Tell) -> Body:
        return SqlCancelled(self._desk.cancel(ask.token))

    # --------------------------------------------------------------------------------------------- levers

    async def _redrive(self, ask: Redrive, tell: Tell) -> Body | Told:
        if ask.dry_run:
            return await self._state(ask, tell)
        # One at a time: the set that was planned is the set that is decided on.
        async with self._lever:
            self._go_on()
            return await redrive(self._turns, self._archive, ask)

    async def _operate(self, ask: Operate, tell: Tell) -> Body | Told:
        if ask.dry_run and ask.verb != "add":  # who would be added is asked first
            return await self._state(ask, tell)
        async with self._lever:
            self._go_on()
            await self._turns.settled()
            heart = self._turns.heart
            newcomer: Newcomer | None = None
            if ask.verb == "add":
                met = await self._joining.meet(ask, heart.states["fleet"])
                if isinstance(met, Refusal):
                    return met
                newcomer = met
                await self._turns.settled()
            decision, planned = plan_operation(heart.states, ask, heart.recorded, newcomer)
            if decision is not None and newcomer is not None and newcomer.url:
                refusal = await self._joining.claim(newcomer)
                if refusal is not None:
                    return refusal
            if decision is not None and isinstance(planned, Operated):
                planned.position = await self._turns.decide(decision)
        return planned

    async def _project(self, ask: Project, tell: Tell) -> Body:
        self._go_on()
        return await self.projections.project(ask, tell)

    async def _end(self, ask: Down, tell: Tell) -> Body:
        reason = " ".join(filter(None, ("down", ask.by and f"by {ask.by}", ask.reason and f": {ask.reason}")))
        pids = [*self._supervisor.pids, os.getpid()]
        asyncio.get_running_loop().call_soon(self._down, reason)
        return Stopping(pids)
