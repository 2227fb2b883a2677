"""By which way events come to a handler, and which handler gets them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.agents.handlers import ABLE, GROUP, HEARD, MAIL, ORDERED, Handlers, Handling, best, handling
from bus.errors import ClientError, InvalidPattern
from bus.event import Event
from bus.topic import matches

CAPABILITIES = ["nlp", "nlp.translate", "plan"]


async def act(event: Event, context: Any) -> None: ...


def made(pattern: str, **more: Any) -> Handling:
    told = {"group": None, "order": "none", "ack_wait": 30.0, "max_deliver": 5, "timeout": None, "start": "now"}
    return handling("planner", CAPABILITIES, act, pattern, **{**told, "dispatched": False, **more})


@pytest.mark.parametrize(
    ("pattern", "more", "way", "group"),
    [
        ("task.plan.*", {}, GROUP, "agent/planner:task.plan.*"),
        ("task.plan.*", {"group": "planners"}, GROUP, "planners"),
        ("capability.plan.>", {}, ABLE, "capability.plan"),
        ("capability.nlp.translate.asked", {}, ABLE, "capability.nlp.translate"),
        ("capability.nlp.summarise", {}, ABLE, "capability.nlp"),
        ("capability.nlp.summarise", {"group": "mine"}, GROUP, "mine"),
        ("capability.draw.>", {}, GROUP, "agent/planner:capability.draw.>"),
        ("capability.*.asked", {}, GROUP, "agent/planner:capability.*.asked"),
        ("agent.inbox.planner", {}, MAIL, ""),
        ("system.coordination.>", {}, HEARD, ""),
        ("signalbox.agents.changed", {}, HEARD, ""),
        ("task.>", {"dispatched": True}, ORDERED, ""),
    ],
)
def test_the_pattern_says_the_way(pattern: str, more: dict[str, Any], way: str, group: str) -> None:
    one = made(pattern, **more)
    assert (one.way, one.group) == (way, group)


def test_a_group_that_others_share_has_settings_of_its_own() -> None:
    shared, own = made("capability.plan.asked", ack_wait=5).settings, made("task.a", ack_wait=5, max_deliver=2).settings
    assert (shared.pattern, shared.ack_wait, shared.max_deliver) == ("capability.plan.>", 3_600, 100)
    assert (own.pattern, own.ack_wait, own.max_deliver) == ("task.a", 5, 2)
    assert made("task.a", ack_wait=10).timeout == 9


@pytest.mark.parametrize(
    ("pattern", "more", "said"),
    [
        ("a..b", {}, "not a pattern"),
        ("a", {"order": "random"}, "order"),
        ("capability.plan.>", {"order": "strict"}, "give `group=`"),
        ("a", {"ack_wait": 0}, "ack_wait"),
        ("a", {"max_deliver": 101}, "max_deliver"),
        ("a", {"timeout": 1e6}, "timeout"),
        ("a", {"timeout": 0.0}, "timeout"),
        ("a" * 190, {}, "characters"),
        ("a", {"group": "g", "dispatched": True}, "leave out one"),
    ],
)
def test_what_is_wrong_is_said_where_it_is_written(pattern: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises((ClientError, InvalidPattern), match=said):
        made(pattern, **more)


def test_one_group_is_one_handler() -> None:
    handlers = Handlers()
    handlers.add(made("a.b"))
    with pytest.raises(ClientError, match="another `group`"):
        handlers.add(made("a.b"))
    handlers.add(made("a.b", group="other"))
    handlers.add(made("capability.plan.x"))
    handlers.add(made("capability.plan.y"))
    handlers.add(made("a.>", dispatched=True))
    assert [one.pattern for one in handlers.by(ABLE)] == ["capability.plan.x", "capability.plan.y"]
    found = handlers.best("capability.plan.y", "capability.plan")
    assert found is not None and found.pattern == "capability.plan.y"
    assert handlers.best("capability.plan.z", "capability.plan") is None
    dispatched = handlers.best("a.c")
    assert dispatched is not None and dispatched.way == ORDERED
    assert handlers.best("a.b", "") is None


tokens = st.sampled_from(["a", "b", "c"])
types = st.lists(tokens, min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda parts, tail: ".".join([*parts, *tail]),
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3),
    st.sampled_from([[], [">"]]),
)


@given(st.lists(patterns, max_size=6, unique=True), types)
def test_the_closest_pattern_wins(given_patterns: list[str], type: str) -> None:
    among = [made(pattern) for pattern in given_patterns]
    found = best(among, type)
    fitting = [one for one in among if matches(one.pattern, type)]
    assert (found is None) == (not fitting)
    if found is not None:
        literal = [sum(token in "abc" for token in one.pattern.split(".")) for one in fitting]
        assert sum(token in "abc" for token in found.pattern.split(".")) == max(literal)
        if type in given_patterns:
            assert found.pattern == type
