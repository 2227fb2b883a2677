"""Dispatch in a hostile world (`dispatchworld`): who gets work can do it and lives, and all of it comes to an end."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from controlplane import taskfates
from controlplane.assigning import Plan
from controlplane.outbox import Outbox
from tests.controlplane.dispatchbook import Wrong
from tests.controlplane.dispatchworld import run

FINDS = 5
"""The seed by which each planted fault is found."""


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that some mail by name is not remembered."""
    monkeypatch.setattr("controlplane.tasks.TASKS_NAMED_AGENT_MAX", 3)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_and_nobody_gets_what_he_cannot_do(seed: int) -> None:
    run(seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_in_many_worlds(block: int) -> None:
    for seed in range(1_000 + 100 * block, 1_100 + 100 * block):
        try:
            run(seed, acts=300)
        except Wrong as wrong:
            raise Wrong(f"seed {seed}: {wrong}") from None


# ------------------------------------------------------------------------------------------- planted faults


def words_of_earlier_attempts_count(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = taskfates.settle

    def settles(state: Any, entry: Any, agent: str, said: Any) -> None:
        task = None if said is None else taskfates.task_of(state, said.task)
        if task is not None:
            said, agent = type(said)(said.task, task.attempt, said.outcome, said.took_ms, said.error), task.agent
        settle(state, entry, agent, said)

    monkeypatch.setattr("controlplane.taskfates.settle", settles)


def nobody_is_ever_full(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Plan.standing
    monkeypatch.setattr(Plan, "standing", lambda *given: standing(*given)._replace(is_full=False))


def who_is_gone_keeps_what_he_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.dispatch._gone", lambda *given: iter(()))


def the_dead_keep_their_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.roll.unseat", lambda *given: None)


def a_plane_that_starts_carries_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "intended", lambda *given: None)


def mail_that_is_refused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.taskfates.unsent", lambda *given: iter(()))


def choices_have_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    from itertools import count

    dice: Iterator[int] = count()
    choose = Plan.choose
    monkeypatch.setattr(
        Plan, "choose", lambda plan, id, task: choose(plan, id, replace(task, event_id=f"{next(dice)}"))
    )


@pytest.mark.parametrize(
    "fault",
    [words_of_earlier_attempts_count, nobody_is_ever_full, who_is_gone_keeps_what_he_has, the_dead_keep_their_seats,
     a_plane_that_starts_carries_nothing_again, mail_that_is_refused_is_forgotten, choices_have_dice],
)  # fmt: skip
def test_a_fault_that_is_planted_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with pytest.raises(Wrong):
        run(FINDS)
