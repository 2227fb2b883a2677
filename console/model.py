"""What the screens show: the newest answer to each standing question, and how long the plane has been silent.

Answers land in slots; a slot's newest answer replaces the one before. `version` rises with whatever changes, so that a
picture knows when it is old. Freezing keeps what is shown while answers go on landing beside it.

Time travel: `aim` is the moment that is asked for, `moment` the one that is shown; None is the present. An answer as of
a moment is taken when the Board's answer of that moment is: what is shown is always of one moment. Only the time bar is
always of the present.
"""

from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from console.moments import of_then
from controlplane.questions import Ask, At, Board, Need, Refusal, Reply, Timeline, Told

SILENT_AFTER_S = 3.0
LIVE = "timeline"
"""The slot that is always of the present."""
RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses between tries while nothing answers; the last one repeats."""
Body = TypeVar("Body", bound=Reply)


@dataclass(frozen=True)
class Landed:
    """One answer, or why there is none. `at` is the console's own clock, in seconds."""

    slot: str
    question: Ask
    told: Told | None
    at: float
    why: str = ""
    moment: At | None = None
    """As of which moment of the past it was asked."""


@dataclass
class Model:
    """One per console. Only the thread of the screens touches it."""

    started: float
    version: int = 0
    frozen: bool = False
    heard: float | None = None
    asked: float | None = None
    tries: int = 0
    why: str = ""
    shown: dict[str, Landed] = field(default_factory=dict)
    kept: dict[str, Landed] = field(default_factory=dict)
    """What landed while frozen."""
    moment: At | None = None
    aim: At | None = None
    left: frozenset[str] = frozenset()
    """What needed somebody when the present was left."""

    def land(self, landed: Landed) -> Refusal | None:
        """Take an answer, or count a failure. Returns why there is no going to the moment that was aimed at."""
        self.version += 1
        self.asked = landed.at
        if landed.told is None:
            self.tries += 1
            self.why = landed.why
            return None
        self.heard, self.tries, self.why = landed.at, 0, ""
        refused = None
        if landed.slot == "board" and self.travels and (landed.moment is None) == (self.aim is None):
            refused = self._arrive(landed, landed.told)
        if landed.slot != LIVE and landed.moment != self.moment:
            return refused
        before = self.shown.get(landed.slot)
        held = self.frozen and before is not None and before.question == landed.question
        (self.kept if held else self.shown)[landed.slot] = landed
        return refused

    def _arrive(self, landed: Landed, told: Told) -> Refusal | None:
        """The Board of a moment came: that moment is shown, though the operator may be further already."""
        refusal = told.body if isinstance(told.body, Refusal) else None
        if refusal is None and landed.moment is not None and told.position == 0:
            refusal = Refusal("not_found", "nothing was journaled by then")
        if refusal is None:
            self.moment = landed.moment
        elif landed.moment == self.aim:
            self.aim = self.moment
            return refusal
        return None

    def travel(self, at: At | None) -> None:
        """Aim at a moment of the past, or at the present. What is shown stays until the answers are there."""
        if self.frozen:
            self.freeze(False)
        if self.aim is None and at is not None:
            self.left = frozenset(map(_trouble, self.live.needs if self.live is not None else ()))
        self.aim = at
        self.version += 1

    @property
    def travels(self) -> bool:
        """Is another moment shown than the one that is aimed at?"""
        return self.aim != self.moment

    def has(self, slot: str, question: Ask) -> bool:
        """Is there the answer to this question as of the moment that is aimed at? It will not be another one."""
        landed = self.shown.get(slot)
        if landed is None or landed.moment != self.aim or landed.question != question or landed.told is None:
            return False
        return not (isinstance(landed.told.body, Refusal) and landed.told.body.code == "unavailable")

    def freeze(self, frozen: bool) -> None:
        """Hold the picture, or catch up with what landed meanwhile."""
        self.frozen = frozen
        self.version += 1
        if not frozen:
            self.shown.update(self.kept)
            self.kept.clear()

    def told(self, slot: str, question: Ask | None = None) -> Told | None:
        """The slot's answer of the moment that is shown; with a `question`, only when it answers exactly that one."""
        landed = self.shown.get(slot)
        if landed is None or (question is not None and landed.question != question):
            return None
        if slot != LIVE and landed.moment != self.moment:
            return None
        return landed.told

    def body(self, slot: str, kind: type[Body], question: Ask | None = None) -> Body | None:
        """The slot's answer when it is of this kind."""
        told = self.told(slot, question)
        return told.body if told is not None and isinstance(told.body, kind) else None

    def refusal(self, slot: str, question: Ask | None = None) -> Refusal | None:
        """The plane's refusal, when that is the slot's answer; of the past in words of the present."""
        refused = self.body(slot, Refusal, question)
        if refused is None or self.moment is None:
            return refused
        return msgspec.structs.replace(refused, message=of_then(refused.message))

    @property
    def board(self) -> Board | None:
        """The answer that every screen's frame needs."""
        return self.body("board", Board)

    @property
    def live(self) -> Timeline | None:
        """What the time bar is drawn from: of the present, whatever moment is shown."""
        return self.body(LIVE, Timeline)

    @property
    def live_now(self) -> int:
        """The plane's clock as far as is known, whatever moment is shown. 0 before the first answer."""
        told = self.told(LIVE)
        return told.recorded if told is not None else self.now

    @property
    def new_trouble(self) -> list[Need]:
        """What needs somebody now, and did not when the present was left."""
        if self.moment is None or self.live is None:
            return []
        return [need for need in self.live.needs if need.severity != "ok" and _trouble(need) not in self.left]

    @property
    def now(self) -> int:
        """The plane's clock where the shown picture holds: what ages are counted from. 0 before the first answer."""
        told = self.told("board")
        return told.recorded if told is not None else 0

    @property
    def position(self) -> int:
        """The journal position of the shown picture."""
        told = self.told("board")
        return told.position if told is not None else 0

    def silent_s(self, clock: float) -> int | None:
        """Seconds without an answer, once that is too long."""
        silence = clock - (self.heard if self.heard is not None else self.started)
        waiting = silence > SILENT_AFTER_S or (self.heard is None and self.tries > 0)
        return round(silence) if waiting else None

    def retry_in_s(self, clock: float) -> int:
        """Seconds until the next try; 0 while one is under way."""
        if self.tries == 0 or self.asked is None:
            return 0
        return max(0, round(self.asked + pause_s(self.tries) - clock))


def _trouble(need: Need) -> str:
    return need.key or need.what


def pause_s(tries: int) -> float:
    """How long to wait after that many failed tries."""
    return RETRY_S[min(max(tries, 1), len(RETRY_S)) - 1]
