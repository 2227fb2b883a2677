"""A fleet of agents made up of what they say, and what dispatch makes of it: no broker, no journal."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bus import cloudevents
from bus.event import Event, make, validate
from bus.limits import BATCH_EVENTS_MAX, OWN_EVENT_BYTES_MAX
from bus.router import Rule, Rules
from controlplane.arrivals import Follows
from controlplane.facts import Fact, PublishEvent, RoutesSet, TaskDispatched
from controlplane.fold import Fold, Heart, Step
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.tasks import Task
from tests.controlplane.edge.examples import arrived
from tests.controlplane.logs import NOW

MS = 1_000_000
SECOND = 1_000 * MS
BEAT_MS = 5_000
ONLY = ("deadletters", "registry", "dispatch")
"""Folds that dispatch has to do with: the others cost tests time."""


def some_folds(*names: str) -> list[Fold]:
    """Of the plane's folds these, and those they read."""
    return [fold for fold in folds() if fold.name in (*names, "fleet")]


class Agents:
    """Agents of one fleet. Each word is recorded at once; mail lies in `mail` until it is taken."""

    def __init__(self, heart: Heart | None = None, rules: Rules | None = None) -> None:
        self.heart = Heart(some_folds(*ONLY)) if heart is None else heart
        self.now = NOW
        self.end = 0
        self.steps: list[Step] = []
        self.mail: dict[str, list[dict[str, Any]]] = {}
        self.letters: list[dict[str, Any]] = []
        self.escalated: list[dict[str, Any]] = []
        self.follows = Follows(FOLLOWED_TYPES)
        self._follows = self.follows
        self.version = 0
        if rules is not None:
            self.rule(*rules.rules, default=rules.default)

    # ----------------------------------------------------------------------------------------- inputs

    def tell(self, given: Fact, after_ms: int = 0) -> Step:
        """A fact."""
        self.now += after_ms * MS
        return self._took(self.heart.step(given, self.now))

    def say(self, *events: Event, after_ms: int = 0) -> Step:
        """A batch of events, or some batches, as the recorder gives them."""
        self.now += after_ms * MS
        arrival = arrived(events[:BATCH_EVENTS_MAX], 0, self.end, self.now)
        for first in range(BATCH_EVENTS_MAX, len(events), BATCH_EVENTS_MAX):
            arrival.add(arrived(events[first : first + BATCH_EVENTS_MAX], 0, self.end + first, self.now))
        self.end += len(events)
        return self._took(self.heart.step(arrival.rows(self._follows), self.now))

    def _took(self, step: Step) -> Step:
        assert not self.heart.quarantined, self.heart.quarantined
        self.steps.append(step)
        for _, _, intent in step.intents:
            if isinstance(intent, PublishEvent):
                self._published(json.loads(intent.event))
        return step

    def _published(self, event: dict[str, Any]) -> None:
        published(json.dumps(event))  # a broker would take it
        if event["type"].startswith("agent.inbox."):
            self.mail.setdefault("agent/" + event["type"].removeprefix("agent.inbox."), []).append(event)
        elif event["type"] == "signalbox.deadletter":
            self.letters.append(event)
        elif event["type"] == "dispatch.escalated":
            self.escalated.append(event)

    def rule(self, *rules: Rule, default: Sequence[str] = ()) -> Step:
        """These rules, in place of all others."""
        self.version += 1
        kept = Rules(tuple(rules), tuple(default))
        self._follows = self.follows.also(kept.patterns)
        return self.tell(RoutesSet(self.version, kept))

    # ----------------------------------------------------------------------------------------- what agents say

    def joins(self, *names: str, can: Sequence[str] = ("work",), places: int = 4, **more: Any) -> Step:
        """Agents join, in one batch."""
        data = {"capabilities": list(can), "concurrency": places, "heartbeat_ms": BEAT_MS} | more
        return self.say(*(lifecycle(name, "joined", data | {"incarnation": f"{name}-1"}) for name in names))

    def beats(self, *names: str, after_ms: int = 0, **figures: int) -> Step:
        """Heartbeats, in one batch."""
        words = (lifecycle(name, "heartbeat", figures | {"incarnation": f"{name}-1"}) for name in names)
        return self.say(*words, after_ms=after_ms)

    def leaves(self, name: str) -> Step:
        """One goes."""
        return self.say(lifecycle(name, "left", {"incarnation": f"{name}-1", "reason": "done"}))

    def asks(self, *requires: str, after_ms: int = 0, **more: Any) -> str:
        """An event that needs capabilities; its id."""
        event = work(self.end, requires, **more)
        self.say(event, after_ms=after_ms)
        return event.id

    def settles(
        self, mail: dict[str, Any], outcome: str = "handled", took_ms: int = 100, after_ms: int = 0, **more: Any
    ) -> Step:
        """Who got this mail is done with it."""
        return self.say(settled(mail, outcome, took_ms, **more), after_ms=after_ms)

    def wait(self, seconds: float) -> None:
        """Time passes, with a tick each second and at each deadline."""
        from controlplane.facts import Tick

        until = self.now + int(seconds * 1_000) * MS
        while self.now < until:
            due = self.heart.next_deadline()
            next_ = min(until, self.now + SECOND, max(due, self.now + 1) if due is not None else until)
            self.tell(Tick(), 0) if next_ == self.now else self._at(next_)

    def _at(self, instant: int) -> None:
        from controlplane.facts import Tick

        self.now = instant
        self.tell(Tick())

    # ----------------------------------------------------------------------------------------- what is there

    @property
    def state(self) -> Any:
        """Of dispatch."""
        return self.heart.states["dispatch"]

    def count(self, name: str) -> int:
        """A count of dispatch."""
        return int(self.state.get("count", name, 0))

    def taken(self) -> list[dict[str, Any]]:
        """All mail, in the order in which it was sent to each; the boxes are empty then."""
        found = [mail for agent in sorted(self.mail) for mail in self.mail[agent]]
        self.mail.clear()
        return found

    def dispatched(self) -> list[TaskDispatched]:
        """All dispatches, in order."""
        return [fact for step in self.steps for fact in facts_of(step, TaskDispatched)]

    def tasks(self) -> dict[str, Task]:
        """Those that are not over."""
        return {str(id): task for id, task in self.state.items("task")}


def published(event: str) -> Event:
    """An event that the plane says, as a broker takes it from it."""
    found = make(*cloudevents.read(event, bytes_max=len(event)))
    validate(found, OWN_EVENT_BYTES_MAX)
    return found


def facts_of(step: Step, kind: type) -> Iterator[Any]:
    """What of one kind followed from a step."""
    return (entry.fact for entry in step.derived if isinstance(entry.fact, kind))


def lifecycle(name: str, word: str, data: dict[str, Any]) -> Event:
    """A word of an agent about itself."""
    return Event(type=f"agent.lifecycle.{word}", source=f"agent/{name}", id=f"{name}-{word}", data=data)


def work(number: int, requires: Sequence[str] = (), type: str = "task.asked", **more: Any) -> Event:
    """An event that somebody is to do something about."""
    more.setdefault("data", {"n": number})
    extensions = {name: more.pop(name) for name in ("sticky", "nocapable", "redriveto") if name in more}
    return Event(type=type, source=more.pop("source", "agent/asker"), id=more.pop("id", f"w-{number}"),
                 subject=more.pop("subject", f"case-{number}"), requires=list(requires) or None,
                 extensions=extensions, **more)  # fmt: skip


def settled(mail: dict[str, Any], outcome: str = "handled", took_ms: int = 100, **more: Any) -> Event:
    """What an agent says when it is done with mail."""
    agent = "agent/" + mail["type"].removeprefix("agent.inbox.")
    data = {"task": mail["data"]["task"], "agent": agent, "attempt": mail["data"]["attempt"], "outcome": outcome,
            "took_ms": took_ms} | more  # fmt: skip
    return Event(type="dispatch.settled", source=more.pop("by", agent), id=f"s-{mail['data']['task']}", data=data)
