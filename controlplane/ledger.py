"""The loss ledger: what partitions hold against what the journal holds. A gap in the offsets is a loss, and red.

What retention took before a group had read or settled it is in the journal, and yet that group never got it: it is the
group's `trimmed` in appended = delivered + filtered + dead-lettered + trimmed + in flight + waiting. In
flight is what members hold; what is read and with nobody, after a failover or a nack, is waiting.

| table | key | value |
|---|---|---|
| partition | number | Archive |
| high | number | events that its leader said are committed |
| count | events internal bytes | archived: by agents, by the fleet itself, payload of both |
| trimmed | group | Trimmed |
| lag | "lag" | (events, age of the oldest) as the recorder said |
| copy | "partition", "stands", "beyond" | where the journal's copy is kept; CopyStands, CopyBeyond |
"""

from types import MappingProxyType
from typing import Any

import msgspec

from bus.event import is_internal
from controlplane.facts import BrokerSampled, CopyBeyond, CopyFounded, CopyStands, GroupsRemoved, RecorderLag, Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import GROUPS_MAX


class Archive(msgspec.Struct, frozen=True, array_like=True):
    """One partition in the journal: the next offset due, events skipped, events seen twice."""

    next_offset: int = 0
    missing: int = 0
    again: int = 0


class Trimmed(msgspec.Struct, frozen=True, array_like=True):
    """What a group lost to retention so far: events, and when that was last said."""

    events: int = 0
    last: int = 0


class Ledger(Fold):
    """The fold. See the module."""

    name = "ledger"
    version = 3
    follows = (Rows, BrokerSampled, RecorderLag, CopyFounded, CopyStands, CopyBeyond, GroupsRemoved)
    tables = MappingProxyType(
        {"partition": Archive, "high": int, "count": int, "trimmed": Trimmed, "lag": list[int], "copy": list[Any]}
    )

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Rows must follow on one another; samples say how much there is."""
        fact = entry.fact
        if isinstance(fact, Rows):
            _archived(state, fact)
        elif isinstance(fact, BrokerSampled):
            reserved = state.get("copy", "partition", [-1])[0]
            for sample in fact.sampled.replicas:
                if (
                    sample.partition != reserved
                    and sample.leads
                    and sample.high_offset > state.get("high", sample.partition, 0)
                ):
                    state.put("high", sample.partition, sample.high_offset)
            for group in fact.sampled.groups:
                if group.trimmed:
                    _trimmed(state, group.group, group.trimmed, entry.recorded)
        elif isinstance(fact, GroupsRemoved):
            for removed in fact.groups:
                state.delete("trimmed", removed)
        elif isinstance(fact, RecorderLag):
            state.put("lag", "lag", [fact.events, fact.oldest_ns])
        elif isinstance(fact, CopyFounded):
            state.put("copy", "partition", [fact.partition])
        elif isinstance(fact, CopyStands):
            state.put("copy", "stands", [fact.why, entry.recorded])
        elif isinstance(fact, CopyBeyond):
            state.put("copy", "beyond", [fact.position, fact.last, entry.recorded])


def _archived(state: KeyedState, rows: Rows) -> None:
    known: Archive = state.get("partition", rows.partition) or Archive()
    end = rows.first_offset + len(rows)
    missing = max(0, rows.first_offset - known.next_offset)
    again = max(0, min(end, known.next_offset) - rows.first_offset)
    archive = Archive(max(end, known.next_offset), known.missing + missing, known.again + again)
    state.put("partition", rows.partition, archive)
    inside = {type: is_internal(type, {}) for type in dict.fromkeys(rows.types)}
    internal = 0
    if True in rows.redriven or True in inside.values():
        internal = sum(again or inside[type] for again, type in zip(rows.redriven, rows.types, strict=True))
    _count(state, "events", len(rows) - internal)
    _count(state, "internal", internal)
    _count(state, "bytes", sum(rows.sizes))


def _count(state: KeyedState, name: str, more: int) -> None:
    if more:
        state.put("count", name, state.get("count", name, 0) + more)


def _trimmed(state: KeyedState, group: str, events: int, now: int) -> None:
    known = trimmed(state, group)
    if known.events or len(state.table("trimmed")) < GROUPS_MAX:
        state.put("trimmed", group, Trimmed(known.events + events, now))


def trimmed(state: KeyedState, group: str) -> Trimmed:
    """What a group lost to retention."""
    found: Trimmed = state.get("trimmed", group) or Trimmed()
    return found


def behind(state: KeyedState) -> int:
    """Events that are committed in partitions and not in the journal yet, as far as samples tell."""
    return sum(
        max(0, high - (state.get("partition", number) or Archive()).next_offset) for number, high in state.items("high")
    )


def lost(state: KeyedState) -> int:
    """Events that should be in the journal and are not."""
    return sum(archive.missing for _, archive in state.items("partition"))
