"""Who can do what: a dense index of the agents that may be given work. Pure; part of the fold `registry`.

The agents of a capability sit in seats 0 <= i < n, in no order that means anything. Whoever goes leaves a hole, and the
last one moves into it: coming and going cost one seat for each capability, and the choice of the i-th costs one look.

| table | key | value |
|---|---|---|
| able | capability NUL i | source of who sits there |
| ables | capability | n, how many; nothing where there is none |
| seat | capability NUL source | i |
"""

from collections.abc import Iterable

from controlplane.state import KeyedState


def able_agents(state: KeyedState, capability: str) -> int:
    """How many agents may be given work that needs this capability."""
    return int(state.get("ables", capability, 0))


def nth_able(state: KeyedState, capability: str, i: int) -> str:
    """The source of one of them, 0 <= i < `able_agents`; raises IndexError for another i."""
    source: str | None = state.get("able", f"{capability}\0{i}")
    if source is None:
        raise IndexError(f"{capability} has {able_agents(state, capability)} agents, and none of number {i}")
    return source


def is_able(state: KeyedState, source: str, capability: str) -> bool:
    """Whether this agent is one of them."""
    return state.get("seat", f"{capability}\0{source}") is not None


def seat(state: KeyedState, source: str, capabilities: Iterable[str]) -> None:
    """Give an agent a seat under each of these; where it has one it keeps it."""
    for capability in capabilities:
        place = f"{capability}\0{source}"
        if state.get("seat", place) is None:
            n = state.get("ables", capability, 0)
            state.put("able", f"{capability}\0{n}", source)
            state.put("seat", place, n)
            state.put("ables", capability, n + 1)


def unseat(state: KeyedState, source: str, capabilities: Iterable[str]) -> None:
    """Take an agent's seats under these; where it has none that is nothing."""
    for capability in capabilities:
        hole = state.get("seat", f"{capability}\0{source}")
        if hole is None:
            continue
        last = state.get("ables", capability) - 1
        mover = state.get("able", f"{capability}\0{last}")
        state.put("able", f"{capability}\0{hole}", mover)
        state.put("seat", f"{capability}\0{mover}", hole)
        state.delete("able", f"{capability}\0{last}")
        state.delete("seat", f"{capability}\0{source}")
        if last:
            state.put("ables", capability, last)
        else:
            state.delete("ables", capability)
