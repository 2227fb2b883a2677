"""Groups through storms: nothing is skipped, nothing confirmed comes again; and bugs that were planted are found."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from bus.broker.delivering import Delivering
from bus.broker.ledgroup import LedGroup
from bus.group import Group
from bus.grouplog import Unlogged
from bus.groupodd import Odd
from bus.groupplain import Plain, Sheet
from bus.groupstate import Delta, GroupState
from bus.keys import Lines
from bus.pages import Page, Pages

from .members import run_groups

SHORT, LONG = 12, 400
real_group = Group.__init__
real_restore = Delivering.restore
real_noted, real_opened, real_ack = Unlogged.settled, GroupState._opened, Plain.ack
real_settled, real_logged, real_add = Lines.settled, Lines.logged, Lines.add


@pytest.mark.parametrize("part", range(4))
def test_groups_keep_their_word_in_any_weather(part: int, long: bool) -> None:
    delivered = letters = trimmed = 0
    for seed in range(part, LONG if long else SHORT, 4):
        violation, run = run_groups(seed)
        assert not violation, f"{violation}\nagain: python -m tests.simulation.members {seed}"
        delivered += run.groups.delivered
        trimmed += run.groups.trimmed
        letters += sum(record.value.startswith("letter ") for record in run.ledger.committed)
    assert delivered > 100 and letters > 0 and trimmed > 0, "the runs were too quiet to show anything"


@pytest.mark.parametrize("part", range(2))
def test_strict_order_holds_in_any_weather(part: int, long: bool) -> None:
    delivered = letters = 0
    for seed in range(part, LONG if long else SHORT, 2):
        violation, run = run_groups(seed, order="strict")
        assert not violation, f"{violation}\nagain: python -m tests.simulation.members {seed} strict"
        delivered += run.groups.delivered
        letters += sum(record.value.startswith("letter ") for record in run.ledger.committed)
    assert delivered > 100 and letters > 0, "the runs were too quiet to show anything"


def answers_at_once(self: LedGroup) -> None:
    for session, settled in self._unlogged:
        self._ground.send(session, settled)
    self._unlogged.clear()


def answers_when_appended(self: LedGroup) -> None:
    if not self.group.unlogged:
        answers_at_once(self)


def forgets_open_events(self: Group, state: GroupState, now: int, fresh: bool = False) -> None:
    real_group(self, GroupState(state.name, state.settings, state.upto), now, fresh)


def loses_snapshots(self: Delivering, partition: int, blob: bytes) -> None:
    real_restore(self, partition, b"")


def believes_every_ack(self: Odd, member: str, item: Any, cursor: int) -> str:
    return ""


def logs_no_ack_of_what_it_logged_as_open(self: Unlogged, sheet: Sheet, bits: int) -> None:
    real_noted(self, sheet, bits & sheet.unlogged)


def takes_what_is_open_for_settled(self: GroupState, delta: Delta) -> tuple[Pages[Page], int]:
    real_opened(self, delta)
    return Pages(), 0


def believes_every_run(self: Plain, member: Any, first: int, length: int) -> Any:
    return real_ack(self, member, first, length)[0], []


@pytest.mark.parametrize(
    ("owner", "method", "bug"),
    [
        (LedGroup, "attach", answers_at_once),
        (LedGroup, "attach", answers_when_appended),
        (Group, "__init__", forgets_open_events),
        (Delivering, "restore", loses_snapshots),
        (Odd, "_settled_already", believes_every_ack),
        (Unlogged, "settled", logs_no_ack_of_what_it_logged_as_open),
        (GroupState, "_opened", takes_what_is_open_for_settled),
        (Plain, "ack", believes_every_run),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_bug_is_found(owner: type, method: str, bug: Callable[..., Any]) -> None:
    with patch.object(owner, method, bug):
        assert any(run_groups(seed)[0] for seed in range(60)), "no seed found it"


def goes_on_when_settled(self: Lines, offset: int, tag: int) -> None:
    real_settled(self, offset, tag)
    self.logged(-1)


def goes_on_when_logged(self: Lines, index: int) -> None:
    real_logged(self, -1)


def never_waits_in_line(self: Lines, offset: int, tag: int) -> bool:
    real_add(self, offset, tag)
    return True


@pytest.mark.parametrize(
    ("method", "bug"),
    [("settled", goes_on_when_settled), ("logged", goes_on_when_logged), ("add", never_waits_in_line)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_bug_of_strict_order_is_found(method: str, bug: Callable[..., Any]) -> None:
    with patch.object(Lines, method, bug):
        assert any(run_groups(seed, order="strict")[0] for seed in range(60)), "no seed found it"
