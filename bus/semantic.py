"""Strategies: how a key finds its slot. Pure, and part of a fleet's birth: a key's home never changes afterwards.

`hash` scatters keys evenly. `semantic` keeps together what belongs together: a rule names a prefix and a group of
slots, and keys that begin so live in that group. Rules look at the ordering key alone, whichever of `partitionkey`,
`subject` and `source` gave it, never at type or data: so a key has one home, whoever says it and in whatever event.
The longest prefix wins, so that the order of rules means nothing. A rule may name a locality, near which the group's
partitions would rather be led; that moves leaderships, and no key. `adaptive` is either of them with leaderships and
replicas that move by themselves to where there is room; that moves partitions, and no key.

Clients learn the rules with the topology, so that all of a fleet place keys alike.
"""

from collections.abc import Callable, Sequence

import msgspec

from bus.errors import InvalidRules
from bus.limits import SEMANTIC_RULES_MAX, SEMANTIC_TEXT_CHARS_MAX, SLOTS, SLOTS_MAX
from bus.partitioner import key_hash, partition_of_slot, slot_of

HASH, SEMANTIC, ADAPTIVE = STRATEGIES = ("hash", "semantic", "adaptive")


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """Keys that begin with `prefix` live in the slots of `group`, `width` of them; 1 keeps all in one partition.

    `locality`: where the group's leaders would rather be, or "".
    """

    prefix: str
    group: str
    width: int = 1
    locality: str = ""


def check(rules: Sequence[Rule], slots: int = SLOTS) -> None:
    """Raises `InvalidRules` that names the rule which makes no sense, or contradicts another."""
    if not 1 <= slots <= SLOTS_MAX:
        raise InvalidRules(f"a fleet of {slots} slots: 1 to {SLOTS_MAX}")
    if len(rules) > SEMANTIC_RULES_MAX:
        raise InvalidRules(f"{len(rules)} rules are more than {SEMANTIC_RULES_MAX}: merge some")
    seen: dict[str, Rule] = {}
    groups: dict[str, Rule] = {}
    for rule in rules:
        if max(map(len, (rule.prefix, rule.group, rule.locality))) > SEMANTIC_TEXT_CHARS_MAX:
            raise InvalidRules(f"prefix {rule.prefix[:20]!r}…: a text of over {SEMANTIC_TEXT_CHARS_MAX} characters")
        if not rule.prefix or not rule.group or not 1 <= rule.width <= slots:
            raise InvalidRules(f"{rule}: it needs a prefix, a group, and a width from 1 to {slots}")
        if seen.setdefault(rule.prefix, rule) != rule:
            raise InvalidRules(f"prefix {rule.prefix!r} has two rules: remove one of them")
        first = groups.setdefault(rule.group, rule)
        if first.width != rule.width:
            raise InvalidRules(f"group {rule.group!r} has two widths: give its rules the same")
        if first.locality != rule.locality:
            raise InvalidRules(f"group {rule.group!r} has two localities: give its rules the same")


def check_strategy(strategy: str, rules: Sequence[Rule], slots: int = SLOTS) -> None:
    """Raises `InvalidRules` where strategy and rules do not go together."""
    check(rules, slots)
    if strategy not in STRATEGIES:
        raise InvalidRules(f"partitioning {strategy!r}: it is one of {', '.join(STRATEGIES)}")
    if strategy == HASH and rules:
        raise InvalidRules("partitioning by hash takes no rules: choose semantic, or adaptive, or leave them away")
    if strategy == SEMANTIC and not rules:
        raise InvalidRules("semantic partitioning needs rules: give it a file of them")


def rule_of(key: str, rules: Sequence[Rule]) -> Rule | None:
    """The rule with the longest prefix of a key, or None."""
    return max((rule for rule in rules if key.startswith(rule.prefix)), key=lambda rule: len(rule.prefix), default=None)


def semantic_slot(key: str, rules: Sequence[Rule], slots: int = SLOTS) -> int:
    """The slot of a key, 0 <= slot < slots; without a rule the one that `hash` gives."""
    rule = rule_of(key, rules)
    if rule is None:
        return slot_of(key, slots)
    return _slot(key, rule, slots)


def placement(partitions: int, rules: Sequence[Rule] = (), slots: int = SLOTS) -> Callable[[str], int]:
    """The function from a key to its partition: one for all of a fleet. Raises `InvalidRules`."""
    check(rules, slots)
    if not rules:
        return lambda key: partition_of_slot(slot_of(key, slots), partitions)
    by_prefix = {rule.prefix: rule for rule in rules}
    lengths = sorted({len(prefix) for prefix in by_prefix}, reverse=True)

    def home(key: str) -> int:
        for length in lengths:
            rule = by_prefix.get(key[:length])
            if rule is not None:
                return partition_of_slot(_slot(key, rule, slots), partitions)
        return partition_of_slot(slot_of(key, slots), partitions)

    return home


def partitions_of_rule(rule: Rule, partitions: int, slots: int = SLOTS) -> list[int]:
    """Where the keys of a rule's group live."""
    first = key_hash(rule.group)
    span = range(min(rule.width, slots))
    return sorted({partition_of_slot((first + step) % slots, partitions) for step in span})


def _slot(key: str, rule: Rule, slots: int) -> int:
    return (key_hash(rule.group) + key_hash(key) % rule.width) % slots
