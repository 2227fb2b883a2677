"""The supervisor: sees that each broker runs, adopts those that live, restarts none of its own accord, ends its own.

A broker is recognised by its HELLO (fleet, id, store), never by a pid. Whether one lives in a folder is told by the
folder's lock: locked, it is greeted and adopted; free, it is started. What happens is reported as facts (BrokerStarted,
BrokerLost); when to try again is decided by the fold, whose intent comes back to `ensure`.

Brokers that somebody else started are in `joined`; here they only share sessions with the plane's own.

    ensure ─▶ folder locked? ─yes─▶ greet, claim ─▶ BrokerStarted(adopted) ─▶ watch: process and session
                   └─no─▶ start, wait for broker.json, greet, claim ─▶ BrokerStarted ─┘        │
                                                   BrokerLost(why) ◀──── the process ended ────┤
                                      greet again, BrokerStarted(adopted) ◀── only the session ┘
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bus.client.operator import Controls, Operator
from bus.errors import BusError
from bus.wire import Seat
from controlplane import fencing, limits, processes
from controlplane.directory import BrokerFile, Directory, alive
from controlplane.errors import PlaneError, TakeOverNeeded, WrongFleet
from controlplane.facts import BrokerLost, BrokerStarted, BrokerStopped, Fact
from controlplane.joined import Joined
from controlplane.processes import BrokerProcess

log = logging.getLogger("signalbox.supervisor")


class Running(NamedTuple):
    """A broker that this plane started or adopted, and its session of control."""

    process: BrokerProcess
    controls: Controls
    seats: list[Seat]


class Supervisor:
    """The local brokers of one fleet. `report` takes facts; `fence` is told when a newer plane has taken over."""

    def __init__(
        self,
        directory: Directory,
        operator: Operator,
        fleet: str,
        partitions: int,
        report: Callable[[Fact], None],
        fence: Callable[[PlaneError], None],
        options: Callable[[str], Sequence[str]] = lambda broker: (),
    ) -> None:
        """`options`: further flags for a broker that is started."""
        self._directory = directory
        self._operator = operator
        self._fleet = fleet
        self._partitions = partitions
        self._options = options
        self._report = report
        self._fence = fence
        self._claim = (0, "")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, BrokerProcess] = {}
        self._running: dict[str, Running] = {}
        self._stopping = False
        self.joined = Joined(operator, partitions, report)

    def controls(self, broker: str) -> Controls | None:
        """The open session with a broker, or None."""
        return self.sessions().get(broker)

    def sessions(self) -> dict[str, Controls]:
        """All open sessions, by broker."""
        own = {broker: found.controls for broker, found in self._running.items() if found.controls.is_open}
        return own | self.joined.sessions()

    @property
    def pids(self) -> list[int]:
        """Of the live brokers that this plane started or adopted."""
        return [process.pid for process in self._processes.values() if process.running]

    async def greatest_epoch(self, joined: Mapping[str, str]) -> int:
        """The greatest plane epoch that living brokers obey; 0 when none lives. `joined`: id to address."""
        own = (self._epoch_in(broker) for broker in self._directory.brokers())
        found = await asyncio.gather(*own, *(self._epoch_at(broker, url) for broker, url in joined.items()))
        return max(found, default=0)

    async def _epoch_in(self, broker: str) -> int:
        file = self._directory.broker_file(broker)
        lives = file is not None and processes.is_locked(self._directory.broker(broker))
        return await self._epoch_at(broker, file.url) if lives and file is not None else 0

    async def _epoch_at(self, broker: str, url: str) -> int:
        try:
            controls = await self._operator.open(url, limits.GREETING_MS_MAX / 1000)
        except BusError as error:
            # A broker that hangs cannot be asked; the claim will tell when it wakes up.
            log.warning("broker %s lives, but cannot be greeted: %s", broker, error)
            return 0
        epoch = controls.welcome.plane_epoch if controls.id == broker else 0
        controls.close()
        return epoch

    def claim_as(self, plane_epoch: int, uuid: str) -> None:
        """Under which name brokers are claimed from now on."""
        self._claim = (plane_epoch, uuid)
        self.joined.claim_as(plane_epoch, uuid)

    # ----------------------------------------------------------------------------------------- start, adopt

    def ensure(self, broker: str, url: str = "") -> None:
        """See that a broker runs, or, with `url`, that there is a session with it; the answer is a fact."""
        old = self._tasks.get(broker)
        if self._stopping or (old is not None and not old.done()):
            return
        if url:
            self.joined.ensure(broker, url)
            return
        self._tasks[broker] = asyncio.create_task(self._keep(broker), name=f"broker {broker}")

    async def _keep(self, broker: str) -> None:
        try:
            adopted = processes.is_locked(self._directory.broker(broker))
            running = await (self._adopt(broker) if adopted else self._start(broker))
            why = await self._watch(broker, running, adopted)
        except TakeOverNeeded as error:
            self._fence(error)
            return
        except (BusError, PlaneError, OSError) as error:
            why = str(error) or f"it did not answer in {limits.ADOPT_MS_MAX / 1000:g} s"
        except Exception as error:
            # Whatever it was: a broker that nobody keeps any more would be down for good, without a word.
            log.exception("keeping broker %s failed", broker)
            why = f"{type(error).__name__}: {error}"
        self._running.pop(broker, None)
        if not self._stopping:
            log.warning("lost broker %s: %s", broker, why)
            self._report(BrokerLost(broker, why))

    async def _adopt(self, broker: str) -> Running:
        async with asyncio.timeout(limits.ADOPT_MS_MAX / 1000):
            file = await self._announced(broker, lambda found: alive(found.pid, found.started))
        running = await self._greet(broker, BrokerProcess(broker, file.pid, file.started), file)
        self._processes[broker] = running.process
        log.info("adopted broker %s, pid %d", broker, file.pid)
        return running

    async def _start(self, broker: str) -> Running:
        folder = self._directory.broker(broker)
        process = processes.start(broker, folder, self._fleet, self._partitions, self._options(broker))
        self._processes[broker] = process
        log.info("started broker %s, pid %d", broker, process.pid)
        announced = asyncio.create_task(self._announced(broker, lambda found: found.pid == process.pid))
        ended = asyncio.create_task(process.ended())
        try:
            await asyncio.wait((announced, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise PlaneError(self._epitaph(broker, ended.result()))
            return await self._greet(broker, process, announced.result())
        except TakeOverNeeded:
            # It lives on, so that a plane that takes over can ask it which epoch it obeys.
            raise
        except (BusError, PlaneError, OSError):
            # It is no use to anyone: the next attempt starts another.
            process.signal(signal.SIGTERM)
            raise
        finally:
            announced.cancel()
            ended.cancel()

    async def _announced(self, broker: str, is_it: Callable[[BrokerFile], bool]) -> BrokerFile:
        """Its broker.json, once that is the one of the living process."""
        while True:
            file = self._directory.broker_file(broker)
            if file is not None and is_it(file):
                if file.fleet != self._fleet:
                    raise WrongFleet(f"broker {broker} in {self._directory.broker(broker)} is of fleet {file.fleet}")
                return file
            await asyncio.sleep(limits.ANNOUNCED_POLL_MS / 1000)

    async def _greet(self, broker: str, process: BrokerProcess, file: BrokerFile) -> Running:
        controls = await self._operator.open(file.url, limits.GREETING_MS_MAX / 1000)
        try:
            if controls.id != broker:
                raise WrongFleet(f"{file.url} says that it is broker {controls.id}, not {broker}")
            claimed = await controls.claim(*self._claim)
            if not claimed.accepted:
                raise TakeOverNeeded(
                    f"broker {broker} obeys another plane, of epoch {claimed.plane_epoch}, and this one has "
                    f"{self._claim[0]}. If that one is gone for good: {fencing.HOW}"
                )
        except BaseException:
            controls.close()
            raise
        running = self._running[broker] = Running(process, controls, claimed.seats)
        return running

    # ------------------------------------------------------------------------------------------- watch, end

    async def _watch(self, broker: str, running: Running, adopted: bool) -> str:
        """Reports it as started, and again after each new session, until its process ends; says how it ended."""
        ended = asyncio.create_task(running.process.ended())
        try:
            while not ended.done():
                controls = running.controls
                pid, store, url = running.process.pid, controls.store, controls.url
                began = int(running.process.started * 1e9) if adopted else 0
                self._report(BrokerStarted(broker, pid, store, url, adopted, running.seats, began))
                await asyncio.wait((ended, controls.closed), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done() and not self._stopping:
                    log.warning("the session with broker %s is over: %s", broker, controls.closed.result().why)
                again = await self._again(broker, running.process, ended)
                if again is None:
                    break
                running, adopted = again, True
            return self._epitaph(broker, await ended)
        finally:
            ended.cancel()

    async def _again(self, broker: str, process: BrokerProcess, ended: "asyncio.Task[str]") -> Running | None:
        """A new session with the same process; None once it has ended."""
        while True:
            await asyncio.wait((ended,), timeout=limits.REGREET_MS / 1000)
            file = self._directory.broker_file(broker)
            if ended.done() or file is None or file.pid != process.pid:
                return None
            if self._stopping:
                continue
            try:
                return await self._greet(broker, process, file)
            except BusError as error:
                log.debug("broker %s does not answer: %s", broker, error)

    def _epitaph(self, broker: str, how: str) -> str:
        """How it ended, and its last words unless it had no time for any."""
        said = processes.last_words(self._directory.broker(broker) / "broker.log") if how.startswith("exited") else ""
        return f"{how}; its log ends with: {said}" if said else how

    def halt(self, broker: str, pid: int, reason: str) -> None:
        """Tell a broker's process to end, if it is still this one; its end is reported as BrokerLost."""
        running = self._running.get(broker)
        if running is None or running.process.pid != pid or self._stopping:
            return
        log.info("broker %s, pid %d, is told to end: %s", broker, pid, reason)
        running.controls.halt(*self._claim, reason)

    async def release(self, broker: str, reason: str) -> None:
        """A broker is no member any more: let go of it, and end it if it is this plane's own. Its folder stays."""
        self.joined.forget(broker)
        running, process = self._running.get(broker), self._processes.pop(broker, None)
        if running is None and process is None and processes.is_locked(self._directory.broker(broker)):
            process = self._orphan(broker)
        if process is None:
            return
        log.info("broker %s, pid %d, is released: %s", broker, process.pid, reason)
        if running is not None:
            running.controls.halt(*self._claim, reason)
        await self._end(broker, process, was_told=running is not None)

    def _orphan(self, broker: str) -> BrokerProcess | None:
        """The process that lives in a folder here, and that nobody has greeted yet."""
        file = self._directory.broker_file(broker)
        ours = file is not None and file.fleet == self._fleet and alive(file.pid, file.started)
        return BrokerProcess(broker, file.pid, file.started) if ours and file is not None else None

    async def end(self, reason: str) -> None:
        """End every broker that was started or adopted, kindly first; reports each as stopped. Others live on."""
        self._stopping = True
        for running in self._running.values():
            running.controls.halt(*self._claim, reason)
        await asyncio.gather(*(self._stop(broker, process) for broker, process in self._processes.items()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _stop(self, broker: str, process: BrokerProcess) -> None:
        await self._end(broker, process, was_told=broker in self._running)
        self._report(BrokerStopped(broker))

    async def _end(self, broker: str, process: BrokerProcess, was_told: bool) -> None:
        for number in (None if was_told else signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                process.signal(number)
            try:
                async with asyncio.timeout(limits.HALT_MS_MAX / 1000):
                    await process.ended()
                break
            except TimeoutError:
                log.warning("broker %s has not ended in time", broker)

    async def leave(self) -> None:
        """Let go of all brokers without ending any."""
        self._stopping = True
        await self.joined.leave()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
