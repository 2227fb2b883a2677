"""Who belongs to the fleet: brokers that are added, that leave, and that were removed. Pure.

| table | key | value |
|---|---|---|
| leaving | broker | Leaving: drained, its replicas move away, then it is removed |
| removed | broker | Removed: it was a member once; what it says counts for nothing until it is added again |

A store is one replica's memory, and two processes that have it would both answer for that replica. So a broker that
comes up with the store of another member is fenced: it is not offered anything, not seated, not elected.
"""

import msgspec

from controlplane import brokers as lives
from controlplane.brokers import Broker
from controlplane.decisions import BrokerAdded, BrokerRemoved, RemovalDecided
from controlplane.fold import Entry
from controlplane.roster import brokers_of, every_partition_of
from controlplane.state import KeyedState


class Leaving(msgspec.Struct, frozen=True, array_like=True):
    """Since when a broker is on its way out, and who said so."""

    since: int
    position: int
    by: str
    reason: str


class Removed(msgspec.Struct, frozen=True, array_like=True):
    """A former member: since when, who said so, and where it was joined ("": it was the plane's own)."""

    since: int
    position: int
    by: str
    reason: str
    dial: str


TABLES = {"leaving": Leaving, "removed": Removed}
"""What the values of each table are."""


def leaving_of(state: KeyedState) -> dict[str, Leaving]:
    """The brokers that are on their way out."""
    return {id: state.get("leaving", id) for id in brokers_of(state) if id in state.table("leaving")}


def removed_of(state: KeyedState, id: str) -> Removed | None:
    """What is known of a former member."""
    found: Removed | None = state.get("removed", id)
    return found


def held_by(state: KeyedState, id: str) -> list[int]:
    """The partitions of which a broker has a replica, or is to get one, or is asked about one."""
    return [p.partition for p in every_partition_of(state) if id in p.members or id in p.asked]


def twin_of(state: KeyedState, id: str, store: str) -> str:
    """The other member that has this store, or ""."""
    return next((one.id for one in brokers_of(state).values() if one.id != id and store and one.store == store), "")


def added(state: KeyedState, entry: Entry, fact: BrokerAdded) -> None:
    """A new member; or a known one that is somewhere else now."""
    known: Broker | None = state.get("broker", fact.id)
    state.put("broker", fact.id, lives.joined(known, fact.id, fact.url, entry.recorded, entry.position))
    state.delete("removed", fact.id)


def stays(state: KeyedState, id: str) -> bool:
    """A member is not on its way out any more; False if it was not."""
    leaving = state.get("leaving", id) is not None
    state.delete("leaving", id)
    return leaving


def leaves(state: KeyedState, entry: Entry, fact: RemovalDecided) -> bool:
    """A member is on its way out; False for one that is none."""
    if state.get("broker", fact.id) is None:
        return False
    state.put("leaving", fact.id, Leaving(entry.recorded, entry.position, fact.by, fact.reason))
    return True


def removed(state: KeyedState, entry: Entry, fact: BrokerRemoved) -> None:
    """It is no member any more, unless a partition still counts on it."""
    broker: Broker | None = state.get("broker", fact.id)
    if broker is None or held_by(state, fact.id):
        return
    gone = Removed(entry.recorded, entry.position, fact.by, fact.reason, broker.dial)
    state.put("removed", fact.id, gone)
    for table in ("broker", "began", "figures", "drained", "leaving"):
        state.delete(table, fact.id)
    for p in every_partition_of(state):
        state.delete("replica", f"{p.partition}/{fact.id}")


def used_ids(state: KeyedState, folders: list[str]) -> list[str]:
    """Every id that is, or was, a broker's; `folders` are those that have a folder in the data directory."""
    return sorted({*map(str, state.table("broker")), *map(str, state.table("removed")), *folders})


def fresh_id(taken: list[str]) -> str:
    """The first of b1, b2, … that was never used: what another broker left behind is not this one's."""
    return next(id for id in (f"b{number}" for number in range(1, len(taken) + 2)) if id not in taken)
