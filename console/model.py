"""What the screens show: the newest answer to each standing question, and how long the plane has been silent.

Answers land in slots; a slot's newest answer replaces the one before. `version` rises with whatever changes, so that a
picture knows when it is old. Freezing keeps what is shown while answers go on landing beside it.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from controlplane.questions import Ask, Board, Refusal, Reply, Told

SILENT_AFTER_S = 3.0
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

    def land(self, landed: Landed) -> None:
        """Take an answer, or count a failure."""
        self.version += 1
        self.asked = landed.at
        if landed.told is None:
            self.tries += 1
            self.why = landed.why
            return
        self.heard, self.tries, self.why = landed.at, 0, ""
        before = self.shown.get(landed.slot)
        held = self.frozen and before is not None and before.question == landed.question
        (self.kept if held else self.shown)[landed.slot] = landed

    def freeze(self, frozen: bool) -> None:
        """Hold the picture, or catch up with what landed meanwhile."""
        self.frozen = frozen
        self.version += 1
        if not frozen:
            self.shown.update(self.kept)
            self.kept.clear()

    def told(self, slot: str, question: Ask | None = None) -> Told | None:
        """The slot's answer; with a `question`, only when it answers exactly that one."""
        landed = self.shown.get(slot)
        if landed is None or (question is not None and landed.question != question):
            return None
        return landed.told

    def body(self, slot: str, kind: type[Body], question: Ask | None = None) -> Body | None:
        """The slot's answer when it is of this kind."""
        told = self.told(slot, question)
        return told.body if told is not None and isinstance(told.body, kind) else None

    def refusal(self, slot: str, question: Ask | None = None) -> Refusal | None:
        """The plane's refusal, when that is the slot's answer."""
        return self.body(slot, Refusal, question)

    @property
    def board(self) -> Board | None:
        """The answer that every screen's frame needs."""
        return self.body("board", Board)

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


def pause_s(tries: int) -> float:
    """How long to wait after that many failed tries."""
    return RETRY_S[min(max(tries, 1), len(RETRY_S)) - 1]
