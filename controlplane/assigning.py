"""Who gets a task: what the registry says of agents, and what they have already. Pure; part of the fold `dispatch`.

A task that comes is given to one of two that are drawn (`bus.choice`). Where nobody has room it waits, and from then on
agents come for it: one that has settled something, or joins, or says that it lives, gets what waits for it, the highest
priority first and the oldest of it. So nothing is looked through again and again while all are busy.

What is planned within one reaction is not in the state yet: `Plan` remembers it.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bus.choice import Choice, Standing, alone, choose, expected_us, standing
from bus.topic import is_type
from controlplane.able import able_agents, is_able, nth_able
from controlplane.agents import INBOX, SOURCE, Agent
from controlplane.facts import TaskDispatched
from controlplane.limits import (
    AGENT_QUEUE_MAX,
    AGENT_TASKS_DEFAULT,
    AGENT_TASKS_MAX,
    DISPATCHES_AT_ONCE_MAX,
    TASK_AGED_MS,
    TASKS_LOOKED_PAST_MAX,
)
from controlplane.state import KeyedState
from controlplane.tasks import (
    MS,
    PRIORITIES,
    WAITING,
    Task,
    held_by,
    needs_in,
    needs_waited_for,
    skill_of,
    stuck_to,
    waiting_in,
)


class Found(NamedTuple):
    """What a choice came to, and who could have had it but for what was: `refused` it, or had it and is `resting`."""

    choice: Choice
    refused: int
    resting: int


class Plan:
    """Who gets what within one reaction to an entry at `now`, ns."""

    def __init__(self, state: KeyedState, registry: KeyedState, now: int) -> None:
        self._state = state
        self._registry = registry
        self.now = now
        self._more: dict[str, int] = {}
        self._taken: dict[str, None] = {}
        self._needs: list[str] | None = None

    # ----------------------------------------------------------------------------------------- agents

    def is_able(self, agent: str, needs: Iterable[str]) -> bool:
        """Whether an agent lives, gets mail and can do all of this."""
        return gets_mail(agent) and all(is_able(self._registry, agent, need) for need in needs)

    def standing(self, agent: str, needs: str) -> Standing:
        """How an agent is that lives."""
        known: Agent | None = self._registry.get("agent", agent)
        places, said = AGENT_TASKS_DEFAULT, 0
        if known is not None:
            places = min(known.concurrency or AGENT_TASKS_DEFAULT, AGENT_TASKS_MAX)
            said = min(known.queue + known.in_flight, AGENT_QUEUE_MAX)
        out = len(held_by(self._state, agent)) + self._more.get(agent, 0)
        skill = skill_of(self._state, agent, needs)
        # What it says is as of its last heartbeat, and has in it what it was given before.
        return standing(max(out, said), places, skill.latency_us, skill.reliability, out >= places)

    # ----------------------------------------------------------------------------------------- one task

    def choose(self, id: str, task: Task) -> Found:
        """One agent for a task, if there is one with room."""
        needs = needs_in(task.needs)
        rarest = min(needs, key=lambda need: (able_agents(self._registry, need), need))
        others = [need for need in needs if need != rarest]
        barred = {"refused": 0, "resting": 0}

        def look(agent: str) -> Standing | None:
            if not self.is_able(agent, others):
                return None
            if agent in task.refused:
                barred["refused"] += 1
                return None
            if task.again > self.now and agent in task.tried:
                barred["resting"] += 1
                return None
            return self.standing(agent, task.needs)

        before = stuck_to(self._state, task)
        before = before if before and self.is_able(before, needs) else ""
        count = able_agents(self._registry, rarest)
        seed = f"{task.event_id}\0{id}\0{task.attempt + 1}"
        choice = choose(seed, count, lambda i: nth_able(self._registry, rarest, i), look, before)
        return Found(choice, barred["refused"], barred["resting"])

    def give(self, id: str, task: Task, choice: Choice) -> TaskDispatched:
        """The fact that a choice comes to."""
        winner = choice.winner
        self._taken[id] = None
        self._more[choice.agent] = self._more.get(choice.agent, 0) + 1
        if winner is None:
            return TaskDispatched(id, choice.agent, task.attempt + 1)
        return TaskDispatched(
            task=id,
            agent=choice.agent,
            attempt=task.attempt + 1,
            expected_us=expected_us(winner.latency_us, winner.load),
            reliability=winner.reliability,
            load=winner.load,
            score=winner.score,
            among=choice.among,
            sticky=choice.sticky,
            losers=[one for one in choice.looked if one.agent != choice.agent],
        )

    def leave_out(self, id: str) -> None:
        """Nothing more is to become of a task in this reaction."""
        self._taken[id] = None

    def is_taken(self, id: str) -> bool:
        """Whether something became of a task already, in this very reaction."""
        return id in self._taken

    # ----------------------------------------------------------------------------------------- what waits

    def is_awaited(self, id: str, task: Task) -> bool:
        """Whether another task that anyone may have is before this one in its line: there is no room, then."""
        for priority in range(task.priority + 1):
            for _, (other, waiting) in zip(
                range(TASKS_LOOKED_PAST_MAX), waiting_in(self._state, task.needs, priority), strict=False
            ):
                if other == id:
                    break
                if waiting.state == WAITING and not waiting.tried and other not in self._taken:
                    return True
        return False

    def fetch(self, agent: str) -> Iterator[tuple[str, Task, Choice]]:
        """What waits for an agent and it has room for, in order."""
        if self._needs is None:
            self._needs = needs_waited_for(self._state)
        mine = [needs for needs in self._needs if self.is_able(agent, needs_in(needs))]
        while mine and len(self._taken) < DISPATCHES_AT_ONCE_MAX:
            best = min(filter(None, (self._first(agent, needs) for needs in mine)), default=None)
            if best is None:
                return
            _, _, id, needs = best
            found = self.standing(agent, needs)
            if found.is_full:
                return
            task: Task = self._state.get("task", id)
            yield id, task, alone(agent, found, stuck_to(self._state, task) == agent)

    def _first(self, agent: str, needs: str) -> tuple[int, int, str, str] | None:
        """What this agent may have first of one kind: its rank, its place, its id and its kind."""
        found: list[tuple[int, int, str, str]] = []
        for priority in range(len(PRIORITIES)):
            looked = 0
            for id, task in waiting_in(self._state, needs, priority):
                if id in self._taken:
                    continue
                if self._may_have(agent, task):
                    rank = max(0, priority - (self.now - task.arrived) // (TASK_AGED_MS * MS))
                    found.append((rank, task.position, id, needs))
                    break
                looked += 1
                if looked >= TASKS_LOOKED_PAST_MAX:
                    break
        return min(found, default=None)

    def _may_have(self, agent: str, task: Task) -> bool:
        if task.state != WAITING or agent in task.refused:
            return False
        return not (task.again > self.now and agent in task.tried)


def gets_mail(agent: str) -> bool:
    """Whether an agent of this source can have an inbox: its name may stand in a type."""
    return agent.startswith(SOURCE) and is_type(INBOX + agent[len(SOURCE) :])


def agents_able(registry: KeyedState, needs: Iterable[str]) -> int:
    """How many agents can do the rarest of these."""
    return min((able_agents(registry, need) for need in needs), default=0)


def state_of_agent(registry: KeyedState, agent: str) -> str:
    """An agent's state in one word; "" for one that is not known."""
    known: Agent | None = registry.get("agent", agent)
    return "" if known is None else known.shown
