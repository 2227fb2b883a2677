"""The content rules in force, and how each fared. Pure; part of the fold `dispatch`.

| table | key | value |
|---|---|---|
| rules | "rules" | InForce |
| rule | its name | Counted |
"""

import msgspec

from bus.router import Rules
from controlplane.facts import EventRouted, RoutesSet, RuleFailed
from controlplane.fold import Entry, KeyedState


class InForce(msgspec.Struct, frozen=True, array_like=True):
    """The rules in force, since when, and by whose word."""

    version: int = 0
    rules: Rules = Rules()
    position: int = 0
    since: int = 0
    by: str = ""
    reason: str = ""


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """How often a rule matched since it is as it is, when last, ns; where it first raised, when, and why."""

    matched: int = 0
    last: int = 0
    failed_at: int = 0
    failed: int = 0
    why: str = ""


TABLES = {"rules": InForce, "rule": Counted}


def of(state: KeyedState) -> InForce:
    """The rules in force; of version 0 before any were set."""
    found: InForce = state.get("rules", "rules", InForce())
    return found


def counted_of(state: KeyedState, rule: str) -> Counted:
    """How a rule fared."""
    found: Counted = state.get("rule", rule, Counted())
    return found


def put(state: KeyedState, entry: Entry, fact: RoutesSet) -> None:
    """Other rules hold; what is known of those that stay as they are stays."""
    before = {rule.name: rule for rule in of(state).rules.rules}
    for name in [str(name) for name in state.table("rule")]:
        if name not in before or before[name] not in fact.rules.rules:
            state.delete("rule", name)
    state.put("rules", "rules", InForce(fact.version, fact.rules, entry.position, entry.recorded, fact.by, fact.reason))


def count(state: KeyedState, entry: Entry, fact: EventRouted) -> None:
    """An event went by some of them."""
    for name in fact.rules if fact.version else ():
        known: Counted = state.get("rule", name, Counted())
        state.put("rule", name, msgspec.structs.replace(known, matched=known.matched + 1, last=entry.recorded))


def failed(state: KeyedState, entry: Entry, fact: RuleFailed) -> None:
    """A rule raised, for the first time since it is as it is."""
    known = counted_of(state, fact.rule)
    at = msgspec.structs.replace(known, failed_at=fact.position, failed=entry.recorded, why=fact.why)
    state.put("rule", fact.rule, at)
