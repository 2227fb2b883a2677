"""`Fleet.call` and `Fleet.stream`: straight from agent to agent.

A call that was not begun (nobody there, Busy, an open circuit) is tried with the next agent of that name; one that was
begun is never made again, unless its caller wants it hedged. Who can be called is the business of `reaching.py`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import msgspec

from bus import limits
from bus.attributes import legible
from bus.breaker import FORCED_OPEN
from bus.call import check_name, check_trace
from bus.client.calllink import CallLink
from bus.client.calltraces import CallTrace, CallTraces
from bus.client.circuits import Circuits
from bus.client.cluster import Cluster
from bus.client.hedging import first_of
from bus.client.reaching import Reach
from bus.errors import (
    AgentUnavailable,
    BusError,
    Busy,
    CallLost,
    CallTimeout,
    CircuitOpen,
    InvalidCall,
    NoSuchAgent,
    ProtocolError,
)
from bus.ids import new_trace
from bus.words import many

TRACE: ContextVar[tuple[str, str] | None] = ContextVar("signalbox_trace", default=None)
"""(traceparent, tracestate) of the call that is being answered in this task: calls made meanwhile carry it on."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Calling:
    """All calls of one fleet."""

    def __init__(self, cluster: Cluster, traces: CallTraces) -> None:
        self.traces = traces
        self._reach = Reach(cluster)

    @property
    def circuits(self) -> Circuits:
        """The breakers of the addresses that are called."""
        return self._reach.circuits

    async def call(
        self,
        target: str,
        payload: Any,
        within: float,
        capability: str,
        traceparent: str,
        tracestate: str,
        hedge_after: float | None = None,
    ) -> Any:
        """One call; its trace is left when it is over, however it ends. Raises what `Fleet.call` says."""
        target, capability, trace = _checked(target, capability, within, traceparent, tracestate)
        if hedge_after is not None and not hedge_after > 0:
            raise InvalidCall(f"hedge_after={hedge_after}: it is in seconds, above 0")
        packed = packed_payload(payload)
        began = time.monotonic_ns()
        until = began + int(within * 1e9)
        error = why = ""
        more: dict[str, Any] | None = None
        try:
            if hedge_after is None:
                return await self._placed(target, capability, packed, until, trace, {})
            more = {"hedge": {"after_ms": round(hedge_after * 1_000), "won": ""}}
            answer, more["hedge"]["won"] = await self._hedged(target, capability, packed, until, trace, hedge_after)
            return answer
        except (BusError, asyncio.CancelledError) as failure:
            error, why = type(failure).__name__, legible(str(failure), limits.CALL_ERROR_CHARS_MAX)
            raise
        finally:
            took = (time.monotonic_ns() - began) // 1_000
            self.traces.add(CallTrace(target, capability, *trace, took, time.time_ns(), error, why, more))

    async def stream(
        self,
        target: str,
        payload: Any,
        within: float,
        part_within: float,
        capability: str,
        traceparent: str,
        tracestate: str,
    ) -> AsyncGenerator[Any, None]:
        """One call that is answered in parts; the rest is as with `call`."""
        target, capability, trace = _checked(target, capability, within, traceparent, tracestate)
        if not 0 < part_within <= limits.CALL_MS_MAX / 1000:
            raise InvalidCall(
                f"part_timeout={part_within}: it is in seconds, above 0, at most {limits.CALL_MS_MAX // 1000}"
            )
        packed = packed_payload(payload)
        began = time.monotonic_ns()
        error = why = ""
        told = {"parts": 0, "whole": False}
        try:
            async with aclosing(
                self._poured(target, capability, packed, began + int(within * 1e9), part_within, trace)
            ) as parts:
                async for part in parts:
                    told["parts"] += 1
                    yield part
            told["whole"] = True
        except (BusError, asyncio.CancelledError) as failure:
            error, why = type(failure).__name__, legible(str(failure), limits.CALL_ERROR_CHARS_MAX)
            raise
        finally:
            took = (time.monotonic_ns() - began) // 1_000
            more = {"stream": told}
            self.traces.add(CallTrace(target, capability, *trace, took, time.time_ns(), error, why, more))

    async def close(self) -> None:
        """End all sessions with agents (`Reach.close`), and publish the last traces."""
        self._reach.close()
        await self.traces.close()

    # ------------------------------------------------------------------------------------------- placing

    async def _placed(
        self,
        target: str,
        capability: str,
        payload: bytes,
        until: int,
        trace: tuple[str, str],
        tried: dict[str, BusError],
        asked: list[str] | None = None,
    ) -> Any:
        """The answer of whoever takes the call first. `tried`: who is passed over, and why; `asked`: who it was."""
        while True:
            link = self._reach.open_link(target, tried)
            if link is None:
                link = await self._reach.link(target, tried, until)
            turn = link.breaker.admit(time.monotonic_ns())
            if not turn:
                tried[link.url] = _held_back(target, link)
                continue
            if asked is not None:
                asked.append(link.url)
            ok: bool | None = None
            try:
                returned = await link.call(target, capability, payload, until, trace)
                ok = True
            except BusError as error:
                ok = _tells(error)
                if not isinstance(error, AgentUnavailable | Busy | NoSuchAgent):
                    raise
                tried[link.url] = error
                continue
            finally:
                link.breaker.ended(turn, ok, time.monotonic_ns())
            return unpacked(target, returned.payload)

    async def _hedged(
        self, target: str, capability: str, payload: bytes, until: int, trace: tuple[str, str], after: float
    ) -> tuple[Any, str]:
        """The first of two answers, by two agents, where the first is late."""
        asked: list[str] = []

        def other() -> Coroutine[Any, Any, Any] | None:
            if not asked or set(self._reach.urls(target)) <= set(asked):
                return None
            passed: dict[str, BusError] = {url: Busy(f"{target} is at it already") for url in asked}
            return self._placed(target, capability, payload, until, trace, passed)

        first = self._placed(target, capability, payload, until, trace, {}, asked)
        return await first_of(first, other, after)

    async def _poured(
        self, target: str, capability: str, payload: bytes, until: int, part_within: float, trace: tuple[str, str]
    ) -> AsyncGenerator[Any, None]:
        """The parts of the answer of whoever takes the call first; nobody else is asked once there was one."""
        tried: dict[str, BusError] = {}
        while True:
            link = self._reach.open_link(target, tried)
            if link is None:
                link = await self._reach.link(target, tried, until)
            turn = link.breaker.admit(time.monotonic_ns())
            if not turn:
                tried[link.url] = _held_back(target, link)
                continue
            ok: bool | None = None
            try:
                async with aclosing(link.stream(target, capability, payload, until, part_within, trace)) as parts:
                    async for part in parts:
                        if not ok:
                            ok = True
                            link.breaker.answering(turn, time.monotonic_ns())
                        yield unpacked(target, part)
                ok = True
                return
            except BusError as error:
                began, ok = ok, _tells(error)
                if began or not isinstance(error, AgentUnavailable | Busy | NoSuchAgent):
                    raise
                tried[link.url] = error
            finally:
                link.breaker.ended(turn, ok, time.monotonic_ns())


def _checked(
    target: str, capability: str, within: float, traceparent: str, tracestate: str
) -> tuple[str, str, tuple[str, str]]:
    """Who is called, by which capability of theirs, and the trace. A capability alone is the target. Raises
    InvalidCall."""
    if not target and capability:
        target, capability = capability, ""
    check_name("target", target)
    if capability:
        check_name("capability", capability)
    if not 0 < within <= limits.CALL_MS_MAX / 1000:
        raise InvalidCall(f"timeout={within}: it is in seconds, above 0, at most {limits.CALL_MS_MAX // 1000}")
    check_trace(traceparent, tracestate)
    return target, capability, (traceparent, tracestate) if traceparent else TRACE.get() or (new_trace(), "")


def _tells(error: BusError) -> bool | None:
    """What an error says of the target to its breaker: that it fails, that it works, or nothing."""
    if isinstance(error, CallTimeout | CallLost | AgentUnavailable):
        return False
    return None if isinstance(error, Busy | NoSuchAgent) else True


def _held_back(target: str, link: CallLink) -> CircuitOpen:
    failed, known = link.breaker.failed
    rests = link.breaker.rests_ms(time.monotonic_ns())
    forced = link.breaker.state is FORCED_OPEN
    why = "by hand, until it is reset" if forced else f"as {failed} of the last {many(known, 'call')} failed"
    again = f"; it may be called again in {rests / 1000:g} s" if rests else ""
    return CircuitOpen(f"{target} at {link.url} is not called: its circuit is {link.breaker.state}, {why}{again}")


def packed_payload(payload: Any) -> bytes:
    """A payload as MessagePack. Raises InvalidCall for what it cannot hold, and what is over `CALL_BYTES_MAX`."""
    try:
        packed = _pack(payload)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidCall(f"payload: {error}; it is made of what JSON has, and bytes") from None
    if len(packed) > limits.CALL_BYTES_MAX:
        raise InvalidCall(f"payload: {len(packed)} bytes; {limits.CALL_BYTES_MAX} are allowed")
    return packed


def unpacked(target: str, payload: bytes) -> Any:
    """A payload from `target`. Raises ProtocolError for bytes that are none."""
    try:
        return _unpack(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{target} sent a payload that is no MessagePack: {error}") from None
