"""Groups whose order spans partitions: one member works, and each leader tells how far its partition is. Pure.

Who works is the same at every leader, though each decides alone: of the members that are there, the one that came
first, by its own word (`since`, then its name); one that has let an `ack_wait` pass is passed over while there is
another. So a member takes over at a leader only when all that came before it have left there, are lost, or have lapsed;
and gives way when one of them comes back. What the member before had in hand stays with it until its `ack_wait` is
over; what it held back, and had not begun, goes to the one that works now, and that attempt does not count.

Leaders may disagree for a while, as they lose sessions at different moments. Order by cause does not rest on their
agreement: it goes by `Floors`, which are the same for everybody.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from bus.groupwork import READY, Member, Work

ORDERS = ("timestamp", "causal")
"""The orders that span partitions."""
_UNLOGGED = 1 << 62


def active_of(members: Iterable[Member]) -> Member | None:
    """The member that works."""
    there = list(members)
    able = [member for member in there if not member.lapsed] or there
    return min(able, key=lambda member: (member.since, member.name), default=None)


class Active:
    """Who works, and takes back from the others what they held back. `move(work, phase)`: the group's."""

    def __init__(
        self, members: Mapping[str, Member], works: Mapping[int, Work], move: Callable[[Work, str], None]
    ) -> None:
        self._members = members
        self._works = works
        self._move = move
        self._name = ""

    def member(self) -> Member | None:
        """The one that works."""
        active = active_of(self._members.values())
        name = active.name if active is not None else ""
        if name != self._name:
            self._name = name
            for other in self._members.values():
                if other is not active:
                    self.give_back(other)
        return active

    def takers(self) -> list[Member]:
        """Those who are dealt to: the one that works, if it has credit."""
        active = self.member()
        return [active] if active is not None and active.credit > 0 else []

    def give_back(self, member: Member) -> None:
        """What it was sent and has not begun is ready again."""
        for work in [self._works[offset] for offset in member.held]:
            if not work.timer:
                work.spared += 1
                self._move(work, READY)


class Floors:
    """How far a partition is settled for good: below what is open, and what is settled but not committed yet.

    Stands where `bus.keys.Lines` stands in a strict group; here any event may go whatever goes before it.
    """

    def __init__(self) -> None:
        self._unlogged: int | None = None
        self._logged: deque[tuple[int, int]] = deque()
        self._leap = -1
        self._floor = 0

    def add(self, offset: int, tag: int) -> bool:
        """An event is read; whether it may go."""
        return True

    def settled(self, offset: int, tag: int) -> None:
        """An event is settled; that is not in the log yet."""
        self._unlogged = offset if self._unlogged is None else min(offset, self._unlogged)

    def leap(self) -> None:
        """Unread events were passed, as they are gone here; a leader that still has them would deliver them: they
        count as passed when the leap is committed."""
        self._leap = _UNLOGGED

    @property
    def leaping(self) -> bool:
        """Whether a leap is not committed yet."""
        return self._leap >= 0

    def logged(self, index: int) -> None:
        """What was settled so far is in the log up to record `index`."""
        if self._leap == _UNLOGGED:
            self._leap = index
        if self._unlogged is not None:
            self._logged.append((index, self._unlogged))
            self._unlogged = None

    def committed(self, upto: int) -> list[int]:
        """Records below `upto` are committed; no event waits here for another."""
        if self._leap < upto:
            self._leap = -1
        while self._logged and self._logged[0][0] < upto:
            self._logged.popleft()
        return []

    def floor(self, open_from: int) -> int:
        """Events below it are settled, and that is committed; `open_from` is the first one that is not settled."""
        if not self.leaping:
            unsure = [least for _, least in self._logged] + ([] if self._unlogged is None else [self._unlogged])
            self._floor = max(self._floor, min([open_from, *unsure]))
        return self._floor
