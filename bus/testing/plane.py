"""The little of the control plane that agents see, in memory. Pure: events in, events to say out.

- An event with `requires` goes to the inbox of an agent that is there and can do it: the one with the fewest tasks in
  hand, the first by name among equals. There are no content rules, weights or stickiness.
- It waits while there is none, and goes to another one when its agent leaves. There is no failure detector: an agent is
  there from `joined` to `left`.
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
from bus.schemas import REGISTERED, Schema, registration

SOURCE = "signalbox/plane"
LIFECYCLE = "agent.lifecycle."
INBOX = "agent.inbox."
SETTLED = "dispatch.settled"
CHANGED = "signalbox.agents.changed"
_HERE = ("joined", "ready")


class Agent:
    """An agent that is there: what it can do, and the tasks that it has in hand."""

    def __init__(self) -> None:
        self.capabilities: frozenset[str] = frozenset()
        self.incarnation: Any = None
        self.tasks: dict[str, None] = {}


class Task:
    """An event that is to be handled by whoever can. `agent`: who has it, "" while it waits."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.agent = ""
        self.attempt = 0


class MemoryPlane:
    """See the module. `say` publishes an event of its own, `open_group` makes a group unless it is there."""

    def __init__(self, say: Callable[[Event], None], open_group: Callable[[str, wire.GroupSettings], None]) -> None:
        self.agents: dict[str, Agent] = {}
        self.tasks: dict[str, Task] = {}
        self.schemas: list[Schema] = []
        self._say = say
        self._open_group = open_group
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
        elif event.requires:
            task = f"{event.source}/{event.id}"
            if task not in self.tasks:
                self.tasks[task] = Task(event)
                self._dispatch(task)

    def in_hand(self) -> list[tuple[str, str]]:
        """Tasks that agents have not said to be settled: the group of the agent's inbox, and a word of each."""
        return [
            (f"inbox.{task.agent.removeprefix('agent/')}", f"{task.agent} has not settled {_named(task.event)}")
            for task in self.tasks.values()
            if task.agent
        ]

    def waiting(self) -> list[str]:
        """The tasks that nobody can do, in words."""
        return [
            f"{_named(task.event)} requires {', '.join(sorted(task.event.requires or ()))}, "
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
        wanted = frozenset(known.event.requires or ())
        able = sorted(
            (len(agent.tasks), source) for source, agent in self.agents.items() if wanted <= agent.capabilities
        )
        if not able:
            return
        chosen = able[0][1]
        known.agent = chosen
        known.attempt += 1
        self.agents[chosen].tasks[task] = None
        decision = {
            "chosen": chosen,
            "able": [source for _, source in able],
            "why": f"of {len(able)} agents that can {', '.join(sorted(wanted))} it has the fewest tasks in hand",
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
        """The agent that has a task is done with it, however it went."""
        task = str(said.get("task"))
        known = self.tasks.get(task)
        if known is not None and known.agent == source and said.get("attempt") == known.attempt:
            del self.tasks[task]
            if source in self.agents:
                self.agents[source].tasks.pop(task, None)


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
