"""A fleet's partitioning as it is asked for: rules out of a file, and what an old fleet may still be told."""

from pathlib import Path

import pytest

from bus.errors import InvalidRules
from bus.limits import SEMANTIC_RULES_MAX
from bus.semantic import Rule
from controlplane.errors import PartitioningFixed
from controlplane.limits import RULES_FILE_BYTES_MAX
from controlplane.partitioning import changed_strategy, read_rules, strategy_of

ONE = '[[rule]]\nprefix = "b/"\ngroup = "g"\n'
RULES = [Rule("a/", "x"), Rule("b/", "g", 4, "eu")]


def test_rules_are_read_by_prefix(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(ONE + 'width = 4\nlocality = "eu"\n[[rule]]\nprefix = "a/"\ngroup = "x"\n')
    assert read_rules(file) == RULES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prefix = 1", "unknown field `prefix`"),
        ("[[rule]]\nprefix = 1\ngroup = 'g'", "Expected `str`"),
        ("[[rule]]\nprefix = 'a'", "missing required field `group`"),
        ("[[rule", "rules.toml"),
        (ONE + "width = 0", "width from 1"),
        (ONE * 2 + "width = 2", "two rules"),
        ("".join(f"[[rule]]\nprefix='{n}'\ngroup='g'\n" for n in range(SEMANTIC_RULES_MAX + 1)), "merge some"),
        ("#" * (RULES_FILE_BYTES_MAX + 1), "no file of partition rules"),
        (None, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "rules.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidRules, match=said) as caught:
        read_rules(file)
    assert str(file) in str(caught.value)


def test_a_new_fleet_is_semantic_where_it_has_rules() -> None:
    assert (strategy_of("", None), strategy_of("", RULES), strategy_of("adaptive", RULES)) == (
        "hash",
        "semantic",
        "adaptive",
    )
    for wanted, rules in (("hash", RULES), ("semantic", None), ("best", None)):
        with pytest.raises(InvalidRules):
            strategy_of(wanted, rules)


def test_an_old_fleet_keeps_its_rules_and_may_be_told_to_move_by_itself() -> None:
    assert changed_strategy("", None, "semantic", RULES) == "semantic"
    assert changed_strategy("adaptive", RULES[::-1], "semantic", RULES) == "adaptive"
    assert changed_strategy("semantic", None, "adaptive", RULES) == "semantic"
    assert changed_strategy("hash", None, "adaptive", []) == "hash"
    for wanted, given, born in (("", RULES[:1], RULES), ("", RULES, []), ("hash", None, RULES), ("semantic", None, [])):
        with pytest.raises(PartitioningFixed, match="born"):
            changed_strategy(wanted, given, "adaptive", born)
