"""Long questions to the journal as a whole, each in a thread on hearts of its own: verify, what-if, diff.

The live heart is not touched, and the journal is read on a connection of its own, so a turn never waits for one of
these. Each says how far it is, and gives up when the plane ends or the asker is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from controlplane import limits, settings, timeline
from controlplane.answers import not_any_more, past
from controlplane.asking import Tell
from controlplane.differences import compare
from controlplane.errors import BadSetting
from controlplane.fold import Heart, Step
from controlplane.plane import folds
from controlplane.questions import (
    AskDiff,
    AskVerify,
    AskWhatIf,
    At,
    Body,
    Diff,
    FactChange,
    Horizon,
    KindChange,
    Progress,
    Refusal,
    Verified,
    WhatIf,
)
from controlplane.turns import Turns
from controlplane.whatif import CHANGED, GONE, MOVED, NEW, SAME, Difference, Outcome, Span, fields_of, text_of, what_if

Value = TypeVar("Value")
Telling = Callable[[Coroutine[Any, Any, Any], Tell, Callable[[], Progress]], Coroutine[Any, Any, Any]]
"""Waits for work in a thread, saying meanwhile how far it is."""
_TELLING_ONLY = ("lately",)
"""Folds that only tell again what other facts say: their lines would be a second diff of the facts."""


class Rereading:
    """Reads one plane's journal again. `go_on` raises when nobody waits any more, `moment` gives a state of then."""

    def __init__(
        self,
        turns: Turns,
        moment: Callable[[At, Tell], Awaitable[Heart | Refusal]],
        go_on: Callable[[], None],
        telling: Telling,
    ) -> None:
        self._turns = turns
        self._moment = moment
        self._go_on = go_on
        self._telling = telling

    async def verify(self, ask: AskVerify, tell: Tell) -> Body:
        """Regenerate the journal and compare."""
        journal = self._turns.journal
        loop, total = asyncio.get_running_loop(), journal.position
        begun, done = loop.time(), 0

        def count(entries: int) -> None:
            nonlocal done
            done = entries
            self._go_on()

        def witnesses(position: int) -> Iterator[Heart]:
            snapshot = self._turns.later(position)
            if snapshot is not None:
                yield snapshot
            yield asyncio.run_coroutine_threadsafe(self._present(), loop).result()

        begin, is_present = await asyncio.to_thread(self._turns.beginning)
        again = lambda: self._steps(journal.replay(after=begin.steps))  # noqa: E731
        steps = journal.replay(total, begin.steps)
        work = asyncio.to_thread(timeline.verify, steps, folds(), count, again, witnesses, begin.copy, is_present)
        verdict = await self._telling(work, tell, lambda: Progress(done, total, "running the journal again"))
        return Verified(
            same=verdict.same,
            entries=verdict.entries,
            events=verdict.events,
            seconds=loop.time() - begun,
            digest=verdict.digest,
            divergence=verdict.divergence,
            older=verdict.older,
            where=verdict.where,
            journal_from=begin.position,
        )

    async def diff(self, ask: AskDiff, tell: Tell) -> Body:
        """What differs in state between two moments."""
        moments = (ask.position_a, ask.instant_a), (ask.position_b, ask.instant_b)
        if any((position is None) == (instant is None) for position, instant in moments):
            return Refusal("usage", "each of the two is either a position or an instant", "signalbox replay diff A B")
        first, second = [await self._moment(At(*moment), tell) for moment in moments]
        if isinstance(first, Refusal):
            return first
        if isinstance(second, Refusal):
            return second
        work = asyncio.to_thread(_diff, first, second, min(ask.limit, limits.EXAMPLES_MAX))
        body: Body = await self._telling(work, tell, lambda: Progress(0, 0, "comparing the two"))
        return body

    async def what_if(self, ask: AskWhatIf, tell: Tell) -> Body:
        """The journal's inputs under other settings."""
        if len(ask.settings) > limits.SETTINGS_ASKED_MAX:
            return Refusal("usage", f"{len(ask.settings)} settings; {limits.SETTINGS_ASKED_MAX} are possible at once")
        try:
            changed = settings.read(ask.settings)
        except BadSetting as error:
            return Refusal("usage", str(error), f"Settings: {settings.known()}.")
        journal, reach = self._turns.journal, self._turns.journal.reach
        if 0 < (ask.position or 0) <= reach.position or 0 < (ask.instant or 0) < reach.recorded:
            return not_any_more(reach.position, reach.recorded)
        loop, total = asyncio.get_running_loop(), journal.position
        begun, done = loop.time(), 0
        span = Span(ask.position or 0, ask.instant or 0, ask.until_position, ask.until_instant)

        def told(position: int) -> None:
            nonlocal done
            done = position
            self._go_on()

        def work() -> Body:
            begin, is_present = self._turns.beginning()
            steps, limit = journal.replay(total, begin.steps), min(ask.limit, limits.EXAMPLES_MAX)
            outcome = what_if(steps, folds, changed, span, limit, told, begin=begin.copy, is_present=is_present)
            return _otherwise(outcome, ask, changed)

        body = await self._telling(
            asyncio.to_thread(work), tell, lambda: Progress(done, total, "running it under other rules")
        )
        if isinstance(body, WhatIf):
            body.seconds = loop.time() - begun
        answered: Body = body
        return answered

    async def _present(self) -> Heart:
        """A copy of the live heart: the state that the plane has, whatever the journal gives."""
        await self._turns.settled()
        return self._turns.heart.copy()

    def _steps(self, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            self._go_on()
            yield step


def _diff(first: Heart, second: Heart, limit: int) -> Diff:
    # What was being folded again at one of the two moments has no state to be compared there.
    both = [name for name in first.states if name in second.states]
    was, now = ({name: heart.states[name] for name in both} for heart in (first, second))
    tables, changes = compare(was, now, limit)
    return Diff(
        position_a=first.position,
        recorded_a=first.recorded,
        position_b=second.position,
        recorded_b=second.recorded,
        same=not tables,
        tables=tables,
        changes=changes,
        counts_a=past(first).counts,
        counts_b=past(second).counts,
    )


def _otherwise(found: Outcome, ask: AskWhatIf, changed: dict[str, str]) -> Body:
    if not found.first:
        return Refusal("not_found", "the journal has no step in that span", "See `signalbox status` for its position.")
    kinds = sorted({kind for kind, _ in found.tally})
    tables, changes = compare(_shown(found.was), _shown(found.now), min(ask.limit, limits.EXAMPLES_MAX))
    return WhatIf(
        settings=changed,
        first=found.first,
        last=found.last,
        since=found.since,
        until=found.until,
        same=found.same,
        entries=found.entries,
        events=found.events,
        older=found.older,
        seconds=0.0,
        kinds=[
            KindChange(kind, *(found.tally[kind, how] for how in (GONE, NEW, MOVED, CHANGED, SAME))) for kind in kinds
        ],
        facts=[_fact(one) for one in found.examples],
        horizon=_place(found.horizon),
        unasked=_place(found.unasked),
        beyond=found.beyond,
        unmatched=found.unmatched,
        tables=tables,
        changes=changes,
        was=past(found.was).counts,
        now=past(found.now).counts,
        digest=found.now.digest().hex(),
    )


def _shown(heart: Heart) -> dict[str, Any]:
    return {name: state for name, state in heart.states.items() if name not in _TELLING_ONLY}


def _fact(one: Difference) -> FactChange:
    entry, fields = one.entry, fields_of(one)
    return FactChange(
        change=one.change,
        kind=type(entry.fact).__name__,
        text=text_of(entry.fact),
        position=one.was.position if one.was is not None else 0,
        recorded=one.was.recorded if one.was is not None else 0,
        now_recorded=one.now.recorded if one.now is not None else 0,
        was=", ".join(f"{name} {old}" for name, old, _ in fields),
        now=", ".join(f"{name} {new}" for name, _, new in fields),
        beyond=one.beyond,
    )


def _place(place: Any) -> Horizon | None:
    return None if place is None else Horizon(place.position, place.recorded, place.why)
