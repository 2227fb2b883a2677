"""Who is there: agents, by what they say of themselves. See `agents` for what is kept of one, `able` for the index.

| table | key | value |
|---|---|---|
| agent | source | Agent |
| able, ables, seat | | see `able` |
"""

from types import MappingProxyType

import msgspec

from controlplane.able import able_agents as able_agents
from controlplane.able import is_able as is_able
from controlplane.able import nth_able as nth_able
from controlplane.able import seat, unseat
from controlplane.agents import GONE, LIFECYCLE, WORDS, Agent, Joined, capabilities_of, read_word
from controlplane.facts import Rows
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import AGENTS_MAX


class Registry(Fold):
    """The fold. See the module."""

    name = "registry"
    version = 2
    follows = (Rows,)
    tables = MappingProxyType({"agent": Agent, "able": str, "ables": int, "seat": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Take the lifecycle events of a batch."""
        rows = entry.fact
        if not isinstance(rows, Rows) or not any(type.startswith(LIFECYCLE) for type in dict.fromkeys(rows.types)):
            return
        for row, (type, source) in enumerate(zip(rows.types, rows.sources, strict=True)):
            said = type[len(LIFECYCLE) :] if type.startswith(LIFECYCLE) else ""
            if said not in WORDS:
                continue
            known: Agent | None = state.get("agent", source)
            if known is None and len(state.table("agent")) >= AGENTS_MAX:
                continue
            word = read_word(said, rows.followed.get(row))
            if isinstance(word, str) or said == "heartbeat":
                continue
            before = known or Agent(said, entry.recorded, entry.recorded)
            agent = msgspec.structs.replace(before, state=said, since=entry.recorded)
            if isinstance(word, Joined):
                agent = msgspec.structs.replace(agent, joined=entry.recorded, capabilities=capabilities_of(word))
            unseat(state, source, before.capabilities)
            if agent.is_able:
                seat(state, source, agent.capabilities)
            state.put("agent", source, agent)


def agent_of(state: KeyedState, source: str) -> Agent | None:
    """What is known of an agent."""
    found: Agent | None = state.get("agent", source)
    return found


def load_of(state: KeyedState, source: str) -> int:
    """How loaded an agent said that it is, in thousandths of its concurrency; 0 for one that never said."""
    agent = agent_of(state, source)
    return 0 if agent is None else agent.load


def present(state: KeyedState) -> int:
    """How many agents are there now."""
    return sum(agent.state not in GONE for _, agent in state.items("agent"))
