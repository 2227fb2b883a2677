"""The switchboard of an agent: one listener for all names that a fleet answers as.

A call becomes a task; `bus.call.Answers` knows which are running, which are still wanted and how many there may be.
Whatever a function raises goes back to its caller, and the agent lives on; the log here has the trace of it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from bus import limits, wire
from bus.attributes import legible, text_of
from bus.call import Answers, check_trace
from bus.client.answering import CallContext, Desk
from bus.client.calling import TRACE, packed_payload, unpacked
from bus.client.cluster import Cluster
from bus.client.pouring import Pouring
from bus.client.presence import Announcer
from bus.errors import BusError, ClientError, InvalidCall, NoSuchAgent, ProtocolError, code_of
from bus.session import Session

log = logging.getLogger("bus.client")


class Switchboard:
    """All that one fleet answers. `malformed` counts frames and payloads that were dropped as unreadable."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._answers = Answers()
        self._desks: dict[str, dict[str, Desk]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pouring: dict[int, Pouring] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0
        self._unreadable = 0
        fleet = cluster.topology.fleet if cluster.topology is not None else ""
        named = name[: limits.PEER_NAME_CHARS_MAX]
        self._listener = cluster.transport.listen(fleet, named, self._heard, self._ended)
        self._announcer = Announcer(cluster)

    @property
    def url(self) -> str:
        """Where it is called."""
        return self._listener.url

    @property
    def malformed(self) -> int:
        """Frames and payloads that were dropped as unreadable."""
        return self._listener.malformed + self._unreadable

    @property
    def duplicates(self) -> int:
        """Calls that were dropped because their request was not new."""
        return self._answers.duplicates

    @property
    def running(self) -> int:
        """Calls that are being worked on."""
        return len(self._answers)

    async def open(self, desk: Desk, within: float) -> None:
        """Answer from now on, and say so to the brokers. Raises ClientError when the place is taken."""
        desks = self._desks.setdefault(desk.name, {})
        if desk.capability in desks:
            raise ClientError(f"{desk.place} is answered here already: one function for each name and capability")
        desks[desk.capability] = desk
        try:
            await self._announcer.announce(self._answerer(desk.name), within)
        except BaseException:
            self._withdraw(desk)
            raise

    async def shut(self, desk: Desk) -> None:
        """Answer no more; calls that have begun may end, for `ANSWERS_DRAIN_MS_MAX`, and are cancelled then."""
        self._withdraw(desk)
        running = [self._tasks[ticket] for ticket in self._answers.tickets(desk.place) if ticket in self._tasks]
        if running:
            _, late = await asyncio.wait(running, timeout=limits.ANSWERS_DRAIN_MS_MAX / 1000)
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """Withdraw everything, end all sessions, and cancel what is running; it may take `ANSWERS_DRAIN_MS_MAX`."""
        self._announcer.close()
        self._listener.close()
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=limits.ANSWERS_DRAIN_MS_MAX / 1000)

    def _answerer(self, name: str) -> wire.Answerer:
        return wire.Answerer(name, self.url, sorted(filter(None, self._desks[name])))

    def _withdraw(self, desk: Desk) -> None:
        desks = self._desks.get(desk.name, {})
        if desks.get(desk.capability) is not desk:
            return
        del desks[desk.capability]
        if desks:
            self._announcer.replace(self._answerer(desk.name))
        else:
            del self._desks[desk.name]
            self._announcer.withdraw(desk.name)

    # ------------------------------------------------------------------------------------------- hearing

    def _heard(self, session: Session, message: Any) -> None:
        kind = type(message)
        if kind is wire.Call:
            try:
                self._begin(session, message)
            except BusError as error:
                self._listener.send(session, wire.Fault(message.request, code_of(error), str(error)))
        elif kind is wire.Cancel:
            self._stop(self._answers.cancel(session.identity, message.request))
        elif kind is wire.Grant:
            pouring = self._pouring.get(self._answers.ticket(session.identity, message.request))
            if pouring is not None:
                pouring.grant(message.parts)
        elif kind not in (wire.Pong, wire.Fault):
            self._unreadable += 1
            request = int(getattr(message, "request", 0))
            self._listener.send(
                session, wire.Fault(request, "ProtocolError", f"{kind.__name__} is nothing that an agent is told")
            )

    def _begin(self, session: Session, call: wire.Call) -> None:
        try:
            check_trace(call.traceparent, call.tracestate)
            payload = unpacked(session.name, call.payload)
        except (InvalidCall, ProtocolError):
            self._unreadable += 1
            raise
        desk = self._desk(call.target, call.capability)
        now = time.monotonic_ns()
        ticket = self._answers.begin(session.identity, call, desk.place, desk.running_max, now)
        if ticket is None:
            return
        task = self._tasks[ticket] = self._loop.create_task(self._work(session, ticket, desk, call, payload))
        task.add_done_callback(lambda task: self._worked(session, ticket, call.request, task))
        self._arm()

    def _desk(self, target: str, capability: str) -> Desk:
        """Who is meant: a name and a capability of it, a name that leaves no choice, or a capability."""
        desks = self._desks.get(target)
        if desks is None:
            able = [desks[target] for desks in self._desks.values() if target in desks]
            if not able:
                raise NoSuchAgent(f"{target!r} is not answered here any more; look it up again")
            return able[0]
        desk = desks.get(capability) or (next(iter(desks.values())) if not capability and len(desks) == 1 else None)
        if desk is None:
            can = ", ".join(sorted(desks))
            raise NoSuchAgent(f"{target} answers {can}, not {capability!r}: name one of them as `capability`")
        return desk

    def _ended(self, session: Session) -> None:
        for ticket in self._answers.end(session.identity):
            self._stop(ticket)

    # ------------------------------------------------------------------------------------------- working

    async def _work(self, session: Session, ticket: int, desk: Desk, call: wire.Call, payload: Any) -> None:
        if call.traceparent:
            TRACE.set((call.traceparent, call.tracestate))
        reply: wire.Message
        try:
            answer = desk.answer(payload, CallContext(session.name, call))
            if isinstance(answer, AsyncGenerator) and call.parts <= 0:
                why = f"{desk.place} answers in parts: `async for part in fleet.stream(...)`"
                reply = wire.Fault(call.request, "InvalidCall", why)
            elif isinstance(answer, AsyncGenerator):
                pouring = Pouring(partial(self._listener.send, session), call.request, call.parts)
                self._pouring[ticket] = pouring
                reply = await pouring.pour(answer)
            else:
                reply = wire.Returned(call.request, packed_payload(await answer))
        except (asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit):  # see `_worked`
            raise
        except BaseException as error:  # whatever it is, it is the caller's to know
            log.warning("%s failed over a call of %s", desk.place, session.name, exc_info=error)
            text = legible(text_of(error), limits.CALL_ERROR_CHARS_MAX)
            reply = wire.Fault(call.request, "CallFailed", text, type(error).__name__)
        if self._answers.finish(ticket):
            self._listener.send(session, reply)

    def _worked(self, session: Session, ticket: int, request: int, task: "asyncio.Task[None]") -> None:
        """The task is over, also when it was cancelled before it began, or ends the process."""
        del self._tasks[ticket]
        self._pouring.pop(ticket, None)
        error = None if task.cancelled() else task.exception()
        if self._answers.finish(ticket):
            why = "it was cancelled" if task.cancelled() else "it ended without an answer"
            kind = "CancelledError" if error is None else type(error).__name__
            self._listener.send(session, wire.Fault(request, "CallFailed", why, kind))

    def _stop(self, ticket: int | None) -> None:
        task = self._tasks.get(ticket) if ticket is not None else None
        if task is not None:
            task.cancel()

    def _arm(self) -> None:
        due = self._answers.next_due()
        if due is not None and (self._timer is None or due < self._due):
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_later((due - time.monotonic_ns()) / 1e9, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for ticket in self._answers.expire(time.monotonic_ns()):
            self._stop(ticket)
        self._arm()
