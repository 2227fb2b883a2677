"""The little of the control plane that agents see, in memory. Pure: events and time in, events to say out.

- An event with `requires` goes to the inbox of an agent that is there and can do it: the one with the fewest tasks in
  hand, the first by name among equals. There are no content rules, weights, stickiness or `nocapable`, and no bound on
  the tasks of an agent.
- It waits while there is none, and goes to another one when its agent leaves. There is no failure detector: an agent is
  there from `joined` to `left`.
- What an agent settles as failed or refused goes to another one; to one with which it failed only after a rest, by the
  clock of deliveries, and only where there is no other. After ATTEMPTS, or when all have refused it, it is a dead
  letter of the group `dispatch`, as with the real one.
- The group `inbox.<name>` is made at the first event for it.
- `signalbox.agents.changed` tells of agents and inboxes, each change by itself and at once.
- It tells the schemas that are registered.

There are no ballots, leases, sagas or workflows here.
"""

from collections.abc import Callable
from typing import Any

from bus import wire
from bus.client.opening import ACK_WAIT_MS, MAX_DELIVER
from bus.client.reading import Positioned
from bus.errors import InvalidEvent
from bus.event import Event, to_object
from bus.ids import new_id
from bus.letters import TYPE as DEAD_LETTER
from bus.schemas import REGISTERED, Schema, registration
from bus.testing.clock import HandClock
from bus.topic import NEVER_ROUTED
from bus.words import many

SOURCE = "signalbox/plane"
LIFECYCLE = "agent.lifecycle."
INBOX = "agent.inbox."
SETTLED = "dispatch.settled"
CHANGED = "signalbox.agents.changed"
ATTEMPTS = 5
"""Agents with which a task may go wrong."""
_REST_S = 1.0
"""Before a task goes again to an agent with which it failed; it doubles with each attempt."""
_HERE = ("joined", "ready")


class Agent:
    """An agent that is there: what it can do, and the tasks that it has in hand."""

    def __init__(self) -> None:
        self.capabilities: frozenset[str] = frozenset()
        self.incarnation: Any = None
        self.tasks: dict[str, None] = {}


class Task:
    """An event that is to be handled by whoever can. `agent`: who has it, "" while it waits.

    `failed`: with whom it did, until it has rested, which is over at `rests`; `refused`: by whom it was; `tries`: as
    its dead letter tells them.
    """

    def __init__(self, found: Positioned) -> None:
        self.found = found
        self.agent = ""
        self.attempt = 0
        self.rests = 0.0
        self.failed: set[str] = set()
        self.refused: set[str] = set()
        self.tries: list[dict[str, Any]] = []

    @property
    def event(self) -> Event:
        """The original."""
        return self.found.event

    @property
    def wanted(self) -> frozenset[str]:
        """What its handler has to be able to do."""
        return frozenset(self.event.requires or ())


class MemoryPlane:
    """See the module. `say` publishes an event of its own, `open_group` makes a group unless it is there."""

    def __init__(
        self, say: Callable[[Event], None], open_group: Callable[[str, wire.GroupSettings], None], clock: HandClock
    ) -> None:
        self.agents: dict[str, Agent] = {}
        self.tasks: dict[str, Task] = {}
        self.schemas: list[Schema] = []
        self._say = say
        self._open_group = open_group
        self._clock = clock
        self._inboxes: set[str] = set()

    def heard(self, found: Positioned) -> None:
        """An event was committed."""
        event = found.event
        if event.type.startswith(INBOX):
            self._inbox(event.type, found.appended)
        elif event.type.startswith(LIFECYCLE):
            self._lifecycle(event.source, event.type[len(LIFECYCLE) :], _fields(event))
        elif event.type == SETTLED:
            self._settled(event.source, _fields(event))
        elif event.type == REGISTERED:
            schema = registration(_fields(event))
            if schema is not None and schema.type == event.partitionkey:
                self.schemas.append(schema)
        elif _is_to_be_dispatched(event):
            task = f"{event.source}/{event.id}"
            if task not in self.tasks:
                self.tasks[task] = Task(found)
                self._dispatch(task)

    def in_hand(self) -> list[tuple[str, str]]:
        """Tasks that agents have not said to be settled: the group of the agent's inbox, and a word of each."""
        return [
            (f"inbox.{task.agent.removeprefix('agent/')}", f"{task.agent} has not settled {_named(task.event)}")
            for task in self.tasks.values()
            if task.agent
        ]

    def waiting(self) -> list[str]:
        """The tasks that nobody can do, or that rest, in words."""
        return [
            f"{_named(task.event)} failed and is dispatched again in {task.rests - self._clock.time():g} s"
            if task.failed
            else f"{_named(task.event)} requires {', '.join(sorted(task.wanted))}, "
            "and no agent that has joined can do that"
            for task in self.tasks.values()
            if not task.agent
        ]

    # ---------------------------------------------------------------------------------------------- agents

    def _lifecycle(self, source: str, state: str, said: dict[str, Any]) -> None:
        if state in _HERE:
            agent = self.agents.setdefault(source, Agent())
            if state == "joined":
                agent.capabilities = frozenset(map(str, said.get("capabilities") or ()))
                agent.incarnation = said.get("incarnation")
                for task in [task for task in agent.tasks if not self.tasks[task].wanted <= agent.capabilities]:
                    del agent.tasks[task]
                    self.tasks[task].agent = ""
            self._changed(source, state)
            for task in [task for task, known in self.tasks.items() if not known.agent]:
                self._dispatch(task)
        elif state in ("left", "failed") and source in self.agents:
            if said.get("incarnation") not in (None, self.agents[source].incarnation):
                return  # of an older one, which is not listened to any more
            left = self.agents.pop(source)
            self._changed(source, state)
            for task in left.tasks:
                self.tasks[task].agent = ""
                self._dispatch(task)

    def _inbox(self, type: str, since: int) -> None:
        if type in self._inboxes:
            return
        self._inboxes.add(type)
        name = type[len(INBOX) :]
        self._open_group(f"inbox.{name}", wire.GroupSettings(type, since, ACK_WAIT_MS, MAX_DELIVER))
        self._say(_said(CHANGED, {"changes": [], "inboxes": [name]}, "signalbox/agents"))

    def _changed(self, source: str, state: str) -> None:
        self._say(_said(CHANGED, {"changes": [[source, state]], "inboxes": []}, "signalbox/agents"))

    # ---------------------------------------------------------------------------------------------- dispatch

    def _dispatch(self, task: str) -> None:
        """Give it to somebody who can, if there is one."""
        known = self.tasks[task]
        wanted = known.wanted
        can = [source for source, agent in self.agents.items() if wanted <= agent.capabilities]
        if can and known.refused.issuperset(can):
            self._drop(task, "refused", f"all that can do {', '.join(sorted(wanted))} refuse it")
            return
        able = sorted((len(self.agents[one].tasks), one) for one in set(can) - known.refused - known.failed)
        if not able:
            return
        chosen = able[0][1]
        known.agent = chosen
        known.attempt += 1
        self.agents[chosen].tasks[task] = None
        those = many(len(able), "agent")
        decision = {
            "requires": sorted(wanted),
            "chosen": chosen,
            "able": [source for _, source in able],
            "why": f"of {those} that can {', '.join(sorted(wanted))} it has the fewest tasks in hand",
        }
        data = {"task": task, "attempt": known.attempt, "event": to_object(known.event), "decision": decision}
        event = known.event
        self._say(
            _said(
                *(INBOX + chosen.removeprefix("agent/"), data, chosen),
                correlationid=event.saga or None,
                causationid=event.id,
                traceparent=event.traceparent,
                tracestate=event.tracestate,
                extensions={"dispatched": True},
            )
        )

    def _settled(self, source: str, said: dict[str, Any]) -> None:
        """The agent that has a task is done with it: it was handled, or goes to another one."""
        task = str(said.get("task"))
        known = self.tasks.get(task)
        if known is not None and known.agent == source and said.get("attempt") == known.attempt:
            if source in self.agents:
                self.agents[source].tasks.pop(task, None)
            if said.get("outcome") == "handled":
                del self.tasks[task]
            else:
                self._back(task, source, said)

    def _back(self, task: str, source: str, said: dict[str, Any]) -> None:
        known, error = self.tasks[task], str(said.get("error") or said.get("outcome"))
        known.agent = ""
        at = self._clock.time_ns()
        told = {"attempt": known.attempt, "at": at, "error": error, "member": source, "took_ms": said.get("took_ms", 0)}
        known.tries.append(told)
        if len(known.tries) >= ATTEMPTS:
            agents = len({one["member"] for one in known.tries})
            self._drop(task, "attempts", f"tried {known.attempt} times, by {agents} agents; {error}")
        elif said.get("outcome") == "refused":
            known.refused.add(source)
            self._dispatch(task)
        else:
            known.failed.add(source)
            rest = _REST_S * 2 ** (len(known.tries) - 1)
            known.rests = self._clock.time() + rest
            self._clock.call_later(rest, self._rested, task)
            self._dispatch(task)

    def _rested(self, task: str) -> None:
        """Whoever had it may have it again."""
        known = self.tasks.get(task)
        if known is not None and known.failed and known.rests <= self._clock.time():
            known.failed.clear()
            if not known.agent:
                self._dispatch(task)

    def _drop(self, task: str, reason: str, error: str) -> None:
        known = self.tasks.pop(task)
        event, where = known.event, known.found
        said = {"group": "dispatch", "reason": reason, "error": error, "partition": where.partition}
        said |= {"offset": where.offset, "appended": where.appended, "attempts": known.tries, "event": to_object(event)}
        told = {"subject": event.subject, "correlationid": event.correlationid, "causationid": event.id}
        self._say(_said(DEAD_LETTER, said, event.key, **told))


def _is_to_be_dispatched(event: Event) -> bool:
    """Whether it requires somebody, and has not its addressee already, nor is history."""
    extras = event.extras
    extensions = extras.extensions if extras is not None else {}
    told = event.type.startswith(NEVER_ROUTED) or event.source.startswith("signalbox/")
    return bool(event.requires) and not told and not {"importof", "redriveto"} & extensions.keys()


def _named(event: Event) -> str:
    return f"{event.type} of {event.source}"


def _said(type: str, data: dict[str, Any], key: str, **attributes: Any) -> Event:
    return Event(type=type, source=SOURCE, id=new_id(), partitionkey=key, data=data, **attributes)


def _fields(event: Event) -> dict[str, Any]:
    """What an event says of itself; nothing when that is no JSON object."""
    try:
        data = event.data
    except InvalidEvent:
        return {}
    return data if isinstance(data, dict) else {}
