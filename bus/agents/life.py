"""One life of an agent on a connection: from joining to leaving. A restart under the same name is another one."""

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from bus.agents import saying
from bus.agents.desk import Desk
from bus.agents.hub import hub_of
from bus.agents.limits import DRAIN_MS_MAX, FAREWELL_MS_MAX
from bus.errors import BusError
from bus.event import Event
from bus.ids import new_id

if TYPE_CHECKING:
    from bus.agents.agent import Agent
    from bus.client.fleet import Fleet

log = logging.getLogger("bus.agents")


class Life:
    """See the module. `incarnation` names it; `address`: where the agent's answers are called, "" if it has none.
    `is_ready`: it has said that it is; `joined`: when it had, by the leader's clock, ns.
    """

    def __init__(self, agent: "Agent", fleet: "Fleet") -> None:
        self.agent = agent
        self.fleet = fleet
        self.incarnation = new_id()
        self.address = ""
        self.is_ready = False
        self.joined = 0
        self._rival = ""
        self._joins_again = False
        self.every = agent.heartbeat
        self.due = 0.0
        self.desk = Desk(agent, agent.handlers, agent.concurrency)
        self._hub = hub_of(fleet)
        self._answers = AsyncExitStack()

    async def begin(self) -> None:
        """Join: say so, take work, say that it is ready. Raises what the fleet refuses; then nothing is left behind."""
        agent = self.agent
        self._hub.register(agent.name, self.desk)
        said = False
        try:
            for capability, answer in agent.answering.items():
                answering = self.fleet.answers(
                    agent.source, self.desk.counted(answer), capability=capability, in_flight=agent.concurrency
                )
                await self._answers.enter_async_context(answering)
                self.address = answering.url
            self.joined = (await self.fleet.publish(self._event(saying.JOINED, self._told()))).appended
            said = True
            self.fleet.incarnations[agent.source] = self.incarnation
            self._hub.pulse.add(self)
            await self._hub.take_work(agent.name, self.desk, agent.handlers.all)
            await self.fleet.publish(self._event(saying.READY, {}))
            self.is_ready = True
        except BaseException as error:
            await self._go(0.0)
            if said:
                await self._say_left(f"it could not join: {type(error).__name__}")
            raise

    async def told(self, state: str, newest: str, at: int) -> None:
        """The plane told, at an instant of the log, a state of this name, under which `newest` joined last, so far as
        that can be seen.

        Another one that joined later is warned of, once; when it has gone, this one joins again, as a new one.
        """
        if newest == self.incarnation or self._joins_again or not self.desk.is_open:
            return
        if newest and newest != self._rival:
            self._rival = newest
            log.warning(
                "%s: incarnation %s has joined under this name: the control plane listens to it, and no more to this "
                "one, %s; both take work from the same groups. Stop one of them, or give it another name",
                *(self.agent.source, newest, self.incarnation),
            )
        if at >= self.joined and (state == "left" or (state == "failed" and self._rival)):
            await self._join_again()

    async def _join_again(self) -> None:
        self._hub.pulse.remove(self)
        self.incarnation, self._rival, self._joins_again = new_id(), "", True
        try:
            self.joined = (await self.fleet.publish(self._event(saying.JOINED, self._told()))).appended
            self.fleet.incarnations[self.agent.source] = self.incarnation
            await self.fleet.publish(self._event(saying.READY, {}))
            log.warning("%s: the other one has gone; this one joined again, as %s", self.agent.source, self.incarnation)
        except BusError as error:
            log.warning("%s: the other one has gone, and this one cannot join again: %s", self.agent.source, error)
        finally:
            self._joins_again = False
            if self.desk.is_open:
                self._hub.pulse.add(self)

    async def end(self, reason: str) -> None:
        """Leave: end what is under way, give back what waits, and say so."""
        await self._go(DRAIN_MS_MAX / 1000)
        await self._say_left(reason)

    async def _say_left(self, reason: str) -> None:
        try:
            left = self._event(saying.LEFT, {"reason": reason})
            await self.fleet.publish(left, deadline=FAREWELL_MS_MAX / 1000)
        except BusError as error:
            log.warning("%s left and cannot say so: %s", self.agent.source, error)

    async def _go(self, drain: float) -> None:
        self.desk.is_open = False
        try:
            await self._answers.aclose()
            await self.desk.clear(drain)
            await self._hub.leave(self.agent.name, self.desk)
        finally:
            self.fleet.incarnations.pop(self.agent.source, None)
            self._hub.pulse.remove(self)
            await self._hub.unregister(self.agent.name)

    def beat(self) -> Event:
        """Its heartbeat."""
        counts = self.desk.counts
        said = {
            "load": 1000 * counts.in_flight // self.desk.concurrency,
            "queue": counts.queue,
            "in_flight": counts.in_flight,
            "handled": counts.handled,
            "failed": counts.failed,
        }
        return self._event(saying.HEARTBEAT, said)

    def _told(self) -> dict[str, Any]:
        agent = self.agent
        return {
            "capabilities": agent.capabilities,
            "version": agent.version,
            "address": self.address,
            "locality": agent.locality,
            "preferences": agent.preferences,
            "concurrency": agent.concurrency,
            "heartbeat_ms": round(agent.heartbeat * 1000),
        }

    def _event(self, type: str, data: dict[str, Any]) -> Event:
        return Event(type=type, source=self.agent.source, data={"incarnation": self.incarnation, **data})
