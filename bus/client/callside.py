"""The part of a Fleet that calls agents and answers calls. When to call, and when to publish: `docs/calls.md`."""

from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from bus import limits
from bus.client.answering import Answer, Answering, desk
from bus.client.calling import Calling
from bus.client.calltraces import CallTraces
from bus.client.circuits import Circuits
from bus.client.cluster import Cluster
from bus.client.publishpath import PublishPath
from bus.client.switchboard import Switchboard
from bus.errors import ClientError

CONNECT_SECONDS = limits.CONNECT_MS_MAX / 1000


class CallSide:
    """See `bus.client.fleet.Fleet`, which is one."""

    name: str
    _closed: bool
    _calling: Calling | None = None
    _switchboard: Switchboard | None = None

    @property
    def cluster(self) -> Cluster:
        """The connections behind it; Fleet has them."""
        raise ClientError("not connected")

    def _publishing(self) -> PublishPath:
        raise ClientError("not connected")

    def call(
        self,
        target: str = "",
        payload: Any = None,
        timeout: float = 2.0,
        *,
        capability: str = "",
        hedge_after: float | None = None,
        traceparent: str = "",
        tracestate: str = "",
    ) -> Coroutine[Any, Any, Any]:
        """Await what an agent answers: straight from here to there, and at most once.

        `target` is an agent's name, or a capability that any agent may have; `capability` picks one of those that a
        named agent answers, and alone finds any agent that has it: the one with the fewest calls of this fleet in
        flight. `payload` and the answer are what JSON has, and bytes. `timeout` in seconds holds for everything. The
        trace is `traceparent`, else that of the call being answered here, else a new one; the agent gets it unchanged.
        Cancelling cancels the agent's work.

        `hedge_after`: when there is no answer so many seconds, another agent of the name or capability is asked the
        same; the first answer is taken, the other agent is told to stop. Only for calls that may be carried out twice.

        Not begun, so that it may be made again: InvalidCall, NoSuchAgent, AgentUnavailable, Busy, CircuitOpen (calls to
        it failed of late). Begun: CallFailed (the agent raised), CallTimeout, CallLost.
        """
        return self._caller().call(target, payload, timeout, capability, traceparent, tracestate, hedge_after)

    def stream(
        self,
        target: str = "",
        payload: Any = None,
        timeout: float = 60.0,
        *,
        part_timeout: float = 10.0,
        capability: str = "",
        traceparent: str = "",
        tracestate: str = "",
    ) -> AsyncGenerator[Any, None]:
        """Iterate over an answer that comes in parts: `async for part in fleet.stream("agent/x", {...})`.

        As `call`, but that the answering function is an async generator, and each of what it yields comes as soon as it
        is there; one that returns gives a single part. `timeout` holds for all parts together, `part_timeout` for the
        wait for each. A few parts are sent ahead (CALL_PARTS_AHEAD_MAX): then the agent waits until they are taken.
        Leaving the loop stops the agent; `contextlib.aclosing` does so at once. Raises what `call` raises, perhaps
        after some parts.
        """
        return self._caller().stream(target, payload, timeout, part_timeout, capability, traceparent, tracestate)

    @property
    def circuits(self) -> Circuits:
        """The circuit breakers of the addresses that this fleet calls, by hand: see, force open, disable, reset."""
        return self._caller().circuits

    def answers(
        self, name: str, answer: Answer, *, capability: str = "", in_flight: int = limits.CALLS_RUNNING_MAX
    ) -> Answering:
        """Answer calls to `name` in `async with`, by `async def answer(payload, context)`: what it returns or raises.

        An async generator answers in parts, to `stream`. Several functions may answer under one name, each with its
        `capability`; several processes may answer under one name, and share the calls. At most `in_flight` calls are
        worked on at once, callers of more get Busy. On leaving, calls that have begun may end. Entering waits until a
        broker knows, for `CONNECT_SECONDS`; it raises InvalidCall, ClientError, AccessDenied, BrokerUnavailable.
        """
        return Answering(self._board, desk(name, answer, capability, in_flight), CONNECT_SECONDS)

    def _caller(self) -> Calling:
        if self._calling is None:
            self._check_open()
            traces = CallTraces(self._publishing().publisher.publish_many, self.name)
            self._calling = Calling(self.cluster, traces)
        return self._calling

    def _board(self) -> Switchboard:
        if self._switchboard is None:
            self._check_open()
            self._switchboard = Switchboard(self.cluster, self.name)
        return self._switchboard

    def _check_open(self) -> None:
        """Sockets that were made after the others were closed would keep the fleet from ever leaving."""
        if self._closed:
            raise ClientError("this fleet is closed: call and answer inside `async with bus.connect()`")

    async def _hang_up(self) -> None:
        """End all calls, those that are answered first."""
        switchboard, self._switchboard = self._switchboard, None
        calling, self._calling = self._calling, None
        try:
            if switchboard is not None:
                await switchboard.close()
        finally:
            if calling is not None:
                await calling.close()
