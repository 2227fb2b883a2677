"""What a handler is given beside its event."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from bus.agents import saying
from bus.agents.speaking import Speaking
from bus.event import Event

if TYPE_CHECKING:
    from bus.agents.agent import Agent
    from bus.client.fleet import Fleet


class Context(Speaking):
    """What is said through it belongs to the event's saga, names the event as its cause, and goes on in its trace.

    `event`: what is handled, the original where it was dispatched; `attempt` counts from 1, and is that of the delivery
    here; `agent`: who handles it; `decision`: why the control plane chose this agent, None unless it did.
    """

    __slots__ = ("_due", "agent", "attempt", "decision", "event")

    def __init__(self, agent: "Agent", event: Event, attempt: int, decision: Any = None, due: float = 0.0) -> None:
        self.agent = agent
        self.event = event
        self.attempt = attempt
        self.decision = decision
        self._due = due

    @property
    def fleet(self) -> "Fleet":
        """The connection that the agent is on."""
        return self.agent.fleet

    @property
    def source(self) -> str:
        """The agent's."""
        return self.agent.source

    @property
    def remaining(self) -> float:
        """Seconds until the handler is ended; never below 0."""
        return max(0.0, self._due - self.agent.now())

    def _made(self, event: Event) -> Event:
        return saying.carried(event, self.event)

    def call(self, target: str, payload: Any = None, timeout: float = 2.0, **options: Any) -> Coroutine[Any, Any, Any]:
        """Await another agent's answer, as `Fleet.call`, in the event's trace."""
        if self.event.traceparent is not None and not options.get("traceparent"):
            options |= {"traceparent": self.event.traceparent, "tracestate": self.event.tracestate or ""}
        return super().call(target, payload, timeout, **options)
