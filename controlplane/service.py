"""One plane, from taking the data directory to letting go of it.

    lock ─▶ journal replayed into the heart ─▶ living brokers greeted ─▶ epoch and uuid ─▶ PlaneStarted committed
         ─▶ brokers adopted or started ─▶ elections ─▶ recorder, samples, questions ─▶ ...
         ─▶ PlaneStopped ─▶ brokers ended ─▶ all of it committed ─▶ journal closed

Everything runs on one loop; commits, and questions to the archive, in threads. What ends a plane is a `Stop`: on
purpose (a signal, `down`, the end of standard input), and then its brokers end with it; or a failure (fenced by a newer
plane, a journal that cannot go on), and then they live on for the next plane.
"""

import asyncio
import logging
import os
import sys
import uuid
from collections.abc import Coroutine
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]

from bus.client.operator import Operator, RecordFollower, plane_fleet
from bus.errors import BusError
from bus.wire import PROTOCOL_MAX, Topology, Welcome
from bus.words import many
from controlplane import fencing, limits
from controlplane.answering import Answering
from controlplane.archived import Archived
from controlplane.arrivals import Follows
from controlplane.asking import QuestionSocket
from controlplane.catalogue import tell_schemas
from controlplane.clock import Clock
from controlplane.config import BROKERS_DEFAULT, Config
from controlplane.copying import Copying
from controlplane.decisions import StrategyChosen
from controlplane.directory import BrokerAddress, Directory, FleetFile, PlaneFile
from controlplane.effects import Effects
from controlplane.errors import DirectoryLocked, PlaneError, TakeOverNeeded, WrongFleet
from controlplane.facts import (
    BrokerAdded,
    BrokerStarted,
    CopyFounded,
    Fact,
    FleetFounded,
    FoldVersions,
    PlaneStarted,
    PlaneStopped,
    RecorderLag,
)
from controlplane.founding import as_asked, founded, port_of
from controlplane.joining import Joining
from controlplane.keeping import Keeping
from controlplane.membership import fresh_id, used_ids
from controlplane.plane import FOLLOWED_TYPES, folds
from controlplane.rebuild import forget, rebuilt_facts
from controlplane.restoring import Restored, restore
from controlplane.roster import brokers_of, plane_of
from controlplane.sampling import Sampling
from controlplane.stamps import stamp_of
from controlplane.supervisor import Supervisor
from controlplane.turns import Turns
from controlplane.version import VERSION
from controlplane.watchdog import Watchdog

log = logging.getLogger("signalbox.plane")
MORE_OR_FEWER = "signalbox broker add | remove"


class Stop(NamedTuple):
    """Why a plane ends. `error` is None when it was meant."""

    reason: str
    error: Exception | None = None


class Service:
    """`run` is the life of a plane; `stop` ends it and its brokers."""

    def __init__(self, config: Config, directory: Directory) -> None:
        self._config = config
        self._directory = directory
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._over = ""
        """Why it went on although it should not have."""

    def stop(self, reason: str) -> None:
        """End the fleet, on purpose."""
        if not self._stop.done():
            self._stop.set_result(Stop(reason))

    async def run(self) -> None:
        """Until it is stopped. Raises PlaneError when it cannot begin or go on; brokers then live on."""
        try:
            self._directory.claim()
        except DirectoryLocked as error:
            if self._config.brokers is None:
                raise
            raise DirectoryLocked(f"{error} To change how many brokers it has: {MORE_OR_FEWER}.") from error
        try:
            try:
                await self._once()
            except TakeOverNeeded as error:
                if not self._config.take_over:
                    raise
                # A broker that was down told only now which plane it obeys. It lives, and so is asked first.
                log.warning("once more: %s", error)
                self._stop = asyncio.get_running_loop().create_future()
                await self._once()
        finally:
            # Who may still call `stop` keeps this alive, and would keep the error, and by its traceback the journal.
            self._stop = asyncio.get_running_loop().create_future()
            self._directory.release()

    async def _once(self) -> None:
        file = self._directory.fleet()
        restored = await asyncio.to_thread(restore, self._directory)
        try:
            self._fenced(fencing.older(self._directory, restored.journal))
            heart = restored.heart
            file = as_asked(self._config, heart, file) if file else founded(self._config, heart)
            await self._run(file, restored)
        finally:
            await asyncio.to_thread(restored.close)

    def _fenced(self, error: PlaneError | None) -> None:
        """What keeps a plane from beginning, unless it was told to take over."""
        if error is not None and not self._config.take_over:
            raise error
        if error is not None:
            log.warning("taking over, %s: %s", self._config.reason, error)
            self._over = self._config.reason

    async def _run(self, file: FleetFile, restored: Restored) -> None:
        known = plane_of(restored.heart.states["fleet"])
        if known.fleet and known.fleet != file.fleet:
            raise WrongFleet(
                f"{self._directory.root}: fleet.json is of fleet {file.fleet}, the journal of {known.fleet}. "
                "One of them was copied here: move it away."
            )
        async with Operator(fleet=file.fleet) as operator:
            self._fenced(await fencing.elsewhere(self._directory, file, operator))
            await Plane(self._config, self._directory, file, restored, operator, self._stop, self._over).live()


class Plane:
    """The parts of a running plane, wired together."""

    def __init__(
        self,
        config: Config,
        directory: Directory,
        file: FleetFile,
        restored: Restored,
        operator: Operator,
        stop: "asyncio.Future[Stop]",
        over: str = "",
    ) -> None:
        self._config = config
        self._directory = directory
        self._file = file
        heart, journal = restored.heart, restored.journal
        self._heart = heart
        self._said = restored.said
        self._begun_at_base = restored.snapshots.why
        self._stop = stop
        self._over = over
        self._urls: list[str] = []
        self._follower: RecordFollower | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._clock = Clock(journal.recorded)
        self._gap_since = journal.recorded
        self._supervisor = Supervisor(
            directory, operator, file.fleet, file.partitions, self._report, self._fail, config.broker_options
        )
        self._sampling = Sampling(self._supervisor, self._report, self._clock.now, file.partitions)
        self._effects = Effects(self._supervisor, self._report, self._told)
        follows = Follows(FOLLOWED_TYPES)
        more = restored.snapshots, restored.refold, restored.ahead
        self._turns = Turns(heart, journal, self._clock, follows, self._effects.carry, *more)
        self._archived = Archived(journal, directory, self._supervisor)
        self._copying = Copying(journal, heart.states, self._supervisor.controls, self._report)
        keeps = config.journal_retention_seconds, config.journal_retention_bytes
        self._keeping = Keeping(directory.journal, self._turns, restored.snapshots, folds, *keeps)
        self._watchdog = Watchdog(directory.log, self._turns.progress, self._stand_still)
        self._loop = asyncio.get_running_loop()
        joining = Joining(self._supervisor, directory, file.fleet, file.partitions)
        self._answering = Answering(self._turns, self._supervisor, joining, str(directory.root), self._down)
        self._answering.copying = self._copying
        self._answering.keeps(keeps, (config.retention_seconds, config.retention_bytes))

    def _report(self, fact: Fact) -> None:
        self._turns.report(fact)
        if isinstance(fact, BrokerStarted):
            self._sampling.welcome()

    def _fail(self, error: Exception) -> None:
        if not self._stop.done():
            self._stop.set_result(Stop(str(error), error))

    def _stand_still(self, beats: int, why: str) -> None:
        """The watchdog spoke, in its thread."""
        self._loop.call_soon_threadsafe(self._turns.stand_still, beats, why)

    def _down(self, reason: str) -> None:
        if not self._stop.done():
            self._stop.set_result(Stop(reason))

    # ---------------------------------------------------------------------------------------------- life

    async def live(self) -> None:
        """From the claim to the end."""
        socket = QuestionSocket(
            self._answering.answer, self._answering.present, self._config.port, port_of(self._file.plane_url)
        )
        socket.welcome = self._welcome
        try:
            epoch, name = await self._take_control(socket.url)
            # Before the first turn: where the disk is full that one waits, and who asks hears why.
            self._start("questions", socket.serve())
            await self._begin(socket.url, epoch, name)
            self._watchdog.start()
            self._start("turns", self._turns.run())
            self._start("samples", self._sampling.run())
            self._start("projections", self._answering.projections.runners.run())
            self._start("recorder", self._record(epoch, name))
            self._start("copy", self._copying.run())
            self._start("keeping", self._keeping.run())
            self._start("lag", self._tell_lag())
            self._start("archived", self._archived.run(epoch, name))
            stop = await self._stop
            log.info("ending: %s", stop.reason)
            await self._finish(stop, socket)
            if stop.error is not None:
                raise stop.error
        finally:
            await self._let_go()
            socket.close()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_done)
        self._tasks.append(task)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            log.error("the plane's %s failed", task.get_name(), exc_info=error)
            self._fail(error if isinstance(error, Exception) else PlaneError(str(error)))

    async def _take_control(self, url: str) -> tuple[int, str]:
        """The plane epoch, greater than any that the journal or a living broker knows, and this plane's name."""
        state = self._heart.states["fleet"]
        joined = {broker.id: broker.dial for broker in brokers_of(state).values() if broker.joined}
        mine, theirs = plane_of(state).epoch, await self._supervisor.greatest_epoch(joined)
        if theirs > mine and not self._config.take_over:
            raise TakeOverNeeded(
                f"the brokers obeyed a plane of epoch {theirs}, and the journal in {self._directory.journal} knows of "
                f"{mine} only: a part of it is missing, or it is a copy. To go on with this one: {fencing.HOW}"
            )
        if theirs > mine:
            log.warning("taking over from plane epoch %d: %s", theirs, self._config.reason)
            self._over = self._config.reason
        epoch, name = max(mine, theirs) + 1, str(uuid.uuid4())
        self._supervisor.claim_as(epoch, name)
        self._effects.claim_as(epoch, name)
        started = float(psutil.Process().create_time())
        self._answering.introduce(url, started)
        self._directory.write_plane(PlaneFile(os.getpid(), started, url, epoch, name))
        self._file.plane_url = url
        self._directory.write_fleet(self._file)
        return epoch, name

    async def _begin(self, url: str, epoch: int, name: str) -> None:
        """Journal that a plane started; what follows from it starts the brokers."""
        gap = self._clock.now() - self._gap_since if self._gap_since else 0
        lacking, why = self._heart.lacking, self._begun_at_base
        stamp = stamp_of(epoch, name) if self._over else self._heart.stamp
        self._report(PlaneStarted(epoch, name, VERSION, url, gap, self._over, lacking, why, stamp))
        self._report(FoldVersions({fold.name: fold.version for fold in self._heart.folds.values()}))
        state, here = self._heart.states["fleet"], self._directory.brokers()
        known = brokers_of(state)
        if not known:
            wanted = [f"b{n}" for n in range(1, (self._config.brokers or BROKERS_DEFAULT) + 1)]
            file = self._file
            self._report(
                FleetFounded(file.fleet, file.partitions, file.slots, here or wanted, file.strategy, file.rules)
            )
        elif self._file.strategy != plane_of(state).strategy:
            self._report(StrategyChosen(self._file.strategy))
        if not state.table("reserved"):
            # A fleet that was founded without the journal's copy gets it now.
            self._report(CopyFounded(self._file.partitions))
        for fact in (again := rebuilt_facts(self._directory.journal)):
            self._report(fact)
        local = sum(not broker.joined for broker in known.values()) if known else len(here)
        wants = self._config.brokers or local
        taken = used_ids(state, here)
        for _ in range(wants - local if known else 0):
            taken.append(fresh_id(taken))
            self._report(BrokerAdded(taken[-1]))
        if wants < local or (here and not known and wants != local):
            there = many(local, "local broker")
            _note(f"this fleet has {there}, and `up --brokers {wants}` ends none: {MORE_OR_FEWER}")
        await self._turns.first(self._stop)
        if again:
            forget(self._directory.journal)
        if self._turns.refold is not None:
            self._turns.refold.start()
        self._effects.carry(self._said)
        for broker in here if known else []:
            if broker not in known:
                # It was removed, and the plane of then did not see it end.
                await self._supervisor.release(broker, "it is no member of this fleet")

    async def _record(self, epoch: int, name: str) -> None:
        """Follow all partitions, whatever happens to brokers."""
        topology = await self._effects.first_topology
        async with plane_fleet(self._urls, epoch, name, topology=topology) as fleet:
            self._effects.publish_through(fleet)
            self._answering.look_through(fleet)
            self._start("schemas", tell_schemas(fleet, self._turns))
            while True:
                try:
                    async with RecordFollower(fleet, self._turns.recorder.cursor) as follower:
                        self._follower = follower
                        await self._turns.recorder.follow(aiter(follower))
                except BusError as error:
                    log.error("the recorder begins again where it stands: %s", error)
                    await asyncio.sleep(limits.RECORDER_RETRY_MS / 1000)

    async def _tell_lag(self) -> None:
        """How far the journal is behind, once a second while it is."""
        was_behind = False
        while True:
            await asyncio.sleep(limits.LAG_MS / 1000)
            highs = self._follower.highs if self._follower is not None else {}
            archived = self._turns.journal.offsets
            events = sum(max(0, high - archived.get(partition, 0)) for partition, high in highs.items())
            is_behind = events >= limits.LAG_EVENTS_MIN
            if is_behind or was_behind:
                oldest = self._turns.recorder.oldest
                self._report(RecorderLag(events, max(0, self._clock.now() - oldest) if oldest else 0))
            was_behind = is_behind

    def _told(self, topology: Topology) -> None:
        """A topology was decided: the fleet's file names its brokers."""
        brokers = [BrokerAddress(node.id, node.url) for node in topology.nodes]
        self._urls[:] = [broker.url for broker in brokers]
        if brokers != self._file.brokers:
            self._file.brokers = brokers
            try:
                self._directory.write_fleet(self._file)
            except PlaneError as error:
                log.error("fleet.json is out of date: %s", error)

    def _welcome(self) -> Welcome:
        topology = self._effects.topology
        return Welcome(self._file.fleet, "plane", "", PROTOCOL_MAX, [], "anonymous", 0, topology)

    # ----------------------------------------------------------------------------------------------- end

    async def _finish(self, stop: Stop, socket: QuestionSocket) -> None:
        if stop.error is not None:
            await self._supervisor.leave()
            return
        self._answering.stopping = True
        # First: what becomes of brokers after it is meant, and no trouble.
        self._report(PlaneStopped(stop.reason))
        await self._supervisor.end(stop.reason)
        self._turns.finish()
        turning = next(task for task in self._tasks if task.get_name() == "turns")
        await asyncio.wait((turning,), timeout=limits.FINISH_MS_MAX / 1000)
        # However short its life was, what it journaled to the end is known to the next plane.
        self._archived.mark()
        await socket.drain()

    async def _let_go(self) -> None:
        await self._supervisor.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._effects.close()
        await asyncio.to_thread(self._answering.close)
        await asyncio.to_thread(self._turns.close)
        self._watchdog.stop()


def _note(text: str) -> None:
    """Said to whoever started this plane, and kept in its log."""
    log.warning("%s", text)
    if not sys.stderr.isatty():  # on a terminal the log is shown already
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
