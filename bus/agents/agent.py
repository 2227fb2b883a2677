"""`bus.Agent`: what an author of agents writes.

    agent = bus.Agent("planner", capabilities=["plan"])

    @agent.on("task.plan.requested")
    async def plan(event, context, request: PlanRequest):
        await context.publish("task.plan.completed", {"steps": 3})

    agent.run()

docs/agents.md is the page for authors.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from bus.agents import inbox, saying
from bus.agents.desk import Counts
from bus.agents.handlers import Function, Handlers, handling
from bus.agents.life import Life
from bus.agents.limits import (
    CAPABILITIES_MAX,
    CONCURRENCY_MAX,
    ERROR_CHARS_MAX,
    HANDLERS_MAX,
    HEARTBEAT_MS_MAX,
    HEARTBEAT_MS_MIN,
    PREFERENCES_MAX,
    TEXT_CHARS_MAX,
)
from bus.agents.speaking import Speaking
from bus.attributes import check_text, legible
from bus.client.fleet import connect
from bus.errors import BrokerUnavailable, BusError, ClientError, NoFleet
from bus.limits import AGENT_NAME_CHARS_MAX
from bus.topic import is_type

if TYPE_CHECKING:
    from bus.client.fleet import Fleet
    from bus.client.starting import Start

log = logging.getLogger("bus.agents")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Agent(Speaking):
    """An agent: handlers of events and calls under one name, on a connection of its own or one that others share.

    `name` is a type without spaces, `planner` or `team.planner`: its source is `agent/<name>`, its inbox
    `agent.inbox.<name>`. `capabilities`: what the control plane may choose it for. It works on `concurrency` events at
    once. `heartbeat` in seconds. Without `fleet` it connects as `bus.connect(url, data_dir)` does. Raises ClientError,
    InvalidEvent.
    """

    def __init__(
        self,
        name: str,
        *,
        capabilities: Iterable[str] = (),
        version: str = "",
        locality: str = "",
        preferences: Mapping[str, str] | None = None,
        concurrency: int = 8,
        heartbeat: float = 5.0,
        url: str | list[str] | None = None,
        data_dir: str | None = None,
        fleet: "Fleet | None" = None,
    ) -> None:
        if isinstance(name, str) and "/" in name:
            meant = name.rpartition("/")[2] or "planner"
            raise ClientError(
                f"name: {name!r}: a name has no slash; say {meant!r}, and its events come from agent/{meant}"
            )
        self.name = _name("name", name)
        self.capabilities = [
            _name("capabilities", one) for one in saying.names("capabilities", capabilities, CAPABILITIES_MAX)
        ]
        self.version = _text("version", version)
        self.locality = _text("locality", locality)
        self.preferences = _preferences(preferences)
        if not 0 < concurrency <= CONCURRENCY_MAX:
            raise ClientError(f"concurrency={concurrency}: it counts events worked on at once, 1 to {CONCURRENCY_MAX}")
        if not HEARTBEAT_MS_MIN <= heartbeat * 1000 <= HEARTBEAT_MS_MAX:
            raise ClientError(f"heartbeat={heartbeat}: it is {HEARTBEAT_MS_MIN / 1000} to {HEARTBEAT_MS_MAX // 1000} s")
        self.concurrency = concurrency
        self.heartbeat = heartbeat
        self.handlers = Handlers()
        self.answering: dict[str, Callable[..., Any]] = {}
        self._where = (url, data_dir)
        self._given = fleet
        self._life: Life | None = None
        self._stack = AsyncExitStack()
        self._over: asyncio.Future[str] | None = None
        self._stopped = ""
        self._runs = False

    # ----------------------------------------------------------------------------------------- defining

    def on(
        self,
        pattern: str,
        *,
        group: str | None = None,
        order: str = "none",
        ack_wait: float = 30.0,
        max_deliver: int = 5,
        timeout: float | None = None,
        start: "Start" = "now",
        dispatched: bool = False,
    ) -> Callable[[Decorated], Decorated]:
        """Handle events of a pattern by `async def handler(event, context)`, or with a third parameter whose type the
        payload has to have.

        When it returns the event is acked. When it raises, or takes longer than `timeout` seconds (nine tenths of
        `ack_wait`, unless it says otherwise), the event comes again, at most `max_deliver` times, then it is a dead
        letter. A payload that does not fit makes it one at once. By which way events come depends on the pattern, see
        docs/agents.md: by a group of the agent's own, unless `group` names one that is shared; `order`, `ack_wait` and
        `start` are the group's, as in `Fleet.subscribe`; `ack_wait` is renewed while the agent lives. `dispatched`:
        only what the control plane chooses this agent for. Raises InvalidPattern, ClientError.
        """

        _check_called("on", pattern, '"task.plan.requested"')

        def decorate(function: Decorated) -> Decorated:
            self._check_idle("handlers")
            if len(self.handlers.all) >= HANDLERS_MAX:
                raise ClientError(f"{self.name} has {HANDLERS_MAX} handlers; more are not possible")
            one: Function = function
            made = handling(
                self.name,
                self.capabilities,
                one,
                pattern,
                group=group,
                order=order,
                ack_wait=ack_wait,
                max_deliver=max_deliver,
                timeout=timeout,
                start=start,
                dispatched=dispatched,
            )
            self.handlers.add(made)
            return function

        return decorate

    def answers(self, capability: str = "") -> Callable[[Decorated], Decorated]:
        """Answer calls to `agent/<name>`, or to a capability of it, by `async def answer(request, context)`.

        Raises ClientError.
        """
        _check_called("answers", capability, "")

        def decorate(function: Decorated) -> Decorated:
            self._check_idle("answers")
            if capability in self.answering:
                raise ClientError(
                    f"{self.name} answers {capability or 'calls'} already, by {self.answering[capability]}"
                )
            self.answering[capability] = function
            return function

        return decorate

    def using(self, fleet: "Fleet") -> "Agent":
        """Run on this connection, which others may share: `async with agent.using(fleet):`."""
        self._check_idle("its connection")
        self._given = fleet
        return self

    # ----------------------------------------------------------------------------------------- its life

    async def __aenter__(self) -> "Agent":
        self._check_idle("its life")
        async with AsyncExitStack() as stack:
            fleet = self._given
            if fleet is None:
                url, data_dir = self._where
                fleet = await stack.enter_async_context(connect(url, data_dir, name=self.source))
                self._check_idle("its life")  # somebody else may have let it join meanwhile
            life = self._life = Life(self, fleet)
            self._over = asyncio.get_running_loop().create_future()
            self._stopped = ""
            try:
                await life.begin()
            except BaseException:
                self._life = None
                raise
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        life = self._life
        try:
            if life is not None:
                await life.end(self._stopped or (kind.__name__ if kind is not None else "done"))
        finally:
            self._life = None
            await self._stack.aclose()

    async def wait(self) -> None:
        """Until `stop`. Raises what keeps the agent from its work for good, such as a group that refuses it."""
        if self._over is None:
            raise ClientError(f"{self.name} has not joined: use it in `async with agent:`")
        self._stopped = await asyncio.shield(self._over)

    def stop(self, reason: str = "stopped") -> None:
        """Let `wait` return, so that the agent leaves."""
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    def fail(self, error: BusError) -> None:
        """The agent cannot go on: `wait` raises."""
        if not self._runs:
            log.error("%s cannot go on: %s", self.source, error)
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)
            self._over.exception()  # whoever does not wait has the log

    def run(self) -> None:
        """Connect, join, work and leave at SIGINT or SIGTERM, for a script.

        What keeps it from its work ends the script: one line on stderr, and exit code 3 where no fleet answers, else 1.
        """
        self._runs = True
        try:
            with suppress(asyncio.CancelledError):  # signalled before it had joined
                asyncio.run(self._serve())
        except BusError as error:
            why = legible(" ".join(str(error).split()), ERROR_CHARS_MAX)
            print(f"{self.source} cannot go on: {why}", file=sys.stderr)
            raise SystemExit(3 if isinstance(error, (NoFleet, BrokerUnavailable)) else 1) from None
        finally:
            self._runs = False

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number, task)
        try:
            async with self:
                await self.wait()
        finally:  # what does not end although it was cancelled is ended by the next signal
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _signalled(self, number: signal.Signals, task: "asyncio.Task[None] | None") -> None:
        """Leave cleanly; who has not joined yet gives up joining."""
        if self._life is not None and self._life.is_ready:
            self.stop(number.name)
        elif task is not None:
            task.cancel()

    # ----------------------------------------------------------------------------------------- what it is

    @property
    def source(self) -> str:
        """`agent/<name>`."""
        return saying.source_of(self.name)

    @property
    def inbox(self) -> str:
        """The type of direct messages to it: `@agent.on(agent.inbox)`."""
        return inbox.pattern_of(self.name)

    @property
    def fleet(self) -> "Fleet":
        """Its connection. Raises ClientError while it has not joined."""
        return self.life.fleet

    @property
    def counts(self) -> Counts:
        """What it has done since it joined, and has to do now. Raises ClientError while it has not joined."""
        return self.life.desk.counts

    @property
    def life(self) -> Life:
        """Its incarnation and address. Raises ClientError while it has not joined."""
        if self._life is None:
            raise ClientError(f"{self.name} has not joined: use it in `async with agent:`, or `agent.run()`")
        return self._life

    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()

    def _check_idle(self, what: str) -> None:
        if self._life is not None:
            raise ClientError(f"{self.name} has joined: {what} cannot be changed until it has left")

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, capabilities={self.capabilities!r})"


def _check_called(decorator: str, given: object, example: str) -> None:
    """A decorator without its brackets gets the function, and would do nothing with it."""
    if not isinstance(given, str):
        what = getattr(given, "__qualname__", repr(given))
        raise ClientError(f"@agent.{decorator} got {what}, no text: write `@agent.{decorator}({example})` above it")


def _name(what: str, value: str) -> str:
    check_text(what, value)
    if not is_type(value) or " " in value or len(value) > AGENT_NAME_CHARS_MAX:
        raise ClientError(
            f"{what}: {value!r} is no name: tokens between dots, no space, no wildcard, {AGENT_NAME_CHARS_MAX} long"
        )
    return value


def _text(what: str, value: str) -> str:
    if value:
        check_text(what, value)
    if len(value) > TEXT_CHARS_MAX:
        raise ClientError(f"{what}: {len(value)} characters; {TEXT_CHARS_MAX} are allowed")
    return value


def _preferences(given: Mapping[str, str] | None) -> dict[str, str]:
    found = dict(given or {})
    if len(found) > PREFERENCES_MAX:
        raise ClientError(f"preferences: {len(found)} of them; {PREFERENCES_MAX} are allowed")
    return {_text("preferences", name): _text(f"preferences[{name!r}]", value) for name, value in found.items()}
