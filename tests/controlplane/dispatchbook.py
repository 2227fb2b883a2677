"""The plainest reading of what a journal of dispatch says: who can do what, who has what, and what became of it."""

import json
from collections import Counter
from typing import Any

from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentReleased,
    AgentSuspected,
    EventRouted,
    Fact,
    Rows,
    TaskDispatched,
    TaskDropped,
    TaskReturned,
)
from controlplane.fold import Step
from controlplane.tasks import OUT, held_by

PARTITIONS = 3
PLACES = 2
"""Tasks that each agent has room for."""
LETTER = "signalbox.deadletter"


class Wrong(AssertionError):
    """Something that must never be."""


def sure(holds: bool, what: str) -> None:
    """Raise Wrong where it does not hold."""
    if not holds:
        raise Wrong(what)


class Book:
    """Who lives and can do what, and how each task stands, by the journal alone."""

    def __init__(self) -> None:
        self.joined: dict[str, set[str]] = {}
        self.lives: set[str] = set()
        self.quarantined: set[str] = set()
        self.needs: dict[str, set[str]] = {}
        self.named: dict[str, str] = {}
        self.out: dict[str, tuple[str, int]] = {}
        self.ends: Counter[str] = Counter()
        self.cursors = [0] * PARTITIONS

    def is_able(self, agent: str, needs: set[str]) -> bool:
        """Whether it lives, is not quarantined, and can do all of this."""
        return agent in self.lives - self.quarantined and needs <= self.joined[agent]

    def take(self, step: Step) -> None:
        """A step: what timers found at its beginning, its input, and what followed, in this order."""
        given = step.input
        for entry in step.derived:
            if isinstance(entry.fact, AgentSuspected | AgentFailed):
                self.lives.discard(entry.fact.agent)
        if isinstance(given, Rows):
            self.cursors[given.partition] = given.first_offset + len(given)
            for row in sorted(given.followed):
                if not given.redriven[row]:
                    self._hear(json.loads(given.followed[row]))
        elif isinstance(given, AgentQuarantined):
            self.quarantined |= set(given.agents) & set(self.joined)
        elif isinstance(given, AgentReleased):
            self.quarantined -= set(given.agents)
        for entry in step.derived:
            self._follows(entry.fact)

    def _hear(self, said: dict[str, Any]) -> None:
        agent, data = said["source"], said.get("data")
        word = said["type"].removeprefix("agent.lifecycle.")
        if word == "joined":
            self.joined[agent] = set(data["capabilities"])
        elif word == "left":
            self.joined.pop(agent, None)
            self.lives.discard(agent)
        if word in ("joined", "heartbeat") and agent in self.joined:
            self.lives.add(agent)
        if said["type"] == "dispatch.settled" and self.out.get(data["task"]) == (agent, data["attempt"]):
            del self.out[data["task"]]
            self.ends[data["task"]] += data["outcome"] == "handled"
        elif said["type"] == LETTER and data["event"].get("dispatched"):
            mail, agent = data["event"]["data"], "agent/" + data["group"].removeprefix("inbox.")
            if self.out.get(mail["task"]) == (agent, mail["attempt"]):
                del self.out[mail["task"]]
                self.ends[mail["task"]] += data["reason"] == "expired"

    def _follows(self, fact: Fact | Rows) -> None:
        if isinstance(fact, EventRouted):
            for number, recipient in enumerate(fact.recipients):
                mark = f"{fact.position}.{number}"
                self.named[mark] = recipient if recipient.startswith("agent/") else ""
                self.needs[mark] = set(recipient.removeprefix("capability:").split()) - {self.named[mark]}
        elif isinstance(fact, TaskDispatched):
            mark = fact.task.partition("@")[0]
            sure(fact.task not in self.out, f"{fact.task} goes to {fact.agent}, and {self.out.get(fact.task)} has it")
            sure(not self.ends[fact.task], f"{fact.task} is over, and given to {fact.agent}")
            if self.named[mark]:
                sure(fact.agent == self.named[mark], f"mail by name for {self.named[mark]} goes to {fact.agent}")
            else:
                able = self.is_able(fact.agent, self.needs[mark])
                sure(able, f"{fact.task} needs {self.needs[mark]}, and goes to {fact.agent}, who cannot or is dead")
            self.out[fact.task] = fact.agent, fact.attempt
            mine = [id for id, (agent, _) in self.out.items() if agent == fact.agent and not self._is_named(id)]
            sure(len(mine) <= PLACES, f"{fact.agent} has {len(mine)} tasks and {PLACES} places")
        elif isinstance(fact, TaskReturned):
            self.out.pop(fact.task, None)
            self.ends[fact.task] += self._is_named(fact.task) and fact.why != "unsent"
        elif isinstance(fact, TaskDropped):
            sure(fact.task not in self.out, f"{fact.task} is dropped, and {self.out.get(fact.task)} has it")
            self.ends[fact.task] += 1

    def _is_named(self, task: str) -> bool:
        return bool(self.named[task.partition("@")[0]])

    def check(self, state: Any) -> None:
        """The fold's tasks are those that are not over, and each is where the journal says."""
        tasks = {str(id): task for id, task in state.items("task")}
        sure({id: (task.agent, task.attempt) for id, task in tasks.items() if task.state == OUT} == self.out,
             "the fold has other tasks out than the journal says")  # fmt: skip
        for id in (*tasks, *self.ends):
            sure(self.ends[id] <= 1, f"{id} ended {self.ends[id]} times")
            sure(bool(self.ends[id]) != (id in tasks), f"{id} ended {self.ends[id]} times, there: {id in tasks}")
        for agent in self.joined:
            for id in held_by(state, agent):
                needs = self.needs[id.partition("@")[0]]
                sure(self.is_able(agent, needs), f"{agent} has {id}, and cannot do it, or is dead")
