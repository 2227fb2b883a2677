"""What is to be published, and has neither come back nor been refused: what a plane that starts carries again. Pure.

    PublishEvent (an intent) ─▶ due ─▶ its event is recorded: Carried ─▶ done
                                 ╰───▶ refused for good: IntentFailed ─╯

An intent's event has the intent's own `position:index` as id, so its echo is recognised, and is no news. An echo has
the event's own source, too. That is mostly the plane's, which brokers take from nobody else; what is redriven keeps
the source it had. The events themselves stay in the journal, where they are looked up by their positions.

| table | key | value |
|---|---|---|
| due | intent's id, `position:index` | position |
| source | intent's id | of its event, where that is not the plane's |
"""

from collections.abc import Iterable
from types import MappingProxyType

import msgspec

from controlplane.facts import Carried, Fact, Intent, IntentFailed, PublishEvent, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.saying import PLANE_SOURCE


class _Event(msgspec.Struct):
    source: str = ""


_event = msgspec.json.Decoder(_Event)


class Outbox(Fold):
    """The fold. See the module."""

    name = "outbox"
    version = 2
    vital = True
    follows = (PublishEvent, Rows, Carried, IntentFailed)
    tables = MappingProxyType({"due": int, "source": str})

    def intended(self, state: KeyedState, cause: int, index: int, intent: Intent) -> None:
        """It is to be published."""
        state.put("due", f"{cause}:{index}", cause)
        if isinstance(intent, PublishEvent):
            source = _event.decode(intent.event).source
            if source != PLANE_SOURCE:
                state.put("source", f"{cause}:{index}", source)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """It came back, or nobody takes it."""
        fact = entry.fact
        if isinstance(fact, Carried | IntentFailed):
            state.delete("due", f"{fact.cause}:{fact.index}")
            state.delete("source", f"{fact.cause}:{fact.index}")

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Recognise what was published."""
        rows = entry.fact
        if not isinstance(rows, Rows) or not state.table("due"):
            return
        if True not in rows.redriven and PLANE_SOURCE not in rows.sources:
            return
        for row, (again, source) in enumerate(zip(rows.redriven, rows.sources, strict=True)):
            id = rows.ids[row]
            if not again and source != PLANE_SOURCE:
                continue
            if state.get("due", id) is not None and source == state.get("source", id, PLANE_SOURCE):
                cause, _, index = id.partition(":")
                yield Carried(int(cause), int(index), rows.partition, rows.first_offset + row)


def due_of(state: KeyedState) -> list[int]:
    """The positions at which something was said that is to be carried again, in order."""
    return sorted({cause for _, cause in state.items("due")})
