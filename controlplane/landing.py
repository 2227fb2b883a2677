"""How a turn that the heart has taken comes to disk, and then to effect.

    stepped ─┬▶ small: write-ahead log ─▶ carry(intents) ─┬▶ journal.commit, with what has gathered ─▶ told
             ╰▶ else, once all before it is in the journal ╯                        ╰▶ carry, if it was not yet

What is in the write-ahead log is as safe as what is in the journal, and comes there in a tenth of the time; so effects
follow it, while whoever asks for the state, or waits for a position, waits for the journal. A turn is written ahead
only where all before it is in one of the two. While nobody waits the journal lets `AHEAD_GATHER_MS` of them gather: a
transaction costs the same for one turn as for ten.

When the disk is full the turns wait as they are, and are tried again until there is room.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bus.words import many
from controlplane import aheadturns, limits
from controlplane.ahead import Ahead
from controlplane.clock import Clock
from controlplane.errors import DiskFull
from controlplane.facts import Intent
from controlplane.journal import Journal, Kept

log = logging.getLogger("signalbox.plane")

Carry = Callable[[Sequence[tuple[int, int, Intent]]], None]
"""Takes (cause, index, intent) of a turn that is durable; must not block."""


class Stepped(NamedTuple):
    """A turn that the heart has taken and the journal has not. `waiting`: who waits for which position.

    `is_due`: a snapshot is, of the state after it.
    """

    kept: list[Kept]
    waiting: list[tuple[asyncio.Future[int], int]]
    is_due: bool


class Landing:
    """The turns on their way to the journal, in order.

    `landed` is called after each one, `stands` each time that the journal has no room, and `after` in the journal's
    thread after a turn that `is_due`. `full`: why the journal takes nothing, or empty; `full_since`: when that began.
    """

    def __init__(
        self,
        journal: Journal,
        ahead: Ahead | None,
        clock: Clock,
        carry: Carry,
        landed: Callable[[], None],
        stands: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._ahead = ahead
        self._clock = clock
        self._carry = carry
        self._landed = landed
        self._stands = stands
        self._after = after
        self.thread = ThreadPoolExecutor(1, "journal")
        """In which the journal is written."""
        self._ahead_thread = ThreadPoolExecutor(1, "ahead")
        self._waiting: deque[tuple[Stepped, bool]] = deque()
        """Turns, and whether each has been written ahead and carried out; first what a full disk left in the log."""
        self._task: asyncio.Task[None] | None = None
        self._digest = journal.digest
        """After the newest turn."""
        if ahead is not None and ahead.pending:
            self._waiting.append((Stepped(ahead.pending, [], False), True))
            self._digest = ahead.pending[-1].step.digest
        self._is_covered = True
        """Whether all that is not in the journal is in the write-ahead log."""
        self._hurried = 0
        """How many wait for the journal."""
        self._needed = asyncio.Event()
        """What has gathered is not to wait for more."""
        self._trouble = ""
        """Why the newest turn could not be written ahead, or empty."""
        self.full = ""
        self.full_since = 0
        self.doing = ""
        """What the journal is doing, in words, or empty."""
        self._committed = asyncio.Condition()

    @property
    def is_covered(self) -> bool:
        """Whether the turns on their way are all as safe as in the journal, and there is room for more."""
        return self._is_covered and not self.full and len(self._waiting) < limits.AHEAD_TURNS_MAX

    async def take(self, stepped: Stepped) -> None:
        """The next turn; it is on its way when this returns. Raises what an earlier one's commit raised."""
        self._check()
        ahead = await self._written_ahead(stepped)
        if ahead:
            self._carry_out(stepped)
        else:
            # It goes alone: nothing is told or done of it before the journal has it.
            await self.done()
            self._is_covered = False
        if stepped.kept:
            self._digest = stepped.kept[-1].step.digest
        self._waiting.append((stepped, ahead))
        if not ahead or stepped.waiting or stepped.is_due:
            self._needed.set()
        self._begin()

    async def done(self) -> None:
        """The journal has all. Raises what a commit raised."""
        self._begin()
        if self._task is not None:
            with self.hurried():
                await self._task

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for what the journal holds."""
        with self.hurried():
            async with self._committed:
                await self._committed.wait_for(reached)

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Somebody waits for the journal: it takes turns as soon as they come."""
        self._hurried += 1
        self._needed.set()
        try:
            yield
        finally:
            self._hurried -= 1

    def cancel(self) -> None:
        """Go on no further."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Nothing is being written when this returns."""
        self._ahead_thread.shutdown()
        self.thread.shutdown()

    def _begin(self) -> None:
        if self._task is None and self._waiting:
            self._task = asyncio.create_task(self._run(), name="commit")

    def _check(self) -> None:
        """Raise what a commit raised, if one did."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def _written_ahead(self, stepped: Stepped) -> bool:
        ahead, most = self._ahead, limits.AHEAD_TURN_BYTES_MAX
        if ahead is None or not stepped.kept or aheadturns.bytes_of(stepped.kept, most) > most:
            return False
        if not self.is_covered:
            await self.done()
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(
                self._ahead_thread, ahead.write, self._digest, stepped.kept, not self._waiting
            )
        except OSError as error:
            if self._trouble != str(error):
                log.warning("turns go to the journal without the write-ahead log: %s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        return written

    def _carry_out(self, stepped: Stepped) -> None:
        if intents := [intent for each in stepped.kept for intent in each.step.intents]:
            self._carry(intents)

    async def _run(self) -> None:
        """Commit what has gathered, until there is nothing."""
        try:
            while self._waiting:
                await self._gather()
                await self._land(list(self._waiting))
            self._task = None
        finally:
            self.doing = ""

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.AHEAD_GATHER_MS / 1000):
                await self._needed.wait()
        if not self._hurried:
            self._needed.clear()

    async def _land(self, turns: list[tuple[Stepped, bool]]) -> None:
        kept = [each for stepped, _ in turns for each in stepped.kept]
        if kept:
            await self._commit(kept)
        for stepped, is_carried in turns:
            if not is_carried:
                self._carry_out(stepped)
            if stepped.is_due:
                self.doing = "it takes a snapshot"
                await asyncio.get_running_loop().run_in_executor(self.thread, self._after)
            self._waiting.popleft()
            self._landed()
        self._is_covered = self._is_covered or not self._waiting
        async with self._committed:
            self._committed.notify_all()
        for stepped, _ in turns:
            for future, position in stepped.waiting:
                if not future.done():
                    future.set_result(position)

    async def _commit(self, kept: list[Kept]) -> None:
        loop = asyncio.get_running_loop()
        self.doing = f"it commits {many(len(kept), 'step')}, positions {kept[0].step.first} to {kept[-1].step.last}"
        while True:
            try:
                await loop.run_in_executor(self.thread, self._journal.commit, kept)
                break
            except DiskFull as error:
                if not self.full:
                    log.error("%s", error)
                    self.full_since = self._clock.now()
                self.full = str(error)
                self._stands()
                await asyncio.sleep(limits.FULL_RETRY_MS / 1000)
        if self.full:
            log.warning("there is room again: the journal goes on")
            self.full = ""
