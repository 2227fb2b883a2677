"""Who answers calls: told to every broker, and asked of every broker.

An agent announces itself in each session that it has with a broker, and again in each new one, so that a broker that
was restarted knows it as soon as it is back. Who looks an agent up asks all brokers at once and takes the first that
knows it; that nobody answers is believed when all have said so, or all but those that stay silent.
"""

import asyncio
import logging
from typing import Any

from bus import limits, wire
from bus.client.cluster import Cluster, fault_error
from bus.client.connection import Connection, Route
from bus.errors import BrokerUnavailable, BusError, ClientError

log = logging.getLogger("bus.client")


class Announcer:
    """Announces agents until it is closed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answerers: dict[str, wire.Answerer] = {}
        self._told: dict[Connection, dict[str, wire.Answerer]] = {}
        self._waiting: dict[str, list[tuple[wire.Answerer, asyncio.Future[None]]]] = {}
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._why = ""
        cluster.observers.add(self._attend)

    async def announce(self, answerer: wire.Answerer, within: float) -> None:
        """Tell all brokers; returns once the first knows it. Raises ClientErrors that it is refused with, or
        BrokerUnavailable when none has taken it `within` seconds."""
        name = answerer.name
        self._answerers[name] = answerer
        known: asyncio.Future[None] = self._loop.create_future()
        waits = (answerer, known)
        self._waiting.setdefault(name, []).append(waits)
        self._attend()
        try:
            async with asyncio.timeout(within):
                await known
        except TimeoutError:
            why = f": {self._why}" if self._why else ""
            raise BrokerUnavailable(f"no broker took the announcement of {name} within {within:g} s{why}") from None
        finally:
            self._waiting[name].remove(waits)
            if not self._waiting[name]:
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
        if self._retry is not None:
            self._retry.cancel()
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
            if isinstance(message, wire.Fault):
                self._refused(connection, answerer, fault_error(message))
            elif isinstance(message, wire.Presented):
                for known in self._who_waits(answerer):
                    known.set_result(None)

        connection.ask(number, wire.Present(number, answerer), (), heard)

    def _refused(self, connection: Connection, answerer: wire.Answerer, error: BusError) -> None:
        """What is ours to mend is raised, if somebody still waits; else it is said again a little later."""
        waiting = self._who_waits(answerer)
        if isinstance(error, ClientError) and waiting:
            for known in waiting:
                known.set_exception(error)
            return
        self._why = str(error)
        log.warning("%s does not take the announcement of %s: %s", connection.url, answerer.name, error)
        told = self._told.get(connection, {})
        if told.get(answerer.name) is answerer:
            del told[answerer.name]
        if self._retry is None:
            self._retry = self._loop.call_later(limits.REDIAL_MS_MAX / 1000, self._tell_again)

    def _who_waits(self, answerer: wire.Answerer) -> "list[asyncio.Future[None]]":
        """Who announced it, and who did before for the same name: what is told last says all that was told before."""
        waiting = self._waiting.get(answerer.name, [])
        upto = next((place for place, (told, _) in enumerate(waiting, 1) if told is answerer), 0)
        if self._answerers.get(answerer.name) is answerer:
            upto = len(waiting)
        return [known for _, known in waiting[:upto] if not known.done()]

    def _tell_again(self) -> None:
        self._retry = None
        self._attend()


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
