"""Replicas as a plan of rebalancing would have them: where one may go, and what a broker has room for. Pure.

A draft never breaks a hard goal: a partition's replicas stay on distinct brokers and as many as they are, at most one
of them is new, a leader is never dropped, and nobody is sent more bytes than it has room for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from controlplane.limits import PLANNED_MOVES_MAX, REPLICAS_UNEVEN_MAX


class Standing(msgspec.Struct, frozen=True):
    """A partition as it is: `replicas` with the preferred leader first, `leader` (or ""), and its events of late.

    `size`: bytes that a new replica would copy. `locality`: where it should be led, or "".
    """

    partition: int
    replicas: list[str]
    leader: str
    load: int
    size: int = 0
    locality: str = ""


class Ground(msgspec.Struct, frozen=True):
    """What brokers are like: bytes they have room for (missing: any number), and where they are (missing: "")."""

    room: dict[str, int] = {}
    locality: dict[str, str] = {}

    def where(self, id: str) -> str:
        """Where a broker is."""
        return self.locality.get(id, "")


ANYWHERE = Ground()
"""Brokers with room for anything, and nowhere in particular."""


class Placed(NamedTuple):
    """A partition where a step would have it."""

    partition: int
    leader: str
    replicas: list[str]


class Draft:
    """A plan in the making, by partition; `place` changes it."""

    def __init__(
        self,
        standings: Sequence[Standing],
        brokers: Sequence[str],
        ground: Ground = ANYWHERE,
        moves_max: int = PLANNED_MOVES_MAX,
    ) -> None:
        self.leader = {one.partition: one.leader for one in standings}
        self.replicas = {one.partition: one.replicas for one in standings}
        self._was = {one.partition: one for one in standings}
        self._ground = ground
        self._room = dict(ground.room)
        self._held = {id: sum(id in one.replicas for one in standings) for id in brokers}
        self._left = moves_max
        self._touched: dict[int, bool] = {}
        """Partitions of the draft's moves, and whether they have a new replica."""

    def may_touch(self, *partitions: int) -> bool:
        """Whether the plan has room for a move of them."""
        return sum(number not in self._touched for number in partitions) <= self._left

    def place(self, placed: Placed) -> None:
        """Make a step of the plan."""
        number, before = placed.partition, self.replicas[placed.partition]
        if number not in self._touched:
            self._left -= 1
        fresh = [id for id in placed.replicas if id not in before]
        self._touched[number] = self._touched.get(number, False) or bool(fresh)
        for id in fresh:
            self._held[id] += 1
            if id in self._room:
                self._room[id] -= self._was[number].size
        for id in before:
            if id not in placed.replicas and id in self._held:
                self._held[id] -= 1
        self.leader[number], self.replicas[number] = placed.leader, placed.replicas

    def nearer(self, partition: int, at: str, to: str) -> int:
        """1 where a leader on `to` instead of `at` would be near, -1 where it would no longer be, else 0."""
        wanted = self._was[partition].locality
        if not wanted:
            return 0
        return (self._ground.where(to) == wanted) - (self._ground.where(at) == wanted)

    def with_newcomer(self, partition: int, id: str) -> list[str]:
        """The replicas with one on `id` instead of the fullest broker's that may go; [] where the goals forbid it."""
        if not self._may_get(partition, id):
            return []
        # The old leader hands over, and the new one leads before it may go.
        stay = (self.leader[partition], self._was[partition].leader)
        options = [old for old in self.replicas[partition] if old not in stay and old in self._held]
        options = [old for old in options if self._covers(partition, old, id) and self._is_even(old, id)]
        if not options:
            return []
        return self._replaced(partition, max(options, key=lambda old: (self._held[old], old)), id)

    def even_out(self) -> None:
        """One replica after the other from the fullest broker to the emptiest that has room, never a leader's."""
        held = self._held
        if not held or max(held.values()) - min(held.values()) <= REPLICAS_UNEVEN_MAX:
            return
        while True:
            options = [
                (held[empty] - held[full], -self._widens(number, full, empty), one.load, number, full, empty)
                for number, one in self._was.items()
                for empty in held
                if self._may_get(number, empty)
                for full in self.replicas[number]
                if full != self.leader[number] and full in held and held[full] - held[empty] > 1
                if self._widens(number, full, empty) >= 0
            ]
            if not options:
                return
            *_, number, full, empty = min(options)
            self.place(Placed(number, self.leader[number], self._replaced(number, full, empty)))

    def spread_out(self) -> None:
        """A replica more in a locality without one, for each partition that has two in another."""
        for number in self.replicas:
            options = [
                (self._held[empty], -self._held[full], len(empty), empty, full)
                for empty in self._held
                if self._may_get(number, empty)
                for full in self.replicas[number]
                if full != self.leader[number] and full in self._held and self._widens(number, full, empty) > 0
            ]
            if options:
                *_, empty, full = min(options)
                self.place(Placed(number, self.leader[number], self._replaced(number, full, empty)))

    def _may_get(self, partition: int, id: str) -> bool:
        """Whether a partition may get its one new replica there: distinct, and there is room."""
        if id in self.replicas[partition] or id not in self._held or not self.may_touch(partition):
            return False
        size = self._was[partition].size
        return not self._touched.get(partition, False) and self._room.get(id, size) >= size

    def _replaced(self, partition: int, old: str, new: str) -> list[str]:
        return [new if id == old else id for id in self.replicas[partition]]

    def _widens(self, partition: int, old: str, new: str) -> int:
        """Localities more, or fewer, that the replicas would be in."""
        before, after = self.replicas[partition], self._replaced(partition, old, new)
        return len({self._ground.where(id) for id in after}) - len({self._ground.where(id) for id in before})

    def _covers(self, partition: int, old: str, new: str) -> bool:
        return self._widens(partition, old, new) >= 0

    def _is_even(self, old: str, new: str) -> bool:
        """Whether brokers would still hold about as many replicas each."""
        after = self._held | {old: self._held[old] - 1, new: self._held[new] + 1}
        most, least = max(after.values()), min(after.values())
        return most - least <= max(REPLICAS_UNEVEN_MAX, max(self._held.values()) - min(self._held.values()))


# ------------------------------------------------------------------------------------------------- what plans are for


def crowded(standings: Sequence[Standing], brokers: Sequence[str], ground: Ground) -> int:
    """Partitions whose replicas are in fewer localities than they could be."""
    there = len({ground.where(id) for id in brokers})
    return sum(len({ground.where(id) for id in s.replicas}) < min(there, len(s.replicas)) for s in standings)


def far(standings: Sequence[Standing], ground: Ground) -> int:
    """Partitions led from another locality than their rules name."""
    return sum(bool(s.leader and s.locality and ground.where(s.leader) != s.locality) for s in standings)


def overfull(before: Sequence[Standing], after: Sequence[Standing], ground: Ground) -> list[str]:
    """Brokers that would get more bytes than they have room for."""
    coming: dict[str, int] = {}
    for was, now in zip(before, after, strict=True):
        for id in now.replicas:
            if id not in was.replicas:
                coming[id] = coming.get(id, 0) + now.size
    return [id for id, size in coming.items() if size > ground.room.get(id, size)]
