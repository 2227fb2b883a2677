"""`Fleet.call`: straight from agent to agent.

A target is looked up once, at all brokers, and remembered; the sessions with agents stay open. So a call costs one
round trip, and goes on working while brokers are away. What is remembered is looked up again when it is old (beside the
call, which does not wait), when an agent cannot be reached, or when it says that it is not the one.

A call that was not begun (nobody there, Busy) is tried with the next agent of that name; one that was begun is never
made again.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from contextvars import ContextVar
from itertools import count
from typing import Any, NamedTuple

import msgspec

from bus import limits
from bus.attributes import legible
from bus.call import check_name, check_trace, is_loopback
from bus.client.calllink import CallLink
from bus.client.calltraces import CallTrace, CallTraces
from bus.client.cluster import Cluster
from bus.client.presence import Inquiry
from bus.errors import (
    AgentUnavailable,
    BusError,
    Busy,
    CallTimeout,
    ClientError,
    InvalidCall,
    NoSuchAgent,
    ProtocolError,
)
from bus.ids import new_trace

TRACE: ContextVar[tuple[str, str] | None] = ContextVar("signalbox_trace", default=None)
"""(traceparent, tracestate) of the call that is being answered in this task: calls made meanwhile carry it on."""

log = logging.getLogger("bus.client")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class _Known(NamedTuple):
    urls: list[str]
    looked_up: float


class Calling:
    """All calls of one fleet."""

    def __init__(self, cluster: Cluster, traces: CallTraces) -> None:
        self.traces = traces
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._links: OrderedDict[str, CallLink] = OrderedDict()
        self._refreshes: dict[str, asyncio.Task[None]] = {}
        self._turn = count()
        self._closed = False

    async def call(
        self, target: str, payload: Any, within: float, capability: str, traceparent: str, tracestate: str
    ) -> Any:
        """One call; its trace is left when it is over, however it ends. Raises what `Fleet.call` says."""
        check_name("target", target)
        if capability:
            check_name("capability", capability)
        if not 0 < within <= limits.CALL_MS_MAX / 1000:
            raise InvalidCall(f"timeout={within}: it is in seconds, above 0, at most {limits.CALL_MS_MAX // 1000}")
        check_trace(traceparent, tracestate)
        trace = (traceparent, tracestate) if traceparent else TRACE.get() or (new_trace(), "")
        packed = packed_payload(payload)
        began = time.monotonic_ns()
        error = why = ""
        try:
            return await self._placed(target, capability, packed, began + int(within * 1e9), trace)
        except (BusError, asyncio.CancelledError) as failure:
            error, why = type(failure).__name__, legible(str(failure), limits.CALL_ERROR_CHARS_MAX)
            raise
        finally:
            took = (time.monotonic_ns() - began) // 1_000
            self.traces.add(CallTrace(target, capability, *trace, took, time.time_ns(), error, why))

    async def close(self) -> None:
        """End all sessions with agents, and publish the last traces. Calls in flight raise CallLost; new ones raise
        ClientError, as nobody would close a session that is opened now."""
        self._closed = True
        for task in self._refreshes.values():
            task.cancel()
        for link in self._links.values():
            link.close()
        self._links.clear()
        await self.traces.close()

    # ------------------------------------------------------------------------------------------- placing

    async def _placed(self, target: str, capability: str, payload: bytes, until: int, trace: tuple[str, str]) -> Any:
        tried: dict[str, BusError] = {}
        while True:
            link = self._open_link(target, tried)
            if link is None:
                try:
                    async with asyncio.timeout_at(until / 1e9):
                        link = await self._reached(target, tried, until)
                except TimeoutError:
                    raise CallTimeout(f"{target} could not be reached in time; it was not called") from None
            try:
                returned = await link.call(target, capability, payload, until, trace)
            except (AgentUnavailable, Busy, NoSuchAgent) as error:
                tried[link.url] = error
                continue
            return unpacked(target, returned.payload)

    def _open_link(self, target: str, tried: dict[str, BusError]) -> CallLink | None:
        """The quick way: of the open sessions with agents that are known, the one with the fewest calls in flight."""
        known = self._known.get(target)
        if known is None:
            return None
        if self._loop.time() - known.looked_up > limits.CALL_ADDRESS_MS / 1000:
            self._refresh(target)
        links = [
            link
            for url in known.urls
            if url not in tried and (link := self._links.get(url)) is not None and link.is_open
        ]
        if len(links) > 1:  # round robin among equals
            first = next(self._turn) % len(links)
            return min(links[first:] + links[:first], key=lambda link: len(link.calls))
        return links[0] if links else None

    async def _reached(self, target: str, tried: dict[str, BusError], until: int) -> CallLink:
        """The slow way: look up, open sessions with all who were found, and take the first that is open.

        Raises NoSuchAgent, or why none of those who were found can be called.
        """
        looked_up = False
        while True:
            known = self._known.get(target)
            urls = [url for url in known.urls if url not in tried] if known is not None else []
            if not urls:
                busy: list[BusError] = [error for error in tried.values() if isinstance(error, Busy)]
                if looked_up or busy:  # looking up for every call that finds all busy would load the brokers, too
                    raise _none_left(target, busy or list(tried.values()))
                looked_up = True
                await self._look_up(target, (until - time.monotonic_ns()) / 1e9)
                continue
            links = [self._link(url) for url in urls]
            link = self._open_link(target, tried)
            if link is not None:
                return link
            await asyncio.wait([link.opened for link in links], return_when=asyncio.FIRST_COMPLETED)
            for link in links:
                if link.ended:
                    why = f"{target} was announced, and cannot be called: {link.ended}"
                    tried[link.url] = AgentUnavailable(why)

    def _link(self, url: str) -> CallLink:
        link = self._links.get(url)
        if self._closed:
            raise ClientError("this fleet is closed: call inside `async with bus.connect()`")
        if link is None or link.ended:
            if len(self._links) >= limits.CALL_LINKS_MAX:
                self._let_go()
            link = self._links[url] = CallLink(self._cluster, url, self._lost)
        self._links.move_to_end(url)
        return link

    def _let_go(self) -> None:
        idle = next((url for url, link in self._links.items() if not len(link.calls)), None)
        if idle is None:
            raise Busy(f"calls to {limits.CALL_LINKS_MAX} agents are in flight; wait for some of them, then call again")
        self._links.pop(idle).close()

    def _lost(self, link: CallLink) -> None:
        """Whoever was there is gone: it has to be looked up again."""
        if self._links.get(link.url) is link:
            del self._links[link.url]
        for target, known in list(self._known.items()):
            if link.url in known.urls:
                left = [url for url in known.urls if url != link.url]
                if left:
                    self._known[target] = known._replace(urls=left)
                else:
                    del self._known[target]

    # ---------------------------------------------------------------------------------------- looking up

    async def _look_up(self, target: str, within: float) -> None:
        found = await Inquiry(self._cluster, target).answer(within)
        urls = list(dict.fromkeys(one.url for one in found if is_loopback(one.url)))
        before = self._known.get(target)
        if before is not None and not urls:  # brokers that were restarted may not know yet who is there all the same
            urls = before.urls
        if urls:
            self._known[target] = _Known(urls, self._loop.time())
            self._known.move_to_end(target)
            if len(self._known) > limits.CALL_TARGETS_CACHED_MAX:
                self._known.popitem(last=False)

    def _refresh(self, target: str) -> None:
        if target not in self._refreshes:
            task = self._refreshes[target] = self._loop.create_task(self._look_up_again(target))
            task.add_done_callback(lambda _: self._refreshes.pop(target))

    async def _look_up_again(self, target: str) -> None:
        try:
            await self._look_up(target, limits.CALL_ADDRESS_MS / 1000)
        except BusError as error:
            log.debug("where %s is could not be asked again: %s", target, error)
        known = self._known.get(target)
        if known is not None:
            self._known[target] = known._replace(looked_up=self._loop.time())
            try:
                for url in known.urls:
                    self._link(url)
            except BusError as error:
                log.debug("no session beforehand with %s: %s", target, error)


def _none_left(target: str, refused: list[BusError]) -> BusError:
    return refused[-1] if refused else NoSuchAgent(f"no agent answers calls as {target!r}: start it, or mend the name")


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
