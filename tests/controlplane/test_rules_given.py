"""Rules as people give them: those that could never match are refused, in words that say what is wrong."""

import pytest

from bus.errors import InvalidRule
from controlplane.answers.routing import rules_of
from controlplane.questions import RuleText


@pytest.mark.parametrize(
    ("types", "when", "why"),
    [
        ("order.created", '"yes"', "never matches, whatever the event: comes out as string"),
        ("order.created", "1 + 2", "never matches"),
        ("agent.inbox.x", "", "never routed"),
        ("order.created", "data.total >", "ends too early, at column 13"),
    ],
)
def test_rules_that_cannot_ever_match_are_refused(types: str, when: str, why: str) -> None:
    with pytest.raises(InvalidRule, match=why):
        rules_of([RuleText("odd", types, ["agent/a"], when)], [])


def test_constants_and_wide_patterns_are_rules() -> None:
    rules = rules_of(
        [RuleText("all", "agent.>", ["agent/a"], "true"), RuleText("b", "a.b", ["agent/a"], "data > 'x'")], []
    )
    assert [rule.name for rule in rules.rules] == ["all", "b"]
