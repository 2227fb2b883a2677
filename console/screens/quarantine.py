"""The lever on agents: quarantine, or release where all that are chosen are quarantined already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from console.measure import many
from console.pictures.agents import name
from console.screens.lever import LeverDialogue
from console.screens.shell import Shell
from controlplane.questions import AgentRow, Operate, Operated, Question, Verb


class QuarantineDialogue(LeverDialogue[Operated]):
    """`verb`: quarantine or release. `targets`: sources."""

    ANSWER = Operated
    ASKS: ClassVar[str] = "– asking which agents these are"
    NOTHING: ClassVar[str] = "they are so already"

    def __init__(self, verb: Verb, targets: Sequence[str]) -> None:
        super().__init__(targets)
        self.verb: Verb = verb

    def question(self, dry_run: bool, reason: str = "", by: str = "", expected: list[str] | None = None) -> Question:
        return Operate(self.verb, self.targets, "", dry_run, reason, by, expected)

    def head(self) -> tuple[str, str, str]:
        names = [name(target) for target in self.targets]
        named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"{self.verb.upper()} {named}", "nothing changes until you confirm", "decided"

    def touched(self, plan: Operated) -> list[str]:
        return plan.touched

    def facts(self, plan: Operated) -> list[tuple[str, str]]:
        held = self.verb == "quarantine"
        does = "no work is dispatched to them, through all restarts" if held else "work may be dispatched to them again"
        words = [("will touch", f"{_many(plan.touched)}, exactly these"), ("does", does)]
        words += [("mind" if i == 0 else "", note) for i, note in enumerate(plan.notes[:4])]
        names = " ".join(name(target) for target in self.targets)
        other = "release" if held else "quarantine"
        words.append(("undone by", f"signalbox agent {other} {names}"))
        return [*words, ("command", f"signalbox agent {self.verb} {names} --reason …")]

    def done_lines(self, done: Operated) -> tuple[str, str]:
        verb = "is" if len(done.touched) == 1 else "are"
        word = "quarantined" if self.verb == "quarantine" else "released"
        return f"{_many(done.touched)} {verb} {word}, decided at position {done.position:,}", "back to the list"


def _many(touched: Sequence[str]) -> str:
    return many(len(touched), "agent")


def verb_of(rows: Sequence[AgentRow]) -> Verb:
    """What the lever does to these agents: release where all of them are quarantined."""
    return "release" if rows and all(row.quarantined for row in rows) else "quarantine"


def pull(shell: Shell, rows: Sequence[AgentRow]) -> None:
    """Open the dialogue for these agents; those that are as they would be made are left out."""
    locked = shell.scene().locked
    verb = verb_of(rows)
    targets = [row.agent for row in rows if bool(row.quarantined) == (verb == "release")]
    if locked:
        shell.say(locked)
    elif targets:
        shell.push(QuarantineDialogue(verb, targets))
