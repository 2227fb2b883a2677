"""Projections of users' own: which are registered, and which stand still. What they hold is made in `projecting`.

| table | key | value |
|---|---|---|
| projection | name | Registered |
"""

from types import MappingProxyType

import msgspec

from controlplane.facts import ProjectionAdded, ProjectionQuarantined, ProjectionRebuilt, ProjectionRemoved
from controlplane.fold import Entry, Fold, KeyedState, World

CLASS, VIEW = "class", "view"


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """One projection, as `ProjectionAdded` has it. `build`: the position of the fact that had it built last.

    `error` is "" while it is well; else what broke it, at the event at `broken_at` if that is not 0.
    """

    kind: str
    target: str
    pattern: str
    file: str
    sha256: str
    build: int
    since: int
    by: str
    reason: str
    error: str = ""
    broken_at: int = 0
    event: str = ""
    given: str = ""


def registered_in(state: KeyedState, name: str) -> Registered | None:
    """The projection of this name."""
    found: Registered | None = state.get("projection", name)
    return found


class Projections(Fold):
    """The fold. See the module."""

    name = "projections"
    vital = True
    follows = (ProjectionAdded, ProjectionRebuilt, ProjectionRemoved, ProjectionQuarantined)
    tables = MappingProxyType({"projection": Registered})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """What is decided about a projection that is no longer there means nothing."""
        fact = entry.fact
        if isinstance(fact, ProjectionAdded):
            code = (fact.kind, fact.target, fact.pattern, fact.file, fact.sha256)
            said = (entry.position, entry.recorded, fact.by, fact.reason)
            state.put("projection", fact.name, Registered(*code, *said, given=fact.given))
        elif isinstance(fact, ProjectionRemoved):
            state.delete("projection", fact.name)
        elif isinstance(fact, ProjectionRebuilt | ProjectionQuarantined):
            known = registered_in(state, fact.name)
            if known is not None:
                state.put("projection", fact.name, _changed(known, entry, fact))


def _changed(known: Registered, entry: Entry, fact: ProjectionRebuilt | ProjectionQuarantined) -> Registered:
    if isinstance(fact, ProjectionRebuilt):
        code = (known.kind, known.target, fact.pattern or known.pattern, fact.file, fact.sha256)
        return Registered(*code, entry.position, entry.recorded, fact.by, fact.reason, given=known.given)
    if fact.build != known.build:
        return known
    return msgspec.structs.replace(known, error=fact.error, broken_at=fact.position, event=fact.event)
