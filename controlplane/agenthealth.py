"""What is wrong with agents, as health tells it. Pure. The table of points stands in `health`.

It looks at those that are out and at none of the others, so that it costs nothing while all are well.
"""

from collections.abc import Iterator

from bus.words import many
from controlplane.agents import FAILED, QUARANTINED, SOURCE, SUSPECTED, Agent, Amiss, is_doubled
from controlplane.limits import AGENT_FAILED_TOLD_MS, NEW_DEATH_MS
from controlplane.questions import Need
from controlplane.state import KeyedState

NAMED_MAX = 3
"""Agents that are named in one line; the others are counted."""
_MS = 1_000_000


def needs(state: KeyedState, now: int) -> Iterator[Need]:
    """One line for all that are in the same state, and one for each name that is used twice."""
    yield from _failed(state, now)
    suspected = _in(state, SUSPECTED)
    if suspected:
        why = "heartbeats are missed: they hang, or cannot reach the fleet"
        yield _need(suspected, "is suspected", "are suspected", why, 1, SUSPECTED)
    quarantined = _in(state, QUARANTINED)
    if quarantined:
        reasons = [agent.reason for _, agent in quarantined if agent.reason]
        why = "no work is dispatched to it" if len(quarantined) == 1 else "no work is dispatched to them"
        why += f": {reasons[0]}" if reasons else ""
        names = [name for name, _ in quarantined]
        mend = f"agent release {' '.join(names)}" if len(names) <= NAMED_MAX else ""
        yield _need(quarantined, "is quarantined", "are quarantined", why, 1, QUARANTINED, mend)
    for source in sorted(map(str, state.table("rivals"))):
        agent: Agent | None = state.get("agent", source)
        if agent is not None and is_doubled(agent, now):
            why = "the one that joined last is listened to; end the other, or give it a name of its own"
            yield Need(
                "warn", f"{_name(source)} runs twice", why, 0, f"agent show {_name(source)}", 2, f"twin {source}"
            )
    yield from _amiss(state, now)


def _failed(state: KeyedState, now: int) -> Iterator[Need]:
    failed = [one for one in _in(state, FAILED) if now - one[1].since <= AGENT_FAILED_TOLD_MS * _MS]
    if failed:
        why = "silent for too long: start it again" if len(failed) == 1 else "silent for too long: start them again"
        yield _need(failed, "has failed", "have failed", why, 3, FAILED)


def held_back(state: KeyedState, capability: str) -> list[str]:
    """Names of the quarantined agents that have a capability, who was quarantined first first."""
    return [name for name, agent in _in(state, QUARANTINED) if capability in agent.capabilities]


def _amiss(state: KeyedState, now: int) -> Iterator[Need]:
    refused: Amiss | None = state.get("amiss", "refused")
    if refused is not None and now - refused.at <= NEW_DEATH_MS * _MS:
        what = "more agents than can be known"
        why = f"{refused.why}; {refused.source} and others get no work"
        yield Need("warn", what, why, 0, "agent list", 2, "agents refused")
    odd: Amiss | None = state.get("amiss", "malformed")
    if odd is not None and now - odd.at <= NEW_DEATH_MS * _MS:
        what = f"{odd.source} says what cannot be read"
        why = f"{odd.why}; {many(odd.count, 'such word')} in all"
        yield Need("warn", what, why, 0, f"event show @{odd.position}", 1, "agents malformed")


def _in(state: KeyedState, shown: str) -> list[tuple[str, Agent]]:
    """Names and agents in a state, who came into it first first."""
    found = [(source, state.get("agent", source)) for source, word in state.items("out") if word == shown]
    return [(_name(str(source)), agent) for source, agent in sorted(found, key=lambda one: (one[1].since, str(one[0])))]


def _name(source: str) -> str:
    return source.removeprefix(SOURCE)


def _need(found: list[tuple[str, Agent]], one: str, many: str, why: str, points: int, key: str, mend: str = "") -> Need:
    name, first = found[0]
    what = f"{name} {one}" if len(found) == 1 else f"{len(found):,} agents {many}"
    if len(found) > 1:
        named = ", ".join(name for name, _ in found[:NAMED_MAX])
        why = f"{named}{' and others' if len(found) > NAMED_MAX else ''}; {why}"
    since = first.quarantined if key == QUARANTINED else first.since
    mend = mend or (f"agent show {name}" if len(found) == 1 else "agent list --state out")
    return Need("warn", what, why, since, mend, points, f"agents {key}")
