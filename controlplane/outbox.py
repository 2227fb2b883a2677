"""What is to be published, and has neither come back nor been refused: what a plane that starts carries again. Pure.

    PublishEvent (an intent) ─▶ due ─▶ its event is recorded: Carried ─▶ done
                                 ╰───▶ refused for good: IntentFailed ─╯

An intent's event has the intent's own `position:index` as id, so its echo is recognised, and is no news. The events
themselves stay in the journal, where they are looked up by their positions.

| table | key | value |
|---|---|---|
| due | intent's id, `position:index` | position |
"""

from collections.abc import Iterable
from types import MappingProxyType

from controlplane.facts import Carried, Fact, Intent, IntentFailed, PublishEvent, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.saying import PLANE_SOURCE


class Outbox(Fold):
    """The fold. See the module."""

    name = "outbox"
    version = 1
    vital = True
    follows = (PublishEvent, Rows, Carried, IntentFailed)
    tables = MappingProxyType({"due": int})

    def intended(self, state: KeyedState, cause: int, index: int, intent: Intent) -> None:
        """It is to be published."""
        state.put("due", f"{cause}:{index}", cause)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """It came back, or nobody takes it."""
        fact = entry.fact
        if isinstance(fact, Carried | IntentFailed):
            state.delete("due", f"{fact.cause}:{fact.index}")

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Recognise what was published."""
        rows = entry.fact
        if not isinstance(rows, Rows) or not state.table("due"):
            return
        if True not in rows.redriven and PLANE_SOURCE not in rows.sources:
            return
        for row, (again, source) in enumerate(zip(rows.redriven, rows.sources, strict=True)):
            if (again or source == PLANE_SOURCE) and state.get("due", rows.ids[row]) is not None:
                cause, _, index = rows.ids[row].partition(":")
                yield Carried(int(cause), int(index), rows.partition, rows.first_offset + row)


def due_of(state: KeyedState) -> list[int]:
    """The positions at which something was said that is to be carried again, in order."""
    return sorted({cause for _, cause in state.items("due")})
