"""The last six hours in steps of `SLOT_MS`, for pictures: volume, vitals, score. Reads other folds.

| table | key | value |
|---|---|---|
| slot | slot's number | Slot |
| edge | "slot" | the newest slot's number |
"""

from types import MappingProxyType

import msgspec

from bus.event import is_internal
from controlplane.facts import BrokerSampled, Rows, Tick
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.groups import SLOT_NS
from controlplane.health import Health, penalties, score_of
from controlplane.limits import HISTORY_SLOTS_MAX


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One step. `events`: archived, of agents; `delivered`, `ack_p99_ns` (greatest): as sampled; the rest: at its end.

    `score` -1 is unknown. `worst` is what cost most, "" for nothing; `severity` its severity.
    """

    events: int = 0
    delivered: int = 0
    ack_p99_ns: int = 0
    lag_ns: int = 0
    open_sagas: int = 0
    score: int = -1
    severity: str = "ok"
    worst: str = ""


class History(Fold):
    """The fold. See the module."""

    name = "history"
    version = 3
    follows = (Rows, BrokerSampled, Tick)
    reads = (*Health.reads, "health")
    tables = MappingProxyType({"slot": Slot, "edge": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Add to the present slot; let the oldest go."""
        number = entry.recorded // SLOT_NS
        _forget(state, number)
        slot: Slot = state.get("slot", number) or Slot()
        fact = entry.fact
        if isinstance(fact, Rows):
            slot = msgspec.structs.replace(slot, events=slot.events + _visible(fact))
        elif isinstance(fact, BrokerSampled):
            sampled = fact.sampled
            slot = msgspec.structs.replace(
                slot,
                delivered=slot.delivered + sum(group.delivered for group in sampled.groups),
                ack_p99_ns=max(slot.ack_p99_ns, sampled.ack_p99_ns),
            )
        else:
            slot = _measured(slot, world, entry.recorded)
        state.put("slot", number, slot)


def slots(state: KeyedState, now: int, count: int, span: int = 1) -> list[list[Slot | None]]:
    """The last `count` runs of `span` slots each, oldest first, the present one last; None where nothing is known."""
    last = now // SLOT_NS
    first = last - count * span + 1
    return [[state.get("slot", first + run * span + i) for i in range(span)] for run in range(count)]


def _measured(slot: Slot, world: World, now: int) -> Slot:
    needs = penalties(world, now)
    score = score_of(world, needs)
    oldest = [at.oldest for _, at in world["groups"].items("at") if at.oldest]
    return msgspec.structs.replace(
        slot,
        lag_ns=max(0, now - min(oldest)) if oldest else 0,
        open_sagas=world["sagas"].get("count", "open", 0),
        score=-1 if score is None else score,
        severity=needs[0].severity if needs else "ok",
        worst=needs[0].what if needs else "",
    )


def _visible(rows: Rows) -> int:
    inside = {type: is_internal(type, {}) for type in dict.fromkeys(rows.types)}
    if True in rows.redriven or True in inside.values():
        return sum(not (again or inside[type]) for again, type in zip(rows.redriven, rows.types, strict=True))
    return len(rows)


def _forget(state: KeyedState, number: int) -> None:
    if number == state.get("edge", "slot"):
        return
    state.put("edge", "slot", number)
    for old in [old for old in state.table("slot") if isinstance(old, int) and old <= number - HISTORY_SLOTS_MAX]:
        state.delete("slot", old)
