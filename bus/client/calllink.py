"""A caller's session with one agent: requests out, answers back, in any order.

The session and its traps are those of a connection to a broker (`connection.py`); who is in flight and until when is
the business of `bus.call.Calls`. One timer serves all deadlines.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bus import limits, wire
from bus.call import Calls
from bus.client.cluster import Cluster
from bus.client.connection import Connection, Lost
from bus.errors import AgentUnavailable, BusError, CallFailed, CallLost, CallTimeout, ProtocolError, from_code
from bus.ids import new_session


class CallLink:
    """A session with the agent at `url`, used once. `opened` is done when it is open, or over; then comes `on_lost`."""

    def __init__(self, cluster: Cluster, url: str, on_lost: Callable[["CallLink"], None]) -> None:
        self.url = url
        self.calls = Calls()
        self._cluster = cluster
        self._on_lost = on_lost
        self._waiting: dict[int, tuple[asyncio.Future[wire.Returned], str]] = {}
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0
        greeting = cluster.greeting
        if cluster.topology is not None:
            greeting = greeting._replace(fleet=cluster.topology.fleet)
        self._connection = cluster.transport.connect(url, greeting, self, new_session())

    @property
    def is_open(self) -> bool:
        """Whether calls may be made at once."""
        return self._connection.is_open

    @property
    def ended(self) -> str:
        """Why it can never be used again; "" while it can."""
        return self._connection.lost.why if self._connection.lost is not None else ""

    async def call(
        self, target: str, capability: str, payload: bytes, until_ns: int, trace: tuple[str, str]
    ) -> wire.Returned:
        """One call, on an open session. `until_ns` is of the monotonic clock.

        Raises AgentUnavailable or Busy when it was not begun, else CallTimeout, CallFailed, CallLost, or what the agent
        refused it with.
        """
        now = time.monotonic_ns()
        timeout_ms = -((now - until_ns) // 1_000_000)
        if timeout_ms <= 0:
            raise CallTimeout(f"{target} could not be reached in time; it was not called")
        request = next(self._cluster.numbers)
        self.calls.begin(request, until_ns)
        future: asyncio.Future[wire.Returned] = self._loop.create_future()
        self._waiting[request] = future, target
        message = wire.Call(request, target, capability, timeout_ms, payload, *trace)
        try:
            if not self._connection.ask(request, message, (), self._heard):
                raise AgentUnavailable(f"the session with {target} at {self.url} is over; it was not called")
            self._arm()
            return await future
        finally:
            del self._waiting[request]
            self._connection.forget(request)
            cancel = self.calls.cancel(request)
            if cancel is not None:  # nobody waits any more: the caller's task was cancelled
                self._connection.send(cancel)

    def close(self) -> None:
        """Say Bye; what is unanswered is lost."""
        self._connection.close()
        self._lose(Lost("closed", "the client is done"))

    # ---------------------------------------------------------------------------------------- the session

    def on_welcome(self, connection: Connection, welcome: wire.Welcome) -> None:
        """The agent takes calls."""
        if not self.opened.done():
            self.opened.set_result(None)

    def on_topology(self, topology: wire.Topology) -> None:
        """Agents have no say in it."""
        raise ProtocolError("Topology is not for an agent to tell")

    def on_lost(self, connection: Connection, lost: Lost) -> None:
        """The session is over."""
        self._lose(lost)
        self._on_lost(self)

    def _lose(self, lost: Lost) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for request in self.calls.lose():
            self._fail(request, lambda target: CallLost(f"{target} went away during the call: {lost.why}"))

    def _heard(self, message: Any, _blobs: list[bytes]) -> None:
        if isinstance(message, wire.Returned):
            if self.calls.settle(message.request):
                future, _ = self._waiting[message.request]
                if not future.done():
                    future.set_result(message)
        elif isinstance(message, wire.Fault):
            if self.calls.settle(message.request):
                self._fail(message.request, lambda target: refusal(target, message))
        elif isinstance(message, Lost):
            self._lose(message)
        else:
            raise ProtocolError(f"{type(message).__name__} answers no Call")

    def _fail(self, request: int, error: Callable[[str], BusError]) -> None:
        future, target = self._waiting[request]
        if not future.done():
            future.set_exception(error(target))

    # ------------------------------------------------------------------------------------------ deadlines

    def _arm(self) -> None:
        due = self.calls.next_due()
        if due is None or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_later((due - time.monotonic_ns()) / 1e9, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for cancel in self.calls.expire(time.monotonic_ns()):
            self._connection.send(cancel)
            self._fail(cancel.request, _overdue)
        self._arm()


def _overdue(target: str) -> BusError:
    return CallTimeout(f"{target} did not answer in time; it was told to stop, and how far it came is not known")


def refusal(target: str, fault: wire.Fault) -> BusError:
    """Why an agent did not answer, as an exception."""
    if fault.code == "CallFailed":
        text = fault.message[: limits.CALL_ERROR_CHARS_MAX]
        return CallFailed(f"{target} raised {fault.detail}: {text}", fault.detail, text)
    return from_code(fault.code, fault.message)
