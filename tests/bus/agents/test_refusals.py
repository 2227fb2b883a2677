"""What an author of agents gets wrong is refused where it is written, in words that say what to write."""

from typing import Any, cast

import pytest

import bus


async def handler(event: bus.Event, context: bus.Context) -> None: ...


@pytest.mark.parametrize(
    ("decorator", "told"),
    [("on", r'write `@agent\.on\("task\.plan\.requested"\)`'), ("answers", r"write `@agent\.answers\(\)`")],
)
def test_a_decorator_without_its_brackets_is_refused(decorator: str, told: str) -> None:
    agent = bus.Agent("planner")
    with pytest.raises(bus.ClientError, match=rf"^@agent\.{decorator} got handler, no text: {told}"):
        cast(Any, getattr(agent, decorator))(handler)


@pytest.mark.parametrize("name", ["agent/spy", "/spy", "team/spy"])
def test_a_name_with_a_slash_is_refused_and_told_what_it_is(name: str) -> None:
    with pytest.raises(bus.ClientError, match=r"has no slash; say 'spy', and its events come from agent/spy$"):
        bus.Agent(name)
    with pytest.raises(bus.ClientError, match="say 'planner'"):
        bus.Agent("agent/")
