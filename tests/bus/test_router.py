"""Content rules: order, default, stop, one copy for each recipient, and what each rule says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidRule
from bus.router import Router, Rule, Rules, capability, needs_of, normalised, router_of
from bus.routinglimits import RULES_MAX
from bus.topic import matches


def event(type: str, data: Any = None) -> bytes:
    return json.dumps({"specversion": "1.0", "id": "1", "source": "a", "type": type, "data": data}).encode()


def route(rules: Rules, type: str, data: Any = None) -> Any:
    return Router(rules).route(type, event(type, data))


def test_all_that_match_say_to_whom_each_once() -> None:
    rules = Rules((
        Rule("one", "a.*", ("agent/x", "capability:c")),
        Rule("two", "a.>", ("agent/y", "agent/x"), "data > 3"),
        Rule("three", "b", ("agent/z",)),
    ))  # fmt: skip
    found = route(rules, "a.b", 4)
    assert found.recipients == ("agent/x", "capability:c", "agent/y") and found.matched == ["one", "two"]
    assert [one.outcome for one in found.verdicts] == ["matched", "matched", "type"]
    found = route(rules, "a.b.c", 2)
    assert found.recipients == () and [one.outcome for one in found.verdicts] == ["type", "no", "type"]


def test_stop_ends_it() -> None:
    rules = Rules((
        Rule("one", "a", ("agent/x",), "data == 1", stop=True), Rule("two", "a", ("agent/y",)),
    ), ("agent/d",))  # fmt: skip
    assert route(rules, "a", 1).recipients == ("agent/x",)
    assert [one.outcome for one in route(rules, "a", 1).verdicts] == ["matched", "stopped"]
    assert route(rules, "a", 2).recipients == ("agent/y",)


def test_the_default_is_for_what_a_rule_names_and_none_matches() -> None:
    rules = Rules((Rule("one", "a.>", ("agent/x",), "data.n == 1"),), ("agent/d",))
    assert route(rules, "a.b", {"n": 2}).recipients == ("agent/d",)
    assert route(rules, "a.b", {}).recipients == ("agent/d",), "one that raises does not match"
    assert route(rules, "a.b", {}).verdicts[0].outcome == "error"
    assert route(rules, "c", {"n": 1}).recipients == ()
    assert route(rules, "a.b", {"n": 1}).recipients == ("agent/x",)


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        ([Rule("", "a", ("agent/x",))], "name"),
        ([Rule("r", "a..b", ("agent/x",))], "types"),
        ([Rule("r", "a", ())], "names nobody"),
        ([Rule("r", "a", ("someone",))], "agent/NAME or capability:NAME"),
        ([Rule("r", "a", ("capability:",))], "agent/NAME or capability:NAME"),
        ([Rule("r", "a", ("agent/",))], "agent/NAME or capability:NAME"),
        ([Rule("r", "a", ("agent/x",), "data >")], "cannot be kept"),
        ([Rule("r", "a", ("agent/x",)), Rule("r", "b", ("agent/x",))], "twice"),
        ([Rule(f"r{n}", "a", ("agent/x",)) for n in range(RULES_MAX + 1)], "possible"),
    ],
)
def test_what_cannot_be_kept(rules: list[Rule], part: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        Router(normalised(Rules(tuple(rules))))
    assert part in str(refused.value)


def test_capabilities_are_kept_in_one_order() -> None:
    kept = normalised(Rules((Rule("r", "a", ("capability:b a", "capability:a b")),), ("capability:z  y",)))
    assert kept.rules[0].to == ("capability:a b",) and kept.default == ("capability:y z",)
    assert capability(["b", "a", "b"]) == "capability:a b" and needs_of("capability:a b") == ("a", "b")
    assert needs_of("agent/x") == () and router_of(kept) is router_of(kept)


patterns = st.sampled_from(["a.*", "a.>", "a.b", ">", "b"])
recipients = st.lists(st.sampled_from(["agent/x", "agent/y", "capability:c", "capability:d"]), min_size=1, max_size=3)
made = st.lists(st.tuples(patterns, st.integers(0, 3), recipients, st.booleans()), max_size=6)


@given(made, st.lists(st.sampled_from(["agent/d", "agent/x"]), max_size=2, unique=True), st.integers(0, 3),
       st.sampled_from(["a.b", "a.c", "b", "c"]))  # fmt: skip
def test_as_a_plain_loop_has_it(given: list[Any], default: list[str], n: int, type: str) -> None:
    rules = normalised(Rules(
        tuple(Rule(f"r{i}", p, tuple(to), f"data.n >= {least}", stop) for i, (p, least, to, stop) in enumerate(given)),
        tuple(default),
    ))  # fmt: skip
    expected: list[str] = []
    named = matched = False
    for pattern, least, to, stop in given:
        if not matches(pattern, type):
            continue
        named = True
        if n >= least:
            matched = True
            expected += [each for each in dict.fromkeys(to) if each not in expected]
            if stop:
                break
    if named and not matched:
        expected = default
    assert list(route(rules, type, {"n": n}).recipients) == expected
