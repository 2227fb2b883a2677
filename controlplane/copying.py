"""The journal's copy is kept: each committed step is published to the reserved partition, some at a time, in order.

Steps are read back from the journal, so it is one way whether they are new or were committed long ago, and nothing
waits for it: a turn is done when it is committed here. Where the copy ends, the copy itself says. At first an empty
chunk is published; once that is committed, so is all before it, and nothing that an earlier plane sent can follow, as
brokers no longer listen to that one. The last step before it which this journal has, too, is where it goes on.

    open ─▶ read back ─▶ steps since ─▶ one chunk ─▶ acked by W ─▶ the next ...
                              ▲             └─ sent again with its number, to whoever leads, until it is
                              └─ nothing new: wait
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing

import duckdb

from bus.client.operator import Controls
from bus.errors import BrokerUnavailable, BusError, DuplicateSequence, OutOfSequence, UnknownProducer
from controlplane import copied, limits
from controlplane.copied import Chunk, CopiedStep
from controlplane.elections import LED
from controlplane.errors import CopyUnreadable
from controlplane.facts import CopyBeyond, CopyStands, Fact
from controlplane.journal import Journal
from controlplane.roster import copy_of
from controlplane.state import KeyedState
from controlplane.stored import copied_steps

log = logging.getLogger("signalbox.copy")
_ANEW = (UnknownProducer, OutOfSequence, DuplicateSequence)


class Copying:
    """Publishes the copy of one journal until `run` is cancelled. `why` it stands still is "" while it follows."""

    def __init__(
        self,
        journal: Journal,
        states: Mapping[str, KeyedState],
        controls: Callable[[str], Controls | None],
        report: Callable[[Fact], None],
    ) -> None:
        self.step = 0
        """The last step that the copy has; 0 before that is known."""
        self.position = 0
        self.why = "it has not begun yet"
        self._journal = journal
        self._states = states
        self._controls = controls
        self._report = report
        self._opening: int | None = None
        """Where the chunk stands that this plane opened with; None: it is to open, anew perhaps."""
        self._found = False
        """Whether it is known since then where the copy ends."""
        self._producer = b""
        self._sequence = 0
        self._anew = 0
        self._since = 0.0

    @property
    def behind(self) -> int:
        """Steps that the journal has and the copy has not."""
        return max(0, int(self._journal.step) - self.step)

    async def run(self) -> None:
        """Begin, and begin again whenever fleet or journal do not let it go on; the plane does without it meanwhile."""
        self._since = asyncio.get_running_loop().time()
        while True:
            try:
                await self._open()
                await self._follow()
            except _ANEW as error:
                self._opening = None
                self._stand_still(str(error))
            except (BusError, CopyUnreadable) as error:
                self._stand_still(str(error))
            except duckdb.Error as error:
                why = " ".join(str(error).split())
                self._stand_still(f"the journal cannot be read after position {self.position}: {why}; signalbox doctor")
            await asyncio.sleep(limits.RECORDER_RETRY_MS / 1000)

    # ------------------------------------------------------------------------------------------ where it ends

    def _leader(self) -> tuple[Controls, int]:
        fleet = self._states.get("fleet")
        p = copy_of(fleet) if fleet is not None else None
        controls = self._controls(p.leader) if p is not None and p.phase == LED else None
        if p is None or controls is None:
            raise BrokerUnavailable("nobody leads the reserved partition that it is kept in")
        return controls, p.partition

    async def _open(self) -> None:
        """Find where it ends. An opening of its own first: nothing can come between that and what is read back.

        What has been done of it is not done again: however often it is tried, one chunk is published.
        """
        if self._opening is None:
            self._producer, self._sequence, self._found = os.urandom(16), 0, False
            self._opening = await self._append(copied.encode([]))
        if self._found:
            return
        controls, partition = self._leader()
        end = self._opening
        first = (await controls.extent(partition)).first
        found, upto, beyond = None, end, 0
        while found is None and first < upto:
            start = max(first, upto - limits.COPY_LOOK_BACK_EVENTS)
            steps = copied.laid_out(await self._chunks(start, upto))
            found = await asyncio.to_thread(self._shared, steps)
            foreign = [step.last for step in steps if found is None or step.number > found.number]
            beyond, upto = max([beyond, *foreign]), start
        # Where it has nothing of this journal, it begins with the first step that the journal has.
        reach = self._journal.reach
        self.step, self.position = (found.number, found.last) if found else (reach.step, reach.position)
        self._anew = self.step + 1 if beyond else 0
        if beyond > self.position:
            log.error("the journal ended at position %d, and its copy has more, up to %d", self.position, beyond)
            self._report(CopyBeyond(self.position, beyond))
        self._found = True

    async def _chunks(self, start: int, upto: int) -> list[Chunk]:
        controls, partition = self._leader()
        found = [copied.chunk_of(header, body) for header, body in await controls.read(partition, start, upto)]
        return [chunk for chunk in found if chunk is not None]

    def _shared(self, steps: list[CopiedStep]) -> CopiedStep | None:
        """The last of them that this journal has as well."""
        for step in reversed(steps):
            if step.number <= self._journal.step and self._journal.journaled(step.number) == (step.last, step.digest):
                return step
        return None

    # ------------------------------------------------------------------------------------------ on and on

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            steps = await asyncio.to_thread(self._next)
            if steps:
                steps, data = await asyncio.to_thread(self._chunk, steps)
                took = loop.time() - began
                await self._append(data)
                self.step, self.position, self._anew = steps[-1].number, steps[-1].last, 0
            self._go_on()
            # Far behind, it takes a part of this process's time and no more; else it lets steps gather.
            is_behind = self.behind >= limits.COPY_STEPS_MAX
            await asyncio.sleep(limits.COPY_PACE * took if steps and is_behind else limits.COPY_MS / 1000)

    def _next(self) -> list[CopiedStep]:
        with closing(self._journal.reading()) as db:
            return copied_steps(db, db.holding(self.step + 1), self.step)

    def _chunk(self, steps: list[CopiedStep]) -> tuple[list[CopiedStep], bytes]:
        """The first of these steps that one chunk can take, and that chunk."""
        while True:
            try:
                return steps, copied.encode(steps, self._anew)
            except ValueError as error:
                log.info("%s: half of them go first", error)
                steps = steps[: len(steps) // 2]

    async def _append(self, data: bytes) -> int:
        """Publish one chunk, once, however often it takes; the offset that it begins at."""
        events = copied.events_of(data)
        while True:
            try:
                controls, partition = self._leader()
                outcome = await controls.append(partition, self._producer, self._sequence, events)
            except _ANEW:
                raise
            except BusError as error:
                self._stand_still(str(error))
                await asyncio.sleep(limits.RECORDER_RETRY_MS / 1000)
                continue
            self._sequence += 1
            offset: int = outcome.base_offset
            return offset

    def _stand_still(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self.why:
            log.warning("the journal's copy stands still at position %d: %s", self.position, why)
        self.why = why
        if now - self._since > limits.COPY_STANDS_MS / 1000 and not self._is_told:
            self._report(CopyStands(self.position, why))
            self._since = now

    def _go_on(self) -> None:
        self._since = asyncio.get_running_loop().time()
        if self.why:
            log.info("the journal's copy follows again, from position %d", self.position)
        self.why = ""
        if self._is_told:
            self._report(CopyStands(self.position, ""))

    @property
    def _is_told(self) -> bool:
        """Whether the fold has it that the copy stands still; while that fold is being rebuilt nobody knows."""
        ledger = self._states.get("ledger")
        return ledger is not None and bool(ledger.get("copy", "stands", [""])[0])
