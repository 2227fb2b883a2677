"""Who is there: agents, by their lifecycle events `agent.lifecycle.{joined,ready,suspected,failed,left}`.

| table | key | value |
|---|---|---|
| agent | source | Agent |
"""

from types import MappingProxyType

import msgspec

from controlplane.facts import Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import AGENTS_MAX

LIFECYCLE = "agent.lifecycle."
GONE = ("failed", "left")


class Agent(msgspec.Struct, frozen=True, array_like=True):
    """One agent. `state` is the last token of its newest lifecycle event; `joined` the instant it came, ns."""

    state: str
    joined: int
    since: int


class Registry(Fold):
    """The fold. See the module."""

    name = "registry"
    version = 1
    follows = (Rows,)
    tables = MappingProxyType({"agent": Agent})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Take the lifecycle events of a batch."""
        rows = entry.fact
        if not isinstance(rows, Rows) or not any(type.startswith(LIFECYCLE) for type in dict.fromkeys(rows.types)):
            return
        for type, source, appended in zip(rows.types, rows.sources, rows.appended, strict=True):
            if not type.startswith(LIFECYCLE):
                continue
            known: Agent | None = state.get("agent", source)
            if known is None and len(state.table("agent")) >= AGENTS_MAX:
                continue
            said = type[len(LIFECYCLE) :]
            joined = appended if known is None or said == "joined" else known.joined
            state.put("agent", source, Agent(said, joined, appended))


def present(state: KeyedState) -> int:
    """How many agents are there now."""
    return sum(agent.state not in GONE for _, agent in state.items("agent"))
