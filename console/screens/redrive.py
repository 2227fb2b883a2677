"""The redrive lever: dead letters are published again for the one group that each died in."""

from __future__ import annotations

from typing import ClassVar

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
        many = len(plan.ids)
        return [
            ("will touch", f"{many:,} dead letters, exactly these" if many != 1 else "1 dead letter, exactly this one"),
            ("goes to", f"{', '.join(plan.groups) or 'nobody'}, the group each died in, and no other"),
            ("cannot undo", "what is handled again cannot be unsent"),
            ("command", f"signalbox dlq redrive {' '.join(self.targets)} --reason …"),
        ]

    def done_lines(self, done: Redriven) -> tuple[str, str]:
        many = len(done.ids)
        number = "1 dead letter is on its way" if many == 1 else f"{many:,} dead letters are on their way"
        told = f"{number} again, decided at position {done.position:,}"
        return told, "back to the list, where what fails again is a new dead letter"
