"""The redrive lever: dead letters are published again for the one group that each died in."""

from __future__ import annotations

from typing import ClassVar

from console.measure import many
from console.screens.lever import LeverDialogue
from controlplane.questions import Question, Redrive, Redriven


class RedriveDialogue(LeverDialogue[Redriven]):
    """`targets`: groups or letters."""

    ANSWER = Redriven
    ASKS: ClassVar[str] = "– asking which letters these are"
    NOTHING: ClassVar[str] = "nothing waits there"

    def question(self, dry_run: bool, reason: str = "", by: str = "", expected: list[str] | None = None) -> Question:
        return Redrive(self.targets, dry_run, reason, by, expected)

    def head(self) -> tuple[str, str, str]:
        named = ", ".join(self.targets[:3]) + (f" and {len(self.targets) - 3} more" if len(self.targets) > 3 else "")
        return f"REDRIVE {named}", "nothing is sent until you confirm", "sent"

    def touched(self, plan: Redriven) -> list[str]:
        return plan.ids

    def facts(self, plan: Redriven) -> list[tuple[str, str]]:
        return [
            ("will touch", many(len(plan.ids), "dead letter, exactly this one", "dead letters, exactly these")),
            ("goes to", f"{', '.join(plan.groups) or 'nobody'}, the group each died in, and no other"),
            ("cannot undo", "what is handled again cannot be unsent"),
            ("command", f"signalbox dlq redrive {' '.join(self.targets)} --reason …"),
        ]

    def done_lines(self, done: Redriven) -> tuple[str, str]:
        number = many(len(done.ids), "dead letter is on its way", "dead letters are on their way")
        told = f"{number} again, decided at position {done.position:,}"
        return told, "back to the list, where what fails again is a new dead letter"
