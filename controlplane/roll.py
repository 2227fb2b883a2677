"""The roll of agents: all that follows in the registry's state from one agent being another than before. Pure.

| table | key | value |
|---|---|---|
| agent | source | Agent |
| turns | source | its newest states, oldest first: list of Turn |
| out | source | suspected, failed or quarantined, of those that are |
| rivals | source | words of another incarnation of it, where there are any |
| count | a state | agents in it, as `Agent.shown` |
| count | forgettable, forgotten, seats | that may be forgotten; that were; capabilities of all together |
| changed | source | its state, which agents were not told yet |
| telling | "next" | Telling |
"""

from collections.abc import Iterable
from itertools import accumulate, islice

import msgspec

from controlplane.able import seat, unseat
from controlplane.agents import FAILED, GONE, JOINED, LEFT, QUARANTINED, READY, SUSPECTED, Agent, Turn, has_inbox
from controlplane.facts import PublishEvent
from controlplane.limits import (
    AGENT_SEATS_MAX,
    AGENT_TURNS_MAX,
    AGENTS_MAX,
    AGENTS_TOLD_CHARS_MAX,
    AGENTS_TOLD_MAX,
    AGENTS_TOLD_MS,
)
from controlplane.saying import say
from controlplane.state import KeyedState

CHANGED = "signalbox.agents.changed"
STATES = (JOINED, READY, SUSPECTED, FAILED, LEFT, QUARANTINED)
OUT = (SUSPECTED, FAILED, QUARANTINED)
_MS = 1_000_000


class Telling(msgspec.Struct, frozen=True, array_like=True):
    """When agents are told of changes, ns; 0: there are none."""

    due: int


def keep(
    state: KeyedState, source: str, before: Agent | None, after: Agent, now: int, position: int, why: str = ""
) -> None:
    """Put an agent in the place of what it was, `before`."""
    state.put("agent", source, after)
    _reseat(state, source, before, after)
    if after.rival is not None and after.rival.words:
        state.put("rivals", source, after.rival.words)
    elif before is not None and before.rival is not None:
        state.delete("rivals", source)
    was = "" if before is None else before.shown
    if before is None or _may_go(before) != _may_go(after):
        _count(state, "forgettable", int(_may_go(after)) - int(before is not None and _may_go(before)))
    if was == after.shown and before is not None and before.incarnation == after.incarnation:
        return
    turns = [*state.get("turns", source, [])[1 - AGENT_TURNS_MAX :], Turn(after.shown, now, position, why)]
    state.put("turns", source, turns)
    if was != after.shown:
        _count(state, was, -1)
        _count(state, after.shown, 1)
    if after.shown in OUT and not after.importof:
        state.put("out", source, after.shown)
    else:
        state.delete("out", source)
    if not after.importof:
        state.put("changed", source, after.shown)
        telling(state, now)


def seated(state: KeyedState, before: Agent | None, after: Agent) -> Agent:
    """The agent with as many of its capabilities as there is room for among all; counts them."""
    had = 0 if before is None else len(before.capabilities)
    if before is not None and before.capabilities is after.capabilities:
        return after
    room = max(0, AGENT_SEATS_MAX - state.get("count", "seats", 0) + had)
    taken = after.capabilities[:room]
    _count(state, "seats", len(taken) - had)
    over = len(after.capabilities) - len(taken)
    return msgspec.structs.replace(after, capabilities=taken, cut=after.cut + over) if over else after


def full(state: KeyedState) -> str:
    """Why no further agent can be known, or "": there is room, or was made.

    Those are forgotten first that left, then that failed or were imported, who has been so for longest; whoever lives,
    or is quarantined, never.
    """
    if len(state.table("agent")) < AGENTS_MAX:
        return ""
    if not state.get("count", "forgettable", 0):
        return f"{AGENTS_MAX:,} agents are known already"
    gone = [(agent.state != LEFT, agent.since, str(source)) for source, agent in state.items("agent") if _may_go(agent)]
    for _, _, source in sorted(gone)[: max(1, AGENTS_MAX // 16)]:
        _forget(state, source)
    return ""


def telling(state: KeyedState, now: int) -> None:
    """Something changed of which agents are to be told."""
    if state.get("telling", "next") is None:
        state.put("telling", "next", Telling(now + AGENTS_TOLD_MS * _MS))


def tell(state: KeyedState, now: int) -> PublishEvent:
    """What has changed, as the event that says so; an inbox that does not fit is told of the next time."""
    changed = sorted((str(source), shown) for source, shown in state.items("changed"))
    opened = sorted(str(name) for name in state.table("opened"))
    named, inboxes = _fitting(source for source, _ in changed), _fitting(opened)
    for source, _ in changed:
        state.delete("changed", source)
    for name in opened[:inboxes]:
        state.delete("opened", name)
    state.delete("telling", "next")
    if opened[inboxes:]:
        telling(state, now)
    data = {
        "changes": [list(change) for change in changed[:named]],
        "more": len(changed) - named,
        "inboxes": opened[:inboxes],
    }
    return say(CHANGED, data, CHANGED)


def _fitting(names: Iterable[str]) -> int:
    """How many names, from the first on, one event tells."""
    return sum(chars <= AGENTS_TOLD_CHARS_MAX for chars in islice(accumulate(map(len, names)), AGENTS_TOLD_MAX))


def _reseat(state: KeyedState, source: str, before: Agent | None, after: Agent) -> None:
    if not has_inbox(source):  # whoever else has a name like it would get what is sent to its inbox
        return
    was_able = before is not None and before.is_able
    same = before is not None and before.capabilities == after.capabilities
    if was_able == after.is_able and (same or not was_able):
        return
    if before is not None and was_able:
        unseat(state, source, before.capabilities)
    if after.is_able:
        seat(state, source, after.capabilities)


def _may_go(agent: Agent) -> bool:
    return not agent.quarantined and (agent.state in GONE or bool(agent.importof))


def _forget(state: KeyedState, source: str) -> None:
    agent: Agent = state.get("agent", source)
    _count(state, "seats", -len(agent.capabilities))
    _count(state, "forgettable", -1)
    _count(state, agent.shown, -1)
    _count(state, "forgotten", 1)
    for table in ("agent", "turns", "out", "rivals"):
        state.delete(table, source)


def _count(state: KeyedState, name: str, change: int) -> None:
    if name and change:
        state.put("count", name, state.get("count", name, 0) + change)
