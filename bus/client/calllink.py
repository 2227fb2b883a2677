"""A caller's session with one agent: requests out, answers back, in any order.

The session and its traps are those of a connection to a broker (`connection.py`); who is in flight and until when is
the business of `bus.call.Calls`. One timer serves all deadlines.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from bus import limits, wire
from bus.breaker import Breaker
from bus.call import Calls
from bus.client.cluster import Cluster
from bus.client.connection import Connection, Lost
from bus.errors import AgentUnavailable, BusError, CallFailed, CallLost, CallTimeout, ProtocolError, from_code
from bus.ids import new_session
from bus.streams import Inflow


class CallLink:
    """A session with the agent at `url`, used once. `opened` is done when it is open, or over; then comes `on_lost`.

    `breaker` is that of the address, and outlives the session; whoever calls asks it.
    """

    def __init__(
        self, cluster: Cluster, url: str, on_lost: Callable[["CallLink"], None], breaker: Breaker | None = None
    ) -> None:
        self.url = url
        self.breaker = breaker or Breaker()
        self.calls = Calls()
        self._cluster = cluster
        self._on_lost = on_lost
        self._waiting: dict[int, tuple[asyncio.Future[wire.Returned | wire.Ended], str]] = {}
        self._flows: dict[int, tuple[Inflow, asyncio.Event]] = {}
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
        request, future = self._begin(target, capability, payload, until_ns, trace)
        try:
            returned = await future
        finally:
            self._end(request)
        if isinstance(returned, wire.Ended):
            raise ProtocolError(f"{target} answered a call in parts that was not asked for any")
        return returned

    async def stream(
        self, target: str, capability: str, payload: bytes, until_ns: int, part_within: float, trace: tuple[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """The parts of one answer, each within `part_within` seconds of when it is waited for. Raises as `call` does.

        An agent that answers as a whole gives one part. What is not waited for any more, because this is closed, the
        agent is told to stop.
        """
        request, future = self._begin(target, capability, payload, until_ns, trace, limits.CALL_PARTS_AHEAD_MAX)
        flow, moved = self._flows[request] = Inflow(), asyncio.Event()
        future.add_done_callback(lambda _: moved.set())
        try:
            while True:
                while len(flow):
                    part = flow.take()
                    if more := flow.grant():
                        self._connection.send(wire.Grant(request, more))
                    yield part
                if future.done():
                    break
                moved.clear()
                try:
                    async with asyncio.timeout(part_within):
                        await moved.wait()
                except TimeoutError:
                    raise CallTimeout(
                        f"{target} gave no part of its answer within {part_within:g} s, after {flow.parts}; "
                        "it was told to stop"
                    ) from None
            ended = future.result()
            if isinstance(ended, wire.Returned):
                yield ended.payload
        finally:
            del self._flows[request]
            self._end(request)
            if future.done() and not future.cancelled():
                future.exception()  # closed before it came to that

    def _begin(
        self,
        target: str,
        capability: str,
        payload: bytes,
        until_ns: int,
        trace: tuple[str, str],
        parts: int = 0,
    ) -> "tuple[int, asyncio.Future[wire.Returned | wire.Ended]]":
        timeout_ms = -((time.monotonic_ns() - until_ns) // 1_000_000)
        if timeout_ms <= 0:
            raise CallTimeout(f"{target} could not be reached in time; it was not called")
        request = next(self._cluster.numbers)
        self.calls.begin(request, until_ns)
        future: asyncio.Future[wire.Returned | wire.Ended] = self._loop.create_future()
        self._waiting[request] = future, target
        call = wire.Call(request, target, capability, timeout_ms, payload, *trace, parts)
        if not self._connection.ask(request, call, (), self._heard):
            self._end(request)
            raise AgentUnavailable(f"the session with {target} at {self.url} is over; it was not called")
        self._arm()
        return request, future

    def _end(self, request: int) -> None:
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
        kind = type(message)
        if kind is wire.Returned or kind is wire.Ended:
            self._returned(message)
        elif kind is wire.Part:
            if message.request not in self._flows:
                raise ProtocolError("an answer comes in parts to a call that was not asked for any")
            flow, moved = self._flows[message.request]
            flow.arrived(message)
            moved.set()
        elif isinstance(message, wire.Fault):
            if self.calls.settle(message.request):
                self._fail(message.request, lambda target: refusal(target, message))
        elif isinstance(message, Lost):
            self._lose(message)
        else:
            raise ProtocolError(f"{type(message).__name__} answers no Call")

    def _returned(self, message: wire.Returned | wire.Ended) -> None:
        if isinstance(message, wire.Ended) and message.request in self._flows:
            self._flows[message.request][0].ended(message.parts)
        if self.calls.settle(message.request):
            future, _ = self._waiting[message.request]
            if not future.done():
                future.set_result(message)

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
