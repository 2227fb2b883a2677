"""What one agent has under way: handlers that run, within its concurrency, and how they end."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from bus.agents import inbox
from bus.agents.complaining import Complaints
from bus.agents.context import Context
from bus.agents.handlers import HEARD, Handlers, Handling
from bus.agents.limits import DRAIN_MS_MAX, HEARD_RUNNING_MAX
from bus.agents.settling import (
    ACK,
    DISPATCHED,
    FAILED,
    LEFT,
    NACK,
    NOTHING,
    TERMINATE,
    UNFIT,
    WELL,
    Verdict,
    is_spent,
    rest_seconds,
    told,
    verdict,
)
from bus.errors import BusError, InvalidEvent
from bus.event import Event
from bus.topic import matches
from bus.words import many

if TYPE_CHECKING:
    from bus.agents.agent import Agent
    from bus.agents.work import Job, Work

log = logging.getLogger("bus.agents")


class Counts(NamedTuple):
    """What an agent has done since it joined, and has to do now.

    `handled` and `failed`: handlers that ended well and otherwise; `duplicates`: events that came again to groups that
    it takes work from, and had been handled; `unheard`: coordination events that came while too many were heard.
    `in_flight`: events that are handled, and calls that are answered; `queue`: events that were delivered and wait.
    """

    handled: int
    failed: int
    duplicates: int
    unheard: int
    in_flight: int
    queue: int


class Desk:
    """See the module. `calls` are being answered now; for the other counts see `Counts`."""

    def __init__(self, agent: "Agent", handlers: Handlers, concurrency: int) -> None:
        self.agent = agent
        self.concurrency = concurrency
        self.works: list[Work] = []
        self.is_open = True
        self.handled = 0
        self.failed = 0
        self.unheard = 0
        self.calls = 0
        self._handlers = handlers
        self._heard = handlers.by(HEARD)
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()
        self._hearing: set[asyncio.Task[None]] = set()
        self._complaints = Complaints()

    @property
    def share(self) -> float:
        """How much of its concurrency is taken, 0 to 1; 1 for one that leaves."""
        return len(self._running) / self.concurrency if self.is_open else 1.0

    @property
    def counts(self) -> Counts:
        """As of now."""
        duplicates = sum(work.duplicates for work in self.works)
        queue = sum(work.queued() for work in self.works)
        in_flight = len(self._running) + self.calls
        return Counts(self.handled, self.failed, duplicates, self.unheard, in_flight, queue)

    def handler_for(self, job: "Job") -> Handling | None:
        """Who handles it: of all handlers where it was dispatched, else of those of the group it came from."""
        return self._handlers.best(job.event.type, None if job.order is not None else job.work.place)

    # ----------------------------------------------------------------------------------------- working

    def begin(self, job: "Job", handler: Handling | None) -> None:
        """Handle it, in a task of its own; without a handler it is refused."""
        self._run(self._work(job, handler), job)

    def confirm(self, job: "Job") -> None:
        """It was dispatched, and handled before: say so again."""
        self._run(self._settle(job, verdict(WELL, DISPATCHED, 1, 1), 0.0, ""), job)

    def _run(self, work: Coroutine[Any, Any, None], job: "Job") -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(lambda task: self._over(task, job))

    def _over(self, task: "asyncio.Task[None]", job: "Job") -> None:
        self._running.discard(task)
        if task.cancelled():
            job.work.put_back(job)
        elif (error := task.exception()) is not None:
            self._broke_off(job, error)
        self.works[:] = self.works[1:] + self.works[:1]  # each in its turn
        for work in list(self.works):
            if not self.is_open or self.share >= 1:
                break
            work.give_out()

    def _broke_off(self, job: "Job", error: BaseException) -> None:
        """A handler ends the process, or what its end was to say went wrong: either way that was an attempt, so that an
        event that ends whoever takes it is given up some day."""
        self.failed += 1
        log.error("%s: %r ended otherwise than handlers do", self.agent.source, job.event, exc_info=error)
        job.delivery.nack(delay=rest_seconds(job.delivery.attempt), error=told(error))
        job.work.ended(job, done=False)

    async def _work(self, job: "Job", handler: Handling | None) -> None:
        began = self._loop.time()
        lacking = _lacking(job, self.agent.capabilities)
        if lacking:
            ended, error, most = UNFIT, f"{self.agent.source} cannot do {lacking} any more", 1
        elif handler is None:
            ended, error, most = UNFIT, f"no handler of {self.agent.source} takes {job.event.type}", 1
        else:
            most = handler.max_deliver
            ended, error = await self._handle(job, handler)
        if ended != LEFT:
            self.handled += ended == WELL
            self.failed += ended != WELL
        if ended == UNFIT:
            self._complain(job, error)
        await self._settle(
            job,
            verdict(ended, job.origin, job.delivery.attempt, most, _is_heard(job)),
            self._loop.time() - began,
            error,
        )

    def _complain(self, job: "Job", error: str) -> None:
        """Nobody here can handle it, whenever it comes: its author, or this agent's, has to hear of it."""
        what = "dead letter" if job.order is None else "refused, the control plane decides"
        self._complaints.complain(
            self._loop.time(),
            f"{self.agent.source}: {job.event.type} of {job.event.source} ends here ({what}): {error}",
        )

    async def _handle(self, job: "Job", handler: Handling) -> tuple[str, str]:
        """How the handler ended, and with what error."""
        attempt = job.delivery.attempt
        if is_spent(job.origin, attempt, handler.max_deliver):
            return FAILED, f"none of {many(attempt - 1, 'attempt')} came to an end: the agent was lost each time"
        decision = job.order.decision if job.order is not None else None
        try:
            arguments = [] if handler.payload is None else [handler.payload.read(job.event)]
        except InvalidEvent as error:
            return UNFIT, str(error)
        except Exception as error:  # a type may check its values by code of its own
            return UNFIT, told(error)
        try:
            async with asyncio.timeout(handler.timeout) as clock:
                context = Context(self.agent, job.event, attempt, decision, self._loop.time() + handler.timeout)
                await handler.function(job.event, context, *arguments)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                return LEFT, ""
            return FAILED, f"{handler.name} ended by a cancellation of its own"
        except (SystemExit, KeyboardInterrupt, GeneratorExit):  # the loop's own, see `_broke_off`
            raise
        except BaseException as error:  # whatever it is, the event's next attempt and its dead letter have to know
            if isinstance(error, TimeoutError) and clock.expired():
                return FAILED, f"{handler.name} came to no end within {handler.timeout:.3g} s"
            log.warning("%s: %s failed over %r", self.agent.source, handler.name, job.event, exc_info=error)
            return FAILED, told(error)
        return WELL, ""

    async def _settle(self, job: "Job", found: Verdict, took: float, error: str) -> None:
        """Say what became of it: to the plane where it was dispatched, then to its group."""
        if found.how == NOTHING:
            job.work.put_back(job)
            return
        delivery, done = job.delivery, found.how == ACK and found.settled in ("", "handled")
        if found.settled and job.order is not None:
            said = inbox.settled(self.agent.source, job.order, found.settled, round(took * 1000), error)
            try:
                await self.agent.fleet.publish(said)
            except BusError as failure:
                # The event comes again, and is said to be settled then; it is not handled again if it was.
                log.warning(
                    "%s: task %s is settled, and that cannot be said: %s", self.agent.source, job.order.task, failure
                )
                found, error = Verdict(NACK, rest_seconds(delivery.attempt)), f"its outcome cannot be said: {failure}"
        if found.how == ACK:
            delivery.ack()
        elif found.how == NACK:
            delivery.nack(delay=found.delay, error=error)
        elif found.how == TERMINATE:
            delivery.terminate(error)
        job.work.ended(job, done)

    # ----------------------------------------------------------------------------------------- hearing

    def hear(self, event: Event) -> None:
        """A coordination event: all handlers that match hear it, beside what is under way."""
        for handler in self._heard:
            if self.is_open and matches(handler.pattern, event.type):
                if len(self._hearing) >= HEARD_RUNNING_MAX:
                    self.unheard += 1
                    continue
                task = self._loop.create_task(self._listen(event, handler))
                self._hearing.add(task)
                task.add_done_callback(self._hearing.discard)

    async def _listen(self, event: Event, handler: Handling) -> None:
        try:
            arguments = [] if handler.payload is None else [handler.payload.read(event)]
            async with asyncio.timeout(handler.timeout):
                context = Context(self.agent, event, 1, None, self._loop.time() + handler.timeout)
                await handler.function(event, context, *arguments)
            self.handled += 1
        except Exception as error:  # such an event does not come again: the log has to know
            self.failed += 1
            log.warning("%s: %s failed over %r", self.agent.source, handler.name, event, exc_info=error)

    def counted(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """An answering function, or one that answers in a stream, whose calls count as under way."""

        async def streaming(payload: Any, context: Any) -> AsyncIterator[Any]:
            self.calls += 1
            try:
                async for part in answer(payload, context):
                    yield part
            finally:
                self.calls -= 1

        async def answering(payload: Any, context: Any) -> Any:
            self.calls += 1
            try:
                return await answer(payload, context)
            finally:
                self.calls -= 1

        return streaming if inspect.isasyncgenfunction(answer) else answering

    async def clear(self, within: float) -> None:
        """Begin nothing more, let what runs end for `within` seconds, then cancel it: its events go to others."""
        self.is_open = False
        running = self._running | self._hearing
        if running:
            _, late = await asyncio.wait(running, timeout=within)
            for task in late:
                task.cancel()
            if late:
                _, stubborn = await asyncio.wait(late, timeout=DRAIN_MS_MAX / 1000)
                if stubborn:
                    log.error(
                        "%s: %d handlers go on although they were cancelled; let them end with `CancelledError`",
                        *(self.agent.source, len(stubborn)),
                    )


def _lacking(job: "Job", capabilities: list[str]) -> str:
    """What a job was dispatched for and this agent cannot do: its mail is of a time when it could, or is said to."""
    decision = None if job.order is None else job.order.decision
    needs = decision.get("requires") if isinstance(decision, dict) else None
    return ", ".join(str(need) for need in needs if need not in capabilities) if isinstance(needs, list) else ""


def _is_heard(job: "Job") -> bool:
    """Whether the plane still listens to what becomes of a job that it dispatched."""
    by = None if job.order is None else job.order.settle_by
    return by is None or time.time_ns() < by
