"""An operator who changes the group's settings, or removes it, in the midst of the storm.

He asks whoever he takes for the leader, again until he is told that it is committed, as the plane does. Members
that are told that the group is removed end, or, where they `return`, come as new ones and make it anew. What was told
before a removal says nothing about the group that is made after it: the ledger begins again there. What he decided once
removes once, though in mode `again` he forgets that he was told, as a plane does that is killed before it has noted it,
and asks again later.
"""

import sys
from random import Random
from typing import Any
from unittest.mock import patch

from bus import wire
from bus.errors import BusError
from bus.groupsettings import changed
from bus.session import Session

from . import members
from .groups import GroupBroker, GroupLedger
from .members import GroupRun, Member
from .world import MS, Violation

MODES = ("remove", "return", "again", "update")


class ChangeLedger(GroupLedger):
    """`removals`: how many are committed, the last one in record `removed_at`. `reborn`: a new member came when the
    operator had begun to remove it. `spared`: how often he was told so when it was made anew, and left alone."""

    removals = spared = 0
    removed_at = -1
    reborn = False
    begun_removing = False

    def _fold_one(self, index: int) -> None:
        before = self._settled.groups.get("g")
        super()._fold_one(index)
        if before is not None and "g" not in self._settled.groups:
            self.removals += 1
            self.removed_at = index
            self.confirmed.clear()
            self.acked.clear()
            if self.removals > 1:
                self.ledger.fail("removed", "what was decided once has removed the group that was made anew, too")

    def sends(self, epoch: int, offset: int, attempt: int) -> None:
        self._fold()
        if self.removals and epoch != max(self.ledger.leaders):  # it may not know of any removal
            self.delivered += 1
        elif "g" not in self._settled.groups:
            self.ledger.fail("removed", f"event {offset} is delivered though there is no group")
        else:
            super().sends(epoch, offset, attempt)

    def told_removed(self, was_there: bool) -> None:
        """The operator hears that it is done."""
        self._fold()
        self.spared += self.removals > 0 and "g" in self._settled.groups and not was_there
        if "g" in self._settled.groups and not self.reborn:
            self.ledger.fail("removed", "the operator was told so, and the committed log has the group")

    def ends(self, states: dict[str, Any], wanted: wire.GroupSettings | None) -> None:
        """What all replicas hold when everything has healed. `wanted`: the settings that were decided."""
        self._fold()
        for name, companion in states.items():
            if companion.snapshot() != next(iter(states.values())).snapshot():
                self.ledger.fail("group", f"{name} has applied the same records to another state")
            if wanted is None and "g" in companion.groups and not self.reborn:
                self.ledger.fail("removed", f"{name} has the group that was removed")
            if wanted is not None and companion.groups["g"].settings != wanted:
                self.ledger.fail("updated", f"{name} has {companion.groups['g'].settings}, decided was {wanted}")

    def finish(self, states: dict[str, Any]) -> None:
        """As ever, of the newest group of that name."""
        last, held = self.removed_at, self.ledger.committed
        self.ledger.committed = [one for n, one in enumerate(held) if n > last or not one.value.startswith("letter ")]
        try:
            super().finish(states)
        finally:
            self.ledger.committed = held


class ChangeBroker(GroupBroker):
    """Tells the ledger at once what is committed, and who comes."""

    groups: ChangeLedger

    def _high(self, high: int, high_offset: int) -> None:
        super()._high(high, high_offset)
        self.groups._fold()

    def _heard(self, session: Session, message: Any) -> None:
        if isinstance(message, wire.Join) and not message.again and self.groups.begun_removing:
            self.groups.reborn = True
        super()._heard(session, message)


class ChangeMember(Member):
    """`returns`: it comes again, as a new member, when the group is removed. `current`: the settings it was told."""

    groups: ChangeLedger
    returns = True
    ended = False
    incarnation = 0
    current: wire.GroupSettings | None = None

    def tick(self) -> None:
        if not self.ended:
            super().tick()

    def forget(self) -> None:
        super().forget()
        self.ended = not self.returns and self.groups.begun_removing

    def hear(self, message: Any, blobs: list[bytes]) -> None:
        match message:
            case wire.Fault(code="GroupRemoved"):
                self.forget()
                return
            case wire.Joined():
                if self.was_joined and message.definition > self.definition:
                    self.groups.ledger.fail("removed", f"{self.name} goes on in a group that was made after its own")
                self.incarnation = self.groups.removals
                self.current = message.settings or self.current
            case wire.Governed():
                self.current = message.settings
            case wire.Settled() if self.incarnation != self.groups.removals:
                self.asked.pop(message.request, None)
                return
        super().hear(message, blobs)


class Operator(Member):
    """Has decisions carried out, one after the other: at an instant, its number, changes or None for a removal.

    `encores`: after these pauses (ns) he asks once more for the removal that he was told of.
    """

    groups: ChangeLedger
    todo: list[tuple[int, int, dict[str, int] | None]]
    encores: list[int]

    def forget(self) -> None:
        super().forget()
        self.sent: dict[int, tuple[int, int, dict[str, int] | None]] = {}

    def tick(self) -> None:
        self.world.after(60 * MS, self.tick)
        leader = self.plane.seat.leader if self.plane.seat is not None else ""
        lost = self.session is None or not self.session.id or self.world.now - self.heard > members.SILENT_NS
        if leader and (lost or leader != self.leader):
            self.connect(leader)
        if self.joined and self.todo and self.todo[0][0] <= self.world.now:
            _, decision, changes = self.todo[0]
            self.groups.begun_removing |= changes is None
            self.number += 1
            self.sent[self.number] = self.todo[0]
            self.say(wire.ChangeGroup(self.number, 0, "", 0, "g", changes, decision))
        elif self.joined:
            self.say(wire.Ping(self.world.now))

    def hear(self, message: Any, blobs: list[bytes]) -> None:
        match message:
            case wire.Welcome():
                self.joined = True
            case wire.GroupChanged():
                decided = self.sent.get(message.request)
                if decided is None or decided not in self.todo or (decided[2] and not message.was_there):
                    return  # said before, or of a group that nobody has made yet
                self.todo.remove(decided)
                if decided[2] is None:
                    self.groups.told_removed(message.was_there)
                    if self.encores:
                        self.todo.append((self.world.now + self.encores.pop(), *decided[1:]))
            case wire.Fault() | wire.Bye():
                self.lose()


class ChangeRun(GroupRun):
    """A run with an operator; `mode`: see MODES."""

    groups: ChangeLedger

    def __init__(self, seed: int, mode: str, order: str = "none", verbose: bool = False) -> None:
        with patch.object(members, "GroupLedger", ChangeLedger), patch.object(members, "Member", ChangeMember):
            super().__init__(seed, broker=ChangeBroker, order=order, verbose=verbose)
        dice, self.mode = self.world.dice, mode
        self.operator = Operator("operator", self.world, self.network, self.plane, self.channel, self.groups)
        instants = sorted(int(dice.choice([2_000, 5_000, 7_500]) * dice.random() * MS) for _ in range(2))
        changes = {"ack_wait_ms": dice.choice([400, 2_500]), "max_deliver": dice.choice([2, 9])}
        self.wanted: wire.GroupSettings | None = changed("g", self.groups.settings, changes)
        self.operator.todo = [(instants[0], 1, changes)]
        if mode != "update":
            self.operator.todo = [(instants[0], 1, changes), (instants[1], 2, None)][dice.choice([0, 1]) :]
            self.wanted = None
        pauses = Random(f"again {seed}")
        self.operator.encores = [pauses.randrange(1_500 * MS) for _ in range(3 if mode == "again" else 0)]
        for member in self.members:
            member.returns = mode != "remove"  # type: ignore[attr-defined]

    def begin(self) -> None:
        self.operator.tick()
        super().begin()

    def conclude(self) -> None:
        if self.mode == "remove":
            super(GroupRun, self).conclude()
        else:
            super().conclude()
        states = {name: self.group_brokers[name].delivering._companions[0] for name in self.plane.replicas}
        if self.mode in ("remove", "update"):
            self.groups.ends(states, self.wanted)
        if self.wanted is not None:
            for member in self.members:
                told = getattr(member, "current", None)
                if member.joined and told != self.wanted:
                    self.ledger.fail("updated", f"{member.name} was told {told}, decided was {self.wanted}")

    def _settled(self) -> bool:
        if self.operator.todo:
            return False
        if self.mode == "remove":
            return super(GroupRun, self)._settled()
        return super()._settled()


def run_changes(seed: int, mode: str, order: str = "none", verbose: bool = False) -> tuple[str, ChangeRun]:
    """One seed; "" or what was violated."""
    play = ChangeRun(seed, mode, order, verbose)
    try:
        play.play()
    except (Violation, BusError) as found:
        return f"{type(found).__name__}: {found}", play
    return "", play


if __name__ == "__main__":
    violation, _ = run_changes(
        int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "none", verbose=True
    )
    sys.exit(violation)
