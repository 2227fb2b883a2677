"""The plane's side of `route`: where an event goes, what other rules would change, and the lever that changes them.

Rules are tried on recorded events in a thread, on a connection of its own; a change is decided one at a time, on the
very rules that it was planned on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import Any

from bus.errors import InvalidRule
from bus.event import to_json
from bus.router import Rules
from controlplane import limits
from controlplane.answers.routing import Trial, changed_rules, explained, rules_of, step_text
from controlplane.archive import WHOLE, Archive
from controlplane.arrivals import of_archive
from controlplane.asking import Tell
from controlplane.errors import FactUnreadable
from controlplane.facts import (
    EventRouted,
    RoutesSet,
    TaskDispatched,
    TaskDropped,
    TaskEscalated,
    TaskReady,
    TaskReturned,
    decode_fact,
)
from controlplane.fold import Heart
from controlplane.inforce import of as in_force
from controlplane.journal import fetch
from controlplane.questions import (
    AskEvent,
    AskRoute,
    At,
    Body,
    EventDetail,
    Progress,
    Question,
    Refusal,
    RoutesChanged,
    RouteStep,
    RoutesTried,
    SetRoutes,
    Told,
    TryRoutes,
)
from controlplane.turns import Turns

_TOLD = (EventRouted, TaskDispatched, TaskReturned, TaskReady, TaskEscalated, TaskDropped)
_KINDS = ", ".join(f"'{kind.__name__}'" for kind in _TOLD)


class RouteDesk:
    """Answers for one plane. `moment` gives a state of then, `go_on` raises when nobody waits any more, `telling` waits
    for long work and says how far it is."""

    def __init__(
        self,
        turns: Turns,
        archive: Archive,
        moment: Callable[[At, Tell], Awaitable[Heart | Refusal]],
        go_on: Callable[[], None],
        telling: Callable[[Coroutine[Any, Any, RoutesTried], Tell, Callable[[], Progress]], Awaitable[RoutesTried]],
    ) -> None:
        self._turns = turns
        self._archive = archive
        self._moment = moment
        self._go_on = go_on
        self._telling = telling
        self._one = asyncio.Lock()
        self.answers: dict[type[Question], Callable[[Any, Tell], Awaitable[Body]]] = {
            AskRoute: self._explain,
            SetRoutes: self._set,
            TryRoutes: self._try_out,
        }
        """Who answers what."""

    # ----------------------------------------------------------------------------------------- one event

    async def explain_then(self, ask: AskRoute, at: At, tell: Tell) -> Told:
        """Where an event would have gone then, and what had become of it."""
        heart = await self._moment(at, tell)
        if isinstance(heart, Refusal):
            return Told(self._turns.journal.position, self._turns.journal.recorded, heart)
        return Told(heart.position, heart.recorded, await self._explained(ask, heart), past=True)

    async def _explain(self, ask: AskRoute, tell: Tell) -> Body:
        """Where an event goes, and what became of it."""
        await self._turns.settled()
        return await self._explained(ask, self._turns.heart)

    async def _explained(self, ask: AskRoute, heart: Heart) -> Body:
        if ask.event.lstrip().startswith("{"):
            return explained(heart.states, ask.event, 0, [], heart.recorded)
        up_to = heart.position
        found = await asyncio.to_thread(self._archive.event, AskEvent(ask.event), up_to)
        if not isinstance(found, EventDetail):
            return found
        steps = await asyncio.to_thread(self._steps, found.row.position, up_to)
        if heart is self._turns.heart:
            await self._turns.settled()
        return explained(heart.states, found.event, found.row.position, steps, heart.recorded)

    def _steps(self, position: int, up_to: int) -> list[RouteStep]:
        """What was decided about the event there, oldest first."""
        sql = (
            f"select position, recorded, fact from entries where kind in ({_KINDS}) and position > ? and position <= ?"  # noqa: S608
        )
        mark, found = f"{position}.".encode(), list[RouteStep]()
        with closing(self._turns.journal.reading().across("entries")) as db:
            rows = db.execute(f"{sql} order by position", [position, up_to])
            while some := rows.fetchmany(limits.ROUTE_TEST_ROWS):
                self._go_on()
                for at, recorded, body in some:
                    step = _step(int(at), int(recorded), bytes(body), position, mark)
                    if step is not None:
                        found.append(step)
                        if len(found) >= limits.ROUTE_STEPS_MAX:
                            return found
        return found

    # ----------------------------------------------------------------------------------------- other rules

    async def _try_out(self, ask: TryRoutes, tell: Tell) -> Body:
        """What other rules would have done with what was recorded."""
        try:
            rules = rules_of(ask.rules, ask.default)
        except InvalidRule as error:
            return Refusal("usage", str(error), "signalbox route add --help")
        return await self._tried(rules, ask.since, tell)

    async def _tried(self, rules: Rules, since: int, tell: Tell) -> RoutesTried:
        await self._turns.settled()
        force = in_force(self._turns.heart.states["dispatch"])
        trial, done = Trial(force.rules, rules), [0, 0]
        begin = max(0, self._turns.clock.now() - since)
        work = asyncio.to_thread(self._try, trial, begin, done, force.version)
        return await self._telling(work, tell, lambda: Progress(done[0], done[1], "trying the rules on events"))

    def _try(self, trial: Trial, since: int, done: list[int], version: int) -> RoutesTried:
        journal = self._turns.journal
        numbers = [number for number, name in enumerate(journal.names) if trial.names(name)]
        among = f"type in ({', '.join(map(str, numbers))})" if numbers else "false"
        where = f"recorded >= {since} and {among} and not internal"
        with closing(journal.cursor()) as db:
            recorded = int(fetch(db, f"select count(*) as n from events where recorded >= {since}")["n"][0])  # noqa: S608
            newest = f"select position from events where {where} order by position desc limit {limits.ROUTE_TEST_EVENTS_MAX + 1}"  # noqa: S608, E501
            positions = fetch(db, newest)["position"][::-1]
            cut = len(positions) > limits.ROUTE_TEST_EVENTS_MAX
            positions = positions[1:] if cut else positions
            done[1] = len(positions)
            for start in range(0, len(positions), limits.ROUTE_TEST_ROWS):
                self._go_on()
                some = positions[start : start + limits.ROUTE_TEST_ROWS]
                within = f"position between {some[0]} and {some[-1]} and {where} order by position"
                columns = fetch(db, f"select position, {WHOLE} from events where {within}")  # noqa: S608
                places = columns.pop("position")
                arrival = of_archive(columns, journal.names)
                for row, position in enumerate(places):
                    event = arrival.event(row)
                    if "importof" not in event.extensions and "redriveto" not in event.extensions:
                        trial.take(position, event.id, event.type, to_json(event))
                done[0] += len(some)
        return trial.told(recorded, since, cut, version)

    # ----------------------------------------------------------------------------------------- the lever

    async def _set(self, ask: SetRoutes, tell: Tell) -> Body:
        """Change the rules, or say what that would touch. One at a time."""
        async with self._one:
            await self._turns.settled()
            force = in_force(self._turns.heart.states["dispatch"])
            if ask.expected is not None and ask.expected != force.version:
                why = f"the rules are of version {force.version} now"
                return Refusal("changed", why, "Look again with --dry-run.")
            found = changed_rules(force, ask)
            if isinstance(found, Refusal):
                return found
            rules, touched = found
            told = RoutesChanged(ask.verb, touched, ask.dry_run, force.version)
            if ask.dry_run:
                told.tried = await self._tried(rules, ask.since, tell) if ask.since else None
            elif touched:
                told.position = await self._turns.decide(RoutesSet(force.version + 1, rules, ask.by, ask.reason))
            return told


def _step(at: int, recorded: int, body: bytes, position: int, mark: bytes) -> RouteStep | None:
    if mark not in body and b"EventRouted" not in body:
        return None
    try:
        fact = decode_fact(body)
    except FactUnreadable:
        return None
    if isinstance(fact, EventRouted):
        is_it = fact.position == position
    else:
        is_it = isinstance(fact, _TOLD) and str(getattr(fact, "task", "")).startswith(f"{position}.")
    return RouteStep(at, recorded, type(fact).__name__, step_text(fact)) if is_it else None
