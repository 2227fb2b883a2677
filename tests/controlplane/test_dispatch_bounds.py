"""Dispatch under what agents and publishers say that is out of all proportion: nothing breaks, nothing is lost."""

import re

import pytest

from bus.choice import FIGURE_MAX, standing
from controlplane.dispatchsettings import deadline_ns
from controlplane.facts import SettingSet, encode_fact
from controlplane.limits import AGENT_QUEUE_MAX, TASK_DEADLINE_MS_MAX
from controlplane.state import KeyedState
from controlplane.tasks import Work
from tests.controlplane.dispatching import Agents


def test_no_figure_is_larger_than_can_be_written() -> None:
    found = standing(1 << 60, 1, 1 << 60, 0)
    assert found.score == found.load == found.expected_us == FIGURE_MAX


@pytest.mark.parametrize("figure", ["queue", "in_flight"])
def test_an_agent_that_says_a_huge_figure_is_only_busy(figure: str) -> None:
    fleet = Agents()
    fleet.joins("a", places=1)
    fleet.beats("a", **{figure: 1 << 53})
    fleet.asks("work")
    (fact,) = fleet.dispatched()
    assert fact.load == AGENT_QUEUE_MAX * 1_000
    assert encode_fact(fact)


def test_nobody_was_at_a_task_for_longer_than_it_had_it() -> None:
    fleet = Agents()
    fleet.joins("a")
    for _ in range(2):
        fleet.asks("work")
        (mail,) = fleet.taken()
        fleet.settles(mail, took_ms=(1 << 53) - 1, after_ms=200)
    assert [fact.expected_us for fact in fleet.dispatched()] == [1_000_000, 200_000]
    assert fleet.count("handled") == 2


def test_a_deadline_has_an_end_however_long_such_work_takes() -> None:
    state = KeyedState("dispatch")
    state.put("work", "work", Work(settled=1))
    assert deadline_ns(state, "work", FIGURE_MAX) == TASK_DEADLINE_MS_MAX * 1_000_000


def test_agents_that_restart_wear_no_task_out() -> None:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.attempts", "2"))
    fleet.joins("a0")
    fleet.asks("work")
    for n in range(1, 6):
        fleet.joins(f"a{n}")
        fleet.leaves(f"a{n - 1}")
    assert fleet.letters == [] and fleet.dispatched()[-1].attempt == 6
    fleet.settles(fleet.taken()[-1], "failed")
    fleet.joins("b")
    assert fleet.letters == [], "the first that speaks against it"
    fleet.settles(fleet.taken()[-1], "failed")
    assert [letter["data"]["reason"] for letter in fleet.letters] == ["attempts"]


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000", "\u2028"])
def test_only_the_space_separates_capabilities(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker of an older version, or another log, may have let such an event through."""
    monkeypatch.setattr("bus.attributes._SPACE", re.compile(" "))
    fleet = Agents()
    fleet.joins("a", can=["x", "y"])
    fleet.asks(space)
    fleet.asks(f"x{space}y")
    fleet.beats("a", after_ms=1_000)
    assert fleet.taken() == [] and sorted(task.needs for task in fleet.tasks().values()) == sorted(
        [space, f"x{space}y"]
    )
