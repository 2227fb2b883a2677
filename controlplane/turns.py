"""The plane's turn: inputs -> steps -> to disk -> effects. The only place where the heart beats.

    facts reported ─┐
    events arrived ─┼▶ heart.step, one input after the other ─▶ Landing: to disk, carry(intents), into the journal
    a Tick when due ┘          (on the loop)                     (in threads)  (on the loop)       (in a thread)

While a turn is on its way to the journal the heart is ahead of it, so whoever reads its state waits for `settled`;
nothing is told that a crash could take back. The next turn is stepped meanwhile where what is on its way is in the
write-ahead log, at most `AHEAD_TURNS_MAX` of them; of large ones, which are not written there, a full one that waits is
stepped while the one before is committed, and no more. Not so where somebody waits for the state, or a snapshot is due:
for these the heart has to stand where the journal does.

When the disk is full the steps wait as they are, and are tried again until there is room: nothing new is taken
meanwhile, and questions are still answered. So they are when a turn stands still for no known reason: the watchdog says
so (`stand_still`), and answers carry it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

from controlplane import limits
from controlplane.ahead import Ahead
from controlplane.arrivals import Arrival, Follows
from controlplane.clock import Clock
from controlplane.errors import DiskFull
from controlplane.facts import Fact, FoldsRebuilt, PlaneResumed, RoutesSet, Tick
from controlplane.fold import Heart
from controlplane.journal import Journal, Kept
from controlplane.landing import Carry, Landing, Stepped
from controlplane.recorder import Recorder
from controlplane.refolding import Refold
from controlplane.snapshots import Beginning, Snapshots

log = logging.getLogger("signalbox.plane")

_SECOND = 1_000_000_000


class Turns:
    """The one stream of steps. `report` may be called from anywhere on the loop; `run` takes turns until cancelled."""

    def __init__(
        self,
        heart: Heart,
        journal: Journal,
        clock: Clock,
        follows: Follows,
        carry: Carry,
        snapshots: Snapshots | None = None,
        refold: Refold | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        """`refold`: on its way to what the heart lacks. Without `ahead` effects wait for the journal."""
        self.heart = heart
        self.journal = journal
        self.snapshots = snapshots
        self.refold = refold
        self.clock = clock
        pending = ahead.pending if ahead is not None else []
        arrivals = (kept.arrival for kept in pending if kept.arrival is not None)
        archived = journal.offsets | {each.partition: each.next_offset for each in arrivals}
        self.recorder = Recorder(archived, self._call)
        self.stuck = ""
        """Why the turn under way counts as standing still, or empty; `stuck_since` is when that was found."""
        self.stuck_since = 0
        self._beats = 0
        self._doing = "it begins"
        self._followed_anyway = follows
        self._follows = follows.also(journal.named.newest)
        self._landing = Landing(journal, ahead, clock, carry, self._over, self._unsettled, self._write_down)
        self._facts: deque[tuple[Fact, asyncio.Future[int] | None]] = deque()
        self._called = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._asking = 0
        """How many wait for that."""
        self._ahead = 1 if pending else 0
        """Turns that the heart has begun and the journal does not have."""
        self._ticked = 0
        self._turned = 0
        self._finishing = False

    @property
    def full(self) -> str:
        """Why the journal stands still, or empty."""
        return self._landing.full

    @property
    def full_since(self) -> int:
        """When it began to."""
        return self._landing.full_since

    def report(self, fact: Fact) -> None:
        """Something happened: it enters the journal with the next turn."""
        self._facts.append((fact, None))
        self._call()

    async def decide(self, fact: Fact) -> int:
        """Report a fact and wait until it is committed; its position."""
        committed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._facts.append((fact, committed))
        self._call()
        return await committed

    def nearest(self, position: int) -> Heart:
        """The caller's own heart, at the newest snapshot not beyond `position`, else a new one. Any thread may ask."""
        if self.snapshots is None:
            return Heart(list(self.heart.folds.values()))
        return self.snapshots.nearest(position)

    def beginning(self) -> Beginning:
        """Where the journal begins. Any thread may ask. Raises CorruptJournal."""
        if self.snapshots is None:
            return Beginning(Heart(list(self.heart.folds.values())), True)
        return self.snapshots.beginning()

    def later(self, position: int) -> Heart | None:
        """The caller's own heart, at the first snapshot that is not before `position`, if any. Any thread may ask."""
        return self.snapshots.after(position) if self.snapshots is not None else None

    async def settled(self) -> None:
        """Wait until the heart's state is what the journal holds."""
        self._asking += 1
        try:
            with self._landing.hurried():
                await self._settled.wait()
        finally:
            self._asking -= 1

    async def reached(self, offsets: dict[int, int]) -> None:
        """Wait until everything below these offsets (partition -> offset) is archived."""
        archived = self.journal.offsets
        await self._landing.until(
            lambda: all(archived.get(partition, 0) >= high for partition, high in offsets.items())
        )

    async def beyond(self, position: int) -> None:
        """Wait until the journal holds more than this position."""
        await self._landing.until(lambda: self.journal.position > position)

    async def run(self) -> None:
        """Turn after turn, until `finish`."""
        try:
            while not self._finishing or self._facts:
                self._doing = "it waits for something to do"
                await self._wait()
                if self.full:
                    await self._landing.done()
                stepped = await self._begin()
                if not self._may_go_ahead(stepped):
                    await self._landing.done()
            await self._landing.done()
        finally:
            self._landing.cancel()

    def progress(self) -> tuple[int, str]:
        """A number that grows as turns go on, and what is done now, in words; may be called in any thread."""
        return self._beats, self._landing.doing or self._doing

    def stand_still(self, beats: int, why: str) -> None:
        """It has been at this number for too long: questions no longer wait for the turn, and answers say why."""
        if beats == self._beats:
            self.stuck, self.stuck_since = why, self.clock.now()
            self._settled.set()

    def finish(self) -> None:
        """Take the facts that are reported, and no turn after them; events that wait are followed again next time."""
        self._finishing = True
        self._call()

    def close(self) -> None:
        """No commit is under way when this returns."""
        self._landing.close()

    def _call(self) -> None:
        self._called.set()

    # ------------------------------------------------------------------------------------------ one turn

    async def _wait(self) -> None:
        """Until there is an input or time has to pass; at once when there is more to take."""
        if self._facts or self.recorder.events:
            # Questions that waited for the last commit go first.
            await asyncio.sleep(0)
            return
        self._called.clear()
        if not self._finishing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, (self._tick_due() - self.clock.now()) / _SECOND)):
                    await self._called.wait()

    def _tick_due(self) -> int:
        deadline = self.heart.next_deadline()
        each_second = self._ticked + _SECOND
        return each_second if deadline is None else min(deadline, each_second)

    async def turn(self) -> None:
        """Take what is there, or let time pass; commit it; have its effects carried out."""
        await self._begin()
        await self._landing.done()

    async def first(self, stop: "asyncio.Future[Any]") -> None:
        """Take the first turn. Raises DiskFull when `stop` is done while there is no room for it."""
        turn = asyncio.create_task(self.turn(), name="first turn")
        try:
            while not turn.done():
                waited = ({turn}, limits.FULL_RETRY_MS / 1000) if stop.done() else ({turn, stop}, None)
                await asyncio.wait(waited[0], timeout=waited[1], return_when=asyncio.FIRST_COMPLETED)
                if stop.done() and self.full and not turn.done():
                    raise DiskFull(f"it ends before it began, and brokers that run go on: {self.full}")
            await turn
        finally:
            turn.cancel()
            await asyncio.wait((turn,))

    async def _begin(self) -> Stepped:
        """Step the next turn, and have it come to disk."""
        if self.refold is not None and self.refold.near.is_set():
            await self._take_over(self.refold)
        self._ahead += 1
        self._settled.clear()
        try:
            stepped = await self._stepped()
            await self._landing.take(stepped)
        except BaseException:
            self._over()
            raise
        return stepped

    def _may_go_ahead(self, stepped: Stepped) -> bool:
        """Whether the next turn may be stepped while this one is on its way to the journal."""
        if self._asking or stepped.is_due or self.refold is not None:
            return False
        return self._landing.is_covered or self.recorder.events >= limits.TURN_EVENTS_MAX

    def _unsettled(self) -> None:
        """The journal has no room: questions are answered from the state as it is, which is right; only its record is
        late. It is known why nothing goes on."""
        self._beats += 1
        self._settled.set()

    def _over(self) -> None:
        """A turn has come to its end."""
        self._ahead -= 1
        self._beats += 1
        self.stuck = ""
        if self._ahead:
            self._settled.clear()
        else:
            self._settled.set()

    async def _stepped(self) -> Stepped:
        now = self.clock.now()
        self._notice_gap(now)
        kept: list[Kept] = []
        waiting: list[tuple[asyncio.Future[int], int]] = []
        self._doing = "it takes facts and events"
        for _ in range(min(len(self._facts), limits.TURN_FACTS_MAX)):
            fact, committed = self._facts.popleft()
            kept.append(self._step(fact, now))
            if committed is not None:
                waiting.append((committed, kept[-1].step.first))
        for arrival in self.recorder.take():
            kept.append(self._step(arrival, now))
            # Sockets get their turn between steps; questions about state wait for the commit.
            await asyncio.sleep(0)
        if self._tick_due() <= now:
            self._ticked = now
            kept.append(self._step(Tick(), now))
        return Stepped(kept, waiting, self.snapshots is not None and self.snapshots.is_due(self.heart))

    async def _take_over(self, refold: Refold) -> None:
        """What the heart lacks is nearly folded again: the rest while the heart stands, and then it has it all."""
        self._doing = "it waits for the last of what is folded again"
        whole = await asyncio.get_running_loop().run_in_executor(self._landing.thread, refold.finish, self.heart)
        if whole is None:
            refold.near.clear()
            return
        self.refold = None
        names = self.heart.adopt(whole)
        if self.snapshots is not None:
            self.snapshots.go_over(self.heart)
        log.info("%s: folded again", ", ".join(names))
        self._facts.appendleft((FoldsRebuilt(names), None))

    def _notice_gap(self, now: int) -> None:
        """A second at most lies between two turns, unless the plane or its machine stood still."""
        gap = now - self._turned - _SECOND
        if self._turned and gap > limits.STALL_MS_MAX * 1_000_000:
            log.warning("the plane stood still for %.1f s", gap / _SECOND)
            self._facts.appendleft((PlaneResumed(gap), None))
        self._turned = now

    def _step(self, given: Arrival | Fact, now: int) -> Kept:
        if isinstance(given, Arrival):
            return Kept(self.heart.step(given.rows(self._follows), now), given)
        if isinstance(given, RoutesSet):
            # What comes after it in this very turn is seen as whoever reads the journal again will see it.
            self._follows = self._followed_anyway.also(given.rules.patterns)
        return Kept(self.heart.step(given, now))

    def _write_down(self) -> None:
        """A snapshot; in the journal's thread, as the heart stands still until the turn is over."""
        if self.snapshots is not None:
            self.snapshots.take(self.heart, self.journal.digest)
