"""What can be said alike by an agent and while it handles an event: publishing, the five sayings, calls."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from bus.agents import saying
from bus.event import Event

if TYPE_CHECKING:
    from bus.client.fleet import Fleet
    from bus.client.packing import Receipt


class Speaking(ABC):
    """Everything that is published has the agent as its source. Attributes are those of `Event`, by name."""

    __slots__ = ()

    @property
    @abstractmethod
    def fleet(self) -> "Fleet":
        """The connection that the agent is on. Raises ClientError while it is on none."""

    @property
    @abstractmethod
    def source(self) -> str:
        """`agent/<name>`."""

    def _made(self, event: Event) -> Event:
        """The event as it is published."""
        return event

    async def publish(self, what: "str | Event", data: Any = None, **attributes: Any) -> "Receipt":
        """Publish an event: a type and its data, or an Event. Raises what `Fleet.publish` does."""
        event = saying.event_of(self.source, what, data, attributes)
        return await self.fleet.publish(self._made(event))

    async def learned(self, data: Any = None, **attributes: Any) -> "Receipt":
        """Say what the agent has found out, for whoever can use it."""
        return await self.publish(saying.LEARNED, data, **attributes)

    async def ask_help(self, capability: str, data: Any = None, **attributes: Any) -> "Receipt":
        """Ask for somebody who can do something: the control plane chooses an agent that has the capability."""
        return await self.publish(saying.HELP, data, **{"requires": [capability], **attributes})

    async def finished(self, data: Any = None, **attributes: Any) -> "Receipt":
        """Say that a task is done, and what came of it."""
        return await self.publish(saying.FINISHED, data, **attributes)

    async def went_wrong(self, what: Any = None, **attributes: Any) -> "Receipt":
        """Say what went wrong: data, or an exception. An exception that a handler raises needs no saying."""
        return await self.publish(saying.WRONG, saying.wrong(what), **attributes)

    async def status(self, data: Any = None, **attributes: Any) -> "Receipt":
        """Say how it goes."""
        return await self.publish(saying.STATUS, data, **attributes)

    def call(self, target: str, payload: Any = None, timeout: float = 2.0, **options: Any) -> Coroutine[Any, Any, Any]:
        """Await another agent's answer, as `Fleet.call`."""
        return self.fleet.call(target, payload, timeout, **options)
