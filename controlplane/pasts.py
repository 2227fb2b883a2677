"""States of the past, kept for whoever looks around there: the nearest one that is known, and what is between.

A heart that is kept is never changed. One that is asked for is made of a copy of the nearest kept before it, or of what
`nearest` finds, by evolving the steps between. On the way a copy is kept `PAST_WALK_ENTRIES_MAX` entries before its
end, so that who walks on from there, either way, waits for a walk only. Copies share their values, which never change,
so one costs its keys and not its contents.

One is made at a time, in a thread; what is kept already is given at once. With too many, what is quickly made again of
another one goes first, and of that what was not looked at for longest.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

from controlplane import limits, timeline
from controlplane.errors import CorruptJournal
from controlplane.fold import Heart, Step

Steps = Callable[[int, int], Iterator[Step]]
"""(up_to, after) -> steps with number > `after` whose last position is <= `up_to`, in order."""
Nearest = Callable[[int], Heart]
"""A heart that is the caller's own, at a position that is not beyond this one; at worst a new one."""


class Pasts:
    """Hearts by position. Used on one loop; the hearts it gives are to be read only."""

    def __init__(self, steps: Steps, nearest: Nearest, begins: Callable[[], int] = lambda: 0) -> None:
        """`begins`: after which position the journal begins now; from before it nothing leads on."""
        self._begins = begins
        self._steps = steps
        self._nearest = nearest
        self._kept: OrderedDict[int, Heart] = OrderedDict()
        self._making = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self.evolved = 0
        """Entries that were evolved so far, in all."""

    async def at(self, position: int, told: Callable[[int], None]) -> Heart:
        """The state after the step that ends at `position`. `told` hears in a thread where the making stands.

        What `told` raises ends the making. Raises CorruptJournal when the journal does not lead to that position.
        """
        if position not in self._kept:
            async with self._making:
                if position not in self._kept:
                    await self._make(position, told)
        self._kept.move_to_end(position)
        self._stay()
        return self._kept[position]

    @property
    def kept(self) -> list[int]:
        """Positions, the one that was looked at last at the end."""
        return list(self._kept)

    async def _make(self, position: int, told: Callable[[int], None]) -> None:
        before = max((at for at in self._kept if self._begins() <= at <= position), default=None)
        base = None if before is None else self._kept[before]
        made = await asyncio.to_thread(self._evolve, base, position, told)
        if before is not None and before in self._kept:
            self._kept.move_to_end(before)
        for heart in made:
            self._kept[heart.position] = heart
        while self._is_too_much():
            del self._kept[self._least()]

    def _evolve(self, base: Heart | None, position: int, told: Callable[[int], None]) -> list[Heart]:
        """The heart at `position`, last, and one to walk from if it was far."""
        heart = base.copy() if base is not None and position - base.position <= limits.PAST_NEAR_ENTRIES_MAX else None
        if heart is None:
            heart = self._nearest(position)
            if base is not None and base.position > heart.position:
                heart = base.copy()
        made = []
        begun = heart.position
        if position - begun > limits.PAST_WALK_ENTRIES_MAX:
            self._go_on(heart, position - limits.PAST_WALK_ENTRIES_MAX, told)
            if heart.position > begun:
                made.append(heart.copy())
        self._go_on(heart, position, told)
        if heart.position != position:
            raise CorruptJournal(f"no step of the journal ends at position {position:,}, only at {heart.position:,}")
        self.evolved += heart.position - begun
        return [*made, heart]

    def _go_on(self, heart: Heart, position: int, told: Callable[[int], None]) -> None:
        def steps() -> Iterator[Step]:
            for step in self._steps(position, heart.steps):
                told(step.last)
                yield step

        timeline.as_of(steps(), (), position=position, heart=heart)

    def _is_too_much(self) -> bool:
        places = sum(len(state) for heart in self._kept.values() for state in heart.states.values())
        return len(self._kept) > limits.PASTS_KEPT_MAX or (len(self._kept) > 1 and places > limits.PASTS_PLACES_MAX)

    def _least(self) -> int:
        """The one that is missed least; never the newest."""
        older = list(self._kept)[:-1]
        quick = (at for at in older if any(0 < at - other <= limits.PAST_WALK_ENTRIES_MAX for other in self._kept))
        return next(quick, older[0])

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(limits.PASTS_IDLE_MS / 1000, self._kept.clear)
