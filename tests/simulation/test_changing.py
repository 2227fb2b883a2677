"""Operators' changes of a group through storms: what was told is so on every replica; and planted bugs are found."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from bus.broker.changing import Changing
from bus.broker.delivering import Delivering
from bus.broker.ledpartition import LedPartition
from bus.companion import Companion
from bus.grouplog import Unlogged
from bus.groupstate import GroupState

from .changing import MODES, run_changes

SHORT, LONG = 8, 300
real_apply, real_lead, real_end = Companion.apply, Delivering.on_lead, Changing.end
real_found, real_move, real_change = LedPartition.found, GroupState._move, Unlogged.change


@pytest.mark.parametrize("order", ["none", "strict"])
@pytest.mark.parametrize("mode", MODES)
def test_what_an_operator_was_told_is_so_in_any_weather(mode: str, order: str, long: bool) -> None:
    removals = told = reborn = spared = 0
    for seed in range(LONG if long else SHORT):
        violation, run = run_changes(seed, mode, order)
        assert not violation, f"{violation}\nagain: python -m tests.simulation.changing {seed} {mode} {order}"
        removals += run.groups.removals
        reborn += run.groups.reborn
        spared += run.groups.spared
        told += sum(member.current is not None for member in run.members)  # type: ignore[attr-defined]
    assert told > 0 or mode != "update", "no member was ever told"
    assert removals > SHORT // 2 or mode == "update", "hardly anything was ever removed"
    assert spared > 0 or mode != "again", "nothing was ever asked for again when there was something to spare"
    assert reborn < (LONG if long else SHORT) or mode != "remove", "the check of what is gone never applied"


def remembers_the_dead(self: Companion, index: int, companion: bytes) -> list[str]:
    before = dict(self.groups)
    moved = real_apply(self, index, companion)
    self.graves = {**getattr(self, "graves", {}), **{n: s for n, s in before.items() if n not in self.groups}}  # type: ignore[attr-defined]
    return moved


def leads_with_the_dead(self: Delivering, partition: int, now: int) -> None:
    companion = self._companions[partition]
    companion.groups = {**getattr(companion, "graves", {}), **companion.groups}
    real_lead(self, partition, now)


def test_a_removal_that_is_forgotten_on_failover_is_found() -> None:
    with patch.object(Companion, "apply", remembers_the_dead), patch.object(Delivering, "on_lead", leads_with_the_dead):
        assert any(run_changes(seed, "remove")[0] for seed in range(60)), "no seed found it"


def ends_when_appended(self: Changing, led: LedPartition, at: int) -> None:
    going = list(led.going)
    real_log(self, led, at)
    for group in going:
        if group not in led.going:
            self.end(led, group)


real_log = Changing.log


def makes_it_anew_for_anyone(self: LedPartition, join: Any, cutter: Any, now: int) -> Any:
    return real_found(self, replace(join, again=False), cutter, now)


def takes_a_member_for_one_of_the_new(self: LedPartition, join: Any, cutter: Any, now: int) -> Any:
    return real_found(self, replace(join, definition=-1), cutter, now)


def knows_no_decision_again(self: Changing, led: Any, session: Any, change: Any, at: int) -> None:
    real_take(self, led, session, replace(change, decision=0), at)


real_take = Changing.take


def moves_without_settings(self: GroupState, delta: Any, opened: Any, closed: Any) -> None:
    real_move(self, replace(delta, settings=None), opened, closed)


def never_logs_the_settings(self: Unlogged, settings: Any) -> None:
    self.settings = settings
    self.changed = True


@pytest.mark.parametrize(
    ("owner", "method", "bug", "mode"),
    [
        (Changing, "log", ends_when_appended, "remove"),
        (LedPartition, "found", makes_it_anew_for_anyone, "remove"),
        (LedPartition, "found", takes_a_member_for_one_of_the_new, "return"),
        (Changing, "take", knows_no_decision_again, "again"),
        (GroupState, "_move", moves_without_settings, "update"),
        (Unlogged, "change", never_logs_the_settings, "update"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_bug_is_found(owner: type, method: str, bug: Callable[..., Any], mode: str) -> None:
    with patch.object(owner, method, bug):
        assert any(run_changes(seed, mode)[0] for seed in range(60)), "no seed found it"
