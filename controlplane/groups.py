"""Consumer groups, as the leaders of their partitions sample them.

The newest sample of each (group, partition), and what happened in each slot of `SLOT_MS`: deliveries, acks, failures,
and the time from append to ack, as log2 buckets of microseconds.

| table | key | value |
|---|---|---|
| at | group NUL partition | GroupAt |
| slot | slot NUL group | GroupSlot |
| edge | "slot" | the newest slot |
| change | group | GroupChange: what an operator decided, until it is so at every partition |

A group that is removed is forgotten with the decision; what brokers still say of it counts for nothing until they have
all forgotten it, too.

Brokers know a decision by its number (`roster.numbered`), which stays the same however often it is carried, and
whatever plane carries it.
"""

from collections.abc import Iterable
from types import MappingProxyType

import msgspec

from bus.limits import GROUP_SAMPLE_MEMBERS_MAX, PARTITIONS_MAX
from bus.wire import GroupSample, GroupSettings
from controlplane.facts import (
    BrokerSampled,
    ChangeGroup,
    Fact,
    GroupChanged,
    GroupsRemoved,
    GroupUpdated,
    Intent,
    PlaneStarted,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import FLOW_SECONDS_MAX, GROUPS_MAX, SLOT_MS
from controlplane.roster import numbered, plane_of

SLOT_NS = SLOT_MS * 1_000_000
SLOTS_KEPT = FLOW_SECONDS_MAX * 1_000 // SLOT_MS


class GroupAt(msgspec.Struct, frozen=True, array_like=True):
    """A group at one partition. `oldest`: when its oldest unsettled event was appended, 0 for none.

    `in_flight`: events that members hold; `waiting`: the others that match and are not settled, read or not.
    `endangered`: events that retention is about to trim before it has read or settled them. `settings` are None where a
    broker never told them. `holding`: (member, events it holds), who holds most first, the first of many only.
    """

    group: str
    partition: int
    pattern: str
    members: int
    waiting: int
    in_flight: int
    oldest: int
    at: int
    endangered: int = 0
    settings: GroupSettings | None = None
    holding: list[tuple[str, int]] = []


class GroupSlot(msgspec.Struct, frozen=True, array_like=True):
    """A group over all partitions in one slot. `waiting` is of its end; `latency`: sorted (bucket, count)."""

    delivered: int = 0
    acked: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    latency: list[tuple[int, int]] = []


class GroupChange(msgspec.Struct, frozen=True, array_like=True):
    """What was decided of a group, at `position`; `changes` None: it is removed. `number`: see the module."""

    position: int
    since: int
    changes: dict[str, int] | None
    by: str
    reason: str
    number: int = 0


class Groups(Fold):
    """The fold. See the module."""

    name = "groups"
    version = 5
    follows = (BrokerSampled, GroupsRemoved, GroupUpdated, GroupChanged, PlaneStarted)
    reads = ("fleet",)
    tables = MappingProxyType({"at": GroupAt, "slot": GroupSlot, "edge": int, "change": GroupChange})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Take a broker's groups, and what is decided of them."""
        fact = entry.fact
        number = numbered(plane_of(world["fleet"]).epoch, entry.position)
        if isinstance(fact, BrokerSampled) and fact.sampled.groups:
            _sampled(state, fact, entry.recorded)
        elif isinstance(fact, GroupsRemoved):
            for group in fact.groups:
                change = GroupChange(entry.position, entry.recorded, None, fact.by, fact.reason, number)
                state.put("change", group, change)
                _drop(state, group)
        elif isinstance(fact, GroupUpdated):
            pending: GroupChange | None = state.get("change", fact.group)
            both = ((pending.changes or {}) if pending is not None else {}) | fact.changes
            change = GroupChange(entry.position, entry.recorded, both, fact.by, fact.reason, number)
            state.put("change", fact.group, change)
        elif isinstance(fact, GroupChanged):
            known: GroupChange | None = state.get("change", fact.group)
            if known is not None and known.position == fact.cause:
                state.delete("change", fact.group)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Have the brokers told; a plane that starts has them told again."""
        fact, epoch = entry.fact, plane_of(world["fleet"]).epoch
        if isinstance(fact, GroupsRemoved | GroupUpdated | PlaneStarted):
            for group, change in changes(state):
                if change.position == entry.position or isinstance(fact, PlaneStarted):
                    yield ChangeGroup(group, change.changes, change.position, epoch, change.number)


def _sampled(state: KeyedState, fact: BrokerSampled, now: int) -> None:
    slot = now // SLOT_NS
    _forget(state, slot)
    known = dict.fromkeys(names(state))
    gone = {group for group, change in changes(state) if change.changes is None}
    touched: dict[str, int] = {}
    for sample in fact.sampled.groups:
        fits = sample.group not in gone and (sample.group in known or len(known) < GROUPS_MAX)
        if fits and 0 <= sample.partition < PARTITIONS_MAX:  # a broker may say anything
            known[sample.group] = None
            touched[sample.group] = 0
            _take(state, sample, slot, now)
    for _, at in state.items("at"):
        if at.group in touched:
            touched[at.group] += at.waiting + at.in_flight
    for group, waiting in touched.items():
        key = f"{slot}\0{group}"
        state.put("slot", key, msgspec.structs.replace(state.get("slot", key), waiting=waiting))


def changes(state: KeyedState) -> list[tuple[str, GroupChange]]:
    """What was decided and is not so everywhere yet, by group."""
    return sorted((str(group), change) for group, change in state.items("change"))


def names(state: KeyedState) -> list[str]:
    """All groups, sorted."""
    return sorted({at.group for _, at in state.items("at")})


def places(state: KeyedState, group: str) -> list[GroupAt]:
    """A group's newest samples, by partition."""
    found = [at for _, at in state.items("at") if at.group == group]
    return sorted(found, key=lambda at: at.partition)


def slots(state: KeyedState, group: str, now: int) -> list[tuple[int, GroupSlot]]:
    """What is kept of a group, oldest first: (slot's start in ns, figures)."""
    last = now // SLOT_NS
    found = [(slot, state.get("slot", f"{slot}\0{group}")) for slot in range(last - SLOTS_KEPT, last + 1)]
    return [(slot * SLOT_NS, figures) for slot, figures in found if figures is not None]


def _take(state: KeyedState, sample: GroupSample, slot: int, now: int) -> None:
    place = f"{sample.group}\0{sample.partition}"
    before: GroupAt | None = state.get("at", place)
    holding = sorted(sample.holding.items(), key=lambda one: (-one[1], one[0]))
    at = GroupAt(
        sample.group,
        sample.partition,
        sample.pattern,
        sample.members,
        sample.waiting,
        sample.in_flight,
        sample.oldest,
        now,
        sample.endangered,
        sample.settings or (before.settings if before is not None else None),
        holding[:GROUP_SAMPLE_MEMBERS_MAX],
    )
    state.put("at", place, at)
    key = f"{slot}\0{sample.group}"
    known: GroupSlot = state.get("slot", key) or GroupSlot()
    latency = dict(known.latency)
    for bucket, count in sample.latency.items():
        latency[bucket] = latency.get(bucket, 0) + count
    figures = GroupSlot(
        known.delivered + sample.delivered,
        known.acked + sample.acked,
        known.failed + sample.failed,
        known.dead + sample.dead,
        known.waiting,
        sorted(latency.items()),
    )
    state.put("slot", key, figures)


def _drop(state: KeyedState, group: str) -> None:
    for table in ("at", "slot"):
        here = [key for key in state.table(table) if _group_of(table, str(key)) == group]
        for key in here:
            state.delete(table, key)


def _group_of(table: str, key: str) -> str:
    """An `at` key ends with the partition, a `slot` key begins with the slot; a group's name may hold any character."""
    return key.rpartition("\0")[0] if table == "at" else key.partition("\0")[2]


def _forget(state: KeyedState, slot: int) -> None:
    if slot == state.get("edge", "slot"):
        return
    state.put("edge", "slot", slot)
    for key in [key for key in state.table("slot") if int(str(key).partition("\0")[0]) < slot - SLOTS_KEPT]:
        state.delete("slot", key)
