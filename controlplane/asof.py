"""Any reading question, answered as of a moment: the state after the last whole step by then, and no event after it.

What only the present knows (the plane's pid and directory, the journal's bytes) is left out; the *now* that ages are
counted from is `recorded` of then. Levers are refused, as the past cannot be changed, and so is what has not been yet.

The state comes from `Pasts`. An answer is put together in a thread too, one at a time: what a heart keeps for answers
(`Heart.scratch`) is not made for two threads at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from controlplane.answers import addressed, answer, extras_of_then, not_there, not_yet
from controlplane.archive import Archive
from controlplane.asking import Tell
from controlplane.errors import FoldRebuilding
from controlplane.fold import Heart
from controlplane.pasts import Pasts
from controlplane.questions import (
    AskAt,
    AskDiff,
    AskEvent,
    AskEvents,
    AskExport,
    AskSaga,
    AskSql,
    AskVerify,
    AskWhatIf,
    At,
    Body,
    CancelSql,
    Down,
    Operate,
    Progress,
    Question,
    Redrive,
    Refusal,
    Told,
)
from controlplane.turns import Turns


class AsOf:
    """Answers of the past of one plane. `go_on` raises when the plane ends, `telling` waits for long work."""

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

    async def answer(self, question: Question, at: At, tell: Tell) -> Told:
        """The answer as of then. A refusal of the moment itself is told as of now."""
        found = refused(question) or await self._step(at)
        if isinstance(found, Refusal):
            return Told(self._turns.journal.position, self._turns.journal.recorded, found)
        position, recorded = found
        if isinstance(question, AskExport):
            up_to = position if question.up_to is None else min(position, question.up_to)
            page = await asyncio.to_thread(self._archive.page, question, up_to)
            return Told(position, recorded, page, past=True)
        heart = await self.heart(position, tell)
        async with self._reading:
            body = await asyncio.to_thread(self._body, question, heart)
        return Told(heart.position, heart.recorded, body, past=True)

    async def moment(self, at: At, tell: Tell) -> Heart | Refusal:
        """The state as of then, to be read only."""
        found = await self._step(at)
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

    async def _step(self, at: At) -> tuple[int, int] | Refusal:
        """Last position and `recorded` of the step that the moment means; zeros before the first."""
        journal = self._turns.journal
        refusal = not_yet(at, journal.position, self._turns.clock.now())
        if refusal is not None:
            return refusal
        # A turn that began before that instant is committed first: what is told of it now stays true.
        await self._turns.settled()
        return await asyncio.to_thread(journal.end_of_step, at.position, at.instant)

    def _body(self, question: Question, heart: Heart) -> Body:
        now, position = heart.recorded, heart.position
        if isinstance(question, AskEvents):
            return addressed(self._archive.events(question, now, position), heart, now)
        if isinstance(question, AskEvent):
            found = self._archive.event(question, position)
            return found if isinstance(found, Refusal) else addressed(found, heart, now)
        extras = extras_of_then(heart)
        if isinstance(question, AskSaga):
            extras.steps = self._archive.saga_steps(question.saga, question.limit, now, position)
        try:
            return answer(question, heart, now, extras)
        except FoldRebuilding as error:
            return not_there(heart, error.fold, extras)


def refused(question: Question) -> Refusal | None:
    """Why a question cannot be asked of the past, or None."""
    if isinstance(question, Redrive | Operate | Down):
        return Refusal("usage", "the past cannot be changed: levers work on the present only", "Leave out --at.")
    if isinstance(question, AskAt | AskDiff | AskWhatIf):
        return Refusal("usage", "this question names moments of its own", "Ask it without another.")
    if isinstance(question, AskSql | CancelSql):
        return Refusal("usage", "SQL reads the journal as a whole", "Bound it: where position <= ...")
    if isinstance(question, AskVerify):
        return Refusal("usage", "the journal is verified as a whole", "Leave out --at.")
    return None
