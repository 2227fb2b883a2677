"""What an agent tells its operator: of events that end unhandled on its log, and of its own end on stderr."""

import asyncio
import logging
from functools import partial
from typing import Any

import msgspec
import pytest

import bus
from bus.agents.complaining import Complaints
from bus.agents.limits import COMPLAINTS_MAX, COMPLAINTS_MS


class Request(msgspec.Struct):
    steps: int


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if (one.name, one.levelno) == ("bus.agents", logging.WARNING)]


async def test_what_does_not_fit_and_what_is_refused_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    agent = bus.Agent("planner", capabilities=["plan"])

    @agent.on("task.asked")
    async def plan(event: bus.Event, context: bus.Context, request: Request) -> None: ...

    async with bus.TestFleet() as fleet, agent.using(fleet):
        await fleet.publish(bus.Event(type="task.asked", source="agent/boss", data={"steps": "many"}))
        await fleet.publish(bus.Event(type="text.new", source="agent/boss", requires=["plan"]))
        await fleet.settled()
    assert sorted(warnings(caplog)) == [
        "agent/planner: task.asked of agent/boss ends here (dead letter): data.steps: expected `int`, got `str`",
        "agent/planner: text.new of agent/boss ends here (refused, the control plane decides): "
        "no handler of agent/planner takes text.new",
    ]


def test_a_flood_of_them_makes_few_warnings(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for number in range(1000):
        complaints.complain(100.0, f"{number}.")
    complaints.complain(100 + COMPLAINTS_MS / 1000, "later.")
    *first, last = warnings(caplog)
    assert first == [f"{number}." for number in range(COMPLAINTS_MAX)]
    assert last == f"later. ({1000 - COMPLAINTS_MAX} such warnings were left out before)"


def test_without_a_fleet_a_script_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bus.agents.agent.connect", partial(bus.connect, deadline=0.2))
    with pytest.raises(SystemExit) as ended:
        bus.Agent("planner", url="tcp://127.0.0.1:9").run()
    said = capsys.readouterr().err
    assert ended.value.code == 3 and ended.value.__suppress_context__
    assert said.startswith("agent/planner cannot go on: ") and said.count("\n") == 1 and "127.0.0.1:9" in said


def losing() -> bus.Agent:
    """An agent that loses a group as soon as somebody has joined."""
    agent = bus.Agent("planner")

    @agent.on("signalbox.agents.changed")
    async def lose(event: bus.Event, context: bus.Context) -> None:
        context.agent.fail(bus.GroupRemoved("group g was removed"))

    return agent


def test_a_script_that_loses_its_group_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def connect(*where: Any, **how: Any) -> bus.Fleet:
        return bus.TestFleet()

    monkeypatch.setattr("bus.agents.agent.connect", connect)
    with pytest.raises(SystemExit) as ended:
        losing().run()
    assert (ended.value.code, capsys.readouterr().err) == (1, "agent/planner cannot go on: group g was removed\n")
    assert not caplog.records, "it is said once"


async def test_in_a_block_it_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    agent = losing()
    async with asyncio.timeout(20), bus.TestFleet() as fleet:
        with pytest.raises(bus.GroupRemoved, match="group g was removed"):
            async with agent.using(fleet):
                await agent.wait()
    assert [one.getMessage() for one in caplog.records] == ["agent/planner cannot go on: group g was removed"]
