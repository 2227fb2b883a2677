"""A made-up life that is journaled as it happens, so that it can be asked for again: a `Story` over a journal."""

import gzip
import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

import bus
from bus.event import Event
from controlplane.answering import Answering
from controlplane.arrivals import Follows
from controlplane.clock import Clock
from controlplane.facts import Fact, Rows
from controlplane.fold import Step
from controlplane.journal import Journal, Kept
from controlplane.plane import FOLLOWED_TYPES
from controlplane.questions import At, Body, Question, Told
from controlplane.turns import Turns
from tests.controlplane.edge.examples import arrived
from tests.controlplane.logs import SECOND
from tests.controlplane.made import Story

FOLLOWS = Follows(FOLLOWED_TYPES)
PRESENT_ONLY = ("pid", "url", "data_dir", "started", "journal_bytes", "journal_from")
"""Of the plane itself: the past does not know them, or not from the same place."""


class Lived(Story):
    """Each input is committed as it is told, or all of `one_turn`; `answering` answers for the plane that lived it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._turn: list[Kept] | None = None
        self.journal = Journal(folder, FOLLOWS)
        clock = Clock(0, lambda: self.now, lambda: self.now)
        self.turns = Turns(self.heart, self.journal, clock, FOLLOWS, lambda intents: None)
        data_dir = str(folder / "plane")
        self.answering = Answering(self.turns, cast(Any, None), cast(Any, None), data_dir, lambda reason: None)
        # It is past its start; nothing here asks the fleet itself.
        self.answering.look_through(cast(Any, object()))

    def tell(self, given: Fact | Rows, after: float = 0.0) -> Step:
        if isinstance(given, Rows):
            return self.publish(given.partition, list(_events_of(given)))
        step = super().tell(given, after)
        self._keep(Kept(step))
        return step

    def _keep(self, kept: Kept) -> None:
        if self._turn is None:
            self.journal.commit([kept])
        else:
            self._turn.append(kept)

    @contextmanager
    def one_turn(self) -> Iterator[None]:
        """What is told meanwhile is committed in one go, as a busy plane does it: that is most of what it costs."""
        self._turn = []
        yield
        turn, self._turn = self._turn, None
        self.journal.commit(turn)

    def publish(self, partition: int, events: list[Event]) -> Step:
        """One record of a partition, appended and recorded now."""
        first = max(self.journal.offsets.get(partition, 0), self.ends.get(partition, 0))
        arrival = arrived(events, partition, first, self.now)
        step = super().tell(arrival.rows(FOLLOWS))
        self.ends[partition] = first + len(events)
        self._keep(Kept(step, arrival))
        return step

    def live(self, lines: list[Event], size: int = 60) -> Iterator[int]:
        """The events in slices, with what else happens after each, as a turn; yields where it stands then."""
        for turn, start in enumerate(range(0, len(lines), size)):
            self.now += (1 + turn % 4) * SECOND
            with self.one_turn():
                self.publish(turn % 12, lines[start : start + size])
                for code in (4, 4, 0, 10 + turn % 5, (turn * 7) % 10):
                    self.act(code, turn * 5 + code)
            yield self.journal.position

    async def ask(self, question: Question, at: At | None = None) -> Told:
        """What the plane answers."""
        self.said: list[Body] = []
        return await self.answering.answer(question, self.said.append, at)

    def close(self) -> None:
        self.answering.close()
        self.turns.close()
        self.journal.close()


def demo_log() -> list[Event]:
    """What the demo publishes."""
    data = importlib.resources.files("console.demo") / "data"
    log = next(file for file in data.iterdir() if file.name.endswith(".jsonl.gz"))
    with log.open("rb") as packed, gzip.open(packed) as lines:
        return [bus.from_json(line) for line in lines]


def plain(told: Told) -> dict[str, Any]:
    """An answer as data, without what only the present knows."""
    body: dict[str, Any] = msgspec.to_builtins(told)
    del body["past"]
    inner = body["body"]
    for plane in (inner.get("controlplane"), inner.get("status", {}).get("controlplane")):
        for name in PRESENT_ONLY if plane else ():
            del plane[name]
    return body


def _events_of(rows: Rows) -> Iterator[Event]:
    for place in range(len(rows)):
        if place in rows.followed:
            yield bus.from_json(rows.followed[place])
            continue
        extensions: dict[str, str | int | bool] = {}
        if rows.importofs[place]:
            extensions["importof"] = rows.importofs[place]
        if rows.redriven[place]:
            extensions["redriveto"] = "coder"
        yield Event(
            id=rows.ids[place] or f"e-{rows.partition}-{rows.first_offset + place}",
            type=rows.types[place],
            source=rows.sources[place],
            subject=rows.sagas[place] or None,
            time=rows.times[place],
            data={"n": place},
            extensions=extensions,
        )
