"""Any reading question, answered as of a moment: the state after the last whole step by then, and no event after it.

What only the present knows (the plane's pid and directory, the journal's bytes) is left out; the *now* that ages are
counted from is `recorded` of then. Levers are refused, as the past cannot be changed, and so is what has not been yet.

The state comes from `Pasts`. An answer is put together in a thread too, one at a time: what a heart keeps for answers
(`Heart.scratch`) is not made for two threads at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from controlplane.answers import addressed, answer, extras_of_then, not_any_more, not_yet
from controlplane.archive import Archive
from controlplane.asking import Tell
from controlplane.fold import Heart
from controlplane.pasts import Pasts
from controlplane.questions import (
    AskAt,
    AskDiff,
    AskEvent,
    AskEvents,
    AskExport,
    AskSaga,
    AskSlice,
    AskSlicePage,
    AskVerify,
    AskWhatIf,
    At,
    Body,
    CancelSql,
    Down,
    Operate,
    Progress,
    Project,
    Question,
    Redrive,
    Refusal,
    SetRoutes,
    Told,
    TryRoutes,
)
from controlplane.turns import Turns


class AsOf:
    """Answers of the past of one plane. `go_on` raises when nobody waits any more, `telling` waits for long work."""

    def __init__(
        self,
        turns: Turns,
        archive: Archive,
        pasts: Pasts,
        go_on: Callable[[], None],
        telling: Callable[[Coroutine[Any, Any, Heart], Tell, Callable[[], Progress]], Awaitable[Heart]],
    ) -> None:
        self._turns = turns
        self._archive = archive
        self._pasts = pasts
        self._go_on = go_on
        self._telling = telling
        self._reading = asyncio.Lock()
        self._beside: dict[type[Question], Callable[[Any, Heart], Body]] = {
            AskEvents: self._events,
            AskEvent: self._event,
            AskSaga: self._saga,
        }
        """Who answers what beside the state, in a thread; all other questions are about state alone."""

    async def answer(self, question: Question, at: At, tell: Tell) -> Told:
        """The answer as of then. A refusal of the moment itself is told as of now."""
        found = REFUSED.get(type(question)) or await self.step(at)
        if isinstance(found, Refusal):
            return Told(self._turns.journal.position, self._turns.journal.recorded, found)
        position, recorded = found
        if isinstance(question, AskExport):
            up_to = position if question.up_to is None else min(position, question.up_to)
            page = await asyncio.to_thread(self._archive.page, question, up_to)
            return Told(position, recorded, page, past=True)
        heart = await self.heart(position, tell)
        async with self._reading:
            body = await asyncio.to_thread(self._beside.get(type(question), _state), question, heart)
        return Told(heart.position, heart.recorded, body, past=True)

    async def moment(self, at: At, tell: Tell) -> Heart | Refusal:
        """The state as of then, to be read only."""
        found = await self.step(at)
        return found if isinstance(found, Refusal) else await self.heart(found[0], tell)

    async def heart(self, position: int, tell: Tell) -> Heart:
        """The state after the step that ends at this position, to be read only."""
        done = 0

        def told(reached: int) -> None:
            nonlocal done
            self._go_on()
            done = reached

        work = self._pasts.at(position, told)
        return await self._telling(work, tell, lambda: Progress(done, position, "going back"))

    async def step(self, at: At) -> tuple[int, int] | Refusal:
        """Last position and `recorded` of the step that the moment means; zeros before the first."""
        journal = self._turns.journal
        refusal = not_yet(at, journal.position, self._turns.clock.now())
        if refusal is not None:
            return refusal
        # A turn that began before that instant is committed first: what is told of it now stays true.
        await self._turns.settled()
        found = await asyncio.to_thread(journal.end_of_step, at.position, at.instant)
        reach = journal.reach
        return not_any_more(reach.position, reach.recorded) if found[0] < reach.position else found

    def _events(self, ask: AskEvents, heart: Heart) -> Body:
        return addressed(self._archive.events(ask, heart.recorded, heart.position), heart, heart.recorded)

    def _event(self, ask: AskEvent, heart: Heart) -> Body:
        found = self._archive.event(ask, heart.position)
        return found if isinstance(found, Refusal) else addressed(found, heart, heart.recorded)

    def _saga(self, ask: AskSaga, heart: Heart) -> Body:
        extras = extras_of_then(heart)
        extras.steps = self._archive.saga_steps(ask.saga, ask.limit, heart.recorded, heart.position)
        return answer(ask, heart, heart.recorded, extras)


def _state(question: Question, heart: Heart) -> Body:
    return answer(question, heart, heart.recorded, extras_of_then(heart))


_LEVER = Refusal("usage", "the past cannot be changed: levers work on the present only", "Leave out --at.")
_OWN_MOMENTS = Refusal("usage", "this question names moments of its own", "Ask it without another.")
REFUSED: dict[type[Question], Refusal] = {
    Redrive: _LEVER,
    Operate: _LEVER,
    Project: _LEVER,
    SetRoutes: _LEVER,
    TryRoutes: _OWN_MOMENTS,
    Down: _LEVER,
    AskAt: _OWN_MOMENTS,
    AskDiff: _OWN_MOMENTS,
    AskWhatIf: _OWN_MOMENTS,
    AskSlice: _OWN_MOMENTS,
    AskSlicePage: _OWN_MOMENTS,
    CancelSql: Refusal("usage", "a query is cancelled now or never", "Leave out --at."),
    AskVerify: Refusal("usage", "the journal is verified as a whole", "Leave out --at."),
}
"""What cannot be asked of the past, and why."""
