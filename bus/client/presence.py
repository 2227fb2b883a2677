"""Who answers calls: told to every broker, and asked of every broker.

An agent announces itself in each session that it has with a broker, and again in each new one, so that a broker that
was restarted knows it as soon as it is back. Who looks an agent up asks all brokers at once and takes the first that
knows it; that nobody answers is believed when all have said so, or all but those that stay silent.
"""

import asyncio
from typing import Any

from bus import limits, wire
from bus.client.cluster import Cluster, fault_error
from bus.client.connection import Connection, Lost, Route
from bus.errors import BrokerUnavailable


class Announcer:
    """Announces agents until it is closed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answerers: dict[str, wire.Answerer] = {}
        self._told: dict[Connection, dict[str, wire.Answerer]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        cluster.observers.add(self._attend)

    async def announce(self, answerer: wire.Answerer, within: float) -> None:
        """Tell all brokers; returns once the first knows it. Raises what it refused with, or BrokerUnavailable."""
        name = answerer.name
        self._answerers[name] = answerer
        known = self._waiting[name] = asyncio.get_running_loop().create_future()
        self._attend()
        try:
            async with asyncio.timeout(within):
                await known
        except TimeoutError:
            raise BrokerUnavailable(f"no broker took the announcement of {name} within {within:g} s") from None
        finally:
            if self._waiting.get(name) is known:
                del self._waiting[name]

    def replace(self, answerer: wire.Answerer) -> None:
        """Tell all brokers, without waiting, what has become of an agent that was announced."""
        self._answerers[answerer.name] = answerer
        self._attend()

    def withdraw(self, name: str) -> None:
        """Tell all brokers that an agent answers no more."""
        self._answerers.pop(name, None)
        for connection, told in self._told.items():
            if told.pop(name, None) is not None:
                connection.send(wire.Absent(name))

    def close(self) -> None:
        """Withdraw everything."""
        self._cluster.observers.discard(self._attend)
        for name in list(self._answerers):
            self.withdraw(name)

    def _attend(self) -> None:
        self._told = {connection: told for connection, told in self._told.items() if connection.is_open}
        if not self._answerers:
            return
        for url in self._cluster.urls:
            connection = self._cluster.reach(url)
            if connection is None:
                continue
            told = self._told.setdefault(connection, {})
            for name, answerer in self._answerers.items():
                if told.get(name) is not answerer:
                    told[name] = answerer
                    self._tell(connection, answerer)

    def _tell(self, connection: Connection, answerer: wire.Answerer) -> None:
        number = next(self._cluster.numbers)

        def heard(message: Any, _blobs: list[bytes]) -> None:
            connection.forget(number)
            known = self._waiting.get(answerer.name)
            if known is None or known.done():
                return
            if isinstance(message, wire.Fault):
                known.set_exception(fault_error(message))
            elif not isinstance(message, Lost):
                known.set_result(None)

        connection.ask(number, wire.Present(number, answerer), (), heard)


class Inquiry:
    """One look-up of one target, of all brokers."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self._cluster = cluster
        self._target = target
        self._asked: dict[Connection, int] = {}
        self._nobody: set[str] = set()
        self._found: asyncio.Future[list[wire.Answerer]] = asyncio.get_running_loop().create_future()

    async def answer(self, within: float) -> list[wire.Answerer]:
        """Who answers; empty for nobody. Raises BrokerUnavailable when no broker says anything `within` seconds."""
        loop = asyncio.get_running_loop()
        soon, deadline = loop.time() + limits.CALL_LOOKUP_MS_MAX / 1000, loop.time() + within
        self._cluster.observers.add(self._attend)
        try:
            self._attend()
            for instant in (min(soon, deadline), deadline):
                await asyncio.wait([self._found], timeout=instant - loop.time())
                if self._found.done():
                    return self._found.result()
                if self._nobody:
                    return []
        finally:
            self._cluster.observers.discard(self._attend)
            for connection, number in self._asked.items():
                connection.forget(number)
        raise BrokerUnavailable(f"no broker said where {self._target} is; `signalbox status` tells how they are")

    def _attend(self) -> None:
        for url in self._cluster.urls:
            connection = self._cluster.reach(url)
            if connection is not None and connection not in self._asked:
                number = self._asked[connection] = next(self._cluster.numbers)
                connection.ask(number, wire.Whereis(number, self._target), (), self._heard_at(url))

    def _heard_at(self, url: str) -> Route:
        def heard(message: Any, _blobs: list[bytes]) -> None:
            if self._found.done():
                return
            if isinstance(message, wire.Located):
                self._located(url, message.answerers)
            elif isinstance(message, wire.Fault):
                self._found.set_exception(fault_error(message))

        return heard

    def _located(self, url: str, answerers: list[wire.Answerer]) -> None:
        if answerers:
            self._found.set_result(answerers[: limits.LOCATED_MAX])
            return
        self._nobody.add(url)
        if self._nobody.issuperset(self._cluster.urls):
            self._found.set_result([])
