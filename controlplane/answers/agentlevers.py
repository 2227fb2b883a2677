"""Levers on agents: which ones a quarantine or a release touches, and what that leaves without anybody."""

from bus.words import many
from controlplane.able import able_agents, is_able
from controlplane.agents import GONE, LEFT, Agent
from controlplane.answers.agents import name_of, source_of, unknown
from controlplane.answers.words import age, said_by
from controlplane.facts import AgentQuarantined, AgentReleased, Fact
from controlplane.fold import KeyedState, World
from controlplane.limits import QUARANTINE_AT_ONCE_MAX
from controlplane.questions import Operate, Operated, Refusal

NOTES_MAX = 10
"""Agents, and capabilities, that are named one by one in what is said of a lever."""
STILL_SERVES = "groups it joined itself, mail and calls still reach it; to stop that, end its process"


def quarantine(world: World, ask: Operate, now: int) -> tuple[Fact | None, Operated | Refusal]:
    """Agents that get no work from here on."""
    chosen = _chosen(world["registry"], ask, quarantined=False)
    if isinstance(chosen, Refusal):
        return None, chosen
    notes = [f"{name_of(source)} is {agent.shown}{_work(agent)}" for source, agent in list(chosen.items())[:NOTES_MAX]]
    notes += _left_alone(world["registry"], chosen)
    notes.append(STILL_SERVES)
    told = Operated(ask.verb, list(chosen), ask.dry_run, 0, notes=notes)
    return AgentQuarantined(list(chosen), ask.by, ask.reason), told


def release(world: World, ask: Operate, now: int) -> tuple[Fact | None, Operated | Refusal]:
    """Agents that may be given work again."""
    chosen = _chosen(world["registry"], ask, quarantined=True)
    if isinstance(chosen, Refusal):
        return None, chosen
    notes = []
    for source, agent in list(chosen.items())[:NOTES_MAX]:
        since = said_by(f"quarantined for {age(now - agent.quarantined)}", agent.by, agent.reason)
        notes.append(f"{name_of(source)} was {since}" + (f"; it has {agent.state}" if agent.state in GONE else ""))
    told = Operated(ask.verb, list(chosen), ask.dry_run, 0, notes=notes)
    return AgentReleased(list(chosen), ask.by, ask.reason), told


def _chosen(state: KeyedState, ask: Operate, quarantined: bool) -> dict[str, Agent] | Refusal:
    """By source, those that the lever changes, in the order they were named."""
    chosen: dict[str, Agent] = {}
    for target in ask.targets:
        source = source_of(state, target)
        if source is None:
            return unknown(target)
        agent: Agent = state.get("agent", source)
        if bool(agent.quarantined) == quarantined:
            chosen[source] = agent
    if not chosen:
        named = ", ".join(ask.targets[:NOTES_MAX]) or "no agent"
        are = (
            f"{'is' if len(ask.targets) == 1 else 'are'} {'not quarantined' if quarantined else 'quarantined already'}"
        )
        return Refusal(
            "usage", f"{named} {are}" if ask.targets else "which agents?", "signalbox agent list --state out"
        )
    if len(chosen) > QUARANTINE_AT_ONCE_MAX:
        message = f"{len(chosen):,} agents are more than {QUARANTINE_AT_ONCE_MAX:,} at once"
        return Refusal("usage", message, "name fewer agents at a time")
    return chosen


def _work(agent: Agent) -> str:
    return f", {many(agent.in_flight, 'event')} under way" if agent.in_flight and agent.state != LEFT else ""


def _left_alone(state: KeyedState, chosen: dict[str, Agent]) -> list[str]:
    """Capabilities that nobody will have who may be given work."""
    going: dict[str, int] = {}
    for source, agent in chosen.items():
        for name in agent.capabilities:
            if is_able(state, source, name):
                going[name] = going.get(name, 0) + 1
    bare = sorted(name for name, count in going.items() if count == able_agents(state, name))
    more = (
        [f"and {many(len(bare) - NOTES_MAX, 'more capability', 'more capabilities')}"] if len(bare) > NOTES_MAX else []
    )
    return [f"nobody else has {name}: work that needs it waits" for name in bare[:NOTES_MAX]] + more
