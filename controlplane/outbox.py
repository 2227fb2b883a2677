"""What is to be published, and has neither come back nor been refused: what a plane that starts carries again. Pure.

    PublishEvent (an intent) ─▶ due ─▶ its event is recorded: Carried ─▶ done
                                 ╰───▶ refused for good: IntentFailed ─╯

An intent's event has the intent's own id (`stamps`), so its echo is recognised, and is no news. What has its position
and index, but not its id, is of another plane, whose journal this one is not. An echo has the event's own source, too.
That is mostly the plane's, which brokers take from nobody else; what is redriven keeps the source it had. The events
themselves stay in the journal, where they are looked up by their positions.

| table | key | value |
|---|---|---|
| due | intent's `position:index` | position |
| id | intent's `position:index` | of its event, where that is not all of it |
| source | intent's `position:index` | of its event, where that is not the plane's |
"""

from collections.abc import Iterable
from types import MappingProxyType

import msgspec

from controlplane.facts import Carried, Fact, Intent, IntentFailed, PublishEvent, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.saying import PLANE_SOURCE
from controlplane.stamps import place_of


class _Event(msgspec.Struct):
    source: str = ""


_event = msgspec.json.Decoder(_Event)


class Outbox(Fold):
    """The fold. See the module."""

    name = "outbox"
    version = 2
    vital = True
    follows = (PublishEvent, Rows, Carried, IntentFailed)
    tables = MappingProxyType({"due": int, "id": str, "source": str})

    def intended(self, state: KeyedState, cause: int, index: int, intent: Intent) -> None:
        """It is to be published."""
        place = f"{cause}:{index}"
        state.put("due", place, cause)
        if isinstance(intent, PublishEvent):
            if intent.id != place:
                state.put("id", place, intent.id)
            source = _event.decode(intent.event).source
            if source != PLANE_SOURCE:
                state.put("source", place, source)

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """It came back, or nobody takes it."""
        fact = entry.fact
        if isinstance(fact, Carried | IntentFailed):
            for table in self.tables:
                state.delete(table, f"{fact.cause}:{fact.index}")

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Recognise what was published."""
        rows = entry.fact
        if not isinstance(rows, Rows) or not state.table("due"):
            return
        if True not in rows.redriven and PLANE_SOURCE not in rows.sources:
            return
        for row, (again, source) in enumerate(zip(rows.redriven, rows.sources, strict=True)):
            if not again and source != PLANE_SOURCE:
                continue
            id = rows.ids[row]
            place = place_of(id)
            if state.get("due", place) is None or id != state.get("id", place, place):
                continue
            if source == state.get("source", place, PLANE_SOURCE):
                cause, _, index = place.partition(":")
                yield Carried(int(cause), int(index), rows.partition, rows.first_offset + row)


def due_of(state: KeyedState) -> list[int]:
    """The positions at which something was said that is to be carried again, in order."""
    return sorted({cause for _, cause in state.items("due")})
