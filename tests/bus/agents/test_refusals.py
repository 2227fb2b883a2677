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


@pytest.mark.parametrize("pattern", ["agent.inbox.porter", "agent.inbox.*", "agent.inbox.>"])
@pytest.mark.parametrize("group", [None, "shared"])
def test_mail_of_others_is_refused(pattern: str, group: str | None) -> None:
    with pytest.raises(bus.ClientError, match=r"its addressee's alone, and that of spy is agent\.inbox\.spy"):
        bus.Agent("spy").on(pattern, group=group)(handler)


def test_the_own_inbox_has_its_group() -> None:
    agent = bus.Agent("porter")
    with pytest.raises(bus.ClientError, match="leave `group` out"):
        agent.on(agent.inbox, group="shared")(handler)


async def test_a_wider_pattern_leaves_mail_alone() -> None:
    porter, archive = bus.Agent("porter"), bus.Agent("archive")
    seen: list[tuple[str, str]] = []

    async def note(event: bus.Event, context: bus.Context) -> None:
        seen.append((context.agent.name, event.type))

    porter.on(porter.inbox)(note)
    archive.on("agent.*.porter")(note)
    archive.on("agent.>", group="all")(note)
    async with bus.TestFleet() as fleet, porter.using(fleet), archive.using(fleet):
        await fleet.publish(bus.Event(type="agent.inbox.porter"))
        await fleet.publish(bus.Event(type="agent.odd.porter"))
        await fleet.settled()
        assert sorted(one for one in seen if "lifecycle" not in one[1]) == [
            ("archive", "agent.odd.porter"),
            ("archive", "agent.odd.porter"),
            ("porter", "agent.inbox.porter"),
        ]
