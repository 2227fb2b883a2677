"""Tasks that wait and that nobody can do any more: they end as was said, however they came to wait."""

import pytest

from bus.router import Rules
from controlplane.facts import RoutesSet, SettingSet
from controlplane.timeline import verify
from tests.controlplane.dispatching import ONLY, Agents, some_folds


def dead_letters(policy: str = "dead-letter") -> Agents:
    fleet = Agents()
    fleet.tell(SettingSet("dispatch.no_capable", policy))
    return fleet


def reasons(fleet: Agents) -> list[str]:
    assert verify(fleet.steps, some_folds(*ONLY)).divergence == ""
    return [letter["data"]["reason"] for letter in fleet.letters]


def keep(fleet: Agents, *names: str, seconds: int) -> None:
    for _ in range(0, seconds, 4):
        fleet.beats(*names, after_ms=4_000)


@pytest.mark.parametrize("policy", ["dead-letter", "escalate"])
def test_the_only_one_that_has_all_that_is_needed_goes(policy: str) -> None:
    fleet = dead_letters(policy)
    fleet.joins("both", can=["p", "q"], places=1)
    fleet.joins("p", can=["p"])
    fleet.joins("q", can=["q"])
    fleet.asks("p", "q")
    fleet.asks("p", "q")
    fleet.settles(fleet.taken()[0])
    fleet.asks("p", "q")
    fleet.settles(fleet.taken()[0])
    fleet.asks("p", "q")
    fleet.leaves("both")
    keep(fleet, "p", "q", seconds=40)
    assert (reasons(fleet), len(fleet.escalated)) == ((["no_capable"] * 2, 0) if policy == "dead-letter" else ([], 2))


def test_a_line_is_looked_through_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.dispatch.DISPATCHES_AT_ONCE_MAX", 3)
    monkeypatch.setattr("controlplane.hopeless.LINE_LOOKED_AT_MAX", 3)
    fleet = dead_letters()
    fleet.joins("a", places=1)
    for _ in range(11):
        fleet.asks("work")
    fleet.leaves("a")
    assert len(fleet.letters) == 4
    fleet.wait(11)
    assert len(fleet.letters) == 7
    fleet.wait(20)
    assert reasons(fleet) == ["no_capable"] * 11 and fleet.tasks() == {}


@pytest.mark.parametrize("by", ["setting", "rules"])
def test_what_waits_is_judged_by_what_is_decided_later(by: str) -> None:
    fleet = Agents()
    fleet.asks("work")
    fleet.wait(30)
    assert fleet.letters == [] and fleet.count("waiting") == 1
    dead = "dead-letter"
    fleet.tell(SettingSet("dispatch.no_capable", dead) if by == "setting" else RoutesSet(1, Rules(no_capable=dead)))
    fleet.wait(11)
    assert reasons(fleet) == ["no_capable"]


def test_all_but_those_who_refused_it_go() -> None:
    fleet = Agents()
    fleet.joins("a")
    fleet.asks("work")
    (mail,) = fleet.taken()
    fleet.joins("b", can=["work", "other"], places=1)
    fleet.asks("other")
    fleet.settles(mail, "refused")
    assert fleet.count("waiting") == 1, "b has no room for it"
    fleet.leaves("b")
    keep(fleet, "a", seconds=24)
    assert reasons(fleet) == ["refused"] and fleet.count("waiting") == 1


def test_what_somebody_can_do_waits_on() -> None:
    fleet = dead_letters()
    fleet.joins("a", places=1)
    for _ in range(3):
        fleet.asks("work")
    keep(fleet, "a", seconds=40)
    assert reasons(fleet) == [] and fleet.count("waiting") == 2


def test_the_place_in_a_line_is_kept_when_the_task_there_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.hopeless.LINE_LOOKED_AT_MAX", 1)
    fleet = Agents()
    for _ in range(3):
        fleet.asks("work")
    first, second, third = fleet.tasks()
    fleet.wait(10)
    assert fleet.state.get("line", "work\x001").cursor == second
    fleet.joins("a", places=2)
    line = fleet.state.get("line", "work\x001")
    assert (line.head, line.cursor) == (third, third) and first not in (second, third)
