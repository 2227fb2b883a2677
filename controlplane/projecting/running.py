"""The runners of a plane's projections: one for each class that the fold has registered, and no others.

Whatever runs is made to be that after each turn. What goes wrong here is a projection's, and never the plane's: it is
said in what is told of that projection, in the log, and tried again.
"""

import asyncio
import logging
from pathlib import Path

from controlplane import limits
from controlplane.answers.projections import Running
from controlplane.errors import ProjectionRefused, WorkerEnded
from controlplane.projecting import code
from controlplane.projecting.runner import Broken, Runner
from controlplane.projections import CLASS, Registered
from controlplane.turns import Turns

log = logging.getLogger("signalbox.projections")


class Live:
    """A runner and what is known of it on the loop. `why` it does not get on; "" when it does."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.why = ""
        self.stands = False
        """It will not get on by itself."""
        self.wait_ms = limits.PROJECTION_RESTART_MS_MIN
        """How long it waits when it does not get on the next time."""
        self.asked = asyncio.Event()
        """Somebody waits for it."""
        self.moved = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None


class Runners:
    """`run` until it is cancelled, then `close`. `folder` has a folder for each."""

    def __init__(self, turns: Turns, folder: Path) -> None:
        self._turns = turns
        self._folder = folder
        self._live: dict[str, Live] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._digest = -1

    async def run(self) -> None:
        """Have those run that are registered, and no others."""
        try:
            while True:
                position = self._turns.journal.position
                if self._turns.heart.states["projections"].digest != self._digest:
                    # Only then: whoever waits for that holds up the turns.
                    await self._turns.settled()
                    self._reconcile()
                await self._turns.beyond(position)
        finally:
            for live in self._live.values():
                if live.task is not None:
                    live.task.cancel()

    def close(self) -> None:
        """End all processes, and wait for them."""
        for live in self._live.values():
            live.runner.end()
        for live in self._live.values():
            live.runner.close()

    async def standing(self) -> dict[str, Running]:
        """How each class is, now, with whether its file has changed since."""
        found = {}
        for name, live in list(self._live.items()):
            runner = live.runner
            changed = await asyncio.to_thread(_changed, runner.registered)
            found[name] = Running(runner.position, runner.keys, runner.follows, live.why, live.stands, changed)
        return found

    def get(self, name: str) -> Live | None:
        """The one of this name, as the fold has it now."""
        self._reconcile()
        return self._live.get(name)

    def _reconcile(self) -> None:
        state = self._turns.heart.states["projections"]
        if state.digest == self._digest:
            return
        self._digest = state.digest
        wanted: dict[str, Registered] = {
            str(name): each for name, each in state.items("projection") if each.kind == CLASS and not each.error
        }
        for name, live in list(self._live.items()):
            if wanted.get(name) != live.runner.registered:
                del self._live[name]
                self._end(live)
        for name, registered in wanted.items():
            if name not in self._live:
                runner = Runner(name, registered, self._folder / name, self._turns.journal)
                live = self._live[name] = Live(runner)
                live.task = asyncio.create_task(self._follow(live), name=f"projection {name}")

    def _end(self, live: Live) -> None:
        if live.task is not None:
            live.task.cancel()
        live.runner.end()
        leaving = asyncio.create_task(self._let_go(live))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _let_go(self, live: Live) -> None:
        await self._moved(live)
        await asyncio.to_thread(live.runner.close)

    async def _follow(self, live: Live) -> None:
        """Bring it up to date, again and again, until it is at fault."""
        journal, runner = self._turns.journal, live.runner
        while not live.stands:
            await self._turns.settled()
            up_to, recorded = journal.position, journal.recorded
            try:
                if runner.position < up_to:
                    await asyncio.get_running_loop().run_in_executor(runner.thread, runner.advance, up_to, recorded)
                    live.why, live.wait_ms = "", limits.PROJECTION_RESTART_MS_MIN
            except Broken as broken:
                await self.quarantine(live, broken)
                return
            except ProjectionRefused as error:
                await self.say(live, str(error), stands=True)
                return
            except Exception as error:
                if not isinstance(error, WorkerEnded):
                    log.exception("projection %s failed", runner.name)
                await self.say(live, str(error) or type(error).__name__)
                await asyncio.sleep(live.wait_ms / 1000)
                live.wait_ms = min(2 * live.wait_ms, limits.PROJECTION_RESTART_MS_MAX)
                continue
            await self._moved(live)
            if runner.position >= up_to:
                await self._turns.beyond(up_to)
                await self._pace(live)

    async def _pace(self, live: Live) -> None:
        """Small pieces cost as much as large ones: unless somebody waits, let some gather."""
        try:
            async with asyncio.timeout(limits.PROJECTION_PACE_MS / 1000):
                await live.asked.wait()
        except TimeoutError:
            return

    async def say(self, live: Live, why: str, stands: bool = False) -> None:
        """What keeps it. Once it stands nothing more: whoever else is at it finds that its process is gone."""
        if live.stands:
            return
        log.warning("projection %s: %s", live.runner.name, why)
        live.why, live.stands = why, stands
        await self._moved(live)

    async def quarantine(self, live: Live, broken: Broken) -> None:
        """It is at fault: it ends, and a fact says so."""
        live.runner.end()
        await self.say(live, str(broken), stands=True)
        await self._turns.decide(broken.fact)

    async def _moved(self, live: Live) -> None:
        async with live.moved:
            live.moved.notify_all()


def _changed(registered: Registered) -> str:
    """Why what runs is not what its file says now; "" when it is."""
    if not registered.file:
        return ""
    try:
        same = code.identity(registered.file) == registered.sha256
    except ProjectionRefused as error:
        return str(error)
    return "" if same else f"{registered.file} has changed since"
