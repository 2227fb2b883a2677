"""Semantic partitioning: one home per key, groups stay together, and the order of rules means nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidRules
from bus.limits import SLOTS
from bus.partitioner import partition_of, partition_of_slot, slot_of
from bus.semantic import Rule, check, check_strategy, partitions_of_rule, placement, rule_of, semantic_slot

prefixes = st.text("abc/", min_size=1, max_size=3)
rule_sets = st.dictionaries(prefixes, st.sampled_from(["emea", "apac", "vip"]), max_size=5).map(
    lambda found: [Rule(prefix, group, 2) for prefix, group in found.items()]
)
keys = st.text("abc/1", max_size=6)


@given(keys, rule_sets, st.randoms())
def test_a_key_has_one_home_in_whatever_order_rules_stand(key: str, rules: list[Rule], dice) -> None:
    check(rules)
    home = semantic_slot(key, rules)
    assert 0 <= home < SLOTS
    dice.shuffle(rules)
    assert semantic_slot(key, rules) == home


@given(keys, keys, rule_sets)
def test_groups_stay_together_and_the_others_are_hashed(key: str, other: str, rules: list[Rule]) -> None:
    mine, theirs = rule_of(key, rules), rule_of(other, rules)
    if mine is None:
        assert semantic_slot(key, rules) == slot_of(key)
        assert placement(12, rules)(key) == partition_of(key, 12)
    elif theirs is not None and mine.group == theirs.group:
        assert (semantic_slot(key, rules) - semantic_slot(other, rules)) % SLOTS in (0, 1, SLOTS - 1)


@given(keys, rule_sets, st.integers(1, 16))
def test_all_of_a_fleet_place_a_key_alike_and_within_its_rules_partitions(
    key: str, rules: list[Rule], partitions: int
) -> None:
    home = placement(partitions, rules)(key)
    assert home == partition_of_slot(semantic_slot(key, rules), partitions)
    rule = rule_of(key, rules)
    if rule is not None:
        assert home in partitions_of_rule(rule, partitions)


@pytest.mark.parametrize(
    ("strategy", "rules", "said"),
    [("semantic", [], "needs rules"), ("hash", [Rule("a", "g")], "takes no rules"), ("best", [], "one of")],
)
def test_a_strategy_and_its_rules_go_together(strategy: str, rules: list[Rule], said: str) -> None:
    with pytest.raises(InvalidRules, match=said):
        check_strategy(strategy, rules)


@given(st.lists(keys, max_size=40))
def test_a_group_of_width_one_is_in_one_partition(found: list[str]) -> None:
    rules = [Rule("a", "one")]
    assert len({placement(12, rules)(f"a{key}") for key in found}) <= 1


def test_the_longest_prefix_wins() -> None:
    rules = [Rule("order-", "all"), Rule("order-eu-", "eu")]
    assert rule_of("order-eu-7", rules) == rules[1]
    assert rule_of("order-us-7", rules) == rules[0]
    assert rule_of("invoice-7", rules) is None


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([Rule("", "g")], "needs a prefix"),
        ([Rule("a", "g", 0)], "width"),
        ([Rule("a", "g"), Rule("a", "h")], "two rules"),
        ([Rule("a", "g", 1), Rule("b", "g", 2)], "two widths"),
        ([Rule("a", "g", 1, "eu"), Rule("b", "g", 1, "us")], "two localities"),
        ([Rule("a" * 129, "g")], "over 128"),
        ([Rule(str(n), "g") for n in range(1_001)], "merge"),
    ],
)
def test_rules_that_make_no_sense_are_named(rules: list[Rule], said: str) -> None:
    with pytest.raises(InvalidRules, match=said):
        check(rules)
