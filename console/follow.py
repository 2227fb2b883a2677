"""The thread that talks to the control plane, so that no screen ever waits.

The screens say which questions stand (`want`) and when a beat is due (`beat`); the thread asks them in turn, keeps the
newest answer of each slot and rings once a round. Beats that come while a round is under way merge into one: latest
wins, nothing queues up. While nothing answers, it tries after 1, 2, 4, 8 and 15 seconds, or at once when told to.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from console.limits import ERRANDS_MAX
from console.model import Landed, pause_s
from controlplane.questions import At, Progress, Question, Told

ANSWER_TIMEOUT_S = 5.0
ERRAND_TIMEOUT_S = 30.0


class Asks(Protocol):
    """What can be asked: `console.link.Link`, or frozen answers."""

    def ask(
        self,
        question: Question,
        timeout: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
        at: At | None = None,
    ) -> Told:
        """Answer, or raise whose message says why there is none."""

    def close(self) -> None:
        """Give back the socket."""


class Asked(NamedTuple):
    """A question that is due, as of a moment of the past when one is given."""

    slot: str
    question: Question
    at: At | None
    timeout_s: float


class Follower:
    """Asks standing questions once a beat, and errands (levers) once. `ring` is called in the thread."""

    def __init__(self, link: Asks, ring: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._link, self._ring, self._clock = link, ring, clock
        self._change = threading.Condition()
        self._wanted: list[Asked] = []
        self._progressed: float | None = None
        self._errands: list[tuple[str, Question]] = []
        self._landed: dict[str, Landed] = {}
        self._due = self._stopped = False
        self._tries = 0
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def want(
        self, questions: Mapping[str, Question], at: At | None = None, live: Mapping[str, Question] | None = None
    ) -> None:
        """The questions that stand from now on, by slot: as of a moment, and those that are always of the present."""
        wanted = [Asked(slot, question, at, ANSWER_TIMEOUT_S) for slot, question in questions.items()]
        wanted += [Asked(slot, question, None, ANSWER_TIMEOUT_S) for slot, question in (live or {}).items()]
        with self._change:
            self._wanted = wanted

    def beat(self, now: bool = False) -> None:
        """A round is due; `now` also ends a pause between tries."""
        with self._change:
            self._due = True
            if now:
                self._not_before = 0.0
            self._change.notify()

    def errand(self, slot: str, question: Question) -> bool:
        """Ask once, before the standing questions. False when too many wait already."""
        with self._change:
            if len(self._errands) >= ERRANDS_MAX:
                return False
            self._errands.append((slot, question))
            self._change.notify()
            return True

    def take(self) -> list[Landed]:
        """What landed since the last call, the newest of each slot."""
        with self._change:
            landed = list(self._landed.values())
            self._landed.clear()
            return landed

    def progressed(self) -> float | None:
        """When the plane last said that it works on a long answer, by this follower's clock."""
        with self._change:
            return self._progressed

    def stop(self) -> None:
        """End the thread and the link; returns when an ask under way has ended or timed out."""
        with self._change:
            self._stopped = True
            self._change.notify()
        self._link.close()
        if self._thread.ident is not None:
            self._thread.join(ANSWER_TIMEOUT_S)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            for asked in work:
                if self._stopped or not self._ask(asked):
                    break
            if not self._stopped:
                self._ring()

    def _next(self) -> list[Asked] | None:
        """Wait for something to do. None when stopped."""
        with self._change:
            while not self._stopped:
                if self._errands:
                    work = [Asked(slot, question, None, ERRAND_TIMEOUT_S) for slot, question in self._errands]
                    self._errands.clear()
                    return work
                wait = self._not_before - self._clock()
                if self._due and wait <= 0:
                    self._due = False
                    return self._wanted
                self._change.wait(wait if self._due else None)
            return None

    def _ask(self, asked: Asked) -> bool:
        """One question. A failure lands too, and ends the round."""
        try:
            told: Told | None = self._link.ask(asked.question, asked.timeout_s, self._works, asked.at)
            why = ""
        except Exception as error:
            # Whatever went wrong, the screens must learn of it: an exception that ended this thread would freeze them.
            told, why = None, str(error) or type(error).__name__
        with self._change:
            self._landed[asked.slot] = Landed(asked.slot, asked.question, told, self._clock(), why, asked.at)
            self._tries = 0 if told is not None else self._tries + 1
            self._not_before = 0.0 if told is not None else self._clock() + pause_s(self._tries)
        return told is not None

    def _works(self, progress: Progress) -> None:
        with self._change:
            self._progressed = self._clock()
