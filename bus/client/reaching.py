"""Who can be called: addresses looked up and remembered, sessions with agents kept open, and their circuits.

A target is looked up once, at all brokers, and remembered; the sessions stay open. So a call costs one round trip, and
goes on working while brokers are away. What is remembered is looked up again when it is old (beside the call, which
does not wait), when an agent cannot be reached, or when it says that it is not the one.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from itertools import count
from typing import NamedTuple

from bus import limits
from bus.call import is_loopback
from bus.client.calllink import CallLink
from bus.client.circuits import Circuits
from bus.client.cluster import Cluster
from bus.client.presence import Inquiry
from bus.errors import AgentUnavailable, BusError, Busy, CallTimeout, CircuitOpen, ClientError, NoSuchAgent

log = logging.getLogger("bus.client")


class _Known(NamedTuple):
    urls: list[str]
    looked_up: float


class Reach:
    """The agents that one fleet calls."""

    def __init__(self, cluster: Cluster) -> None:
        self.circuits = Circuits()
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._links: OrderedDict[str, CallLink] = OrderedDict()
        self._refreshes: dict[str, asyncio.Task[None]] = {}
        self._turn = count()
        self._closed = False

    def urls(self, target: str) -> list[str]:
        """Where those who answer for a target are known to be."""
        known = self._known.get(target)
        return known.urls if known is not None else []

    def close(self) -> None:
        """End all sessions with agents. Calls in flight raise CallLost; new ones raise ClientError, as nobody would
        close a session that is opened now."""
        self._closed = True
        for task in self._refreshes.values():
            task.cancel()
        for link in self._links.values():
            link.close()
        self._links.clear()

    async def link(self, target: str, tried: dict[str, BusError], until: int) -> CallLink:
        """A session with one of those who answer for the target, but those in `tried`, by the instant `until`.

        Raises CallTimeout; NoSuchAgent, or why none of those who were found can be called.
        """
        try:
            async with asyncio.timeout_at(until / 1e9):
                return await self._reached(target, tried, until)
        except TimeoutError:
            raise CallTimeout(f"{target} could not be reached in time; it was not called") from None

    def open_link(self, target: str, tried: dict[str, BusError]) -> CallLink | None:
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
        """Look up, open sessions with all who were found, and take the first that is open."""
        looked_up = False
        while True:
            known = self._known.get(target)
            urls = [url for url in known.urls if url not in tried] if known is not None else []
            if not urls:
                busy: list[BusError] = [one for one in tried.values() if isinstance(one, Busy | CircuitOpen)]
                if looked_up or busy:  # looking up for every call that finds all busy would load the brokers, too
                    raise _none_left(target, busy or list(tried.values()))
                looked_up = True
                await self._look_up(target, (until - time.monotonic_ns()) / 1e9)
                continue
            links = [self._link(url) for url in urls]
            link = self.open_link(target, tried)
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
            link = self._links[url] = CallLink(self._cluster, url, self._lost, self.circuits.of(url))
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
    if refused:
        return refused[-1]
    return NoSuchAgent(f"no agent answers calls by the name or capability {target!r}: start it, or mend the name")
