"""A plane that is told what agents say of ballots and leases, without brokers: what it says comes back as events."""

import json
from collections.abc import Sequence
from typing import Any

from bus.event import from_json
from controlplane.ballots import Ballots
from controlplane.facts import Fact, PlaneStarted, PublishEvent, Rows, Tick
from controlplane.fold import Fold, Heart, Step
from controlplane.leases import Leases
from controlplane.outbox import Outbox
from controlplane.registry import Registry
from tests.controlplane.logs import NOW, add, empty_rows

MS = 1_000_000
Saying = tuple[str, str, dict[str, Any]]
"""Type, source, data."""


def coordinating() -> list[Fold]:
    """The folds that this is about."""
    return [Outbox(), Registry(), Ballots(), Leases()]


def rows_of(sayings: Sequence[Saying], number: int = 0, now: int = NOW, importof: str = "") -> Rows:
    """Rows of partition 0; the ids are `e-<number of the row since the beginning>`."""
    rows = empty_rows(0, number)
    for type, source, data in sayings:
        id = f"e-{number + len(rows)}"
        event = {"specversion": "1.0", "id": id, "type": type, "source": source, "data": data}
        rows.followed[len(rows)] = json.dumps(event).encode()
        add(rows, type, source, "", id, now, importof)
    return rows


class Told:
    """`said`: what the plane wanted published about ballots and leases, as (type, data), and `causes`, which event each
    answers, or ""; `steps`: its journal."""

    def __init__(self, heart: Heart | None = None, epoch: int = 1) -> None:
        self.heart = heart or Heart(coordinating())
        self.now = NOW
        self.steps: list[Step] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.causes: list[str] = []
        self.rows = 0
        self.tell(PlaneStarted(epoch, f"u-{epoch}"))

    def tell(self, given: Fact | Rows, after_ms: int = 0) -> Step:
        """One input."""
        self.now += after_ms * MS
        step = self.heart.step(given, self.now)
        assert not self.heart.quarantined, self.heart.quarantined
        self.steps.append(step)
        for _, _, intent in step.intents:
            if isinstance(intent, PublishEvent):
                from_json(intent.event)  # which raises what a publisher would
                event = json.loads(intent.event)
                assert event["source"] == "signalbox/plane" and "subject" not in event
                if event["type"].startswith(("ballot.", "lease.")):
                    self.said.append((event["type"], event["data"]))
                    self.causes.append(event.get("causationid", ""))
        return step

    def says(self, *sayings: Saying, after_ms: int = 0, importof: str = "") -> list[tuple[str, dict[str, Any]]]:
        """One batch; what the plane says to it."""
        before = len(self.said)
        self.now += after_ms * MS
        rows = rows_of(sayings, self.rows, self.now, importof)
        self.rows += len(rows)
        self.tell(rows)
        return self.said[before:]

    def wait(self, ms: int) -> list[tuple[str, dict[str, Any]]]:
        """Time passes, with a Tick at each deadline and at the end; what the plane says meanwhile."""
        before, until = len(self.said), self.now + ms * MS
        while self.now < until:
            due = self.heart.next_deadline()
            self.now = until if due is None else min(until, max(due, self.now + 1))
            self.tell(Tick())
        return self.said[before:]

    def ballots(self) -> Any:
        """The fold's state."""
        return self.heart.states["ballots"]

    def leases(self) -> Any:
        """The fold's state."""
        return self.heart.states["leases"]
