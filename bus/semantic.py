"""Strategies: how a key finds its slot. Pure, and part of a fleet's birth: a key's home never changes afterwards.

`hash` scatters keys evenly. `semantic` keeps together what belongs together: a rule names a prefix and a group of
slots, and keys that begin so live in that group. Rules look at the ordering key alone, whichever of `partitionkey`,
`subject` and `source` gave it, never at type or data: so a key has one home, whoever says it and in whatever event.
The longest prefix wins, so that the order of rules means nothing. `adaptive` is either of them with leaderships and
replicas that move to where there is room; that moves partitions, and no key.
"""

from collections.abc import Sequence

import msgspec

from bus.errors import InvalidEvent
from bus.limits import SEMANTIC_RULES_MAX, SLOTS
from bus.partitioner import key_hash, partition_of_slot, slot_of


class Rule(msgspec.Struct, frozen=True):
    """Keys that begin with `prefix` live in the slots of `group`, `width` of them; 1 keeps all in one partition."""

    prefix: str
    group: str
    width: int = 1


def check(rules: Sequence[Rule], slots: int = SLOTS) -> None:
    """Raises `InvalidEvent` that names the rule which makes no sense, or contradicts another."""
    if len(rules) > SEMANTIC_RULES_MAX:
        raise InvalidEvent(f"{len(rules)} rules are more than {SEMANTIC_RULES_MAX}: merge some")
    seen: dict[str, Rule] = {}
    widths: dict[str, int] = {}
    for rule in rules:
        if not rule.prefix or not rule.group or not 1 <= rule.width <= slots:
            raise InvalidEvent(f"{rule}: it needs a prefix, a group, and a width from 1 to {slots}")
        if seen.setdefault(rule.prefix, rule) != rule:
            raise InvalidEvent(f"prefix {rule.prefix!r} has two rules: remove one of them")
        if widths.setdefault(rule.group, rule.width) != rule.width:
            raise InvalidEvent(f"group {rule.group!r} has two widths: give its rules the same")


def rule_of(key: str, rules: Sequence[Rule]) -> Rule | None:
    """The rule with the longest prefix of a key, or None."""
    return max((rule for rule in rules if key.startswith(rule.prefix)), key=lambda rule: len(rule.prefix), default=None)


def semantic_slot(key: str, rules: Sequence[Rule], slots: int = SLOTS) -> int:
    """The slot of a key, 0 <= slot < slots; without a rule the one that `hash` gives."""
    rule = rule_of(key, rules)
    if rule is None:
        return slot_of(key, slots)
    return (key_hash(rule.group) + key_hash(key) % rule.width) % slots


def semantic_partition(key: str, partitions: int, rules: Sequence[Rule], slots: int = SLOTS) -> int:
    """The partition that a key's events are appended to; a group of width w covers at most w partitions."""
    return partition_of_slot(semantic_slot(key, rules, slots), partitions)
